// jemalloc's settings, which it reads before anything is allocated.
// Threads that build, merge and answer side by side hold their own small blocks, so that two arenas
// are enough: one for each thread would keep each one's peak. What was freed goes back to the
// system a fifth of a second later; longer, and a full ingest would hold what nobody uses.
// Addresses go back with it: where they are limited (ulimit -v), what is kept of them would not
// serve others.
extern "C" const char* const malloc_conf;
const char* const malloc_conf = "narenas:2,dirty_decay_ms:200,muzzy_decay_ms:0,retain:false";

// Preloaded into a server under test: its wall clock goes so many seconds ahead
// (SPANLOOM_TEST_CLOCK_AHEAD_S), so that hours pass between one life of it and the next. Every
// other clock is as it is.
#include <cstdlib>
#include <ctime>

#include <dlfcn.h>

namespace {

using ClockGettime = int (*)(clockid_t, timespec*);

const ClockGettime& real_clock() {
    static const auto real = reinterpret_cast<ClockGettime>(dlsym(RTLD_NEXT, "clock_gettime"));
    return real;
}

time_t ahead_s() {
    static const time_t seconds = [] {
        const char* const text = std::getenv("SPANLOOM_TEST_CLOCK_AHEAD_S");
        return text == nullptr ? time_t{0} : static_cast<time_t>(std::atoll(text));
    }();
    return seconds;
}

}  // namespace

extern "C" int clock_gettime(clockid_t id, timespec* now) {
    const int failed = real_clock()(id, now);
    if (failed == 0 && id == CLOCK_REALTIME) now->tv_sec += ahead_s();
    return failed;
}

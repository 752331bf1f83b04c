#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "base/result.h"
#include "sampling/forward_journal.h"

namespace spanloom::sampling {

constexpr std::string_view kHistoryExtension = ".past";

// What became of an entry, without naming its trace.
struct EndedEntry {
    uint64_t hash = 0;  // of its trace's id, by the journal's seed
    std::string rule;   // "": it is not known
    uint64_t threshold = 0;
    bool is_late = false;     // spans that came after the others were sent
    uint32_t spans = 0;       // that were stored of it
    uint64_t decided_ns = 0;  // to a tenth of a second, as is the next
    uint64_t ended_ns = 0;    // 0: it is not known
    ForwardFate fate = ForwardFate::kTaken;
};

// What a target got, long after the journal forgot it: a few bytes for each trace in files beside
// it (docs/format/forward.md), so many and for so long. What lies in memory yet is in the journal,
// too. One thread.
class ForwardHistory {
  public:
    struct Limits {
        uint64_t bytes_max = 64U << 20;
        uint64_t remembered_ns = 30ULL * 24 * 3'600'000'000'000;  // 0: for ever
        size_t unwritten_max = 16'384;
    };

    static Result<std::unique_ptr<ForwardHistory>> open(Io& io, std::string directory,
                                                        uint64_t seed, const Limits& limits);

    // Entries before this number were added.
    uint64_t end() const { return end_; }
    // The next entry that ended.
    void add(uint64_t number, EndedEntry ended);
    // Whether it is time to flush.
    bool is_full() const { return added_.size() >= limits_.unwritten_max; }
    // One that will not be sent, though others before it may be.
    void add_given_up(EndedEntry ended);
    // Everything that was added is on disk when it returns; what is too old or too much goes.
    Result<void> flush(uint64_t now_ns);
    uint64_t bytes() const;

  private:
    struct File {
        uint64_t number = 0;
        uint64_t bytes = 0;
        uint64_t oldest_ns = 0;
        uint64_t newest_ns = 0;
    };

    ForwardHistory(Io& io, std::string directory, uint64_t seed, const Limits& limits)
        : io_(io), directory_(std::move(directory)), seed_(seed), limits_(limits) {}
    std::string path_of(uint64_t number) const;
    Result<void> prune(uint64_t now_ns);

    Io& io_;
    const std::string directory_;
    const uint64_t seed_;
    const Limits limits_;
    uint64_t end_ = 0;
    std::vector<EndedEntry> added_;
    std::deque<File> files_;
};

// A file of it; any bytes are safe.
struct HistoryFile {
    uint64_t seed = 0;
    uint64_t end = 0;  // entries before this number are in this file or in earlier ones
    uint64_t oldest_ns = 0;
    uint64_t newest_ns = 0;
    std::vector<EndedEntry> entries;  // by hash
};
std::string encode_history(HistoryFile file);
// Only the entries of one trace, where its id is given; without it all of them.
Result<HistoryFile> decode_history(std::string_view bytes, const TraceId* id);

}  // namespace spanloom::sampling

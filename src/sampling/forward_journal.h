#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/io.h"
#include "base/random.h"
#include "base/result.h"
#include "otlp/ids.h"

namespace spanloom::sampling {

// A trace, or spans of one, that a target is to get.
struct ForwardEntry {
    static constexpr uint32_t kRulesMax = 64;
    static constexpr uint32_t kNoRule = UINT32_MAX;

    uint64_t number = 0;  // counts up over all that a target ever gets
    TraceId id;
    uint32_t rule = kNoRule;    // that chose it (ForwardJournal::rule_name)
    uint64_t threshold = 0;     // of that rule
    std::vector<SpanId> spans;  // that came after the others were read; none: the whole trace
    uint64_t at_ns = 0;         // when it was decided
    uint64_t arrived_ns = 0;    // no segment with a part of it is older; 0: that is not known
};

// How it ended for an entry.
enum class ForwardFate : uint8_t {
    kTaken = 0,
    kPartlyTaken = 1,  // some spans of its request were rejected
    kDeadLetter = 2,   // refused for good, and kept beside
    kRefused = 3,      // and there was no room for it
    kGone = 4,         // not stored any more
    kGivenUp = 5,      // too many waited
    kLast = kGivenUp,
};
struct ForwardEnd {
    uint64_t at_ns = 0;  // 0: it is not known
    ForwardFate fate = ForwardFate::kTaken;
};

// What was decided at once. Numbers of its entries are given when it is written.
struct ForwardDecisions {
    uint64_t at_ns = 0;
    uint64_t held_from_ns = 0;  // every trace whose first span arrived before this is decided
    std::vector<ForwardEntry> entries;
    std::vector<uint64_t> dropped;  // hashes of the traces that it does not get
};

// What a target is to get and what it got, durably (docs/format/forward.md). One thread.
class ForwardJournal {
  public:
    struct Limits {
        uint64_t bytes_max = 1ULL << 30;
        // How long what was decided is known for a restart, beside what was not sent yet.
        uint64_t remembered_ns = 7'200'000'000'000;
    };

    // Reads what an earlier process left in the directory. The file system outlives it.
    // `rules`: the names of those that choose from now on.
    static Result<std::unique_ptr<ForwardJournal>> open(Io& io, std::string directory,
                                                        Random& random,
                                                        std::vector<std::string> rules,
                                                        const Limits& limits);

    // Every trace whose first span arrived before is decided; 0: nothing is known.
    uint64_t held_from_ns() const { return held_from_ns_; }
    uint64_t hash_of(const TraceId& id) const { return hash64(id.view(), seed_); }
    uint64_t seed() const { return seed_; }
    // "": it is not known.
    std::string_view rule_name(uint32_t rule) const {
        return rule < names_.size() ? std::string_view(names_[rule]) : std::string_view();
    }

    // What is known from before, in the order in which it was written.
    struct Visitor {
        std::function<void(uint64_t hash)> dropped;
        std::function<void(const ForwardEntry&)> entry;
        // Rows of the entries from this number on, when they were sent, and how that ended.
        std::function<void(uint64_t first, std::span<const uint32_t> rows, const ForwardEnd& end)>
            sent;
    };
    Result<void> visit(const Visitor& visitor);

    // Durable when it returns; after an error it may be written again.
    Result<void> write(ForwardDecisions decisions);
    // The entries after those that were sent before; how many rows each had.
    Result<void> write_sent(uint64_t first, std::span<const uint32_t> rows, const ForwardEnd& end);

    // The next entry to be sent; each is given once. nullopt: there is none now.
    Result<std::optional<ForwardEntry>> next();
    // The oldest that waits to be given or written as sent.
    uint64_t sent_end() const { return sent_end_; }
    uint64_t unsent() const { return end_ - sent_end_; }
    uint64_t bytes() const;
    // Removes what nobody needs any more, and beyond the limit of bytes the oldest; how many
    // entries were never sent. Before a file goes those of its entries are told of, and then
    // `before` is called; where that fails, it stays.
    Result<uint64_t> prune(const std::function<void(const ForwardEntry&)>& given_up,
                           const std::function<Result<void>()>& before);

  private:
    struct File {
        uint64_t number = 0;
        uint64_t bytes = 0;
        uint64_t first = 0;  // its entries
        uint64_t end = 0;
        uint64_t newest_ns = 0;  // when the last of it was decided
        uint64_t oldest_ns = 0;
    };
    using Record = std::function<void(uint32_t kind, std::string_view payload)>;

    ForwardJournal(Io& io, std::string directory, std::vector<std::string> rules,
                   const Limits& limits)
        : io_(io), directory_(std::move(directory)), limits_(limits), rules_(std::move(rules)) {}

    std::string path_of(uint64_t number) const;
    Result<void> recover();
    Result<uint64_t> read_file(const std::string& path, const Record& record);
    Record entries_to(std::function<void(ForwardEntry)> visit);
    uint32_t number_of(const std::string& rule);
    Result<void> begin_file();
    Result<void> append(const std::string& records, uint64_t at_ns);
    Result<void> load();

    Io& io_;
    const std::string directory_;
    const Limits limits_;
    const std::vector<std::string> rules_;
    std::vector<std::string> names_ = rules_;  // and those of earlier processes
    uint64_t seed_ = 0;
    uint64_t held_from_ns_ = 0;
    uint64_t sent_end_ = 0;
    uint64_t end_ = 0;        // of all entries
    std::deque<File> files_;  // the last is written to, where there is a writer
    std::unique_ptr<WritableFile> writer_;
    // Entries that were read back or came just now; those after them lie in the files.
    std::deque<ForwardEntry> loaded_;
    uint64_t next_ = 0;        // the first that was not given
    uint64_t loaded_end_ = 0;  // after the last of loaded_
};

}  // namespace spanloom::sampling

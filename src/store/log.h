#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "otlp/batch.h"

namespace spanloom::store {

// A place in the log. Positions grow; what was appended first comes first.
struct LogPosition {
    uint64_t value = 0;
    auto operator<=>(const LogPosition&) const = default;
};

struct LogState {
    LogPosition begin;           // what is older was freed
    LogPosition end;             // after the newest durable record
    uint64_t bytes = 0;          // on disk and not freed
    uint64_t written_bytes = 0;  // since the start
    uint64_t queued_bytes = 0;
    uint64_t syncs = 0;
    uint64_t sync_ns_max = 0;
    bool is_read_only = false;
    std::string reason;  // why it is read-only
};

// What a replay found.
struct LogReplay {
    uint64_t records = 0;
    uint64_t spans = 0;
    uint64_t bytes = 0;
    uint64_t damaged_bytes = 0;
    LogPosition first;                // oldest position that the files cover
    std::vector<std::string> damage;  // one sentence each; the first kLogFindingsMax
    std::vector<std::string> notes;   // torn tails and the like
};

// What was received, in order, until segments hold it. Requests are written as they came, so that
// replay decodes them again. Thread-safe. Another log (Kafka) can stand in for the file.
class Log {
  public:
    virtual ~Log() = default;
    // Queues the batch's bytes, whose hash64 the caller knows. `done` is called in the order of
    // appends, on the log's thread, with the position after the record once it is durable, or with
    // why it never will be; at once, in the caller's thread, where the queue is full.
    virtual void append(const Batch& batch, uint64_t bytes_hash,
                        std::function<void(Result<LogPosition>)> done) = 0;
    // Everything durable at or after `from`, in order, one record in memory at a time, each with
    // the position after it. A torn tail ends the replay quietly (it was never acknowledged);
    // damage before it is skipped and reported. Once, before the first append.
    virtual Result<LogReplay> replay(
        LogPosition from, const std::function<Result<void>(Batch, LogPosition)>& visit) = 0;
    // Records before `position` are in segments: their space may go.
    virtual void free_before(LogPosition position) = 0;
    virtual LogState state() const = 0;
};

}  // namespace spanloom::store

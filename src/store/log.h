#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "otlp/batch.h"

namespace spanloom::store {

// A place in the log. Positions grow; what was appended first comes first.
struct LogPosition {
    uint64_t value = 0;
    auto operator<=>(const LogPosition&) const = default;
};

struct LogState {
    LogPosition end;          // after the newest durable record
    uint64_t bytes = 0;       // on disk and not freed
    uint64_t queued_bytes = 0;
    uint64_t syncs = 0;
    uint64_t sync_ns_max = 0;
    bool is_read_only = false;
    std::string reason;  // why it is read-only
};

// What was received, in order, until segments hold it. Requests are written as they came, so that
// replay decodes them again. Thread-safe. Another log (Kafka) can stand in for the file.
class Log {
  public:
    virtual ~Log() = default;
    // Queues the batch; `done` is called once it is durable, or has failed for good, on the log's
    // thread. Waiting batches are written as one group with one sync. The position is the record's.
    virtual LogPosition append(const Batch& batch, std::function<void(Result<void>)> done) = 0;
    // Everything durable at or after `from`, in order, one record in memory at a time. A torn tail
    // ends the replay quietly (it was never acknowledged); damage before it is skipped and counted.
    virtual Result<void> replay(LogPosition from,
                                const std::function<Result<void>(Batch, LogPosition)>& visit) = 0;
    // Records before `position` are in segments: their space may go.
    virtual void free_before(LogPosition position) = 0;
    virtual LogState state() const = 0;
};

}  // namespace spanloom::store

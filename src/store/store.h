#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/io.h"
#include "base/metrics.h"
#include "base/random.h"
#include "store/log.h"
#include "store/search.h"

namespace spanloom::store {

// kThreads: the store's own threads. kCaller: nothing runs by itself; accept() returns after the
// sync, and seal(), flush() and settle() do the rest in the caller's thread. For tests.
enum class StoreBackground : uint8_t { kThreads, kCaller };

struct StoreOptions {
    StoreBackground background = StoreBackground::kThreads;
    uint64_t seal_after_ms = 500;            // a head becomes searchable by then
    uint32_t seal_spans = 65'536;            // or with this many spans
    uint64_t memory_bytes_max = 96U << 20;   // heads and in-memory segments before writers wait
    uint64_t flush_bytes = 48U << 20;        // in-memory segments are merged to disk beyond this
    uint64_t flush_after_ms = 30'000;        // or when the oldest is this old
    uint64_t log_bytes_max = 128U << 20;     // unflushed log before a flush is forced
    uint64_t segment_spans_max = 2'000'000;  // merging stops there
    uint64_t retention_ms = 0;               // age by arrival; 0: none
    uint64_t retention_bytes = 0;            // of all segments; 0: none
    double disk_used_max = 0.8;  // share of (own + free bytes) beyond which the oldest go
    uint64_t disk_free_bytes_min = 256U << 20;  // below this nothing is accepted
    uint64_t log_file_bytes = 32U << 20;
    uint64_t log_queue_bytes_max = 64U << 20;      // requests that wait for their sync
    uint64_t builder_queue_bytes_max = 16U << 20;  // durable requests that wait for the head
    uint32_t merge_segments_min = 8;               // of similar size, before they are merged
    uint64_t shutdown_ms = 5'000;                  // what the destructor may take for its flush
    RollupFunction rollup;
};

struct StoreState {
    uint64_t spans = 0;
    uint64_t segments = 0;
    uint64_t segments_in_memory = 0;
    uint64_t disk_bytes = 0;
    uint64_t memory_bytes = 0;
    uint64_t oldest_arrival_ns = 0;  // 0: empty
    uint64_t quarantined = 0;
    uint64_t duplicates = 0;  // resends recognised
    LogState log;
    bool is_read_only = false;
    std::string reason;
};

// Everything kept for all tenants: the log, the heads being filled, segments in memory and on
// disk, their manifest, merging and retention. accept() is the ingest side; snapshot() is what
// queries read. Owns its threads; the destructor flushes what it can and stops them.
class Store : public Sink {
  public:
    // Takes the directory's lock, reads the manifest, replays the log. What cannot be read is set
    // aside and reported, not fatal.
    static Result<std::unique_ptr<Store>> open(StoreOptions options, Io& io, const Clock& clock,
                                               Random& random, MetricsRegistry& metrics);

    // Logs the batch and adds it to the head. `done` once it is durable.
    void accept(Batch batch, std::function<void(Result<void>)> done) override = 0;
    // The segments of a tenant as they are now, newest arrival last; empty for an unknown tenant.
    virtual std::vector<std::shared_ptr<const Segment>> snapshot(std::string_view tenant) const = 0;
    // Waits until all that is accepted is searchable ; flush: and in segments on disk.
    virtual Result<void> seal() = 0;
    virtual Result<void> flush() = 0;
    // Runs merging and retention now, in the caller's thread, until nothing is left to do.
    virtual Result<void> settle() = 0;
    virtual StoreState state() const = 0;
};

// What `spanloom check` tells of a data directory that no server holds.
struct CheckReport {
    uint64_t segments = 0;
    uint64_t spans = 0;
    uint64_t traces = 0;
    uint64_t segment_bytes = 0;
    uint64_t log_files = 0;
    uint64_t log_records = 0;
    uint64_t log_spans = 0;
    uint64_t log_bytes = 0;
    std::vector<std::string> damage;  // one sentence each
    std::vector<std::string> notes;
};
// Reads everything and checks every checksum; changes nothing. `progress` gets (done, all) bytes.
Result<CheckReport> check_data(Io& io, const std::function<void(uint64_t, uint64_t)>& progress);

}  // namespace spanloom::store

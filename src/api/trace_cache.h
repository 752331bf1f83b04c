#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "otlp/ids.h"
#include "traceql/trace.h"

namespace spanloom::api {

// A trace as it was when it was read.
struct CachedTrace {
    traceql::Trace trace;
    // Of the segments it was read from: another one means that it must be read again.
    uint64_t version = 0;
    size_t memory_bytes = 0;
};

// The traces that were asked for last, up to a number of bytes: the UI asks for one trace many
// times. One that is larger than that, up to another number, is kept alone and only while it is
// asked for: putting a million spans together takes seconds, and a page that shows them asks for
// rows at every step. Thread-safe.
class TraceCache {
  public:
    static constexpr uint64_t kLargeKeptNs = 60'000'000'000;

    explicit TraceCache(size_t bytes_max, size_t large_bytes_max = 0)
        : bytes_max_(bytes_max), large_bytes_max_(large_bytes_max) {}

    // The trace where it is kept and still of this version. `now_ns`: monotonic, as below.
    std::shared_ptr<const CachedTrace> find(const TraceId& id, uint64_t version, uint64_t now_ns);
    void put(const TraceId& id, std::shared_ptr<const CachedTrace> trace, uint64_t now_ns);
    // Lets the large one go where nobody asked for it lately.
    void forget_unused(uint64_t now_ns);
    size_t bytes() const;

  private:
    struct Entry {
        TraceId id;
        std::shared_ptr<const CachedTrace> trace;
    };
    void drop(std::list<Entry>::iterator entry);
    void forget_unused_locked(uint64_t now_ns);

    const size_t bytes_max_;
    const size_t large_bytes_max_;
    mutable std::mutex mutex_;
    size_t bytes_ = 0;
    Entry large_;  // none where it has no trace
    uint64_t large_used_ns_ = 0;
    std::list<Entry> newest_first_;
    std::unordered_map<TraceId, std::list<Entry>::iterator> by_id_;
};

}  // namespace spanloom::api

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
// times. Thread-safe.
class TraceCache {
  public:
    explicit TraceCache(size_t bytes_max) : bytes_max_(bytes_max) {}

    // The trace where it is kept and still of this version.
    std::shared_ptr<const CachedTrace> find(const TraceId& id, uint64_t version);
    void put(const TraceId& id, std::shared_ptr<const CachedTrace> trace);
    size_t bytes() const;

  private:
    struct Entry {
        TraceId id;
        std::shared_ptr<const CachedTrace> trace;
    };
    void drop(std::list<Entry>::iterator entry);

    const size_t bytes_max_;
    mutable std::mutex mutex_;
    size_t bytes_ = 0;
    std::list<Entry> newest_first_;
    std::unordered_map<TraceId, std::list<Entry>::iterator> by_id_;
};

}  // namespace spanloom::api

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "store/retention.h"
#include "store/segment.h"

namespace spanloom::store {

// One segment that queries see.
struct LiveSegment {
    uint64_t id = 0;      // in the manifest; 0: in memory
    uint64_t serial = 0;  // order of appearance in this process
    std::string tenant;
    uint64_t hour = 0;
    std::string path;  // "" in memory
    std::shared_ptr<const Segment> segment;
    uint64_t memory_bytes = 0;
    uint64_t since_monotonic_ns = 0;
    bool is_damaged = false;  // a block is; it is served, but no longer merged
};

struct LiveTotals {
    uint64_t spans = 0;
    uint64_t segments = 0;
    uint64_t segments_in_memory = 0;
    uint64_t disk_bytes = 0;
    uint64_t memory_bytes = 0;
    uint64_t oldest_arrival_ns = 0;
    uint64_t oldest_in_memory_ns = 0;  // monotonic; 0: none
};

// The set of segments of all tenants, as one that changes at once. Thread-safe.
class LiveSegments {
  public:
    using Pointer = std::shared_ptr<const LiveSegment>;

    // Newest arrival last.
    std::vector<std::shared_ptr<const Segment>> snapshot(std::string_view tenant) const;
    // Those with one of these serials go, the others come, in one step.
    void replace(const std::vector<uint64_t>& gone, std::vector<LiveSegment> come);
    void mark_damaged(uint64_t serial);
    std::vector<Pointer> all() const;
    std::vector<Pointer> in_memory() const;
    std::vector<Pointer> on_disk() const;
    LiveTotals totals() const;

  private:
    using Tenants = std::map<std::string, std::vector<Pointer>, std::less<>>;

    mutable std::mutex mutex_;
    Tenants tenants_;
    LiveTotals totals_;
    uint64_t next_serial_ = 1;
};

// Files of segments that are no longer in the set, until nobody reads them. One thread at a time.
class ObsoleteFiles {
  public:
    void add(std::string path, std::shared_ptr<const Segment> segment);
    // Removes those that nobody reads; returns how many files could not be removed.
    size_t collect(Io& io);
    bool empty() const { return files_.empty(); }

  private:
    struct File {
        std::string path;
        std::shared_ptr<const Segment> segment;
    };
    std::vector<File> files_;
};

}  // namespace spanloom::store

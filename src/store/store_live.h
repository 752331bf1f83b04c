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
#include "store/deletions.h"
#include "store/manifest.h"
#include "store/retention.h"
#include "store/segment.h"

namespace spanloom::store {

// One segment that queries see.
struct LiveSegment {
    uint64_t id = 0;      // in the manifest; 0: in memory
    uint64_t serial = 0;  // order of appearance in this process
    std::string tenant;
    uint64_t hour = 0;
    std::optional<Keeping> kept;  // none: in recent/
    std::string path;             // "" in memory
    std::shared_ptr<const Segment> segment;
    Blob image;  // of a segment in memory that goes to the disk as it is; else none
    // What queries see of it: without what was deleted. None: nothing is left, or what is hidden
    // cannot be told because of damage.
    std::shared_ptr<const Segment> visible;
    bool has_hidden = false;  // it holds what was deleted, and is to be rewritten
    uint64_t memory_bytes = 0;
    uint64_t since_monotonic_ns = 0;
    bool is_damaged = false;  // a block is; it is served, but no longer merged
};

struct LiveTotals {
    uint64_t spans = 0;
    uint64_t segments = 0;
    uint64_t segments_in_memory = 0;
    uint64_t disk_bytes = 0;
    uint64_t kept_bytes = 0;    // of them, in kept/
    uint64_t memory_bytes = 0;  // of segments in memory: what a flush gives back
    uint64_t index_bytes = 0;   // what is kept in memory of those on disk
    uint64_t oldest_arrival_ns = 0;
    uint64_t oldest_in_memory_ns = 0;  // monotonic; 0: none
    uint64_t hiding = 0;               // segments that hold what was deleted
    uint64_t hiding_in_memory = 0;
};

// The set of segments of all tenants, as one that changes at once. Thread-safe.
class LiveSegments {
  public:
    using Pointer = std::shared_ptr<const LiveSegment>;

    // `rollup` counts what is seen of a segment that holds what was deleted.
    LiveSegments(const Deletions& deletions, RollupFunction rollup)
        : deletions_(deletions), rollup_(std::move(rollup)) {}

    // Newest arrival last.
    std::vector<std::shared_ptr<const Segment>> snapshot(std::string_view tenant) const;
    // Those with one of these serials go, the others come, in one step.
    void replace(const std::vector<uint64_t>& gone, std::vector<LiveSegment> come);
    // These traces, which `deletions` has since, are seen no more, of all segments in one step.
    void hide(std::string_view tenant, const std::vector<TraceId>& ids);
    void mark_damaged(uint64_t serial);
    // Some segment of the tenant holds what was deleted.
    bool is_hiding(std::string_view tenant) const;
    std::vector<Pointer> all() const;
    std::vector<Pointer> in_memory() const;
    std::vector<Pointer> on_disk() const;
    LiveTotals totals() const;

  private:
    void publish(const std::vector<uint64_t>& gone, std::vector<LiveSegment> come);
    void count();

    using Tenants = std::map<std::string, std::vector<Pointer>, std::less<>>;

    const Deletions& deletions_;
    const RollupFunction rollup_;
    // Over working out what is hidden and publishing it, so that no segment comes in between with
    // what was known before. Taken before mutex_.
    std::mutex hide_mutex_;
    mutable std::mutex mutex_;
    Tenants tenants_;
    LiveTotals totals_;
    uint64_t next_serial_ = 1;
};

// Files of segments that are no longer in the set, until nobody reads them. One thread at a time.
class ObsoleteFiles {
  public:
    // `reader`: what those who read it hold; none: nobody does.
    void add(std::string path, std::shared_ptr<const void> reader);
    // Removes those that nobody reads; returns how many files could not be removed.
    size_t collect(Io& io);
    bool empty() const { return files_.empty(); }

  private:
    struct File {
        std::string path;
        std::shared_ptr<const void> reader;
    };
    std::vector<File> files_;
};

}  // namespace spanloom::store

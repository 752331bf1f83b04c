#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/io.h"
#include "store/store.h"

// Which segments are merged and which go: decisions alone, without doing it.
namespace spanloom::store {

// What the decisions know of a segment on disk.
struct SegmentFacts {
    uint64_t id = 0;
    std::string tenant;
    uint64_t hour = 0;  // its partition
    uint64_t spans = 0;
    uint64_t bytes = 0;
    uint64_t arrival_ns_max = 0;
};

// Ids to drop, oldest arrival first: those too old, then as many as bytes and the disk ask for.
std::vector<uint64_t> choose_drops(std::vector<SegmentFacts> segments, const StoreOptions& options,
                                   uint64_t now_ns, const DiskSpace& space);

// Ids of one partition to merge into one, or none. Sizes are taken in steps of
// merge_segments_min, so that each span is merged a few times at most; a partition whose hour is
// over is merged to the end. `now_ns` decides which are over.
std::vector<uint64_t> choose_merge(std::vector<SegmentFacts> segments, const StoreOptions& options,
                                   uint64_t now_ns);

}  // namespace spanloom::store

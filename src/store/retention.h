#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/io.h"
#include "store/manifest.h"
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
    std::optional<Keeping> kept = std::nullopt;
};

// What limits the segments, worked out of options, rules and the disk.
struct SpaceLimits {
    uint64_t bytes_max = UINT64_MAX;         // of all segments
    uint64_t recent_bytes_max = UINT64_MAX;  // of those in recent/; beyond it the oldest age
    std::map<std::string, uint64_t> rule_bytes_max;
};
SpaceLimits space_limits(const std::vector<SegmentFacts>& segments, const StoreOptions& options,
                         const Ageing& ageing, const DiskSpace& space);

// Ids to drop, oldest arrival first: those too old, of each rule as many as it has too many bytes
// of, then as many of all as the limits ask for, unless half of some can go instead.
std::vector<uint64_t> choose_drops(std::vector<SegmentFacts> segments, const StoreOptions& options,
                                   uint64_t now_ns, const SpaceLimits& limits, bool can_thin);

// Where all segments have too many bytes: ids of the partition in kept/ of which half is to go.
// What is twice as old is half as dense, until it was halved kHalvingsMax times. None: there is
// room, or nothing to halve.
std::vector<uint64_t> choose_thinning(const std::vector<SegmentFacts>& segments, uint64_t now_ns,
                                      const SpaceLimits& limits);

// Ids of the segments of one hour in recent/ whose time has come: the oldest that is older than
// ageing.recent_for_ms, or the oldest of all where recent/ has too many bytes, or more than half
// of what all may have where that is too much. Only hours that are over. None: nothing ages.
std::vector<uint64_t> choose_ageing(const std::vector<SegmentFacts>& segments, const Ageing& ageing,
                                    uint64_t now_ns, const SpaceLimits& limits);

// Ids of one partition to merge into one, or none. Sizes are taken in steps of
// merge_segments_min, so that each span is merged a few times at most; a partition whose hour is
// over is merged to the end. `now_ns` decides which are over.
std::vector<uint64_t> choose_merge(std::vector<SegmentFacts> segments, const StoreOptions& options,
                                   uint64_t now_ns);

}  // namespace spanloom::store

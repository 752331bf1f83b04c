#include "store/retention.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "store/store_paths.h"

namespace spanloom::store {
namespace {

constexpr uint64_t kHourIsOverAfterNs =
    2 * 60 * 1'000'000'000ULL;  // its last flush is done by then
constexpr uint64_t kSmallestStepSpans = 4096;
constexpr size_t kMergeInputsMax = 64;  // each holds some row groups in memory

uint32_t step_of(uint64_t spans, uint32_t factor) {
    uint32_t step = 0;
    for (uint64_t limit = kSmallestStepSpans; spans >= limit && step < 20; limit *= factor)
        ++step;
    return step;
}

using Group = std::vector<const SegmentFacts*>;

std::vector<uint64_t> ids_of(const Group& group) {
    std::vector<uint64_t> ids;
    for (const SegmentFacts* segment : group)
        ids.push_back(segment->id);
    return ids;
}

// The smallest first, as many as fit into one segment.
Group fitting(Group group, uint64_t spans_max) {
    std::sort(group.begin(), group.end(), [](const SegmentFacts* a, const SegmentFacts* b) {
        return std::tie(a->spans, a->id) < std::tie(b->spans, b->id);
    });
    Group chosen;
    uint64_t spans = 0;
    for (const SegmentFacts* segment : group) {
        if (spans + segment->spans > spans_max || chosen.size() == kMergeInputsMax) break;
        spans += segment->spans;
        chosen.push_back(segment);
    }
    return chosen;
}

}  // namespace

std::vector<uint64_t> choose_drops(std::vector<SegmentFacts> segments, const StoreOptions& options,
                                   uint64_t now_ns, const DiskSpace& space) {
    std::sort(segments.begin(), segments.end(), [](const SegmentFacts& a, const SegmentFacts& b) {
        return std::tie(a.arrival_ns_max, a.id) < std::tie(b.arrival_ns_max, b.id);
    });
    uint64_t bytes = 0;
    for (const SegmentFacts& segment : segments)
        bytes += segment.bytes;
    // What others use of the disk is not ours to make up for, but what we have and what is free is.
    const double share = std::clamp(options.disk_used_max, 0.0, 1.0);
    auto bytes_max = static_cast<uint64_t>(share * static_cast<double>(bytes + space.free_bytes));
    if (options.retention_bytes != 0) bytes_max = std::min(bytes_max, options.retention_bytes);
    std::vector<uint64_t> dropped;
    for (const SegmentFacts& segment : segments) {
        const uint64_t age_ns =
            now_ns > segment.arrival_ns_max ? now_ns - segment.arrival_ns_max : 0;
        const bool is_old = options.retention_ms != 0 && age_ns / 1'000'000 >= options.retention_ms;
        if (!is_old && bytes <= bytes_max) break;
        bytes -= segment.bytes;
        dropped.push_back(segment.id);
    }
    return dropped;
}

std::vector<uint64_t> choose_merge(std::vector<SegmentFacts> segments, const StoreOptions& options,
                                   uint64_t now_ns) {
    std::map<std::pair<std::string, uint64_t>, Group> partitions;
    for (const SegmentFacts& segment : segments)
        partitions[{segment.tenant, segment.hour}].push_back(&segment);
    const uint32_t factor = std::max<uint32_t>(options.merge_segments_min, 2);
    for (const auto& [key, group] : partitions) {
        const uint64_t over_ns = (key.second + 1) * kNsPerHour + kHourIsOverAfterNs;
        std::map<uint32_t, Group> steps;
        for (const SegmentFacts* segment : group)
            steps[step_of(segment->spans, factor)].push_back(segment);
        for (const auto& [step, same] : steps) {
            if (same.size() < factor) continue;
            const Group chosen = fitting(same, options.segment_spans_max);
            if (chosen.size() >= 2 && chosen.size() >= factor / 2) return ids_of(chosen);
        }
        if (now_ns < over_ns) continue;
        const Group chosen = fitting(group, options.segment_spans_max);
        if (chosen.size() >= 2) return ids_of(chosen);
    }
    return {};
}

}  // namespace spanloom::store

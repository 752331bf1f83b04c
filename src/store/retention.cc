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

// When nothing more comes into a segment's partition.
uint64_t over_ns(const SegmentFacts& segment) {
    const uint64_t hours = segment.kept ? 24 : 1;
    return (segment.hour + hours) * kNsPerHour + kHourIsOverAfterNs;
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

// Whether it pays to wait until what is merged is about as large as a segment may be.
bool grows_on(const Group& group, const StoreOptions& options) {
    constexpr size_t kTimes = 4;  // as many segments as are needed at least
    uint64_t spans = 0;
    for (const SegmentFacts* segment : group)
        spans += segment->spans;
    const uint64_t max = options.segment_spans_max;
    return group.size() < kTimes * std::max<size_t>(options.merge_segments_min, 2) &&
           spans >= max / 8 && spans < max / 4 * 3;
}

}  // namespace

SpaceLimits space_limits(const std::vector<SegmentFacts>& segments, const StoreOptions& options,
                         const Ageing& ageing, const DiskSpace& space) {
    uint64_t bytes = 0;
    for (const SegmentFacts& segment : segments)
        bytes += segment.bytes;
    SpaceLimits limits;
    // What others use of the disk is not ours to make up for, but what we have and what is free is.
    const double share = std::clamp(options.disk_used_max, 0.0, 1.0);
    limits.bytes_max = static_cast<uint64_t>(share * static_cast<double>(bytes + space.free_bytes));
    if (options.retention_bytes != 0)
        limits.bytes_max = std::min(limits.bytes_max, options.retention_bytes);
    if (ageing.recent_bytes_max != 0) limits.recent_bytes_max = ageing.recent_bytes_max;
    limits.rule_bytes_max = ageing.rule_bytes_max;
    return limits;
}

std::vector<uint64_t> choose_drops(std::vector<SegmentFacts> segments, const StoreOptions& options,
                                   uint64_t now_ns, const SpaceLimits& limits, bool can_thin) {
    std::sort(segments.begin(), segments.end(), [](const SegmentFacts& a, const SegmentFacts& b) {
        return std::tie(a.arrival_ns_max, a.id) < std::tie(b.arrival_ns_max, b.id);
    });
    std::vector<uint64_t> dropped;
    uint64_t bytes = 0;
    std::map<std::string, uint64_t> rule_bytes;
    const auto take = [&](const SegmentFacts& segment) {
        dropped.push_back(segment.id);
        bytes -= segment.bytes;
        if (segment.kept) rule_bytes[segment.kept->rule] -= segment.bytes;
    };
    // Drops what `is_too_much` says, oldest first.
    const auto pass = [&](const auto& is_too_much) {
        std::erase_if(segments, [&](const SegmentFacts& segment) {
            if (!is_too_much(segment)) return false;
            take(segment);
            return true;
        });
    };
    for (const SegmentFacts& segment : segments) {
        bytes += segment.bytes;
        if (segment.kept) rule_bytes[segment.kept->rule] += segment.bytes;
    }
    pass([&](const SegmentFacts& segment) {
        const bool has_own = segment.kept && segment.kept->for_ms != 0;
        const uint64_t for_ms = has_own ? segment.kept->for_ms : options.retention_ms;
        const uint64_t age_ns =
            now_ns > segment.arrival_ns_max ? now_ns - segment.arrival_ns_max : 0;
        return for_ms != 0 && age_ns / 1'000'000 >= for_ms;
    });
    pass([&](const SegmentFacts& segment) {
        if (!segment.kept) return false;
        const auto limit = limits.rule_bytes_max.find(segment.kept->rule);
        return limit != limits.rule_bytes_max.end() &&
               rule_bytes[segment.kept->rule] > limit->second;
    });
    if (can_thin) return dropped;
    pass([&](const SegmentFacts& segment) {
        const bool is_for_ever = segment.kept && segment.kept->for_ms == Keeping::kForEver;
        return bytes > limits.bytes_max && !is_for_ever;
    });
    return dropped;
}

std::vector<uint64_t> choose_thinning(const std::vector<SegmentFacts>& segments, uint64_t now_ns,
                                      const SpaceLimits& limits) {
    uint64_t bytes = 0;
    std::map<std::tuple<std::string, uint64_t, Keeping>, Group> partitions;
    for (const SegmentFacts& segment : segments) {
        bytes += segment.bytes;
        if (!segment.kept || segment.kept->for_ms == Keeping::kForEver ||
            segment.kept->halvings >= Keeping::kHalvingsMax)
            continue;
        partitions[{segment.tenant, segment.hour, *segment.kept}].push_back(&segment);
    }
    if (bytes <= limits.bytes_max) return {};
    const Group* chosen = nullptr;
    double oldest = -1;
    for (const auto& [key, group] : partitions) {
        const auto& [tenant, hour, kept] = key;
        const uint64_t age_ns = now_ns - std::min(now_ns, hour * kNsPerHour);
        const double age = static_cast<double>(age_ns) / static_cast<double>(1U << kept.halvings);
        if (age <= oldest) continue;
        oldest = age;
        chosen = &group;
    }
    return chosen == nullptr ? std::vector<uint64_t>() : ids_of(*chosen);
}

std::vector<uint64_t> choose_ageing(const std::vector<SegmentFacts>& segments, const Ageing& ageing,
                                    uint64_t now_ns, const SpaceLimits& limits) {
    uint64_t bytes = 0;
    uint64_t recent_bytes = 0;
    std::map<std::pair<uint64_t, std::string>, std::vector<const SegmentFacts*>> hours;
    for (const SegmentFacts& segment : segments) {
        bytes += segment.bytes;
        if (segment.kept) continue;
        recent_bytes += segment.bytes;
        if (now_ns >= over_ns(segment)) hours[{segment.hour, segment.tenant}].push_back(&segment);
    }
    // What is recent keeps half of the room: beyond it the oldest that was kept goes.
    const bool has_too_much = recent_bytes > limits.recent_bytes_max ||
                              (bytes > limits.bytes_max && recent_bytes > limits.bytes_max / 2);
    for (const auto& [hour, group] : hours) {
        uint64_t newest_ns = 0;
        for (const SegmentFacts* segment : group)
            newest_ns = std::max(newest_ns, segment->arrival_ns_max);
        const uint64_t age_ns = now_ns > newest_ns ? now_ns - newest_ns : 0;
        const bool is_old = ageing.recent_for_ms != 0 && age_ns / 1'000'000 >= ageing.recent_for_ms;
        if (is_old || has_too_much) return ids_of(group);
    }
    return {};
}

std::vector<uint64_t> choose_merge(std::vector<SegmentFacts> segments, const StoreOptions& options,
                                   uint64_t now_ns) {
    std::map<std::tuple<std::string, uint64_t, std::optional<Keeping>>, Group> partitions;
    for (const SegmentFacts& segment : segments)
        partitions[{segment.tenant, segment.hour, segment.kept}].push_back(&segment);
    const uint32_t factor = std::max<uint32_t>(options.merge_segments_min, 2);
    for (const auto& [key, group] : partitions) {
        std::map<uint32_t, Group> steps;
        for (const SegmentFacts* segment : group)
            steps[step_of(segment->spans, factor)].push_back(segment);
        for (const auto& [step, same] : steps) {
            if (same.size() < factor || grows_on(same, options)) continue;
            const Group chosen = fitting(same, options.segment_spans_max);
            if (chosen.size() >= 2 && chosen.size() >= factor / 2) return ids_of(chosen);
        }
        if (now_ns < over_ns(*group.front())) continue;
        const Group chosen = fitting(group, options.segment_spans_max);
        if (chosen.size() >= 2) return ids_of(chosen);
    }
    return {};
}

}  // namespace spanloom::store

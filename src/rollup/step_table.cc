#include "rollup/step_table.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "store/trace_summary.h"

namespace spanloom {
namespace {

double middle_s(uint32_t bucket) {
    const double lower = static_cast<double>(DurationHistogram::lower_bound_of(bucket));
    const double width = static_cast<double>(DurationHistogram::width_of(bucket));
    return (lower + (width - 1) / 2) / 1e9;
}

using WindowBuckets = std::vector<std::pair<uint32_t, double>>;

void add_buckets(const WindowBuckets& more, WindowBuckets& to) {
    WindowBuckets merged;
    merged.reserve(to.size() + more.size());
    auto left = to.begin();
    auto right = more.begin();
    while (left != to.end() || right != more.end()) {
        if (right == more.end() || (left != to.end() && left->first < right->first)) {
            merged.push_back(*left++);
        } else if (left == to.end() || right->first < left->first) {
            merged.push_back(*right++);
        } else {
            merged.emplace_back(left->first, left->second + right->second);
            ++left;
            ++right;
        }
    }
    to = std::move(merged);
}

double sum_s(const WindowBuckets& buckets) {
    double sum = 0;
    for (const auto& [bucket, count] : buckets)
        sum += count * middle_s(bucket);
    return sum;
}

// The part of a step that lies in (from, to].
double share_of(uint32_t step, uint64_t step_ns, uint64_t from_ns, uint64_t to_ns,
                uint64_t now_ns) {
    const uint64_t begin = step * step_ns;
    uint64_t end = begin + step_ns;
    if (now_ns > begin && now_ns < end) end = now_ns;
    const uint64_t first = std::max(begin, from_ns);
    const uint64_t last = std::min(end, to_ns);
    if (last <= first) return 0;
    return static_cast<double>(last - first) / static_cast<double>(end - begin);
}

}  // namespace

void WindowCounts::add(const WindowCounts& other) {
    spans += other.spans;
    errors += other.errors;
    duration_s += other.duration_s;
    bytes += other.bytes;
    errors_duration_s += other.errors_duration_s;
    errors_bytes += other.errors_bytes;
    add_buckets(other.buckets, buckets);
    add_buckets(other.error_buckets, error_buckets);
}

double WindowCounts::quantile_s(double q) const {
    double total = 0;
    for (const auto& [bucket, count] : buckets)
        total += count;
    if (total <= 0) return std::numeric_limits<double>::quiet_NaN();
    const double rank = std::clamp(q, 0.0, 1.0) * total;
    double seen = 0;
    for (const auto& [bucket, count] : buckets) {
        seen += count;
        if (seen >= rank) return middle_s(bucket);
    }
    return middle_s(buckets.back().first);
}

WindowCounts StepTable::Operation::window(uint64_t from_ns, uint64_t to_ns, uint64_t now_ns,
                                          bool with_durations, SpanWeights weights) const {
    WindowCounts sum;
    std::map<uint32_t, double> buckets;
    std::map<uint32_t, double> error_buckets;
    for (const auto& [step_s, of_length] : steps) {
        const uint64_t step_ns = step_s * kRollupSecondNs;
        for (auto at = of_length.lower_bound(static_cast<uint32_t>(from_ns / step_ns));
             at != of_length.end() && at->first * step_ns < to_ns; ++at) {
            double share = share_of(at->first, step_ns, from_ns, to_ns, now_ns);
            if (weights == SpanWeights::kAdjusted) share *= at->second.weight();
            sum.spans += share * static_cast<double>(at->second.spans);
            sum.errors += share * static_cast<double>(at->second.errors);
            sum.bytes += share * static_cast<double>(at->second.bytes);
            sum.errors_bytes += share * static_cast<double>(at->second.errors_bytes);
            if (!with_durations) continue;
            for (const auto& [bucket, count] : at->second.durations.buckets())
                buckets[bucket] += share * static_cast<double>(count);
            for (const auto& [bucket, count] : at->second.error_durations.buckets())
                error_buckets[bucket] += share * static_cast<double>(count);
        }
    }
    sum.buckets.assign(buckets.begin(), buckets.end());
    sum.error_buckets.assign(error_buckets.begin(), error_buckets.end());
    sum.duration_s = sum_s(sum.buckets);
    sum.errors_duration_s = sum_s(sum.error_buckets);
    return sum;
}

void StepTable::Step::add(const RollupCell& cell, bool is_error) {
    spans += cell.count;
    errors += cell.errors;
    weighted += cell.weighted;
    bytes += cell.bytes;
    if (is_error) errors_bytes += cell.bytes;
}

void StepTable::Step::add_durations(std::span<const BucketCount> of_spans, bool is_error) {
    durations.add(of_spans);
    if (is_error) error_durations.add(of_spans);
}

void StepTable::Step::add(const Step& more) {
    spans += more.spans;
    errors += more.errors;
    weighted += more.weighted;
    bytes += more.bytes;
    errors_bytes += more.errors_bytes;
    durations.add(more.durations);
    error_durations.add(more.error_durations);
}

void StepTable::Operation::add(const Operation& more) {
    for (const auto& [step_s, of_length] : more.steps) {
        for (const auto& [number, step] : of_length)
            steps[step_s][number].add(step);
    }
}

bool StepTable::Operation::has_errors() const {
    return std::any_of(steps.begin(), steps.end(), [](const auto& of_length) {
        return std::any_of(of_length.second.begin(), of_length.second.end(),
                           [](const auto& step) { return step.second.errors > 0; });
    });
}

uint64_t StepTable::Operation::spans() const {
    uint64_t spans = 0;
    for (const auto& [step_s, of_length] : steps) {
        for (const auto& [number, step] : of_length)
            spans += step.spans;
    }
    return spans;
}

void StepTable::add(const PackedRollup& section) {
    for (PackedGroups groups(section); groups.next();) {
        const auto cells = groups.cells();
        const bool is_in = std::any_of(cells.begin(), cells.end(), [&](const RollupCell& cell) {
            return section.overlaps(cell, range_);
        });
        if (is_in) add(section, groups);
    }
}

void StepTable::add(const PackedRollup& section, PackedGroups& group) {
    const RollupOperation& from = section.operations[group.operation()];
    const std::string& service = section.service_of(group.operation());
    const uint32_t step_s = std::max(section.step_s, step_s_);
    const uint32_t longer = step_s / section.step_s;
    Operation& operation = operations_[Key(service, from.name, from.kind)];
    operation.service = service;
    operation.name = from.name;
    operation.kind = from.kind;
    const auto to = [&](const RollupCell& cell) {
        if (!section.overlaps(cell, range_)) return static_cast<Step*>(nullptr);
        return step_of(operation, step_s, cell.step / longer);
    };
    for (const RollupCell& cell : group.cells()) {
        if (Step* const step = to(cell)) step->add(cell, from.is_error);
    }
    if (durations_ == Durations::kLeftOut) return;
    group.each_durations<Step*>(nullptr, to,
                                [&](Step* step, std::span<const BucketCount> durations) {
                                    step->add_durations(durations, from.is_error);
                                });
}

// Nullptr where there are too many.
StepTable::Step* StepTable::step_of(Operation& operation, uint32_t step_s, uint32_t number) {
    auto& of_length = operation.steps[step_s];
    const auto found = of_length.find(number);
    if (found != of_length.end()) return &found->second;
    if (steps_ >= kStepsMax) {
        reason_ = "more than " + std::to_string(kStepsMax) +
                  " steps of operations are in the range; narrow it to see all of it";
        return nullptr;
    }
    ++steps_;
    return &of_length[number];
}

void StepTable::add(const store::CountedParts& parts, RollupCache& cache) {
    for (const auto& file : parts.files) {
        const store::CountsFile& facts = file->file();
        if (!store::overlaps(facts.start_ns_min, facts.end_ns_max, range_)) continue;
        const auto operations = cache.operations(file, step_s_ > kMinuteStepS ? step_s_ : 0);
        if (operations) {
            add(**operations);
        } else {
            reason_ = operations.error().message;
        }
    }
    for (const auto& segment : parts.segments) {
        const store::SegmentInfo& info = segment->info();
        if (info.spans == 0 || info.start_ns_min >= range_.end_ns ||
            info.end_ns_max < range_.start_ns)
            continue;
        const auto section = cache.section(segment, std::min(step_s_, kMinuteStepS));
        if (section) {
            add(**section);
        } else {
            reason_ = section.error().message;
        }
    }
}

std::vector<const StepTable::Operation*> StepTable::operations() const {
    std::vector<const Operation*> found;
    found.reserve(operations_.size());
    for (const auto& [key, operation] : operations_) {
        if (!operation.empty()) found.push_back(&operation);
    }
    return found;
}

}  // namespace spanloom

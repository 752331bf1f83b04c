#include "rollup/minute_table.h"

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

// The part of so many minutes that lies in (from, to].
double share_of(uint32_t minute, uint32_t minutes, uint64_t from_ns, uint64_t to_ns,
                uint64_t now_ns) {
    const uint64_t begin = minute * kRollupMinuteNs;
    uint64_t end = begin + minutes * kRollupMinuteNs;
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
    std::vector<std::pair<uint32_t, double>> merged;
    merged.reserve(buckets.size() + other.buckets.size());
    auto left = buckets.begin();
    auto right = other.buckets.begin();
    while (left != buckets.end() || right != other.buckets.end()) {
        if (right == other.buckets.end() || (left != buckets.end() && left->first < right->first)) {
            merged.push_back(*left++);
        } else if (left == buckets.end() || right->first < left->first) {
            merged.push_back(*right++);
        } else {
            merged.emplace_back(left->first, left->second + right->second);
            ++left;
            ++right;
        }
    }
    buckets = std::move(merged);
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

WindowCounts MinuteTable::Operation::window(uint64_t from_ns, uint64_t to_ns, uint64_t now_ns,
                                            bool with_durations) const {
    WindowCounts sum;
    std::map<uint32_t, double> buckets;
    const auto add = [&](const std::map<uint32_t, Minute>& parts, uint32_t length) {
        const auto first = static_cast<uint32_t>(from_ns / kRollupMinuteNs);
        for (auto at = parts.lower_bound(first - std::min(first, length - 1)); at != parts.end();
             ++at) {
            if (at->first * kRollupMinuteNs >= to_ns) break;
            const double share = share_of(at->first, length, from_ns, to_ns, now_ns);
            sum.spans += share * static_cast<double>(at->second.spans);
            sum.errors += share * static_cast<double>(at->second.errors);
            if (!with_durations) continue;
            for (const auto& [bucket, count] : at->second.durations.buckets())
                buckets[bucket] += share * static_cast<double>(count);
        }
    };
    add(minutes, 1);
    add(hours, kRollupHourMinutes);
    sum.buckets.assign(buckets.begin(), buckets.end());
    for (const auto& [bucket, count] : sum.buckets)
        sum.duration_s += count * middle_s(bucket);
    return sum;
}

void MinuteTable::Minute::add(const RollupSection& section, const RollupCell& cell) {
    spans += cell.count;
    errors += cell.errors;
    section.add_durations(cell, durations);
}

bool MinuteTable::Operation::has_errors() const {
    const auto failed = [](const auto& part) { return part.second.errors > 0; };
    return std::any_of(minutes.begin(), minutes.end(), failed) ||
           std::any_of(hours.begin(), hours.end(), failed);
}

void MinuteTable::add(const RollupSection& section) {
    for (const RollupCell& cell : section.cells) {
        if (!section.overlaps(cell, range_)) continue;
        const RollupOperation& from = section.operations[cell.operation];
        const std::string& service = section.services[from.service];
        Operation& operation = operations_[Key(service, from.name, from.kind)];
        auto& parts = operation.parts_of(section);
        const auto found = parts.find(cell.minute);
        if (found == parts.end() && minutes_ >= kMinutesMax) {
            reason_ = "more than " + std::to_string(kMinutesMax) +
                      " minutes of operations are in the range; narrow it to see all of it";
            continue;
        }
        if (operation.service.empty() && operation.name.empty()) {
            operation.service = service;
            operation.name = from.name;
            operation.kind = from.kind;
        }
        if (found == parts.end()) ++minutes_;
        Minute& minute = parts[cell.minute];
        minute.add(section, cell);
    }
}

void MinuteTable::add(const store::CountedParts& parts, RollupCache& cache) {
    for (const auto& file : parts.files) {
        const store::CountsFile& facts = file->file();
        if (!store::overlaps(facts.start_ns_min, facts.end_ns_max, range_)) continue;
        const auto counts = cache.counts(file);
        if (counts) {
            add((*counts)->operations);
        } else {
            reason_ = counts.error().message;
        }
    }
    for (const auto& segment : parts.segments) {
        const store::SegmentInfo& info = segment->info();
        if (info.spans == 0 || info.start_ns_min >= range_.end_ns ||
            info.end_ns_max < range_.start_ns)
            continue;
        const auto section = cache.section(segment);
        if (section) {
            add(**section);
        } else {
            reason_ = section.error().message;
        }
    }
}

std::vector<const MinuteTable::Operation*> MinuteTable::operations() const {
    std::vector<const Operation*> found;
    found.reserve(operations_.size());
    for (const auto& [key, operation] : operations_) {
        if (!operation.empty()) found.push_back(&operation);
    }
    return found;
}

}  // namespace spanloom

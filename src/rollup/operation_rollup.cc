#include "rollup/operation_rollup.h"

#include <algorithm>

#include "store/segment_rollup.h"
#include "store/trace_summary.h"

namespace spanloom {
namespace {

bool is_entry(otlp::SpanKind kind) {
    return kind == otlp::SpanKind::kServer || kind == otlp::SpanKind::kConsumer;
}

uint64_t rounded_up(uint64_t value, uint64_t unit) {
    const uint64_t rest = value % unit;
    if (rest == 0) return value;
    return value > UINT64_MAX - unit ? value : value + unit - rest;
}

OperationCounts counts_of(const DurationHistogram& durations, uint64_t errors, double weighted) {
    OperationCounts counts;
    counts.spans = durations.count();
    counts.errors = errors;
    counts.weighted = weighted;
    counts.p50_ns = durations.quantile_ns(0.50);
    counts.p95_ns = durations.quantile_ns(0.95);
    counts.p99_ns = durations.quantile_ns(0.99);
    return counts;
}

}  // namespace

store::RollupFunction make_operation_rollup() {
    return [](const store::RollupRows& rows) { return encode_rollup(rows); };
}

Result<std::string> rollup_of(const store::Segment& segment, uint32_t step_s) {
    TRY_ASSIGN(const Blob counted, segment.rollup());
    if (step_s == kMinuteStepS) return std::string(counted.view());
    return store::count_rows(segment, counted, [step_s](const store::RollupRows& rows) {
        return encode_rollup(rows, step_s);
    });
}

// ---- cache

namespace {

Result<std::shared_ptr<const SpanCounts>> decode(const store::StoredCounts& file) {
    TRY_ASSIGN(const std::string bytes, file.read());
    TRY_ASSIGN(SpanCounts decoded, decode_span_counts(bytes));
    return std::make_shared<const SpanCounts>(std::move(decoded));
}

}  // namespace

std::shared_ptr<const SpanCounts> RollupCache::find(const std::shared_ptr<const void>& owner,
                                                    uint32_t step_s) {
    const std::lock_guard lock(mutex_);
    for (auto at = entries_.begin(); at != entries_.end();) {
        const auto held = at->owner.lock();
        if (held == nullptr) {
            bytes_ -= at->counts->memory_bytes();
            at = entries_.erase(at);
            continue;
        }
        if (held == owner && at->step_s == step_s) {
            entries_.splice(entries_.begin(), entries_, at);
            return entries_.front().counts;
        }
        ++at;
    }
    return nullptr;
}

void RollupCache::insert(const std::shared_ptr<const void>& owner, uint32_t step_s,
                         std::shared_ptr<const SpanCounts> counts) {
    const size_t size = counts->memory_bytes();
    if (size > bytes_max_) return;
    const std::lock_guard lock(mutex_);
    entries_.push_front({owner, step_s, std::move(counts)});
    bytes_ += size;
    while (bytes_ > bytes_max_) {
        bytes_ -= entries_.back().counts->memory_bytes();
        entries_.pop_back();
    }
}

Result<std::shared_ptr<const PackedRollup>> RollupCache::section(
    const std::shared_ptr<const store::Segment>& segment, uint32_t step_s) {
    std::shared_ptr<const SpanCounts> found = find(segment, step_s);
    if (found == nullptr) {
        TRY_ASSIGN(const std::string bytes, rollup_of(*segment, step_s));
        TRY_ASSIGN(PackedRollup section, decode_rollup(bytes, step_s));
        found = std::make_shared<const SpanCounts>(SpanCounts{std::move(section), {}});
        insert(segment, step_s, found);
    }
    return std::shared_ptr<const PackedRollup>(found, &found->operations);
}

Result<std::shared_ptr<const SpanCounts>> RollupCache::counts(
    const std::shared_ptr<const store::StoredCounts>& file) {
    std::shared_ptr<const SpanCounts> found = find(file, 0);
    if (found != nullptr) return found;
    TRY_ASSIGN(found, decode(*file));
    insert(file, 0, found);
    return found;
}

Result<std::shared_ptr<const PackedRollup>> RollupCache::operations(
    const std::shared_ptr<const store::StoredCounts>& file, uint32_t step_s) {
    const auto of = [](const std::shared_ptr<const SpanCounts>& counts) {
        return std::shared_ptr<const PackedRollup>(counts, &counts->operations);
    };
    if (const auto found = find(file, step_s)) return of(found);
    std::shared_ptr<const SpanCounts> whole = step_s == 0 ? nullptr : find(file, 0);
    const bool is_kept = whole != nullptr;
    if (!is_kept) {
        TRY_ASSIGN(whole, decode(*file));
    }
    const uint32_t own_step_s = whole->operations.step_s;
    if (own_step_s < step_s && step_s % own_step_s == 0) {
        const auto longer = std::make_shared<const SpanCounts>(
            SpanCounts{in_longer_steps(whole->operations, step_s), {}});
        insert(file, step_s, longer);
        return of(longer);
    }
    if (!is_kept) insert(file, 0, whole);
    return of(whole);
}

size_t RollupCache::bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
}

// ---- sums

OperationRollup::OperationRollup(store::TimeRange range, uint64_t step_ns) {
    first_ns_ = range.start_ns - range.start_ns % kRollupMinuteNs;
    end_ns_ = std::max(range.end_ns, range.start_ns);
    const uint64_t length = end_ns_ - first_ns_;
    step_ns_ = rounded_up(std::max(step_ns, kRollupMinuteNs), kRollupMinuteNs);
    const uint64_t least = rounded_up(length / kStepsMax + 1, kRollupMinuteNs);
    if (step_ns == 0 || step_ns_ < least) step_ns_ = least;
    if (range.end_ns == UINT64_MAX) step_ns_ = length;
    steps_ = static_cast<uint32_t>(length / step_ns_ + (length % step_ns_ != 0 ? 1 : 0));
    steps_ = std::max<uint32_t>(steps_, 1);
}

OperationRollup::Sums& OperationRollup::sums_of(const PackedRollup& section, uint32_t operation) {
    const RollupOperation& one = section.operations[operation];
    Key key{section.services[one.service], one.name, one.kind};
    const auto at = operations_.find(key);
    if (at != operations_.end()) return at->second;
    if (operations_.size() < kOperationsMax) return operations_[std::move(key)];
    // One on top of the limit, for all that is over.
    Sums& other = operations_[Key{kOtherOperation, kOtherOperation, otlp::SpanKind::kUnspecified}];
    other_ = &other;
    return other;
}

void OperationRollup::add(const PackedRollup& section) {
    const store::TimeRange range{first_ns_, end_ns_};
    Sums* sums = nullptr;
    uint32_t operation = UINT32_MAX;
    for (PackedGroups groups(section); groups.next();) {
        uint64_t spans = 0;
        for (const RollupCell& cell : groups.cells())
            if (section.overlaps(cell, range)) spans += cell.count;
        if (spans == 0) continue;
        if (sums == nullptr || groups.operation() != operation) {
            operation = groups.operation();
            sums = &sums_of(section, operation);
        }
        if (sums == other_) overflowed_ += spans;
        add(section, groups, *sums);
    }
}

void OperationRollup::add(const PackedRollup& section, PackedGroups& group, Sums& sums) const {
    StepSum* last = nullptr;
    uint32_t last_step = 0;
    const auto sum_of = [&](const RollupCell& cell) {
        if (!section.overlaps(cell, {first_ns_, end_ns_})) return static_cast<StepSum*>(nullptr);
        const uint64_t in_range_ns = std::max(section.begin_ns(cell), first_ns_);
        const auto step = static_cast<uint32_t>((in_range_ns - first_ns_) / step_ns_);
        if (last == nullptr || step != last_step) last = &sums[step];
        last_step = step;
        return last;
    };
    for (const RollupCell& cell : group.cells()) {
        StepSum* const sum = sum_of(cell);
        if (sum == nullptr) continue;
        sum->errors += cell.errors;
        sum->weighted += cell.weighted;
    }
    group.each_durations<StepSum*>(nullptr, sum_of,
                                   [](StepSum* sum, std::span<const BucketCount> durations) {
                                       sum->durations.add(durations);
                                   });
}

void OperationRollup::add(const store::CountedParts& parts, RollupCache& cache) {
    for (const auto& file : parts.files) {
        const store::CountsFile& facts = file->file();
        if (!store::overlaps(facts.start_ns_min, facts.end_ns_max, {first_ns_, end_ns_})) continue;
        const auto counts = cache.counts(file);
        if (counts) {
            add((*counts)->operations);
        } else if (reason_.empty()) {
            reason_ = counts.error().message;
        }
    }
    for (const auto& segment : parts.segments) {
        const store::SegmentInfo& info = segment->info();
        if (info.spans == 0 || info.start_ns_min >= end_ns_ || info.end_ns_max < first_ns_)
            continue;
        const auto section = cache.section(segment);
        if (section) {
            add(**section);
        } else if (reason_.empty()) {
            reason_ = section.error().message;
        }
    }
}

void OperationRollup::add_sum(const StepSum& from, StepSum& to) {
    to.errors += from.errors;
    to.weighted += from.weighted;
    to.durations.add(from.durations);
}

OperationSeries OperationRollup::series_of(std::string service, std::string name,
                                           otlp::SpanKind kind,
                                           const std::vector<const Sums*>& parts) const {
    OperationSeries series;
    series.service = std::move(service);
    series.name = std::move(name);
    series.kind = kind;
    series.steps.resize(steps_);
    Sums merged;
    StepSum all;
    for (const Sums* part : parts) {
        for (const auto& [step, sum] : *part) {
            add_sum(sum, merged[step]);
            add_sum(sum, all);
        }
    }
    for (const auto& [step, sum] : merged) {
        series.steps[step] = counts_of(sum.durations, sum.errors, sum.weighted);
    }
    series.total = counts_of(all.durations, all.errors, all.weighted);
    return series;
}

std::vector<OperationSeries> OperationRollup::services() const {
    std::vector<OperationSeries> out;
    for (auto at = operations_.begin(); at != operations_.end();) {
        const std::string& service = std::get<0>(at->first);
        std::vector<const Sums*> all;
        std::vector<const Sums*> entries;
        for (; at != operations_.end() && std::get<0>(at->first) == service; ++at) {
            all.push_back(&at->second);
            if (is_entry(std::get<2>(at->first))) entries.push_back(&at->second);
        }
        out.push_back(
            series_of(service, {}, otlp::SpanKind::kUnspecified, entries.empty() ? all : entries));
    }
    return out;
}

std::vector<OperationSeries> OperationRollup::operations(std::string_view service) const {
    std::vector<OperationSeries> out;
    auto at = operations_.lower_bound(Key{std::string(service), {}, otlp::SpanKind::kUnspecified});
    for (; at != operations_.end() && std::get<0>(at->first) == service; ++at) {
        const auto& [name, operation, kind] = at->first;
        out.push_back(series_of(name, operation, kind, {&at->second}));
    }
    return out;
}

}  // namespace spanloom

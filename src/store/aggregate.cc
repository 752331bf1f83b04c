#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "store/aggregate_table.h"
#include "store/row_weights.h"
#include "store/scan_segments.h"

namespace spanloom::store {
namespace {

// A bucket is the high bits of a double: sign, exponent, four bits of the fraction.
constexpr uint32_t kBucketShift = 48;
constexpr int32_t kBucketMax = 0x7ff0;

const Field kAllRows = {Scope::kAny, Intrinsic::kNone, {}};

struct Steps {
    uint64_t first_ns = 0;
    uint64_t step_ns = 0;
    uint32_t count = 1;
};

Result<Steps> steps_of(const AggregateRequest& request) {
    const TimeRange range = request.scope.range;
    if (request.step_ns == 0) return Steps{range.start_ns, 0, 1};
    Steps steps{range.start_ns - range.start_ns % request.step_ns, request.step_ns, 1};
    if (range.end_ns <= range.start_ns) return steps;
    const uint64_t count = (range.end_ns - 1 - steps.first_ns) / request.step_ns + 1;
    if (count > kAggregateStepsMax)
        return fail(ErrorCode::kInvalidArgument,
                    "the range has {} steps, at most {} are counted apart: take a longer step or a "
                    "shorter range",
                    count, kAggregateStepsMax);
    steps.count = static_cast<uint32_t>(count);
    return steps;
}

// What the segments have given so far. Under a lock.
class Totals {
  public:
    Totals(const AggregateRequest& request, const Steps& steps)
        : request_(request), steps_(steps), cells_(request, steps.count) {}

    Result<void> add(const GroupKeys& keys, CellTable& cells) {
        for (uint32_t group = 0; group < keys.count(); ++group) {
            if (group >= cells.groups()) break;
            std::vector<Value> key = keys.key(group);
            size_t bytes = 96;
            for (const Value& value : key)
                bytes += sizeof value + value.text.size();
            const auto [at, is_new] = groups_.try_emplace(std::move(key), 0);
            if (is_new) {
                key_bytes_ += bytes;
                at->second = cells_.add_group();
            }
            cells_.add(at->second, cells, group);
            if (groups_.size() > request_.groups_max)
                return fail(ErrorCode::kResourceExhausted,
                            "more than {} groups: group by fewer or coarser fields, or narrow the "
                            "conditions",
                            request_.groups_max);
        }
        return {};
    }
    size_t memory_bytes() const { return key_bytes_ + cells_.memory_bytes(); }

    AggregateAnswer answer() {
        AggregateAnswer out;
        out.first_step_ns = steps_.first_ns;
        out.step_ns = steps_.step_ns;
        out.steps = steps_.count;
        for (const auto& [key, number] : groups_) {
            AggregateGroup& group = out.groups.emplace_back();
            group.key = key;
            for (uint32_t step = 0; step < steps_.count; ++step)
                group.cells.push_back(cells_.answer(number, step));
        }
        return out;
    }

  private:
    const AggregateRequest& request_;
    const Steps& steps_;
    std::map<std::vector<Value>, uint32_t, KeyBefore> groups_;
    CellTable cells_;
    size_t key_bytes_ = 0;
};

// Aggregates one segment. One thread.
class SegmentAggregation {
  public:
    SegmentAggregation(SegmentScan& scan, const AggregateRequest& request, const Steps& steps)
        : scan_(scan),
          request_(request),
          steps_(steps),
          keys_(request.group_by.size()),
          cells_(request, steps.count),
          start_(scan.reader(), {Scope::kIntrinsic, Intrinsic::kStart, {}}) {
        for (const Field& field : request.group_by)
            key_fields_.emplace_back(scan.reader(), field);
        key_columns_.resize(key_fields_.size());
        for (const Aggregate& aggregate : request.aggregates)
            fields_.push_back(aggregate.field == kAllRows
                                  ? nullptr
                                  : std::make_unique<FieldColumn>(scan.reader(), aggregate.field));
    }

    Result<void> add_group() {
        const size_t rows = scan_.rows().size();
        for (size_t i = 0; i < key_fields_.size(); ++i)
            TRY(key_fields_[i].read(scan_.group(), scan_.rows(), key_columns_[i]));
        keys_.number(key_columns_, rows, groups_);
        while (cells_.groups() < keys_.count())
            cells_.add_group();
        TRY(find_cells(rows));
        TRY(count_rows(rows));
        for (size_t i = 0; i < request_.aggregates.size(); ++i)
            TRY(add_numbers(i, rows));
        return {};
    }
    size_t memory_bytes() const { return keys_.memory_bytes() + cells_.memory_bytes(); }
    GroupKeys& keys() { return keys_; }
    CellTable& cells() { return cells_; }

  private:
    Result<void> find_cells(size_t rows) {
        cell_of_.resize(rows);
        if (steps_.count == 1) {
            for (size_t row = 0; row < rows; ++row)
                cell_of_[row] = cells_.cell(groups_[row], 0);
            return {};
        }
        TRY(start_.read(scan_.group(), scan_.rows(), column_));
        // Neighbouring rows mostly fall into one step.
        uint64_t begin_ns = 1;
        uint32_t step = 0;
        for (size_t row = 0; row < rows; ++row) {
            const uint64_t start_ns = static_cast<uint64_t>(column_.cells[row]) - steps_.first_ns;
            if (start_ns - begin_ns >= steps_.step_ns) {
                step = static_cast<uint32_t>(
                    std::min<uint64_t>(start_ns / steps_.step_ns, steps_.count - 1));
                begin_ns = step * steps_.step_ns;
            }
            cell_of_[row] = cells_.cell(groups_[row], step);
        }
        return {};
    }

    Result<void> count_rows(size_t rows) {
        for (size_t row = 0; row < rows; ++row)
            ++cells_.sums(cell_of_[row]).rows;
        TRY_ASSIGN(const std::vector<double> weights, row_weights(scan_.reader(), scan_.group()));
        for (uint32_t row = 0; row < weights.size(); ++row) {
            const uint32_t place = scan_.rows().place_of(row);
            if (place == Selection::kNowhere) continue;
            cells_.sums(cell_of_[place]).extra_weight += weights[row] - 1;
        }
        return {};
    }

    Result<void> add_numbers(size_t index, size_t rows) {
        const Aggregate& aggregate = request_.aggregates[index];
        if (fields_[index] == nullptr) {
            for (size_t row = 0; row < rows; ++row)
                ++cells_.number(cell_of_[row], index).count;
            return {};
        }
        TRY(fields_[index]->read(scan_.group(), scan_.rows(), column_));
        for (size_t row = 0; row < rows; ++row) {
            const ValueKind kind = column_.kind_of(row);
            if (aggregate.kind == Aggregate::Kind::kCount) {
                if (kind != ValueKind::kNil) ++cells_.number(cell_of_[row], index).count;
                continue;
            }
            const bool is_number = kind == ValueKind::kInt || kind == ValueKind::kDouble ||
                                   kind == ValueKind::kDuration;
            if (!is_number) continue;
            const double value = column_.number(row);
            if (std::isnan(value)) continue;
            CellTable::add(aggregate.kind, {1, value}, cells_.number(cell_of_[row], index));
            if (aggregate.kind == Aggregate::Kind::kHistogram)
                cells_.histogram(cell_of_[row], index).add(histogram_bucket(value), 1);
        }
        return {};
    }

    SegmentScan& scan_;
    const AggregateRequest& request_;
    const Steps& steps_;
    GroupKeys keys_;
    CellTable cells_;
    FieldColumn start_;
    std::vector<FieldColumn> key_fields_;
    std::vector<ScanColumn> key_columns_;
    std::vector<std::unique_ptr<FieldColumn>> fields_;  // per aggregate; null: all rows
    std::vector<uint32_t> groups_;                      // per row
    std::vector<uint32_t> cell_of_;                     // per row
    ScanColumn column_;
};

class Aggregation {
  public:
    Aggregation(const AggregateRequest& request, const CompiledPredicate& predicate, Steps steps)
        : request_(request),
          predicate_(predicate),
          limits_(request.scope),
          steps_(steps),
          totals_(request, steps_) {}

    Result<AggregateAnswer> run(Segments segments) {
        const auto ordered = in_scan_order(segments);
        stats_.segments = static_cast<uint32_t>(ordered.size());
        share_out(request_.scope, ordered.size(), [&](size_t i) { run_segment(ordered[i]); });
        TRY(std::move(outcome_));
        AggregateAnswer answer = totals_.answer();
        answer.stats = stats_;
        return answer;
    }

  private:
    void note(const Error& error) {
        const std::lock_guard lock(mutex_);
        note_partial(stats_, error);
    }

    void run_segment(const std::shared_ptr<const Segment>& segment) {
        if (is_over_) return;
        SegmentScan scan(segment, predicate_, request_.scope.range, limits_.memory());
        const Result<bool> opened = scan.open();
        if (!opened) return note(opened.error());
        if (!*opened) {
            const std::lock_guard lock(mutex_);
            ++stats_.segments_skipped;
            return;
        }
        SegmentAggregation aggregation(scan, request_, steps_);
        while (!is_over_) {
            if (const auto reached = limits_.reached()) {
                note(*reached);
                is_over_ = true;
                break;
            }
            const Result<bool> has = scan.next();
            if (has && !*has) break;
            const Result<void> added =
                has ? aggregation.add_group() : Result<void>(tl::unexpected<Error>(has.error()));
            if (!added) note(added.error());
            if (aggregation.memory_bytes() > request_.memory_bytes_max) {
                is_over_ = true;
                return refuse_memory();
            }
        }
        const std::lock_guard lock(mutex_);
        stats_.scanned_spans += scan.scanned_spans();
        stats_.scanned_bytes += scan.reader().counts().bytes;
        Result<void> added = totals_.add(aggregation.keys(), aggregation.cells());
        if (added && totals_.memory_bytes() > request_.memory_bytes_max) added = over_memory();
        if (added) return;
        is_over_ = true;
        if (outcome_) outcome_ = std::move(added);
    }

    void refuse_memory() {
        const std::lock_guard lock(mutex_);
        if (outcome_) outcome_ = over_memory();
    }
    Result<void> over_memory() const {
        return fail(ErrorCode::kResourceExhausted,
                    "counting takes more than {} MiB: group by fewer fields, take longer steps, or "
                    "narrow the conditions",
                    request_.memory_bytes_max >> 20);
    }

    const AggregateRequest& request_;
    const CompiledPredicate& predicate_;
    ScanLimits limits_;
    Steps steps_;
    std::mutex mutex_;  // totals_, stats_, outcome_
    Totals totals_;
    ScanStats stats_;
    Result<void> outcome_;
    std::atomic<bool> is_over_ = false;
};

}  // namespace

// ---- histograms

int32_t histogram_bucket(double value) {
    const auto bucket =
        static_cast<int32_t>(std::bit_cast<uint64_t>(value) >> kBucketShift & 0x7fff);
    return value < 0 ? -bucket - 1 : bucket;
}

double histogram_bucket_begin(int32_t bucket) {
    const int32_t place = bucket < 0 ? -bucket - 1 : bucket;
    const auto size = std::bit_cast<double>(static_cast<uint64_t>(place) << kBucketShift);
    return bucket < 0 ? -size : size;
}

double histogram_bucket_end(int32_t bucket) {
    const int32_t place = bucket < 0 ? -bucket : bucket + 1;
    const auto size =
        std::bit_cast<double>(static_cast<uint64_t>(std::min(place, kBucketMax)) << kBucketShift);
    return bucket < 0 ? -size : size;
}

double histogram_quantile(std::span<const HistogramBucket> buckets, double q) {
    uint64_t all = 0;
    for (const HistogramBucket& bucket : buckets)
        all += bucket.count;
    if (all == 0) return 0;
    const double rank = std::clamp(q, 0.0, 1.0) * static_cast<double>(all);
    double before = 0;
    for (const HistogramBucket& bucket : buckets) {
        const auto count = static_cast<double>(bucket.count);
        if (before + count < rank) {
            before += count;
            continue;
        }
        const double low =
            std::min(histogram_bucket_begin(bucket.bucket), histogram_bucket_end(bucket.bucket));
        const double high =
            std::max(histogram_bucket_begin(bucket.bucket), histogram_bucket_end(bucket.bucket));
        // Half a rank off the bounds, so that a value is met in the middle of its own share.
        const double share = std::clamp((rank - before) / count, 0.5 / count, 1 - 0.5 / count);
        return std::isfinite(high) ? low + (high - low) * share : low;
    }
    return histogram_bucket_end(buckets.back().bucket);
}

Result<AggregateAnswer> aggregate(Segments segments, const AggregateRequest& request) {
    std::vector<Field> fields = request.group_by;
    for (const Aggregate& one : request.aggregates)
        fields.push_back(one.field);
    for (const Field& field : fields)
        if (field.scope == Scope::kIntrinsic &&
            (field.is_trace_level() || field.intrinsic == Intrinsic::kNone))
            return fail(ErrorCode::kInvalidArgument,
                        "a field of a whole trace cannot be counted from single spans");
    TRY_ASSIGN(const Steps steps, steps_of(request));
    TRY_ASSIGN(const CompiledPredicate predicate, CompiledPredicate::compile(request.scope.where));
    return Aggregation(request, predicate, steps).run(segments);
}

}  // namespace spanloom::store

#include "traceql/series.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "base/hash.h"
#include "store/values.h"
#include "traceql/arithmetic.h"
#include "traceql/names.h"
#include "traceql/printer.h"

namespace spanloom::traceql {
namespace {

using store::Value;
using store::ValueKind;

constexpr double kNoPoint = std::numeric_limits<double>::quiet_NaN();
// As many points as other systems draw at most.
constexpr size_t kIntervalsMax = 11'000;

// The exponent of the least power of two that is not below the value; INT_MIN for none.
int power_above(double value) {
    if (!(value > 0)) return std::numeric_limits<int>::min();
    int exponent = 0;
    const double fraction = std::frexp(value, &exponent);
    return fraction == 0.5 ? exponent - 1 : exponent;
}

bool has_points(const Series& series) {
    return std::any_of(series.values.begin(), series.values.end(),
                       [](double value) { return !std::isnan(value); });
}

double calculate(Operator op, double a, double b) {
    switch (op) {
        case Operator::kAdd:
            return a + b;
        case Operator::kSubtract:
            return a - b;
        case Operator::kMultiply:
            return a * b;
        default:
            return a / b;
    }
}

bool compares(Operator op, double a, double b) {
    return compare_values(op, Value::of_double(a), Value::of_double(b));
}

// Labels that tell groups apart: not the name of the metric.
std::string group_text(const Series& series) {
    std::vector<Label> labels;
    for (const Label& label : series.labels) {
        if (label.name != "__name__") labels.push_back(label);
    }
    return labels_text(labels);
}

}  // namespace

Result<Grid> Grid::of(store::TimeRange range, uint64_t step_ns) {
    if (range.end_ns <= range.start_ns)
        return fail(ErrorCode::kInvalidArgument,
                    "the range of a metrics query ends before it starts");
    if (range.end_ns - range.start_ns == UINT64_MAX)
        return fail(ErrorCode::kInvalidArgument, "a metrics query needs a start and an end");
    Grid grid;
    if (step_ns == 0) {
        grid.left_ns = range.start_ns;
        grid.step_ns = range.end_ns - range.start_ns;
        return grid;
    }
    const uint64_t first = range.start_ns / step_ns * step_ns;
    const uint64_t last = range.end_ns / step_ns + (range.end_ns % step_ns != 0 ? 1 : 0);
    const uint64_t count = last - first / step_ns + 1;
    if (count > kIntervalsMax || last > UINT64_MAX / step_ns)
        return fail(ErrorCode::kInvalidArgument,
                    "{} intervals are more than {}; choose a longer step or a shorter range", count,
                    kIntervalsMax);
    grid.left_ns = first >= step_ns ? first - step_ns : 0;
    grid.step_ns = step_ns;
    grid.intervals = first >= step_ns ? count : count - 1;
    return grid;
}

// ---- memory

bool MemoryAllowance::take(size_t bytes) {
    constexpr size_t kAtOnce = 64U << 10;
    if (bytes > left_) {
        // What is needed alone, where that is all there is.
        const size_t much = std::max(bytes - left_, kAtOnce);
        const size_t little = bytes - left_;
        const size_t got = share_.take(much) ? much : share_.take(little) ? little : 0;
        if (got == 0) {
            is_used_up_ = true;
            return false;
        }
        taken_ += got;
        left_ += got;
    }
    left_ -= bytes;
    return true;
}

// ---- counting

SeriesSet::SeriesSet(const Stage& stage, Grid grid, MemoryShare& memory)
    : stage_(stage),
      metric_(metric_of(stage.name)),
      grid_(grid),
      scale_(!stage.arguments.empty() && is_duration(stage.arguments[0]) ? 1e-9 : 1),
      memory_(memory) {}

bool SeriesSet::needs_value() const {
    return metric_ != Metric::kRate && metric_ != Metric::kCount;
}

// Something that was kept has become larger, or smaller.
void SeriesSet::recharge(size_t before, size_t after) {
    if (after > before) {
        (void)memory_.take(after - before);
    } else {
        memory_.give_back(before - after);
    }
}

uint32_t SeriesSet::series_of(std::span<const Value> group) {
    std::string key;
    for (const Value& value : group)
        append_key(key, value);
    const auto known = by_key_.find(key);
    if (known != by_key_.end()) return known->second;
    std::vector<Label> labels;
    for (size_t i = 0; i < group.size(); ++i) {
        const bool is_absent = group[i].kind == ValueKind::kNil;
        labels.push_back({print(stage_.by[i]), is_absent ? Value::of_string("nil") : group[i]});
    }
    return make_group(std::move(key), std::move(labels));
}

uint32_t SeriesSet::make_group(std::string key, std::vector<Label> labels) {
    const size_t cell = metric_ == Metric::kAverage ? 16 : 8;
    if (!memory_.take(key.size() * 3 + 256 + grid_.intervals * cell)) return kNone;
    const auto index = static_cast<uint32_t>(groups_.size());
    Group& made = groups_.emplace_back();
    made.labels = std::move(labels);
    const bool counts = metric_ == Metric::kRate || metric_ == Metric::kCount;
    if (metric_ == Metric::kQuantile) {
        made.sketches.resize(grid_.intervals);
    } else if (metric_ != Metric::kHistogram) {
        made.sums.assign(grid_.intervals, counts ? 0 : kNoPoint);
    }
    if (metric_ == Metric::kAverage) made.weights.assign(grid_.intervals, 0);
    made.key = &by_key_.emplace(std::move(key), index).first->first;
    return index;
}

void SeriesSet::add(SeriesSet&& other) {
    is_full_ = is_full_ || other.is_full();
    for (Group& theirs : other.groups_) {
        const auto known = by_key_.find(*theirs.key);
        const uint32_t index =
            known != by_key_.end() ? known->second : make_group(*theirs.key, theirs.labels);
        if (index != kNone) join(groups_[index], theirs);
    }
}

void SeriesSet::join(Group& group, Group& other) {
    const auto add_to = [](double sum, double value) {
        if (std::isnan(value)) return sum;
        return (std::isnan(sum) ? 0 : sum) + value;
    };
    for (size_t i = 0; i < group.sums.size(); ++i) {
        double& sum = group.sums[i];
        if (metric_ == Metric::kMin) {
            sum = std::fmin(sum, other.sums[i]);
        } else if (metric_ == Metric::kMax) {
            sum = std::fmax(sum, other.sums[i]);
        } else {
            sum = add_to(sum, other.sums[i]);
        }
    }
    for (size_t i = 0; i < group.weights.size(); ++i)
        group.weights[i] += other.weights[i];
    for (size_t i = 0; i < group.sketches.size(); ++i)
        join(group.sketches[i], other.sketches[i]);
    for (const auto& [power, counts] : other.buckets) {
        std::vector<double>& own = group.buckets[power];
        if (own.empty()) {
            if (!memory_.take(grid_.intervals * 8)) continue;
            own.assign(grid_.intervals, 0);
        }
        for (size_t i = 0; i < own.size(); ++i)
            own[i] += counts[i];
    }
    join_exemplars(group, other);
}

void SeriesSet::join_exemplars(Group& group, Group& other) {
    if (group.kept.empty()) {
        group.kept = std::move(other.kept);
        return;
    }
    for (size_t i = 0; i < other.kept.size(); ++i) {
        if (other.kept[i].hash < group.kept[i].hash) group.kept[i] = other.kept[i];
    }
}

void SeriesSet::join(std::unique_ptr<ValueSketch>& sketch, std::unique_ptr<ValueSketch>& other) {
    if (other == nullptr) return;
    if (sketch != nullptr) {
        const size_t before = sketch->memory_bytes();
        sketch->add(*other);
        recharge(before, sketch->memory_bytes());
        other.reset();
    } else if (memory_.take(sizeof(ValueSketch) + other->memory_bytes())) {
        sketch = std::move(other);
    }
}

bool SeriesSet::is_of_single_values(uint32_t series, size_t interval) const {
    if (!has_sketches()) return false;
    const auto& sketch = groups_[series].sketches[interval];
    return sketch == nullptr || sketch->is_exact();
}

void SeriesSet::add(uint32_t series, size_t interval, double value, double weight) {
    Group& group = groups_[series];
    switch (metric_) {
        case Metric::kRate:
        case Metric::kCount:
            group.sums[interval] += weight;
            return;
        case Metric::kAverage:
            group.weights[interval] += weight;
            [[fallthrough]];
        case Metric::kSum: {
            double& sum = group.sums[interval];
            sum = (std::isnan(sum) ? 0 : sum) + value * weight;
            return;
        }
        case Metric::kMin:
            group.sums[interval] = std::fmin(group.sums[interval], value);
            return;
        case Metric::kMax:
            group.sums[interval] = std::fmax(group.sums[interval], value);
            return;
        case Metric::kQuantile: {
            std::unique_ptr<ValueSketch>& sketch = group.sketches[interval];
            if (sketch == nullptr) {
                if (!memory_.take(sizeof(ValueSketch))) return;
                sketch = std::make_unique<ValueSketch>();
            }
            if (weight == 1 && sketch->add_in_place(value)) return;
            if (memory_.is_used_up()) return;
            const size_t before = sketch->memory_bytes();
            sketch->add(value, weight);
            recharge(before, sketch->memory_bytes());
            return;
        }
        case Metric::kHistogram: {
            std::vector<double>& counts = group.buckets[power_above(value)];
            if (counts.empty()) {
                if (!memory_.take(grid_.intervals * 8)) return;
                counts.assign(grid_.intervals, 0);
            }
            counts[interval] += weight;
            return;
        }
        case Metric::kCompare:
            return;
    }
}

// Of each stretch of time the span with the least hash, so that they are spread and always alike.
bool SeriesSet::wants_exemplar(uint32_t series, size_t interval, uint64_t hash) const {
    if (exemplars_max_ == 0) return false;
    const std::vector<Kept>& kept = groups_[series].kept;
    const size_t slots = std::min<size_t>(exemplars_max_, grid_.intervals);
    return kept.empty() || hash < kept[interval * slots / grid_.intervals].hash;
}

void SeriesSet::add_exemplar(uint32_t series, Exemplar exemplar) {
    std::vector<Kept>& kept = groups_[series].kept;
    const size_t slots = std::min<size_t>(exemplars_max_, grid_.intervals);
    if (kept.empty()) kept.resize(slots);
    const uint64_t hash = exemplar_hash(exemplar.trace_id, exemplar.span_id);
    exemplar.value *= needs_value() ? scale_ : 1e-9;
    Kept& slot = kept[grid_.index(exemplar.time_ns) * slots / grid_.intervals];
    if (hash < slot.hash) slot = {hash, std::move(exemplar)};
}

void SeriesSet::add_exemplars(SeriesSet&& other) {
    for (Group& theirs : other.groups_) {
        const auto known = by_key_.find(*theirs.key);
        if (known != by_key_.end()) join_exemplars(groups_[known->second], theirs);
    }
}

std::vector<double> SeriesSet::values_of(const Group& group) const {
    std::vector<double> values = group.sums;
    const double seconds = static_cast<double>(grid_.step_ns) * 1e-9;
    for (size_t i = 0; i < values.size(); ++i) {
        if (metric_ == Metric::kRate) values[i] /= seconds;
        if (metric_ == Metric::kAverage) values[i] /= group.weights[i];
        if (needs_value()) values[i] *= scale_;
    }
    return values;
}

void SeriesSet::finish_group(const Group& group, std::vector<Series>& out) const {
    const size_t first = out.size();
    const auto add = [&](std::vector<double> values, std::optional<Label> label) {
        Series& series = out.emplace_back();
        series.labels = group.labels;
        if (label) series.labels.push_back(std::move(*label));
        series.values = std::move(values);
    };
    if (metric_ == Metric::kQuantile) {
        std::vector<double> shares;
        for (size_t i = 1; i < stage_.arguments.size(); ++i)
            shares.push_back(stage_.arguments[i].literal.as_number());
        std::vector<std::vector<double>> values(shares.size());
        for (std::vector<double>& of_share : values)
            of_share.assign(grid_.intervals, kNoPoint);
        for (size_t at = 0; at < group.sketches.size(); ++at) {
            if (group.sketches[at] == nullptr) continue;
            const std::vector<double> found = group.sketches[at]->quantiles(shares);
            for (size_t i = 0; i < shares.size(); ++i)
                values[i][at] = found[i] * scale_;
        }
        for (size_t i = 0; i < shares.size(); ++i)
            add(std::move(values[i]), Label{"p", Value::of_double(shares[i])});
    } else if (metric_ == Metric::kHistogram) {
        for (const auto& [power, counts] : group.buckets) {
            const double bound =
                power == std::numeric_limits<int>::min() ? 0 : std::ldexp(1.0, power) * scale_;
            add(counts, Label{"__bucket", Value::of_double(bound)});
        }
    } else if (stage_.by.empty()) {
        add(values_of(group), Label{"__name__", Value::of_string(stage_.name)});
    } else {
        add(values_of(group), std::nullopt);
    }
    if (out.size() == first) return;
    for (const Kept& kept : group.kept) {
        if (kept.hash == UINT64_MAX) continue;
        Exemplar exemplar = kept.exemplar;
        exemplar.labels = out[first].labels;
        out[first].exemplars.push_back(std::move(exemplar));
    }
}

std::vector<Series> SeriesSet::finish(const Sharing& share) const {
    std::vector<std::vector<Series>> finished(groups_.size());
    share(groups_.size(), [&](size_t i) { finish_group(groups_[i], finished[i]); });
    std::vector<Series> out;
    for (std::vector<Series>& of_group : finished) {
        for (Series& one : of_group)
            out.push_back(std::move(one));
    }
    std::erase_if(out, [](const Series& series) { return !has_points(series); });
    std::vector<std::pair<std::string, size_t>> order;
    for (size_t i = 0; i < out.size(); ++i)
        order.emplace_back(labels_text(out[i].labels), i);
    std::sort(order.begin(), order.end());
    std::vector<Series> sorted;
    for (const auto& [text, index] : order)
        sorted.push_back(std::move(out[index]));
    return sorted;
}

bool is_duration(const Expression& expression) {
    switch (expression.kind) {
        case Expression::Kind::kLiteral:
            return expression.literal.kind == ValueKind::kDuration;
        case Expression::Kind::kField:
            return expression.field.intrinsic == store::Intrinsic::kDuration ||
                   expression.field.intrinsic == store::Intrinsic::kTraceDuration ||
                   expression.field.intrinsic == store::Intrinsic::kEventTimeSinceStart;
        case Expression::Kind::kUnary:
            return is_duration(expression.operands[0]);
        case Expression::Kind::kBinary:
            break;
        default:
            return false;
    }
    const bool left = is_duration(expression.operands[0]);
    const bool right = is_duration(expression.operands[1]);
    switch (expression.op) {
        case Operator::kDivide:
            return left && !right;
        case Operator::kMultiply:
            return left != right;
        default:
            return left || right;
    }
}

uint64_t exemplar_hash(const TraceId& trace_id, const SpanId& span_id) {
    std::string bytes(reinterpret_cast<const char*>(trace_id.bytes.data()), trace_id.bytes.size());
    bytes.append(reinterpret_cast<const char*>(span_id.bytes.data()), span_id.bytes.size());
    return hash64(bytes);
}

std::string labels_text(const std::vector<Label>& labels) {
    std::string out;
    for (const Label& label : labels) {
        if (!out.empty()) out += ", ";
        out += label.name + "=" + print(label.value);
    }
    return out;
}

void append_key(std::string& key, const Value& value) {
    key += static_cast<char>(value.kind);
    const auto append = [&](const void* bytes, size_t size) {
        key.append(static_cast<const char*>(bytes), size);
    };
    if (value.kind == ValueKind::kString || value.kind == ValueKind::kOther) {
        const size_t size = value.text.size();
        append(&size, sizeof size);
        key += value.text;
    } else if (value.kind == ValueKind::kDouble) {
        append(&value.number, sizeof value.number);
    } else {
        append(&value.integer, sizeof value.integer);
    }
}

// ---- behind a metric

void apply_second(const Stage& stage, std::vector<Series>& series) {
    if (series.empty()) return;
    if (stage.kind == Stage::Kind::kPointFilter) {
        double bound = stage.bound->literal.as_number();
        if (stage.bound->literal.kind == ValueKind::kDuration) bound *= 1e-9;
        for (Series& one : series) {
            for (double& value : one.values) {
                if (!compares(stage.op, value, bound)) value = kNoPoint;
            }
        }
    } else {
        const auto count =
            static_cast<size_t>(std::min<int64_t>(stage.arguments[0].literal.integer, 1'000'000));
        const bool wants_least = stage.name == "bottomk";
        std::vector<size_t> order;
        for (size_t at = 0; at < series[0].values.size(); ++at) {
            order.clear();
            for (size_t i = 0; i < series.size(); ++i) {
                if (!std::isnan(series[i].values[at])) order.push_back(i);
            }
            std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
                const double left = series[a].values[at];
                const double right = series[b].values[at];
                return wants_least ? left < right : left > right;
            });
            for (size_t i = count; i < order.size(); ++i)
                series[order[i]].values[at] = kNoPoint;
        }
    }
    std::erase_if(series, [](const Series& one) { return !has_points(one); });
}

std::vector<Series> join_series(Operator op, std::vector<Series> left, std::vector<Series> right) {
    const auto is_single = [](const std::vector<Series>& side) {
        return side.size() == 1 && group_text(side[0]).empty();
    };
    std::vector<Series> out;
    const auto join = [&](const Series& a, const Series& b, const Series& named) {
        Series joined;
        joined.labels = named.labels;
        for (size_t i = 0; i < a.values.size(); ++i)
            joined.values.push_back(calculate(op, a.values[i], b.values[i]));
        joined.exemplars = named.exemplars;
        if (has_points(joined)) out.push_back(std::move(joined));
    };
    if (is_single(right)) {
        for (const Series& one : left)
            join(one, right[0], one);
        return out;
    }
    if (is_single(left)) {
        for (const Series& one : right)
            join(left[0], one, one);
        return out;
    }
    std::map<std::string, const Series*> by_group;
    for (const Series& one : right)
        by_group.emplace(group_text(one), &one);
    for (const Series& one : left) {
        const auto other = by_group.find(group_text(one));
        if (other != by_group.end()) join(one, *other->second, one);
    }
    return out;
}

void join_scalar(Operator op, double scalar, bool scalar_is_left, std::vector<Series>& series) {
    for (Series& one : series) {
        for (double& value : one.values)
            value = scalar_is_left ? calculate(op, scalar, value) : calculate(op, value, scalar);
    }
    std::erase_if(series, [](const Series& one) { return !has_points(one); });
}

}  // namespace spanloom::traceql

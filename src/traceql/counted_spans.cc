#include "traceql/counted_spans.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "rollup/longer_steps.h"
#include "store/scan_segments.h"
#include "store/trace_summary.h"
#include "traceql/conditions.h"
#include "traceql/printer.h"

namespace spanloom::traceql {
namespace {

using store::Field;
using store::Intrinsic;
using store::Scope;
using store::Value;
using store::ValueKind;

bool is_intrinsic(const Field& field, Intrinsic which) {
    return field.scope == Scope::kIntrinsic && field.intrinsic == which;
}

bool is_service(const Field& field) {
    return field.scope == Scope::kResource && field.key == "service.name";
}

bool is_plain_field(const Expression& expression) {
    return expression.kind == Expression::Kind::kField && !expression.is_parent;
}

bool is_status(const Expression& expression) {
    return is_plain_field(expression) && is_intrinsic(expression.field, Intrinsic::kStatus);
}

// What spans are counted by.
bool is_counted_by(const Expression& expression) {
    if (!is_plain_field(expression)) return false;
    const Field& field = expression.field;
    return is_service(field) || is_intrinsic(field, Intrinsic::kName) ||
           is_intrinsic(field, Intrinsic::kKind);
}

std::string not_counted_by(const Expression& expression) {
    return fmt::format("they are not by {}", print(expression));
}

constexpr const char* kOkIsUnset = "they do not tell the status ok from unset";

std::string refuse_comparison(const Expression& comparison) {
    const Expression* field = &comparison.operands[0];
    const Expression* constant = &comparison.operands[1];
    if (field->kind == Expression::Kind::kLiteral) std::swap(field, constant);
    if (constant->kind != Expression::Kind::kLiteral) return not_counted_by(comparison);
    if (is_counted_by(*field)) return {};
    if (!is_status(*field)) return not_counted_by(*field);
    return constant->literal == Value::of_status(otlp::StatusCode::kError) ? "" : kOkIsUnset;
}

std::string refuse_filter(const Expression& condition) {
    if (condition.kind == Expression::Kind::kLiteral) return {};
    if (is_comparison(condition.op)) return refuse_comparison(condition);
    const bool is_logic = condition.op == Operator::kAnd || condition.op == Operator::kOr ||
                          condition.op == Operator::kNot;
    if (!is_logic) return not_counted_by(condition);
    for (const Expression& operand : condition.operands) {
        std::string reason = refuse_filter(operand);
        if (!reason.empty()) return reason;
    }
    return {};
}

bool names(const Expression& expression, const std::function<bool(const Field&)>& is_it) {
    if (is_plain_field(expression) && is_it(expression.field)) return true;
    return std::any_of(expression.operands.begin(), expression.operands.end(),
                       [&](const Expression& operand) { return names(operand, is_it); });
}

// Whether filters or groups speak of such a field.
bool names(std::span<const Stage> choosing, const Stage& metric,
           const std::function<bool(const Field&)>& is_it) {
    const auto in_filter = [&](const Stage& stage) {
        return stage.spanset.filter && names(*stage.spanset.filter, is_it);
    };
    const auto in_group = [&](const Expression& by) { return names(by, is_it); };
    return std::any_of(choosing.begin(), choosing.end(), in_filter) ||
           std::any_of(metric.by.begin(), metric.by.end(), in_group);
}

bool has_durations(const Stage& metric) {
    return !metric.arguments.empty();
}

// Of a bucket's durations the one in the middle.
double middle_ns(uint32_t bucket) {
    const double lower = static_cast<double>(DurationHistogram::lower_bound_of(bucket));
    return lower + static_cast<double>(DurationHistogram::width_of(bucket) - 1) / 2;
}

// Operations as if each were a span, and then each as if it were a failed one. One thread.
class OperationRows final : public TraceRows {
  public:
    explicit OperationRows(const RollupFacts& section)
        : section_(section), parents_(section.operations.size() * 2, kRoot) {}

    uint32_t failed(uint32_t operation) const {
        return operation + static_cast<uint32_t>(section_.operations.size());
    }

    uint32_t size() const override { return static_cast<uint32_t>(parents_.size()); }
    std::span<const int32_t> parents() override { return parents_; }
    uint64_t start_ns(uint32_t) const override { return 0; }
    uint64_t end_ns(uint32_t) const override { return 0; }
    SpanId span_id(uint32_t) const override { return {}; }
    uint32_t children(store::Table, uint32_t) override { return 0; }
    double weight(uint32_t) override { return 1; }
    Value value(const Field& field, const Place& place) override {
        const size_t count = section_.operations.size();
        const RollupOperation& operation = section_.operations[place.row % count];
        if (is_service(field)) {
            const std::string& service = section_.services[operation.service];
            return service.empty() ? Value::nil() : Value::of_string(service);
        }
        if (is_intrinsic(field, Intrinsic::kName)) return Value::of_string(operation.name);
        if (is_intrinsic(field, Intrinsic::kKind)) return Value::of_kind(operation.kind);
        if (is_intrinsic(field, Intrinsic::kStatus))
            return Value::of_status(place.row < count ? otlp::StatusCode::kUnset
                                                      : otlp::StatusCode::kError);
        return Value::nil();
    }

  private:
    const RollupFacts& section_;
    std::vector<int32_t> parents_;
};

// Adds the cells of one section to series.
class SectionCounter {
  public:
    SectionCounter(const RollupFacts& section, std::span<const Stage> choosing, const Stage& metric,
                   const Grid& grid, bool is_weighted, SeriesSet& to)
        : section_(section),
          choosing_(choosing),
          metric_(metric),
          grid_(grid),
          is_weighted_(is_weighted),
          to_(to),
          rows_(section),
          series_(rows_.size(), kUnknown) {
        conditions_.use(rows_);
    }

    void add(PackedGroups& group) {
        const uint32_t operation = group.operation();
        const bool is_failed = section_.operations[operation].is_error;
        if (has_durations(metric_)) {
            // Of failed spans among others durations are not known apart: refuse() saw to it that
            // nobody asks.
            add_durations(group, is_failed ? rows_.failed(operation) : operation);
            return;
        }
        for (const RollupCell& cell : group.cells()) {
            const uint64_t failed = is_failed ? cell.count : std::min(cell.errors, cell.count);
            add(rows_.failed(operation), cell, failed);
            add(operation, cell, cell.count - failed);
        }
    }
    uint64_t spans() const { return spans_; }
    double weight_max() const { return weight_max_; }

  private:
    static constexpr uint32_t kUnknown = SeriesSet::kNone - 1;
    static constexpr uint32_t kLeftOut = SeriesSet::kNone;

    uint32_t series_of(uint32_t row) {
        uint32_t& series = series_[row];
        if (series != kUnknown) return series;
        series = kLeftOut;
        for (const Stage& stage : choosing_) {
            if (stage.spanset.filter && !conditions_.holds(*stage.spanset.filter, row))
                return series;
        }
        std::vector<Value> group;
        for (const Expression& by : metric_.by)
            group.push_back(conditions_.value(by, row));
        series = to_.series_of(group);
        return series;
    }

    // Where all of a cell goes.
    struct Place {
        size_t interval = 0;
        double weight = 1;
        bool operator==(const Place&) const = default;
    };

    double weight_of(const RollupCell& cell) const {
        return is_weighted_ ? cell.weighted / static_cast<double>(cell.count) : 1;
    }
    uint64_t end_ns(const RollupCell& cell) const {
        return section_.begin_ns(cell) + section_.step_s * kRollupSecondNs;
    }

    std::optional<Place> place_of(const RollupCell& cell) const {
        const uint64_t begin_ns = section_.begin_ns(cell);
        if (begin_ns < grid_.left_ns || end_ns(cell) > grid_.right_ns()) return std::nullopt;
        const size_t interval = grid_.index(end_ns(cell));
        if (interval != grid_.index(begin_ns + 1)) return std::nullopt;
        return Place{interval, weight_of(cell)};
    }

    // Calls visit(interval, share) with each that the cell lies in.
    template <typename Visit>
    void each_interval(const RollupCell& cell, const Visit& visit) const {
        const uint64_t begin_ns = section_.begin_ns(cell);
        const uint64_t first_ns = std::max(begin_ns, grid_.left_ns);
        const uint64_t last_ns = std::min(end_ns(cell), grid_.right_ns());
        if (first_ns >= last_ns) return;
        // Counts of a step are of a moment behind its beginning to its end, as intervals are.
        const size_t end = grid_.index(last_ns);
        for (size_t at = grid_.index(first_ns + 1); at <= end; ++at) {
            const uint64_t left_ns = grid_.left_ns + at * grid_.step_ns;
            const uint64_t from_ns = std::max(first_ns, left_ns);
            const uint64_t to_ns = std::min(last_ns, left_ns + grid_.step_ns);
            visit(at, static_cast<double>(to_ns - from_ns) /
                          static_cast<double>(end_ns(cell) - begin_ns));
        }
    }

    // The series of so many spans of the cell; kLeftOut where they are of none.
    uint32_t series_of(uint32_t row, const RollupCell& cell, uint64_t count) {
        const bool is_outside =
            end_ns(cell) <= grid_.left_ns || section_.begin_ns(cell) >= grid_.right_ns();
        if (count == 0 || is_outside) return kLeftOut;
        const uint32_t series = series_of(row);
        if (series == kLeftOut) return series;
        spans_ += count;
        weight_max_ = std::max(weight_max_, cell.weighted / static_cast<double>(cell.count));
        return series;
    }

    void add(uint32_t row, const RollupCell& cell, uint64_t count) {
        const uint32_t series = series_of(row, cell, count);
        if (series == kLeftOut) return;
        const double spans = static_cast<double>(count);
        each_interval(cell, [&](size_t interval, double share) {
            to_.add(series, interval, 0, spans * (weight_of(cell) * share));
        });
    }

    // What all goes to one place is added together, but where it matters how many values come.
    void add_durations(PackedGroups& group, uint32_t row) {
        uint32_t series = kLeftOut;
        const std::optional<Place> first = place_of(group.cells().front());
        bool is_together = first.has_value();
        for (const RollupCell& cell : group.cells()) {
            const uint32_t found = series_of(row, cell, cell.count);
            if (found != kLeftOut) series = found;
            is_together = is_together && place_of(cell) == first;
        }
        if (series == kLeftOut) return;
        const size_t cells = group.cells().size();
        size_t next = 0;
        for (; next < cells; ++next) {
            if (is_together && !to_.is_of_single_values(series, first->interval)) break;
            const RollupCell& cell = group.cells()[next];
            const auto durations = group.durations_of(next);
            each_interval(cell, [&](size_t interval, double share) {
                add_durations(series, {interval, weight_of(cell) * share}, durations);
            });
        }
        if (next < cells) add_durations(series, *first, group.durations_from(next));
    }

    void add_durations(uint32_t series, const Place& to, std::span<const BucketCount> durations) {
        for (const auto& [bucket, count] : durations)
            to_.add(series, to.interval, middle_ns(bucket), static_cast<double>(count) * to.weight);
    }

    const RollupFacts& section_;
    std::span<const Stage> choosing_;
    const Stage& metric_;
    const Grid& grid_;
    const bool is_weighted_;
    SeriesSet& to_;
    OperationRows rows_;
    Conditions conditions_;
    std::vector<uint32_t> series_;  // by row
    uint64_t spans_ = 0;
    double weight_max_ = 1;
};

void collect_pipelines(const MetricsExpression& expression,
                       std::vector<const std::vector<Stage>*>& out) {
    if (expression.kind == MetricsExpression::Kind::kPipeline) out.push_back(&expression.stages);
    for (const MetricsExpression& operand : expression.operands)
        collect_pipelines(operand, out);
}

// Why some part of the query cannot be answered by counts; empty: all can.
std::string refusal(
    const Query& query,
    const std::function<std::string(std::span<const Stage>, const Stage&)>& refuse) {
    std::vector<const std::vector<Stage>*> parts;
    if (query.arithmetic) {
        collect_pipelines(*query.arithmetic, parts);
    } else {
        parts.push_back(&query.stages);
    }
    for (const std::vector<Stage>* stages : parts) {
        const size_t metric = metric_in(*stages);
        std::string reason =
            refuse(std::span<const Stage>(*stages).first(metric), (*stages)[metric]);
        if (!reason.empty()) return reason;
    }
    return {};
}

}  // namespace

size_t metric_in(const std::vector<Stage>& stages) {
    size_t metric = 0;
    while (stages[metric].kind != Stage::Kind::kFunction ||
           (stages[metric].function != FunctionKind::kMetric &&
            stages[metric].function != FunctionKind::kCompare))
        ++metric;
    return metric;
}

std::string refuse_counts(std::span<const Stage> choosing, const Stage& metric) {
    if (metric.function != FunctionKind::kMetric) return "compare() is not about them";
    for (const Stage& stage : choosing) {
        if (stage.kind != Stage::Kind::kSpanset || stage.spanset.kind != Spanset::Kind::kFilter)
            return "they know single spans, not traces";
        if (!stage.spanset.filter) continue;
        std::string reason = refuse_filter(*stage.spanset.filter);
        if (!reason.empty()) return reason;
    }
    if (has_durations(metric)) {
        const Expression& value = metric.arguments[0];
        if (!is_plain_field(value) || !is_intrinsic(value.field, Intrinsic::kDuration))
            return fmt::format("they have nothing of {}", print(value));
    }
    for (const Expression& by : metric.by) {
        if (is_status(by)) return kOkIsUnset;
        if (!is_counted_by(by)) return not_counted_by(by);
    }
    return {};
}

static uint32_t longest_step_s(const Grid& grid) {
    for (const uint32_t step_s : kLongerStepsS) {
        const uint64_t step_ns = step_s * kRollupSecondNs;
        if (grid.left_ns % step_ns == 0 && grid.step_ns % step_ns == 0) return step_s;
    }
    return 0;
}

CountedSpans::CountedSpans(const store::CountedParts& parts, const Grid& grid, RollupCache& cache)
    : grid_(grid), asked_step_s_(longest_step_s(grid)), cache_(&cache) {
    const store::TimeRange range{grid.left_ns + 1, grid.right_ns() + 1};
    for (const auto& file : parts.files) {
        const store::CountsFile& facts = file->file();
        known_from_ns_ = std::min(known_from_ns_, facts.start_ns_min);
        if (store::overlaps(facts.start_ns_min, facts.end_ns_max, range))
            files_.push_back({file, nullptr});
    }
    for (const auto& segment : parts.others) {
        const store::SegmentInfo& info = segment->info();
        if (!store::overlaps(info.start_ns_min, info.end_ns_max, range)) continue;
        has_kept_ = true;
        kept_from_ns_ = std::min(kept_from_ns_, info.start_ns_min);
    }
}

bool CountedSpans::is_split(uint64_t begin_ns, uint64_t end_ns) const {
    if (end_ns <= grid_.left_ns || begin_ns >= grid_.right_ns()) return false;
    return begin_ns < grid_.left_ns || end_ns > grid_.right_ns() ||
           grid_.index(begin_ns + 1) != grid_.index(end_ns);
}

Result<std::shared_ptr<const PackedRollup>> CountedSpans::read(const File& file) const {
    if (file.operations != nullptr) return file.operations;
    return cache_->operations(file.file, asked_step_s_);
}

Result<void> CountedSpans::open(const store::ScanScope& scope) {
    // What a long range has may be more than any query may hold: the rest is decoded once more.
    constexpr size_t kHeldBytesMax = 64U << 20;
    constexpr size_t kAtOnce = 8;
    size_t held = 0;
    for (size_t first = 0; first < files_.size(); first += kAtOnce) {
        const std::span<File> files(&files_[first], std::min(kAtOnce, files_.size() - first));
        std::vector<Result<std::shared_ptr<const PackedRollup>>> found(files.size());
        store::share_out(scope, files.size(), [&](size_t i) { found[i] = read(files[i]); });
        for (size_t i = 0; i < files.size(); ++i) {
            TRY_ASSIGN(const auto operations, std::move(found[i]));
            look_into(*operations);
            held += operations->memory_bytes();
            if (held <= kHeldBytesMax) files[i].operations = operations;
        }
    }
    return {};
}

void CountedSpans::look_into(const PackedRollup& section) {
    step_s_ = std::max(step_s_, section.step_s);
    detail_.merged_bits = std::max(detail_.merged_bits, section.detail.merged_bits);
    detail_.steps = std::max(detail_.steps, section.detail.steps);
    for (const RollupOperation& operation : section.operations)
        has_other_ = has_other_ || operation.name == kOtherOperation;
    for (PackedGroups groups(section); groups.next();) {
        const bool is_failed = section.operations[groups.operation()].is_error;
        for (const RollupCell& cell : groups.cells()) {
            const uint64_t begin_ns = section.begin_ns(cell);
            has_split_ =
                has_split_ || is_split(begin_ns, begin_ns + section.step_s * kRollupSecondNs);
            has_unnamed_failures_ = has_unnamed_failures_ || (cell.errors > 0 && !is_failed);
        }
    }
}

std::string CountedSpans::refuse(std::span<const Stage> choosing, const Stage& metric) const {
    const uint64_t step_ns = step_s_ * kRollupSecondNs;
    if (grid_.step_ns < step_ns)
        return fmt::format("they are by {}: ask for steps of at least as much",
                           format_duration_ns(static_cast<int64_t>(step_ns)));
    if (kept_from_ns_ < known_from_ns_) return "they do not reach back so far";
    const auto is_operation = [](const Field& field) {
        return is_service(field) || is_intrinsic(field, Intrinsic::kName);
    };
    if (has_other_ && names(choosing, metric, is_operation))
        return "there were so many operations that the rarest are counted together";
    const auto is_failure = [](const Field& field) {
        return is_intrinsic(field, Intrinsic::kStatus);
    };
    if (has_unnamed_failures_ && has_durations(metric) && names(choosing, metric, is_failure))
        return "they do not tell how long failed spans took";
    return {};
}

std::vector<std::string> CountedSpans::differences(const Stage& metric) const {
    std::vector<std::string> found;
    if (has_split_)
        found.push_back(
            "some counts of spans that aged reach over the ends of intervals: they are taken as "
            "spread evenly");
    if (!has_durations(metric)) return found;
    if (detail_.merged_bits > 0 || detail_.steps > 1) {
        found.push_back(
            "durations of the oldest spans are known day by day, in quarters of powers of two");
    } else {
        found.push_back("durations of spans that aged are known within 3.2 %");
    }
    return found;
}

Result<CountedSpans::Stats> CountedSpans::add(std::span<const Stage> choosing, const Stage& metric,
                                              bool is_weighted,
                                              const std::function<bool()>& is_interrupted,
                                              SeriesSet& to, double& weight_max) const {
    constexpr size_t kAtOnce = 512;
    Stats stats;
    for (const File& file : files_) {
        TRY_ASSIGN(const auto operations, read(file));
        SectionCounter counter(*operations, choosing, metric, grid_, is_weighted, to);
        size_t number = 0;
        for (PackedGroups groups(*operations); groups.next(); ++number) {
            if (number % kAtOnce == 0 && is_interrupted()) return stats;
            counter.add(groups);
        }
        stats.spans += counter.spans();
        stats.bytes += file.file->file().bytes;
        weight_max = std::max(weight_max, counter.weight_max());
    }
    return stats;
}

CountsChoice choose_counts(const Query& query, const MetricsOptions& options, const Grid& grid) {
    CountsChoice choice;
    if (!options.counted) return choice;
    const Value* hint = query.hint("counts");
    const bool is_wanted = hint == nullptr || hint->integer != 0;
    std::string reason =
        is_wanted ? refusal(query, refuse_counts) : std::string("with(counts=false) says so");
    choice.is_of_query = !reason.empty();
    Result<void> opened;
    store::ScanScope scope;
    scope.executor = options.executor;
    scope.helpers = options.helpers;
    // Files may be put together to others just now.
    for (int attempt = 0; attempt < 2; ++attempt) {
        choice.parts = options.counted();
        choice.counted.emplace(choice.parts, grid, *options.rollups);
        if (choice.counted->files() == 0) {
            choice.is_exact = !choice.counted->has_kept();
            choice.counted.reset();
            return choice;
        }
        // No file is read for a question that files cannot answer.
        if (choice.is_of_query) break;
        opened = choice.counted->open(scope);
        if (opened) break;
    }
    if (!opened) {
        reason = opened.error().message;
    } else if (!choice.is_of_query) {
        reason = refusal(query, [&](std::span<const Stage> choosing, const Stage& metric) {
            return choice.counted->refuse(choosing, metric);
        });
    }
    if (reason.empty()) return choice;
    choice.counted.reset();
    choice.is_exact = false;
    choice.note =
        "spans of hours that aged are estimated from those that stayed, not taken from the counts "
        "of all: " +
        reason;
    return choice;
}

}  // namespace spanloom::traceql

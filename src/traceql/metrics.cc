#include <algorithm>
#include <cmath>
#include <memory>
#include <unordered_set>
#include <utility>

#include "store/trace_stream.h"
#include "traceql/columnar.h"
#include "traceql/compare.h"
#include "traceql/executor.h"
#include "traceql/explain.h"
#include "traceql/pipeline.h"
#include "traceql/planner.h"
#include "traceql/series.h"
#include "traceql/stored_rows.h"

namespace spanloom::traceql {
namespace {

using store::Value;

// One query in the course of being answered.
class MetricsQuery {
  public:
    MetricsQuery(const Query& query, store::Segments segments, const MetricsOptions& options,
                 Grid grid, const Clock& clock)
        : segments_(segments), options_(options), grid_(grid), clock_(clock) {
        answer_.step_ns = grid.step_ns;
        answer_.first_ns = grid.left_ns + grid.step_ns;
        answer_.intervals = grid.intervals;
        exemplars_ = options.exemplars;
        if (const Value* weighted = query.hint("weighted"))
            answer_.weighted = weighted->integer != 0;
        if (const Value* exemplars = query.hint("exemplars")) {
            constexpr int64_t kExemplars = 100;
            constexpr int64_t kExemplarsMax = 1'000;
            const int64_t wanted = exemplars->kind == store::ValueKind::kBool
                                       ? exemplars->integer * kExemplars
                                       : exemplars->integer;
            exemplars_ = static_cast<uint32_t>(std::clamp<int64_t>(wanted, 0, kExemplarsMax));
        }
        if (options.explain) answer_.explanation.emplace();
    }

    Result<MetricsAnswer> run(const Query& query) {
        std::vector<Series> series;
        if (query.arithmetic) {
            TRY_ASSIGN(series, calculate(*query.arithmetic));
            for (const Stage& stage : query.stages)
                apply_second(stage, series);
        } else {
            TRY_ASSIGN(series, pipeline(query.stages));
        }
        leave_series_max(series);
        leave_exemplars_max(series);
        answer_.series = std::move(series);
        return std::move(answer_);
    }

  private:
    Result<std::vector<Series>> calculate(const MetricsExpression& expression) {
        if (expression.kind == MetricsExpression::Kind::kPipeline)
            return pipeline(expression.stages);
        const MetricsExpression& left = expression.operands[0];
        const MetricsExpression& right = expression.operands[1];
        if (left.kind == MetricsExpression::Kind::kScalar ||
            right.kind == MetricsExpression::Kind::kScalar) {
            const bool is_left = left.kind == MetricsExpression::Kind::kScalar;
            TRY_ASSIGN(std::vector<Series> series, calculate(is_left ? right : left));
            join_scalar(expression.op, (is_left ? left : right).scalar.as_number(), is_left,
                        series);
            return series;
        }
        TRY_ASSIGN(std::vector<Series> a, calculate(left));
        TRY_ASSIGN(std::vector<Series> b, calculate(right));
        return join_series(expression.op, std::move(a), std::move(b));
    }

    // Spans, then the metric over them, then what follows it.
    Result<std::vector<Series>> pipeline(const std::vector<Stage>& stages) {
        size_t metric = 0;
        while (stages[metric].kind != Stage::Kind::kFunction ||
               (stages[metric].function != FunctionKind::kMetric &&
                stages[metric].function != FunctionKind::kCompare))
            ++metric;
        const std::vector<Stage> choosing(stages.begin(),
                                          stages.begin() + static_cast<ptrdiff_t>(metric));
        std::vector<Series> series;
        if (stages[metric].function == FunctionKind::kCompare) {
            CompareCounter counter(stages[metric], grid_, options_.memory_bytes_max);
            const auto visit = [&](StoredRows& rows, Pipeline&, uint32_t row, double weight,
                                   bool is_selected) {
                counter.add(rows, row, weight, is_selected);
                return !counter.is_full();
            };
            TRY(for_each_span(choosing, &*stages[metric].selection, visit, [&]() -> Result<void> {
                TRY_ASSIGN(series, counter.finish());
                return {};
            }));
            if (counter.is_full()) note_partial(kFull);
        } else {
            SeriesSet set(stages[metric], grid_, options_.memory_bytes_max);
            set.set_exemplars(exemplars_);
            TRY(count(choosing, stages[metric], set));
            if (set.is_full()) note_partial(kFull);
            series = set.finish();
        }
        for (size_t i = metric + 1; i < stages.size(); ++i)
            apply_second(stages[i], series);
        return series;
    }

    Result<void> count(const std::vector<Stage>& choosing, const Stage& metric, SeriesSet& set) {
        std::vector<Value> group(metric.by.size());
        const bool needs_value = set.needs_value();
        const auto visit = [&](StoredRows& rows, Pipeline& pipeline, uint32_t row, double weight,
                               bool) {
            double value = 0;
            if (needs_value) {
                const Value measured = pipeline.conditions().value(metric.arguments[0], row);
                if (!measured.is_number() || std::isnan(measured.as_number())) return true;
                value = measured.as_number();
            }
            for (size_t i = 0; i < group.size(); ++i)
                group[i] = pipeline.conditions().value(metric.by[i], row);
            const uint32_t series = set.series_of(group);
            if (series == SeriesSet::kNone) return true;
            const uint64_t time = rows.start_ns(row);
            const size_t interval = grid_.index(time);
            set.add(series, interval, value, weight);
            if (exemplars_ == 0) return true;
            const SpanId id = rows.span_id(row);
            if (!set.wants_exemplar(series, interval, exemplar_hash(rows.trace_id(), id)))
                return true;
            if (!needs_value)
                value = static_cast<double>(static_cast<int64_t>(rows.end_ns(row) - time));
            set.add_exemplar(series, {rows.trace_id(), id, time, value, {}});
            return true;
        };
        const Plan plan = make_plan(choosing);
        if (options_.evaluation == MetricsOptions::Evaluation::kBest &&
            ColumnarCount::can_count(plan, metric))
            return count_columns(plan, choosing, metric, set, visit);
        return for_each_span(choosing, nullptr, visit, [] { return Result<void>(); });
    }

    // Row group by row group; only traces that several segments have are put together.
    template <typename Visit>
    Result<void> count_columns(const Plan& plan, const std::vector<Stage>& choosing,
                               const Stage& metric, SeriesSet& set, Visit&& visit) {
        const store::SearchRequest request = request_of(plan);
        TRY_ASSIGN(const store::CompiledPredicate predicate,
                   store::CompiledPredicate::compile(request.where));
        ColumnarCount counter(metric, grid_, answer_.weighted, exemplars_, set);
        std::vector<std::unique_ptr<store::SearchSegment>> opened;
        std::unordered_set<TraceId> shared;
        store::ScanStats stats;
        stats.segments = static_cast<uint32_t>(segments_.size());
        for (const auto& segment : segments_) {
            if (auto found = counter.find_shared(*segment, segments_, shared); !found)
                note_partial(found.error().message);
        }
        for (const auto& segment : segments_) {
            opened.push_back(std::make_unique<store::SearchSegment>(segment, predicate, request));
            const store::SegmentInfo& info = segment->info();
            const bool is_near = info.spans > 0 &&
                                 store::overlaps(info.start_ns_min, info.end_ns_max, request.range);
            if (is_near) {
                auto counted = counter.count(*opened.back(), shared, stats,
                                             [this] { return is_interrupted(); });
                if (!counted) note_partial(counted.error().message);
            }
            if (bytes_read(*opened.back()) == 0) ++stats.segments_skipped;
        }
        answer_.is_sampled = answer_.is_sampled || counter.is_sampled();
        TRY(count_shared(plan, choosing, opened, shared, visit));
        for (const auto& segment : opened)
            stats.scanned_bytes += bytes_read(*segment);
        add_stats(stats);
        if (options_.cancelled.stop_requested())
            return fail(ErrorCode::kCancelled, "the query was cancelled");
        if (answer_.explanation)
            explain(plan, ExplainedPath::kColumns, opened, request.range, *answer_.explanation);
        return {};
    }

    static uint64_t bytes_read(store::SearchSegment& segment) {
        return segment.is_open() ? segment.reader().counts().bytes : 0;
    }

    template <typename Visit>
    Result<void> count_shared(const Plan& plan, const std::vector<Stage>& choosing,
                              const std::vector<std::unique_ptr<store::SearchSegment>>& opened,
                              const std::unordered_set<TraceId>& shared, Visit&& visit) {
        if (shared.empty()) return {};
        std::vector<TraceId> ids(shared.begin(), shared.end());
        std::sort(ids.begin(), ids.end());
        TRY_ASSIGN(const std::unique_ptr<StoredRows> rows, StoredRows::make(plan));
        Pipeline pipeline(choosing);
        for (const TraceId& id : ids) {
            if (is_interrupted()) break;
            auto places = std::make_shared<std::vector<store::FragmentPlace>>();
            for (const auto& segment : opened) {
                TRY_ASSIGN(const auto fragment, segment->segment().find(id));
                if (fragment) places->push_back({segment.get(), *fragment});
            }
            rows->load({id, 0, std::move(places)});
            visit_trace(*rows, pipeline, {}, visit);
        }
        answer_.stats.traces += ids.size();
        if (!rows->reason().empty()) note_partial(rows->reason());
        return {};
    }

    // Whether the time is up (which is noted) or the client is gone.
    bool is_interrupted() {
        if (options_.cancelled.stop_requested()) return true;
        if (options_.deadline_monotonic_ns == 0 ||
            clock_.monotonic_ns() < options_.deadline_monotonic_ns)
            return false;
        note_partial("the query took too long; what was counted so far is shown");
        return true;
    }

    store::SearchRequest request_of(const Plan& plan) const {
        store::SearchRequest request;
        request.range = {grid_.left_ns + 1, grid_.right_ns() + 1};
        request.where = plan.candidates;
        request.cancelled = options_.cancelled;
        request.deadline_monotonic_ns = options_.deadline_monotonic_ns;
        return request;
    }

    // false: enough.
    template <typename Visit>
    bool visit_trace(StoredRows& rows, Pipeline& pipeline, const std::vector<uint32_t>& selected,
                     Visit&& visit) {
        for (const uint32_t row : pipeline.rows_left(rows)) {
            if (!grid_.holds(rows.start_ns(row))) continue;
            const double stands_for = rows.weight(row);
            if (stands_for != 1) answer_.is_sampled = true;
            const bool is_selected = std::binary_search(selected.begin(), selected.end(), row);
            if (!visit(rows, pipeline, row, answer_.weighted ? stands_for : 1, is_selected))
                return false;
        }
        return true;
    }

    // Every span in the intervals that the stages leave. `visit` returns false to stop; `finish`
    // is called while what was visited can still be read.
    template <typename Visit, typename Finish>
    Result<void> for_each_span(const std::vector<Stage>& choosing, const Spanset* selection,
                               Visit&& visit, Finish&& finish) {
        // The selection of compare() is one more set of the same trace.
        std::vector<Stage> selecting;
        Plan plan = make_plan(choosing);
        if (selection != nullptr) {
            selecting.emplace_back();
            selecting.back().spanset = *selection;
            for (Plan::Condition& condition : make_plan(selecting).conditions)
                plan.conditions.push_back(std::move(condition));
        }
        const store::SearchRequest request = request_of(plan);
        TRY_ASSIGN(const store::CompiledPredicate predicate,
                   store::CompiledPredicate::compile(request.where));
        store::TraceStream stream(segments_, request, predicate);
        TRY_ASSIGN(const std::unique_ptr<StoredRows> rows, StoredRows::make(plan));
        Pipeline pipeline(choosing);
        Pipeline select(selecting);
        while (const auto trace = stream.next()) {
            if (stream.is_interrupted()) break;
            ++answer_.stats.traces;
            rows->load(*trace);
            std::vector<uint32_t> selected;
            if (selection != nullptr) selected = select.rows_left(*rows);
            if (!visit_trace(*rows, pipeline, selected, visit)) break;
        }
        if (options_.cancelled.stop_requested())
            return fail(ErrorCode::kCancelled, "the query was cancelled");
        TRY(finish());
        if (!rows->reason().empty()) note_partial(rows->reason());
        add_stats(stream.stats());
        if (answer_.explanation)
            explain(plan, ExplainedPath::kTraces, stream.segments(), request.range,
                    *answer_.explanation);
        return {};
    }

    void note_partial(std::string reason) {
        answer_.stats.partial = true;
        if (answer_.stats.reason.empty()) answer_.stats.reason = std::move(reason);
    }

    void add_stats(const store::ScanStats& stats) {
        answer_.stats.scanned_spans += stats.scanned_spans;
        answer_.stats.scanned_bytes += stats.scanned_bytes;
        answer_.stats.segments = stats.segments;
        answer_.stats.segments_skipped = stats.segments_skipped;
        if (stats.partial) note_partial(stats.reason);
    }

    // The largest series by what they add up to.
    void leave_series_max(std::vector<Series>& series) {
        if (series.size() <= options_.series_max) return;
        note_partial(fmt::format("{} series are more than {}: the largest are shown", series.size(),
                                 options_.series_max));
        std::vector<std::pair<double, size_t>> order;
        for (size_t i = 0; i < series.size(); ++i) {
            double sum = 0;
            for (const double value : series[i].values)
                sum += std::isnan(value) ? 0 : value;
            order.emplace_back(-sum, i);
        }
        std::sort(order.begin(), order.end());
        order.resize(options_.series_max);
        std::sort(order.begin(), order.end(),
                  [](const auto& a, const auto& b) { return a.second < b.second; });
        std::vector<Series> largest;
        for (const auto& [sum, index] : order)
            largest.push_back(std::move(series[index]));
        series = std::move(largest);
    }

    void leave_exemplars_max(std::vector<Series>& series) const {
        std::vector<uint64_t> hashes;
        for (const Series& one : series) {
            for (const Exemplar& exemplar : one.exemplars)
                hashes.push_back(exemplar_hash(exemplar.trace_id, exemplar.span_id));
        }
        if (hashes.size() <= exemplars_) return;
        std::nth_element(hashes.begin(), hashes.begin() + exemplars_, hashes.end());
        const uint64_t bound = hashes[exemplars_];
        for (Series& one : series) {
            std::erase_if(one.exemplars, [&](const Exemplar& exemplar) {
                return exemplar_hash(exemplar.trace_id, exemplar.span_id) >= bound;
            });
        }
    }

    static constexpr const char* kFull =
        "the groups need more memory than a query may have: some are left out; group by less";

    store::Segments segments_;
    const MetricsOptions& options_;
    Grid grid_;
    const Clock& clock_;
    uint32_t exemplars_ = 0;
    MetricsAnswer answer_;
};

}  // namespace

bool is_metrics(const Query& query) {
    if (query.arithmetic) return true;
    return std::any_of(query.stages.begin(), query.stages.end(), [](const Stage& stage) {
        return stage.kind == Stage::Kind::kFunction && (stage.function == FunctionKind::kMetric ||
                                                        stage.function == FunctionKind::kCompare);
    });
}

Result<MetricsAnswer> query_metrics(const Query& query, store::Segments segments,
                                    const MetricsOptions& options, const Clock& clock) {
    if (!is_metrics(query))
        return fail(ErrorCode::kInvalidArgument,
                    "this query finds traces: add a metric such as | rate()");
    TRY_ASSIGN(const Grid grid, Grid::of(options.range, options.step_ns));
    TRY_ASSIGN(MetricsAnswer answer,
               MetricsQuery(query, segments, options, grid, clock).run(query));
    if (answer.series.empty() && !answer.stats.partial)
        answer.notes = explain_emptiness(query, segments);
    return answer;
}

uint64_t default_step_ns(store::TimeRange range) {
    constexpr uint64_t kSecond = 1'000'000'000;
    constexpr uint64_t kIntervals = 240;
    const uint64_t step = (range.end_ns - std::min(range.start_ns, range.end_ns)) / kIntervals;
    for (const uint64_t unit :
         {3600 * kSecond, 300 * kSecond, 60 * kSecond, 15 * kSecond, 5 * kSecond, kSecond}) {
        if (step > unit) return step / unit * unit;
    }
    constexpr uint64_t kFine = 50'000'000;
    const bool is_short = range.end_ns - range.start_ns < 60 * kSecond;
    return is_short ? std::max(step / kFine * kFine, kFine) : kSecond;
}

}  // namespace spanloom::traceql

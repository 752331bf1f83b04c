#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "otlp/tracestate.h"
#include "store/scan_segments.h"
#include "store/trace_stream.h"
#include "traceql/compare_sink.h"
#include "traceql/counted_spans.h"
#include "traceql/executor.h"
#include "traceql/explain.h"
#include "traceql/largest_series.h"
#include "traceql/series.h"
#include "traceql/series_counter.h"
#include "traceql/series_sink.h"
#include "traceql/shared_traces.h"
#include "traceql/span_scan.h"

namespace spanloom::traceql {
namespace {

using store::Value;
using store::ValueKind;

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
        if (const Value* sample = query.hint("sample")) sample_hint_ = *sample;
        if (options.explain) answer_.explanation.emplace();
    }

    Result<MetricsAnswer> run(const Query& query) {
        counts_ = choose_counts(query, options_, grid_);
        answer_.is_exact = counts_.is_exact;
        if (counts_.counted) segments_ = counts_.parts.segments;
        if (!counts_.note.empty() && answer_.explanation)
            answer_.explanation->plan.push_back(counts_.note);
        if (!counts_.note.empty() && !counts_.is_of_query) answer_.notes.push_back(counts_.note);
        std::vector<Series> series;
        if (query.arithmetic) {
            TRY_ASSIGN(series, calculate(*query.arithmetic));
            for (const Stage& stage : query.stages)
                apply_second(stage, series);
        } else {
            TRY_ASSIGN(series, pipeline(query.stages));
        }
        if (series.size() > options_.series_max) {
            note_partial(fmt::format("{} series are more than {}: the largest are shown",
                                     series.size(), options_.series_max));
            leave_largest(options_.series_max, series);
        }
        leave_exemplars(exemplars_, series);
        answer_.series = std::move(series);
        const bool is_whole =
            !answer_.stats.partial && !(counts_.counted && counts_.counted->is_split());
        answer_.is_exact = answer_.is_exact && is_whole;
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
        const size_t metric = metric_in(stages);
        const Stage& counted = stages[metric];
        const bool is_compare = counted.function == FunctionKind::kCompare;
        const std::span<const Stage> all(stages);
        const SpanQuestion question(all.first(metric), is_compare ? &*counted.selection : nullptr);
        MemoryShare memory(options_.memory_bytes_max);
        std::vector<Series> series;
        const double sample = is_compare ? sample_of(question) : 1;
        if (is_compare) {
            CrowdedAttributes crowded;
            const auto make = [&] {
                return std::make_unique<CompareSink>(counted, grid_, answer_.weighted, 1 / sample,
                                                     crowded, memory);
            };
            const auto nothing = [](CompareSink&) -> Result<void> { return {}; };
            TRY_ASSIGN(series, count(question, true, sample, make, nothing));
        } else {
            const auto make = [&] {
                return std::make_unique<SeriesCounter>(counted, grid_, answer_.weighted, exemplars_,
                                                       memory);
            };
            const auto add_counts = [&](SeriesCounter& total) -> Result<void> {
                return counts_.counted ? add_counted(question, counted, make, total)
                                       : Result<void>();
            };
            TRY_ASSIGN(series,
                       count(question, SeriesSink::can_count(counted), sample, make, add_counts));
        }
        for (size_t i = metric + 1; i < stages.size(); ++i)
            apply_second(stages[i], series);
        return series;
    }

    // What aged: from counts, and examples of it from the spans that stayed.
    template <typename Make>
    Result<void> add_counted(const SpanQuestion& question, const Stage& metric, Make&& make,
                             SeriesCounter& total) {
        const CountedSpans& counted = *counts_.counted;
        TRY_ASSIGN(const CountedSpans::Stats stats,
                   total.add(counted, question.choosing(), metric, answer_.weighted,
                             [this] { return is_interrupted(); }));
        answer_.spans_from_counts += stats.spans;
        answer_.stats.scanned_bytes += stats.bytes;
        for (std::string& difference : counted.differences(metric)) {
            const auto known = std::find(answer_.notes.begin(), answer_.notes.end(), difference);
            if (known == answer_.notes.end()) answer_.notes.push_back(std::move(difference));
        }
        if (answer_.explanation)
            answer_.explanation->plan.push_back(
                fmt::format("add {} spans of hours that aged from {} files of counts of all spans",
                            stats.spans, counted.files()));
        if (exemplars_ == 0 || !counted.has_kept()) return {};
        const store::Segments not_counted =
            std::exchange(segments_, store::Segments(counts_.parts.others));
        auto explanation = std::exchange(answer_.explanation, std::nullopt);
        const auto kept = make();
        const Result<void> found = count_pieces(question, 1, *kept, make);
        segments_ = not_counted;
        answer_.explanation = std::move(explanation);
        TRY(found);
        total.add_exemplars(std::move(*kept));
        return {};
    }

    // `add_others` adds what is known without spans.
    template <typename Make, typename Add>
    Result<std::vector<Series>> count(const SpanQuestion& question, bool can_use_columns,
                                      double sample, Make&& make, Add&& add_others) {
        const auto total = make();
        const bool in_pieces = can_use_columns && question.way() != SpanQuestion::Way::kTraces &&
                               options_.evaluation == MetricsOptions::Evaluation::kBest;
        if (in_pieces) {
            TRY(count_pieces(question, sample, *total, make));
        } else {
            TRY(count_traces(question, *total));
        }
        TRY(add_others(*total));
        if (options_.cancelled.stop_requested())
            return fail(ErrorCode::kCancelled, "the query was cancelled");
        if (is_late_) note_partial("the query took too long; what was counted so far is shown");
        if (total->is_full()) note_partial(kFull);
        note_weights(total->weight_max());
        return total->finish([&](size_t count, const std::function<void(size_t)>& work) {
            store::share_out(scope_of({}), count, work);
        });
    }

    void note_weights(double most) {
        answer_.is_sampled = answer_.is_sampled || most > 1;
        if (most >= otlp::kAdjustedCountMax && answer_.weighted)
            answer_.notes.push_back(fmt::format(
                "some spans say that they stand for {:.0f} or more (ot=th of their senders): each "
                "counts as that many",
                otlp::kAdjustedCountMax));
    }

    // The hint sample: true leaves it to us, a number is a share. Whole traces are never sampled.
    double sample_of(const SpanQuestion& question) {
        if (question.way() == SpanQuestion::Way::kTraces || sample_hint_.kind == ValueKind::kNil ||
            options_.evaluation != MetricsOptions::Evaluation::kBest)
            return 1;
        double share = 1;
        if (sample_hint_.kind == ValueKind::kBool) {
            constexpr double kSpans = 500'000;
            double rows = 0;
            for (const Piece& piece : pieces_of(segments_, request_of(question.plan()).range)) {
                const auto groups = segments_[piece.segment]->row_groups();
                for (uint32_t i = piece.first_group; i < piece.end_group; ++i)
                    rows += groups[i].rows;
            }
            if (sample_hint_.integer != 0 && rows > kSpans) share = kSpans / rows;
        } else if (sample_hint_.is_number()) {
            share = sample_hint_.as_number();
        }
        if (!(share > 0 && share < 1)) return 1;
        answer_.is_exact = false;
        answer_.notes.push_back(fmt::format(
            "as with(sample=...) asks, {:.1f} % of the spans were looked at: counts are estimates",
            share * 100));
        return share;
    }

    // Piece by piece, in several threads; what they find is joined in the order of the pieces. Only
    // traces that several segments have are put together.
    template <typename Counter, typename Make>
    Result<void> count_pieces(const SpanQuestion& question, double sample, Counter& total,
                              Make&& make) {
        const store::SearchRequest request = request_of(question.plan());
        TRY_ASSIGN(const store::CompiledPredicate candidates,
                   store::CompiledPredicate::compile(request.where));
        TRY_ASSIGN(const store::CompiledPredicate selected,
                   store::CompiledPredicate::compile(question.selected()));
        const store::ScanScope scope = scope_of(request);
        const bool is_forest = question.way() == SpanQuestion::Way::kForest;
        const auto which =
            is_forest ? SharedTraces::Which::kInParts : SharedTraces::Which::kWithEqualSpans;
        SharedTraceCache own;
        SharedTraceCache& cache = options_.shared_traces != nullptr ? *options_.shared_traces : own;
        TRY_ASSIGN(const auto shared, cache.find(segments_, scope, which));
        const SpanScan scan{question, candidates, selected,
                            request,  *shared,    [this] { return is_interrupted(); },
                            sample};
        // What compare() counts is joined value by value.
        constexpr double kLarge = 4;
        const bool learns = question.has_selection();  // from the first piece
        const std::vector<Piece> pieces =
            pieces_of(segments_, request.range, learns ? kLarge / sample : 1, learns);
        std::vector<SegmentRead> reads;
        for (const auto& segment : segments_)
            reads.push_back({segment.get(), 0, false, false});
        std::mutex mutex;
        std::map<size_t, std::unique_ptr<Counter>> waiting;  // for those before them
        size_t next = 0;
        const auto count_piece = [&](size_t number) {
            const Piece& piece = pieces[number];
            auto part = make();
            const PieceOutcome outcome =
                scan_piece(scan, segments_[piece.segment], piece, part->sink());
            const std::lock_guard lock(mutex);
            note_piece(outcome, reads[piece.segment]);
            waiting.emplace(number, std::move(part));
            for (; !waiting.empty() && waiting.begin()->first == next; ++next) {
                total.add(std::move(*waiting.begin()->second));
                waiting.erase(waiting.begin());
            }
        };
        const size_t alone = learns && !pieces.empty() ? 1 : 0;
        if (alone > 0) count_piece(0);
        if (pieces.empty()) TRY(total.sink().end());  // there is nothing to learn
        store::share_out(scope, pieces.size() - alone,
                         [&](size_t number) { count_piece(alone + number); });
        TRY(count_shared(scan, scope, *shared, reads, total, make));
        store::ScanStats stats;
        stats.segments = static_cast<uint32_t>(segments_.size());
        for (const SegmentRead& read : reads) {
            stats.scanned_bytes += read.bytes;
            stats.segments_skipped += read.bytes == 0 ? 1 : 0;
        }
        add_stats(stats);
        if (answer_.explanation)
            explain(question.plan(), is_forest ? ExplainedPath::kForest : ExplainedPath::kColumns,
                    reads, request.range, *answer_.explanation);
        return {};
    }

    void note_piece(const PieceOutcome& outcome, SegmentRead& read) {
        read.bytes += outcome.read.bytes;
        read.is_open = read.is_open || outcome.read.is_open;
        read.is_never = read.is_never || outcome.read.is_never;
        answer_.stats.scanned_spans += outcome.scanned_spans;
        answer_.stats.traces += outcome.traces;
        if (!outcome.reason.empty()) note_partial(outcome.reason);
    }

    // Some hundreds of traces at a time, in several threads; joined in their order.
    template <typename Counter, typename Make>
    Result<void> count_shared(const SpanScan& scan, const store::ScanScope& scope,
                              const SharedTraces& shared, std::vector<SegmentRead>& reads,
                              Counter& total, Make&& make) {
        constexpr size_t kAtOnce = 512;
        const std::vector<SharedTraces::Trace>& traces = shared.traces();
        std::mutex mutex;
        std::map<size_t, std::unique_ptr<Counter>> waiting;
        size_t next = 0;
        Result<void> outcome;
        store::share_out(scope, (traces.size() + kAtOnce - 1) / kAtOnce, [&](size_t number) {
            auto part = make();
            std::vector<std::unique_ptr<store::SearchSegment>> opened;
            for (const auto& segment : segments_)
                opened.push_back(
                    std::make_unique<store::SearchSegment>(segment, scan.candidates, scan.request));
            const size_t first = number * kAtOnce;
            const size_t end = std::min(traces.size(), first + kAtOnce);
            Result<std::string> done = count_whole(scan, opened, {first, end}, part->sink());
            const std::lock_guard lock(mutex);
            if (!done) {
                if (outcome) outcome = tl::unexpected<Error>(done.error());
            } else if (!done->empty()) {
                note_partial(*done);
            }
            answer_.stats.traces += end - first;
            for (size_t i = 0; i < opened.size(); ++i)
                reads[i].add(*opened[i]);
            waiting.emplace(number, std::move(part));
            for (; !waiting.empty() && waiting.begin()->first == next; ++next) {
                total.add(std::move(*waiting.begin()->second));
                waiting.erase(waiting.begin());
            }
        });
        return outcome;
    }

    // What could not be read.
    Result<std::string> count_whole(
        const SpanScan& scan, const std::vector<std::unique_ptr<store::SearchSegment>>& opened,
        std::pair<size_t, size_t> range, SpanSink& sink) {
        const SpanQuestion& question = scan.question;
        const SharedTraces& shared = scan.shared;
        std::vector<store::SearchSegment*> by_number;
        for (const store::Segment* segment : shared.segments()) {
            const auto at = std::find_if(opened.begin(), opened.end(), [&](const auto& one) {
                return &one->segment() == segment;
            });
            by_number.push_back(at->get());
        }
        TRY_ASSIGN(const std::unique_ptr<StoredRows> rows, StoredRows::make(question.plan()));
        TraceEvaluation evaluation(question);
        for (size_t i = range.first; i < range.second; ++i) {
            if (is_interrupted()) break;
            if (!scan.takes(i)) continue;
            const SharedTraces::Trace& trace = shared.traces()[i];
            auto places = std::make_shared<std::vector<store::FragmentPlace>>();
            for (const SharedTraces::Part& part : trace.parts)
                places->push_back({by_number[part.segment], part.fragment});
            rows->load({trace.parts[0].fragment.trace_id, trace.start_ns, std::move(places)});
            if (!evaluation.add(*rows, sink)) break;
        }
        TRY(sink.end());
        return rows->reason();
    }

    // Trace by trace: what only whole traces tell.
    template <typename Counter>
    Result<void> count_traces(const SpanQuestion& question, Counter& total) {
        const store::SearchRequest request = request_of(question.plan());
        TRY_ASSIGN(const store::CompiledPredicate predicate,
                   store::CompiledPredicate::compile(request.where));
        store::TraceStream stream(segments_, request, predicate);
        TRY_ASSIGN(const std::unique_ptr<StoredRows> rows, StoredRows::make(question.plan()));
        TraceEvaluation evaluation(question);
        while (const auto trace = stream.next()) {
            if (stream.is_interrupted()) break;
            if (trace->rows() < question.plan().spans_min) continue;
            ++answer_.stats.traces;
            rows->load(*trace);
            if (!evaluation.add(*rows, total.sink())) break;
        }
        TRY(total.sink().end());
        if (!rows->reason().empty()) note_partial(rows->reason());
        answer_.stats.scanned_spans += stream.stats().scanned_spans;
        add_stats(stream.stats());
        if (answer_.explanation)
            explain(question.plan(), ExplainedPath::kTraces, reads_of(stream.segments()),
                    request.range, *answer_.explanation);
        return {};
    }

    // Whether the time is up or the client is gone. Any thread.
    bool is_interrupted() {
        if (options_.cancelled.stop_requested()) return true;
        if (options_.deadline_monotonic_ns == 0 ||
            clock_.monotonic_ns() < options_.deadline_monotonic_ns)
            return false;
        is_late_ = true;
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

    store::ScanScope scope_of(const store::SearchRequest& request) const {
        store::ScanScope scope;
        scope.range = request.range;
        scope.cancelled = options_.cancelled;
        scope.deadline_monotonic_ns = options_.deadline_monotonic_ns;
        scope.executor = options_.executor;
        scope.helpers = options_.helpers;
        return scope;
    }

    void note_partial(std::string reason) {
        answer_.stats.partial = true;
        if (answer_.stats.reason.empty()) answer_.stats.reason = std::move(reason);
    }

    void add_stats(const store::ScanStats& stats) {
        answer_.stats.scanned_bytes += stats.scanned_bytes;
        answer_.stats.segments = stats.segments;
        answer_.stats.segments_skipped = stats.segments_skipped;
        if (stats.partial) note_partial(stats.reason);
    }

    static constexpr const char* kFull =
        "the groups need more memory than a query may have: some are left out; group by less";

    store::Segments segments_;
    const MetricsOptions& options_;
    Grid grid_;
    const Clock& clock_;
    std::atomic<bool> is_late_ = false;
    uint32_t exemplars_ = 0;
    Value sample_hint_;
    CountsChoice counts_;
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
    if (answer.series.empty() && !answer.stats.partial) {
        for (std::string& note : explain_emptiness(query, segments))
            answer.notes.push_back(std::move(note));
    }
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

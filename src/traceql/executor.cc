#include "traceql/executor.h"

#include <algorithm>
#include <utility>

#include "traceql/evaluator.h"
#include "traceql/planner.h"
#include "traceql/trace.h"

namespace spanloom::traceql {
namespace {

using store::Field;
using store::SearchRequest;

// Candidates asked for at a time: enough that asking costs little beside reading them.
constexpr uint32_t kCandidatesAtOnce = 64;

// Reads and evaluates candidate traces one after another.
class CandidateSearch {
  public:
    CandidateSearch(const Query& query, const Plan& plan, store::Segments segments,
                    const SearchOptions& options, std::vector<Field> fields, const Clock& clock)
        : evaluator_(query),
          segments_(segments),
          options_(options),
          fields_(std::move(fields)),
          clock_(clock) {
        request_.range = options.range;
        request_.where = plan.candidates;
        request_.limit = kCandidatesAtOnce;
        request_.spans_per_trace = 1;
        request_.after = options.after;
        request_.cancelled = options.cancelled;
        request_.deadline_monotonic_ns = options.deadline_monotonic_ns;
    }

    Result<store::SearchAnswer> run() {
        while (answer_.traces.size() < options_.limit) {
            TRY_ASSIGN(store::SearchAnswer page, store::search(segments_, request_));
            add_stats(page.stats);
            for (store::TraceSummary& candidate : page.traces) {
                if (options_.cancelled.stop_requested())
                    return fail(ErrorCode::kCancelled, "the search was cancelled");
                if (is_past_deadline()) return std::move(answer_);
                const store::Cursor here{candidate.start_ns, candidate.trace_id};
                TRY(evaluate(std::move(candidate)));
                request_.after = here;
                if (answer_.traces.size() < options_.limit) continue;
                answer_.next = here;
                return std::move(answer_);
            }
            if (!page.next || page.stats.partial) {
                answer_.next = page.next;
                return std::move(answer_);
            }
            request_.after = page.next;
        }
        return std::move(answer_);
    }

  private:
    bool is_past_deadline() {
        const bool is_past = options_.deadline_monotonic_ns != 0 &&
                             clock_.monotonic_ns() >= options_.deadline_monotonic_ns;
        if (!is_past) return false;
        answer_.stats.partial = true;
        answer_.stats.reason = "the search took too long; what was found so far is shown";
        answer_.next = request_.after;
        return true;
    }

    void add_stats(const store::ScanStats& stats) {
        answer_.stats.scanned_spans += stats.scanned_spans;
        answer_.stats.scanned_bytes += stats.scanned_bytes;
        answer_.stats.segments = std::max(answer_.stats.segments, stats.segments);
        answer_.stats.segments_skipped = stats.segments_skipped;
        if (!stats.partial) return;
        answer_.stats.partial = true;
        answer_.stats.reason = stats.reason;
    }

    Result<void> evaluate(store::TraceSummary candidate) {
        auto stored = store::read_trace(segments_, candidate.trace_id);
        // Retention may drop a trace between the two questions.
        if (!stored && stored.error().code == ErrorCode::kNotFound) return {};
        if (!stored) return tl::unexpected(std::move(stored).error());
        if (stored->partial) {
            answer_.stats.partial = true;
            answer_.stats.reason = stored->reason;
        }
        answer_.stats.scanned_bytes += stored->traces_data.size();
        TRY_ASSIGN(const Trace trace, Trace::read(*stored));
        std::vector<uint32_t> rows = evaluator_.matches(trace);
        if (rows.empty()) return {};
        std::stable_sort(rows.begin(), rows.end(), [&](uint32_t a, uint32_t b) {
            return trace.spans[a].start_ns < trace.spans[b].start_ns;
        });
        candidate.matched = static_cast<uint32_t>(rows.size());
        candidate.matched_spans.clear();
        rows.resize(std::min<size_t>(rows.size(), options_.spans_per_trace));
        for (const uint32_t row : rows)
            candidate.matched_spans.push_back(matched_span(trace, row));
        answer_.traces.push_back(std::move(candidate));
        return {};
    }

    store::MatchedSpan matched_span(const Trace& trace, uint32_t row) {
        const otlp::SpanView& span = trace.spans[row];
        store::MatchedSpan matched{
            span.span_id, std::string(span.name), span.start_ns, span.duration_ns(), {}};
        for (const Field& field : fields_) {
            store::Value value = evaluator_.field(trace, row, field);
            if (value.kind != store::ValueKind::kNil)
                matched.values.emplace_back(field, std::move(value));
        }
        return matched;
    }

    Evaluator evaluator_;
    store::Segments segments_;
    const SearchOptions& options_;
    std::vector<Field> fields_;
    const Clock& clock_;
    SearchRequest request_;
    store::SearchAnswer answer_;
};

}  // namespace

Result<store::SearchAnswer> execute(const Query& query, store::Segments segments,
                                    const SearchOptions& options, const Clock& clock) {
    Plan plan = make_plan(query);
    std::vector<Field> fields = plan.fields;
    for (const Field& field : options.wanted) {
        if (std::find(fields.begin(), fields.end(), field) == fields.end()) fields.push_back(field);
    }
    const bool needs_trace =
        !plan.is_exact || std::any_of(fields.begin(), fields.end(),
                                      [](const Field& field) { return field.is_trace_level(); });
    if (needs_trace)
        return CandidateSearch(query, plan, segments, options, std::move(fields), clock).run();
    SearchRequest request;
    request.range = options.range;
    request.where = std::move(plan.candidates);
    request.wanted = std::move(fields);
    request.limit = options.limit;
    request.spans_per_trace = options.spans_per_trace;
    request.after = options.after;
    request.cancelled = options.cancelled;
    request.deadline_monotonic_ns = options.deadline_monotonic_ns;
    return store::search(segments, request);
}

Result<SearchAnswer> search(const Query& query, store::Segments segments,
                            const SearchOptions& options, const Clock& clock) {
    TRY_ASSIGN(store::SearchAnswer found, execute(query, segments, options, clock));
    SearchAnswer answer;
    static_cast<store::ScanStats&>(answer.stats) = found.stats;
    if (found.next) answer.next = SearchCursor(*found.next);
    for (store::TraceSummary& summary : found.traces) {
        TraceFound& trace = answer.traces.emplace_back();
        trace.spansets.push_back({{}, summary.matched, summary.matched_spans});
        trace.summary = std::move(summary);
        if (options.on_trace) options.on_trace(trace);
    }
    return answer;
}

bool is_metrics(const Query& query) {
    return !query.stages.empty() && (query.stages.back().function == FunctionKind::kMetric ||
                                     query.stages.back().function == FunctionKind::kCompare);
}

Result<MetricsAnswer> query_metrics(const Query&, store::Segments, const MetricsOptions&,
                                    const Clock&) {
    return fail(ErrorCode::kUnsupported, "metrics queries are not available in this version");
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

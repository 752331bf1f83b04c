#include "traceql/executor.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "store/trace_stream.h"
#include "traceql/explain.h"
#include "traceql/pipeline.h"
#include "traceql/planner.h"
#include "traceql/sort.h"
#include "traceql/stored_rows.h"

namespace spanloom::traceql {
namespace {

using store::Field;
using store::Value;
using store::ValueKind;

// Bytes that one answered trace costs beside its spans and texts, about.
constexpr size_t kTraceBytes = 512;

// One search in the course of being answered.
class TraceSearch {
  public:
    TraceSearch(const Query& query, store::Segments segments, const SearchOptions& options)
        : options_(options),
          segments_(segments),
          sort_(sort_of(query)),
          plan_(make_plan(query)),
          pipeline_(query.stages) {
        for (const Field& field : options.wanted) {
            if (std::find(plan_.fields.begin(), plan_.fields.end(), field) == plan_.fields.end())
                plan_.fields.push_back(field);
        }
        const bool shows_trace =
            std::any_of(plan_.fields.begin(), plan_.fields.end(),
                        [](const Field& field) { return field.is_trace_level(); });
        is_whole_ = !plan_.is_exact || shows_trace;
        request_.range = options.range;
        request_.where = plan_.candidates;
        request_.wanted = plan_.fields;
        request_.limit = options.limit;
        request_.spans_per_trace = is_whole_ ? 0 : options.spans_per_trace;
        request_.cancelled = options.cancelled;
        request_.deadline_monotonic_ns = options.deadline_monotonic_ns;
        if (options.after && sort_.is_newest_first()) request_.after = *options.after;
    }

    Result<SearchAnswer> run() {
        TRY_ASSIGN(const store::CompiledPredicate predicate,
                   store::CompiledPredicate::compile(request_.where));
        store::TraceStream stream(segments_, request_, predicate);
        TRY_ASSIGN(const std::unique_ptr<StoredRows> rows, StoredRows::make(plan_));
        rows_ = rows.get();
        if (sort_.is_newest_first()) {
            newest_first(stream);
        } else {
            sorted(stream);
        }
        if (options_.cancelled.stop_requested())
            return fail(ErrorCode::kCancelled, "the search was cancelled");
        const std::string reason = std::move(answer_.stats.reason);
        static_cast<store::ScanStats&>(answer_.stats) = stream.stats();
        if (!reason.empty()) note_partial(reason);
        if (!rows_->reason().empty()) note_partial(rows_->reason());
        if (options_.explain)
            explain(plan_, is_whole_ ? ExplainedPath::kTraces : ExplainedPath::kNewest,
                    reads_of(stream.segments()), options_.range, answer_.explanation.emplace());
        return std::move(answer_);
    }

  private:
    void note_partial(const std::string& reason) {
        answer_.stats.partial = true;
        if (answer_.stats.reason.empty()) answer_.stats.reason = reason;
    }

    void newest_first(store::TraceStream& stream) {
        store::Cursor last;
        while (auto trace = stream.next()) {
            if (answer_.traces.size() >= options_.limit) {
                if (!answer_.traces.empty()) answer_.next = SearchCursor(last);
                return;
            }
            if (stream.is_interrupted()) {
                // What was not looked at is still to come.
                answer_.next = SearchCursor(last);
                return;
            }
            if (is_whole_ && trace->rows() >= plan_.spans_min) {
                ++answer_.stats.traces;
                rows_->load(*trace);
                std::vector<SpansetState> sets = pipeline_.run(*rows_);
                if (!sets.empty() && !answer(stream, *trace, sets, Value::nil())) return;
            } else if (!is_whole_ && !answer(stream, *trace, {}, Value::nil())) {
                return;
            }
            last = {trace->start_ns, trace->trace_id};
        }
    }

    // Keeps the first `limit` of all that match.
    void sorted(store::TraceStream& stream) {
        struct Hit {
            Value value;
            store::FoundTrace trace;
        };
        const auto comes_before = [&](const Hit& a, const Hit& b) {
            if (sort_.comes_before(a.value, b.value)) return true;
            if (sort_.comes_before(b.value, a.value)) return false;
            const auto place = [](const Hit& hit) {
                return std::pair(hit.trace.start_ns, hit.trace.trace_id);
            };
            if (a.trace.start_ns != b.trace.start_ns) {
                const bool is_older = sort_.key == Sort::Key::kStart && sort_.is_ascending;
                return is_older ? place(a) < place(b) : a.trace.start_ns > b.trace.start_ns;
            }
            return a.trace.trace_id < b.trace.trace_id;
        };
        std::optional<Hit> after;
        if (options_.after) {
            after.emplace();
            after->value = options_.after->sort_value;
            after->trace.start_ns = options_.after->start_ns;
            after->trace.trace_id = options_.after->trace_id;
        }
        std::vector<Hit> best;  // a heap, the last of them first
        bool has_more = false;
        while (auto trace = stream.next()) {
            if (stream.is_interrupted()) break;
            if (trace->rows() < plan_.spans_min) continue;
            ++answer_.stats.traces;
            rows_->load(*trace);
            std::vector<SpansetState> sets = pipeline_.run(*rows_);
            if (sets.empty()) continue;
            Hit hit{sort_value(sets), std::move(*trace)};
            if (after && !comes_before(*after, hit)) continue;
            best.push_back(std::move(hit));
            std::push_heap(best.begin(), best.end(), comes_before);
            if (best.size() <= options_.limit) continue;
            has_more = true;
            std::pop_heap(best.begin(), best.end(), comes_before);
            best.pop_back();
        }
        std::sort_heap(best.begin(), best.end(), comes_before);
        for (const Hit& hit : best) {
            rows_->load(hit.trace);
            if (!answer(stream, hit.trace, pipeline_.run(*rows_), hit.value)) break;
        }
        if (!has_more || answer_.traces.empty()) return;
        const TraceFound& last = answer_.traces.back();
        answer_.next = SearchCursor({last.summary.start_ns, last.summary.trace_id});
        answer_.next->sort_value = last.sort_value;
    }

    Value sort_value(const std::vector<SpansetState>& sets) {
        Conditions& conditions = pipeline_.conditions();
        switch (sort_.key) {
            case Sort::Key::kStart:
                return Value::nil();
            case Sort::Key::kDuration:
                return Value::of_duration(
                    static_cast<int64_t>(conditions.trace_end_ns() - conditions.trace_start_ns()));
            case Sort::Key::kSpans:
                return Value::of_int(rows_->size());
            case Sort::Key::kField:
                break;
        }
        Value best;
        for (const SpansetState& set : sets) {
            for (const uint32_t row : set.rows) {
                Value value = conditions.field(sort_.field, {row});
                if (value.kind == ValueKind::kNil) continue;
                if (best.kind == ValueKind::kNil || sort_.comes_before(value, best))
                    best = std::move(value);
            }
        }
        return best;
    }

    // false: the memory is used up.
    bool answer(store::TraceStream& stream, const store::FoundTrace& trace,
                const std::vector<SpansetState>& sets, Value sort_value) {
        store::SummaryOutcome outcome = store::summarize(trace.trace_id, *trace.places, request_);
        if (!outcome.reason.empty())
            stream.note({ErrorCode::kDataLoss, std::move(outcome.reason), 0});
        TraceFound found;
        found.summary = std::move(outcome.summary);
        found.sort_value = std::move(sort_value);
        if (is_whole_ || !sets.empty()) {
            fill(found, sets);
        } else {
            found.spansets.push_back({{}, found.summary.matched, found.summary.matched_spans});
        }
        memory_bytes_ += bytes_of(found);
        if (memory_bytes_ > options_.memory_bytes_max) {
            note_partial("the answer needs more memory than a query may have; ask for less");
            return false;
        }
        if (options_.on_trace) options_.on_trace(found);
        answer_.traces.push_back(std::move(found));
        return true;
    }

    static size_t bytes_of(const TraceFound& found) {
        size_t bytes = kTraceBytes;
        for (const SpansetFound& set : found.spansets) {
            bytes += sizeof set;
            for (const store::MatchedSpan& span : set.spans) {
                bytes += sizeof span + span.name.size();
                for (const auto& [field, value] : span.values)
                    bytes += sizeof field + sizeof value + field.key.size() + value.text.size();
            }
        }
        return bytes * 2;  // they are in the summary too
    }

    void fill(TraceFound& found, const std::vector<SpansetState>& sets) {
        std::vector<uint32_t> all;
        for (const SpansetState& set : sets) {
            SpansetFound& shown = found.spansets.emplace_back();
            shown.attributes = set.attributes;
            shown.matched = static_cast<uint32_t>(set.rows.size());
            shown.spans = spans_of(set.rows);
            all.insert(all.end(), set.rows.begin(), set.rows.end());
        }
        std::sort(all.begin(), all.end());
        all.erase(std::unique(all.begin(), all.end()), all.end());
        found.summary.matched = static_cast<uint32_t>(all.size());
        found.summary.matched_spans =
            sets.size() == 1 ? found.spansets[0].spans : spans_of(std::move(all));
    }

    std::vector<store::MatchedSpan> spans_of(std::vector<uint32_t> rows) {
        const size_t shown = std::min<size_t>(rows.size(), options_.spans_per_trace);
        const auto place = [&](uint32_t row) {
            return std::tuple(rows_->start_ns(row), rows_->span_id(row), row);
        };
        std::partial_sort(rows.begin(), rows.begin() + static_cast<ptrdiff_t>(shown), rows.end(),
                          [&](uint32_t a, uint32_t b) { return place(a) < place(b); });
        std::vector<store::MatchedSpan> spans;
        for (size_t i = 0; i < shown; ++i)
            spans.push_back(matched_span(rows[i]));
        return spans;
    }

    store::MatchedSpan matched_span(uint32_t row) {
        Conditions& conditions = pipeline_.conditions();
        const auto intrinsic = [&](store::Intrinsic which) {
            return conditions.field({store::Scope::kIntrinsic, which, ""}, {row});
        };
        store::MatchedSpan span;
        span.span_id = rows_->span_id(row);
        span.name = intrinsic(store::Intrinsic::kName).text;
        span.start_ns = rows_->start_ns(row);
        span.duration_ns = static_cast<uint64_t>(intrinsic(store::Intrinsic::kDuration).integer);
        for (const Field& field : plan_.fields) {
            Value value = conditions.field(field, {row});
            // An intrinsic text that is not there is empty, and not worth showing.
            const bool is_empty = field.scope == store::Scope::kIntrinsic &&
                                  value.kind == ValueKind::kString && value.text.empty();
            if (value.kind != ValueKind::kNil && !is_empty)
                span.values.emplace_back(field, std::move(value));
        }
        return span;
    }

    const SearchOptions& options_;
    store::Segments segments_;
    Sort sort_;
    Plan plan_;
    Pipeline pipeline_;
    bool is_whole_ = false;  // whole traces are evaluated
    store::SearchRequest request_;
    StoredRows* rows_ = nullptr;  // of run(): what it holds is counted by the stream's memory
    SearchAnswer answer_;
    size_t memory_bytes_ = 0;
};

}  // namespace

Result<SearchAnswer> search(const Query& query, store::Segments segments,
                            const SearchOptions& options, const Clock&) {
    if (is_metrics(query))
        return fail(ErrorCode::kInvalidArgument,
                    "this query draws series: it cannot be answered with a list of traces");
    TRY_ASSIGN(SearchAnswer answer, TraceSearch(query, segments, options).run());
    if (answer.traces.empty() && !answer.stats.partial)
        answer.notes = explain_emptiness(query, segments);
    return answer;
}

Result<store::SearchAnswer> execute(const Query& query, store::Segments segments,
                                    const SearchOptions& options, const Clock& clock) {
    TRY_ASSIGN(SearchAnswer found, search(query, segments, options, clock));
    store::SearchAnswer answer;
    answer.stats = found.stats;
    answer.next = found.next;
    for (TraceFound& trace : found.traces)
        answer.traces.push_back(std::move(trace.summary));
    return answer;
}

}  // namespace spanloom::traceql

#include "api/explain.h"

#include <fmt/format.h>

#include "api/tempo_metrics.h"
#include "api/tempo_search.h"
#include "traceql/checker.h"
#include "traceql/executor.h"

namespace spanloom::api {
namespace {

// What both kinds of answers say of how they came about.
struct Explained {
    traceql::Explanation how;
    traceql::QueryStats stats;
    std::vector<std::string> notes;
    size_t found = 0;
    std::string_view what;  // was found
};

Result<Explained> explain_search(const Call& call) {
    TempoQuestion question;
    question.query = call.query.get("q");
    TRY_ASSIGN(question.range, tempo_range(call.query));
    TRY_ASSIGN(const uint64_t traces, number_parameter(call.query, "limit", question.traces, 1,
                                                       call.context.options.limits.traces_max));
    question.traces = static_cast<uint32_t>(traces);
    question.explain = true;
    TRY_ASSIGN(auto answer, tempo_search(call, question));
    return Explained{std::move(answer.explanation).value_or(traceql::Explanation()), answer.stats,
                     std::move(answer.notes), answer.traces.size(), "traces"};
}

Result<Explained> explain_metrics(const Call& call) {
    TRY_ASSIGN(TempoMetricsQuestion question, tempo_metrics_question(call, false));
    question.explain = true;
    TRY_ASSIGN(auto answer, tempo_metrics(call, question));
    return Explained{std::move(answer.explanation).value_or(traceql::Explanation()), answer.stats,
                     std::move(answer.notes), answer.series.size(), "series"};
}

std::string as_text(const Call& call, const Explained& answer) {
    std::string out = answer.how.text();
    fmt::format_to(std::back_inserter(out),
                   "{} {} found in {} ms: {} spans looked at, {} traces put together, {} bytes of "
                   "columns read\n",
                   answer.found, answer.what, call.elapsed_ms(), answer.stats.scanned_spans,
                   answer.stats.traces, answer.stats.scanned_bytes);
    if (answer.stats.partial)
        fmt::format_to(std::back_inserter(out), "partial: {}\n", answer.stats.reason);
    for (const std::string& note : answer.notes)
        fmt::format_to(std::back_inserter(out), "note: {}\n", note);
    return out;
}

std::string as_json(const Call& call, const Explained& answer) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("plan").begin_array();
    for (const std::string& step : answer.how.plan)
        json.string(step);
    json.end_array().key("segments").begin_array();
    for (const traceql::Explanation::SegmentUse& use : answer.how.segments) {
        json.begin_object().field("spans", use.spans).field("bytes", use.bytes);
        json.key("start_ns").quoted(use.start_ns_min).key("end_ns").quoted(use.end_ns_max);
        json.field("bytes_read", use.bytes_read).field("skipped", use.skipped).end_object();
    }
    json.end_array().field(answer.what, answer.found).field("ms", call.elapsed_ms());
    json.field("scanned_spans", answer.stats.scanned_spans);
    json.field("scanned_bytes", answer.stats.scanned_bytes);
    json.field("traces_put_together", answer.stats.traces);
    json.field("partial", answer.stats.partial).field("reason", answer.stats.reason);
    json.key("notes").begin_array();
    for (const std::string& note : answer.notes)
        json.string(note);
    json.end_array().end_object();
    return out;
}

Result<http::Response> explain(Call& call) {
    const auto query = traceql::parse(call.query.get("q"));
    if (!query)
        return fail(ErrorCode::kInvalidArgument, "invalid TraceQL query: {}", query.error().text());
    TRY_ASSIGN(const Explained answer,
               traceql::is_metrics(*query) ? explain_metrics(call) : explain_search(call));
    if (call.accepts("text/plain")) return text_reply(as_text(call, answer));
    return json_reply(as_json(call, answer));
}

}  // namespace

void add_explain(Router& router) {
    router.add(Family::kUi, "GET", "/api/explain", explain);
}

}  // namespace spanloom::api

#include <algorithm>

#include <simdjson.h>

#include "api/jaeger.h"
#include "api/jaeger_filter.h"
#include "api/jaeger_search.h"
#include "base/text.h"
#include "base/url.h"
#include "otlp/json.h"

namespace spanloom::api {
namespace {

constexpr size_t kReplyBytesMax = 256U << 20;

// "query.serviceName" is also "query.service_name", and Grafana's older spelling has no prefix.
std::string_view query_parameter(const http::Query& query, std::string_view camel,
                                 std::string_view snake) {
    const std::string with_camel = "query." + std::string(camel);
    const std::string with_snake = "query." + std::string(snake);
    return parameter(query, {with_camel, with_snake});
}

Result<uint64_t> time_parameter(std::string_view name, std::string_view text) {
    const auto time = parse_rfc3339_ns(text);
    if (time) return *time;
    return fail(ErrorCode::kInvalidArgument,
                "malformed parameter {}: \"{}\" is not a time such as 2026-11-22T15:00:00Z", name,
                text.substr(0, 100));
}

Result<http::Response> services(Call& call) {
    TRY_ASSIGN(const auto names, service_names(call));
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("services").begin_array();
    for (const std::string& name : names)
        json.string(name);
    json.end_array().end_object();
    return json_reply(std::move(out));
}

Result<http::Response> all_operations(Call& call) {
    const std::string_view service = parameter(call.query, {"service", "service_name"});
    if (service.empty())
        return fail(ErrorCode::kInvalidArgument, "malformed parameter service: it is required");
    TRY_ASSIGN(const auto kind,
               kind_parameter({"spanKind", parameter(call.query, {"spanKind", "span_kind"})}));
    TRY_ASSIGN(const auto found, operations(call, service, kind));
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("operations").begin_array();
    for (const Operation& operation : found) {
        const std::string_view name = kind_name(operation.kind);
        json.begin_object().field("name", operation.name);
        // Clients of v3 take a missing kind for an error.
        json.field("spanKind", name.empty() ? std::string_view("internal") : name).end_object();
    }
    json.end_array().end_object();
    return json_reply(std::move(out));
}

http::Response result_reply(std::string_view resource_spans) {
    std::string out = R"({"result":{"resourceSpans":)";
    out += resource_spans;
    out += "}}";
    return json_reply(std::move(out));
}

Result<http::Response> trace(Call& call) {
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    const std::string_view start = parameter(call.query, {"startTime", "start_time"});
    const std::string_view end = parameter(call.query, {"endTime", "end_time"});
    if (!start.empty()) TRY(time_parameter("startTime", start));
    if (!end.empty()) TRY(time_parameter("endTime", end));
    TRY(flag_parameter("rawTraces", parameter(call.query, {"rawTraces", "raw_traces"})));
    TRY_ASSIGN(const auto cached, read_trace(call, id));
    std::string out;
    JsonWriter json(out);
    otlp::append_resource_spans_json(json, cached->trace.batch, otlp::JsonForm::kOtlp);
    return result_reply(out);
}

Result<void> read_range(const http::Query& query, JaegerQuestion& question) {
    const std::string_view min = query_parameter(query, "startTimeMin", "start_time_min");
    const std::string_view max = query_parameter(query, "startTimeMax", "start_time_max");
    if (min.empty() || max.empty())
        return fail(ErrorCode::kInvalidArgument,
                    "query.startTimeMin and query.startTimeMax are required");
    TRY_ASSIGN(question.range.start_ns, time_parameter("query.startTimeMin", min));
    TRY_ASSIGN(question.range.end_ns, time_parameter("query.startTimeMax", max));
    if (question.range.start_ns >= question.range.end_ns)
        return fail(ErrorCode::kInvalidArgument,
                    "query.startTimeMin must be before query.startTimeMax");
    return {};
}

Result<JaegerQuestion> read_question(const Call& call, const http::Query& query) {
    JaegerQuestion question;
    question.service = query_parameter(query, "serviceName", "service_name");
    question.operation = parameter(query, {"query.operationName", "query.operation_name",
                                           "query.spanName", "query.span_name"});
    const std::string_view tags = query_parameter(query, "attributes", "attributes");
    if (!tags.empty()) {
        TRY_ASSIGN(question.tags, parse_tags_json("query.attributes", tags));
    }
    TRY(read_range(query, question));
    TRY(question.set_durations(
        {"query.durationMin", query_parameter(query, "durationMin", "duration_min")},
        {"query.durationMax", query_parameter(query, "durationMax", "duration_max")}));
    const std::string_view depth = parameter(
        query, {"query.searchDepth", "query.search_depth", "query.num_traces", "query.numTraces"});
    TRY(question.set_limit({"query.searchDepth", depth}, call.context.options.limits.traces_max));
    TRY(flag_parameter("query.rawTraces", query_parameter(query, "rawTraces", "raw_traces")));
    const std::string_view filter = query_parameter(query, "filter", "filter");
    if (filter.empty()) return question;
    TRY_ASSIGN(store::Predicate predicate, parse_jaeger_filter(filter));
    TRY(question.set_filter(std::move(predicate)));
    return question;
}

// What POST has in its body, as the parameters of GET: {"query": {"serviceName": "cart", ...}}.
Result<http::Query> body_query(const Call& call) {
    const auto malformed = [] {
        return fail(ErrorCode::kInvalidArgument,
                    "malformed body: it must be a JSON object such as "
                    "{{\"query\":{{\"serviceName\":\"cart\"}}}}");
    };
    TRY_ASSIGN(const Blob bytes, call.body());
    simdjson::dom::parser parser;
    simdjson::dom::object query;
    if (parser.parse(bytes.view().data(), bytes.size())["query"].get_object().get(query) !=
        simdjson::SUCCESS)
        return malformed();
    std::string text;
    for (const auto& [key, element] : query) {
        std::string_view value;
        const std::string shown = element.get_string().get(value) == simdjson::SUCCESS
                                      ? std::string(value)
                                      : std::string(simdjson::minify(element));
        text += text.empty() ? "query." : "&query.";
        append_percent_encoded(text, key);
        text += '=';
        append_percent_encoded(text, shown);
    }
    return http::Query::parse(text);
}

Result<JaegerQuestion> read_question(const Call& call) {
    if (call.request.method != "POST") return read_question(call, call.query);
    TRY_ASSIGN(const http::Query query, body_query(call));
    return read_question(call, query);
}

Result<http::Response> search(Call& call) {
    TRY_ASSIGN(const JaegerQuestion question, read_question(call));
    std::string all = "[";
    const auto add = [&](const store::StoredTrace& stored) -> Result<bool> {
        TRY_ASSIGN(const Batch batch, otlp::decode(stored.traces_data));
        std::string one;
        JsonWriter json(one);
        otlp::append_resource_spans_json(json, batch, otlp::JsonForm::kOtlp);
        // The lists of all traces become one: without their brackets.
        if (all.size() > 1 && one.size() > 2) all += ',';
        all.append(one, 1, one.size() - 2);
        if (all.size() > kReplyBytesMax)
            return fail(ErrorCode::kResourceExhausted,
                        "the answer is larger than {}: ask for fewer traces", kReplyBytesMax);
        return true;
    };
    TRY(for_each_found(call, question.request(call), add));
    if (all.size() == 1) return fail(ErrorCode::kNotFound, "No traces found");
    return result_reply(all + "]");
}

void write_summary(JsonWriter& json, const store::TraceSummary& summary) {
    json.begin_object().field("traceId", summary.trace_id.hex());
    json.field("rootServiceName", summary.root_service);
    json.field("rootOperationName", summary.root_name);
    json.key("minStartTimeUnixNano").quoted(summary.start_ns);
    json.key("maxEndTimeUnixNano").quoted(summary.end_ns);
    const auto count = [&json](std::string_view name, uint32_t value) {
        if (value != 0) json.field(name, value);
    };
    count("spanCount", summary.spans);
    count("errorSpanCount", summary.errors);
    count("orphanSpanCount", summary.orphans);
    json.key("services").begin_array();
    for (const store::ServiceCount& service : summary.services) {
        json.begin_object().field("name", service.name);
        count("spanCount", service.spans);
        count("errorSpanCount", service.errors);
        json.end_object();
    }
    json.end_array().end_object();
}

Result<http::Response> summaries(Call& call) {
    TRY_ASSIGN(const JaegerQuestion question, read_question(call));
    TRY_ASSIGN(const auto answer, store::search(call.segments(), question.request(call)));
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("summaries").begin_array();
    for (const store::TraceSummary& summary : answer.traces)
        write_summary(json, summary);
    json.end_array().end_object();
    return json_reply(std::move(out));
}

}  // namespace

void add_jaeger3(Router& router) {
    router.add(Family::kJaeger3, "GET", "/api/v3/services", services);
    router.add(Family::kJaeger3, "GET", "/api/v3/operations", all_operations);
    router.add(Family::kJaeger3, "GET", "/api/v3/traces/{}", trace);
    router.add(Family::kJaeger3, "GET", "/api/v3/traces", search);
    router.add(Family::kJaeger3, "GET", "/api/v3/trace-summaries", summaries);
    router.add(Family::kJaeger3, "POST", "/api/v3/traces", search);
    router.add(Family::kJaeger3, "POST", "/api/v3/trace-summaries", summaries);
}

}  // namespace spanloom::api

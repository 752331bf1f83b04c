#include "api/tempo.h"

#include <algorithm>

#include "base/text.h"
#include "otlp/json.h"
#include "otlp/writer.h"
#include "traceql/checker.h"
#include "traceql/executor.h"
#include "traceql/names.h"

namespace spanloom::api {
namespace {

using store::Predicate;
using store::Value;
using store::ValueKind;

constexpr uint32_t kTracesDefault = 20;
constexpr uint32_t kSpansPerSpansetDefault = 3;
constexpr uint32_t kSpansPerSpansetMax = 100;
constexpr uint64_t kSecond = 1'000'000'000;
// Features of this version and earlier ones are what clients may use.
constexpr std::string_view kTempoVersion = "2.9.0";

http::Response protobuf_reply(std::string body) {
    http::Response response;
    response.headers.add("content-type", "application/protobuf");
    response.body = std::move(body);
    return response;
}

// Seconds since 1970; 0 where absent.
Result<uint64_t> seconds(const http::Query& query, std::string_view name) {
    TRY_ASSIGN(const uint64_t value, number_parameter(query, name, 0, 0, UINT64_MAX / kSecond / 2));
    return value * kSecond;
}

Result<store::TimeRange> read_range(const http::Query& query) {
    store::TimeRange range;
    TRY_ASSIGN(const uint64_t start, seconds(query, "start"));
    TRY_ASSIGN(const uint64_t end, seconds(query, "end"));
    if (start == 0 && end == 0) return range;
    if (end != 0 && end <= start)
        return fail(ErrorCode::kInvalidArgument,
                    "http parameter start must be before end. received start={} end={}",
                    query.get("start"), query.get("end"));
    range.start_ns = start;
    if (end != 0) range.end_ns = end;
    return range;
}

// ---- traces by id

Result<http::Response> trace_v2(Call& call) {
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    TRY(read_range(call.query));
    const bool wants_protobuf = call.accepts("application/protobuf");
    const auto cached = read_trace(call, id);
    const bool is_known = cached.has_value();
    if (!is_known && cached.error().code != ErrorCode::kNotFound)
        return tl::unexpected(cached.error());
    std::string out;
    if (wants_protobuf) {
        // TraceByIDResponse { Trace trace = 1; metrics = 2; status = 3; message = 4 }
        otlp::WireWriter wire(out);
        if (is_known) wire.bytes_field(1, (*cached)->trace.batch.bytes.view());
        wire.bytes_field(2, {});
        if (is_known && (*cached)->trace.is_partial) {
            wire.varint_field(3, 1);
            wire.bytes_field(4, "a part of this trace is damaged on disk");
        }
        return protobuf_reply(std::move(out));
    }
    // An unknown trace is an empty one: a 404 would make clients fall back to version 1.
    JsonWriter json(out);
    json.begin_object().key("trace").begin_object();
    if (is_known) {
        json.key("resourceSpans");
        otlp::append_resource_spans_json(json, (*cached)->trace.batch, otlp::JsonForm::kProto3);
    }
    json.end_object().key("metrics").begin_object().end_object();
    if (is_known && (*cached)->trace.is_partial) {
        json.field("status", std::string_view("PARTIAL"));
        json.field("message", std::string_view("a part of this trace is damaged on disk"));
    }
    json.end_object();
    return json_reply(std::move(out));
}

// ---- search

// A value of an answer as an OTLP AnyValue.
void write_value(JsonWriter& json, const Value& value) {
    json.begin_object();
    switch (value.kind) {
        case ValueKind::kBool:
            json.field("boolValue", value.integer != 0);
            break;
        case ValueKind::kInt:
            json.key("intValue").quoted(value.integer);
            break;
        case ValueKind::kDouble:
            json.field("doubleValue", value.number);
            break;
        case ValueKind::kDuration:
            json.field("stringValue", format_duration_ns(value.integer));
            break;
        case ValueKind::kString:
            json.field("stringValue", value.text);
            break;
        case ValueKind::kSpanKind:
            json.field("stringValue",
                       traceql::kind_keyword(static_cast<otlp::SpanKind>(value.integer)));
            break;
        case ValueKind::kStatus:
            json.field("stringValue",
                       traceql::status_keyword(static_cast<otlp::StatusCode>(value.integer)));
            break;
        case ValueKind::kOther: {
            std::string text;
            JsonWriter inner(text);
            otlp::append_value_json(inner, otlp::ValueView::parse(value.text),
                                    otlp::ValueForm::kPlain);
            json.field("stringValue", text);
            break;
        }
        case ValueKind::kNil:
            break;
    }
    json.end_object();
}

// Attributes go by their key alone, intrinsics by their short name.
std::string_view shown_key(const store::Field& field) {
    if (field.scope == store::Scope::kIntrinsic) return traceql::intrinsic_name(field.intrinsic);
    return field.key;
}

void write_spanset(JsonWriter& json, const store::TraceSummary& trace) {
    json.begin_object().key("spans").begin_array();
    for (const store::MatchedSpan& span : trace.matched_spans) {
        json.begin_object().field("spanID", span.span_id.hex());
        if (!span.name.empty()) json.field("name", span.name);
        json.key("startTimeUnixNano").quoted(span.start_ns);
        json.key("durationNanos").quoted(span.duration_ns);
        if (!span.values.empty()) {
            json.key("attributes").begin_array();
            for (const auto& [field, value] : span.values) {
                json.begin_object().field("key", shown_key(field)).key("value");
                write_value(json, value);
                json.end_object();
            }
            json.end_array();
        }
        json.end_object();
    }
    json.end_array().field("matched", trace.matched).end_object();
}

void write_trace(JsonWriter& json, const store::TraceSummary& trace) {
    json.begin_object().field("traceID", trace.trace_id.hex());
    json.field("rootServiceName", trace.root_received ? std::string_view(trace.root_service)
                                                      : "<root span not yet received>");
    if (trace.root_received && !trace.root_name.empty())
        json.field("rootTraceName", trace.root_name);
    json.key("startTimeUnixNano").quoted(trace.start_ns);
    const uint64_t duration_ms =
        (trace.end_ns - std::min(trace.end_ns, trace.start_ns)) / 1'000'000;
    if (duration_ms != 0) json.field("durationMs", std::min<uint64_t>(duration_ms, UINT32_MAX));
    json.key("spanSet");
    write_spanset(json, trace);
    json.key("spanSets").begin_array();
    write_spanset(json, trace);
    json.end_array().key("serviceStats").begin_object();
    for (const store::ServiceCount& service : trace.services) {
        json.key(service.name).begin_object().field("spanCount", service.spans);
        if (service.errors != 0) json.field("errorCount", service.errors);
        json.end_object();
    }
    json.end_object().end_object();
}

http::Response search_reply(const store::SearchAnswer& answer) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("traces").begin_array();
    for (const store::TraceSummary& trace : answer.traces)
        write_trace(json, trace);
    json.end_array().key("metrics").begin_object();
    json.field("inspectedTraces", answer.traces.size());
    json.key("inspectedBytes").quoted(answer.stats.scanned_bytes);
    json.key("inspectedSpans").quoted(answer.stats.scanned_spans);
    json.field("totalBlocks", answer.stats.segments);
    json.field("completedJobs", 1).field("totalJobs", 1);
    json.end_object().end_object();
    return json_reply(std::move(out));
}

struct TagFilter {
    std::string key;
    std::string value;
};

// logfmt: key=value key="quoted value" ...
Result<std::vector<TagFilter>> parse_logfmt(std::string_view text) {
    constexpr size_t kTagsMax = 64;
    std::vector<TagFilter> tags;
    size_t at = 0;
    while (true) {
        while (at < text.size() && text[at] == ' ')
            ++at;
        if (at >= text.size()) return tags;
        const size_t equals = text.find_first_of("= ", at);
        if (equals == std::string_view::npos || text[equals] != '=' || equals == at)
            return fail(ErrorCode::kInvalidArgument,
                        "invalid tags: \"{}\" is not of the form key=value", text.substr(at, 100));
        TagFilter tag{std::string(text.substr(at, equals - at)), ""};
        at = equals + 1;
        if (at < text.size() && (text[at] == '"' || text[at] == '\'')) {
            const char quote = text[at++];
            while (at < text.size() && text[at] != quote) {
                if (text[at] == '\\' && at + 1 < text.size()) ++at;
                tag.value += text[at++];
            }
            if (at++ >= text.size())
                return fail(ErrorCode::kInvalidArgument, "invalid tags: a quote is not closed");
        } else {
            while (at < text.size() && text[at] != ' ')
                tag.value += text[at++];
        }
        tags.push_back(std::move(tag));
        if (tags.size() > kTagsMax)
            return fail(ErrorCode::kInvalidArgument, "invalid tags: more than {}", kTagsMax);
    }
}

Predicate tag_filter(const TagFilter& tag) {
    const auto contains = [&](store::Field field) {
        return Predicate::compare(std::move(field), store::Comparison::kTextContains,
                                  Value::of_string(tag.value));
    };
    const auto intrinsic = [](store::Intrinsic which) {
        return store::Field{store::Scope::kIntrinsic, which, ""};
    };
    if (tag.key == "name") return contains(intrinsic(store::Intrinsic::kName));
    if (tag.key == "status.code" || tag.key == "status") {
        for (const auto code :
             {otlp::StatusCode::kUnset, otlp::StatusCode::kOk, otlp::StatusCode::kError}) {
            if (traceql::status_keyword(code) == tag.value)
                return Predicate::compare(intrinsic(store::Intrinsic::kStatus),
                                          store::Comparison::kEqual, Value::of_status(code));
        }
    }
    if (tag.key == "error" && tag.value == "true")
        return Predicate::compare(intrinsic(store::Intrinsic::kStatus), store::Comparison::kEqual,
                                  Value::of_status(otlp::StatusCode::kError));
    return Predicate::any_of(
        {contains({store::Scope::kSpan, store::Intrinsic::kNone, tag.key}),
         contains({store::Scope::kResource, store::Intrinsic::kNone, tag.key})});
}

struct Limits {
    uint32_t traces = kTracesDefault;
    uint32_t spans = kSpansPerSpansetDefault;
};

Result<Limits> read_limits(const Call& call) {
    TRY_ASSIGN(const uint64_t traces, number_parameter(call.query, "limit", kTracesDefault, 1,
                                                       call.context.options.limits.traces_max));
    TRY_ASSIGN(uint64_t spans,
               number_parameter(call.query, "spss", kSpansPerSpansetDefault, 0, UINT32_MAX));
    // 0 asks for all of them.
    if (spans == 0 || spans > kSpansPerSpansetMax) spans = kSpansPerSpansetMax;
    return Limits{static_cast<uint32_t>(traces), static_cast<uint32_t>(spans)};
}

Result<http::Response> search_by_tags(const Call& call, const store::TimeRange& range,
                                      const Limits& limits) {
    TRY_ASSIGN(const auto tags, parse_logfmt(call.query.get("tags")));
    TRY_ASSIGN(const auto min, duration_parameter("minDuration", call.query.get("minDuration")));
    TRY_ASSIGN(const auto max, duration_parameter("maxDuration", call.query.get("maxDuration")));
    std::vector<Predicate> all;
    for (const TagFilter& tag : tags)
        all.push_back(tag_filter(tag));
    const store::Field duration{store::Scope::kIntrinsic, store::Intrinsic::kDuration, ""};
    if (min)
        all.push_back(Predicate::compare(duration, store::Comparison::kGreaterEqual,
                                         Value::of_duration(*min)));
    if (max)
        all.push_back(
            Predicate::compare(duration, store::Comparison::kLessEqual, Value::of_duration(*max)));
    store::SearchRequest request;
    request.range = range;
    request.where = all.empty() ? Predicate::everything() : Predicate::all_of(std::move(all));
    request.limit = limits.traces;
    request.spans_per_trace = limits.spans;
    request.cancelled = call.request.cancelled;
    request.deadline_monotonic_ns = call.deadline_ns;
    TRY_ASSIGN(const auto answer, store::search(call.segments(), request));
    return search_reply(answer);
}

Result<http::Response> search(Call& call) {
    const std::string_view text = call.query.get("q");
    if (!text.empty() && !call.query.get("tags").empty())
        return fail(ErrorCode::kInvalidArgument, "invalid request: use either q or tags, not both");
    TRY_ASSIGN(const store::TimeRange range, read_range(call.query));
    TRY_ASSIGN(const Limits limits, read_limits(call));
    if (text.empty()) return search_by_tags(call, range, limits);
    const auto query = traceql::parse(text);
    if (!query)
        return fail(ErrorCode::kInvalidArgument, "invalid TraceQL query: {}", query.error().text());
    traceql::SearchOptions options;
    options.range = range;
    options.limit = limits.traces;
    options.spans_per_trace = limits.spans;
    options.cancelled = call.request.cancelled;
    options.deadline_monotonic_ns = call.deadline_ns;
    TRY_ASSIGN(const auto answer,
               traceql::execute(*query, call.segments(), options, call.context.options.clock));
    return search_reply(answer);
}

Result<http::Response> build_info(Call&) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("version", kTempoVersion);
    for (const std::string_view name :
         {"revision", "branch", "buildDate", "buildUser", "goVersion"})
        json.field(name, std::string_view());
    json.end_object();
    return json_reply(std::move(out));
}

Answer metrics_not_here() {
    return [](Call&) -> Result<http::Response> {
        return text_reply("TraceQL metrics are not available in this version\n", 501);
    };
}

}  // namespace

Result<http::Response> tempo_trace_v1(Call& call) {
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    TRY(read_range(call.query));
    const auto cached = read_trace(call, id);
    if (!cached && cached.error().code == ErrorCode::kNotFound)
        return text_reply("trace not found", 404);
    if (!cached) return tl::unexpected(cached.error());
    const Batch& batch = (*cached)->trace.batch;
    // Trace { repeated ResourceSpans = 1 } has the bytes of TracesData.
    if (call.accepts("application/protobuf"))
        return protobuf_reply(std::string(batch.bytes.view()));
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("batches");
    otlp::append_resource_spans_json(json, batch, otlp::JsonForm::kProto3);
    json.end_object();
    return json_reply(std::move(out));
}

void add_tempo(Router& router) {
    router
        .add(Family::kTempo, "GET", "/api/echo",
             [](Call&) -> Result<http::Response> { return text_reply("echo"); })
        .place = Place::kIoThread;
    router
        .add(Family::kTempo, "GET", "/ready",
             [](Call&) -> Result<http::Response> { return text_reply("ready\n"); })
        .place = Place::kIoThread;
    router.add(Family::kTempo, "GET", "/api/status/buildinfo", build_info).place = Place::kIoThread;
    router.add(Family::kTempo, "GET", "/api/traces/{}", tempo_trace_v1).only_with_prefix = true;
    router.add(Family::kTempo, "GET", "/api/v2/traces/{}", trace_v2);
    router.add(Family::kTempo, "GET", "/api/search", search);
    router.add(Family::kTempo, "GET", "/api/metrics/query_range", metrics_not_here());
    router.add(Family::kTempo, "GET", "/api/metrics/query", metrics_not_here());
    add_tempo_tags(router);
}

}  // namespace spanloom::api

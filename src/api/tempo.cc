#include "api/tempo.h"

#include <memory>
#include <optional>

#include <simdjson.h>

#include "api/tempo_metrics.h"
#include "api/tempo_search.h"
#include "api/trace_diff.h"
#include "api/trace_digest.h"
#include "api/trace_filter.h"
#include "otlp/json.h"
#include "otlp/writer.h"

namespace spanloom::api {
namespace {

// Features of this version and earlier ones are what clients may use.
constexpr std::string_view kTempoVersion = "2.9.0";

// ---- traces by id

// What is shown of a trace. An unknown trace is an empty one: a 404 would make clients fall back to
// version 1.
struct ShownTrace {
    std::shared_ptr<const Batch> batch;
    std::string_view partial;  // why it is not all of it; empty: it is

    static Result<ShownTrace> of(const std::shared_ptr<const CachedTrace>& cached,
                                 const std::optional<TraceFilter>& filter) {
        const traceql::Trace& trace = cached->trace;
        ShownTrace shown;
        if (trace.is_partial) shown.partial = "a part of this trace is damaged on disk";
        shown.batch = std::shared_ptr<const Batch>(cached, &trace.batch);
        if (!filter) return shown;
        bool left_out = false;
        const std::string bytes = filter->apply(trace, left_out);
        if (!left_out) return shown;
        if (shown.partial.empty()) shown.partial = "only the spans that q asks for";
        TRY_ASSIGN(Batch some, otlp::decode(Blob::copy_of(bytes)));
        shown.batch = std::make_shared<const Batch>(std::move(some));
        return shown;
    }
};

// TraceByIDResponse { Trace trace = 1; metrics = 2; status = 3; message = 4 }
std::string trace_message(const ShownTrace& shown) {
    std::string out;
    otlp::WireWriter wire(out);
    if (shown.batch) wire.bytes_field(1, shown.batch->bytes.view());
    wire.bytes_field(2, {});
    if (!shown.partial.empty()) {
        wire.varint_field(3, 1);
        wire.bytes_field(4, shown.partial);
    }
    return out;
}

std::string trace_json(const ShownTrace& shown) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("trace").begin_object();
    if (shown.batch) {
        json.key("resourceSpans");
        otlp::append_resource_spans_json(json, *shown.batch, otlp::JsonForm::kProto3);
    }
    json.end_object().key("metrics").begin_object().end_object();
    if (!shown.partial.empty()) {
        json.field("status", std::string_view("PARTIAL"));
        json.field("message", shown.partial);
    }
    json.end_object();
    return out;
}

// For language models: the trace in words.
Result<http::Response> trace_digest(const TraceId& id, const ShownTrace& shown) {
    constexpr size_t kBytesMax = 24'000;
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("traceId", id.hex());
    if (shown.batch) {
        store::StoredTrace stored;
        stored.traces_data = shown.batch->bytes;
        TRY_ASSIGN(const traceql::Trace trace, traceql::Trace::read(stored));
        json.field("summary", digest_trace(trace, kBytesMax));
    }
    if (!shown.partial.empty()) json.field("partial", shown.partial);
    json.end_object();
    http::Response response;
    response.headers.add("content-type", std::string(kForModels));
    response.body = std::move(out);
    return response;
}

Result<http::Response> trace_v2(Call& call) {
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    TRY(tempo_range(call.query));
    TRY_ASSIGN(const auto filter, TraceFilter::read(call.query));
    const auto cached = read_trace(call, id);
    if (!cached && cached.error().code != ErrorCode::kNotFound)
        return tl::unexpected(cached.error());
    ShownTrace shown;
    if (cached) {
        TRY_ASSIGN(shown, ShownTrace::of(*cached, filter));
    }
    if (call.accepts(kProtobuf)) return protobuf_reply(trace_message(shown));
    if (call.accepts(kForModels)) return trace_digest(id, shown);
    return json_reply(trace_json(shown));
}

// ---- search

std::string search_message(const traceql::SearchAnswer& answer, uint64_t segment_bytes) {
    std::string out;
    otlp::WireWriter wire(out);
    for (const traceql::TraceFound& trace : answer.traces)
        write_tempo_trace(wire, 1, trace);
    write_search_metrics(wire, 2, {answer.stats, answer.traces.size(), segment_bytes});
    return out;
}

std::string search_json(const traceql::SearchAnswer& answer, uint64_t segment_bytes) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("traces").begin_array();
    for (const traceql::TraceFound& trace : answer.traces)
        write_tempo_trace(json, trace);
    json.end_array();
    write_search_metrics(json, {answer.stats, answer.traces.size(), segment_bytes});
    json.end_object();
    return out;
}

Result<http::Response> search(Call& call) {
    TempoQuestion question;
    question.query = call.query.get("q");
    question.tags = call.query.get("tags");
    question.duration_min = call.query.get("minDuration");
    question.duration_max = call.query.get("maxDuration");
    TRY_ASSIGN(question.range, tempo_range(call.query));
    TRY_ASSIGN(const uint64_t traces, number_parameter(call.query, "limit", question.traces, 1,
                                                       call.context.options.limits.traces_max));
    TRY_ASSIGN(const uint64_t spans,
               number_parameter(call.query, "spss", question.spans_per_spanset, 0, UINT32_MAX));
    question.traces = static_cast<uint32_t>(traces);
    question.set_spans(spans);
    TRY_ASSIGN(const auto answer, tempo_search(call, question));
    const uint64_t bytes = segment_bytes_in(call, question.range);
    http::Response response = call.accepts(kProtobuf)
                                  ? protobuf_reply(search_message(answer, bytes))
                                  : json_reply(search_json(answer, bytes));
    add_remarks(response, answer.stats, answer.notes);
    return response;
}

// {"base":{"traceId":..},"compare":{"traceId":..}}
Result<http::Response> diff(Call& call) {
    TRY_ASSIGN(const Blob body, call.body());
    simdjson::dom::parser parser;
    simdjson::dom::element root;
    std::string_view base;
    std::string_view compare;
    if (parser.parse(body.view().data(), body.size()).get(root) != simdjson::SUCCESS ||
        root["base"]["traceId"].get(base) != simdjson::SUCCESS ||
        root["compare"]["traceId"].get(compare) != simdjson::SUCCESS)
        return fail(
            ErrorCode::kInvalidArgument,
            "the body must be JSON such as "
            "{{\"base\":{{\"traceId\":\"4bf9..\"}},\"compare\":{{\"traceId\":\"00f0..\"}}}}");
    TRY_ASSIGN(std::string out, trace_diff(call, base, compare));
    return json_reply(std::move(out));
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

}  // namespace

Result<http::Response> tempo_trace_v1(Call& call) {
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    TRY(tempo_range(call.query));
    const auto cached = read_trace(call, id);
    if (!cached && cached.error().code == ErrorCode::kNotFound)
        return text_reply("trace not found", 404);
    if (!cached) return tl::unexpected(cached.error());
    const Batch& batch = (*cached)->trace.batch;
    // Trace { repeated ResourceSpans = 1 } has the bytes of TracesData.
    if (call.accepts(kProtobuf)) return protobuf_reply(std::string(batch.bytes.view()));
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
    // Its address would be that of a trace.
    router.add(Family::kTempo, "GET", "/api/v2/traces/diff", [](Call&) {
        http::Response response = text_reply("this address takes POST\n", 405);
        response.headers.add("allow", "POST");
        return Result<http::Response>(std::move(response));
    });
    router.add(Family::kTempo, "GET", "/api/v2/traces/{}", trace_v2);
    router.add(Family::kTempo, "GET", "/api/search", search);
    router.add(Family::kTempo, "POST", "/api/v2/traces/diff", diff);
    add_tempo_metrics(router);
    add_tempo_tags(router);
}

}  // namespace spanloom::api

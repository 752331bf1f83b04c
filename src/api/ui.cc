#include "api/ui.h"

#include <algorithm>
#include <charconv>
#include <mutex>
#include <set>

#include <simdjson.h>

#include "api/jaeger_search.h"
#include "base/process_memory.h"
#include "base/text.h"
#include "traceql/checker.h"
#include "traceql/executor.h"
#include "traceql/highlight.h"
#include "traceql/lexer.h"
#include "traceql/names.h"

namespace spanloom::api {
namespace {

constexpr uint32_t kTracesDefault = 50;
constexpr uint32_t kSpansPerTrace = 5;
constexpr uint32_t kValuesMax = 100;

// ---- where things are in a text, as browsers count

// UTF-16 code units before a byte position.
size_t utf16_position(std::string_view text, size_t bytes) {
    size_t units = 0;
    for (size_t i = 0; i < std::min(bytes, text.size()); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if ((byte & 0xc0) == 0x80) continue;
        units += byte >= 0xf0 ? 2 : 1;
    }
    return units;
}

void write_tokens(JsonWriter& json, std::string_view text) {
    json.key("tokens").begin_array();
    for (const traceql::Highlight& part : traceql::highlight(text)) {
        json.begin_object().field("from", utf16_position(text, part.from));
        json.field("to", utf16_position(text, part.to));
        json.field("kind", traceql::highlight_name(part.kind)).end_object();
    }
    json.end_array();
}

http::Response query_error(const Call& call, std::string_view text,
                           const traceql::QueryError& error) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("code", error_code_name(error.code));
    json.field("message", error.message).field("hint", error.hint);
    json.field("pos", utf16_position(text, error.from));
    json.field("requestId", std::to_string(call.request_id)).end_object();
    return json_reply(std::move(out), 400);
}

// ---- boot and health

Result<http::Response> boot(Call& call) {
    TRY_ASSIGN(const auto services, service_names(call));
    const ApiOptions& options = call.context.options;
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("version", options.boot.version);
    json.key("features").begin_array();
    json.string("search").string("trace").string("metrics").end_array();
    json.key("services").begin_array();
    for (const std::string& name : services)
        json.string(name);
    json.end_array().key("now_ns").quoted(call.now_ns());
    json.key("endpoints").begin_object().field("otlp_grpc", options.boot.otlp_grpc);
    json.field("otlp_http", options.boot.otlp_http).end_object();
    json.key("spans").quoted(options.store.state().spans);
    json.key("limits").begin_object();
    json.field("search_limit_max", options.limits.ui_traces_max);
    json.end_object().end_object();
    return json_reply(std::move(out));
}

// Spans per second between questions that lie at least a second apart.
class SpanRate {
  public:
    double at(uint64_t now_ns, uint64_t spans) {
        std::lock_guard lock(mutex_);
        if (last_ns_ == 0) {
            last_ns_ = now_ns;
            last_spans_ = spans;
        }
        if (now_ns < last_ns_ + 1'000'000'000) return rate_;
        // Retention may have removed more than has come.
        const double arrived = spans > last_spans_ ? static_cast<double>(spans - last_spans_) : 0;
        rate_ = arrived * 1e9 / static_cast<double>(now_ns - last_ns_);
        last_ns_ = now_ns;
        last_spans_ = spans;
        return rate_;
    }

  private:
    std::mutex mutex_;
    uint64_t last_ns_ = 0;
    uint64_t last_spans_ = 0;
    double rate_ = 0;
};

Answer health() {
    return [rate = std::make_shared<SpanRate>()](Call& call) -> Result<http::Response> {
        const ApiOptions& options = call.context.options;
        call.context.traces.forget_unused(options.clock.monotonic_ns());
        const store::StoreState state = options.store.state();
        std::string out;
        JsonWriter json(out);
        json.begin_object().key("spans").quoted(state.spans);
        json.field("spans_per_s", rate->at(options.clock.monotonic_ns(), state.spans));
        json.key("disk_bytes").quoted(state.disk_bytes);
        json.key("memory_bytes").quoted(process_memory().resident_bytes);
        json.key("oldest_ns");
        if (state.oldest_arrival_ns == 0) {
            json.null();
        } else {
            json.quoted(state.oldest_arrival_ns);
        }
        json.key("rejected")
            .quoted(options.spans_rejected ? options.spans_rejected() : uint64_t{0});
        json.field("state", std::string_view(state.is_read_only ? "read-only" : "ok"));
        json.field("reason", state.reason).end_object();
        return json_reply(std::move(out));
    };
}

// ---- search

struct SearchBody {
    std::string query = "{ }";
    traceql::SearchOptions options;
};

// A time in ns: a decimal string, or a number.
Result<std::optional<uint64_t>> time_member(simdjson::dom::object body, std::string_view name) {
    simdjson::dom::element element;
    if (body[name].get(element) != simdjson::SUCCESS || element.is_null()) return std::nullopt;
    std::string_view text;
    uint64_t number = 0;
    if (element.get_uint64().get(number) == simdjson::SUCCESS) return number;
    if (element.get_string().get(text) == simdjson::SUCCESS) {
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error == std::errc() && end == text.data() + text.size() && !text.empty())
            return number;
    }
    return fail(ErrorCode::kInvalidArgument,
                "malformed member {}: it must be ns as a decimal string", name);
}

// As handed out with the last answer.
Result<std::optional<traceql::SearchCursor>> cursor_member(simdjson::dom::object body) {
    simdjson::dom::element element;
    if (body["cursor"].get(element) != simdjson::SUCCESS || element.is_null()) return std::nullopt;
    std::string_view text;
    if (element.get_string().get(text) != simdjson::SUCCESS) text = {};
    return traceql::SearchCursor::parse(text);
}

Result<SearchBody> read_search(const Call& call) {
    TRY_ASSIGN(const Blob bytes, call.body());
    simdjson::dom::parser parser;
    simdjson::dom::object body;
    if (parser.parse(bytes.view().data(), bytes.size()).get_object().get(body) != simdjson::SUCCESS)
        return fail(ErrorCode::kInvalidArgument, "the body must be a JSON object with a member q");
    SearchBody search;
    simdjson::dom::element element;
    if (body["q"].get(element) == simdjson::SUCCESS) {
        std::string_view text;
        if (element.get_string().get(text) != simdjson::SUCCESS)
            return fail(ErrorCode::kInvalidArgument, "malformed member q: it must be a string");
        search.query = text;
    }
    TRY_ASSIGN(const auto from, time_member(body, "from"));
    TRY_ASSIGN(const auto to, time_member(body, "to"));
    if (from) search.options.range.start_ns = *from;
    if (to) search.options.range.end_ns = *to;
    if (from && to && *from >= *to)
        return fail(ErrorCode::kInvalidArgument, "from must be before to");
    TRY_ASSIGN(search.options.after, cursor_member(body));
    uint64_t limit = kTracesDefault;
    if (body["limit"].get(element) == simdjson::SUCCESS && !element.is_null()) {
        const uint32_t max = call.context.options.limits.ui_traces_max;
        if (element.get_uint64().get(limit) != simdjson::SUCCESS || limit < 1 || limit > max)
            return fail(ErrorCode::kInvalidArgument,
                        "malformed member limit: it must be a whole number from 1 to {}", max);
    }
    search.options.limit = static_cast<uint32_t>(limit);
    search.options.spans_per_trace = kSpansPerTrace;
    search.options.cancelled = call.request.cancelled;
    search.options.deadline_monotonic_ns = call.deadline_ns;
    search.options.memory_bytes_max = call.context.options.limits.memory_bytes_max;
    return search;
}

void write_text_or_null(JsonWriter& json, std::string_view name, std::string_view text) {
    json.key(name);
    if (text.empty()) {
        json.null();
    } else {
        json.string(text);
    }
}

void write_trace_line(std::string& out, const store::TraceSummary& trace) {
    JsonWriter json(out);
    json.begin_object().key("trace").begin_object().field("id", trace.trace_id.hex());
    write_text_or_null(json, "root_service", trace.root_service);
    write_text_or_null(json, "root_name", trace.root_name);
    json.key("start_ns").quoted(trace.start_ns);
    json.key("duration_ns").quoted(trace.end_ns - std::min(trace.end_ns, trace.start_ns));
    json.field("spans", trace.spans).field("errors", trace.errors);
    json.key("services").begin_array();
    for (const store::ServiceCount& service : trace.services) {
        json.begin_object().field("name", service.name).field("spans", service.spans);
        json.field("errors", service.errors).end_object();
    }
    json.end_array().field("matched", trace.matched).key("matched_spans").begin_array();
    for (const store::MatchedSpan& span : trace.matched_spans) {
        json.begin_object().field("id", span.span_id.hex()).field("name", span.name);
        json.key("start_ns").quoted(span.start_ns).key("duration_ns").quoted(span.duration_ns);
        json.end_object();
    }
    json.end_array().field("root_received", trace.root_received).end_object().end_object();
    out += '\n';
}

void write_end_line(std::string& out, const Call& call, const traceql::SearchAnswer& answer) {
    JsonWriter json(out);
    json.begin_object().key("end").begin_object();
    write_text_or_null(json, "cursor", answer.next ? answer.next->text() : std::string());
    json.key("stats").begin_object().field("scanned_spans", answer.stats.scanned_spans);
    json.field("scanned_bytes", answer.stats.scanned_bytes).field("ms", call.elapsed_ms());
    json.field("partial", answer.stats.partial).field("reason", answer.stats.reason);
    json.field("weighted", false).end_object().key("notes").begin_array();
    for (const std::string& note : answer.notes)
        json.string(note);
    json.end_array().end_object().end_object();
    out += '\n';
}

Result<http::Response> search(Call& call) {
    TRY_ASSIGN(const SearchBody body, read_search(call));
    const auto query = traceql::parse(body.query);
    if (!query) return query_error(call, body.query, query.error());
    TRY_ASSIGN(const auto answer,
               traceql::search(*query, call.segments(), body.options, call.context.options.clock));
    http::Response response;
    response.headers.add("content-type", "application/x-ndjson");
    for (const traceql::TraceFound& trace : answer.traces)
        write_trace_line(response.body, trace.summary);
    write_end_line(response.body, call, answer);
    return response;
}

// ---- help while typing

Result<http::Response> parse(Call& call) {
    TRY_ASSIGN(const Blob bytes, call.body());
    simdjson::dom::parser parser;
    std::string_view text;
    if (parser.parse(bytes.view().data(), bytes.size())["q"].get_string().get(text) !=
        simdjson::SUCCESS)
        return fail(ErrorCode::kInvalidArgument, "the body must be a JSON object with a string q");
    const auto query = traceql::parse(text);
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("ok", query.has_value());
    if (!query) {
        json.field("message", query.error().message);
        json.field("pos", utf16_position(text, query.error().from));
        json.field("hint", query.error().hint);
    }
    write_tokens(json, text);
    json.end_object();
    return json_reply(std::move(out));
}

Result<http::Response> operation_list(Call& call) {
    const std::string_view service = call.query.get("service");
    if (service.empty()) return fail(ErrorCode::kInvalidArgument, "parameter service is required");
    TRY_ASSIGN(const auto found, operations(call, service, std::nullopt));
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("operations").begin_array();
    for (const Operation& operation : found) {
        json.begin_object().field("name", operation.name);
        json.field("kind", traceql::kind_keyword(operation.kind)).end_object();
    }
    json.end_array().end_object();
    return json_reply(std::move(out));
}

Result<http::Response> keys(Call& call) {
    const std::string_view wanted = call.query.get("scope");
    constexpr std::pair<std::string_view, store::Scope> kScopes[] = {
        {"span", store::Scope::kSpan},
        {"resource", store::Scope::kResource},
        {"event", store::Scope::kEvent},
        {"link", store::Scope::kLink},
        {"instrumentation", store::Scope::kInstrumentation}};
    const auto* scope = std::find_if(std::begin(kScopes), std::end(kScopes),
                                     [&](const auto& known) { return known.first == wanted; });
    if (scope == std::end(kScopes) && !wanted.empty())
        return fail(
            ErrorCode::kInvalidArgument,
            "malformed parameter scope: it is span, resource, event, link or instrumentation");
    TRY_ASSIGN(const auto found, store::attribute_keys(call.segments(), {}));
    std::set<std::string> names;
    for (const store::KeyCount& key : found) {
        if (wanted.empty() || key.scope == scope->second) names.insert(key.key);
    }
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("keys").begin_array();
    for (const std::string& name : names)
        json.string(name);
    json.end_array().end_object();
    return json_reply(std::move(out));
}

// "span.http.method", "name", or a key without a scope.
store::Field field_of(std::string_view key) {
    const traceql::Tokens tokens = traceql::tokenize(key);
    if (!tokens.error && tokens.list.size() == 2) {
        const traceql::Token& token = tokens.list[0];
        if (token.kind == traceql::TokenKind::kAttribute && !token.is_parent)
            return {token.scope, store::Intrinsic::kNone, token.text};
        if (const auto intrinsic = traceql::intrinsic_of(token.text))
            return {store::Scope::kIntrinsic, *intrinsic, ""};
    }
    return {store::Scope::kAny, store::Intrinsic::kNone, std::string(key)};
}

std::pair<std::string_view, std::string> value_text(const store::Value& value) {
    switch (value.kind) {
        case store::ValueKind::kBool:
            return {"bool", value.integer != 0 ? "true" : "false"};
        case store::ValueKind::kInt:
            return {"int", std::to_string(value.integer)};
        case store::ValueKind::kDuration:
            return {"duration", std::to_string(value.integer) + "ns"};
        case store::ValueKind::kDouble: {
            std::string text;
            JsonWriter(text).number(value.number);
            return {"double", std::move(text)};
        }
        case store::ValueKind::kSpanKind:
            return {"keyword",
                    std::string(traceql::kind_keyword(static_cast<otlp::SpanKind>(value.integer)))};
        case store::ValueKind::kStatus:
            return {
                "keyword",
                std::string(traceql::status_keyword(static_cast<otlp::StatusCode>(value.integer)))};
        default:
            return {"string", value.text};
    }
}

Result<http::Response> values(Call& call) {
    const std::string_view key = call.query.get("key");
    if (key.empty()) return fail(ErrorCode::kInvalidArgument, "parameter key is required");
    store::Field field = field_of(key);
    // Names and services of roots are names and services.
    if (field.intrinsic == store::Intrinsic::kRootName) field.intrinsic = store::Intrinsic::kName;
    if (field.intrinsic == store::Intrinsic::kRootService)
        field = {store::Scope::kResource, store::Intrinsic::kNone, "service.name"};
    const std::string_view part = call.query.get("q");
    store::Predicate where = store::Predicate::everything();
    if (!part.empty())
        where = store::Predicate::compare(field, store::Comparison::kTextContains,
                                          store::Value::of_string(std::string(part)));
    std::vector<store::Value> found;
    if (!field.is_trace_level()) {
        TRY_ASSIGN(found, store::field_values(call.segments(), field, {}, where, kValuesMax));
    }
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("values").begin_array();
    for (const store::Value& value : found) {
        if (value.kind == store::ValueKind::kOther || value.kind == store::ValueKind::kNil)
            continue;
        const auto [type, text] = value_text(value);
        json.begin_object().field("type", type).field("value", text).end_object();
    }
    json.end_array().end_object();
    return json_reply(std::move(out));
}

}  // namespace

Result<store::TimeRange> asked_range(const Call& call) {
    constexpr uint64_t kHourNs = 3'600'000'000'000;
    TRY_ASSIGN(const uint64_t to, number_parameter(call.query, "to", call.now_ns(), 0, INT64_MAX));
    TRY_ASSIGN(const uint64_t from,
               number_parameter(call.query, "from", to - std::min(to, kHourNs), 0, INT64_MAX));
    if (from >= to) return fail(ErrorCode::kInvalidArgument, "from must be before to");
    return store::TimeRange{from, to};
}

void add_ui(Router& router) {
    router.add(Family::kUi, "GET", "/api/ui/v1/boot", boot);
    router.add(Family::kUi, "GET", "/api/ui/v1/health", health());
    router.add(Family::kUi, "POST", "/api/ui/v1/search", search);
    router.add(Family::kUi, "POST", "/api/ui/v1/parse", parse);
    router.add(Family::kUi, "GET", "/api/ui/v1/operations", operation_list);
    router.add(Family::kUi, "GET", "/api/ui/v1/keys", keys);
    router.add(Family::kUi, "GET", "/api/ui/v1/values", values);
    add_ui_services(router);
    add_ui_map(router);
    add_ui_state(router);
    add_ui_trace_questions(router);
    add_ui_trace(router);
}

}  // namespace spanloom::api

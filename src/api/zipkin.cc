#include "api/zipkin.h"

#include <algorithm>
#include <set>

#include "api/jaeger_search.h"
#include "api/predicates.h"
#include "api/zipkin_trace.h"
#include "base/text.h"
#include "insight/edge_counts.h"
#include "store/sampled_trace.h"

namespace spanloom::api {
namespace {

using store::Comparison;
using store::Field;
using store::Intrinsic;
using store::Predicate;
using store::Scope;
using store::Value;

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kMsMax = UINT64_MAX / kMs / 2;
constexpr uint64_t kLookbackMs = 86'400'000;
constexpr uint32_t kTracesDefault = 10;
constexpr uint32_t kNamesMax = 1'000;
constexpr size_t kTraceIdsMax = 1'000;
constexpr size_t kConditionsMax = 64;
// Larger answers would not fit into a browser, nor into our memory many times.
constexpr size_t kReplyBytesMax = 256U << 20;

http::Response list_reply(const std::set<std::string>& names) {
    std::string out;
    JsonWriter json(out);
    json.begin_array();
    for (const std::string& name : names)
        json.string(name);
    json.end_array();
    return json_reply(std::move(out));
}

Field span_field(std::string key) {
    return {Scope::kSpan, Intrinsic::kNone, std::move(key)};
}

// The names as stored of which Zipkin's is the lower-case form.
std::vector<std::string> stored_names(const std::vector<std::string>& all, std::string_view lower) {
    std::vector<std::string> found;
    for (const std::string& name : all) {
        if (lower_case(name) == lower) found.push_back(name);
    }
    return found;
}

Predicate any_equals(const Field& field, const std::vector<std::string>& names) {
    std::vector<Predicate> any;
    for (const std::string& name : names)
        any.push_back(Predicate::compare(field, Comparison::kEqual, Value::of_string(name)));
    return Predicate::any_of(std::move(any));
}

// Values of a text field, as stored.
Result<std::vector<std::string>> texts(const Call& call, const Field& field,
                                       const Predicate& where) {
    std::vector<Value> values;
    if (where.kind == Predicate::Kind::kTrue) {
        TRY_ASSIGN(values, call.context.values.values(call.segments(), field, {}, kNamesMax));
    } else {
        TRY_ASSIGN(values, store::field_values(call.segments(), field, {}, where, kNamesMax));
    }
    std::vector<std::string> found;
    for (Value& value : values) {
        if (value.kind == store::ValueKind::kString && !value.text.empty())
            found.push_back(std::move(value.text));
    }
    return found;
}

Result<http::Response> services(Call& call) {
    TRY_ASSIGN(const auto names, service_names(call));
    std::set<std::string> lower;
    for (const std::string& name : names)
        lower.insert(lower_case(name));
    return list_reply(lower);
}

// Spans of the service, however its name is written.
Result<Predicate> of_service(const Call& call, std::string_view service) {
    TRY_ASSIGN(const auto names, service_names(call));
    const auto found = stored_names(names, lower_case(service));
    if (found.empty()) return Predicate{Predicate::Kind::kFalse, {}, {}, Comparison::kEqual, {}};
    return any_equals({Scope::kResource, Intrinsic::kNone, "service.name"}, found);
}

Result<http::Response> span_names(Call& call) {
    const std::string_view service = call.query.get("serviceName");
    TRY_ASSIGN(const auto names, service_names(call));
    std::set<std::string> lower;
    for (const std::string& name : stored_names(names, lower_case(service))) {
        TRY_ASSIGN(const auto found, operations(call, name, std::nullopt));
        for (const Operation& operation : found) {
            if (!operation.name.empty()) lower.insert(lower_case(operation.name));
        }
    }
    return list_reply(lower);
}

Result<http::Response> remote_services(Call& call) {
    const std::string_view service = call.query.get("serviceName");
    std::set<std::string> lower;
    if (!service.empty()) {
        TRY_ASSIGN(const Predicate where, of_service(call, service));
        TRY_ASSIGN(const auto names, texts(call, span_field("peer.service"), where));
        for (const std::string& name : names)
            lower.insert(lower_case(name));
    }
    return list_reply(lower);
}

// "word" is an annotation or a tag that is there; "key=value" a tag.
Predicate annotation_condition(std::string_view part) {
    const size_t equals = part.find('=');
    const std::string key(part.substr(0, equals));
    std::vector<Predicate> any;
    const Predicate is_error = has_status(otlp::StatusCode::kError);
    if (equals == std::string_view::npos) {
        any.push_back(Predicate::compare(intrinsic(Intrinsic::kEventName), Comparison::kEqual,
                                         Value::of_string(key)));
        for (const Scope scope : {Scope::kSpan, Scope::kResource})
            any.push_back(presence({scope, Intrinsic::kNone, key}));
        if (key == "error") any.push_back(is_error);
        return Predicate::any_of(std::move(any));
    }
    const std::string value(part.substr(equals + 1));
    any.push_back(tag_predicate(key, value));
    if (key == "error")
        any.push_back(Predicate::all_of(
            {is_error, Predicate::compare(intrinsic(Intrinsic::kStatusMessage), Comparison::kEqual,
                                          Value::of_string(value))}));
    return Predicate::any_of(std::move(any));
}

std::string_view trimmed(std::string_view text) {
    while (text.starts_with(' '))
        text.remove_prefix(1);
    while (text.ends_with(' '))
        text.remove_suffix(1);
    return text;
}

Result<void> add_annotations(std::string_view query, std::vector<Predicate>& all) {
    while (!query.empty()) {
        const size_t end = query.find(" and ");
        const std::string_view part = trimmed(query.substr(0, end));
        query = end == std::string_view::npos ? std::string_view() : query.substr(end + 5);
        if (part.empty()) continue;
        if (all.size() >= kConditionsMax)
            return fail(ErrorCode::kInvalidArgument, "annotationQuery has more than {} conditions",
                        kConditionsMax);
        all.push_back(annotation_condition(part));
    }
    return {};
}

Result<void> add_durations(const http::Query& query, std::vector<Predicate>& all) {
    constexpr uint64_t kUsMax = INT64_MAX / 1000;
    TRY_ASSIGN(const uint64_t min, number_parameter(query, "minDuration", 0, 0, kUsMax));
    TRY_ASSIGN(const uint64_t max, number_parameter(query, "maxDuration", 0, 0, kUsMax));
    if (max != 0 && min == 0)
        return fail(ErrorCode::kInvalidArgument,
                    "maxDuration is only valid when minDuration is also specified");
    if (max != 0 && max < min)
        return fail(ErrorCode::kInvalidArgument, "maxDuration < minDuration");
    const auto add = [&](Comparison comparison, uint64_t us) {
        if (us == 0) return;
        all.push_back(Predicate::compare(intrinsic(Intrinsic::kDuration), comparison,
                                         Value::of_duration(static_cast<int64_t>(us * 1000))));
    };
    add(Comparison::kGreaterEqual, min);
    add(Comparison::kLessEqual, max);
    return {};
}

Result<void> add_names(const Call& call, std::vector<Predicate>& all) {
    const std::string_view service = call.query.get("serviceName");
    if (!service.empty()) {
        TRY_ASSIGN(Predicate where, of_service(call, service));
        all.push_back(std::move(where));
    }
    const auto add = [&](std::string_view parameter, const Field& field) -> Result<void> {
        const std::string lower = lower_case(call.query.get(parameter));
        if (lower.empty() || lower == "all") return {};
        TRY_ASSIGN(const auto names, texts(call, field, Predicate::everything()));
        all.push_back(any_equals(field, stored_names(names, lower)));
        return {};
    };
    TRY(add("spanName", intrinsic(Intrinsic::kName)));
    return add("remoteServiceName", span_field("peer.service"));
}

Result<store::TimeRange> read_range(const Call& call, bool needs_end) {
    if (needs_end && call.query.get("endTs").empty())
        return fail(ErrorCode::kInvalidArgument, "endTs parameter is required");
    TRY_ASSIGN(const uint64_t end,
               number_parameter(call.query, "endTs", call.now_ns() / kMs, 1, kMsMax));
    TRY_ASSIGN(const uint64_t back,
               number_parameter(call.query, "lookback", kLookbackMs, 1, kMsMax));
    return store::TimeRange{(end - std::min(end, back)) * kMs, end * kMs + kMs};
}

// Lists of traces, one after another.
class TraceLists {
  public:
    TraceLists() { json_.begin_array(); }

    Result<bool> add(const store::StoredTrace& stored) {
        TRY_ASSIGN(const auto trace, traceql::Trace::read(stored));
        write_zipkin_trace(json_, trace);
        if (out_.size() <= kReplyBytesMax) return true;
        return fail(ErrorCode::kResourceExhausted,
                    "the answer is larger than {}: ask for fewer traces", kReplyBytesMax);
    }
    http::Response reply() {
        json_.end_array();
        return json_reply(std::move(out_));
    }

  private:
    std::string out_;
    JsonWriter json_{out_};
};

Result<http::Response> traces(Call& call) {
    std::vector<Predicate> all;
    TRY(add_names(call, all));
    TRY(add_annotations(call.query.get("annotationQuery"), all));
    TRY(add_durations(call.query, all));
    store::SearchRequest request;
    TRY_ASSIGN(request.range, read_range(call, false));
    TRY_ASSIGN(const uint64_t limit, number_parameter(call.query, "limit", kTracesDefault, 1,
                                                      call.context.options.limits.traces_max));
    request.limit = static_cast<uint32_t>(limit);
    request.where = all.empty() ? Predicate::everything() : Predicate::all_of(std::move(all));
    request.spans_per_trace = 1;
    request.cancelled = call.request.cancelled;
    request.deadline_monotonic_ns = call.deadline_ns;
    TraceLists lists;
    TRY(for_each_found(call, request,
                       [&](const store::StoredTrace& stored) { return lists.add(stored); }));
    return lists.reply();
}

Result<TraceId> zipkin_id(std::string_view text) {
    const auto id = text.size() >= 1 && text.size() <= 32 ? TraceId::parse(text) : std::nullopt;
    if (id && !id->is_zero()) return *id;
    return fail(ErrorCode::kInvalidArgument,
                "{} is not a valid trace id: it is 16 to 32 lower-hex "
                "digits",
                text.substr(0, 100));
}

Result<http::Response> trace(Call& call) {
    TRY_ASSIGN(const TraceId id, zipkin_id(call.captures[0]));
    const auto cached = read_trace(call, id);
    if (!cached && cached.error().code == ErrorCode::kNotFound)
        return text_reply(call.captures[0] + " not found", 404);
    if (!cached) return tl::unexpected(cached.error());
    std::string out;
    JsonWriter json(out);
    write_zipkin_trace(json, (*cached)->trace);
    return json_reply(std::move(out));
}

Result<http::Response> trace_many(Call& call) {
    std::string_view rest = call.query.get("traceIds");
    if (rest.empty()) return fail(ErrorCode::kInvalidArgument, "traceIds parameter is empty");
    std::set<TraceId> ids;
    size_t count = 0;
    while (!rest.empty()) {
        const size_t comma = rest.find(',');
        TRY_ASSIGN(const TraceId id, zipkin_id(rest.substr(0, comma)));
        rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
        if (!ids.insert(id).second)
            return fail(ErrorCode::kInvalidArgument, "redundant trace id: {}", id.hex());
        if (++count > kTraceIdsMax)
            return fail(ErrorCode::kInvalidArgument, "more than {} trace ids", kTraceIdsMax);
    }
    if (count < 2)
        return fail(ErrorCode::kInvalidArgument,
                    "use /api/v2/trace/{{traceId}} endpoint to retrieve a single trace");
    TraceLists lists;
    const auto segments = call.segments();
    for (const TraceId& id : ids) {
        const auto stored = store::read_sampled_trace(segments, id);
        if (!stored && stored.error().code == ErrorCode::kNotFound) continue;
        if (!stored) return tl::unexpected(stored.error());
        TRY(lists.add(*stored));
    }
    return lists.reply();
}

Result<http::Response> dependencies(Call& call) {
    TRY_ASSIGN(const store::TimeRange range, read_range(call, true));
    TRY_ASSIGN(const auto graph,
               insight::find_all_dependencies(call.counted(), range, call.context.rollups));
    std::string out;
    JsonWriter json(out);
    json.begin_array();
    for (const insight::DependencyEdge& edge : graph.edges) {
        json.begin_object().field("parent", lower_case(edge.parent));
        json.field("child", lower_case(edge.child)).field("callCount", edge.calls);
        if (edge.errors != 0) json.field("errorCount", edge.errors);
        json.end_object();
    }
    json.end_array();
    return json_reply(std::move(out));
}

Result<http::Response> autocomplete_keys(Call& call) {
    TRY_ASSIGN(const auto keys, call.context.values.keys(call.segments(), {}));
    std::set<std::string> names;
    for (const store::KeyCount& key : keys) {
        if (key.scope == Scope::kSpan && names.size() < kNamesMax) names.insert(key.key);
    }
    return list_reply(names);
}

Result<http::Response> autocomplete_values(Call& call) {
    const std::string_view key = call.query.get("key");
    if (key.empty()) return fail(ErrorCode::kInvalidArgument, "key parameter is required");
    TRY_ASSIGN(const auto values,
               texts(call, span_field(std::string(key)), Predicate::everything()));
    return list_reply({values.begin(), values.end()});
}

Answer fixed(std::string json) {
    return [json = std::move(json)](Call&) -> Result<http::Response> { return json_reply(json); };
}

}  // namespace

void add_zipkin(Router& router) {
    const auto get = [&](const char* pattern, Answer answer) -> Route& {
        return router.add(Family::kZipkin, "GET", pattern, std::move(answer));
    };
    get("/api/v2/services", services);
    get("/api/v2/spans", span_names);
    get("/api/v2/remoteServices", remote_services);
    get("/api/v2/traces", traces);
    get("/api/v2/trace/{}", trace);
    get("/api/v2/traceMany", trace_many);
    get("/api/v2/dependencies", dependencies);
    get("/api/v2/autocompleteKeys", autocomplete_keys);
    get("/api/v2/autocompleteValues", autocomplete_values);
    const auto own = [&](const char* pattern, const char* json) {
        Route& route = get(pattern, fixed(json));
        route.place = Place::kIoThread;
        route.only_with_prefix = true;
    };
    own("/health", R"({"status":"UP","zipkin":{"status":"UP"}})");
    own("/info", R"({"zipkin":{"version":"spanloom"}})");
    own("/config.json",
        R"({"environment":"","queryLimit":10,"defaultLookback":900000,"searchEnabled":true,)"
        R"("logsUrl":null,"supportUrl":null,"archivePostUrl":null,"archiveUrl":null,)"
        R"("dependency":{"enabled":true,"lowErrorRate":0.5,"highErrorRate":0.75}})");
}

}  // namespace spanloom::api

#include "api/jaeger.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "api/jaeger_search.h"
#include "api/jaeger_trace.h"
#include "api/keep.h"
#include "api/tempo.h"
#include "base/text.h"
#include "store/sampled_trace.h"

namespace spanloom::api {
namespace {

constexpr uint64_t kSearchBackNs = 2ULL * 24 * 3600 * 1'000'000'000;
// Larger answers are cut: they would not fit into a browser, nor into our memory many times.
constexpr size_t kReplyBytesMax = 256U << 20;
// Ids in one question.
constexpr size_t kTraceIdsMax = 1000;

std::string string_list(const std::vector<std::string>& list) {
    std::string out;
    JsonWriter json(out);
    json.begin_array();
    for (const std::string& text : list)
        json.string(text);
    json.end_array();
    return out;
}

Result<http::Response> services(Call& call) {
    TRY_ASSIGN(const auto names, service_names(call));
    return jaeger_envelope(call, string_list(names), names.size());
}

Result<http::Response> operations_of_service(Call& call) {
    TRY_ASSIGN(auto found, operations(call, call.captures[0], std::nullopt));
    // Some clients escape the name twice.
    if (found.empty() && call.captures[0].find('%') != std::string::npos) {
        TRY_ASSIGN(found, operations(call, decode_percent(call.captures[0], false), std::nullopt));
    }
    std::vector<std::string> names;
    for (Operation& operation : found)
        names.push_back(std::move(operation.name));
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return jaeger_envelope(call, string_list(names), names.size());
}

Result<http::Response> all_operations(Call& call) {
    const std::string_view service = call.query.get("service");
    if (service.empty())
        return fail(ErrorCode::kInvalidArgument, "parameter 'service' is required");
    TRY_ASSIGN(const auto kind,
               kind_parameter({"spanKind", parameter(call.query, {"spanKind", "span_kind"})}));
    TRY_ASSIGN(const auto found, operations(call, service, kind));
    std::string out;
    JsonWriter json(out);
    json.begin_array();
    for (const Operation& operation : found) {
        json.begin_object().field("name", operation.name);
        json.field("spanKind", kind_name(operation.kind)).end_object();
    }
    json.end_array();
    return jaeger_envelope(call, out, found.size());
}

// Microseconds since 1970; `fallback` where absent.
Result<uint64_t> microseconds(const http::Query& query, std::string_view name,
                              uint64_t fallback_ns) {
    constexpr uint64_t kMax = UINT64_MAX / 1000;
    const std::string_view text = query.get(name);
    if (text.empty()) return fallback_ns;
    const auto number = parse_int(text);
    if (!number)
        return fail(ErrorCode::kInvalidArgument,
                    "malformed parameter '{}': \"{}\" is not a number of microseconds", name,
                    text.substr(0, 100));
    if (*number < 0) return 0;
    return std::min(static_cast<uint64_t>(*number), kMax) * 1000;
}

Result<void> read_tags(const http::Query& query, JaegerQuestion& question) {
    for (const std::string_view tag : query.all("tag")) {
        const size_t colon = tag.find(':');
        if (colon == std::string_view::npos)
            return fail(ErrorCode::kInvalidArgument,
                        "malformed parameter 'tag': \"{}\" must be of the form key:value",
                        tag.substr(0, 100));
        question.tags.emplace_back(tag.substr(0, colon), tag.substr(colon + 1));
    }
    for (const std::string_view tags : query.all("tags")) {
        if (tags.empty()) continue;
        TRY_ASSIGN(auto parsed, parse_tags_json("tags", tags));
        for (auto& tag : parsed)
            question.tags.push_back(std::move(tag));
    }
    return {};
}

Result<JaegerQuestion> read_question(const Call& call) {
    const http::Query& query = call.query;
    JaegerQuestion question;
    question.service = query.get("service");
    if (question.service.empty())
        return fail(ErrorCode::kInvalidArgument, "parameter 'service' is required");
    question.operation = query.get("operation");
    TRY(read_tags(query, question));
    const uint64_t now = call.now_ns();
    TRY_ASSIGN(question.range.start_ns, microseconds(query, "start", now - kSearchBackNs));
    TRY_ASSIGN(question.range.end_ns, microseconds(query, "end", now));
    TRY(question.set_durations({"minDuration", query.get("minDuration")},
                               {"maxDuration", query.get("maxDuration")}));
    TRY(question.set_limit({"limit", query.get("limit")}, call.context.options.limits.traces_max));
    TRY(flag_parameter("raw", query.get("raw")));
    return question;
}

// Traces one after another until one answer is large enough.
class TraceList {
  public:
    TraceList() { json_.begin_array(); }

    // False: this one was not written any more.
    bool add(const store::StoredTrace& stored, std::vector<JaegerFailure>& failures) {
        if (out_.size() > kReplyBytesMax) {
            failures.push_back({206, "the answer was cut: ask for fewer traces", ""});
            return false;
        }
        const auto trace = traceql::Trace::read(stored);
        if (!trace) {
            failures.push_back({500, trace.error().message, ""});
            return true;
        }
        write_jaeger_trace(json_, *trace);
        ++count_;
        return true;
    }
    size_t count() const { return count_; }
    std::string finish() {
        json_.end_array();
        return std::move(out_);
    }

  private:
    std::string out_;
    JsonWriter json_{out_};
    size_t count_ = 0;
};

Result<http::Response> traces_by_id(const Call& call) {
    const auto ids = call.query.all("traceID");
    if (ids.size() > kTraceIdsMax)
        return fail(ErrorCode::kInvalidArgument, "more than {} trace ids in one question",
                    kTraceIdsMax);
    TraceList list;
    std::vector<JaegerFailure> failures;
    const auto segments = call.segments();
    for (const std::string_view text : ids) {
        TRY_ASSIGN(const TraceId id, parse_trace_id(text));
        const auto stored = store::read_sampled_trace(segments, id);
        if (!stored && stored.error().code != ErrorCode::kNotFound)
            return tl::unexpected(stored.error());
        if (!stored) {
            failures.push_back({0, "trace not found", id.hex()});
        } else if (!list.add(*stored, failures)) {
            break;
        }
    }
    const size_t count = list.count();
    return jaeger_envelope(call, list.finish(), count, failures);
}

Result<http::Response> search(Call& call) {
    if (call.query.has("traceID")) return traces_by_id(call);
    TRY_ASSIGN(const JaegerQuestion question, read_question(call));
    TraceList list;
    std::vector<JaegerFailure> failures;
    TRY_ASSIGN(const auto stats,
               for_each_found(call, question.request(call),
                              [&](const store::StoredTrace& stored) -> Result<bool> {
                                  return list.add(stored, failures);
                              }));
    if (stats.partial) failures.push_back({206, stats.reason, ""});
    const size_t count = list.count();
    return jaeger_envelope(call, list.finish(), count, failures);
}

Result<http::Response> trace(Call& call) {
    // The address is Tempo's too; its clients ask for protobuf.
    if (call.accepts("application/protobuf")) return tempo_trace_v1(call);
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    TRY(microseconds(call.query, "start", 0));
    TRY(microseconds(call.query, "end", 0));
    TRY(flag_parameter("raw", call.query.get("raw")));
    TRY_ASSIGN(const auto found, read_jaeger_trace(call, id));
    std::string out;
    JsonWriter json(out);
    json.begin_array();
    write_jaeger_trace(json, found->trace);
    json.end_array();
    return jaeger_envelope(call, out, 1);
}

// What the UI sends when a file is dropped on it: OTLP/JSON in, Jaeger's form out.
Result<http::Response> transform(Call& call) {
    TRY_ASSIGN(const Blob body, call.body());
    store::StoredTrace uploaded;
    TRY_ASSIGN(uploaded.traces_data, otlp::json_to_protobuf(body.view()));
    TRY_ASSIGN(const traceql::Trace spans, traceql::Trace::read(uploaded));
    std::map<TraceId, std::vector<uint32_t>> rows_of;
    for (uint32_t row = 0; row < spans.spans.size(); ++row)
        rows_of[spans.spans[row].trace_id].push_back(row);
    std::string out;
    JsonWriter json(out);
    json.begin_array();
    for (const auto& [id, rows] : rows_of)
        write_jaeger_trace(json, spans, rows);
    json.end_array();
    return jaeger_envelope(call, out, rows_of.size());
}

Result<http::Response> archive(Call& call) {
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    TRY(read_jaeger_trace(call, id));
    const Result<void> archived = archive_trace(call, id);
    constexpr int kNotImplemented = 501;
    if (!archived && archived.error().code == ErrorCode::kUnsupported)
        return error_reply(Family::kJaeger, archived.error(), call.request_id, kNotImplemented);
    TRY(archived);
    return jaeger_envelope(call, "[]", 0);
}

}  // namespace

Result<std::shared_ptr<const CachedTrace>> read_jaeger_trace(Call& call, const TraceId& id) {
    auto found = read_trace(call, id);
    if (!found && found.error().code == ErrorCode::kNotFound)
        return fail(ErrorCode::kNotFound, "trace not found");
    return found;
}

http::Response jaeger_envelope(const Call& call, std::string_view data, size_t total,
                               const std::vector<JaegerFailure>& failures) {
    std::string out;
    out.reserve(data.size() + 128);
    JsonWriter json(out);
    json.begin_object().key("data").raw(data);
    json.field("total", total).field("limit", 0).field("offset", 0).key("errors");
    if (failures.empty()) {
        json.null();
    } else {
        json.begin_array();
        for (const JaegerFailure& failure : failures) {
            json.begin_object();
            if (failure.code != 0) json.field("code", failure.code);
            json.field("msg", failure.message);
            if (!failure.trace_id.empty()) json.field("traceID", failure.trace_id);
            json.end_object();
        }
        json.end_array();
    }
    json.end_object();
    const std::string_view pretty = call.query.get("prettyPrint");
    if (!pretty.empty() && pretty != "false") out = indent_json(out);
    return json_reply(std::move(out));
}

void add_jaeger(Router& router) {
    router.add(Family::kJaeger, "GET", "/api/services", services);
    router.add(Family::kJaeger, "GET", "/api/services/{}/operations", operations_of_service);
    router.add(Family::kJaeger, "GET", "/api/operations", all_operations);
    router.add(Family::kJaeger, "GET", "/api/traces", search);
    router.add(Family::kJaeger, "GET", "/api/traces/{}", trace);
    router.add(Family::kJaeger, "POST", "/api/transform", transform);
    router.add(Family::kJaeger, "POST", "/api/archive/{}", archive);
    add_jaeger_metrics(router);
    add_jaeger_grpc(router);
    add_jaeger2_grpc(router);
    add_jaeger_dependencies(router);
    add_jaeger3(router);
}

}  // namespace spanloom::api

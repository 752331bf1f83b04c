#include <algorithm>

#include "api/jaeger.h"
#include "api/jaeger_search.h"
#include "base/text.h"
#include "insight/edge_counts.h"

namespace spanloom::api {
namespace {

constexpr uint64_t kLookbackMs = 86'400'000;
constexpr uint64_t kMsMax = UINT64_MAX / 1'000'000 / 2;

Result<http::Response> dependencies(Call& call) {
    TRY_ASSIGN(const uint64_t end_ms,
               number_parameter(call.query, "endTs", call.now_ns() / 1'000'000, 0, kMsMax));
    TRY_ASSIGN(const uint64_t back_ms,
               number_parameter(call.query, "lookback", kLookbackMs, 0, kMsMax));
    const store::TimeRange range{(end_ms - std::min(end_ms, back_ms)) * 1'000'000,
                                 end_ms * 1'000'000};
    TRY_ASSIGN(const auto graph,
               insight::find_all_dependencies(call.counted(), range, call.context.rollups));
    const std::string_view service = call.query.get("service");
    size_t count = 0;
    std::string out;
    JsonWriter json(out);
    json.begin_array();
    for (const insight::DependencyEdge& edge : graph.edges) {
        if (!service.empty() && edge.parent != service && edge.child != service) continue;
        json.begin_object().field("parent", edge.parent).field("child", edge.child);
        json.field("callCount", edge.calls).end_object();
        ++count;
    }
    json.end_array();
    std::vector<JaegerFailure> failures;
    if (graph.partial) failures.push_back({206, graph.reason, ""});
    return jaeger_envelope(call, out, count, failures);
}

Result<uint64_t> time_parameter(std::string_view name, std::string_view text, uint64_t fallback) {
    if (text.empty()) return fallback;
    const auto time = parse_rfc3339_ns(text);
    if (time) return *time;
    return fail(ErrorCode::kInvalidArgument,
                "malformed parameter {}: \"{}\" is not a time such as 2026-11-22T15:00:00Z", name,
                text.substr(0, 100));
}

Result<http::Response> dependencies_v3(Call& call) {
    store::TimeRange range;
    TRY_ASSIGN(
        range.end_ns,
        time_parameter("endTime", parameter(call.query, {"endTime", "end_time"}), call.now_ns()));
    TRY_ASSIGN(range.start_ns,
               time_parameter("startTime", parameter(call.query, {"startTime", "start_time"}),
                              range.end_ns - std::min(range.end_ns, kLookbackMs * 1'000'000)));
    TRY_ASSIGN(const auto graph,
               insight::find_all_dependencies(call.counted(), range, call.context.rollups));
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("dependencies").begin_array();
    for (const insight::DependencyEdge& edge : graph.edges) {
        json.begin_object().field("parent", edge.parent).field("child", edge.child);
        json.key("callCount").quoted(edge.calls).end_object();
    }
    json.end_array().end_object();
    return json_reply(std::move(out));
}

}  // namespace

void add_jaeger_dependencies(Router& router) {
    router.add(Family::kJaeger, "GET", "/api/dependencies", dependencies);
    router.add(Family::kJaeger3, "GET", "/api/v3/dependencies", dependencies_v3);
}

}  // namespace spanloom::api

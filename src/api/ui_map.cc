// Who calls whom: services, what they call that sends no spans (databases, peers), and who calls
// them from outside.
#include <algorithm>

#include "api/ui.h"
#include "insight/edge_counts.h"
#include "rollup/operation_rollup.h"

namespace spanloom::api {
namespace {

constexpr uint32_t kDayStepS = 24 * kHourStepS;

struct Sums {
    uint64_t spans = 0;
    DurationHistogram durations;
};

Sums sums_of(const StepTable::Operation& operation) {
    Sums sums;
    for (const auto& [step_s, steps] : operation.steps) {
        for (const auto& [number, counts] : steps) {
            sums.spans += counts.spans;
            sums.durations.add(counts.durations);
        }
    }
    return sums;
}

// Edges of one pair and type that differ in protocol, as one.
std::vector<insight::ServiceEdge> by_pair(const std::vector<insight::ServiceEdge>& edges) {
    std::vector<insight::ServiceEdge> pairs;
    for (const insight::ServiceEdge& edge : edges) {
        const bool is_same = !pairs.empty() && pairs.back().client == edge.client &&
                             pairs.back().server == edge.server &&
                             pairs.back().connection_type == edge.connection_type;
        if (!is_same) {
            pairs.push_back(edge);
            continue;
        }
        insight::ServiceEdge& pair = pairs.back();
        if (!pair.protocol.empty() && !edge.protocol.empty()) pair.protocol += ", ";
        pair.protocol += edge.protocol;
        pair.weighted += edge.weighted;
        pair.weighted_errors += edge.weighted_errors;
        pair.as_server.add(edge.as_server);
        pair.as_client.add(edge.as_client);
        pair.in_queue.add(edge.in_queue);
    }
    return pairs;
}

void write_edge(JsonWriter& json, const insight::ServiceEdge& edge) {
    const Sums server = sums_of(edge.as_server);
    json.begin_object().field("client", edge.client).field("server", edge.server);
    json.field("type", edge.connection_type).field("protocol", edge.protocol);
    json.field("count", edge.weighted);
    json.field("errors", edge.weighted_errors).field("spans", server.spans);
    json.field("p50_ns", server.durations.quantile_ns(0.5));
    json.field("p95_ns", server.durations.quantile_ns(0.95));
    const Sums queue = sums_of(edge.in_queue);
    if (queue.spans > 0) {
        json.field("queue_p50_ns", queue.durations.quantile_ns(0.5));
        json.field("queue_p95_ns", queue.durations.quantile_ns(0.95));
    }
    json.end_object();
}

// What a service does, requests and all else. `seconds`: which the counts are of.
void write_node(JsonWriter& json, const OperationRollup& rollup, std::string_view service,
                double seconds) {
    uint64_t spans = 0;
    double weighted = 0;
    double errors = 0;
    for (const OperationSeries& operation : rollup.operations(service)) {
        const OperationCounts& total = operation.total;
        if (total.spans == 0) continue;
        spans += total.spans;
        weighted += total.weighted;
        errors +=
            static_cast<double>(total.errors) * total.weighted / static_cast<double>(total.spans);
    }
    json.begin_object().field("name", service).field("rate", weighted / seconds);
    json.field("count", weighted).field("errors", errors).field("spans", spans).end_object();
}

void write_edges(JsonWriter& json, const std::vector<insight::ServiceEdge>& edges) {
    json.begin_array();
    for (const insight::ServiceEdge& edge : by_pair(edges))
        write_edge(json, edge);
    json.end_array();
}

Result<http::Response> map(Call& call) {
    TRY_ASSIGN(const store::TimeRange range, asked_range(call));
    const store::CountedParts counted = call.counted();
    // Sums over all of the range: the fewer steps they are of, the better.
    TRY_ASSIGN(const auto found,
               insight::find_all_service_edges(counted, range, call.context.rollups, kDayStepS));
    OperationRollup rollup(range, range.end_ns - range.start_ns);
    rollup.add(counted, call.context.rollups);
    // Whole minutes are counted, the last as far as it has passed.
    const uint64_t first = rollup.first_step_ns();
    const uint64_t last = std::min(first + rollup.step_count() * rollup.step_ns(),
                                   std::max(call.now_ns(), first + 1));
    const double seconds = static_cast<double>(last - first) / 1e9;
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("nodes").begin_array();
    for (const OperationSeries& service : rollup.services())
        write_node(json, rollup, service.service, seconds);
    json.end_array().key("edges");
    write_edges(json, found.edges);
    json.key("unpaired");
    write_edges(json, found.unpaired);
    json.field("partial", found.partial || !found.note.empty());
    json.field("reason", found.reason.empty() ? found.note : found.reason);
    json.field("ms", call.elapsed_ms()).end_object();
    return json_reply(std::move(out));
}

}  // namespace

void add_ui_map(Router& router) {
    router.add(Family::kUi, "GET", "/api/ui/v1/map", map);
}

}  // namespace spanloom::api

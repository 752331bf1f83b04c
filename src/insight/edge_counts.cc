#include "insight/edge_counts.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "rollup/span_counts.h"
#include "store/trace_summary.h"

namespace spanloom::insight {
namespace {

// Of an hour that ages all spans are looked at.
constexpr DependencyLimits kWholeHour{.spans_max = UINT64_MAX};

// An edge is an operation of SpanCounts::edges (docs/format/counts.md): the client is its service,
// server and type are its name, the kind says whose durations they are.
constexpr char kSeparator = '\0';
constexpr otlp::SpanKind kAsServer = otlp::SpanKind::kServer;
constexpr otlp::SpanKind kAsClient = otlp::SpanKind::kClient;
constexpr otlp::SpanKind kInQueue = otlp::SpanKind::kConsumer;

struct EdgeName {
    std::string server;
    std::string connection_type;
};

std::string operation_name(const ServiceEdge& edge) {
    return edge.server + kSeparator + edge.connection_type;
}

EdgeName parse_operation_name(const std::string& name) {
    const size_t at = name.rfind(kSeparator);
    if (at == std::string::npos) return {name, {}};
    return {name.substr(0, at), name.substr(at + 1)};
}

void add_edges(const std::vector<ServiceEdge>& edges, RollupSum& sum) {
    for (const ServiceEdge& edge : edges) {
        const std::string name = operation_name(edge);
        uint64_t spans = 0;
        for (const auto& [minute, cell] : edge.as_server.minutes)
            spans += cell.spans;
        // What one stands for on average; the whole is exact.
        const double weight = spans == 0 ? 1 : edge.weighted / static_cast<double>(spans);
        const auto add = [&](const MinuteTable::Operation& side, otlp::SpanKind kind) {
            for (const auto& [minute, cell] : side.minutes)
                sum.add(edge.client, name, kind, minute, cell.errors,
                        weight * static_cast<double>(cell.spans), cell.durations);
        };
        add(edge.as_server, kAsServer);
        add(edge.as_client, kAsClient);
        add(edge.in_queue, kInQueue);
    }
}

Result<std::string> count_spans(store::Segments counted, store::Segments others) {
    RollupSum operations(1);
    for (const auto& segment : counted) {
        TRY_ASSIGN(const Blob bytes, segment->rollup());
        TRY_ASSIGN(const RollupSection section, decode_rollup(bytes.view()));
        operations.add(section);
    }
    TRY_ASSIGN(const ServiceEdges found, find_service_edges(counted, {}, kWholeHour, others));
    RollupSum edges(1);
    add_edges(found.edges, edges);
    add_edges(found.unpaired, edges);
    return encode_span_counts({operations.finish(), edges.finish()});
}

Result<std::string> put_together(std::span<const std::string_view> hours) {
    RollupSum operations(kRollupHourMinutes);
    RollupSum edges(kRollupHourMinutes);
    for (const std::string_view hour : hours) {
        TRY_ASSIGN(const SpanCounts counts, decode_span_counts(hour));
        operations.add(counts.operations);
        edges.add(counts.edges);
    }
    return encode_span_counts({operations.finish(), edges.finish()});
}

// Calls `visit` with each cell that lies in the range at least in part.
using VisitCell = std::function<void(const RollupSection& edges, const RollupCell& cell)>;
Result<void> each_counted_edge(const store::CountedParts& parts, store::TimeRange range,
                               RollupCache& cache, const VisitCell& visit) {
    for (const auto& file : parts.files) {
        const store::CountsFile& facts = file->file();
        if (!store::overlaps(facts.start_ns_min, facts.end_ns_max, range)) continue;
        TRY_ASSIGN(const auto counts, cache.counts(file));
        const RollupSection& edges = counts->edges;
        for (const RollupCell& cell : edges.cells)
            if (edges.overlaps(cell, range)) visit(edges, cell);
    }
    return {};
}

using EdgeKey = std::tuple<std::string, std::string, std::string>;  // client, server, type

EdgeKey key_of(const ServiceEdge& edge) {
    return {edge.client, edge.server, edge.connection_type};
}

void put(std::vector<ServiceEdge>&& edges, std::map<EdgeKey, ServiceEdge>& by_key) {
    for (ServiceEdge& edge : edges) {
        EdgeKey key = key_of(edge);
        by_key.emplace(std::move(key), std::move(edge));
    }
}

}  // namespace

store::Counting make_span_counting() {
    return {count_spans, put_together};
}

Result<ServiceEdges> find_all_service_edges(const store::CountedParts& parts,
                                            store::TimeRange range, RollupCache& cache) {
    TRY_ASSIGN(ServiceEdges found, find_service_edges(parts.segments, range, {}, parts.others));
    std::map<EdgeKey, ServiceEdge> edges;
    put(std::move(found.edges), edges);
    put(std::move(found.unpaired), edges);
    const auto add = [&](const RollupSection& section, const RollupCell& cell) {
        const RollupOperation& operation = section.operations[cell.operation];
        const EdgeName name = parse_operation_name(operation.name);
        const std::string& client = section.services[operation.service];
        EdgeKey key{client, name.server, name.connection_type};
        auto at = edges.find(key);
        if (at == edges.end()) {
            ServiceEdge edge{client, name.server, name.connection_type, {}, {}, {}, 0, 0};
            at = edges.emplace(std::move(key), std::move(edge)).first;
        }
        ServiceEdge& edge = at->second;
        MinuteTable::Operation& called =
            operation.kind == kInQueue ? edge.in_queue : edge.as_server;
        MinuteTable::Operation& side = operation.kind == kAsClient ? edge.as_client : called;
        side.parts_of(section)[cell.minute].add(section, cell);
        if (operation.kind != kAsServer) return;
        edge.weighted += cell.weighted;
        edge.weighted_errors += cell.weighted * static_cast<double>(cell.errors) /
                                static_cast<double>(std::max<uint64_t>(cell.count, 1));
    };
    TRY(each_counted_edge(parts, range, cache, add));
    found.edges.clear();
    found.unpaired.clear();
    for (auto& [key, edge] : edges)
        (edge.server.empty() ? found.unpaired : found.edges).push_back(std::move(edge));
    return found;
}

Result<DependencyGraph> find_all_dependencies(const store::CountedParts& parts,
                                              store::TimeRange range, RollupCache& cache) {
    TRY_ASSIGN(DependencyGraph graph, find_dependencies(parts.segments, range, {}, parts.others));
    std::map<std::pair<std::string, std::string>, DependencyEdge> edges;
    for (DependencyEdge& edge : graph.edges) {
        std::pair<std::string, std::string> key{edge.parent, edge.child};
        edges.emplace(std::move(key), std::move(edge));
    }
    const auto add = [&](const RollupSection& section, const RollupCell& cell) {
        const RollupOperation& operation = section.operations[cell.operation];
        if (operation.kind != kAsServer) return;
        const EdgeName name = parse_operation_name(operation.name);
        // Users and what sends no spans itself are no services.
        const bool is_service =
            name.connection_type.empty() || name.connection_type == "messaging_system";
        if (!is_service || name.server.empty()) return;
        const std::string& client = section.services[operation.service];
        DependencyEdge& edge = edges[{client, name.server}];
        edge.parent = client;
        edge.child = name.server;
        edge.calls += cell.count;
        edge.errors += cell.errors;
    };
    TRY(each_counted_edge(parts, range, cache, add));
    graph.edges.clear();
    for (auto& [key, edge] : edges)
        graph.edges.push_back(std::move(edge));
    return graph;
}

}  // namespace spanloom::insight

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

// Of an hour that ages all spans are looked at, and more links, since it is for good.
constexpr DependencyLimits kWholeHour{.spans_max = UINT64_MAX, .links_max = 16'000'000};

// An edge is an operation of SpanCounts::edges (docs/format/counts.md): the client is its service,
// server, type and protocol are its name, the kind says whose durations they are.
constexpr char kSeparator = '\0';
constexpr char kProtocolSeparator = ':';
constexpr otlp::SpanKind kAsServer = otlp::SpanKind::kServer;
constexpr otlp::SpanKind kAsClient = otlp::SpanKind::kClient;
constexpr otlp::SpanKind kInQueue = otlp::SpanKind::kConsumer;

struct EdgeName {
    std::string server;
    std::string connection_type;
    std::string protocol;
};

std::string operation_name(const ServiceEdge& edge) {
    std::string name = edge.server + kSeparator + edge.connection_type;
    if (!edge.protocol.empty()) name += kProtocolSeparator + edge.protocol;
    return name;
}

EdgeName parse_operation_name(const std::string& name) {
    const size_t at = name.rfind(kSeparator);
    if (at == std::string::npos) return {name, {}, {}};
    std::string type = name.substr(at + 1);
    std::string protocol;
    if (const size_t colon = type.find(kProtocolSeparator); colon != std::string::npos) {
        protocol = type.substr(colon + 1);
        type.resize(colon);
    }
    return {name.substr(0, at), std::move(type), std::move(protocol)};
}

void add_edges(const std::vector<ServiceEdge>& edges, RollupSum& sum) {
    for (const ServiceEdge& edge : edges) {
        const std::string name = operation_name(edge);
        const auto add = [&](const StepTable::Operation& side, otlp::SpanKind kind) {
            for (const auto& [step_s, steps] : side.steps) {
                for (const auto& [number, step] : steps)
                    sum.add(edge.client, name, kind, number * uint64_t{step_s} * kRollupSecondNs,
                            step.errors, step.weighted, step.durations);
            }
        };
        add(edge.as_server, kAsServer);
        add(edge.as_client, kAsClient);
        add(edge.in_queue, kInQueue);
    }
}

// The operations of all of these segments, as an encoded section.
Result<std::string> count_operations(store::Segments counted, uint32_t step_s) {
    if (counted.size() == 1) return rollup_of(*counted.front(), step_s);
    RollupSum operations(step_s);
    for (const auto& segment : counted) {
        TRY_ASSIGN(const std::string bytes, rollup_of(*segment, step_s));
        TRY_ASSIGN(const PackedRollup section, decode_rollup(bytes, step_s));
        operations.add(section);
    }
    return encode_counted(operations.finish());
}

Result<std::string> count_spans(store::Segments counted, store::Segments others) {
    uint32_t step_s = kShortStepS;
    TRY_ASSIGN(std::string operations, count_operations(counted, step_s));
    // Short steps of very many operations would take more memory than is wanted later.
    TRY_ASSIGN(const uint64_t cells, count_cells(operations));
    if (cells > kSectionCellsMax) {
        step_s = kMinuteStepS;
        TRY_ASSIGN(operations, count_operations(counted, step_s));
    }
    TRY_ASSIGN(const ServiceEdges found,
               find_service_edges(counted, {}, kWholeHour, others, step_s));
    RollupSum edges(step_s);
    add_edges(found.edges, edges);
    add_edges(found.unpaired, edges);
    return join_span_counts(step_s, operations, encode_counted(edges.finish()));
}

// Durations of what is put together for good are known by the day, in quarters of powers of two.
constexpr DurationDetail kMonthDurations{2, 24};

Result<std::string> put_together(std::span<const std::string_view> bodies,
                                 store::CountsDetail detail) {
    const uint32_t step_s = detail == store::CountsDetail::kMinutes ? kMinuteStepS : kHourStepS;
    const DurationDetail durations =
        detail == store::CountsDetail::kMonth ? kMonthDurations : DurationDetail();
    RollupSum operations(step_s, durations);
    RollupSum edges(step_s, durations);
    for (const std::string_view body : bodies) {
        TRY_ASSIGN(const SpanCounts counts, decode_span_counts(body));
        operations.add(counts.operations);
        edges.add(counts.edges);
    }
    return encode_span_counts(operations.finish(), edges.finish());
}

// Calls `visit` with each group of cells of edges in these files.
using VisitGroup = std::function<void(const PackedRollup& edges, PackedGroups& group)>;
Result<void> each_counted_edge(const store::CountedParts& parts, store::TimeRange range,
                               RollupCache& cache, const VisitGroup& visit) {
    for (const auto& file : parts.files) {
        const store::CountsFile& facts = file->file();
        if (!store::overlaps(facts.start_ns_min, facts.end_ns_max, range)) continue;
        TRY_ASSIGN(const auto counts, cache.counts(file));
        for (PackedGroups groups(counts->edges); groups.next();)
            visit(counts->edges, groups);
    }
    return {};
}

// Client, server, type, protocol.
using EdgeKey = std::tuple<std::string, std::string, std::string, std::string>;

EdgeKey key_of(const ServiceEdge& edge) {
    return {edge.client, edge.server, edge.connection_type, edge.protocol};
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
                                            store::TimeRange range, RollupCache& cache,
                                            uint32_t step_s) {
    TRY_ASSIGN(ServiceEdges found,
               find_service_edges(parts.segments, range, {}, parts.others, step_s));
    std::map<EdgeKey, ServiceEdge> edges;
    put(std::move(found.edges), edges);
    put(std::move(found.unpaired), edges);
    const auto add = [&](const PackedRollup& section, PackedGroups& group) {
        const bool is_outside =
            std::none_of(group.cells().begin(), group.cells().end(),
                         [&](const RollupCell& cell) { return section.overlaps(cell, range); });
        if (is_outside) return;
        const RollupOperation& operation = section.operations[group.operation()];
        const EdgeName name = parse_operation_name(operation.name);
        const std::string& client = section.services[operation.service];
        EdgeKey key{client, name.server, name.connection_type, name.protocol};
        auto at = edges.find(key);
        if (at == edges.end()) {
            ServiceEdge edge;
            std::tie(edge.client, edge.server, edge.connection_type, edge.protocol) = key;
            at = edges.emplace(std::move(key), std::move(edge)).first;
        }
        ServiceEdge& edge = at->second;
        StepTable::Operation& called = operation.kind == kInQueue ? edge.in_queue : edge.as_server;
        StepTable::Operation& side = operation.kind == kAsClient ? edge.as_client : called;
        const uint32_t length_s = std::max(section.step_s, step_s);
        auto& steps = side.steps[length_s];
        const auto step_of = [&](const RollupCell& cell) {
            if (!section.overlaps(cell, range)) return static_cast<StepTable::Step*>(nullptr);
            return &steps[cell.step / (length_s / section.step_s)];
        };
        for (const RollupCell& cell : group.cells()) {
            StepTable::Step* const step = step_of(cell);
            if (step == nullptr) continue;
            step->add(cell, operation.is_error);
            if (operation.kind != kAsServer) continue;
            edge.weighted += cell.weighted;
            edge.weighted_errors += cell.weighted * static_cast<double>(cell.errors) /
                                    static_cast<double>(std::max<uint64_t>(cell.count, 1));
        }
        group.each_durations<StepTable::Step*>(
            nullptr, step_of, [&](StepTable::Step* step, std::span<const BucketCount> durations) {
                step->add_durations(durations, operation.is_error);
            });
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
    const auto add = [&](const PackedRollup& section, PackedGroups& group) {
        const RollupOperation& operation = section.operations[group.operation()];
        if (operation.kind != kAsServer) return;
        const EdgeName name = parse_operation_name(operation.name);
        // Users and what sends no spans itself are no services.
        const bool is_service =
            name.connection_type.empty() || name.connection_type == "messaging_system";
        if (!is_service || name.server.empty()) return;
        const std::string& client = section.services[operation.service];
        for (const RollupCell& cell : group.cells()) {
            if (!section.overlaps(cell, range)) continue;
            DependencyEdge& edge = edges[{client, name.server}];
            edge.parent = client;
            edge.child = name.server;
            edge.calls += cell.count;
            edge.errors += cell.errors;
        }
    };
    TRY(each_counted_edge(parts, range, cache, add));
    graph.edges.clear();
    for (auto& [key, edge] : edges)
        graph.edges.push_back(std::move(edge));
    return graph;
}

}  // namespace spanloom::insight

#include "insight/edge_minutes.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

namespace spanloom::insight {
namespace {

constexpr std::string_view kUser = "user";
constexpr uint32_t kNone = UINT32_MAX;

struct Member {
    SpanId id;
    SpanId parent;
    std::string service;
    std::string peer;  // by its attributes
    bool is_database = false;
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
    uint64_t start_ns = 0;
    uint64_t duration_ns = 0;
    double weight = 1;
    bool is_error = false;
    bool is_in_range = false;
};

bool receives(otlp::SpanKind kind) {
    return kind == otlp::SpanKind::kServer || kind == otlp::SpanKind::kConsumer;
}

void count(MinuteTable::Operation& operation, uint32_t minute, uint64_t duration_ns,
           bool is_error) {
    MinuteTable::Minute& cell = operation.minutes[minute];
    ++cell.spans;
    cell.errors += is_error ? 1 : 0;
    cell.durations.add(DurationHistogram::bucket_of(duration_ns), 1);
}

// Collects one trace after the other and counts its edges.
class EdgeCounter {
  public:
    explicit EdgeCounter(const DependencyLimits& limits) : limits_(limits) {}

    bool add(const store::SpanEdge& edge) {
        if (edge.trace_id != trace_id_) {
            finish_trace();
            trace_id_ = edge.trace_id;
        }
        if (spans_ >= limits_.spans_max) {
            note("more than " + std::to_string(limits_.spans_max) +
                 " spans are in the range; narrow it to see all of it");
            return false;
        }
        ++spans_;
        if (members_.size() >= limits_.trace_spans_max) {
            note("a trace has more than " + std::to_string(limits_.trace_spans_max) +
                 " spans; what is over is left out");
            return true;
        }
        members_.push_back({edge.span_id, edge.parent_span_id, std::string(edge.service),
                            std::string(edge.peer), edge.is_database, edge.kind, edge.start_ns,
                            edge.duration_ns, edge.weight, edge.error, edge.in_range});
        return true;
    }

    ServiceEdges finish() {
        finish_trace();
        for (auto& [key, edge] : edges_)
            (edge.server.empty() ? found_.unpaired : found_.edges).push_back(std::move(edge));
        return std::move(found_);
    }

  private:
    void note(const std::string& text) {
        found_.partial = true;
        if (found_.reason.empty()) found_.reason = text;
    }

    // Children belong to the side that received (a client and its server may share one id).
    void finish_trace() {
        std::unordered_map<SpanId, uint32_t> by_id;
        std::unordered_map<SpanId, uint32_t> clients;
        for (uint32_t i = 0; i < members_.size(); ++i) {
            const Member& member = members_[i];
            if (member.kind == otlp::SpanKind::kClient) clients.emplace(member.id, i);
            const auto [found, is_new] = by_id.emplace(member.id, i);
            if (!is_new && receives(member.kind) && !receives(members_[found->second].kind))
                found->second = i;
        }
        std::vector<uint32_t> parents(members_.size(), kNone);
        std::vector<uint8_t> is_answered(members_.size(), 0);
        for (uint32_t i = 0; i < members_.size(); ++i) {
            const uint32_t parent = parents[i] = parent_of(i, by_id, clients);
            if (parent == kNone) continue;
            if (receives(members_[i].kind) || members_[i].service != members_[parent].service)
                is_answered[parent] = 1;
        }
        for (uint32_t i = 0; i < members_.size(); ++i) {
            if (!members_[i].is_in_range) continue;
            count_called(members_[i], parents[i]);
            if (is_answered[i] == 0) count_unanswered(members_[i]);
        }
        members_.clear();
    }

    uint32_t parent_of(uint32_t index, const std::unordered_map<SpanId, uint32_t>& by_id,
                       const std::unordered_map<SpanId, uint32_t>& clients) const {
        const Member& member = members_[index];
        // A server that shares its client's id is that client's child.
        if (receives(member.kind)) {
            const auto shared = clients.find(member.id);
            if (shared != clients.end() && shared->second != index) return shared->second;
        }
        const auto found = by_id.find(member.parent);
        return found != by_id.end() && found->second != index ? found->second : kNone;
    }

    void count_called(const Member& member, uint32_t parent) {
        if (parent != kNone) {
            const Member& caller = members_[parent];
            if (caller.service == member.service) return;
            const bool is_queue = member.kind == otlp::SpanKind::kConsumer;
            count_edge({caller.service, member.service, is_queue ? "messaging_system" : ""}, member,
                       caller);
        } else if (member.kind == otlp::SpanKind::kServer && member.parent.is_zero()) {
            const std::string user = member.peer.empty() ? std::string(kUser) : member.peer;
            count_edge({user, member.service, "virtual_node"}, member, member);
        }
    }

    // What it called sent no spans: its client's time is all there is.
    void count_unanswered(const Member& member) {
        if (member.kind != otlp::SpanKind::kClient && member.kind != otlp::SpanKind::kProducer)
            return;
        std::string type;
        if (!member.peer.empty()) type = member.is_database ? "database" : "virtual_node";
        count_edge({member.service, member.peer, type}, member, member);
    }

    using Key = std::tuple<std::string, std::string, std::string>;  // client, server, type

    void count_edge(const Key& key, const Member& server, const Member& client) {
        auto at = edges_.find(key);
        if (at == edges_.end()) {
            if (edges_.size() >= limits_.edges_max) {
                return note("more than " + std::to_string(limits_.edges_max) +
                            " pairs of services; what is over is left out");
            }
            const auto& [from, to, type] = key;
            at = edges_.emplace(key, ServiceEdge{from, to, type, {}, {}, {}, 0, 0}).first;
        }
        const auto minute = static_cast<uint32_t>(server.start_ns / kRollupMinuteNs);
        const bool is_error = server.is_error || client.is_error;
        at->second.weighted += server.weight;
        at->second.weighted_errors += is_error ? server.weight : 0;
        count(at->second.as_server, minute, server.duration_ns, is_error);
        count(at->second.as_client, minute, client.duration_ns, is_error);
        if (server.kind != otlp::SpanKind::kConsumer) return;
        const uint64_t waited_ns = server.start_ns - std::min(client.start_ns, server.start_ns);
        count(at->second.in_queue, minute, waited_ns, is_error);
    }

    const DependencyLimits limits_;
    TraceId trace_id_;
    std::vector<Member> members_;
    uint64_t spans_ = 0;
    std::map<Key, ServiceEdge> edges_;
    ServiceEdges found_;
};

}  // namespace

Result<ServiceEdges> find_service_edges(store::Segments segments, store::TimeRange range,
                                        const DependencyLimits& limits, store::Segments others) {
    EdgeCounter counter(limits);
    TRY(store::for_each_edge(
        segments, range, [&](const store::SpanEdge& edge) { return counter.add(edge); },
        store::EdgePeers::kRead, others));
    return counter.finish();
}

}  // namespace spanloom::insight

#include "insight/edge_minutes.h"

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
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
    uint64_t start_ns = 0;
    uint64_t duration_ns = 0;
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
        members_.push_back({edge.span_id, edge.parent_span_id, std::string(edge.service), edge.kind,
                            edge.start_ns, edge.duration_ns, edge.error, edge.in_range});
        return true;
    }

    ServiceEdges finish() {
        finish_trace();
        for (auto& [key, edge] : edges_)
            found_.edges.push_back(std::move(edge));
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
        for (uint32_t i = 0; i < members_.size(); ++i) {
            if (members_[i].is_in_range) count_member(members_[i], i, by_id, clients);
        }
        members_.clear();
    }

    void count_member(const Member& member, uint32_t index,
                      const std::unordered_map<SpanId, uint32_t>& by_id,
                      const std::unordered_map<SpanId, uint32_t>& clients) {
        uint32_t parent = kNone;
        // A server that shares its client's id is that client's child.
        if (receives(member.kind)) {
            const auto shared = clients.find(member.id);
            if (shared != clients.end() && shared->second != index) parent = shared->second;
        }
        if (parent == kNone) {
            const auto found = by_id.find(member.parent);
            if (found != by_id.end() && found->second != index) parent = found->second;
        }
        if (parent != kNone) {
            const Member& caller = members_[parent];
            if (caller.service == member.service) return;
            const bool is_queue = member.kind == otlp::SpanKind::kConsumer;
            count_edge(caller.service, member, is_queue ? "messaging_system" : "", &caller);
        } else if (member.kind == otlp::SpanKind::kServer && member.parent.is_zero()) {
            count_edge(std::string(kUser), member, "virtual_node", nullptr);
        }
    }

    void count_edge(const std::string& client, const Member& server, const std::string& type,
                    const Member* caller) {
        const Key key(client, server.service, type);
        auto at = edges_.find(key);
        if (at == edges_.end()) {
            if (edges_.size() >= limits_.edges_max) {
                return note("more than " + std::to_string(limits_.edges_max) +
                            " pairs of services; what is over is left out");
            }
            at = edges_.emplace(key, ServiceEdge{client, server.service, type, {}, {}}).first;
        }
        const auto minute = static_cast<uint32_t>(server.start_ns / kRollupMinuteNs);
        const bool is_error = server.is_error || (caller != nullptr && caller->is_error);
        count(at->second.as_server, minute, server.duration_ns, is_error);
        count(at->second.as_client, minute,
              caller != nullptr ? caller->duration_ns : server.duration_ns, is_error);
    }

    using Key = std::tuple<std::string, std::string, std::string>;

    const DependencyLimits limits_;
    TraceId trace_id_;
    std::vector<Member> members_;
    uint64_t spans_ = 0;
    std::map<Key, ServiceEdge> edges_;
    ServiceEdges found_;
};

}  // namespace

Result<ServiceEdges> find_service_edges(store::Segments segments, store::TimeRange range,
                                        const DependencyLimits& limits) {
    EdgeCounter counter(limits);
    TRY(store::for_each_edge(segments, range,
                             [&](const store::SpanEdge& edge) { return counter.add(edge); }));
    return counter.finish();
}

}  // namespace spanloom::insight

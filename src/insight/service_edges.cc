#include "insight/service_edges.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>

#include "store/search_links.h"

namespace spanloom::insight {
namespace {

constexpr std::string_view kUser = "user";
constexpr uint32_t kNone = UINT32_MAX;

struct Member {
    SpanId id;
    SpanId parent;
    std::string service;
    std::string peer;  // by its attributes
    store::CallProtocol protocol = store::CallProtocol::kUnknown;
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
    uint64_t start_ns = 0;
    uint64_t duration_ns = 0;
    double weight = 1;
    bool is_error = false;
    bool is_in_range = false;
    std::vector<store::LinkedSpan> links;
};

std::string_view protocol_name(store::CallProtocol protocol) {
    constexpr std::array<std::string_view, 5> kNames = {"", "http", "rpc", "messaging", "database"};
    return kNames[static_cast<size_t>(protocol) % kNames.size()];
}

bool receives(otlp::SpanKind kind) {
    return kind == otlp::SpanKind::kServer || kind == otlp::SpanKind::kConsumer;
}

void count(StepTable::Step& cell, uint64_t duration_ns, bool is_error, double weight) {
    ++cell.spans;
    cell.errors += is_error ? 1 : 0;
    cell.weighted += weight;
    cell.durations.add(DurationHistogram::bucket_of(duration_ns), 1);
}

// Client, server, type, protocol.
using Key = std::tuple<std::string, std::string, std::string, std::string>;
using KeyView = std::tuple<std::string_view, std::string_view, std::string_view, std::string_view>;

// A producer that nothing in its trace answered: perhaps a consumer of another one does.
struct Waiting {
    TraceId trace_id;
    SpanId span_id;
    const Key* key = nullptr;  // as what it counts otherwise
    uint64_t start_ns = 0;
    uint64_t duration_ns = 0;
    double weight = 1;
    bool is_error = false;
    bool is_answered = false;

    bool operator<(const Waiting& other) const {
        return std::tie(trace_id, span_id) < std::tie(other.trace_id, other.span_id);
    }
};

// Collects one trace after the other and counts its edges.
class EdgeCounter {
  public:
    EdgeCounter(const DependencyLimits& limits, uint32_t step_s)
        : limits_(limits), step_s_(step_s) {}

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
        spans_ += 1 + edge.links.size();
        if (members_.size() >= limits_.trace_spans_max) {
            note("a trace has more than " + std::to_string(limits_.trace_spans_max) +
                 " spans; what is over is left out");
            return true;
        }
        members_.push_back({edge.span_id,
                            edge.parent_span_id,
                            std::string(edge.service),
                            std::string(edge.peer),
                            edge.protocol,
                            edge.kind,
                            edge.start_ns,
                            edge.duration_ns,
                            edge.weight,
                            edge.error,
                            edge.in_range,
                            {edge.links.begin(), edge.links.end()}});
        return true;
    }

    // After the last span: since when producers wait for consumers that link to them; none do.
    std::optional<uint64_t> waiting_since_ns() {
        finish_trace();
        if (waiting_.empty()) return std::nullopt;
        std::sort(waiting_.begin(), waiting_.end());
        const auto first = std::min_element(
            waiting_.begin(), waiting_.end(),
            [](const Waiting& a, const Waiting& b) { return a.start_ns < b.start_ns; });
        return first->start_ns;
    }

    // A consumer links to this span. False: no producer waits any more.
    bool answer(const store::LinkTarget& target) {
        Waiting wanted;
        wanted.trace_id = target.trace_id;
        wanted.span_id = target.span_id;
        const auto [first, end] = std::equal_range(waiting_.begin(), waiting_.end(), wanted);
        for (auto at = first; at != end; ++at) {
            answered_ += at->is_answered ? 0 : 1;
            at->is_answered = true;
        }
        return answered_ < waiting_.size();
    }
    void note_missing_links() {
        found_.note = "more than " + std::to_string(limits_.links_max) +
                      " links of consumers may answer: producers that later ones answer count as "
                      "unanswered";
    }

    ServiceEdges finish() {
        for (const Waiting& one : waiting_) {
            if (!one.is_answered) count_waiting(one);
        }
        for (auto& [key, counted] : edges_) {
            const bool is_unpaired = counted.edge.server.empty();
            (is_unpaired ? found_.unpaired : found_.edges).push_back(std::move(counted.edge));
        }
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
        if (parent != kNone && members_[parent].service != member.service) {
            const bool is_queue = member.kind == otlp::SpanKind::kConsumer;
            const Member& caller = members_[parent];
            return count_edge({caller.service, member.service, is_queue ? "messaging_system" : "",
                               protocol_of(caller, member)},
                              member, caller);
        }
        if (count_messages(member) || parent != kNone) return;
        if (member.kind != otlp::SpanKind::kServer || !member.parent.is_zero()) return;
        const std::string_view user = member.peer.empty() ? kUser : member.peer;
        count_edge({user, member.service, "virtual_node", protocol_of(member, member)}, member,
                   member);
    }

    // What a consumer takes in one go was sent in traces of their own: each link is a message.
    bool count_messages(const Member& member) {
        bool has_any = false;
        for (const store::LinkedSpan& link : member.links) {
            if (link.kind != otlp::SpanKind::kProducer) continue;
            Member producer;
            producer.start_ns = link.start_ns;
            producer.duration_ns = link.duration_ns;
            count_edge(
                {link.service, member.service, "messaging_system", protocol_of(member, member)},
                member, producer);
            has_any = true;
        }
        return has_any;
    }

    // What it called sent no spans: its client's time is all there is. Of a producer that is known
    // when nobody links to it.
    void count_unanswered(const Member& member) {
        const bool is_producer = member.kind == otlp::SpanKind::kProducer;
        if (member.kind != otlp::SpanKind::kClient && !is_producer) return;
        std::string_view type;
        const bool is_database = member.protocol == store::CallProtocol::kDatabase;
        if (!member.peer.empty()) type = is_database ? "database" : "virtual_node";
        const KeyView key{member.service, member.peer, type, protocol_of(member, member)};
        if (!is_producer) return count_edge(key, member, member);
        if (waiting_.size() < limits_.waiting_max) return let_wait(key, member);
        found_.note =
            "more than " + std::to_string(limits_.waiting_max) +
            " producers have no consumer in their trace: of those that are over, links of "
            "consumers were not looked at";
        count_edge(key, member, member);
    }

    void let_wait(const KeyView& key, const Member& member) {
        auto known = waiting_keys_.find(key);
        if (known == waiting_keys_.end()) known = waiting_keys_.insert(Key(key)).first;
        waiting_.push_back({trace_id_, member.id, &*known, member.start_ns, member.duration_ns,
                            member.weight, member.is_error, false});
    }

    void count_waiting(const Waiting& one) {
        Member producer;
        producer.start_ns = one.start_ns;
        producer.duration_ns = one.duration_ns;
        producer.weight = one.weight;
        producer.is_error = one.is_error;
        count_edge(KeyView(*one.key), producer, producer);
    }

    static std::string_view protocol_of(const Member& client, const Member& server) {
        const bool is_said = client.protocol != store::CallProtocol::kUnknown;
        return protocol_name(is_said ? client.protocol : server.protocol);
    }

    void count_edge(const KeyView& key, const Member& server, const Member& client) {
        auto at = edges_.find(key);
        if (at == edges_.end()) {
            if (edges_.size() >= limits_.edges_max) {
                return note("more than " + std::to_string(limits_.edges_max) +
                            " pairs of services; what is over is left out");
            }
            at = edges_.emplace(Key(key), CountedEdge()).first;
            ServiceEdge& edge = at->second.edge;
            std::tie(edge.client, edge.server, edge.connection_type, edge.protocol) = key;
        }
        CountedEdge& counted = at->second;
        ServiceEdge& edge = counted.edge;
        const auto step = static_cast<uint32_t>(server.start_ns / (step_s_ * kRollupSecondNs));
        if (counted.as_server == nullptr || counted.step != step) {
            counted.step = step;
            counted.as_server = &edge.as_server.steps[step_s_][step];
            counted.as_client = &edge.as_client.steps[step_s_][step];
        }
        const bool is_error = server.is_error || client.is_error;
        edge.weighted += server.weight;
        edge.weighted_errors += is_error ? server.weight : 0;
        count(*counted.as_server, server.duration_ns, is_error, server.weight);
        count(*counted.as_client, client.duration_ns, is_error, server.weight);
        if (server.kind != otlp::SpanKind::kConsumer) return;
        const uint64_t waited_ns = server.start_ns - std::min(client.start_ns, server.start_ns);
        count(edge.in_queue.steps[step_s_][step], waited_ns, is_error, server.weight);
    }

    // With the step that was counted in last: the next call is likely to lie in it.
    struct CountedEdge {
        ServiceEdge edge;
        uint32_t step = 0;
        StepTable::Step* as_server = nullptr;
        StepTable::Step* as_client = nullptr;
    };

    const DependencyLimits limits_;
    const uint32_t step_s_;
    TraceId trace_id_;
    std::vector<Member> members_;
    std::set<Key, std::less<>> waiting_keys_;
    std::vector<Waiting> waiting_;
    size_t answered_ = 0;  // of them
    uint64_t spans_ = 0;
    std::map<Key, CountedEdge, std::less<>> edges_;
    ServiceEdges found_;
};

}  // namespace

Result<ServiceEdges> find_service_edges(store::Segments segments, store::TimeRange range,
                                        const DependencyLimits& limits, store::Segments others,
                                        uint32_t step_s) {
    EdgeCounter counter(limits, step_s);
    TRY(store::for_each_edge(
        segments, range, [&](const store::SpanEdge& edge) { return counter.add(edge); },
        store::EdgePeers::kRead, others));
    if (const auto since_ns = counter.waiting_since_ns()) {
        TRY_ASSIGN(const bool is_whole,
                   store::for_each_consumer_link(
                       segments, others, *since_ns, limits.links_max,
                       [&](const store::LinkTarget& target) { return counter.answer(target); }));
        if (!is_whole) counter.note_missing_links();
    }
    return counter.finish();
}

}  // namespace spanloom::insight

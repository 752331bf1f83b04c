#include "insight/dependencies.h"

#include <algorithm>
#include <map>
#include <unordered_map>

namespace spanloom::insight {
namespace {

struct SpanOfTrace {
    SpanId id;
    SpanId parent;
    uint32_t service = 0;
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
    bool is_error = false;
    bool is_in_range = false;
};

bool receives(otlp::SpanKind kind) {
    return kind == otlp::SpanKind::kServer || kind == otlp::SpanKind::kConsumer;
}

// Collects one trace after the other and adds its edges up.
class Collector {
  public:
    explicit Collector(const DependencyLimits& limits) : limits_(limits) {}

    bool add(const store::SpanEdge& edge) {
        if (edge.trace_id != trace_id_) {
            finish_trace();
            trace_id_ = edge.trace_id;
        }
        if (graph_.spans >= limits_.spans_max) {
            note("more than " + std::to_string(limits_.spans_max) +
                 " spans are in the range; narrow it to see all of it");
            return false;
        }
        ++graph_.spans;
        if (spans_.size() >= limits_.trace_spans_max) {
            note("a trace has more than " + std::to_string(limits_.trace_spans_max) +
                 " spans; what is over is left out");
            return true;
        }
        spans_.push_back({edge.span_id, edge.parent_span_id, number_of(edge.service), edge.kind,
                          edge.error, edge.in_range});
        return true;
    }

    DependencyGraph finish() {
        finish_trace();
        for (const auto& [ends, counts] : edges_) {
            graph_.edges.push_back(
                {names_[ends.first], names_[ends.second], counts.calls, counts.errors});
        }
        std::sort(graph_.edges.begin(), graph_.edges.end(),
                  [](const DependencyEdge& a, const DependencyEdge& b) {
                      return a.parent != b.parent ? a.parent < b.parent : a.child < b.child;
                  });
        return std::move(graph_);
    }

  private:
    struct Counts {
        uint64_t calls = 0;
        uint64_t errors = 0;
    };

    void note(std::string reason) {
        graph_.partial = true;
        if (graph_.reason.empty()) graph_.reason = std::move(reason);
    }

    uint32_t number_of(std::string_view service) {
        const auto [at, is_new] =
            numbers_.try_emplace(std::string(service), static_cast<uint32_t>(names_.size()));
        if (is_new) names_.emplace_back(service);
        return at->second;
    }

    // Spans are sorted by id; several with one id: the receiving one last.
    const SpanOfTrace* parent_of(const SpanOfTrace& span) const {
        const auto find = [&](const SpanId& id) {
            return std::equal_range(
                spans_.begin(), spans_.end(), SpanOfTrace{id, {}, 0, {}, false, false},
                [](const SpanOfTrace& a, const SpanOfTrace& b) { return a.id < b.id; });
        };
        if (receives(span.kind)) {
            const auto same = find(span.id);
            for (auto at = same.first; at != same.second; ++at) {
                if (!receives(at->kind) && at->service != span.service) return &*at;
            }
        }
        if (span.parent.is_zero()) return nullptr;
        const auto parents = find(span.parent);
        if (parents.first == parents.second) return nullptr;
        // Of two halves of one span the one of our own service is the parent.
        for (auto at = parents.first; at != parents.second; ++at) {
            if (at->service == span.service) return &*at;
        }
        return &*(parents.second - 1);
    }

    void finish_trace() {
        std::sort(spans_.begin(), spans_.end(), [](const SpanOfTrace& a, const SpanOfTrace& b) {
            return a.id != b.id ? a.id < b.id : receives(a.kind) < receives(b.kind);
        });
        for (const SpanOfTrace& span : spans_) {
            if (!span.is_in_range) continue;
            const SpanOfTrace* parent = parent_of(span);
            if (parent == nullptr || parent->service == span.service) continue;
            count(parent->service, span);
        }
        spans_.clear();
    }

    void count(uint32_t parent, const SpanOfTrace& span) {
        const std::pair<uint32_t, uint32_t> ends{parent, span.service};
        if (edges_.size() >= limits_.edges_max && edges_.count(ends) == 0) {
            note("more than " + std::to_string(limits_.edges_max) +
                 " pairs of services call each other; what is over is left out");
            return;
        }
        Counts& counts = edges_[ends];
        ++counts.calls;
        counts.errors += span.is_error ? 1 : 0;
    }

    const DependencyLimits limits_;
    TraceId trace_id_;
    std::vector<SpanOfTrace> spans_;
    std::unordered_map<std::string, uint32_t> numbers_;
    std::vector<std::string> names_;
    std::map<std::pair<uint32_t, uint32_t>, Counts> edges_;
    DependencyGraph graph_;
};

}  // namespace

Result<DependencyGraph> find_dependencies(store::Segments segments, store::TimeRange range,
                                          const DependencyLimits& limits, store::Segments others) {
    Collector collector(limits);
    const auto add = [&](const store::SpanEdge& edge) { return collector.add(edge); };
    TRY(store::for_each_edge(segments, range, add, store::EdgePeers::kUnread, others));
    return collector.finish();
}

}  // namespace spanloom::insight

#include "traceql/trace.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <utility>

namespace spanloom::traceql {
namespace {

// Rows that share a span id: the first, the first server, the first client.
struct Holders {
    int32_t first = -1;
    int32_t server = -1;
    int32_t client = -1;

    int32_t owner() const { return server >= 0 ? server : first; }
};

void find_parents(Trace& trace) {
    std::unordered_map<SpanId, Holders> by_id;
    by_id.reserve(trace.spans.size());
    for (size_t row = 0; row < trace.spans.size(); ++row) {
        Holders& holders = by_id[trace.spans[row].span_id];
        const auto index = static_cast<int32_t>(row);
        if (holders.first < 0) holders.first = index;
        if (holders.server < 0 && trace.spans[row].kind == otlp::SpanKind::kServer)
            holders.server = index;
        if (holders.client < 0 && trace.spans[row].kind == otlp::SpanKind::kClient)
            holders.client = index;
    }
    trace.parent.resize(trace.spans.size());
    for (size_t row = 0; row < trace.spans.size(); ++row) {
        const otlp::SpanView& span = trace.spans[row];
        const auto index = static_cast<int32_t>(row);
        const Holders& own = by_id[span.span_id];
        int32_t& parent = trace.parent[row];
        if (own.server == index && own.client >= 0) {
            parent = own.client;
        } else if (span.parent_span_id.is_zero()) {
            parent = Trace::kRoot;
        } else {
            const auto found = by_id.find(span.parent_span_id);
            parent = found == by_id.end() ? Trace::kOrphan : found->second.owner();
            if (parent == index) parent = Trace::kOrphan;
        }
    }
}

// Follows each row to its root; a walk that meets itself has found a cycle.
void cut_cycles(Trace& trace) {
    enum : uint8_t { kNew, kOnPath, kDone };
    std::vector<uint8_t> state(trace.parent.size(), kNew);
    std::vector<int32_t> path;
    for (size_t row = 0; row < trace.parent.size(); ++row) {
        path.clear();
        int32_t at = static_cast<int32_t>(row);
        while (at >= 0 && state[at] == kNew) {
            state[at] = kOnPath;
            path.push_back(at);
            at = trace.parent[at];
        }
        if (at >= 0 && state[at] == kOnPath) {
            const auto begin = std::find(path.begin(), path.end(), at);
            const int32_t earliest =
                *std::min_element(begin, path.end(), [&](int32_t a, int32_t b) {
                    return std::pair(trace.spans[a].start_ns, a) <
                           std::pair(trace.spans[b].start_ns, b);
                });
            trace.parent[earliest] = Trace::kOrphan;
        }
        for (const int32_t visited : path)
            state[visited] = kDone;
    }
}

void order_rows(Trace& trace) {
    const size_t count = trace.spans.size();
    std::vector<uint32_t> by_start(count);
    std::iota(by_start.begin(), by_start.end(), 0U);
    std::stable_sort(by_start.begin(), by_start.end(), [&](uint32_t a, uint32_t b) {
        return trace.spans[a].start_ns < trace.spans[b].start_ns;
    });
    // Children as linked lists, built backwards so that they come out by start.
    std::vector<int32_t> first_child(count, -1);
    std::vector<int32_t> next_sibling(count, -1);
    int32_t first_root = -1;
    for (size_t i = count; i-- > 0;) {
        const auto row = static_cast<int32_t>(by_start[i]);
        int32_t& head = trace.parent[row] >= 0 ? first_child[trace.parent[row]] : first_root;
        next_sibling[row] = head;
        head = row;
    }
    trace.preorder.reserve(count);
    std::vector<int32_t> pending;
    if (first_root >= 0) pending.push_back(first_root);
    while (!pending.empty()) {
        const int32_t row = pending.back();
        pending.pop_back();
        trace.preorder.push_back(static_cast<uint32_t>(row));
        if (next_sibling[row] >= 0) pending.push_back(next_sibling[row]);
        if (first_child[row] >= 0) pending.push_back(first_child[row]);
    }
}

}  // namespace

Result<Trace> Trace::read(const store::StoredTrace& stored) {
    Trace trace;
    TRY_ASSIGN(trace.batch, otlp::decode(stored.traces_data));
    trace.is_partial = stored.partial;
    const Batch& batch = trace.batch;
    for (const ResourceRef& ref : batch.resources)
        trace.resources.push_back(batch.resource(ref));
    for (const ScopeRef& ref : batch.scopes)
        trace.scopes.push_back(batch.scope(ref));
    trace.spans.reserve(batch.spans.size());
    trace.start_ns = batch.spans.empty() ? 0 : UINT64_MAX;
    for (const SpanRef& ref : batch.spans) {
        trace.spans.push_back(batch.span(ref));
        trace.scope_of.push_back(ref.scope);
        trace.resource_of.push_back(batch.scopes[ref.scope].resource);
        trace.start_ns = std::min(trace.start_ns, ref.start_ns);
        trace.end_ns = std::max({trace.end_ns, ref.start_ns, ref.end_ns});
        const bool is_root = trace.spans.back().parent_span_id.is_zero();
        const auto row = static_cast<int32_t>(trace.spans.size() - 1);
        if (is_root && (trace.root < 0 || ref.start_ns < trace.spans[trace.root].start_ns))
            trace.root = row;
    }
    find_parents(trace);
    cut_cycles(trace);
    order_rows(trace);
    return trace;
}

}  // namespace spanloom::traceql

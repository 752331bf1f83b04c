#include "traceql/forest.h"

#include <algorithm>
#include <utility>

#include <boost/unordered/unordered_flat_map.hpp>

namespace spanloom::traceql {
namespace {

// Rows that share a span id: the first, the first server, the first client.
struct Holders {
    int32_t first = -1;
    int32_t server = -1;
    int32_t client = -1;

    int32_t owner() const { return server >= 0 ? server : first; }
};

}  // namespace

std::vector<int32_t> find_parents(std::span<const SpanLinks> spans) {
    boost::unordered_flat_map<SpanId, Holders, std::hash<SpanId>> by_id;
    by_id.reserve(spans.size());
    for (size_t row = 0; row < spans.size(); ++row) {
        Holders& holders = by_id[spans[row].id];
        const auto index = static_cast<int32_t>(row);
        if (holders.first < 0) holders.first = index;
        if (holders.server < 0 && spans[row].kind == otlp::SpanKind::kServer)
            holders.server = index;
        if (holders.client < 0 && spans[row].kind == otlp::SpanKind::kClient)
            holders.client = index;
    }
    std::vector<int32_t> parents(spans.size());
    std::vector<uint64_t> starts(spans.size());
    for (size_t row = 0; row < spans.size(); ++row) {
        const SpanLinks& span = spans[row];
        const auto index = static_cast<int32_t>(row);
        int32_t& parent = parents[row];
        starts[row] = span.start_ns;
        // The server's half of a span that it shares with its client.
        const bool may_share = span.kind == otlp::SpanKind::kServer;
        const Holders own = may_share ? by_id.find(span.id)->second : Holders();
        if (own.server == index && own.client >= 0) {
            parent = own.client;
        } else if (span.parent_id.is_zero()) {
            parent = kRoot;
        } else {
            const auto found = by_id.find(span.parent_id);
            parent = found == by_id.end() ? kOrphan : found->second.owner();
            if (parent == index) parent = kOrphan;
        }
    }
    cut_cycles(parents, starts);
    return parents;
}

// Follows each row to its root; a walk that meets itself has found a cycle.
void cut_cycles(std::vector<int32_t>& parents, std::span<const uint64_t> start_ns) {
    enum : uint8_t { kNew, kOnPath, kDone };
    std::vector<uint8_t> state(parents.size(), kNew);
    std::vector<int32_t> path;
    for (size_t row = 0; row < parents.size(); ++row) {
        path.clear();
        int32_t at = static_cast<int32_t>(row);
        while (at >= 0 && state[at] == kNew) {
            state[at] = kOnPath;
            path.push_back(at);
            at = parents[at];
        }
        if (at >= 0 && state[at] == kOnPath) {
            const auto begin = std::find(path.begin(), path.end(), at);
            const int32_t earliest =
                *std::min_element(begin, path.end(), [&](int32_t a, int32_t b) {
                    return std::pair(start_ns[a], a) < std::pair(start_ns[b], b);
                });
            parents[earliest] = kOrphan;
        }
        for (const int32_t visited : path)
            state[visited] = kDone;
    }
}

std::vector<uint32_t> preorder_of(std::span<const int32_t> parents,
                                  std::span<const uint64_t> start_ns) {
    const size_t count = parents.size();
    std::vector<std::pair<uint64_t, uint32_t>> by_start(count);
    for (uint32_t row = 0; row < count; ++row)
        by_start[row] = {start_ns[row], row};
    std::sort(by_start.begin(), by_start.end());
    // Children as linked lists, built backwards so that they come out by start.
    std::vector<int32_t> first_child(count, -1);
    std::vector<int32_t> next_sibling(count, -1);
    int32_t first_root = -1;
    for (size_t i = count; i-- > 0;) {
        const auto row = static_cast<int32_t>(by_start[i].second);
        int32_t& head = parents[row] >= 0 ? first_child[parents[row]] : first_root;
        next_sibling[row] = head;
        head = row;
    }
    std::vector<uint32_t> preorder;
    preorder.reserve(count);
    std::vector<int32_t> pending;
    if (first_root >= 0) pending.push_back(first_root);
    while (!pending.empty()) {
        const int32_t row = pending.back();
        pending.pop_back();
        preorder.push_back(static_cast<uint32_t>(row));
        if (next_sibling[row] >= 0) pending.push_back(next_sibling[row]);
        if (first_child[row] >= 0) pending.push_back(first_child[row]);
    }
    return preorder;
}

}  // namespace spanloom::traceql

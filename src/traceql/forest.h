#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "otlp/view.h"

namespace spanloom::traceql {

// The tree that the spans of one trace form is always a forest: a parent that is not in the trace
// makes an orphan, which is a root of its own tree; a cycle is cut at its earliest span, which
// becomes an orphan; and of several spans with one id the children belong to the first server (or
// the first at all). A server that shares its id with a client (as Zipkin's do) is that client's
// child.
constexpr int32_t kRoot = -1;
constexpr int32_t kOrphan = -2;

struct SpanLinks {
    SpanId id;
    SpanId parent_id;
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
    uint64_t start_ns = 0;
};

// Of each row the parent's row, kRoot or kOrphan.
std::vector<int32_t> find_parents(std::span<const SpanLinks> spans);

// Makes orphans of the earliest spans of cycles. `start_ns(row)` orders them.
void cut_cycles(std::vector<int32_t>& parents, std::span<const uint64_t> start_ns);

// Rows depth first, siblings by start.
std::vector<uint32_t> preorder_of(std::span<const int32_t> parents,
                                  std::span<const uint64_t> start_ns);

}  // namespace spanloom::traceql

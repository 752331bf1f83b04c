#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/search.h"

namespace spanloom::insight {

struct DependencyEdge {
    std::string parent;
    std::string child;
    uint64_t calls = 0;   // spans of the child whose parent span belongs to the parent
    uint64_t errors = 0;  // of these, those that failed
};

struct DependencyGraph {
    std::vector<DependencyEdge> edges;  // by parent, then child
    uint64_t spans = 0;                 // looked at
    bool partial = false;
    std::string reason;
};

struct DependencyLimits {
    uint64_t spans_max = 4'000'000;      // of all traces; bounds the time
    uint32_t trace_spans_max = 500'000;  // of one trace, kept while it is looked at: 40 bytes each
    uint32_t edges_max = 20'000;
    // Of edges: producers that wait for a consumer that links to them (64 bytes each), and links
    // of consumers that are looked at for them.
    uint32_t waiting_max = 1'000'000;
    uint64_t links_max = 4'000'000;
};

// Which service calls which, from the spans that start in the range: an edge wherever a span's
// parent belongs to another service. Where client and server share one span id (Zipkin), the server
// is the client's child. `others` may hold parents. Any thread.
Result<DependencyGraph> find_dependencies(store::Segments segments, store::TimeRange range,
                                          const DependencyLimits& limits = {},
                                          store::Segments others = {});

}  // namespace spanloom::insight

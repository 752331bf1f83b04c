#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "otlp/batch.h"
#include "store/search.h"
#include "traceql/forest.h"

namespace spanloom::traceql {

// One whole trace taken apart: its spans as rows in the order of the stored message, and the tree
// they form (forest.h). Immutable; any thread; shares the bytes of the message it was read from.
struct Trace {
    static constexpr int32_t kRoot = traceql::kRoot;
    static constexpr int32_t kOrphan = traceql::kOrphan;

    static Result<Trace> read(const store::StoredTrace& stored);

    Batch batch;
    std::vector<otlp::SpanView> spans;
    std::vector<otlp::ResourceView> resources;
    std::vector<otlp::ScopeView> scopes;
    std::vector<uint32_t> resource_of;  // row -> resources
    std::vector<uint32_t> scope_of;     // row -> scopes
    std::vector<int32_t> parent;        // row, kRoot or kOrphan
    std::vector<uint32_t> preorder;     // rows depth first, siblings by start
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    int32_t root = -1;  // the earliest row without a parent id; -1: not received
    bool is_partial = false;
    std::vector<uint64_t> late_ns;  // by row, as in StoredTrace; empty: none came late

    std::string_view service_of(size_t row) const {
        return resources[resource_of[row]].service_name();
    }
};

}  // namespace spanloom::traceql

#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/search.h"
#include "traceql/ast.h"

namespace spanloom::traceql {

struct SearchOptions {
    store::TimeRange range;
    uint32_t limit = 20;  // traces
    uint32_t spans_per_trace = 3;
    std::optional<store::Cursor> after;
    std::vector<store::Field> wanted;  // shown beside those that the query names
    std::stop_token cancelled;
    uint64_t deadline_monotonic_ns = 0;  // 0: none; past it the answer is partial
};

// The newest traces that a checked query (parse) finds. What the store's columns can tell is asked
// of them alone; else candidate traces are read and evaluated, newest first, until the limit is
// reached. Any thread; blocks.
Result<store::SearchAnswer> execute(const Query& query, store::Segments segments,
                                    const SearchOptions& options, const Clock& clock);

}  // namespace spanloom::traceql

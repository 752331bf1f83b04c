#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "store/search.h"
#include "traceql/answer.h"
#include "traceql/ast.h"

namespace spanloom::traceql {

// Whether a query draws series (rate(), compare(), ...) instead of finding traces.
bool is_metrics(const Query& query);

// The traces that a checked query (parse) finds: newest first, or as its hint sort says. Exact, or
// marked partial with the reason. What the store's columns can tell is asked of them alone; else
// whole traces are put together from them and evaluated. Any thread; blocks.
Result<SearchAnswer> search(const Query& query, store::Segments segments,
                            const SearchOptions& options, const Clock& clock);

// The series of a metrics query. Where step_ns is not 0, the range is widened to whole steps.
Result<MetricsAnswer> query_metrics(const Query& query, store::Segments segments,
                                    const MetricsOptions& options, const Clock& clock);

// What clients expect where they name no step: about 240 intervals, a whole number of a unit.
uint64_t default_step_ns(store::TimeRange range);

// As search(), without spansets: for callers that show traces alone.
Result<store::SearchAnswer> execute(const Query& query, store::Segments segments,
                                    const SearchOptions& options, const Clock& clock);

}  // namespace spanloom::traceql

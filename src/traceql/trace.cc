#include "traceql/trace.h"

#include <algorithm>

#include "traceql/forest.h"

namespace spanloom::traceql {

Result<Trace> Trace::read(const store::StoredTrace& stored) {
    Trace trace;
    if (stored.batch != nullptr) {
        trace.batch = *stored.batch;
    } else {
        TRY_ASSIGN(trace.batch, otlp::decode(stored.traces_data));
    }
    trace.is_partial = stored.partial;
    trace.late_ns = stored.late_ns;
    const Batch& batch = trace.batch;
    for (const ResourceRef& ref : batch.resources)
        trace.resources.push_back(batch.resource(ref));
    for (const ScopeRef& ref : batch.scopes)
        trace.scopes.push_back(batch.scope(ref));
    const size_t count = batch.spans.size();
    trace.spans.reserve(count);
    trace.scope_of.reserve(count);
    trace.resource_of.reserve(count);
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
    std::vector<SpanLinks> links;
    std::vector<uint64_t> starts;
    links.reserve(count);
    starts.reserve(count);
    for (const otlp::SpanView& span : trace.spans) {
        links.push_back({span.span_id, span.parent_span_id, span.kind, span.start_ns});
        starts.push_back(span.start_ns);
    }
    trace.parent = find_parents(links);
    trace.preorder = preorder_of(trace.parent, starts);
    return trace;
}

}  // namespace spanloom::traceql

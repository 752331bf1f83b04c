#include "store/sampled_trace.h"

#include <algorithm>

#include <protozero/pbf_reader.hpp>

#include "otlp/tracestate.h"
#include "otlp/writer.h"

namespace spanloom::store {
namespace {

constexpr uint32_t kTraceState = 3;  // of a span
constexpr uint32_t kSpanDepth = 3;

// A message with what stands in these fields, one below the other, rewritten; the innermost are
// spans.
void copy_message(std::string_view message, uint32_t depth, uint64_t threshold,
                  otlp::WireWriter& out) {
    // Resource spans 1, scope spans 2, spans 2.
    constexpr uint32_t kInner[] = {1, 2, 2};
    protozero::pbf_reader reader(message.data(), message.size());
    std::string state;
    while (reader.next()) {
        const uint32_t tag = reader.tag();
        const bool is_bytes = reader.wire_type() == protozero::pbf_wire_type::length_delimited;
        if (depth < kSpanDepth && is_bytes && tag == kInner[depth]) {
            const protozero::data_view inner = reader.get_view();
            const size_t mark = out.begin(tag);
            copy_message({inner.data(), inner.size()}, depth + 1, threshold, out);
            out.end(mark);
            continue;
        }
        if (depth == kSpanDepth && is_bytes && tag == kTraceState) {
            const protozero::data_view text = reader.get_view();
            state.assign(text.data(), text.size());
            continue;
        }
        switch (reader.wire_type()) {
            case protozero::pbf_wire_type::length_delimited: {
                const protozero::data_view bytes = reader.get_view();
                out.bytes_field(tag, {bytes.data(), bytes.size()});
                break;
            }
            case protozero::pbf_wire_type::fixed64:
                out.fixed64_field(tag, reader.get_fixed64());
                break;
            case protozero::pbf_wire_type::fixed32:
                out.fixed32_field(tag, reader.get_fixed32());
                break;
            default:
                out.varint_field(tag, reader.get_uint64());
                break;
        }
    }
    if (depth == kSpanDepth) out.bytes_field(kTraceState, otlp::raise_threshold(state, threshold));
}

}  // namespace

void append_sampled_span(std::string_view span, uint64_t threshold, std::string& out) {
    otlp::WireWriter writer(out);
    copy_message(span, kSpanDepth, threshold, writer);
}

Result<uint64_t> trace_threshold(Segments segments, const TraceId& id) {
    uint64_t threshold = 0;
    for (const auto& segment : segments) {
        TRY_ASSIGN(const auto thresholds, segment->thresholds());
        if (thresholds == nullptr) continue;
        TRY_ASSIGN(const auto fragment, segment->find(id));
        if (!fragment) continue;
        // Fragments are in this order.
        uint32_t low = 0;
        uint32_t high = segment->fragment_count();
        while (high - low > 1) {
            const uint32_t middle = low + (high - low) / 2;
            TRY_ASSIGN(const TraceFragment other, segment->fragment(middle));
            (other.first_row <= fragment->first_row ? low : high) = middle;
        }
        threshold = std::max(threshold, (*thresholds)[low]);
    }
    return threshold;
}

Result<StoredTrace> read_sampled_trace(Segments segments, const TraceId& id) {
    TRY_ASSIGN(StoredTrace trace, read_trace(segments, id));
    // Damage to the thresholds hides no spans.
    const Result<uint64_t> threshold = trace_threshold(segments, id);
    if (!threshold && !trace.partial) {
        trace.partial = true;
        trace.reason = threshold.error().message;
    }
    if (!threshold || *threshold == 0) return trace;
    std::string out;
    out.reserve(trace.traces_data.size() + trace.spans * size_t{32});
    otlp::WireWriter writer(out);
    copy_message(trace.traces_data.view(), 0, *threshold, writer);
    trace.traces_data = Blob::copy_of(out);
    trace.batch = nullptr;
    return trace;
}

}  // namespace spanloom::store

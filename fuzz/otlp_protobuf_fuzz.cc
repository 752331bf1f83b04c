#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "otlp/json.h"
#include "otlp/tracestate.h"
#include "receive/zipkin_convert.h"

namespace {

std::string as_json(const spanloom::Batch& batch, spanloom::otlp::JsonForm form) {
    std::string text;
    spanloom::JsonWriter out(text);
    spanloom::otlp::write_traces_json(out, batch, form);
    return text;
}

}  // namespace

// Any bytes must give a request or an error. What is accepted can be walked to its last value, and
// goes through JSON and back without a change.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace spanloom;
    // Exactly as large as the input, so that a read past the end is seen.
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    const auto owner = std::make_shared<std::string>(bytes);
    const Blob blob = Blob::wrap(owner, owner->data(), owner->size());
    (void)zipkin_protobuf_to_otlp(blob, 1);
    const auto batch = otlp::decode(blob);
    if (!batch) return 0;
    for (const SpanRef& ref : batch->spans) {
        const otlp::SpanView span = batch->span(ref);
        if (span.trace_id != ref.trace_id || span.span_id != ref.span_id ||
            span.start_ns != ref.start_ns || span.end_ns != ref.end_ns)
            std::abort();
        if (!(otlp::adjusted_count(span.trace_state).value >= 1)) std::abort();
    }
    const std::string json = as_json(*batch, otlp::JsonForm::kOtlp);
    (void)as_json(*batch, otlp::JsonForm::kProto3);
    const auto protobuf = otlp::json_to_protobuf(json);
    if (!protobuf) std::abort();
    const auto again = otlp::decode(*protobuf);
    if (!again || again->spans.size() != batch->spans.size()) std::abort();
    if (as_json(*again, otlp::JsonForm::kOtlp) != json) std::abort();
    return 0;
}

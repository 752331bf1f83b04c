#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "otlp/batch.h"
#include "otlp/writer.h"

// For tests: traces as senders would send them.
namespace spanloom::sampling {

struct TestSpan {
    TraceId trace_id;
    uint64_t number = 0;  // its id in the trace, from 1
    uint64_t parent = 0;  // 0: none
    std::string service = "shop";
    std::string name = "call";
    uint64_t start_ns = 0;
    uint64_t duration_ns = 1'000'000;
    bool is_error = false;
    std::string trace_state = {};
    std::string sampler = {};  // "probabilistic": as Jaeger's samplers write themselves down
    double sampler_param = 0;
    uint32_t flags = 0;
};

inline void write_sampler(otlp::WireWriter& out, const TestSpan& span) {
    for (const bool is_param : {false, true}) {
        const size_t attribute = out.begin(9);
        out.bytes_field(1, is_param ? "sampler.param" : "sampler.type");
        const size_t value = out.begin(2);
        if (is_param) {
            out.double_field(4, span.sampler_param);
        } else {
            out.bytes_field(1, span.sampler);
        }
        out.end(value);
        out.end(attribute);
    }
}

// The last 7 bytes, the randomness, are spread as those of real ids.
inline TraceId test_trace(uint64_t number) {
    TraceId id;
    id.bytes[0] = 0x5a;
    std::memcpy(id.bytes.data() + 1, &number, 7);
    const uint64_t low = SeededRandom(number).next();
    std::memcpy(id.bytes.data() + 8, &low, 8);
    return id;
}

inline SpanId test_span(uint64_t number) {
    SpanId id;
    std::memcpy(id.bytes.data(), &number, 8);
    return id;
}

// Each span with a resource of its own.
inline Batch batch_of(const std::vector<TestSpan>& spans, uint64_t arrival_ns) {
    std::string bytes;
    otlp::WireWriter out(bytes);
    for (const TestSpan& one : spans) {
        const size_t resource_spans = out.begin(1);
        const size_t resource = out.begin(1);
        const size_t attribute = out.begin(1);
        out.bytes_field(1, "service.name");
        const size_t value = out.begin(2);
        out.bytes_field(1, one.service);
        out.end(value);
        out.end(attribute);
        out.end(resource);
        const size_t scope = out.begin(2);
        const size_t span = out.begin(2);
        out.bytes_field(1, one.trace_id.view());
        out.bytes_field(2, test_span(one.number).view());
        if (!one.trace_state.empty()) out.bytes_field(3, one.trace_state);
        if (one.parent != 0) out.bytes_field(4, test_span(one.parent).view());
        out.bytes_field(5, one.name);
        out.varint_field(6, 2);
        out.fixed64_field(7, one.start_ns);
        out.fixed64_field(8, one.start_ns + one.duration_ns);
        if (!one.sampler.empty()) write_sampler(out, one);
        if (one.flags != 0) out.fixed32_field(16, one.flags);
        if (one.is_error) {
            const size_t status = out.begin(15);
            out.varint_field(3, 2);
            out.end(status);
        }
        out.end(span);
        out.end(scope);
        out.end(resource_spans);
    }
    Result<Batch> batch = otlp::decode(Blob::copy_of(bytes));
    SPANLOOM_ASSERT(batch.has_value());
    batch->arrival_ns = arrival_ns;
    return std::move(*batch);
}

}  // namespace spanloom::sampling

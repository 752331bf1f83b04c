#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/result.h"
#include "otlp/batch.h"
#include "otlp/writer.h"

// Small requests for the tests of this folder.
namespace spanloom::store {

inline TraceId test_trace_id(uint64_t number) {
    TraceId id;
    id.bytes[0] = 0xa7;
    std::memcpy(id.bytes.data() + 8, &number, 8);
    return id;
}

// Back from test_trace_id().
inline uint64_t trace_number(const TraceId& id) {
    uint64_t number = 0;
    std::memcpy(&number, id.bytes.data() + 8, 8);
    return number;
}

inline SpanId test_span_id(uint64_t number) {
    SpanId id;
    const uint64_t value = number + 1;
    std::memcpy(id.bytes.data(), &value, 8);
    return id;
}

// One span; span `number` belongs to trace `number / 4`.
inline void write_test_span(otlp::WireWriter& out, uint64_t number, const std::string& name) {
    const size_t mark = out.begin(2);
    out.bytes_field(1, test_trace_id(number / 4).view());
    out.bytes_field(2, test_span_id(number).view());
    out.bytes_field(5, name);
    out.varint_field(6, 2);
    out.fixed64_field(7, 1'000'000'000'000 + number * 1'000'000);
    out.fixed64_field(8, 1'000'000'000'000 + number * 1'000'000 + 500'000);
    out.end(mark);
}

// The resource of a service.
inline void write_test_resource(otlp::WireWriter& out, const std::string& service) {
    const size_t resource = out.begin(1);
    const size_t attribute = out.begin(1);
    out.bytes_field(1, "service.name");
    const size_t value = out.begin(2);
    out.bytes_field(1, service);
    out.end(value);
    out.end(attribute);
    out.end(resource);
}

inline std::string test_request(uint64_t first, uint64_t count, const std::string& name = "call") {
    std::string bytes;
    otlp::WireWriter out(bytes);
    const size_t resource_spans = out.begin(1);
    write_test_resource(out, "shop");
    const size_t scope_spans = out.begin(2);
    for (uint64_t i = 0; i < count; ++i)
        write_test_span(out, first + i, name);
    out.end(scope_spans);
    out.end(resource_spans);
    return bytes;
}

// A request of spans first..first+count-1, as a receiver hands it over.
inline Batch test_batch(uint64_t first, uint64_t count, uint64_t arrival_ns = 1'000'000'000'000'000,
                        const std::string& name = "call") {
    Result<Batch> batch = otlp::decode(Blob::copy_of(test_request(first, count, name)));
    SPANLOOM_ASSERT(batch.has_value());
    batch->arrival_ns = arrival_ns;
    return std::move(*batch);
}

}  // namespace spanloom::store

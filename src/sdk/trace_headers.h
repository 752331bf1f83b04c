#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "otlp/ids.h"

// What a trace looks like in the headers of others: W3C, B3 and Jaeger. Text
// in, values out; nothing is allocated, and whatever is not valid gives false
// and leaves the result alone.
namespace spanloom::sdk {

// Flags of a context that came from outside. The lower two are W3C's.
constexpr uint8_t kFlagSampled = 0x01;
constexpr uint8_t kFlagRandom = 0x02;
// B3's and Jaeger's "debug": sampled, and to be passed on as debug. Never in a
// traceparent.
constexpr uint8_t kFlagDebug = 0x80;

struct TraceHeader {
    TraceId trace_id;
    SpanId span_id;
    uint8_t flags = 0;
};

// https://www.w3.org/TR/trace-context-2/#traceparent-header. Blanks around the
// value are allowed.
constexpr size_t kTraceparentBytes = 55;
bool parse_traceparent(std::string_view value, TraceHeader& out) noexcept;
void format_traceparent(const TraceHeader& header, char (&out)[kTraceparentBytes]) noexcept;

// https://github.com/openzipkin/b3-propagation. A lone state ("0", "1", "d")
// carries no ids: false.
bool parse_b3(std::string_view value, TraceHeader& out) noexcept;
constexpr size_t kB3Bytes = 51;
void format_b3(const TraceHeader& header, char (&out)[kB3Bytes]) noexcept;
// The values of X-B3-TraceId, X-B3-SpanId, X-B3-Sampled and X-B3-Flags; empty
// where absent.
bool parse_b3_multi(std::string_view trace_id, std::string_view span_id, std::string_view sampled,
                    std::string_view flags, TraceHeader& out) noexcept;

// https://www.jaegertracing.io/sdk-migration/#propagation-format. Its colons
// may come as %3A.
bool parse_uber_trace_id(std::string_view value, TraceHeader& out) noexcept;
constexpr size_t kUberTraceIdBytes = 53;
void format_uber_trace_id(const TraceHeader& header, char (&out)[kUberTraceIdBytes]) noexcept;

// Ids as 32 and 16 digits.
void format_trace_id(const TraceId& id, char* out) noexcept;
void format_span_id(const SpanId& id, char* out) noexcept;

}  // namespace spanloom::sdk

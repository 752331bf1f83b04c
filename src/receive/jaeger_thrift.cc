// jaeger.thrift and agent.thrift of jaeger-idl.
#include <array>

#include "receive/jaeger_convert.h"
#include "receive/thrift.h"

namespace spanloom {
namespace {

// Microseconds; times before 1970 are 1970, those too large for nanoseconds the largest.
uint64_t to_ns(int64_t us) {
    constexpr int64_t kMax = static_cast<int64_t>(UINT64_MAX / 1000 / 2);
    if (us <= 0) return 0;
    return static_cast<uint64_t>(us > kMax ? kMax : us) * 1000;
}

void set_half(uint8_t* out, int64_t value) {
    const auto bits = static_cast<uint64_t>(value);
    for (int i = 0; i < 8; ++i)
        out[i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
}

void set_low(TraceId& id, int64_t value) {
    set_half(id.bytes.data() + 8, value);
}
void set_high(TraceId& id, int64_t value) {
    set_half(id.bytes.data(), value);
}
void set(SpanId& id, int64_t value) {
    set_half(id.bytes.data(), value);
}

// Reads a list of structs, each by `read`.
template <typename Read>
void read_list(ThriftReader& in, Read read) {
    ThriftType element = ThriftType::kBool;
    const uint32_t size = in.begin_list(element);
    for (uint32_t i = 0; i < size && in.fault().empty(); ++i) {
        if (element == ThriftType::kStruct) {
            read();
        } else {
            in.skip_element(element);
        }
    }
}

JaegerTag read_tag(ThriftReader& in) {
    JaegerTag tag;
    int64_t type = 0;
    std::string_view text;
    std::string_view binary;
    bool flag = false;
    in.begin_struct();
    while (in.next_field()) {
        if (in.is(1, ThriftType::kBinary)) {
            tag.key = in.binary();
        } else if (in.is(2, ThriftType::kI32)) {
            type = in.integer();
        } else if (in.is(3, ThriftType::kBinary)) {
            text = in.binary();
        } else if (in.is(4, ThriftType::kDouble)) {
            tag.number = in.number();
        } else if (in.is(5, ThriftType::kBool)) {
            flag = in.boolean();
        } else if (in.is(6, ThriftType::kI64)) {
            tag.integer = in.integer();
        } else if (in.is(7, ThriftType::kBinary)) {
            binary = in.binary();
        } else {
            in.skip();
        }
    }
    constexpr std::array<JaegerTag::Type, 5> kTypes = {
        JaegerTag::Type::kString, JaegerTag::Type::kDouble, JaegerTag::Type::kBool,
        JaegerTag::Type::kInt, JaegerTag::Type::kBinary};
    tag.type = type >= 0 && type < 5 ? kTypes[static_cast<size_t>(type)] : JaegerTag::Type::kString;
    if (tag.type == JaegerTag::Type::kBool) tag.integer = flag ? 1 : 0;
    tag.text = tag.type == JaegerTag::Type::kBinary ? binary : text;
    return tag;
}

std::vector<JaegerTag> read_tags(ThriftReader& in) {
    std::vector<JaegerTag> tags;
    read_list(in, [&] { tags.push_back(read_tag(in)); });
    return tags;
}

JaegerLog read_log(ThriftReader& in) {
    JaegerLog log;
    in.begin_struct();
    while (in.next_field()) {
        if (in.is(1, ThriftType::kI64)) {
            log.time_ns = to_ns(in.integer());
        } else if (in.is(2, ThriftType::kList)) {
            log.fields = read_tags(in);
        } else {
            in.skip();
        }
    }
    return log;
}

JaegerReference read_reference(ThriftReader& in) {
    JaegerReference reference;
    in.begin_struct();
    while (in.next_field()) {
        if (in.is(1, ThriftType::kI32)) {
            reference.is_child_of = in.integer() == 0;
        } else if (in.is(2, ThriftType::kI64)) {
            set_low(reference.trace_id, in.integer());
        } else if (in.is(3, ThriftType::kI64)) {
            set_high(reference.trace_id, in.integer());
        } else if (in.is(4, ThriftType::kI64)) {
            set(reference.span_id, in.integer());
        } else {
            in.skip();
        }
    }
    return reference;
}

void read_span_list(ThriftReader& in, JaegerSpan& span) {
    if (in.is(6, ThriftType::kList)) {
        read_list(in, [&] { span.references.push_back(read_reference(in)); });
    } else if (in.is(10, ThriftType::kList)) {
        span.tags = read_tags(in);
    } else if (in.is(11, ThriftType::kList)) {
        read_list(in, [&] { span.logs.push_back(read_log(in)); });
    } else {
        in.skip();
    }
}

JaegerSpan read_span(ThriftReader& in) {
    JaegerSpan span;
    in.begin_struct();
    while (in.next_field()) {
        if (in.is(1, ThriftType::kI64)) {
            set_low(span.trace_id, in.integer());
        } else if (in.is(2, ThriftType::kI64)) {
            set_high(span.trace_id, in.integer());
        } else if (in.is(3, ThriftType::kI64)) {
            set(span.span_id, in.integer());
        } else if (in.is(4, ThriftType::kI64)) {
            set(span.parent_span_id, in.integer());
        } else if (in.is(5, ThriftType::kBinary)) {
            span.name = in.binary();
        } else if (in.is(7, ThriftType::kI32)) {
            span.flags = static_cast<uint32_t>(in.integer());
        } else if (in.is(8, ThriftType::kI64)) {
            span.start_ns = to_ns(in.integer());
        } else if (in.is(9, ThriftType::kI64)) {
            span.duration_ns = to_ns(in.integer());
        } else {
            read_span_list(in, span);
        }
    }
    return span;
}

JaegerProcess read_process(ThriftReader& in) {
    JaegerProcess process;
    in.begin_struct();
    while (in.next_field()) {
        if (in.is(1, ThriftType::kBinary)) {
            process.service_name = in.binary();
        } else if (in.is(2, ThriftType::kList)) {
            process.tags = read_tags(in);
        } else {
            in.skip();
        }
    }
    return process;
}

// The process comes before the spans in every client, but need not; so spans wait for it.
void read_batch(ThriftReader& in, JaegerToOtlp& out) {
    JaegerProcess process;
    std::vector<JaegerSpan> waiting;
    bool has_process = false;
    in.begin_struct();
    while (in.next_field()) {
        if (in.is(1, ThriftType::kStruct)) {
            process = read_process(in);
            out.begin_process(process);
            has_process = true;
        } else if (in.is(2, ThriftType::kList)) {
            read_list(in, [&] {
                if (has_process) {
                    out.add(read_span(in));
                } else {
                    waiting.push_back(read_span(in));
                }
            });
        } else {
            in.skip();
        }
    }
    for (JaegerSpan& span : waiting)
        out.add(std::move(span));
}

tl::unexpected<Error> malformed(const ThriftReader& in) {
    return fail(ErrorCode::kInvalidArgument, "malformed Jaeger batch: {}", in.fault());
}

Result<Blob> convert_call(const Blob& datagram, ThriftProtocol protocol) {
    ThriftReader in(datagram.view(), protocol);
    const std::string_view name = in.call_name();
    if (!in.fault().empty()) return malformed(in);
    if (name != "emitBatch")
        return fail(ErrorCode::kUnsupported, "the agent's call is not emitBatch");
    JaegerToOtlp out;
    in.begin_struct();
    while (in.next_field()) {
        if (in.is(1, ThriftType::kStruct)) {
            read_batch(in, out);
        } else {
            in.skip();
        }
    }
    if (!in.fault().empty()) return malformed(in);
    return out.finish();
}

}  // namespace

Result<Blob> jaeger_thrift_to_otlp(const Blob& batch) {
    ThriftReader in(batch.view(), ThriftProtocol::kBinary);
    JaegerToOtlp out;
    read_batch(in, out);
    if (!in.fault().empty()) return malformed(in);
    if (!in.is_at_end())
        return fail(ErrorCode::kInvalidArgument,
                    "malformed Jaeger batch: something follows after its end");
    return out.finish();
}

Result<Blob> jaeger_compact_call_to_otlp(const Blob& datagram) {
    return convert_call(datagram, ThriftProtocol::kCompact);
}

Result<Blob> jaeger_binary_call_to_otlp(const Blob& datagram) {
    return convert_call(datagram, ThriftProtocol::kBinary);
}

}  // namespace spanloom

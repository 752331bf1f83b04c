// collector.proto and model.proto of jaeger-idl (api_v2).
#include <algorithm>
#include <cstring>

#include <protozero/pbf_reader.hpp>

#include "receive/jaeger_convert.h"

namespace spanloom {
namespace {

using protozero::pbf_reader;
using protozero::pbf_wire_type;
using protozero::tag_and_type;

constexpr auto kBytes = pbf_wire_type::length_delimited;
constexpr auto kVarint = pbf_wire_type::varint;

std::string_view text(pbf_reader& reader) {
    const protozero::data_view data = reader.get_view();
    return {data.data(), data.size()};
}

// Timestamp and Duration have the same fields. What is negative is zero.
uint64_t read_time(pbf_reader reader) {
    int64_t seconds = 0;
    int64_t nanos = 0;
    while (reader.next()) {
        switch (reader.tag_and_type()) {
            case tag_and_type(1, kVarint):
                seconds = reader.get_int64();
                break;
            case tag_and_type(2, kVarint):
                nanos = reader.get_int32();
                break;
            default:
                reader.skip();
                break;
        }
    }
    constexpr int64_t kSecondsMax = INT64_MAX / 1'000'000'000 - 1;
    seconds = std::clamp<int64_t>(seconds, 0, kSecondsMax);
    return static_cast<uint64_t>(seconds * 1'000'000'000 +
                                 std::clamp<int64_t>(nanos, 0, 999'999'999));
}

JaegerTag read_tag(pbf_reader reader) {
    JaegerTag tag;
    int32_t type = 0;
    std::string_view string;
    std::string_view binary;
    int64_t integer = 0;
    bool flag = false;
    while (reader.next()) {
        switch (reader.tag_and_type()) {
            case tag_and_type(1, kBytes):
                tag.key = text(reader);
                break;
            case tag_and_type(2, kVarint):
                type = reader.get_enum();
                break;
            case tag_and_type(3, kBytes):
                string = text(reader);
                break;
            case tag_and_type(4, kVarint):
                flag = reader.get_bool();
                break;
            case tag_and_type(5, kVarint):
                integer = reader.get_int64();
                break;
            case tag_and_type(6, pbf_wire_type::fixed64):
                tag.number = reader.get_double();
                break;
            case tag_and_type(7, kBytes):
                binary = text(reader);
                break;
            default:
                reader.skip();
                break;
        }
    }
    if (type >= 0 && type <= 4) tag.type = static_cast<JaegerTag::Type>(type);
    tag.integer = tag.type == JaegerTag::Type::kBool ? (flag ? 1 : 0) : integer;
    tag.text = tag.type == JaegerTag::Type::kBinary ? binary : string;
    return tag;
}

template <size_t kSize>
void take_id(std::string_view bytes, std::array<uint8_t, kSize>& id) {
    if (bytes.size() > kSize) return;
    std::memcpy(id.data() + kSize - bytes.size(), bytes.data(), bytes.size());
}

JaegerReference read_reference(pbf_reader reader) {
    JaegerReference reference;
    while (reader.next()) {
        switch (reader.tag_and_type()) {
            case tag_and_type(1, kBytes):
                take_id(text(reader), reference.trace_id.bytes);
                break;
            case tag_and_type(2, kBytes):
                take_id(text(reader), reference.span_id.bytes);
                break;
            case tag_and_type(3, kVarint):
                reference.is_child_of = reader.get_enum() == 0;
                break;
            default:
                reader.skip();
                break;
        }
    }
    return reference;
}

JaegerLog read_log(pbf_reader reader) {
    JaegerLog log;
    while (reader.next()) {
        switch (reader.tag_and_type()) {
            case tag_and_type(1, kBytes):
                log.time_ns = read_time(reader.get_message());
                break;
            case tag_and_type(2, kBytes):
                log.fields.push_back(read_tag(reader.get_message()));
                break;
            default:
                reader.skip();
                break;
        }
    }
    return log;
}

JaegerProcess read_process(pbf_reader reader) {
    JaegerProcess process;
    while (reader.next()) {
        switch (reader.tag_and_type()) {
            case tag_and_type(1, kBytes):
                process.service_name = text(reader);
                break;
            case tag_and_type(2, kBytes):
                process.tags.push_back(read_tag(reader.get_message()));
                break;
            default:
                reader.skip();
                break;
        }
    }
    return process;
}

// A span may name a process of its own.
struct ReadSpan {
    JaegerSpan span;
    std::string_view process;
    bool has_process = false;
};

ReadSpan read_span(pbf_reader reader) {
    ReadSpan read;
    JaegerSpan& span = read.span;
    while (reader.next()) {
        switch (reader.tag_and_type()) {
            case tag_and_type(1, kBytes):
                take_id(text(reader), span.trace_id.bytes);
                break;
            case tag_and_type(2, kBytes):
                take_id(text(reader), span.span_id.bytes);
                break;
            case tag_and_type(3, kBytes):
                span.name = text(reader);
                break;
            case tag_and_type(4, kBytes):
                span.references.push_back(read_reference(reader.get_message()));
                break;
            case tag_and_type(5, kVarint):
                span.flags = reader.get_uint32();
                break;
            case tag_and_type(6, kBytes):
                span.start_ns = read_time(reader.get_message());
                break;
            case tag_and_type(7, kBytes):
                span.duration_ns = read_time(reader.get_message());
                break;
            case tag_and_type(8, kBytes):
                span.tags.push_back(read_tag(reader.get_message()));
                break;
            case tag_and_type(9, kBytes):
                span.logs.push_back(read_log(reader.get_message()));
                break;
            case tag_and_type(10, kBytes):
                read.process = text(reader);
                read.has_process = true;
                break;
            default:
                reader.skip();
                break;
        }
    }
    return read;
}

pbf_reader message_of(std::string_view bytes) {
    return pbf_reader(bytes.data(), bytes.size());
}

// First the batch's process, wherever it stands; then spans, those with another process under it.
void convert_batch(std::string_view batch, JaegerToOtlp& out) {
    std::string_view own;
    for (pbf_reader reader = message_of(batch); reader.next();) {
        if (reader.tag_and_type() == tag_and_type(2, kBytes)) {
            own = text(reader);
        } else {
            reader.skip();
        }
    }
    std::string_view current = own;
    out.begin_process(read_process(message_of(own)));
    for (pbf_reader reader = message_of(batch); reader.next();) {
        if (reader.tag_and_type() != tag_and_type(1, kBytes)) {
            reader.skip();
            continue;
        }
        ReadSpan read = read_span(reader.get_message());
        const std::string_view process = read.has_process ? read.process : own;
        if (process != current) {
            out.begin_process(read_process(message_of(process)));
            current = process;
        }
        out.add(std::move(read.span));
    }
}

Blob convert(const Blob& request) {
    JaegerToOtlp out;
    for (pbf_reader reader = message_of(request.view()); reader.next();) {
        if (reader.tag_and_type() == tag_and_type(1, kBytes)) {
            convert_batch(text(reader), out);
        } else {
            reader.skip();
        }
    }
    return out.finish();
}

}  // namespace

Result<Blob> jaeger_protobuf_to_otlp(const Blob& request) {
    // protozero reports malformed bytes by exceptions; they end here.
    try {
        return convert(request);
    } catch (const protozero::exception& error) {
        return fail(ErrorCode::kInvalidArgument, "malformed Jaeger spans: {}", error.what());
    }
}

}  // namespace spanloom

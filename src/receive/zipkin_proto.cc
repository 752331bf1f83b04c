#include <array>
#include <limits>

#include <arpa/inet.h>
#include <protozero/pbf_reader.hpp>

#include "receive/zipkin_convert.h"

namespace spanloom {
namespace {

std::string_view view(protozero::data_view data) {
    return {data.data(), data.size()};
}

bool take_span_id(std::string_view bytes, SpanId& id) {
    if (bytes.size() != id.bytes.size()) return false;
    std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
    return true;
}

// 16 bytes, or 8 that stand for the lower half.
bool take_trace_id(std::string_view bytes, TraceId& id) {
    if (bytes.size() != 8 && bytes.size() != 16) return false;
    std::memcpy(id.bytes.data() + (16 - bytes.size()), bytes.data(), bytes.size());
    return true;
}

std::string address_text(int family, std::string_view bytes, size_t size) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (bytes.size() != size ||
        inet_ntop(family, bytes.data(), text.data(), text.size()) == nullptr)
        return {};
    return text.data();
}

ZipkinEndpoint read_endpoint(protozero::pbf_reader reader) {
    ZipkinEndpoint endpoint;
    while (reader.next()) {
        switch (reader.tag_and_type()) {
            case protozero::tag_and_type(1, protozero::pbf_wire_type::length_delimited):
                endpoint.service_name = view(reader.get_view());
                break;
            case protozero::tag_and_type(2, protozero::pbf_wire_type::length_delimited):
                endpoint.ipv4 = address_text(AF_INET, view(reader.get_view()), 4);
                break;
            case protozero::tag_and_type(3, protozero::pbf_wire_type::length_delimited):
                endpoint.ipv6 = address_text(AF_INET6, view(reader.get_view()), 16);
                break;
            case protozero::tag_and_type(4, protozero::pbf_wire_type::varint): {
                const int32_t port = reader.get_int32();
                endpoint.port = port > 0 && port <= 0xffff ? static_cast<uint32_t>(port) : 0;
                break;
            }
            default:
                reader.skip();
                break;
        }
    }
    return endpoint;
}

std::pair<uint64_t, std::string_view> read_annotation(protozero::pbf_reader reader) {
    std::pair<uint64_t, std::string_view> annotation;
    while (reader.next()) {
        switch (reader.tag_and_type()) {
            case protozero::tag_and_type(1, protozero::pbf_wire_type::fixed64):
                annotation.first = reader.get_fixed64();
                break;
            case protozero::tag_and_type(2, protozero::pbf_wire_type::length_delimited):
                annotation.second = view(reader.get_view());
                break;
            default:
                reader.skip();
                break;
        }
    }
    return annotation;
}

std::pair<std::string_view, std::string_view> read_tag(protozero::pbf_reader reader) {
    std::pair<std::string_view, std::string_view> tag;
    while (reader.next()) {
        switch (reader.tag_and_type()) {
            case protozero::tag_and_type(1, protozero::pbf_wire_type::length_delimited):
                tag.first = view(reader.get_view());
                break;
            case protozero::tag_and_type(2, protozero::pbf_wire_type::length_delimited):
                tag.second = view(reader.get_view());
                break;
            default:
                reader.skip();
                break;
        }
    }
    return tag;
}

// The length-delimited fields of a span; "" or what is wrong.
std::string_view read_part(protozero::pbf_reader& reader, ZipkinSpan& span) {
    switch (reader.tag()) {
        case 1:
            if (!take_trace_id(view(reader.get_view()), span.trace_id))
                return "trace id is not 8 or 16 bytes long";
            break;
        case 2:
            // Zipkin's own senders write a missing parent as no bytes.
            if (const auto bytes = view(reader.get_view());
                !bytes.empty() && !take_span_id(bytes, span.parent_span_id))
                return "parent id is not 8 bytes long";
            break;
        case 3:
            if (!take_span_id(view(reader.get_view()), span.span_id))
                return "span id is not 8 bytes long";
            break;
        case 5:
            span.name = view(reader.get_view());
            break;
        case 8:
            span.local = read_endpoint(reader.get_message());
            break;
        case 9:
            span.remote = read_endpoint(reader.get_message());
            break;
        case 10:
            span.annotations.push_back(read_annotation(reader.get_message()));
            break;
        case 11:
            span.tags.push_back(read_tag(reader.get_message()));
            break;
        default:
            reader.skip();
            break;
    }
    return {};
}

std::string_view read_span(protozero::pbf_reader reader, ZipkinSpan& span) {
    while (reader.next()) {
        if (reader.wire_type() == protozero::pbf_wire_type::length_delimited) {
            if (const std::string_view fault = read_part(reader, span); !fault.empty())
                return fault;
            continue;
        }
        switch (reader.tag_and_type()) {
            case protozero::tag_and_type(4, protozero::pbf_wire_type::varint): {
                const int32_t kind = reader.get_enum();
                span.kind =
                    kind >= 1 && kind <= 4 ? static_cast<ZipkinKind>(kind) : ZipkinKind::kNone;
                break;
            }
            case protozero::tag_and_type(6, protozero::pbf_wire_type::fixed64):
                span.timestamp_us = reader.get_fixed64();
                break;
            case protozero::tag_and_type(7, protozero::pbf_wire_type::varint):
                span.duration_us = reader.get_uint64();
                break;
            case protozero::tag_and_type(12, protozero::pbf_wire_type::varint):
                span.is_debug = reader.get_bool();
                break;
            case protozero::tag_and_type(13, protozero::pbf_wire_type::varint):
                span.is_shared = reader.get_bool();
                break;
            default:
                reader.skip();
                break;
        }
    }
    if (span.trace_id.is_zero()) return "trace id is missing or all zero";
    if (span.span_id.is_zero()) return "span id is missing or all zero";
    return {};
}

Result<Blob> convert(const Blob& list, uint64_t arrival_ns) {
    ZipkinToOtlp out(arrival_ns);
    size_t index = 0;
    protozero::pbf_reader reader(list.view().data(), list.size());
    while (reader.next()) {
        if (reader.tag_and_type() !=
            protozero::tag_and_type(1, protozero::pbf_wire_type::length_delimited)) {
            reader.skip();
            continue;
        }
        ZipkinSpan span;
        if (const std::string_view fault = read_span(reader.get_message(), span); !fault.empty())
            return fail(ErrorCode::kInvalidArgument, "malformed Zipkin spans: span {}: {}", index,
                        fault);
        out.add(span);
        ++index;
    }
    return out.finish();
}

}  // namespace

Result<Blob> zipkin_protobuf_to_otlp(const Blob& list, uint64_t arrival_ns) {
    // protozero reports malformed bytes by exceptions; they end here.
    try {
        return convert(list, arrival_ns);
    } catch (const protozero::exception& error) {
        return fail(ErrorCode::kInvalidArgument, "malformed Zipkin spans: {}", error.what());
    }
}

}  // namespace spanloom

#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "otlp/batch.h"
#include "otlp/writer.h"

namespace spanloom::otlp {
namespace {

const std::string kTraceId = "0123456789abcdef";
const std::string kSpanId = "spanspan";

using Fill = std::function<void(WireWriter&)>;

void nothing(WireWriter&) {}

void write_ids(WireWriter& out, std::string_view trace_id = kTraceId,
               std::string_view span_id = kSpanId) {
    out.bytes_field(1, trace_id);
    out.bytes_field(2, span_id);
}

void write_text_attribute(WireWriter& out, uint32_t field, std::string_view key,
                          std::string_view text) {
    const size_t attribute = out.begin(field);
    out.bytes_field(1, key);
    const size_t value = out.begin(2);
    out.bytes_field(1, text);
    out.end(value);
    out.end(attribute);
}

// An attribute whose value holds lists until it is `levels` values deep.
void write_nested_attribute(std::string& bytes, uint32_t field, uint32_t levels) {
    std::string value;
    for (uint32_t level = 1; level < levels; ++level) {
        std::string list;
        WireWriter(list).bytes_field(1, value);
        std::string outer;
        WireWriter(outer).bytes_field(5, list);
        value = std::move(outer);
    }
    std::string attribute;
    WireWriter writer(attribute);
    writer.bytes_field(1, "deep");
    writer.bytes_field(2, value);
    WireWriter(bytes).bytes_field(field, attribute);
}

std::string request(const std::vector<Fill>& spans, const Fill& resource = nothing,
                    const Fill& scope = nothing) {
    std::string bytes;
    WireWriter out(bytes);
    const size_t resource_spans = out.begin(1);
    const size_t resource_mark = out.begin(1);
    resource(out);
    out.end(resource_mark);
    const size_t scope_spans = out.begin(2);
    const size_t scope_mark = out.begin(1);
    scope(out);
    out.end(scope_mark);
    for (const Fill& fill : spans) {
        const size_t span = out.begin(2);
        fill(out);
        out.end(span);
    }
    out.end(scope_spans);
    out.end(resource_spans);
    return bytes;
}

Result<Batch> decode_text(std::string_view bytes, const DecodeLimits& limits = {}) {
    return decode(Blob::copy_of(bytes), limits);
}

}  // namespace

TEST_CASE("a whole span is read back through its views") {
    const std::string bytes = request(
        {[](WireWriter& out) {
            write_ids(out);
            out.bytes_field(3, "ot=th:8");
            out.bytes_field(4, "parentid");
            out.bytes_field(5, "GET /cart");
            out.varint_field(6, 2);
            out.fixed64_field(7, 1'000);
            out.fixed64_field(8, 3'500);
            write_text_attribute(out, 9, "http.route", "/cart");
            out.varint_field(10, 1);
            const size_t event = out.begin(11);
            out.fixed64_field(1, 2'000);
            out.bytes_field(2, "exception");
            write_text_attribute(out, 3, "exception.type", "Timeout");
            out.varint_field(4, 7);
            out.end(event);
            out.varint_field(12, 2);
            const size_t link = out.begin(13);
            write_ids(out, "fedcba9876543210", "linklink");
            out.bytes_field(3, "a=b");
            write_text_attribute(out, 4, "why", "batch");
            out.varint_field(5, 9);
            out.fixed32_field(6, 0x101);
            out.end(link);
            out.varint_field(14, 3);
            const size_t status = out.begin(15);
            out.bytes_field(2, "too slow");
            out.varint_field(3, 2);
            out.end(status);
            out.fixed32_field(16, 0x301);
        }},
        [](WireWriter& out) {
            write_text_attribute(out, 1, "service.name", "cart");
            out.varint_field(2, 4);
        },
        [](WireWriter& out) {
            out.bytes_field(1, "io.shop");
            out.bytes_field(2, "1.2");
            write_text_attribute(out, 3, "k", "v");
        });
    const Batch batch = decode_text(bytes).value();
    REQUIRE(batch.spans.size() == 1);
    CHECK(batch.spans_rejected == 0);
    CHECK(batch.rejection.empty());
    const SpanRef& ref = batch.spans[0];
    CHECK(ref.start_ns == 1'000);
    CHECK(ref.end_ns == 3'500);
    CHECK(ref.trace_id.view() == kTraceId);
    CHECK(ref.span_id.view() == kSpanId);
    const SpanView span = batch.span(ref);
    CHECK(span.trace_id == ref.trace_id);
    CHECK(span.span_id == ref.span_id);
    CHECK(span.parent_span_id.view() == "parentid");
    CHECK(span.trace_state == "ot=th:8");
    CHECK(span.name == "GET /cart");
    CHECK(span.kind == SpanKind::kServer);
    CHECK(span.status == StatusCode::kError);
    CHECK(span.status_message == "too slow");
    CHECK(span.flags == 0x301);
    CHECK(span.duration_ns() == 2'500);
    CHECK(span.dropped_attributes == 1);
    CHECK(span.dropped_events == 2);
    CHECK(span.dropped_links == 3);
    size_t seen = 0;
    for (const AttributeView attribute : span.attributes()) {
        CHECK(attribute.key == "http.route");
        CHECK(attribute.value.type == ValueType::kString);
        CHECK(attribute.value.bytes == "/cart");
        ++seen;
    }
    for (const EventView event : span.events()) {
        CHECK(event.time_ns == 2'000);
        CHECK(event.name == "exception");
        CHECK(event.dropped_attributes == 7);
        for (const AttributeView attribute : event.attributes())
            CHECK(attribute.value.bytes == "Timeout");
        ++seen;
    }
    for (const LinkView link : span.links()) {
        CHECK(link.trace_id.view() == "fedcba9876543210");
        CHECK(link.span_id.view() == "linklink");
        CHECK(link.trace_state == "a=b");
        CHECK(link.dropped_attributes == 9);
        CHECK(link.flags == 0x101);
        ++seen;
    }
    CHECK(seen == 3);
    const ScopeRef& scope_ref = batch.scopes.at(ref.scope);
    const ScopeView scope = batch.scope(scope_ref);
    CHECK(scope.name == "io.shop");
    CHECK(scope.version == "1.2");
    const ResourceView resource = batch.resource(batch.resources.at(scope_ref.resource));
    CHECK(resource.service_name() == "cart");
    CHECK(resource.dropped_attributes == 4);
}

TEST_CASE("an empty request is a success without spans") {
    const Batch batch = decode_text("").value();
    CHECK(batch.spans.empty());
    CHECK(batch.spans_rejected == 0);
}

TEST_CASE("each kind of value is told apart, the last of several wins") {
    const auto value_of = [](const Fill& fill) {
        static std::string bytes;
        bytes.clear();
        WireWriter out(bytes);
        fill(out);
        return ValueView::parse(bytes);
    };
    CHECK(value_of(nothing).type == ValueType::kEmpty);
    CHECK(value_of([](WireWriter& out) { out.varint_field(2, 1); }).boolean);
    const ValueView negative =
        value_of([](WireWriter& out) { out.varint_field(3, static_cast<uint64_t>(int64_t{-5})); });
    CHECK(negative.type == ValueType::kInt);
    CHECK(negative.integer == -5);
    CHECK(value_of([](WireWriter& out) { out.double_field(4, 0.25); }).number == 0.25);
    CHECK(value_of([](WireWriter& out) { out.bytes_field(7, "\xff"); }).type == ValueType::kBytes);
    const ValueView last = value_of([](WireWriter& out) {
        out.bytes_field(1, "text");
        out.varint_field(3, 9);
    });
    CHECK(last.type == ValueType::kInt);
    CHECK(last.integer == 9);
    // A known field in a wire type that is not its own is an unknown field.
    CHECK(value_of([](WireWriter& out) { out.varint_field(1, 9); }).type == ValueType::kEmpty);
    const ValueView list = value_of([](WireWriter& out) {
        const size_t mark = out.begin(5);
        for (const char* text : {"a", "b"}) {
            const size_t element = out.begin(1);
            out.bytes_field(1, text);
            out.end(element);
        }
        out.end(mark);
    });
    std::string joined;
    for (const ValueView element : list.elements())
        joined += element.bytes;
    CHECK(joined == "ab");
}

TEST_CASE("spans with ids of a wrong length or all zero are rejected by name, the rest is kept") {
    const std::string bytes = request({
        [](WireWriter& out) { write_ids(out); },
        [](WireWriter& out) { write_ids(out, "fifteen bytes.."); },
        [](WireWriter& out) { write_ids(out, "fifteen bytes.."); },
        [](WireWriter& out) { write_ids(out, ""); },
        [](WireWriter& out) { write_ids(out, std::string(16, '\0')); },
        [](WireWriter& out) { write_ids(out, kTraceId, std::string(8, '\0')); },
        [](WireWriter& out) { write_ids(out, kTraceId, "s"); },
        [](WireWriter& out) {
            write_ids(out);
            out.bytes_field(4, "xyz");
        },
    });
    const Batch batch = decode_text(bytes).value();
    CHECK(batch.spans.size() == 1);
    CHECK(batch.spans_rejected == 7);
    CHECK(batch.rejection ==
          "7 spans rejected: trace_id of 15 bytes, must be 16 (2); trace_id missing (1); "
          "trace_id all zero (1); span_id all zero (1); span_id of 1 byte, must be 8 (1); "
          "parent_span_id of 3 bytes, must be 8 or empty (1)");
}

TEST_CASE("reasons without end are summed up") {
    std::vector<Fill> spans;
    for (size_t length = 17; length < 40; ++length)
        spans.push_back([length](WireWriter& out) { write_ids(out, std::string(length, 'x')); });
    const Batch batch = decode_text(request(spans)).value();
    CHECK(batch.spans_rejected == 23);
    CHECK(batch.rejection.size() < 400);
    CHECK(batch.rejection.ends_with("other reasons (17)"));
}

TEST_CASE("an empty or zero parent is a root") {
    const std::string bytes = request({[](WireWriter& out) {
                                           write_ids(out);
                                           out.bytes_field(4, "");
                                       },
                                       [](WireWriter& out) {
                                           write_ids(out);
                                           out.bytes_field(4, std::string(8, '\0'));
                                       }});
    const Batch batch = decode_text(bytes).value();
    REQUIRE(batch.spans.size() == 2);
    for (const SpanRef& ref : batch.spans)
        CHECK(batch.span(ref).parent_span_id.is_zero());
}

TEST_CASE("values nest 64 levels deep; a deeper span alone is rejected") {
    const auto span_of = [](uint32_t levels) {
        std::string span;
        WireWriter out(span);
        write_ids(out);
        write_nested_attribute(span, 9, levels);
        return span;
    };
    std::string scope_spans;
    WireWriter writer(scope_spans);
    for (const uint32_t levels : {1U, 64U, 65U, 5'000U})
        writer.bytes_field(2, span_of(levels));
    std::string resource_spans;
    WireWriter(resource_spans).bytes_field(2, scope_spans);
    std::string bytes;
    WireWriter(bytes).bytes_field(1, resource_spans);
    const Batch batch = decode_text(bytes).value();
    CHECK(batch.spans.size() == 2);
    CHECK(batch.rejection == "2 spans rejected: nested deeper than 64 levels");
}

TEST_CASE("maps of maps down to the limit fit the walker's stack") {
    for (const uint32_t levels : {64U, 65U, 66U, 1'000U}) {
        std::string value;
        for (uint32_t level = 1; level < levels; ++level) {
            std::string entry;
            WireWriter(entry).bytes_field(2, value);
            std::string map;
            WireWriter(map).bytes_field(1, entry);
            value.clear();
            WireWriter(value).bytes_field(6, map);
        }
        std::string attribute;
        WireWriter(attribute).bytes_field(2, value);
        const Batch batch = decode_text(request({[&attribute](WireWriter& out) {
                                write_ids(out);
                                const size_t event = out.begin(11);
                                out.bytes_field(3, attribute);
                                out.end(event);
                            }})).value();
        CHECK(batch.spans.size() == (levels <= 64 ? 1 : 0));
    }
}

TEST_CASE("a resource or scope that is nested too deeply takes its spans with it") {
    const auto deep = [](WireWriter& out, uint32_t field) {
        std::string bytes;
        write_nested_attribute(bytes, field, 65);
        const std::string tagless = bytes;
        // The helper has written tag and length already; here only its payload is wanted.
        WireReader reader(tagless);
        reader.next();
        out.bytes_field(field, reader.bytes());
    };
    const Fill span = [](WireWriter& out) { write_ids(out); };
    const Batch by_resource =
        decode_text(request({span, span}, [&](WireWriter& out) { deep(out, 1); })).value();
    CHECK(by_resource.spans.empty());
    CHECK(by_resource.resources.empty());
    CHECK(by_resource.scopes.empty());
    CHECK(by_resource.rejection == "2 spans rejected: resource nested deeper than 64 levels");
    const Batch by_scope =
        decode_text(request({span}, nothing, [&](WireWriter& out) { deep(out, 3); })).value();
    CHECK(by_scope.spans.empty());
    CHECK(by_scope.rejection == "1 span rejected: scope nested deeper than 64 levels");
}

TEST_CASE("what cannot be walked is refused with the place") {
    const std::string huge_length = "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f";
    const std::string long_varint = "\x10\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01";
    const std::string field_zero = std::string("\x00\x01", 2);
    const std::string group = "\x0b\x0c";
    const std::string end_group = "\x0c";
    const std::string wire_type_7 = "\x0f";
    const std::string past_end = "\x0a\x05xy";
    const std::string half_tag = "\x80";
    const std::string half_fixed = std::string("\x11\x00\x00", 3);
    for (const std::string& bytes : {huge_length, long_varint, field_zero, group, end_group,
                                     wire_type_7, past_end, half_tag, half_fixed}) {
        const auto batch = decode_text(bytes);
        REQUIRE_FALSE(batch.has_value());
        CHECK(batch.error().code == ErrorCode::kInvalidArgument);
        CHECK(batch.error().message.find("at byte ") != std::string::npos);
        // The same inside an attribute of a span.
        const auto inside = decode_text(request({[&bytes](WireWriter& out) {
            write_ids(out);
            out.bytes_field(9, bytes);
        }}));
        CHECK_FALSE(inside.has_value());
    }
}

TEST_CASE("a million groups are refused at the first") {
    CHECK_FALSE(decode_text(std::string(1'000'000, '\x0b')).has_value());
}

TEST_CASE("each way of cutting a request short is refused or read, never walked past its end") {
    const std::string bytes =
        request({[](WireWriter& out) {
                    write_ids(out);
                    write_text_attribute(out, 9, "key", "value");
                    std::string more;
                    out.fixed64_field(7, 5);
                }},
                [](WireWriter& out) { write_text_attribute(out, 1, "service.name", "cut"); });
    for (size_t size = 1; size < bytes.size(); ++size)
        CHECK_FALSE(decode_text(std::string_view(bytes).substr(0, size)).has_value());
    CHECK(decode_text(bytes).has_value());
}

TEST_CASE("a span reads the same in whatever form its fields are written") {
    const std::string trace_id(16, 't');
    const std::string span_id(8, 's');
    const std::string parent_id(8, 'p');
    std::string attribute;
    WireWriter(attribute).bytes_field(1, "key");
    // A length, or a number, in more bytes than it needs.
    const auto in_two = [](size_t number) {
        return std::string{static_cast<char>((number & 0x7f) | 0x80),
                           static_cast<char>(number >> 7)};
    };
    const auto field = [&](uint32_t number, const std::string& bytes, bool is_long) {
        const std::string size =
            is_long ? in_two(bytes.size()) : std::string(1, static_cast<char>(bytes.size()));
        return std::string(1, static_cast<char>(number << 3 | 2)) + size + bytes;
    };
    const auto time = [](uint32_t number, uint64_t ns) {
        std::string bytes(1, static_cast<char>(number << 3 | 1));
        return bytes.append(reinterpret_cast<const char*>(&ns), sizeof ns);
    };
    for (const bool is_long : {false, true}) {
        CAPTURE(is_long);
        // The last of several counts.
        const std::string span =
            field(1, std::string(16, 'x'), false) + field(1, trace_id, is_long) +
            field(2, span_id, is_long) + field(4, "bad", false) + field(4, parent_id, is_long) +
            field(5, "name", is_long) + std::string(1, 6 << 3) + (is_long ? in_two(3) : "\3") +
            field(9, attribute, is_long) + time(7, 1) + time(7, 70) + time(8, 80) +
            std::string("\x85\x01\x01\x01\0\0", 6) + field(9, attribute, !is_long);
        const Batch batch =
            decode_text(field(1, field(2, field(2, span, true), true), true)).value();
        REQUIRE(batch.spans.size() == 1);
        CHECK(batch.spans[0].trace_id.view() == trace_id);
        CHECK(batch.spans[0].span_id.view() == span_id);
        CHECK(batch.spans[0].start_ns == 70);
        CHECK(batch.spans[0].end_ns == 80);
        CHECK(batch.span(batch.spans[0]).parent_span_id.view() == parent_id);
        CHECK(batch.at(batch.spans[0].message) == span);
        for (size_t size = 1; size < span.size(); ++size) {
            const std::string cut = span.substr(0, size);
            const auto read = decode_text(field(1, field(2, field(2, cut, true), true), true));
            if (read) CHECK(read->spans.size() + read->spans_rejected == 1);
        }
    }
}

TEST_CASE("unknown fields are skipped wherever they stand") {
    const Batch batch = decode_text(request({[](WireWriter& out) {
                            out.bytes_field(1000, "later versions");
                            write_ids(out);
                            out.varint_field(999, 5);
                            out.fixed32_field(998, 5);
                            out.fixed64_field(997, 5);
                        }})).value();
    CHECK(batch.spans.size() == 1);
}

TEST_CASE("resources and scopes without spans cost no memory") {
    std::string bytes;
    for (size_t i = 0; i < 200'000; ++i)
        bytes += std::string_view("\x0a\x02\x12\x00", 4);
    const Batch batch = decode_text(bytes).value();
    CHECK(batch.resources.empty());
    CHECK(batch.scopes.empty());
}

TEST_CASE("more resources and scopes than the limit are refused") {
    const std::string one = request({[](WireWriter& out) { write_ids(out); }});
    const DecodeLimits limits{.depth_max = 64, .entities_max = 4};
    CHECK(decode_text(one + one, limits).has_value());
    const auto refused = decode_text(one + one + one, limits);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ErrorCode::kResourceExhausted);
}

TEST_CASE("times of any size are kept") {
    const Batch batch = decode_text(request({[](WireWriter& out) {
                            write_ids(out);
                            out.fixed64_field(7, ~uint64_t{0});
                            out.fixed64_field(8, 1);
                        }})).value();
    CHECK(batch.spans.at(0).start_ns == ~uint64_t{0});
    CHECK(batch.span(batch.spans[0]).duration_ns() == 0);
}

TEST_CASE("numbers that name no kind or status read as unset") {
    const Batch batch = decode_text(request({[](WireWriter& out) {
                            write_ids(out);
                            out.varint_field(6, 77);
                            const size_t status = out.begin(15);
                            out.varint_field(3, 77);
                            out.end(status);
                        }})).value();
    const SpanView span = batch.span(batch.spans.at(0));
    CHECK(span.kind == SpanKind::kUnspecified);
    CHECK(span.status == StatusCode::kUnset);
}

TEST_CASE("hexadecimal ids") {
    CHECK(TraceId::parse("ABCDEF0123456789abcdef0123456789")->hex() ==
          "abcdef0123456789abcdef0123456789");
    CHECK(TraceId::parse("1f")->hex() == "0000000000000000000000000000001f");
    CHECK_FALSE(TraceId::parse("").has_value());
    CHECK_FALSE(TraceId::parse("xyz").has_value());
    CHECK_FALSE(TraceId::parse(std::string(33, '1')).has_value());
    CHECK(SpanId::parse("00000000000000ff")->hex() == "00000000000000ff");
    CHECK_FALSE(SpanId::parse("ff").has_value());
}

}  // namespace spanloom::otlp

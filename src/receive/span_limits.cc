#include "receive/span_limits.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "otlp/wire.h"
#include "otlp/writer.h"

namespace spanloom {
namespace {

using otlp::WireReader;
using otlp::WireWriter;

// The least that an attribute takes in a message.
constexpr uint32_t kAttributeBytesMin = 4;

// Field numbers of attributes and of the dropped count of each kind of message.
struct Shape {
    uint32_t attributes = 0;
    uint32_t dropped = 0;
};
constexpr Shape kSpan{9, 10};
constexpr Shape kEvent{3, 4};
constexpr Shape kLink{4, 5};
constexpr Shape kResource{1, 2};

uint32_t small_bytes(const SpanLimits& limits) {
    return std::min(
        {limits.attributes_max * kAttributeBytesMin, limits.value_bytes_max, limits.key_bytes_max});
}

// Where a text may end, so that no character is cut in two.
size_t cut_at(std::string_view text, size_t size) {
    if (text.size() <= size) return text.size();
    while (size > 0 && (static_cast<uint8_t>(text[size]) & 0xc0) == 0x80)
        --size;
    return size;
}

// Copies messages field by field. One use per message.
class Cutter {
  public:
    Cutter(const SpanLimits& limits, CutCounts& counts) : limits_(limits), counts_(counts) {}

    bool has_cut() const { return has_cut_; }

    // Appends the fields of the message to `out`.
    void copy(std::string_view message, const Shape& shape, std::string& out) {
        WireReader reader(message);
        WireWriter writer(out);
        uint64_t attributes = 0;
        uint64_t dropped = 0;
        const bool is_span = shape.attributes == kSpan.attributes;
        while (reader.next()) {
            const uint32_t field = reader.field();
            const uint32_t type = reader.wire_type();
            if (field == shape.dropped && type == 0) {
                dropped += reader.varint();
                continue;
            }
            const bool is_nested = type == 2 && (field == shape.attributes ||
                                                 (is_span && (field == 11 || field == 13)));
            if (!is_nested) {
                copy_field(reader, writer);
                continue;
            }
            const std::string_view value = reader.bytes();
            if (field != shape.attributes) {
                const size_t mark = writer.begin(field);
                copy(value, field == 11 ? kEvent : kLink, out);
                writer.end(mark);
            } else if (++attributes > limits_.attributes_max || !attribute(value, field, out)) {
                ++dropped;
                ++counts_.attributes;
                has_cut_ = true;
            }
        }
        if (dropped > 0)
            writer.varint_field(shape.dropped, std::min<uint64_t>(dropped, UINT32_MAX));
    }

  private:
    static void copy_field(WireReader& reader, WireWriter& writer) {
        const uint32_t field = reader.field();
        switch (reader.wire_type()) {
            case 0:
                return writer.varint_field(field, reader.varint());
            case 1:
                return writer.fixed64_field(field, reader.fixed64());
            case 2:
                return writer.bytes_field(field, reader.bytes());
            default:
                return writer.fixed32_field(field, reader.fixed32());
        }
    }

    // False: it is to be dropped.
    bool attribute(std::string_view message, uint32_t field, std::string& out) {
        if (message.size() <= small_bytes(limits_)) {
            WireWriter(out).bytes_field(field, message);
            return true;
        }
        std::string_view key;
        std::string_view value;
        WireReader reader(message);
        while (reader.next()) {
            if (reader.wire_type() != 2) {
                reader.skip();
                continue;
            }
            const std::string_view bytes = reader.bytes();
            if (reader.field() == 1) key = bytes;
            if (reader.field() == 2) value = bytes;
        }
        if (key.size() > limits_.key_bytes_max) return false;
        if (value.size() <= limits_.value_bytes_max) {
            WireWriter(out).bytes_field(field, message);
            return true;
        }
        return cut_value(key, value, field, out);
    }

    bool cut_value(std::string_view key, std::string_view value, uint32_t field, std::string& out) {
        constexpr uint32_t kText = 1;
        constexpr uint32_t kBytes = 7;
        uint32_t kind = 0;
        std::string_view content;
        WireReader reader(value);
        while (reader.next()) {
            kind = reader.field();
            if (reader.wire_type() == 2) {
                content = reader.bytes();
            } else {
                reader.skip();
            }
        }
        if (kind != kText && kind != kBytes) return false;
        const size_t size = kind == kText
                                ? cut_at(content, limits_.value_bytes_max)
                                : std::min<size_t>(content.size(), limits_.value_bytes_max);
        WireWriter writer(out);
        const size_t attribute = writer.begin(field);
        writer.bytes_field(1, key);
        const size_t mark = writer.begin(2);
        writer.bytes_field(kind, content.substr(0, size));
        writer.end(mark);
        writer.end(attribute);
        ++counts_.values;
        has_cut_ = true;
        return true;
    }

    const SpanLimits& limits_;
    CutCounts& counts_;
    bool has_cut_ = false;
};

}  // namespace

bool exceeds(const Batch& batch, const SpanLimits& limits) {
    const uint32_t small = small_bytes(limits);
    const auto is_beyond = [&](std::string_view message, const Shape& shape) {
        if (message.size() <= small) return false;
        CutCounts counts;
        Cutter cutter(limits, counts);
        std::string out;
        cutter.copy(message, shape, out);
        return cutter.has_cut();
    };
    return std::any_of(
               batch.spans.begin(), batch.spans.end(),
               [&](const SpanRef& span) { return is_beyond(batch.at(span.message), kSpan); }) ||
           std::any_of(batch.resources.begin(), batch.resources.end(),
                       [&](const ResourceRef& resource) {
                           return is_beyond(batch.at(resource.message), kResource);
                       });
}

Result<Batch> rewrite(const Batch& batch, const std::function<bool(uint32_t)>& keeps,
                      const SpanLimits& limits, const otlp::DecodeLimits& decode,
                      CutCounts& counts) {
    const uint32_t small = small_bytes(limits);
    std::string bytes;
    bytes.reserve(batch.bytes.size());
    WireWriter out(bytes);
    const auto write = [&](uint32_t field, std::string_view message, const Shape& shape) {
        if (message.size() <= small) {
            out.bytes_field(field, message);
            return false;
        }
        Cutter cutter(limits, counts);
        const size_t mark = out.begin(field);
        cutter.copy(message, shape, bytes);
        out.end(mark);
        return cutter.has_cut();
    };
    uint32_t i = 0;
    const auto count = static_cast<uint32_t>(batch.spans.size());
    while (i < count) {
        const uint32_t scope_number = batch.spans[i].scope;
        const ScopeRef& scope = batch.scopes[scope_number];
        const ResourceRef& resource = batch.resources[scope.resource];
        const size_t resource_spans = out.begin(1);
        write(1, batch.at(resource.message), kResource);
        const size_t scope_spans = out.begin(2);
        out.bytes_field(1, batch.at(scope.message));
        for (; i < count && batch.spans[i].scope == scope_number; ++i) {
            if (keeps && !keeps(i)) continue;
            if (write(2, batch.at(batch.spans[i].message), kSpan)) ++counts.spans;
        }
        if (scope.schema_url.size > 0) out.bytes_field(3, batch.at(scope.schema_url));
        out.end(scope_spans);
        if (resource.schema_url.size > 0) out.bytes_field(3, batch.at(resource.schema_url));
        out.end(resource_spans);
    }
    TRY_ASSIGN(Batch made, otlp::decode(Blob::copy_of(bytes), decode));
    made.tenant = batch.tenant;
    made.arrival_ns = batch.arrival_ns;
    made.spans_rejected += batch.spans_rejected;
    made.rejection = batch.rejection;
    made.memory = batch.memory;
    return made;
}

}  // namespace spanloom

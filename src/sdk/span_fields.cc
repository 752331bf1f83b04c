#include <algorithm>
#include <cstring>

#include "otlp/wire.h"
#include "sdk/exception_event.h"
#include "sdk/provider_core.h"
#include "sdk/span_record.h"

// What a span is told while it lives: encoded at once, behind what it holds already.
namespace spanloom::detail {
namespace {

using sdk::EncodeBuffer;
using sdk::EncodeLimits;
using sdk::put_raw;
using sdk::put_varint;

constexpr size_t kShortMax = 127;  // lengths that are one byte

// A place among the fields of a span.
struct Place {
    size_t at = 0;
    size_t size = 0;  // 0: not there
};

[[gnu::always_inline]] inline uint64_t key_hash(std::string_view key) noexcept {
    const size_t size = key.size();
    uint64_t first = 0;
    uint64_t last = 0;
    if (size >= 8) {
        first = sdk::load_raw<uint64_t>(key.data());
        last = sdk::load_raw<uint64_t>(key.data() + size - 8);
    } else if (size >= 4) {
        first = sdk::load_raw<uint32_t>(key.data());
        last = sdk::load_raw<uint32_t>(key.data() + size - 4);
    } else {
        first = static_cast<uint8_t>(key[0]) | uint64_t{static_cast<uint8_t>(key[size / 2])} << 8 |
                uint64_t{static_cast<uint8_t>(key[size - 1])} << 16;
    }
    return (first ^ (last + size) * 0x9e3779b97f4a7c15U) * 0xbf58476d1ce4e5b9U;
}

// True where the key cannot have been set before; notes it either way.
[[gnu::always_inline]] inline bool note_new_key(SpanRecord* record, std::string_view key) noexcept {
    const uint64_t bit = key_hash(key) >> 56;
    uint64_t& word = record->key_filter[bit >> 6];
    const uint64_t mask = uint64_t{1} << (bit & 63);
    const bool is_new = (word & mask) == 0;
    word |= mask;
    return is_new;
}

Place find_field(const SpanRecord* record, uint32_t tag, std::string_view key) noexcept {
    const std::string_view all = record->buffer.view();
    const uint8_t* const begin = record->buffer.begin();
    const uint8_t* at = begin + record->fields_at;
    const uint8_t* const end = begin + all.size();
    while (at < end) {
        // Every field behind the name is length-delimited, with a tag of one byte.
        const uint8_t* const start = at;
        const uint32_t found = *at++;
        uint64_t size = 0;
        for (int shift = 0;; shift += 7) {
            size |= uint64_t{static_cast<uint8_t>(*at & 0x7f)} << shift;
            if (*at++ < 0x80) break;
        }
        const std::string_view message(reinterpret_cast<const char*>(at), size);
        at += size;
        if (found != tag) continue;
        if (tag == kTagAttribute) {
            otlp::WireReader reader(message);
            if (!reader.next() || reader.bytes() != key) continue;
        }
        return {static_cast<size_t>(start - begin), static_cast<size_t>(at - start)};
    }
    return {};
}

void cut(SpanRecord* record, Place place) noexcept {
    uint8_t* from = record->buffer.begin() + place.at;
    const size_t behind = record->buffer.size() - place.at - place.size;
    std::memmove(from, from + place.size, behind);
    record->buffer.set_at(record->buffer.at() - place.size);
}

// An older attribute of this key goes; false where there was none.
bool cut_older(SpanRecord* record, std::string_view key) noexcept {
    const Place old = find_field(record, kTagAttribute, key);
    if (old.size != 0) cut(record, old);
    return old.size != 0;
}

// Makes way for an attribute: an older one of its key goes. False where there is no room for more.
[[gnu::always_inline]] inline bool make_way(SpanRecord* record, std::string_view key) noexcept {
    if (!note_new_key(record, key)) [[unlikely]] {
        if (cut_older(record, key)) return true;
    }
    if (record->attributes < record->tracer()->limits.attributes_max) [[likely]] {
        ++record->attributes;
        return true;
    }
    ++record->dropped_attributes;
    return false;
}

void lose_attribute(SpanRecord* record) noexcept {
    --record->attributes;
    ++record->dropped_attributes;
}

// The head of a short attribute up to its value: `value_size` is of the AnyValue's fields.
[[gnu::always_inline]] inline uint8_t* put_short_key(uint8_t* at, std::string_view key,
                                                     size_t value_size, bool& is_ascii) noexcept {
    *at++ = kTagAttribute;
    *at++ = static_cast<uint8_t>(4 + key.size() + value_size);
    *at++ = 0x0a;
    *at++ = static_cast<uint8_t>(key.size());
    is_ascii = sdk::copy_text(at, key.data(), key.size());
    at += key.size();
    *at++ = 0x12;
    *at++ = static_cast<uint8_t>(value_size);
    return at;
}

bool is_short(size_t key_size, size_t value_size) noexcept {
    return 4 + key_size + value_size <= kShortMax;
}

[[gnu::cold]] void put_general(SpanRecord* record, std::string_view key,
                               const AttributeValue& value) noexcept {
    if (!put_attribute(record->buffer, kTagAttribute, key, value, value_limits(record)))
        lose_attribute(record);
}

// Numbers: the value is at most 11 bytes.
template <typename Put>
[[gnu::always_inline]] inline void set_short(SpanRecord* record, std::string_view key,
                                             const AttributeValue& value, size_t value_size,
                                             Put put) noexcept {
    check_letters(record);
    if (key.empty()) [[unlikely]]
        return;
    if (!make_way(record, key)) [[unlikely]]
        return;
    EncodeBuffer& buffer = record->buffer;
    if (!is_short(key.size(), value_size) ||
        !buffer.ensure(kShortMax + 2, record->tracer()->limits.span_bytes_max)) [[unlikely]]
        return put_general(record, key, value);
    bool is_ascii = false;
    uint8_t* at = put_short_key(buffer.at(), key, value_size, is_ascii);
    if (!is_ascii) [[unlikely]]
        return put_general(record, key, value);
    buffer.set_at(put(at));
}

}  // namespace

EncodeLimits value_limits(const SpanRecord* record) noexcept {
    const SpanLimits& limits = record->tracer()->limits;
    return {limits.value_characters_max, limits.value_depth_max, limits.span_bytes_max};
}

void set_bool(SpanRecord* record, std::string_view key, bool value) noexcept {
    set_short(record, key, value, 2, [value](uint8_t* at) {
        *at++ = 2 << 3;
        *at++ = value ? 1 : 0;
        return at;
    });
}

void set_int(SpanRecord* record, std::string_view key, int64_t value) noexcept {
    const auto bits = static_cast<uint64_t>(value);
    set_short(record, key, value, 1 + sdk::varint_size(bits), [bits](uint8_t* at) {
        *at++ = 3 << 3;
        return put_varint(at, bits);
    });
}

void set_double(SpanRecord* record, std::string_view key, double value) noexcept {
    set_short(record, key, value, 9, [value](uint8_t* at) {
        *at++ = 4 << 3 | 1;
        return put_raw(at, value);
    });
}

void set_string(SpanRecord* record, std::string_view key, std::string_view value) noexcept {
    check_letters(record);
    if (key.empty()) [[unlikely]]
        return;
    if (!make_way(record, key)) [[unlikely]]
        return;
    EncodeBuffer& buffer = record->buffer;
    const SpanLimits& limits = record->tracer()->limits;
    if (!is_short(key.size(), 2 + value.size()) || value.size() > limits.value_characters_max ||
        !buffer.ensure(kShortMax + 2, limits.span_bytes_max)) [[unlikely]]
        return put_general(record, key, value);
    bool is_ascii = false;
    uint8_t* at = put_short_key(buffer.at(), key, 2 + value.size(), is_ascii);
    *at++ = 0x0a;
    *at++ = static_cast<uint8_t>(value.size());
    if (!sdk::copy_text(at, value.data(), value.size()) || !is_ascii) [[unlikely]]
        return put_general(record, key, value);
    buffer.set_at(at + value.size());
}

void set_value(SpanRecord* record, std::string_view key, const AttributeValue& value) noexcept {
    using Type = AttributeValue::Type;
    switch (value.type()) {
        case Type::kEmpty:
            return;
        case Type::kBool:
            return set_bool(record, key, value.boolean());
        case Type::kInt:
            return set_int(record, key, value.integer());
        case Type::kDouble:
            return set_double(record, key, value.number());
        case Type::kString:
            return set_string(record, key, value.text());
        default:
            break;
    }
    check_letters(record);
    if (key.empty() || !make_way(record, key)) return;
    put_general(record, key, value);
}

void append_attribute_field(SpanRecord* record, std::string_view key,
                            std::string_view field) noexcept {
    if (!make_way(record, key)) return;
    if (!record->buffer.ensure(field.size(), record->tracer()->limits.span_bytes_max))
        return lose_attribute(record);
    std::memcpy(record->buffer.at(), field.data(), field.size());
    record->buffer.set_at(record->buffer.at() + field.size());
}

bool put_event(EncodeBuffer& buffer, std::string_view name, AttributeList attributes,
               Timestamp time, const EncodeLimits& limits, uint32_t attributes_max) noexcept {
    const size_t before = buffer.size();
    const uint64_t time_ns = time.is_now() ? sdk::tick_clock.now().wall_ns : time.unix_ns;
    const size_t mark = sdk::open_message(buffer, kTagEvent, limits);
    EncodeLimits name_limits = limits;
    name_limits.characters_max = UINT32_MAX;
    if (mark != 0 && buffer.ensure(16, limits.bytes_max)) {
        uint8_t* at = buffer.at();
        *at++ = 1 << 3 | 1;
        buffer.set_at(put_raw(at, time_ns));
        if (sdk::put_text(buffer, 2 << 3 | 2, name, name_limits)) {
            const uint32_t dropped =
                sdk::put_attributes(buffer, 3 << 3 | 2, attributes, attributes_max, limits);
            if (buffer.ensure(16, SIZE_MAX)) {
                if (dropped != 0)
                    buffer.set_at(put_varint(put_varint(buffer.at(), 4 << 3), dropped));
                if (sdk::close_message(buffer, mark, {})) return true;
            }
        }
    }
    buffer.rewind(before);
    return false;
}

bool put_link(EncodeBuffer& buffer, const SpanContext& context, AttributeList attributes,
              const EncodeLimits& limits, uint32_t attributes_max) noexcept {
    const size_t before = buffer.size();
    const size_t mark = sdk::open_message(buffer, kTagLink, limits);
    if (mark != 0 && buffer.ensure(64, limits.bytes_max)) {
        uint8_t* at = buffer.at();
        *at++ = 1 << 3 | 2;
        *at++ = 16;
        std::memcpy(at, context.trace_id().bytes.data(), 16);
        at += 16;
        *at++ = 2 << 3 | 2;
        *at++ = 8;
        std::memcpy(at, context.span_id().bytes.data(), 8);
        at += 8;
        *at++ = 6 << 3 | 5;
        buffer.set_at(
            put_raw(at, static_cast<uint32_t>((context.flags().bits & TraceFlags::kSent) | 0x100 |
                                              (context.is_remote() ? 0x200 : 0))));
        const TraceState& state = context.trace_state();
        if (state.empty() || sdk::put_text(buffer, 3 << 3 | 2, state.text(), limits)) {
            const uint32_t dropped =
                sdk::put_attributes(buffer, 4 << 3 | 2, attributes, attributes_max, limits);
            if (buffer.ensure(16, SIZE_MAX)) {
                if (dropped != 0)
                    buffer.set_at(put_varint(put_varint(buffer.at(), 5 << 3), dropped));
                if (sdk::close_message(buffer, mark, {})) return true;
            }
        }
    }
    buffer.rewind(before);
    return false;
}

void add_event(SpanRecord* record, std::string_view name, AttributeList attributes,
               Timestamp time) noexcept {
    check_letters(record);
    const SpanLimits& limits = record->tracer()->limits;
    if (record->events >= limits.events_max ||
        !put_event(record->buffer, name, attributes, time, value_limits(record),
                   limits.event_attributes_max)) {
        ++record->dropped_events;
        return;
    }
    ++record->events;
}

void add_link(SpanRecord* record, const SpanContext& context, AttributeList attributes) noexcept {
    check_letters(record);
    // The specification: a link without ids counts where it says something by itself.
    if (!context.is_valid() && attributes.empty() && context.trace_state().empty()) return;
    const SpanLimits& limits = record->tracer()->limits;
    if (record->links >= limits.links_max ||
        !put_link(record->buffer, context, attributes, value_limits(record),
                  limits.link_attributes_max)) {
        ++record->dropped_links;
        return;
    }
    ++record->links;
}

void add_exception(SpanRecord* record, const std::exception& exception, AttributeList attributes,
                   Timestamp time) noexcept {
    add_event(record, "exception", ExceptionEvent(exception, attributes).attributes(), time);
}

void add_current_exception(SpanRecord* record, AttributeList attributes, Timestamp time) noexcept {
    const ExceptionEvent event(attributes);
    if (event.is_there()) add_event(record, "exception", event.attributes(), time);
}

void set_status(SpanRecord* record, StatusCode code, std::string_view description) noexcept {
    check_letters(record);
    if (code == StatusCode::kUnset || record->status == StatusCode::kOk) return;
    if (record->status != StatusCode::kUnset) cut(record, find_field(record, kTagStatus, {}));
    record->status = StatusCode::kUnset;
    const EncodeLimits limits{UINT32_MAX, 1, record->tracer()->limits.span_bytes_max};
    EncodeBuffer& buffer = record->buffer;
    const size_t before = buffer.size();
    const size_t mark = sdk::open_message(buffer, kTagStatus, limits);
    if (mark == 0) return;
    if (code == StatusCode::kError && !description.empty())
        put_text(buffer, 2 << 3 | 2, description, limits);
    if (buffer.ensure(16, SIZE_MAX)) {
        uint8_t* at = buffer.at();
        *at++ = 3 << 3;
        *at++ = static_cast<uint8_t>(code);
        buffer.set_at(at);
        if (sdk::close_message(buffer, mark, {})) {
            record->status = code;
            return;
        }
    }
    buffer.rewind(before);
}

void update_name(SpanRecord* record, std::string_view name) noexcept {
    check_letters(record);
    // The name is the last field before `fields_at`: the new one is written behind everything, and
    // what is in between moves over the old one.
    uint8_t* begin = record->buffer.begin();
    size_t name_at = kFixedBytes;
    if (begin[name_at] == kTagParent) name_at += 10;
    otlp::WireReader reader(record->buffer.view().substr(name_at));
    reader.next();
    if (reader.field() == 3) {
        const std::string_view state = reader.bytes();
        name_at = static_cast<size_t>(reinterpret_cast<const uint8_t*>(state.data()) - begin) +
                  state.size();
    }
    const sdk::EncodeLimits limits{UINT32_MAX, 1, record->tracer()->limits.span_bytes_max};
    EncodeBuffer& buffer = record->buffer;
    const size_t before = buffer.size();
    if (!put_text(buffer, kTagName, name, limits)) return;
    begin = buffer.begin();
    const size_t name_size = buffer.size() - before;
    const size_t behind = before - record->fields_at;
    std::rotate(begin + name_at, begin + before, buffer.at());
    std::memmove(begin + name_at + name_size, begin + record->fields_at + name_size, behind);
    record->fields_at = static_cast<uint32_t>(name_at + name_size);
    buffer.rewind(name_at + name_size + behind);
}

}  // namespace spanloom::detail

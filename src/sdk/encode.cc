#include "sdk/encode.h"

#include <algorithm>
#include <string>

#include "base/text.h"
#include "sdk/block_pool.h"

namespace spanloom::sdk {
namespace {

constexpr uint32_t kAnyString = 1 << 3 | 2;
constexpr uint32_t kAnyBool = 2 << 3;
constexpr uint32_t kAnyInt = 3 << 3;
constexpr uint32_t kAnyDouble = 4 << 3 | 1;
constexpr uint32_t kAnyArray = 5 << 3 | 2;
constexpr uint32_t kAnyKvlist = 6 << 3 | 2;
constexpr uint32_t kAnyBytes = 7 << 3 | 2;
constexpr uint32_t kArrayValue = 1 << 3 | 2;
constexpr uint32_t kKvlistValue = 1 << 3 | 2;
constexpr uint32_t kKey = 1 << 3 | 2;
constexpr uint32_t kValue = 2 << 3 | 2;
constexpr size_t kScalarBytesMax = 16;
constexpr size_t kShortMax = 127;  // lengths that are one byte

std::string_view cut_characters(std::string_view text, uint32_t characters_max) {
    if (text.size() <= characters_max) return text;
    size_t at = 0;
    for (uint32_t count = 0; at < text.size(); ++at) {
        const bool is_start = (static_cast<uint8_t>(text[at]) & 0xc0) != 0x80;
        if (is_start && count++ == characters_max) break;
    }
    return text.substr(0, at);
}

bool put_scalar(EncodeBuffer& buffer, uint32_t tag, uint64_t bits, bool is_fixed,
                const EncodeLimits& limits) noexcept {
    if (!buffer.ensure(kScalarBytesMax, limits.bytes_max)) return false;
    uint8_t* at = put_varint(buffer.at(), tag);
    buffer.set_at(is_fixed ? put_raw(at, bits) : put_varint(at, bits));
    return true;
}

// One element of an array: an AnyValue in a field.
bool put_element(EncodeBuffer& buffer, const AttributeValue& value, const EncodeLimits& limits,
                 uint32_t depth) noexcept {
    const size_t mark = open_message(buffer, kArrayValue, limits);
    return mark != 0 && put_any_value(buffer, value, limits, depth) &&
           close_message(buffer, mark, limits);
}

bool put_elements(EncodeBuffer& buffer, const AttributeValue& value, const EncodeLimits& limits,
                  uint32_t depth) noexcept {
    using Type = AttributeValue::Type;
    for (size_t i = 0; i < value.size(); ++i) {
        AttributeValue element;
        switch (value.type()) {
            case Type::kBoolArray:
                element = static_cast<const bool*>(value.data())[i];
                break;
            case Type::kInt64Array:
                element = static_cast<const int64_t*>(value.data())[i];
                break;
            case Type::kInt32Array:
                element = static_cast<const int32_t*>(value.data())[i];
                break;
            case Type::kDoubleArray:
                element = static_cast<const double*>(value.data())[i];
                break;
            case Type::kStringArray:
                element = static_cast<const std::string_view*>(value.data())[i];
                break;
            case Type::kTextArray:
                element = value.text_at(i);
                break;
            default:
                element = static_cast<const AttributeValue*>(value.data())[i];
                break;
        }
        if (!put_element(buffer, element, limits, depth + 1)) return false;
    }
    return true;
}

bool put_key_value(EncodeBuffer& buffer, uint32_t tag, std::string_view key,
                   const AttributeValue& value, const EncodeLimits& limits,
                   uint32_t depth) noexcept {
    EncodeLimits key_limits = limits;
    key_limits.characters_max = UINT32_MAX;
    const size_t mark = open_message(buffer, tag, limits);
    if (mark == 0 || !put_text(buffer, kKey, key, key_limits)) return false;
    const size_t inner = open_message(buffer, kValue, limits);
    return inner != 0 && put_any_value(buffer, value, limits, depth) &&
           close_message(buffer, inner, limits) && close_message(buffer, mark, limits);
}

bool put_nested(EncodeBuffer& buffer, const AttributeValue& value, const EncodeLimits& limits,
                uint32_t depth) noexcept {
    const bool is_map = value.type() == AttributeValue::Type::kMap;
    const size_t mark = open_message(buffer, is_map ? kAnyKvlist : kAnyArray, limits);
    if (mark == 0) return false;
    // The specification: what is nested deeper is replaced by an empty value.
    if (depth < limits.depth_max) {
        if (!is_map && !put_elements(buffer, value, limits, depth)) return false;
        const auto* entries = static_cast<const Attribute*>(value.data());
        for (size_t i = 0; is_map && i < value.size(); ++i) {
            if (!put_key_value(buffer, kKvlistValue, entries[i].key, entries[i].value, limits,
                               depth + 1))
                return false;
        }
    }
    return close_message(buffer, mark, limits);
}

bool put_raw_bytes(EncodeBuffer& buffer, uint32_t tag, std::string_view bytes,
                   const EncodeLimits& limits) noexcept {
    if (!buffer.ensure(kScalarBytesMax + bytes.size(), limits.bytes_max)) return false;
    uint8_t* at = put_varint(put_varint(buffer.at(), tag), bytes.size());
    if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
    buffer.set_at(at + bytes.size());
    return true;
}

// Most attributes: one short value, so that every length takes one byte. Null
// where it is another.
uint8_t* put_short_attribute(uint8_t* at, uint32_t tag, std::string_view key,
                             const AttributeValue& value, const EncodeLimits& limits) noexcept {
    using Type = AttributeValue::Type;
    const bool is_text = value.type() == Type::kString;
    if (!is_text && value.type() != Type::kInt) return nullptr;
    const uint64_t bits = is_text ? 0 : static_cast<uint64_t>(value.integer());
    const size_t value_size = is_text ? 2 + value.size() : 1 + varint_size(bits);
    if (key.size() > kShortMax || value_size > kShortMax ||
        4 + key.size() + value_size > kShortMax || tag >= 0x80 ||
        (is_text && value.size() > limits.characters_max))
        return nullptr;
    *at++ = static_cast<uint8_t>(tag);
    *at++ = static_cast<uint8_t>(4 + key.size() + value_size);
    *at++ = kKey;
    *at++ = static_cast<uint8_t>(key.size());
    bool is_ascii = copy_text(at, key.data(), key.size());
    at += key.size();
    *at++ = kValue;
    *at++ = static_cast<uint8_t>(value_size);
    *at++ = is_text ? kAnyString : kAnyInt;
    if (!is_text) return is_ascii ? put_varint(at, bits) : nullptr;
    *at++ = static_cast<uint8_t>(value.size());
    is_ascii = copy_text(at, value.text().data(), value.size()) && is_ascii;
    return is_ascii ? at + value.size() : nullptr;
}

}  // namespace

bool EncodeBuffer::grow(size_t bytes, size_t bytes_max) noexcept {
    const size_t used = size();
    if (bytes > bytes_max || used > bytes_max - bytes) return false;
    const size_t wanted = std::max(used + bytes, 2 * static_cast<size_t>(limit_ - begin_));
    size_t block_bytes = 0;
    uint8_t* block = take_block(wanted, block_bytes);
    if (block == nullptr) return false;
    std::memcpy(block, begin_, used);
    release();
    begin_ = block;
    at_ = block + used;
    limit_ = block + block_bytes;
    block_bytes_ = block_bytes;
    return true;
}

void EncodeBuffer::release() noexcept {
    if (block_bytes_ != 0) give_block(begin_, block_bytes_);
    block_bytes_ = 0;
}

std::string_view clean_text(std::string_view text, uint32_t characters_max) noexcept {
    const std::string_view cut = cut_characters(text, characters_max);
    if (is_valid_utf8(cut)) return cut;
    thread_local std::string replaced;
    try {
        replaced = replace_invalid_utf8(cut);
    } catch (...) {  // out of memory
        return {};
    }
    return cut_characters(replaced, characters_max);
}

bool put_text(EncodeBuffer& buffer, uint32_t tag, std::string_view text,
              const EncodeLimits& limits) noexcept {
    if (text.size() > limits.characters_max) text = clean_text(text, limits.characters_max);
    if (!buffer.ensure(kScalarBytesMax + text.size(), limits.bytes_max)) return false;
    uint8_t* at = put_varint(put_varint(buffer.at(), tag), text.size());
    if (copy_text(at, text.data(), text.size()) || is_valid_utf8(text)) {
        buffer.set_at(at + text.size());
        return true;
    }
    return put_raw_bytes(buffer, tag, clean_text(text, limits.characters_max), limits);
}

bool put_any_value(EncodeBuffer& buffer, const AttributeValue& value, const EncodeLimits& limits,
                   uint32_t depth) noexcept {
    using Type = AttributeValue::Type;
    switch (value.type()) {
        case Type::kEmpty:
            return true;
        case Type::kBool:
            return put_scalar(buffer, kAnyBool, value.boolean() ? 1 : 0, false, limits);
        case Type::kInt:
            return put_scalar(buffer, kAnyInt, static_cast<uint64_t>(value.integer()), false,
                              limits);
        case Type::kDouble: {
            const double number = value.number();
            return put_scalar(buffer, kAnyDouble, load_raw<uint64_t>(&number), true, limits);
        }
        case Type::kString:
            return put_text(buffer, kAnyString, value.text(), limits);
        case Type::kBytes: {
            const size_t size = std::min<size_t>(value.size(), limits.characters_max);
            return put_raw_bytes(buffer, kAnyBytes, value.text().substr(0, size), limits);
        }
        default:
            return put_nested(buffer, value, limits, depth);
    }
}

bool put_attribute(EncodeBuffer& buffer, uint32_t tag, std::string_view key,
                   const AttributeValue& value, const EncodeLimits& limits) noexcept {
    if (buffer.ensure(kShortMax + 2, limits.bytes_max)) [[likely]] {
        uint8_t* const behind = put_short_attribute(buffer.at(), tag, key, value, limits);
        if (behind != nullptr) [[likely]] {
            buffer.set_at(behind);
            return true;
        }
    }
    const size_t before = buffer.size();
    if (put_key_value(buffer, tag, key, value, limits, 1)) return true;
    buffer.rewind(before);
    return false;
}

size_t open_message(EncodeBuffer& buffer, uint32_t tag, const EncodeLimits& limits) noexcept {
    if (!buffer.ensure(kScalarBytesMax, limits.bytes_max)) return 0;
    uint8_t* at = put_varint(buffer.at(), tag);
    *at++ = 0;
    buffer.set_at(at);
    return buffer.size();
}

bool close_message(EncodeBuffer& buffer, size_t mark, const EncodeLimits& limits) noexcept {
    const size_t size = buffer.size() - mark;
    const size_t extra = varint_size(size) - 1;
    if (extra != 0) {
        if (!buffer.ensure(extra, limits.bytes_max)) return false;
        uint8_t* body = buffer.begin() + mark;
        std::memmove(body + extra, body, size);
        buffer.set_at(buffer.at() + extra);
    }
    put_varint(buffer.begin() + mark - 1, size);
    return true;
}

uint32_t put_attributes(EncodeBuffer& buffer, uint32_t tag, AttributeList attributes,
                        uint32_t attributes_max, const EncodeLimits& limits) noexcept {
    uint32_t kept = 0;
    uint32_t dropped = 0;
    for (const Attribute* attribute = attributes.begin(); attribute != attributes.end();
         ++attribute) {
        if (attribute->key.empty() || attribute->value.type() == AttributeValue::Type::kEmpty)
            continue;
        const bool is_overwritten =
            std::any_of(attribute + 1, attributes.end(), [&](const Attribute& later) {
                return later.key == attribute->key &&
                       later.value.type() != AttributeValue::Type::kEmpty;
            });
        if (is_overwritten) continue;
        if (kept >= attributes_max ||
            !put_attribute(buffer, tag, attribute->key, attribute->value, limits)) {
            ++dropped;
            continue;
        }
        ++kept;
    }
    return dropped;
}

}  // namespace spanloom::sdk

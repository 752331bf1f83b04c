// Thrift's binary and compact protocols (thrift/doc/specs/thrift-binary-protocol.md and
// thrift-compact-protocol.md).
#include "receive/thrift.h"

#include <bit>
#include <cstring>
#include <optional>

namespace spanloom {
namespace {

constexpr uint32_t kBinaryVersion = 0x80010000;
constexpr uint8_t kCompactProtocolId = 0x82;

std::optional<ThriftType> binary_type(uint8_t code) {
    switch (code) {
        case 2:
            return ThriftType::kBool;
        case 3:
            return ThriftType::kByte;
        case 4:
            return ThriftType::kDouble;
        case 6:
            return ThriftType::kI16;
        case 8:
            return ThriftType::kI32;
        case 10:
            return ThriftType::kI64;
        case 11:
            return ThriftType::kBinary;
        case 12:
            return ThriftType::kStruct;
        case 13:
            return ThriftType::kMap;
        case 14:
            return ThriftType::kSet;
        case 15:
            return ThriftType::kList;
        default:
            return std::nullopt;
    }
}

std::optional<ThriftType> compact_type(uint8_t code) {
    constexpr ThriftType kTypes[] = {ThriftType::kBool,   ThriftType::kBool,   ThriftType::kByte,
                                     ThriftType::kI16,    ThriftType::kI32,    ThriftType::kI64,
                                     ThriftType::kDouble, ThriftType::kBinary, ThriftType::kList,
                                     ThriftType::kSet,    ThriftType::kMap,    ThriftType::kStruct};
    if (code < 1 || code > std::size(kTypes)) return std::nullopt;
    return kTypes[code - 1];
}

}  // namespace

void ThriftReader::fail(std::string_view why) {
    if (fault_.empty()) fault_ = why;
    left_ = {};
}

bool ThriftReader::take(size_t size, std::string_view& part) {
    if (size > left_.size()) {
        fail("the message is cut off");
        return false;
    }
    part = left_.substr(0, size);
    left_.remove_prefix(size);
    return true;
}

uint8_t ThriftReader::byte() {
    std::string_view part;
    return take(1, part) ? static_cast<uint8_t>(part[0]) : 0;
}

uint64_t ThriftReader::varint() {
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 70; shift += 7) {
        const uint8_t part = byte();
        value |= uint64_t{part & 0x7fU} << (shift & 63);
        if (part < 0x80) return value;
    }
    fail("a number has more than ten bytes");
    return 0;
}

int64_t ThriftReader::zigzag() {
    const uint64_t value = varint();
    return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

uint64_t ThriftReader::big_endian(size_t size) {
    std::string_view part;
    uint64_t value = 0;
    if (!take(size, part)) return 0;
    for (const char c : part)
        value = value << 8 | static_cast<uint8_t>(c);
    return value;
}

std::string_view ThriftReader::call_name() {
    std::string_view name;
    if (protocol_ == ThriftProtocol::kBinary) {
        const auto head = static_cast<uint32_t>(big_endian(4));
        const bool is_strict = (head & 0xffff0000U) == kBinaryVersion;
        // The old form begins with the name's length, and has the kind of message behind it.
        if (!take(is_strict ? big_endian(4) : head, name)) return {};
        if (!is_strict) byte();
        big_endian(4);
        return name;
    }
    if (byte() != kCompactProtocolId) {
        fail("the message is not of the compact protocol");
        return {};
    }
    byte();
    varint();
    return take(varint(), name) ? name : std::string_view();
}

void ThriftReader::begin_struct() {
    if (last_ids_.size() >= kDepthMax) return fail("it is nested too deep");
    last_ids_.push_back(0);
}

bool ThriftReader::next_field() {
    if (last_ids_.empty()) return false;
    const bool is_field =
        fault_.empty() && (protocol_ == ThriftProtocol::kBinary ? binary_field() : compact_field());
    if (!is_field) last_ids_.pop_back();
    return is_field;
}

bool ThriftReader::binary_field() {
    const uint8_t code = byte();
    if (code == 0) return false;
    const auto type = binary_type(code);
    if (!type) {
        fail("a field has an unknown type");
        return false;
    }
    type_ = *type;
    id_ = static_cast<int16_t>(big_endian(2));
    return fault_.empty();
}

bool ThriftReader::compact_field() {
    const uint8_t head = byte();
    if ((head & 0x0f) == 0) return false;
    const auto type = compact_type(head & 0x0f);
    if (!type) {
        fail("a field has an unknown type");
        return false;
    }
    type_ = *type;
    const int16_t difference = head >> 4;
    id_ = difference != 0 ? static_cast<int16_t>(last_ids_.back() + difference)
                          : static_cast<int16_t>(zigzag());
    last_ids_.back() = id_;
    has_inline_bool_ = type_ == ThriftType::kBool;
    inline_bool_ = (head & 0x0f) == 1;
    return fault_.empty();
}

bool ThriftReader::boolean() {
    if (protocol_ == ThriftProtocol::kBinary) return byte() != 0;
    if (has_inline_bool_) {
        has_inline_bool_ = false;
        return inline_bool_;
    }
    return byte() == 1;
}

int64_t ThriftReader::integer() {
    return integer_of(type_);
}

int64_t ThriftReader::integer_of(ThriftType type) {
    if (type == ThriftType::kByte) return static_cast<int8_t>(byte());
    if (protocol_ == ThriftProtocol::kCompact) return zigzag();
    if (type == ThriftType::kI16) return static_cast<int16_t>(big_endian(2));
    if (type == ThriftType::kI32) return static_cast<int32_t>(big_endian(4));
    return static_cast<int64_t>(big_endian(8));
}

double ThriftReader::number() {
    // Compact is little-endian here, and here alone.
    std::string_view part;
    if (protocol_ == ThriftProtocol::kBinary) return std::bit_cast<double>(big_endian(8));
    double value = 0;
    if (take(8, part)) std::memcpy(&value, part.data(), 8);
    return value;
}

std::string_view ThriftReader::binary() {
    std::string_view part;
    const uint64_t size = protocol_ == ThriftProtocol::kBinary ? big_endian(4) : varint();
    return take(size, part) ? part : std::string_view();
}

uint32_t ThriftReader::begin_list(ThriftType& element) {
    uint64_t size = 0;
    std::optional<ThriftType> type;
    if (protocol_ == ThriftProtocol::kBinary) {
        type = binary_type(byte());
        size = big_endian(4);
    } else {
        const uint8_t head = byte();
        type = compact_type(head & 0x0f);
        size = (head >> 4) == 15 ? varint() : head >> 4;
    }
    if (!fault_.empty()) return 0;
    // No element takes less than a byte.
    if (!type || size > left_.size()) {
        fail(type ? "a list is longer than the message" : "a list has an unknown type");
        return 0;
    }
    element = *type;
    return static_cast<uint32_t>(size);
}

void ThriftReader::skip_map() {
    uint64_t size = 0;
    std::optional<ThriftType> key;
    std::optional<ThriftType> value;
    if (protocol_ == ThriftProtocol::kBinary) {
        key = binary_type(byte());
        value = binary_type(byte());
        size = big_endian(4);
    } else {
        size = varint();
        if (size == 0) return;
        const uint8_t types = byte();
        key = compact_type(types >> 4);
        value = compact_type(types & 0x0f);
    }
    if (size == 0 || !fault_.empty()) return;
    if (!key || !value || size > left_.size()) return fail("a map is longer than the message");
    for (uint64_t i = 0; i < size && fault_.empty(); ++i) {
        skip(*key);
        skip(*value);
    }
}

void ThriftReader::skip(ThriftType type) {
    // Lists in lists and structs in structs count as one depth.
    switch (type) {
        case ThriftType::kBool:
            boolean();
            return;
        case ThriftType::kByte:
        case ThriftType::kI16:
        case ThriftType::kI32:
        case ThriftType::kI64:
            integer_of(type);
            return;
        case ThriftType::kDouble:
            number();
            return;
        case ThriftType::kBinary:
            binary();
            return;
        default:
            break;
    }
    if (last_ids_.size() >= kDepthMax) return fail("it is nested too deep");
    if (type == ThriftType::kStruct) {
        begin_struct();
        while (next_field())
            skip(type_);
        return;
    }
    last_ids_.push_back(0);
    if (type == ThriftType::kMap) {
        skip_map();
    } else {
        ThriftType element = ThriftType::kBool;
        const uint32_t size = begin_list(element);
        for (uint32_t i = 0; i < size && fault_.empty(); ++i)
            skip(element);
    }
    last_ids_.pop_back();
}

}  // namespace spanloom

#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "receive/thrift.h"

// Writes Thrift in either protocol, as Jaeger's clients do. The reader's counterpart, for tests.
namespace spanloom::receive_test {

class ThriftWriter {
  public:
    explicit ThriftWriter(ThriftProtocol protocol) : protocol_(protocol) {}

    std::string take() { return std::move(out_); }

    void call(std::string_view name) {
        if (protocol_ == ThriftProtocol::kBinary) {
            big(0x80010004U, 4);
            big(name.size(), 4);
            out_ += name;
            big(1, 4);
            return;
        }
        out_ += "\x82\x81";
        varint(1);
        varint(name.size());
        out_ += name;
    }
    void begin_struct() { ids_.push_back(0); }
    void end_struct() {
        out_ += '\0';
        ids_.pop_back();
    }
    void field(int16_t id, ThriftType type) {
        if (protocol_ == ThriftProtocol::kBinary) {
            out_ += static_cast<char>(binary_code(type));
            big(static_cast<uint16_t>(id), 2);
            return;
        }
        compact_head(id, compact_code(type));
    }
    void boolean(int16_t id, bool value) {
        if (protocol_ == ThriftProtocol::kCompact) return compact_head(id, value ? 1 : 2);
        field(id, ThriftType::kBool);
        out_ += static_cast<char>(value);
    }
    void i32(int16_t id, int32_t value) {
        field(id, ThriftType::kI32);
        integer(value, 4);
    }
    void i64(int16_t id, int64_t value) {
        field(id, ThriftType::kI64);
        integer(value, 8);
    }
    void number(int16_t id, double value) {
        field(id, ThriftType::kDouble);
        uint64_t bits = 0;
        std::memcpy(&bits, &value, 8);
        if (protocol_ == ThriftProtocol::kBinary) return big(bits, 8);
        out_.append(reinterpret_cast<const char*>(&bits), 8);
    }
    void text(int16_t id, std::string_view value) {
        field(id, ThriftType::kBinary);
        if (protocol_ == ThriftProtocol::kBinary) {
            big(value.size(), 4);
        } else {
            varint(value.size());
        }
        out_ += value;
    }
    void list(int16_t id, ThriftType element, size_t size) {
        field(id, ThriftType::kList);
        if (protocol_ == ThriftProtocol::kBinary) {
            out_ += static_cast<char>(binary_code(element));
            big(size, 4);
        } else if (size < 15) {
            out_ += static_cast<char>(size << 4 | compact_code(element));
        } else {
            out_ += static_cast<char>(0xf0 | compact_code(element));
            varint(size);
        }
    }

  private:
    static uint8_t binary_code(ThriftType type) {
        constexpr uint8_t kCodes[] = {2, 3, 6, 8, 10, 4, 11, 12, 13, 14, 15};
        return kCodes[static_cast<size_t>(type)];
    }
    static uint8_t compact_code(ThriftType type) {
        constexpr uint8_t kCodes[] = {1, 3, 4, 5, 6, 7, 8, 12, 11, 10, 9};
        return kCodes[static_cast<size_t>(type)];
    }
    void compact_head(int16_t id, uint8_t code) {
        const int difference = id - ids_.back();
        if (difference > 0 && difference < 16) {
            out_ += static_cast<char>(difference << 4 | code);
        } else {
            out_ += static_cast<char>(code);
            zigzag(id);
        }
        ids_.back() = id;
    }
    void integer(int64_t value, size_t size) {
        if (protocol_ == ThriftProtocol::kBinary) {
            big(static_cast<uint64_t>(value), size);
        } else {
            zigzag(value);
        }
    }
    void big(uint64_t value, size_t size) {
        for (size_t i = size; i-- > 0;)
            out_ += static_cast<char>(value >> (8 * i));
    }
    void varint(uint64_t value) {
        for (; value >= 0x80; value >>= 7)
            out_ += static_cast<char>(value | 0x80);
        out_ += static_cast<char>(value);
    }
    void zigzag(int64_t value) {
        varint(static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63));
    }

    ThriftProtocol protocol_;
    std::string out_;
    std::vector<int16_t> ids_;
};

}  // namespace spanloom::receive_test

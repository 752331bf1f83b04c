#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace spanloom::store {

// Appends the integers and texts that segment files are made of: LEB128 varints, little-endian
// fixed numbers, texts with their length before them.
class ByteWriter {
  public:
    explicit ByteWriter(std::string& out) : out_(out) {}

    void u8(uint8_t value) { out_ += static_cast<char>(value); }
    void u32(uint32_t value) { raw(&value, sizeof value); }
    void u64(uint64_t value) { raw(&value, sizeof value); }
    void varint(uint64_t value) {
        while (value >= 0x80) {
            out_ += static_cast<char>((value & 0x7f) | 0x80);
            value >>= 7;
        }
        out_ += static_cast<char>(value);
    }
    void zigzag(int64_t value) {
        varint((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
    }
    void text(std::string_view value) {
        varint(value.size());
        out_.append(value);
    }

  private:
    void raw(const void* data, size_t size) { out_.append(static_cast<const char*>(data), size); }

    std::string& out_;
};

// Reads them back from bytes that nobody has checked. After the first read past the end, or number
// that is too long, ok() is false and every read gives 0 or an empty text.
class ByteReader {
  public:
    explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

    bool ok() const { return ok_; }
    bool at_end() const { return rest_.empty(); }
    std::string_view rest() const { return rest_; }

    uint8_t u8() {
        const std::string_view part = bytes(1);
        return part.empty() ? 0 : static_cast<uint8_t>(part[0]);
    }
    uint32_t u32() { return fixed<uint32_t>(); }
    uint64_t u64() { return fixed<uint64_t>(); }
    uint64_t varint() {
        uint64_t value = 0;
        for (uint32_t shift = 0; shift < 64; shift += 7) {
            if (rest_.empty()) break;
            const auto byte = static_cast<uint8_t>(rest_.front());
            rest_.remove_prefix(1);
            value |= static_cast<uint64_t>(byte & 0x7f) << shift;
            if (byte < 0x80) return value;
        }
        fail();
        return 0;
    }
    int64_t zigzag() {
        const uint64_t value = varint();
        return static_cast<int64_t>((value >> 1) ^ (0 - (value & 1)));
    }
    // A count or size that must not exceed `limit`.
    uint64_t varint_max(uint64_t limit) {
        const uint64_t value = varint();
        if (value <= limit) return value;
        fail();
        return 0;
    }
    std::string_view bytes(size_t size) {
        if (size > rest_.size()) {
            fail();
            return {};
        }
        const std::string_view part = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return part;
    }
    std::string_view text() { return bytes(varint_max(rest_.size())); }

  private:
    template <typename T>
    T fixed() {
        T value = 0;
        const std::string_view part = bytes(sizeof value);
        if (!part.empty()) std::memcpy(&value, part.data(), sizeof value);
        return value;
    }
    void fail() {
        ok_ = false;
        rest_ = {};
    }

    std::string_view rest_;
    bool ok_ = true;
};

}  // namespace spanloom::store

#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace spanloom::otlp {

// Appends protobuf fields to a string. Nested messages: `size_t mark = begin(field)`, write the
// inner fields, `end(mark)`. Each nested length takes a fixed five bytes (a padded varint, which
// every parser reads), so nothing is moved.
class WireWriter {
  public:
    explicit WireWriter(std::string& out) : out_(out) {}

    void varint_field(uint32_t field, uint64_t value) {
        varint(field << 3);
        varint(value);
    }
    void fixed64_field(uint32_t field, uint64_t value) {
        varint(field << 3 | 1);
        append_raw(&value, 8);
    }
    void fixed32_field(uint32_t field, uint32_t value) {
        varint(field << 3 | 5);
        append_raw(&value, 4);
    }
    void double_field(uint32_t field, double value) {
        varint(field << 3 | 1);
        append_raw(&value, 8);
    }
    void bytes_field(uint32_t field, std::string_view bytes) {
        varint(field << 3 | 2);
        varint(bytes.size());
        out_.append(bytes);
    }
    size_t begin(uint32_t field) {
        varint(field << 3 | 2);
        out_.append(5, '\0');
        return out_.size();
    }
    void end(size_t mark) {
        uint64_t size = out_.size() - mark;
        for (size_t i = 0; i < 5; ++i) {
            out_[mark - 5 + i] = static_cast<char>((size & 0x7f) | (i < 4 ? 0x80 : 0));
            size >>= 7;
        }
    }

  private:
    void varint(uint64_t value) {
        while (value >= 0x80) {
            out_ += static_cast<char>((value & 0x7f) | 0x80);
            value >>= 7;
        }
        out_ += static_cast<char>(value);
    }
    void append_raw(const void* data, size_t size) {
        out_.append(static_cast<const char*>(data), size);
    }

    std::string& out_;
};

}  // namespace spanloom::otlp

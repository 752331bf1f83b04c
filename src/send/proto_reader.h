#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace spanloom::send {

// Walks the fields of one protobuf message that nobody has checked: what a server answered. Reading
// stops at the first damage; `is_damaged` tells.
class ProtoReader {
  public:
    explicit ProtoReader(std::string_view message) : left_(message) {}

    // Moves to the next field and reads its value; false at the end or at damage.
    bool next();
    uint32_t field() const { return field_; }
    uint64_t number() const { return number_; }        // of a varint or fixed field, else 0
    std::string_view bytes() const { return bytes_; }  // of a length-delimited field, else empty
    bool is_damaged() const { return damaged_; }

  private:
    bool varint(uint64_t& value);
    bool take(size_t size, std::string_view& part);
    bool value(uint32_t wire_type);

    std::string_view left_;
    uint32_t field_ = 0;
    uint64_t number_ = 0;
    std::string_view bytes_;
    bool damaged_ = false;
};

}  // namespace spanloom::send

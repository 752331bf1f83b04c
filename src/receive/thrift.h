#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace spanloom {

// The two encodings of Apache Thrift that Jaeger's clients use.
enum class ThriftProtocol : uint8_t { kBinary, kCompact };

enum class ThriftType : uint8_t {
    kBool,
    kByte,
    kI16,
    kI32,
    kI64,
    kDouble,
    kBinary,  // and strings
    kStruct,
    kMap,
    kSet,
    kList,
};

// Walks one Thrift message that nobody has checked, without copying. Reading stops at the first
// damage: from then on everything reads as zero, every struct and list as ended. Nesting is bounded
// by kDepthMax, a list's length by the bytes that are left. One thread.
//
//     reader.begin_struct();
//     while (reader.next_field()) {
//         if (reader.is(1, ThriftType::kI64)) id = reader.integer();
//         else reader.skip();
//     }
class ThriftReader {
  public:
    static constexpr size_t kDepthMax = 32;

    ThriftReader(std::string_view bytes, ThriftProtocol protocol)
        : left_(bytes), protocol_(protocol) {}

    // The head of a call, as datagrams carry: its name; then its arguments follow as a struct.
    std::string_view call_name();

    void begin_struct();
    // Each field must then be read or skipped. False at the struct's end.
    bool next_field();
    bool is(int16_t id, ThriftType type) const { return id_ == id && type_ == type; }

    bool boolean();
    int64_t integer();  // of any width: that of the field
    double number();
    std::string_view binary();
    // The number of elements; each is read as `element` says.
    uint32_t begin_list(ThriftType& element);
    void skip() { skip(type_); }
    void skip_element(ThriftType type) { skip(type); }

    // "" or what is wrong.
    std::string_view fault() const { return fault_; }
    bool is_at_end() const { return left_.empty(); }

  private:
    void fail(std::string_view why);
    bool take(size_t size, std::string_view& part);
    uint8_t byte();
    uint64_t varint();
    int64_t zigzag();
    uint64_t big_endian(size_t size);
    int64_t integer_of(ThriftType type);
    bool binary_field();
    bool compact_field();
    void skip(ThriftType type);
    void skip_map();

    std::string_view left_;
    ThriftProtocol protocol_;
    std::string_view fault_;
    std::vector<int16_t> last_ids_;  // of the structs being read, for compact's differences
    int16_t id_ = 0;
    ThriftType type_ = ThriftType::kBool;
    bool has_inline_bool_ = false;  // compact: the value stands in the field's head
    bool inline_bool_ = false;
};

}  // namespace spanloom

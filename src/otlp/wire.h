#pragma once

#include <cstdint>
#include <cstring>
#include <iterator>
#include <string_view>

namespace spanloom::otlp {

// Walks the fields of one protobuf message whose wire form has been checked before: no bounds are
// tested here. Inline, because the store's hot loop is made of it.
class WireReader {
  public:
    explicit WireReader(std::string_view message)
        : at_(reinterpret_cast<const uint8_t*>(message.data())), end_(at_ + message.size()) {}

    // Moves to the next field; false at the end. Each field must then be read or skipped.
    bool next() {
        if (at_ >= end_) return false;
        tag_ = static_cast<uint32_t>(varint());
        return true;
    }
    uint32_t field() const { return tag_ >> 3; }
    uint32_t wire_type() const { return tag_ & 7; }

    uint64_t varint() {
        uint64_t value = *at_++;
        if (value < 0x80) return value;
        value &= 0x7f;
        for (uint32_t shift = 7; shift < 70; shift += 7) {
            const uint64_t byte = *at_++;
            value |= (byte & 0x7f) << (shift & 63);
            if (byte < 0x80) break;
        }
        return value;
    }
    uint64_t fixed64() { return load<uint64_t>(); }
    uint32_t fixed32() { return load<uint32_t>(); }
    double float64() { return load<double>(); }
    std::string_view bytes() {
        const uint64_t size = varint();
        std::string_view part(reinterpret_cast<const char*>(at_), size);
        at_ += size;
        return part;
    }
    // Groups were refused by the check.
    void skip() {
        switch (wire_type()) {
            case 0:
                varint();
                break;
            case 1:
                at_ += 8;
                break;
            case 2:
                bytes();
                break;
            default:
                at_ += 4;
                break;
        }
    }

  private:
    template <typename T>
    T load() {
        T value;
        std::memcpy(&value, at_, sizeof value);
        at_ += sizeof value;
        return value;
    }

    const uint8_t* at_;
    const uint8_t* end_;
    uint32_t tag_ = 0;
};

// The occurrences of one repeated message field, for range-for. T has `static T
// parse(string_view)`.
template <typename T>
class Repeated {
  public:
    struct End {};
    class Iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = T;
        using difference_type = std::ptrdiff_t;
        using pointer = const T*;
        using reference = T;

        Iterator(std::string_view message, uint32_t field) : reader_(message), field_(field) {
            advance();
        }
        T operator*() const { return T::parse(current_); }
        Iterator& operator++() {
            advance();
            return *this;
        }
        bool operator!=(End) const { return !done_; }

      private:
        void advance() {
            while (reader_.next()) {
                if (reader_.field() == field_ && reader_.wire_type() == 2) {
                    current_ = reader_.bytes();
                    return;
                }
                reader_.skip();
            }
            done_ = true;
        }

        WireReader reader_;
        uint32_t field_;
        std::string_view current_;
        bool done_ = false;
    };

    Repeated(std::string_view message, uint32_t field) : message_(message), field_(field) {}
    Iterator begin() const { return {message_, field_}; }
    End end() const { return {}; }
    bool empty() const { return !(begin() != end()); }

  private:
    std::string_view message_;
    uint32_t field_;
};

}  // namespace spanloom::otlp

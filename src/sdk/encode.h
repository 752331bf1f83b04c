#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "spanloom/attribute.h"
#include "spanloom/span_limits.h"

// Writing OTLP (opentelemetry-proto 1.x) bytes in place. Everything that runs for each attribute is
// inline.
namespace spanloom::sdk {

// A growing piece of memory. Begins in the storage its owner has; what does not fit there moves to
// blocks of a pool. One thread.
class EncodeBuffer {
  public:
    EncodeBuffer(uint8_t* storage, size_t size) noexcept
        : begin_(storage), at_(storage), limit_(storage + size), storage_(storage) {}
    ~EncodeBuffer() { release(); }
    EncodeBuffer(const EncodeBuffer&) = delete;
    EncodeBuffer& operator=(const EncodeBuffer&) = delete;

    uint8_t* begin() const noexcept { return begin_; }
    uint8_t* at() const noexcept { return at_; }
    size_t size() const noexcept { return static_cast<size_t>(at_ - begin_); }
    std::string_view view() const noexcept {
        return {reinterpret_cast<const char*>(begin_), size()};
    }
    // Room for `bytes` more; false where the buffer would go beyond `bytes_max`.
    bool ensure(size_t bytes, size_t bytes_max) noexcept {
        return static_cast<size_t>(limit_ - at_) >= bytes || grow(bytes, bytes_max);
    }
    void set_at(uint8_t* at) noexcept { at_ = at; }
    void rewind(size_t size) noexcept { at_ = begin_ + size; }
    // Empty again, in its own storage.
    void reset(size_t storage_size) noexcept {
        if (begin_ != storage_) {
            release();
            begin_ = storage_;
            limit_ = storage_ + storage_size;
        }
        at_ = begin_;
    }

  private:
    bool grow(size_t bytes, size_t bytes_max) noexcept;
    void release() noexcept;

    uint8_t* begin_;
    uint8_t* at_;
    uint8_t* limit_;
    uint8_t* storage_;
    size_t block_bytes_ = 0;  // of the pool's block; 0: in its own storage
};

inline size_t varint_size(uint64_t value) noexcept {
    return (static_cast<size_t>(63 - __builtin_clzll(value | 1)) * 9 + 73) / 64;
}

inline uint8_t* put_varint(uint8_t* to, uint64_t value) noexcept {
    while (value >= 0x80) {
        *to++ = static_cast<uint8_t>(value | 0x80);
        value >>= 7;
    }
    *to++ = static_cast<uint8_t>(value);
    return to;
}

template <typename T>
uint8_t* put_raw(uint8_t* to, T value) noexcept {
    std::memcpy(to, &value, sizeof value);  // OTLP and we are little-endian
    return to + sizeof value;
}

template <typename T>
T load_raw(const void* from) noexcept {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

constexpr uint64_t kHighBits = 0x8080808080808080U;

// Copies short text without a call; true where all of it is ASCII.
[[gnu::always_inline]] inline bool copy_text(uint8_t* to, const char* from, size_t size) noexcept {
    if (size > 16) {
        using Words = uint64_t __attribute__((vector_size(16)));
        auto seen = load_raw<Words>(from);
        put_raw(to, seen);
        for (size_t i = 16; i + 16 < size; i += 16) {
            const auto words = load_raw<Words>(from + i);
            seen |= words;
            put_raw(to + i, words);
        }
        const auto last = load_raw<Words>(from + size - 16);
        put_raw(to + size - 16, last);
        seen |= last;
        return ((seen[0] | seen[1]) & kHighBits) == 0;
    }
    if (size >= 8) {
        const auto first = load_raw<uint64_t>(from);
        const auto last = load_raw<uint64_t>(from + size - 8);
        put_raw(to, first);
        put_raw(to + size - 8, last);
        return ((first | last) & kHighBits) == 0;
    }
    if (size >= 4) {
        const auto first = load_raw<uint32_t>(from);
        const auto last = load_raw<uint32_t>(from + size - 4);
        put_raw(to, first);
        put_raw(to + size - 4, last);
        return ((first | last) & static_cast<uint32_t>(kHighBits)) == 0;
    }
    uint8_t seen = 0;
    for (size_t i = 0; i < size; ++i) {
        to[i] = static_cast<uint8_t>(from[i]);
        seen |= to[i];
    }
    return seen < 0x80;
}

// What values may hold, and how large the whole may become.
struct EncodeLimits {
    uint32_t characters_max = UINT32_MAX;
    uint32_t depth_max = 64;
    size_t bytes_max = SIZE_MAX;
};

// The text as OTLP may carry it: cut to `characters_max` characters, invalid UTF-8 replaced. What
// it returns lives until the same thread's next call, or is `text` itself.
std::string_view clean_text(std::string_view text, uint32_t characters_max) noexcept;

// A length-delimited field of text. False (and nothing written) where the buffer is full.
bool put_text(EncodeBuffer& buffer, uint32_t tag, std::string_view text,
              const EncodeLimits& limits) noexcept;
// A KeyValue in the field with this tag.
bool put_attribute(EncodeBuffer& buffer, uint32_t tag, std::string_view key,
                   const AttributeValue& value, const EncodeLimits& limits) noexcept;
// The fields of an AnyValue, without a tag around them.
bool put_any_value(EncodeBuffer& buffer, const AttributeValue& value, const EncodeLimits& limits,
                   uint32_t depth = 1) noexcept;
// Opens a nested message; `close_message` puts its length in and moves it where that takes more
// than a byte. 0: the buffer is full.
size_t open_message(EncodeBuffer& buffer, uint32_t tag, const EncodeLimits& limits) noexcept;
bool close_message(EncodeBuffer& buffer, size_t mark, const EncodeLimits& limits) noexcept;

// Attributes without doubles of a key (the last one wins), at most `attributes_max`. Returns how
// many were left out.
uint32_t put_attributes(EncodeBuffer& buffer, uint32_t tag, AttributeList attributes,
                        uint32_t attributes_max, const EncodeLimits& limits) noexcept;

}  // namespace spanloom::sdk

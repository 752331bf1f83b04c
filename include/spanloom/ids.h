#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#if __cplusplus >= 202002L
#include <compare>
#endif

namespace spanloom {

// 16 bytes as on the wire. All zero is no id. Hexadecimal only at the edges.
struct TraceId {
    std::array<uint8_t, 16> bytes{};

    // 1 to 32 digits of either case, filled up with zeros on the left (as Jaeger does).
    static std::optional<TraceId> parse(std::string_view hex);
    std::string hex() const;
    bool is_zero() const noexcept {
        // By words: comparing arrays would wait for ids that were written as words just before.
        uint64_t high = 0;
        uint64_t low = 0;
        std::memcpy(&high, bytes.data(), 8);
        std::memcpy(&low, bytes.data() + 8, 8);
        return (high | low) == 0;
    }
    // For tables and shards; not secret.
    uint64_t hash() const noexcept {
        uint64_t high = 0;
        uint64_t low = 0;
        std::memcpy(&high, bytes.data(), 8);
        std::memcpy(&low, bytes.data() + 8, 8);
        uint64_t mixed = (high ^ (low * 0x9e3779b97f4a7c15U)) * 0xbf58476d1ce4e5b9U;
        return mixed ^ (mixed >> 32);
    }
    std::string_view view() const noexcept {
        return {reinterpret_cast<const char*>(bytes.data()), 16};
    }
#if __cplusplus >= 202002L
    auto operator<=>(const TraceId&) const = default;
#else
    friend bool operator==(const TraceId& a, const TraceId& b) noexcept {
        return a.bytes == b.bytes;
    }
    friend bool operator!=(const TraceId& a, const TraceId& b) noexcept { return !(a == b); }
    friend bool operator<(const TraceId& a, const TraceId& b) noexcept { return a.bytes < b.bytes; }
#endif
};

// 8 bytes as on the wire. All zero is no id.
struct SpanId {
    std::array<uint8_t, 8> bytes{};

    static std::optional<SpanId> parse(std::string_view hex);  // exactly 16 digits
    std::string hex() const;
    bool is_zero() const noexcept { return value() == 0; }
    uint64_t value() const noexcept {
        uint64_t v = 0;
        std::memcpy(&v, bytes.data(), 8);
        return v;
    }
    std::string_view view() const noexcept {
        return {reinterpret_cast<const char*>(bytes.data()), 8};
    }
#if __cplusplus >= 202002L
    auto operator<=>(const SpanId&) const = default;
#else
    friend bool operator==(const SpanId& a, const SpanId& b) noexcept { return a.bytes == b.bytes; }
    friend bool operator!=(const SpanId& a, const SpanId& b) noexcept { return !(a == b); }
    friend bool operator<(const SpanId& a, const SpanId& b) noexcept { return a.bytes < b.bytes; }
#endif
};

}  // namespace spanloom

template <>
struct std::hash<spanloom::TraceId> {
    size_t operator()(const spanloom::TraceId& id) const noexcept { return id.hash(); }
};
template <>
struct std::hash<spanloom::SpanId> {
    size_t operator()(const spanloom::SpanId& id) const noexcept {
        return id.value() * 0x9e3779b97f4a7c15U;
    }
};

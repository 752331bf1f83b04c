#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace spanloom {

// ---- hexadecimal and base64
void append_hex(std::string& out, const uint8_t* bytes, size_t size);  // lower case
// Exactly `size` bytes from 2 * size digits of either case; false otherwise.
bool parse_hex(std::string_view digits, uint8_t* out, size_t size);
template <size_t N>
void append_hex(std::string& out, const std::array<uint8_t, N>& bytes) {
    append_hex(out, bytes.data(), N);
}
template <size_t N>
bool parse_hex(std::string_view digits, std::array<uint8_t, N>& out) {
    return parse_hex(digits, out.data(), N);
}
void append_base64(std::string& out, std::string_view bytes);  // standard alphabet, padded
// Standard or URL alphabet, padded or not (RFC 4648).
std::optional<std::string> parse_base64(std::string_view text);

// ---- UTF-8 (Unicode 15, section 3.9: no overlong forms, no surrogates)
bool is_valid_utf8(std::string_view text);
// The text with each maximal invalid part replaced by U+FFFD.
std::string replace_invalid_utf8(std::string_view text);

// ---- durations as Go writes them ("1m30s", "100ms", "1.5h"; ns us µs ms s m h, also d and w)
Result<int64_t> parse_duration_ns(std::string_view text);
// Shortest exact form for people: "1.42s", "310ms", "12.5µs".
std::string format_duration_ns(int64_t ns);
// "64MiB", "128 MB", "1024": bytes.
Result<uint64_t> parse_bytes(std::string_view text);
std::string format_bytes(uint64_t bytes);

// ---- time: RFC 3339 with up to nanoseconds ("2026-11-22T15:00:00.5Z", offsets; a blank where a
// '+' of the offset was decoded is accepted)
Result<uint64_t> parse_rfc3339_ns(std::string_view text);
std::string format_rfc3339_ns(uint64_t ns);

// ---- percent encoding of URLs
// '+' becomes a blank in query strings only. Malformed escapes stay as they are.
std::string decode_percent(std::string_view text, bool plus_is_blank);

// Without the blanks and tabs around it.
std::string_view trim(std::string_view text) noexcept;

// C++20's, for code that users' compilers build as C++17.
constexpr bool starts_with(std::string_view text, std::string_view prefix) noexcept {
    return text.substr(0, prefix.size()) == prefix;
}
constexpr bool ends_with(std::string_view text, std::string_view suffix) noexcept {
    return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

// A whole decimal number with nothing around it.
std::optional<int64_t> parse_int(std::string_view text);
std::optional<double> parse_double(std::string_view text);

}  // namespace spanloom

#include "base/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace spanloom {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62;
    if (c == '/' || c == '_') return 63;
    return -1;
}

struct Utf8Step {
    size_t size;  // bytes to go on by
    bool valid;
};

// One code point from a lead byte >= 0x80 (Unicode 15, table 3-7). Invalid: the size of the
// maximal part that one U+FFFD replaces.
Utf8Step step_utf8(std::string_view text) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    size_t size = 0;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) size = 2;
    if (lead >= 0xe0 && lead <= 0xef) size = 3;
    if (lead >= 0xf0 && lead <= 0xf4) size = 4;
    if (size == 0) return {1, false};
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
    for (size_t i = 1; i < size; ++i) {
        if (i >= text.size() || byte(i) < low || byte(i) > high) return {i, false};
        low = 0x80;
        high = 0xbf;
    }
    return {size, true};
}

struct Unit {
    std::string_view name;
    double scale;
};

constexpr std::array<Unit, 10> kDurationUnits = {{{"ns", 1},
                                                  {"us", 1e3},
                                                  {"µs", 1e3},
                                                  {"μs", 1e3},
                                                  {"ms", 1e6},
                                                  {"s", 1e9},
                                                  {"m", 60e9},
                                                  {"h", 3600e9},
                                                  {"d", 86400e9},
                                                  {"w", 604800e9}}};

// Days since 1970-01-01 of a Gregorian date (Howard Hinnant's days_from_civil).
int64_t days_from_civil(int64_t year, unsigned month, unsigned day) {
    year -= month <= 2 ? 1 : 0;
    const int64_t era = (year >= 0 ? year : year - 399) / 400;
    const auto year_of_era = static_cast<unsigned>(year - era * 400);
    const unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    const unsigned day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + static_cast<int64_t>(day_of_era) - 719468;
}

// Fixed-width decimal digits at `at`, moving it on; -1 where they are not there.
int take_digits(std::string_view text, size_t& at, size_t count) {
    int value = 0;
    if (at + count > text.size()) return -1;
    for (size_t i = 0; i < count; ++i) {
        const char c = text[at + i];
        if (c < '0' || c > '9') return -1;
        value = value * 10 + (c - '0');
    }
    at += count;
    return value;
}

// The offset of RFC 3339 ("Z", "+02:00") in seconds; nullopt where it is malformed.
std::optional<int64_t> take_offset_s(std::string_view text, size_t& at) {
    if (at >= text.size()) return std::nullopt;
    const char sign = text[at++];
    if (sign == 'Z' || sign == 'z') return 0;
    if (sign != '+' && sign != '-' && sign != ' ') return std::nullopt;
    const int hours = take_digits(text, at, 2);
    if (at < text.size() && text[at] == ':') ++at;
    const int minutes = take_digits(text, at, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
    const int64_t offset = hours * 3600 + minutes * 60;
    return sign == '-' ? -offset : offset;
}

}  // namespace

void append_hex(std::string& out, const uint8_t* bytes, size_t size) {
    for (size_t i = 0; i < size; ++i) {
        out += kHexDigits[bytes[i] >> 4];
        out += kHexDigits[bytes[i] & 15];
    }
}

bool parse_hex(std::string_view digits, uint8_t* out, size_t size) {
    if (digits.size() != size * 2) return false;
    for (size_t i = 0; i < size; ++i) {
        const int high = hex_value(digits[2 * i]);
        const int low = hex_value(digits[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        out[i] = static_cast<uint8_t>(high * 16 + low);
    }
    return true;
}

void append_base64(std::string& out, std::string_view bytes) {
    const auto byte = [&](size_t i) {
        return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U;
    };
    for (size_t i = 0; i < bytes.size(); i += 3) {
        const unsigned group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
        out += kBase64[group >> 18];
        out += kBase64[group >> 12 & 63];
        out += i + 1 < bytes.size() ? kBase64[group >> 6 & 63] : '=';
        out += i + 2 < bytes.size() ? kBase64[group & 63] : '=';
    }
}

std::optional<std::string> parse_base64(std::string_view text) {
    while (!text.empty() && text.back() == '=')
        text.remove_suffix(1);
    if (text.size() % 4 == 1) return std::nullopt;
    std::string out;
    out.reserve(text.size() * 3 / 4);
    unsigned group = 0;
    unsigned bits = 0;
    for (char c : text) {
        const int value = base64_value(c);
        if (value < 0) return std::nullopt;
        group = group << 6 | static_cast<unsigned>(value);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out += static_cast<char>(group >> bits & 0xff);
        }
    }
    return out;
}

bool is_valid_utf8(std::string_view text) {
    size_t i = 0;
    while (i < text.size()) {
        // Eight bytes of ASCII at a time: nearly all text is that.
        while (i + 8 <= text.size()) {
            uint64_t word = 0;
            std::copy_n(text.data() + i, 8, reinterpret_cast<char*>(&word));
            if ((word & 0x8080808080808080U) != 0) break;
            i += 8;
        }
        if (i >= text.size()) break;
        if (static_cast<unsigned char>(text[i]) < 0x80) {
            ++i;
            continue;
        }
        const Utf8Step step = step_utf8(text.substr(i));
        if (!step.valid) return false;
        i += step.size;
    }
    return true;
}

std::string replace_invalid_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    size_t i = 0;
    while (i < text.size()) {
        if (static_cast<unsigned char>(text[i]) < 0x80) {
            out += text[i++];
            continue;
        }
        const Utf8Step step = step_utf8(text.substr(i));
        if (step.valid) {
            out.append(text, i, step.size);
        } else {
            out += "\xef\xbf\xbd";
        }
        i += step.size;
    }
    return out;
}

Result<int64_t> parse_duration_ns(std::string_view text) {
    const std::string_view whole = text;
    const auto malformed = [&] {
        return fail(ErrorCode::kInvalidArgument,
                    "\"{}\" is not a duration: write it like 250ms, 1.5s or 1m30s", whole);
    };
    const bool negative = !text.empty() && text[0] == '-';
    if (negative) text.remove_prefix(1);
    if (text == "0") return 0;
    if (text.empty()) return malformed();
    double total = 0;
    while (!text.empty()) {
        const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
        double count = 0;
        const auto parsed = std::from_chars(text.data(), text.data() + digits, count);
        if (digits == 0 || parsed.ec != std::errc() || parsed.ptr != text.data() + digits)
            return malformed();
        text.remove_prefix(digits);
        const size_t unit_size = std::min(text.find_first_of("0123456789."), text.size());
        const std::string_view unit_name = text.substr(0, unit_size);
        const auto* unit = std::find_if(kDurationUnits.begin(), kDurationUnits.end(),
                                        [&](const Unit& u) { return u.name == unit_name; });
        if (unit == kDurationUnits.end()) return malformed();
        text.remove_prefix(unit_size);
        total += count * unit->scale;
    }
    if (total >= 9.2e18) return malformed();
    const auto ns = static_cast<int64_t>(std::llround(total));
    return negative ? -ns : ns;
}

std::string format_duration_ns(int64_t ns) {
    const double value = static_cast<double>(ns);
    const double size = std::abs(value);
    if (size < 1e3) return fmt::format("{}ns", ns);
    if (size < 1e6) return fmt::format("{:.4g}µs", value / 1e3);
    if (size < 1e9) return fmt::format("{:.4g}ms", value / 1e6);
    if (size < 60e9) return fmt::format("{:.4g}s", value / 1e9);
    const int64_t seconds = ns / 1'000'000'000;
    if (size < 3600e9) return fmt::format("{}m{}s", seconds / 60, std::abs(seconds % 60));
    return fmt::format("{}h{}m", seconds / 3600, std::abs(seconds / 60 % 60));
}

Result<uint64_t> parse_bytes(std::string_view text) {
    const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
    double count = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + digits, count);
    std::string_view unit = text.substr(digits);
    while (!unit.empty() && unit.front() == ' ')
        unit.remove_prefix(1);
    static constexpr std::array<Unit, 10> kUnits = {{{"", 1},
                                                     {"B", 1},
                                                     {"kB", 1e3},
                                                     {"MB", 1e6},
                                                     {"GB", 1e9},
                                                     {"TB", 1e12},
                                                     {"KiB", 1024.0},
                                                     {"MiB", 1048576.0},
                                                     {"GiB", 1073741824.0},
                                                     {"TiB", 1099511627776.0}}};
    for (const Unit& known : kUnits) {
        if (known.name == unit && digits > 0 && parsed.ec == std::errc() &&
            parsed.ptr == text.data() + digits && count * known.scale < 9e18)
            return static_cast<uint64_t>(std::llround(count * known.scale));
    }
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is not a size: write it like 64MiB or 50GB",
                text);
}

std::string format_bytes(uint64_t bytes) {
    static constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < kUnits.size()) {
        value /= 1024;
        ++unit;
    }
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.4g} {}", value, kUnits[unit]);
}

Result<uint64_t> parse_rfc3339_ns(std::string_view text) {
    const auto malformed = [&] {
        return fail(ErrorCode::kInvalidArgument,
                    "\"{}\" is not a time: write it like 2026-11-22T15:00:00Z", text);
    };
    size_t at = 0;
    const auto skip = [&](std::string_view any) {
        return at < text.size() && any.find(text[at]) != std::string_view::npos && (++at, true);
    };
    const int year = take_digits(text, at, 4);
    if (year < 1970 || !skip("-")) return malformed();
    const int month = take_digits(text, at, 2);
    if (month < 1 || month > 12 || !skip("-")) return malformed();
    const int day = take_digits(text, at, 2);
    if (day < 1 || day > 31 || !skip("Tt ")) return malformed();
    const int hour = take_digits(text, at, 2);
    if (hour < 0 || hour > 23 || !skip(":")) return malformed();
    const int minute = take_digits(text, at, 2);
    if (minute < 0 || minute > 59 || !skip(":")) return malformed();
    const int second = take_digits(text, at, 2);
    if (second < 0 || second > 60) return malformed();
    uint64_t fraction_ns = 0;
    if (skip(".")) {
        uint64_t scale = 100'000'000;
        const size_t first = at;
        while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
            fraction_ns += scale * static_cast<uint64_t>(text[at] - '0');
            scale /= 10;
            ++at;
        }
        if (at == first) return malformed();
    }
    const auto offset_s = take_offset_s(text, at);
    if (!offset_s || at != text.size()) return malformed();
    const int64_t seconds =
        days_from_civil(year, static_cast<unsigned>(month), static_cast<unsigned>(day)) * 86400 +
        hour * 3600 + minute * 60 + second - *offset_s;
    if (seconds < 0 || seconds > 18'000'000'000) return malformed();
    return static_cast<uint64_t>(seconds) * 1'000'000'000U + fraction_ns;
}

std::string format_rfc3339_ns(uint64_t ns) {
    const auto seconds = static_cast<time_t>(ns / 1'000'000'000U);
    tm parts{};
    gmtime_r(&seconds, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", parts.tm_year + 1900,
                       parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                       ns % 1'000'000'000U);
}

std::string decode_percent(std::string_view text, bool plus_is_blank) {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size(); ++i) {
        uint8_t byte = 0;
        if (text[i] == '%' && i + 2 < text.size() && parse_hex(text.substr(i + 1, 2), &byte, 1)) {
            out += static_cast<char>(byte);
            i += 2;
        } else if (text[i] == '+' && plus_is_blank) {
            out += ' ';
        } else {
            out += text[i];
        }
    }
    return out;
}

std::string_view trim(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.remove_suffix(1);
    return text;
}

std::optional<int64_t> parse_int(std::string_view text) {
    int64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())
        return std::nullopt;
    return value;
}

std::optional<double> parse_double(std::string_view text) {
    double value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())
        return std::nullopt;
    return value;
}

}  // namespace spanloom

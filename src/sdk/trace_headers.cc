#include "sdk/trace_headers.h"

#include <cstring>

#include "base/text.h"
#include "sdk/hex_words.h"

namespace spanloom::sdk {
namespace {

int lower_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

int any_digit(char c) noexcept {
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return lower_digit(c);
}

// Two lower-case digits; -1 where they are none.
int lower_byte(const char* digits) noexcept {
    const int high = lower_digit(digits[0]);
    const int low = lower_digit(digits[1]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

bool is_zero(const uint8_t* bytes, size_t size) noexcept {
    uint8_t any = 0;
    for (size_t i = 0; i < size; ++i)
        any |= bytes[i];
    return any == 0;
}

// Digits of either case, fewer than the id has are filled up with zeros on the
// left.
bool parse_id(std::string_view digits, uint8_t* out, size_t size) noexcept {
    if (digits.empty() || digits.size() > 2 * size) return false;
    std::memset(out, 0, size);
    size_t nibble = 2 * size - digits.size();
    for (const char c : digits) {
        const int value = any_digit(c);
        if (value < 0) return false;
        out[nibble / 2] |= static_cast<uint8_t>(nibble % 2 == 0 ? value << 4 : value);
        ++nibble;
    }
    return !is_zero(out, size);
}

// B3's ids have 16 or 32 digits, and nothing between.
bool parse_b3_ids(std::string_view trace_id, std::string_view span_id, TraceHeader& out) noexcept {
    if ((trace_id.size() != 16 && trace_id.size() != 32) || span_id.size() != 16) return false;
    return parse_id(trace_id, out.trace_id.bytes.data(), 16) &&
           parse_id(span_id, out.span_id.bytes.data(), 8);
}

// The part before the separator; what follows it stays in `rest`.
std::string_view take_part(std::string_view& rest, std::string_view separator) noexcept {
    const size_t end = rest.find(separator);
    const std::string_view part = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + separator.size());
    return part;
}

// B3's sampling state; an unknown one is refused.
bool parse_b3_state(std::string_view state, uint8_t& flags) noexcept {
    if (state == "1" || state == "true") {
        flags = kFlagSampled;
    } else if (state == "d") {
        flags = kFlagSampled | kFlagDebug;
    } else if (state == "0" || state == "false" || state.empty()) {
        flags = 0;  // empty: the decision is left to whoever receives it; not
                    // sampled, as everywhere
    } else {
        return false;
    }
    return true;
}

}  // namespace

void format_trace_id(const TraceId& id, char* out) noexcept {
    encode_hex16(id.bytes.data(), out);
    encode_hex16(id.bytes.data() + 8, out + 16);
}

void format_span_id(const SpanId& id, char* out) noexcept {
    encode_hex16(id.bytes.data(), out);
}

bool parse_traceparent(std::string_view value, TraceHeader& out) noexcept {
    if (value.size() != kTraceparentBytes) {
        value = trim(value);
        if (value.size() < kTraceparentBytes) return false;
    }
    const char* text = value.data();
    const int version = lower_byte(text);
    if (version < 0 || version == 0xff) return false;
    // Version 00 ends here; what later ones append starts with a dash.
    if (value.size() > kTraceparentBytes && (version == 0 || text[kTraceparentBytes] != '-'))
        return false;
    const int flags = lower_byte(text + 53);
    if (text[2] != '-' || text[35] != '-' || text[52] != '-' || flags < 0) return false;

    TraceHeader header;
    const bool is_hex = decode_hex16(text + 3, header.trace_id.bytes.data()) &&
                        decode_hex16(text + 19, header.trace_id.bytes.data() + 8) &&
                        decode_hex16(text + 36, header.span_id.bytes.data());
    if (!is_hex || header.trace_id.is_zero() || header.span_id.is_zero()) return false;
    header.flags = static_cast<uint8_t>(flags) & (kFlagSampled | kFlagRandom);
    out = header;
    return true;
}

void format_traceparent(const TraceHeader& header, char (&out)[kTraceparentBytes]) noexcept {
    out[0] = '0';
    out[1] = '0';
    out[2] = '-';
    format_trace_id(header.trace_id, out + 3);
    out[35] = '-';
    format_span_id(header.span_id, out + 36);
    out[52] = '-';
    out[53] = '0';
    out[54] = static_cast<char>('0' + (header.flags & (kFlagSampled | kFlagRandom)));
}

bool parse_b3(std::string_view value, TraceHeader& out) noexcept {
    std::string_view rest = trim(value);
    const std::string_view trace_id = take_part(rest, "-");
    const std::string_view span_id = take_part(rest, "-");
    const std::string_view state = take_part(rest, "-");
    // What is left is the parent's id: OpenTelemetry has no use for it, but it
    // must be one.
    SpanId parent;
    if (!rest.empty() && (rest.size() != 16 || !parse_id(rest, parent.bytes.data(), 8)))
        return false;
    TraceHeader header;
    if (!parse_b3_ids(trace_id, span_id, header) || !parse_b3_state(state, header.flags))
        return false;
    out = header;
    return true;
}

void format_b3(const TraceHeader& header, char (&out)[kB3Bytes]) noexcept {
    format_trace_id(header.trace_id, out);
    out[32] = '-';
    format_span_id(header.span_id, out + 33);
    out[49] = '-';
    out[50] = (header.flags & kFlagDebug) != 0     ? 'd'
              : (header.flags & kFlagSampled) != 0 ? '1'
                                                   : '0';
}

bool parse_b3_multi(std::string_view trace_id, std::string_view span_id, std::string_view sampled,
                    std::string_view flags, TraceHeader& out) noexcept {
    TraceHeader header;
    if (!parse_b3_ids(trim(trace_id), trim(span_id), header) ||
        !parse_b3_state(trim(sampled), header.flags))
        return false;
    if (trim(flags) == "1") header.flags = kFlagSampled | kFlagDebug;
    out = header;
    return true;
}

bool parse_uber_trace_id(std::string_view value, TraceHeader& out) noexcept {
    std::string_view rest = trim(value);
    std::string_view separator = ":";
    if (rest.find(':') == std::string_view::npos)
        separator = rest.find("%3A") != std::string_view::npos ? "%3A" : "%3a";
    const std::string_view trace_id = take_part(rest, separator);
    const std::string_view span_id = take_part(rest, separator);
    const std::string_view parent = take_part(rest, separator);
    if (rest.empty() || rest.size() > 2 || parent.empty() || parent.size() > 16) return false;
    TraceHeader header;
    if (!parse_id(trace_id, header.trace_id.bytes.data(), 16) ||
        !parse_id(span_id, header.span_id.bytes.data(), 8))
        return false;
    int bits = 0;
    for (const char c : rest) {
        const int digit = any_digit(c);
        if (digit < 0) return false;
        bits = bits << 4 | digit;
    }
    if ((bits & 1) != 0) header.flags |= kFlagSampled;
    if ((bits & 2) != 0) header.flags |= kFlagSampled | kFlagDebug;
    out = header;
    return true;
}

void format_uber_trace_id(const TraceHeader& header, char (&out)[kUberTraceIdBytes]) noexcept {
    format_trace_id(header.trace_id, out);
    out[32] = ':';
    format_span_id(header.span_id, out + 33);
    std::memcpy(out + 49, ":0:", 3);
    const bool is_sampled = (header.flags & kFlagSampled) != 0;
    out[52] = (header.flags & kFlagDebug) != 0 ? '3' : is_sampled ? '1' : '0';
}

}  // namespace spanloom::sdk

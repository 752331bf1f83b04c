#include "traceql/answer.h"

#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include "base/text.h"

namespace spanloom::traceql {
namespace {

using store::Value;
using store::ValueKind;

constexpr size_t kCursorBytesMax = 64U << 10;

std::optional<uint64_t> parse_uint(std::string_view text) {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || text.empty())
        return std::nullopt;
    return number;
}

// The kind's letter, then the value so that it comes back bit for bit.
std::string sort_text(const Value& value) {
    switch (value.kind) {
        case ValueKind::kNil:
        case ValueKind::kOther:
            return {};
        case ValueKind::kString: {
            std::string hex = "s";
            append_hex(hex, reinterpret_cast<const uint8_t*>(value.text.data()), value.text.size());
            return hex;
        }
        case ValueKind::kDouble: {
            uint64_t bits = 0;
            std::memcpy(&bits, &value.number, sizeof bits);
            return fmt::format("f{}", bits);
        }
        default:
            return fmt::format("i{}.{}", static_cast<int>(value.kind), value.integer);
    }
}

std::optional<Value> parse_sort(std::string_view text) {
    if (text.empty()) return Value::nil();
    const std::string_view rest = text.substr(1);
    if (text[0] == 's') {
        std::string bytes(rest.size() / 2, '\0');
        if (!parse_hex(rest, reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()))
            return std::nullopt;
        return Value::of_string(std::move(bytes));
    }
    if (text[0] == 'f') {
        const auto bits = parse_uint(rest);
        if (!bits) return std::nullopt;
        Value value = Value::of_double(0);
        std::memcpy(&value.number, &*bits, sizeof *bits);
        return value;
    }
    const size_t dot = rest.find('.');
    if (text[0] != 'i' || dot == std::string_view::npos) return std::nullopt;
    const auto kind = parse_uint(rest.substr(0, dot));
    const auto integer = parse_int(rest.substr(dot + 1));
    if (!kind || !integer || *kind > static_cast<uint64_t>(ValueKind::kStatus)) return std::nullopt;
    Value value;
    value.kind = static_cast<ValueKind>(*kind);
    value.integer = *integer;
    return value;
}

}  // namespace

std::string SearchCursor::text() const {
    std::string out = fmt::format("{}:{}", start_ns, trace_id.hex());
    const std::string sorted = sort_text(sort_value);
    return sorted.empty() ? out : out + ":" + sorted;
}

Result<SearchCursor> SearchCursor::parse(std::string_view text) {
    const auto malformed = [] {
        return fail(ErrorCode::kInvalidArgument,
                    "malformed cursor: hand back what the last answer gave, unchanged");
    };
    const size_t first = text.find(':');
    if (first == std::string_view::npos || text.size() > kCursorBytesMax) return malformed();
    const size_t second = text.find(':', first + 1);
    const auto start = parse_uint(text.substr(0, first));
    const auto id = TraceId::parse(text.substr(first + 1, second - first - 1));
    const auto value = parse_sort(second == std::string_view::npos ? "" : text.substr(second + 1));
    if (!start || !id || !value) return malformed();
    SearchCursor cursor;
    cursor.start_ns = *start;
    cursor.trace_id = *id;
    cursor.sort_value = *value;
    return cursor;
}

std::string Explanation::text() const {
    std::string out;
    for (size_t i = 0; i < plan.size(); ++i)
        out += fmt::format("{}. {}\n", i + 1, plan[i]);
    uint64_t bytes_read = 0;
    size_t skipped = 0;
    for (const SegmentUse& use : segments) {
        bytes_read += use.bytes_read;
        skipped += use.skipped.empty() ? 0 : 1;
    }
    out += fmt::format("segments: {} of {} read, {} decoded\n", segments.size() - skipped,
                       segments.size(), format_bytes(bytes_read));
    for (const SegmentUse& use : segments) {
        out += fmt::format("  {} spans, {}: {}\n", use.spans, format_bytes(use.bytes),
                           use.skipped.empty() ? format_bytes(use.bytes_read) + " decoded"
                                               : "skipped, " + use.skipped);
    }
    return out;
}

}  // namespace spanloom::traceql

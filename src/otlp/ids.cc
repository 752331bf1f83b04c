#include "otlp/ids.h"

#include <algorithm>

#include "base/text.h"

namespace spanloom {

std::optional<TraceId> TraceId::parse(std::string_view hex) {
    constexpr size_t kDigits = 32;
    if (hex.empty() || hex.size() > kDigits) return std::nullopt;
    std::array<char, kDigits> padded;
    padded.fill('0');
    std::copy(hex.begin(), hex.end(), padded.end() - static_cast<std::ptrdiff_t>(hex.size()));
    TraceId id;
    if (!parse_hex({padded.data(), kDigits}, id.bytes)) return std::nullopt;
    return id;
}

std::string TraceId::hex() const {
    std::string out;
    append_hex(out, bytes);
    return out;
}

std::optional<SpanId> SpanId::parse(std::string_view hex) {
    SpanId id;
    if (hex.size() != 2 * id.bytes.size() || !parse_hex(hex, id.bytes)) return std::nullopt;
    return id;
}

std::string SpanId::hex() const {
    std::string out;
    append_hex(out, bytes);
    return out;
}

}  // namespace spanloom

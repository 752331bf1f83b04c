#include "otlp/tracestate.h"

#include <algorithm>

#include <fmt/format.h>

namespace spanloom::otlp {
namespace {

constexpr uint32_t kDigits = 14;         // of 56 bits
constexpr size_t kMemberBytesMax = 256;  // of the value of `ot`

// Lower-case digits only, filled up with zeros on the right.
std::optional<uint64_t> parse_fraction(std::string_view digits) {
    if (digits.empty() || digits.size() > kDigits) return std::nullopt;
    uint64_t value = 0;
    for (const char c : digits) {
        value <<= 4;
        if (c >= '0' && c <= '9') {
            value |= static_cast<uint64_t>(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value |= static_cast<uint64_t>(c - 'a' + 10);
        } else {
            return std::nullopt;
        }
    }
    return value << (4 * (kDigits - digits.size()));
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.remove_suffix(1);
    return text;
}

// Takes the part before `separator` off the front of `rest`.
std::string_view take_part(std::string_view& rest, char separator) {
    const size_t end = std::min(rest.find(separator), rest.size());
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return part;
}

std::string_view find_ot(std::string_view tracestate) {
    while (!tracestate.empty()) {
        const std::string_view member = trim(take_part(tracestate, ','));
        if (member.substr(0, 3) == "ot=") return member.substr(3);
    }
    return {};
}

}  // namespace

SamplingState SamplingState::parse(std::string_view tracestate) {
    SamplingState state;
    std::string_view rest = find_ot(tracestate);
    if (rest.size() > kMemberBytesMax) return state;
    bool has_threshold = false;
    bool has_randomness = false;
    while (!rest.empty()) {
        const std::string_view part = take_part(rest, ';');
        if (part.substr(0, 3) == "th:") {
            if (has_threshold) return {};  // keys are unique: which of them holds is anyone's guess
            has_threshold = true;
            state.threshold = parse_fraction(part.substr(3));
        } else if (part.substr(0, 3) == "rv:") {
            if (has_randomness) return {};
            has_randomness = true;
            if (part.size() == 3 + kDigits) state.randomness = parse_fraction(part.substr(3));
        }
    }
    return state;
}

AdjustedCount adjusted_count(std::string_view tracestate) {
    const SamplingState state = SamplingState::parse(tracestate);
    return state.threshold ? adjusted_count(*state.threshold) : AdjustedCount();
}

AdjustedCount adjusted_count(uint64_t threshold) {
    AdjustedCount count;
    count.is_known = true;
    // th has at most 14 digits, so the difference is at least 1.
    constexpr auto kAll = static_cast<double>(kThresholdEnd);
    count.value = kAll / (kAll - static_cast<double>(threshold));
    if (count.value > kAdjustedCountMax) {
        count.value = kAdjustedCountMax;
        count.is_capped = true;
    }
    return count;
}

std::string raise_threshold(std::string_view tracestate, uint64_t threshold) {
    constexpr size_t kBytesMax = 512;
    const std::string unchanged(tracestate);
    const SamplingState before = SamplingState::parse(tracestate);
    if (threshold >= kThresholdEnd || (before.threshold && *before.threshold >= threshold))
        return unchanged;
    std::string digits = fmt::format("{:0{}x}", threshold, kDigits);
    digits.resize(std::max<size_t>(1, digits.find_last_not_of('0') + 1));
    std::string member = "ot=th:" + digits;
    std::string_view old = find_ot(tracestate);
    while (!old.empty()) {
        const std::string_view part = take_part(old, ';');
        if (!part.empty() && part.substr(0, 3) != "th:") member.append(";").append(part);
    }
    std::string out = member;
    while (!tracestate.empty()) {
        const std::string_view other = trim(take_part(tracestate, ','));
        if (!other.empty() && other.substr(0, 3) != "ot=") out.append(",").append(other);
    }
    const bool fits = member.size() - 3 <= kMemberBytesMax && out.size() <= kBytesMax;
    return fits ? out : unchanged;
}

uint64_t randomness_of(const TraceId& id) {
    uint64_t value = 0;
    for (size_t i = 9; i < id.bytes.size(); ++i)
        value = value << 8 | id.bytes[i];
    return value;
}

}  // namespace spanloom::otlp

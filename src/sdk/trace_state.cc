#include <algorithm>
#include <string>

#include "base/text.h"
#include "spanloom/span_context.h"

// https://www.w3.org/TR/trace-context-2/#tracestate-header
namespace spanloom {
namespace {

constexpr size_t kMembersMax = 32;
constexpr size_t kPartBytesMax = 256;

bool is_key_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_valid_key(std::string_view key) {
    if (key.empty() || key.size() > kPartBytesMax || !is_key_start(key[0])) return false;
    return std::all_of(key.begin(), key.end(), [](char c) {
        return is_key_start(c) || c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
    });
}

bool is_valid_value(std::string_view value) {
    if (value.empty() || value.size() > kPartBytesMax || value.back() == ' ') return false;
    return std::all_of(value.begin(), value.end(),
                       [](char c) { return c >= 0x20 && c <= 0x7e && c != ',' && c != '='; });
}

// The next member of the list, "" where it is an empty one; moves `rest` behind it.
std::string_view next_member(std::string_view& rest) {
    const size_t comma = rest.find(',');
    const std::string_view member = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    return trim(member);
}

}  // namespace

TraceState TraceState::parse(std::string_view header) noexcept {
    try {
        std::string text;
        size_t members = 0;
        while (!header.empty()) {
            const std::string_view member = next_member(header);
            if (member.empty()) continue;
            const size_t equals = member.find('=');
            if (equals == std::string_view::npos || ++members > kMembersMax) return {};
            if (!is_valid_key(member.substr(0, equals))) return {};
            if (!is_valid_value(member.substr(equals + 1))) return {};
            if (!text.empty()) text += ',';
            text += member;
        }
        return TraceState(detail::SharedText(text));
    } catch (...) {  // out of memory
        return {};
    }
}

std::string_view TraceState::get(std::string_view key) const noexcept {
    std::string_view rest = text();
    while (!rest.empty()) {
        const std::string_view member = next_member(rest);
        const size_t equals = member.find('=');
        if (member.substr(0, equals) == key) return member.substr(equals + 1);
    }
    return {};
}

TraceState TraceState::set(std::string_view key, std::string_view value) const noexcept {
    if (!is_valid_key(key) || !is_valid_value(value)) return *this;
    try {
        std::string changed = std::string(key) + '=' + std::string(value);
        size_t members = 1;
        std::string_view rest = text();
        while (!rest.empty() && members < kMembersMax) {
            const std::string_view member = next_member(rest);
            if (member.substr(0, member.find('=')) == key) continue;
            changed += ',';
            changed += member;
            ++members;
        }
        return TraceState(detail::SharedText(changed));
    } catch (...) {  // out of memory
        return *this;
    }
}

TraceState TraceState::erase(std::string_view key) const noexcept {
    try {
        std::string changed;
        std::string_view rest = text();
        while (!rest.empty()) {
            const std::string_view member = next_member(rest);
            if (member.substr(0, member.find('=')) == key) continue;
            if (!changed.empty()) changed += ',';
            changed += member;
        }
        return TraceState(detail::SharedText(changed));
    } catch (...) {  // out of memory
        return *this;
    }
}

}  // namespace spanloom

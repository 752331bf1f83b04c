#include "sdk/baggage_text.h"

#include <algorithm>

#include "base/text.h"

namespace spanloom::sdk {
namespace {

bool is_alnum(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// RFC 9110's token.
bool is_token(std::string_view text) noexcept {
    static constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return is_alnum(c) || kMarks.find(c) != std::string_view::npos;
    });
}

bool is_baggage_octet(char c) noexcept {
    return c >= 0x21 && c <= 0x7e && c != '"' && c != ',' && c != ';' && c != '\\';
}

void append_encoded(std::string& out, std::string_view text) {
    for (const char c : text) {
        if (is_baggage_octet(c) && c != '%') {
            out += c;
            continue;
        }
        constexpr std::string_view kDigits = "0123456789ABCDEF";
        const auto byte = static_cast<unsigned char>(c);
        out += '%';
        out += kDigits[byte >> 4];
        out += kDigits[byte & 15];
    }
}

}  // namespace

void BaggageReader::add(std::string_view header) {
    while (!header.empty() && !is_malformed_ && !is_full_) {
        const size_t comma = header.find(',');
        const std::string_view member = trim(header.substr(0, comma));
        header = comma == std::string_view::npos ? std::string_view() : header.substr(comma + 1);
        if (member.empty()) continue;  // RFC 9110, 5.6.1: lists may have empty elements
        const size_t bytes = bytes_ + member.size() + (bytes_ == 0 ? 0 : 1);
        if (items_.size() == kBaggageMembersMax || bytes > kBaggageBytesMax) {
            is_full_ = true;
            return;
        }
        bytes_ = bytes;
        is_malformed_ = !add_member(member);
    }
}

bool BaggageReader::add_member(std::string_view member) {
    const size_t semicolon = member.find(';');
    const std::string_view pair = member.substr(0, semicolon);
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return false;
    const std::string_view key = trim(pair.substr(0, equals));
    const std::string_view value = trim(pair.substr(equals + 1));
    if (!is_token(key) || !std::all_of(value.begin(), value.end(), is_baggage_octet)) return false;
    std::string_view metadata;
    if (semicolon != std::string_view::npos) metadata = trim(member.substr(semicolon + 1));
    const auto is_visible = [](char c) { return c == '\t' || (c >= 0x20 && c <= 0x7e); };
    if (!std::all_of(metadata.begin(), metadata.end(), is_visible)) return false;

    Item item{std::string(key), replace_invalid_utf8(decode_percent(value, false)),
              std::string(metadata)};
    const auto found = std::find_if(items_.begin(), items_.end(),
                                    [key](const Item& known) { return known.key == key; });
    // The last of equal names wins.
    if (found != items_.end()) {
        *found = std::move(item);
    } else {
        items_.push_back(std::move(item));
    }
    return true;
}

Baggage BaggageReader::take() const noexcept {
    if (is_malformed_ || items_.empty()) return {};
    Baggage::Entry entries[kBaggageMembersMax];
    for (size_t i = 0; i < items_.size(); ++i)
        entries[i] = {items_[i].key, items_[i].value, items_[i].metadata};
    return Baggage::of(entries, items_.size());
}

std::string format_baggage(const Baggage& baggage) {
    std::string out;
    size_t members = 0;
    baggage.for_each([&](const Baggage::Entry& entry) {
        if (members == kBaggageMembersMax || !is_token(entry.key)) return;
        const size_t before = out.size();
        if (before > 0) out += ',';
        out += entry.key;
        out += '=';
        append_encoded(out, entry.value);
        if (!entry.metadata.empty()) {
            out += ';';
            out += entry.metadata;
        }
        if (out.size() > kBaggageBytesMax) {
            out.resize(before);
        } else {
            ++members;
        }
    });
    return out;
}

}  // namespace spanloom::sdk

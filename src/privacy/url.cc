#include "privacy/url.h"

#include <algorithm>

#include "privacy/character_class.h"
#include "privacy/detectors.h"

namespace spanloom::privacy {
namespace {

constexpr std::string_view kRedacted = "REDACTED";

// Where a URL in running text ends.
bool ends_url(char c) noexcept {
    return is_blank(c) || c == '"' || c == '\'' || c == '<' || c == '>' || c == '`';
}

bool is_listed(std::string_view key, const std::vector<std::string>& query_keys) noexcept {
    return is_secret_name(key) ||
           std::find(query_keys.begin(), query_keys.end(), key) != query_keys.end();
}

// key=value pairs between '&' or ';'; ends at '#'.
bool append_query(std::string_view query, const std::vector<std::string>& query_keys,
                  std::string& out) {
    bool changed = false;
    while (!query.empty()) {
        const size_t end = std::min(query.find_first_of("&;#"), query.size());
        const std::string_view pair = query.substr(0, end);
        const size_t equals = pair.find('=');
        const bool has_value = equals != std::string_view::npos && equals + 1 < pair.size();
        if (has_value && pair.substr(equals + 1) != kRedacted &&
            is_listed(pair.substr(0, equals), query_keys)) {
            out.append(pair.substr(0, equals + 1)).append(kRedacted);
            changed = true;
        } else {
            out.append(pair);
        }
        if (end < query.size() && query[end] == '#') {
            out.append(query.substr(end));
            return changed;
        }
        if (end < query.size()) out += query[end];
        query.remove_prefix(std::min(end + 1, query.size()));
    }
    return changed;
}

// What follows "://", up to the URL's end.
bool append_after_scheme(std::string_view rest, const std::vector<std::string>& query_keys,
                         std::string& out) {
    bool changed = false;
    const size_t authority_end = std::min(rest.find_first_of("/?#"), rest.size());
    // A password may hold '@' itself: the last one before the host counts.
    const size_t at = rest.substr(0, authority_end).rfind('@');
    if (at != std::string_view::npos && at > 0) {
        const std::string_view user = rest.substr(0, at);
        const std::string_view hidden =
            user.find(':') == std::string_view::npos ? kRedacted : "REDACTED:REDACTED";
        changed = user != hidden;
        out.append(hidden);
        rest.remove_prefix(at);
    }
    const size_t query = rest.find('?');
    if (query == std::string_view::npos) {
        out.append(rest);
        return changed;
    }
    out.append(rest.substr(0, query + 1));
    return append_query(rest.substr(query + 1), query_keys, out) || changed;
}

}  // namespace

std::vector<std::string> default_url_query_keys() {
    return {"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token",
            "AWSAccessKeyId",  "Signature",        "sig",
            "X-Goog-Signature"};
}

bool sanitize_urls(std::string_view text, const std::vector<std::string>& query_keys,
                   std::string& out) {
    bool changed = false;
    while (true) {
        const size_t scheme = text.find("://");
        if (scheme == std::string_view::npos) break;
        out.append(text.substr(0, scheme + 3));
        text.remove_prefix(scheme + 3);
        const size_t end =
            static_cast<size_t>(std::find_if(text.begin(), text.end(), ends_url) - text.begin());
        changed = append_after_scheme(text.substr(0, end), query_keys, out) || changed;
        text.remove_prefix(end);
    }
    out.append(text);
    return changed;
}

bool sanitize_url_query(std::string_view text, const std::vector<std::string>& query_keys,
                        std::string& out) {
    const size_t query = text.find('?');
    if (query != std::string_view::npos) {
        out.append(text.substr(0, query + 1));
        text.remove_prefix(query + 1);
    }
    return append_query(text, query_keys, out);
}

}  // namespace spanloom::privacy

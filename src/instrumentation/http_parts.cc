#include "instrumentation/http_parts.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "spanloom/instrumentation/http.h"

namespace spanloom {
namespace instrumentation {
namespace {

constexpr std::string_view kRedacted = "REDACTED";
// Longer URLs are recorded by their beginning.
constexpr size_t kUrlBytesMax = 2048;

constexpr std::array<std::string_view, 10> kMethods = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"};

// Whole names of parameters, and endings of names, whose values open doors.
constexpr std::array<std::string_view, 13> kSecretNames = {
    "sig", "signature", "awsaccesskeyid", "x-goog-signature", "token",   "password", "passwd",
    "pwd", "secret",    "api_key",        "apikey",           "api-key", "jwt"};
constexpr std::array<std::string_view, 5> kSecretEndings = {"_token", "-token", "_secret",
                                                            "-secret", "_password"};
constexpr std::string_view kSecretPrefix = "x-amz-";

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

std::string lowered(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), lower);
    return out;
}

bool is_secret(std::string_view parameter) {
    const std::string name = lowered(parameter);
    return name.starts_with(kSecretPrefix) ||
           std::find(kSecretNames.begin(), kSecretNames.end(), name) != kSecretNames.end() ||
           std::any_of(kSecretEndings.begin(), kSecretEndings.end(),
                       [&](std::string_view ending) { return name.ends_with(ending); });
}

std::string_view trim(std::string_view text) {
    const size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) {
        return {};
    }
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::string_view unquote(std::string_view text) {
    return text.size() >= 2 && text.front() == '"' && text.back() == '"'
               ? text.substr(1, text.size() - 2)
               : text;
}

// The first element of a list with commas.
std::string_view first_of(std::string_view list) {
    return trim(list.substr(0, list.find(',')));
}

}  // namespace

HostPort parse_authority(std::string_view authority) {
    const size_t bracket = authority.find(']');
    const bool is_v6 = authority.starts_with('[') && bracket != std::string_view::npos;
    const size_t colon = is_v6 ? authority.find(':', bracket) : authority.find(':');
    HostPort out;
    out.host = is_v6 ? authority.substr(1, bracket - 1) : authority.substr(0, colon);
    if (colon != std::string_view::npos) {
        const std::string_view digits = authority.substr(colon + 1);
        const char* const end = digits.data() + digits.size();
        if (const auto parsed = std::from_chars(digits.data(), end, out.port);
            parsed.ec != std::errc() || parsed.ptr != end) {
            out.port = 0;
        }
    }
    return out;
}

UrlParts parse_url(std::string_view url) {
    UrlParts out;
    const size_t colon = url.find("://");
    if (colon != std::string_view::npos) {
        out.scheme = url.substr(0, colon);
        url.remove_prefix(colon + 3);
    }
    out.authority = url.substr(0, url.find_first_of("/?#"));
    if (const size_t at = out.authority.rfind('@'); at != std::string_view::npos) {
        out.authority.remove_prefix(at + 1);
    }
    return out;
}

uint16_t default_port(std::string_view scheme) {
    return scheme == "https" || scheme == "wss" ? 443 : 80;
}

std::vector<std::string> parse_known_methods(const char* list) {
    std::vector<std::string> methods;
    std::string_view rest = list == nullptr ? std::string_view() : std::string_view(list);
    while (!rest.empty()) {
        const size_t comma = std::min(rest.find(','), rest.size());
        if (const std::string_view method = trim(rest.substr(0, comma)); !method.empty()) {
            methods.emplace_back(method);
        }
        rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    if (methods.empty()) {
        methods.assign(kMethods.begin(), kMethods.end());
    }
    return methods;
}

std::string_view known_method(std::string_view method) {
    // Never destroyed: spans may be started at exit.
    static const auto& methods = *new std::vector<std::string>(
        parse_known_methods(std::getenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS")));
    const auto found = std::find(methods.begin(), methods.end(), method);
    return found == methods.end() ? std::string_view("_OTHER") : std::string_view(*found);
}

ForwardedRequest read_forwarded(const TextMapGetter& headers) {
    ForwardedRequest out;
    // Forwarded: for=192.0.2.43;proto=https;host=example.com, for=...
    std::string_view pairs = first_of(headers.get("forwarded").value_or(""));
    while (!pairs.empty()) {
        const size_t end = std::min(pairs.find(';'), pairs.size());
        const std::string_view pair = trim(pairs.substr(0, end));
        const size_t equals = std::min(pair.find('='), pair.size());
        const std::string name = lowered(pair.substr(0, equals));
        const std::string_view value = unquote(pair.substr(std::min(equals + 1, pair.size())));
        if (name == "host") {
            out.host = value;
        } else if (name == "proto") {
            out.scheme = value;
        } else if (name == "for") {
            out.client = parse_authority(value).host;
        }
        pairs.remove_prefix(std::min(end + 1, pairs.size()));
    }
    const auto otherwise = [&](std::string_view& field, std::string_view header) {
        if (field.empty()) {
            field = first_of(headers.get(header).value_or(""));
        }
    };
    otherwise(out.host, "x-forwarded-host");
    otherwise(out.host, "host");
    otherwise(out.scheme, "x-forwarded-proto");
    otherwise(out.client, "x-forwarded-for");
    return out;
}

}  // namespace instrumentation

std::string redact_query(std::string_view query) {
    query = query.substr(0, instrumentation::kUrlBytesMax);
    std::string out;
    out.reserve(query.size());
    while (!query.empty()) {
        const size_t end = std::min(query.find('&'), query.size());
        const std::string_view pair = query.substr(0, end);
        const size_t equals = pair.find('=');
        if (equals != std::string_view::npos &&
            instrumentation::is_secret(pair.substr(0, equals))) {
            out += pair.substr(0, equals + 1);
            out += instrumentation::kRedacted;
        } else {
            out += pair;
        }
        if (end < query.size()) {
            out += '&';
        }
        query.remove_prefix(std::min(end + 1, query.size()));
    }
    return out;
}

std::string redact_url(std::string_view url) {
    url = url.substr(0, instrumentation::kUrlBytesMax);
    const std::string_view fragment = url.substr(std::min(url.find('#'), url.size()));
    url.remove_suffix(fragment.size());
    const size_t question = std::min(url.find('?'), url.size());
    const std::string_view query = url.substr(question);
    std::string_view address = url.substr(0, question);
    std::string out;
    if (const size_t slashes = address.find("//"); slashes != std::string_view::npos) {
        out += address.substr(0, slashes + 2);
        address.remove_prefix(slashes + 2);
        const size_t path = std::min(address.find('/'), address.size());
        if (const size_t at = address.substr(0, path).rfind('@'); at != std::string_view::npos) {
            const bool has_password = address.substr(0, at).find(':') != std::string_view::npos;
            out += instrumentation::kRedacted;
            out += has_password ? ":" : "";
            out += has_password ? instrumentation::kRedacted : std::string_view();
            address.remove_prefix(at);
        }
    }
    out += address;
    if (!query.empty()) {
        out += '?';
        out += redact_query(query.substr(1));
    }
    out += fragment;
    return out;
}

}  // namespace spanloom

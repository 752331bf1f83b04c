#include "receive/cors.h"

#include <algorithm>

namespace spanloom {
namespace {

// A preflight asks for a handful of header names.
constexpr size_t kHeaderListBytesMax = 1024;

bool matches(std::string_view pattern, std::string_view origin) {
    const size_t star = pattern.find('*');
    if (star == std::string_view::npos) return pattern == origin;
    const std::string_view before = pattern.substr(0, star);
    const std::string_view after = pattern.substr(star + 1);
    return origin.size() >= before.size() + after.size() && origin.starts_with(before) &&
           origin.ends_with(after);
}

bool is_header_list(std::string_view text) {
    return !text.empty() && text.size() <= kHeaderListBytesMax &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == ',' || c == ' ';
           });
}

}  // namespace

bool CorsPolicy::allows(std::string_view origin) const {
    return !origin.empty() &&
           std::any_of(origins_.begin(), origins_.end(),
                       [origin](const std::string& pattern) { return matches(pattern, origin); });
}

http::Response CorsPolicy::preflight(const http::Request& request) const {
    http::Response response;
    if (!allows(request.headers.get("origin"))) {
        response.status = 403;
        response.headers.add("content-type", "text/plain; charset=utf-8");
        response.body =
            "web pages of this origin may not send here; allow it in the configuration\n";
        return response;
    }
    response.status = 204;
    response.headers.add("access-control-allow-methods", "POST");
    const std::string_view wanted = request.headers.get("access-control-request-headers");
    response.headers.add("access-control-allow-headers",
                         is_header_list(wanted) ? std::string(wanted)
                                                : std::string("content-type, content-encoding"));
    response.headers.add("access-control-max-age", "7200");
    mark(request.headers.get("origin"), response);
    return response;
}

void CorsPolicy::mark(std::string_view origin, http::Response& response) const {
    if (origins_.empty()) return;
    response.headers.add("vary", "origin");
    if (allows(origin)) response.headers.add("access-control-allow-origin", std::string(origin));
}

}  // namespace spanloom

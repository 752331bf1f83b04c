#include "api/static_files.h"

#include <array>
#include <memory>

#include "base/text.h"

namespace spanloom::api {
namespace {

constexpr std::string_view kPolicy =
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'";

// First parts of the addresses that are pages of the UI.
constexpr std::array<std::string_view, 14> kPages = {
    "",        "search", "trace",     "welcome", "map",      "compare", "doctor",
    "service", "errors", "databases", "file",    "sampling", "live",    "settings"};

bool is_page(std::string_view path) {
    const size_t end = path.find('/', 1);
    const std::string_view first = path.substr(1, end == std::string_view::npos ? end : end - 1);
    for (const std::string_view page : kPages) {
        if (first == page && (!page.empty() || path == "/")) return true;
    }
    return false;
}

// Whether a list such as "gzip, br;q=0.8" names the coding and does not refuse it.
bool accepts(std::string_view list, std::string_view coding) {
    while (!list.empty()) {
        const size_t comma = list.find(',');
        std::string_view item = list.substr(0, comma);
        list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
        while (item.starts_with(' '))
            item.remove_prefix(1);
        if (!item.starts_with(coding)) continue;
        item.remove_prefix(coding.size());
        if (item.empty()) return true;
        if (item[0] != ';' && item[0] != ' ') continue;
        return item.find("q=0") == std::string_view::npos ||
               item.find("q=0.") != std::string_view::npos;
    }
    return false;
}

}  // namespace

void add_security_headers(http::Response& response) {
    response.headers.add("x-content-type-options", "nosniff");
    response.headers.add("referrer-policy", "no-referrer");
    if (!response.headers.has("content-security-policy"))
        response.headers.add("content-security-policy", std::string(kPolicy));
    if (!response.headers.has("cache-control")) response.headers.add("cache-control", "no-store");
}

http::Response file_reply(const http::Request& request, const StaticFile& file,
                          const std::shared_ptr<const void>& owner) {
    http::Response response;
    const std::string tag = "\"" + std::string(file.hash) + "\"";
    response.headers.add("etag", tag);
    response.headers.add("vary", "accept-encoding");
    response.headers.add("cache-control",
                         file.has_hashed_name ? "public, max-age=31536000, immutable" : "no-cache");
    if (request.headers.get("if-none-match").find(tag) != std::string_view::npos) {
        response.status = 304;
        return response;
    }
    response.headers.add("content-type", std::string(file.content_type));
    const std::string_view codings = request.headers.get("accept-encoding");
    std::string_view bytes = file.bytes;
    if (!file.brotli.empty() && accepts(codings, "br")) {
        response.headers.add("content-encoding", "br");
        bytes = file.brotli;
    } else if (!file.gzip.empty() && accepts(codings, "gzip")) {
        response.headers.add("content-encoding", "gzip");
        bytes = file.gzip;
    }
    response.shared_body = Blob::wrap(owner, bytes.data(), bytes.size());
    return response;
}

const StaticFile* StaticFiles::find(std::string_view path) const {
    for (const StaticFile& file : files_) {
        if (file.path == path) return &file;
    }
    return nullptr;
}

Result<http::Response> StaticFiles::answer(const http::Request& request) const {
    const StaticFile* file = find(request.path);
    if (file == nullptr && is_page(request.path)) file = find("/index.html");
    if (file == nullptr)
        return fail(ErrorCode::kNotFound, "there is nothing at {}", request.path.substr(0, 200));
    return file_reply(request, *file);
}

}  // namespace spanloom::api

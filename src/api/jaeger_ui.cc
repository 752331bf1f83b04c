#include "api/jaeger_ui.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/hash.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "http/compression.h"
#include "privacy/keyed_hash.h"

namespace spanloom::api {
namespace {

constexpr std::string_view kRoot = "/jaeger/";
constexpr std::string_view kPage = "index.html";
// A worker goes by the policy of its script, not by the page's: graphs are laid out in one, by
// compiled C.
constexpr std::string_view kScriptPolicy =
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'";
// Smaller files fit into a packet or two as they are.
constexpr size_t kCompressBytesMin = 1400;
// Each has its hash in a header of every page.
constexpr size_t kInlineScriptsMax = 64;

struct FileType {
    std::string_view ending;
    std::string_view content_type;
    bool shrinks;
};
constexpr std::array<FileType, 18> kTypes = {{
    {".html", "text/html; charset=utf-8", true},
    {".js", "text/javascript; charset=utf-8", true},
    {".mjs", "text/javascript; charset=utf-8", true},
    {".css", "text/css; charset=utf-8", true},
    {".json", "application/json", true},
    {".map", "application/json", true},
    {".txt", "text/plain; charset=utf-8", true},
    {".svg", "image/svg+xml", true},
    {".ico", "image/x-icon", true},
    {".ttf", "font/ttf", true},
    {".wasm", "application/wasm", true},
    {".png", "image/png", false},
    {".jpg", "image/jpeg", false},
    {".jpeg", "image/jpeg", false},
    {".gif", "image/gif", false},
    {".webp", "image/webp", false},
    {".woff", "font/woff", false},
    {".woff2", "font/woff2", false},
}};

const FileType& type_of(std::string_view path) {
    static constexpr FileType kOther = {"", "application/octet-stream", false};
    const auto* found = std::find_if(kTypes.begin(), kTypes.end(), [&](const FileType& type) {
        return path.ends_with(type.ending);
    });
    return found == kTypes.end() ? kOther : *found;
}

Result<std::string> read_file(const std::filesystem::path& path, uint64_t bytes_max) {
    std::error_code failure;
    const uint64_t size = std::filesystem::file_size(path, failure);
    if (failure)
        return fail(ErrorCode::kNotFound, "cannot read {}: {}", path.string(), failure.message());
    if (size > bytes_max)
        return fail(ErrorCode::kResourceExhausted,
                    "the files up to {} are larger than a build of Jaeger's UI can be",
                    path.string());
    std::ifstream file(path, std::ios::binary);
    std::string bytes(size, '\0');
    file.read(bytes.data(), static_cast<std::streamsize>(size));
    if (!file.is_open() || static_cast<uint64_t>(file.gcount()) != size)
        return fail(ErrorCode::kNotFound, "cannot read {}: may this user read it?", path.string());
    return bytes;
}

// Where the page's files are. Newer pages find that out by a script, which browsers have not run
// when they begin to fetch what the page names: below /jaeger/trace/, where nothing is.
void write_base(std::string& page) {
    static const RE2 kBase(R"re(<base\s+href="[^"']*"\s+data-inject-target="BASE_URL"\s*/?>)re");
    static const RE2 kHead(R"((?i)<head(\s[^>]*)?>)");
    const std::string base =
        fmt::format(R"(<base href="{}" data-inject-target="BASE_URL" />)", kRoot);
    if (RE2::GlobalReplace(&page, kBase, base) == 0) RE2::Replace(&page, kHead, R"(\0)" + base);
}

// What Jaeger's own server writes into the page, at the same places.
void replace(std::string& page, const RE2& place, std::string_view text) {
    std::string escaped;  // RE2 has meanings for backslashes
    for (const char c : text) {
        if (c == '\\') escaped += '\\';
        escaped += c;
    }
    RE2::GlobalReplace(&page, place, escaped);
}

void fill_in(std::string& page, std::string_view version) {
    static const RE2 kConfig(R"(JAEGER_CONFIG *= *DEFAULT_CONFIG;)");
    static const RE2 kVersion(R"(JAEGER_VERSION *= *DEFAULT_VERSION;)");
    static const RE2 kBackend(R"(JAEGER_BACKEND_CAPABILITIES *= *DEFAULT_BACKEND_CAPABILITIES;)");
    static const RE2 kStorage(R"(JAEGER_STORAGE_CAPABILITIES *= *DEFAULT_STORAGE_CAPABILITIES;)");
    // Asks whether the browser is of the last years. A policy that lets it through would let any
    // script in that is written as an address; without it, the browser is taken to be.
    static const RE2 kProbe(R"(import\s*'data:text/javascript,[^'<]*';?)");

    std::string about;
    JsonWriter json(about);
    json.begin_object().field("gitCommit", std::string_view());
    json.field("gitVersion", fmt::format("spanloom-{}", version));
    json.field("buildDate", std::string_view()).end_object();
    write_base(page);
    replace(page, kConfig, R"(JAEGER_CONFIG = {"archiveEnabled":true};)");
    replace(page, kVersion, fmt::format("JAEGER_VERSION = {};", about));
    replace(page, kBackend,
            R"(JAEGER_BACKEND_CAPABILITIES = {"archiveStorage":true,"metricsStorage":true,)"
            R"("searchWithoutServiceName":true,"aiAssistant":false};)");
    replace(page, kStorage,
            R"(JAEGER_STORAGE_CAPABILITIES = {"archiveStorage":true,"metricsStorage":true};)");
    replace(page, kProbe, "");
}

// " 'sha256-...'" for each script that stands in the page itself.
Result<std::string> hashes_of_scripts(std::string_view page) {
    static const RE2 kScript(R"((?is)<!--.*?-->|<script(\s[^>]*)?>(.*?)</script\s*>)");
    static const RE2 kSource(R"((?i)\ssrc\s*=)");
    std::string hashes;
    size_t scripts = 0;
    re2::StringPiece rest(page.data(), page.size());
    re2::StringPiece attributes;
    re2::StringPiece found;
    while (RE2::FindAndConsume(&rest, kScript, &attributes, &found)) {
        const bool is_comment = found.data() == nullptr;
        if (is_comment || RE2::PartialMatch(attributes, kSource)) continue;
        if (++scripts > kInlineScriptsMax)
            return fail(ErrorCode::kResourceExhausted, "{} has more than {} scripts", kPage,
                        kInlineScriptsMax);
        // Browsers hash what they have read, in which every end of a line is one character.
        std::string text(found.data(), found.size());
        RE2::GlobalReplace(&text, R"(\r\n?)", "\n");
        const auto digest = privacy::sha256(text);
        hashes += " 'sha256-";
        append_base64(hashes, {reinterpret_cast<const char*>(digest.data()), digest.size()});
        hashes += '\'';
    }
    return hashes;
}

// Styles are made at run time. Older builds make the worker that lays graphs out of a blob, which
// has the page's policy.
std::string policy_of(std::string_view hashes) {
    return fmt::format(
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'{}; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; frame-ancestors 'none'; "
        "form-action 'self'",
        hashes);
}

// Addresses that never mean the page, whose text a script or a client could take for the answer.
bool is_never_the_page(std::string_view path) {
    const std::string whole = fmt::format("/{}/", path);
    return whole.starts_with("/api/") || whole.starts_with("/analytics/") ||
           whole.find("/static/") != std::string::npos || whole.find("/../") != std::string::npos;
}

}  // namespace

Result<std::shared_ptr<const JaegerUi>> JaegerUi::read(const std::string& directory,
                                                       std::string_view version,
                                                       JaegerUiLimits limits) {
    const std::shared_ptr<JaegerUi> ui(new JaegerUi());
    TRY(ui->read_files(directory, limits));
    TRY(ui->make_page(directory, version));
    TRY(ui->finish_files());
    return std::shared_ptr<const JaegerUi>(ui);
}

Result<void> JaegerUi::read_files(const std::string& directory, const JaegerUiLimits& limits) {
    namespace fs = std::filesystem;
    std::error_code failure;
    size_t entries = 0;
    uint64_t left = limits.bytes_max;
    // Links to directories are not followed.
    for (fs::recursive_directory_iterator entry(directory, failure), end; !failure && entry != end;
         entry.increment(failure)) {
        const fs::path& path = entry->path();
        if (++entries > limits.entries_max)
            return fail(ErrorCode::kResourceExhausted,
                        "{} holds more than {} files: is it a build of Jaeger's UI alone?",
                        directory, limits.entries_max);
        const fs::file_type type = entry->symlink_status(failure).type();
        if (failure) break;
        if (type == fs::file_type::directory) continue;
        if (type != fs::file_type::regular)
            return fail(ErrorCode::kInvalidArgument,
                        "{} is neither a file nor a directory: a build of Jaeger's UI has only "
                        "these",
                        path.string());
        TRY_ASSIGN(std::string bytes, read_file(path, left));
        left -= bytes.size();
        files_[path.lexically_relative(directory).generic_string()].bytes = std::move(bytes);
    }
    if (failure)
        return fail(ErrorCode::kNotFound, "cannot read the directory {}: {}", directory,
                    failure.message());
    return {};
}

Result<void> JaegerUi::make_page(const std::string& directory, std::string_view version) {
    const auto page = files_.find(kPage);
    if (page == files_.end())
        return fail(ErrorCode::kNotFound,
                    "{} holds no {}: it has to be the directory of a build of Jaeger's UI",
                    directory, kPage);
    const auto file = files_.lower_bound("static/");
    if (file == files_.end() || !file->first.starts_with("static/"))
        return fail(ErrorCode::kInvalidArgument,
                    "{} holds no files below static: it has to be a build of Jaeger's UI, not its "
                    "source",
                    directory);
    std::string& text = page->second.bytes;
    if (text.find(R"(data-inject-target="BASE_URL")") == std::string::npos)
        return fail(ErrorCode::kInvalidArgument,
                    "{}/{} is not the page of Jaeger's UI: it has no <base "
                    "data-inject-target=\"BASE_URL\">",
                    directory, kPage);
    fill_in(text, version);
    TRY_ASSIGN(const std::string hashes, hashes_of_scripts(text));
    policy_ = policy_of(hashes);
    return {};
}

Result<void> JaegerUi::finish_files() {
    for (auto& [path, file] : files_) {
        const FileType& type = type_of(path);
        file.content_type = type.content_type;
        file.hash = fmt::format("{:016x}", hash64(file.bytes));
        if (type.shrinks && file.bytes.size() >= kCompressBytesMin) {
            TRY_ASSIGN(file.gzip, http::compress_gzip(file.bytes));
            if (file.gzip.size() >= file.bytes.size()) file.gzip.clear();
            file.gzip.shrink_to_fit();
        }
        bytes_ += path.size() + file.bytes.size() + file.gzip.size();
    }
    return {};
}

http::Response JaegerUi::reply(const http::Request& request, const File& file) const {
    const StaticFile shown = {{}, file.content_type, file.bytes, file.gzip, {}, file.hash};
    return file_reply(request, shown, shared_from_this());
}

Result<http::Response> JaegerUi::answer(const http::Request& request) const {
    const std::string_view whole = request.path;
    if (whole == kRoot.substr(0, kRoot.size() - 1)) {
        // The page finds its files beside itself.
        http::Response response;
        response.status = 308;
        response.headers.add("location", std::string(kRoot));
        return response;
    }
    const auto unknown = fail(ErrorCode::kNotFound, "there is nothing at {}", whole.substr(0, 200));
    if (!whole.starts_with(kRoot)) return unknown;
    const std::string path = decode_percent(whole.substr(kRoot.size()), false);
    if (path != kPage) {
        if (const auto file = files_.find(path); file != files_.end()) {
            http::Response response = reply(request, file->second);
            if (file->second.content_type.starts_with("text/javascript"))
                response.headers.add("content-security-policy", std::string(kScriptPolicy));
            return response;
        }
        if (is_never_the_page(path)) return unknown;
    }
    http::Response response = reply(request, files_.find(kPage)->second);
    // Also where the browser has the page already: it takes the headers over.
    response.headers.add("content-security-policy", policy_);
    return response;
}

}  // namespace spanloom::api

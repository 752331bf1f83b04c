#include "store/documents.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/log.h"
#include "store/segment_bytes.h"
#include "store/store_paths.h"

namespace spanloom::store {
namespace {

constexpr std::string_view kMagic = "SPANDOC1";
constexpr size_t kHeaderBytes = 16;
constexpr const char* kEnding = ".doc";

std::string directory_of(std::string_view tenant, std::string_view kind) {
    return fmt::format("documents/{}/{}", encode_tenant(tenant), encode_tenant(kind));
}

std::string path_of(std::string_view tenant, std::string_view kind, std::string_view name) {
    return directory_of(tenant, kind) + "/" + encode_tenant(name) + kEnding;
}

Result<void> check_name(std::string_view what, std::string_view name) {
    // A name may become three times as long in the file's.
    if (!name.empty() && name.size() <= kDocumentNameBytesMax &&
        encode_tenant(name).size() <= 2 * kDocumentNameBytesMax)
        return {};
    return fail(ErrorCode::kInvalidArgument, "a document's {} has 1 to {} bytes", what,
                kDocumentNameBytesMax);
}

}  // namespace

std::string encode_document(const Document& document) {
    std::string body;
    ByteWriter writer(body);
    writer.text(document.name);
    writer.varint(document.version);
    writer.varint(document.changed_ns);
    writer.text(document.body);
    const uint64_t checksum = hash64(body);
    std::string out(kMagic);
    out.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);
    return out + body;
}

Result<Document> decode_document(std::string_view bytes) {
    const auto damaged = [](const char* why) {
        return fail(ErrorCode::kDataLoss, "the document is damaged: {}", why);
    };
    if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMagic))
        return damaged("it does not begin as a document does");
    uint64_t checksum = 0;
    std::memcpy(&checksum, bytes.data() + kMagic.size(), sizeof checksum);
    const std::string_view body = bytes.substr(kHeaderBytes);
    if (hash64(body) != checksum) return damaged("its checksum is wrong");
    ByteReader reader(body);
    Document document;
    document.name = reader.text();
    document.version = reader.varint();
    document.changed_ns = reader.varint();
    document.body = reader.text();
    if (!reader.ok() || document.version == 0) return damaged("it is not whole");
    return document;
}

Result<Document> Documents::read(const std::string& path) const {
    TRY_ASSIGN(const Blob bytes, io_.read_all(path));
    Result<Document> document = decode_document(bytes.view());
    if (!document) return fail(document.error().code, "{}: {}", path, document.error().message);
    return document;
}

Result<std::vector<Document>> Documents::list(std::string_view tenant,
                                              std::string_view kind) const {
    TRY(check_name("kind", kind));
    std::lock_guard lock(mutex_);
    const std::string directory = directory_of(tenant, kind);
    TRY_ASSIGN(const std::vector<std::string> files, io_.list(directory));
    std::vector<Document> found;
    for (const std::string& file : files) {
        if (!file.ends_with(kEnding)) continue;
        Result<Document> document = read(directory + "/" + file);
        if (!document) {
            log::error("damage: {}", document.error().message);
            continue;
        }
        document->body.clear();
        found.push_back(std::move(*document));
    }
    std::sort(found.begin(), found.end(),
              [](const Document& a, const Document& b) { return a.name < b.name; });
    return found;
}

Result<Document> Documents::get(std::string_view tenant, std::string_view kind,
                                std::string_view name) const {
    TRY(check_name("kind", kind));
    TRY(check_name("name", name));
    std::lock_guard lock(mutex_);
    Result<Document> document = read(path_of(tenant, kind, name));
    if (!document && document.error().code == ErrorCode::kNotFound)
        return fail(ErrorCode::kNotFound, "there is no document '{}' of the kind '{}'", name, kind);
    return document;
}

// 0: there is none. What is damaged can be replaced by those who do not ask for its version.
Result<uint64_t> Documents::version_now(const std::string& path) const {
    const Result<Document> document = read(path);
    if (document) return document->version;
    if (document.error().code == ErrorCode::kNotFound) return 0;
    return tl::unexpected(document.error());
}

Result<void> Documents::check_version(const std::string& path, std::optional<uint64_t> expected,
                                      uint64_t& now) const {
    Result<uint64_t> version = version_now(path);
    if (!version && (expected || version.error().code != ErrorCode::kDataLoss))
        return tl::unexpected(std::move(version).error());
    now = version.value_or(0);
    if (!expected || *expected == now) return {};
    if (now == 0)
        return fail(ErrorCode::kNotFound, "the document is gone; version {} was expected",
                    *expected);
    return fail(ErrorCode::kAlreadyExists,
                "the document is at version {}, not {}: read it again and repeat the change", now,
                *expected);
}

Result<Document> Documents::put(std::string_view tenant, std::string_view kind, Document document,
                                std::optional<uint64_t> expected) {
    TRY(check_name("kind", kind));
    TRY(check_name("name", document.name));
    if (document.body.size() > kDocumentBytesMax)
        return fail(ErrorCode::kInvalidArgument, "a document has at most {} bytes, not {}",
                    kDocumentBytesMax, document.body.size());
    std::lock_guard lock(mutex_);
    const std::string directory = directory_of(tenant, kind);
    const std::string path = path_of(tenant, kind, document.name);
    uint64_t now = 0;
    TRY(check_version(path, expected, now));
    if (now == 0) {
        TRY_ASSIGN(const std::vector<std::string> files, io_.list(directory));
        if (files.size() >= kDocumentsMax)
            return fail(ErrorCode::kResourceExhausted,
                        "there are {} documents of the kind '{}' already: remove some",
                        files.size(), kind);
    }
    document.version = now + 1;
    TRY(io_.make_directory(directory));
    const std::string temporary = path + ".tmp";
    const auto write = [&]() -> Result<void> {
        TRY_ASSIGN(auto file, io_.create(temporary));
        TRY(file->append(encode_document(document)));
        TRY(file->sync());
        TRY(io_.rename(temporary, path));
        TRY(io_.sync_directory(directory));
        TRY(io_.sync_directory(fmt::format("documents/{}", encode_tenant(tenant))));
        TRY(io_.sync_directory("documents"));
        return io_.sync_directory("");
    };
    if (Result<void> written = write(); !written) {
        // Best effort: the next write to this place replaces it.
        (void)io_.remove(temporary);
        return tl::unexpected(std::move(written).error());
    }
    return document;
}

Result<void> Documents::remove(std::string_view tenant, std::string_view kind,
                               std::string_view name, std::optional<uint64_t> expected) {
    TRY(check_name("kind", kind));
    TRY(check_name("name", name));
    std::lock_guard lock(mutex_);
    const std::string path = path_of(tenant, kind, name);
    uint64_t now = 0;
    TRY(check_version(path, expected, now));
    Result<void> removed = io_.remove(path);
    if (!removed && removed.error().code == ErrorCode::kNotFound)
        return fail(ErrorCode::kNotFound, "there is no document '{}' of the kind '{}'", name, kind);
    TRY(std::move(removed));
    return io_.sync_directory(directory_of(tenant, kind));
}

}  // namespace spanloom::store

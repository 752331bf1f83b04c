#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "base/result.h"

namespace spanloom::store {

// One small text (JSON, for its owner to understand) under a name, with the number of its version.
struct Document {
    std::string name;
    uint64_t version = 0;  // 1 for the first; counts up as long as the name exists
    uint64_t changed_ns = 0;
    std::string body;
};

constexpr size_t kDocumentBytesMax = 1U << 20;
constexpr size_t kDocumentsMax = 10'000;  // of one kind and tenant
constexpr size_t kDocumentNameBytesMax = 100;

std::string encode_document(const Document& document);
// Any bytes are safe.
Result<Document> decode_document(std::string_view bytes);

// What people and later stages write down: saved searches, notes, pins, mutes, versions of rules.
// A file each (docs/format/documents.md), changed as a whole and only by those who know the version
// that they change. Thread-safe; reads the disk at each call.
class Documents {
  public:
    explicit Documents(Io& io) : io_(io) {}

    // Names and versions, without bodies, by name. What cannot be read is left out and logged.
    Result<std::vector<Document>> list(std::string_view tenant, std::string_view kind) const;
    Result<Document> get(std::string_view tenant, std::string_view kind,
                         std::string_view name) const;
    // `expected`: the version that is replaced; 0: it must not exist; nullopt: whatever there is.
    // kAlreadyExists where it is another one by now. Durable when it returns.
    Result<Document> put(std::string_view tenant, std::string_view kind, Document document,
                         std::optional<uint64_t> expected);
    Result<void> remove(std::string_view tenant, std::string_view kind, std::string_view name,
                        std::optional<uint64_t> expected);

  private:
    Result<Document> read(const std::string& path) const;
    Result<uint64_t> version_now(const std::string& path) const;
    Result<void> check_version(const std::string& path, std::optional<uint64_t> expected,
                               uint64_t& now) const;

    Io& io_;
    mutable std::mutex mutex_;
};

}  // namespace spanloom::store

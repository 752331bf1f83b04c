// Records of deletions and documents from anywhere: reading them never crashes. An input that
// begins with a small byte edits a good record, checksum made right, in the way of its choice.
#include <cstdint>
#include <cstring>
#include <string>

#include "base/hash.h"
#include "store/deletions.h"
#include "store/documents.h"

namespace {

using namespace spanloom;

void seal(std::string& record) {
    if (record.size() < 16) return;
    const uint64_t checksum = hash64(std::string_view(record).substr(16));
    std::memcpy(record.data() + 8, &checksum, sizeof checksum);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    bool copy_used = false;
    (void)store::decode_deletion(bytes, copy_used);
    (void)store::decode_document(bytes);
    std::string deletion = "SPANDEL100000000";
    deletion += bytes.substr(1);
    seal(deletion);
    if (const auto read = store::decode_deletion(deletion + deletion, copy_used))
        (void)store::encode_deletion(*read);
    std::string document = "SPANDOC100000000";
    document += bytes.substr(1);
    seal(document);
    if (const auto read = store::decode_document(document)) (void)store::encode_document(*read);
    return 0;
}

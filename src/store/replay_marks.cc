#include "store/replay_marks.h"

#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "base/log.h"

namespace spanloom::store {
namespace {

constexpr const char* kMarks = "log/replaying";  // hashes, 8 bytes each, in order
constexpr const char* kSuspect = "log/suspect";  // where the start before the last one ended
constexpr const char* kEnding = ".otlp";

// The last whole number that is not zero; 0: there is none.
uint64_t last_hash(Io& io, const char* path) {
    const Result<Blob> bytes = io.read_all(path);
    if (!bytes || bytes->size() < sizeof(uint64_t)) return 0;
    const size_t whole = bytes->size() / sizeof(uint64_t);
    uint64_t hash = 0;
    std::memcpy(&hash, bytes->view().data() + (whole - 1) * sizeof hash, sizeof hash);
    return hash;
}

std::string_view bytes_of(const uint64_t& hash) {
    return {reinterpret_cast<const char*>(&hash), sizeof hash};
}

std::optional<uint64_t> parse_hash(std::string_view name) {
    if (name.size() != 16 + 5 || !name.ends_with(kEnding)) return std::nullopt;
    uint64_t hash = 0;
    for (const char c : name.substr(0, 16)) {
        const size_t digit = std::string_view("0123456789abcdef").find(c);
        if (digit == std::string_view::npos) return std::nullopt;
        hash = hash << 4 | digit;
    }
    return hash;
}

}  // namespace

void ReplayMarks::open() {
    if (const auto names = io_.list("quarantine")) {
        for (const std::string& name : *names) {
            if (const auto hash = parse_hash(name)) set_aside_.insert(*hash);
        }
    }
    const uint64_t last = last_hash(io_, kMarks);
    const uint64_t before = last_hash(io_, kSuspect);
    if (last != 0 && last == before) poison_ = last;
    // Any of these may fail: then a request that ends the process is found a start later.
    if (last != 0 && poison_ == 0) {
        if (auto suspect = io_.create(kSuspect); suspect && (*suspect)->append(bytes_of(last)))
            (void)(*suspect)->sync();
    }
    if (auto file = io_.create(kMarks)) file_ = std::move(*file);
}

bool ReplayMarks::begin(uint64_t hash, std::string_view bytes) {
    if (hash != 0 && (hash == poison_ || set_aside_.contains(hash))) {
        set_aside(hash, bytes);
        return false;
    }
    // Not synced: what ends this process alone leaves it to be read.
    if (file_ != nullptr && !file_->append(bytes_of(hash))) file_.reset();
    return true;
}

void ReplayMarks::set_aside(uint64_t hash, std::string_view bytes) {
    if (!set_aside_.insert(hash).second) return;
    const std::string path = fmt::format("quarantine/{:016x}{}", hash, kEnding);
    const auto write = [&]() -> Result<void> {
        TRY(io_.make_directory("quarantine"));
        TRY_ASSIGN(auto file, io_.create(path));
        TRY(file->append(bytes));
        TRY(file->sync());
        return io_.sync_directory("quarantine");
    };
    const Result<void> written = write();
    log::error(
        "damage: a request of {} bytes ended the process twice while the log was read, and "
        "is left out from now on; {}",
        bytes.size(), written ? "it lies in " + path : written.error().message);
}

void ReplayMarks::finish() {
    file_.reset();
    for (const char* path : {kMarks, kSuspect}) {
        // A stale mark does no harm: two starts must agree.
        (void)io_.remove(path);
    }
}

}  // namespace spanloom::store

#include "store/log_spares.h"

#include <utility>

#include "base/log.h"
#include "store/log_format.h"

namespace spanloom::store {
namespace {

constexpr std::string_view kEnding = ".spare";

}  // namespace

void LogSpares::add(std::span<const File> files) {
    if (files.empty()) return;
    const Result<DiskSpace> space = io_.space();
    const bool has_room = space && space->free_bytes >= disk_bytes_min_;
    if (!has_room) remove_all();
    std::vector<File> kept;
    for (const File& file : files) {
        bool is_full = false;
        {
            std::lock_guard lock(mutex_);
            is_full = files_.size() + kept.size() >= files_max_;
        }
        const std::string path = file.path + std::string(kEnding);
        if (!file.may_stay || !has_room || is_full || !io_.rename(file.path, path)) {
            remove(file);
        } else {
            kept.push_back({path, file.bytes, true});
        }
    }
    if (kept.empty()) return;
    // Before one is written: else a crash could bring its old name back, with what is new in it.
    if (!io_.sync_directory(kLogDirectory)) {
        for (const File& file : kept)
            remove(file);
        return;
    }
    std::lock_guard lock(mutex_);
    files_.insert(files_.end(), kept.begin(), kept.end());
}

std::optional<LogSpares::File> LogSpares::take() {
    std::lock_guard lock(mutex_);
    if (files_.empty()) return std::nullopt;
    File file = std::move(files_.back());
    files_.pop_back();
    return file;
}

void LogSpares::remove_all() {
    std::vector<File> files;
    {
        std::lock_guard lock(mutex_);
        files.swap(files_);
    }
    for (const File& file : files)
        remove(file);
}

void LogSpares::remove_left() {
    const Result<std::vector<std::string>> names = io_.list(kLogDirectory);
    if (!names) return;
    for (const std::string& name : *names) {
        if (name.ends_with(kEnding)) remove({log_path(name), 0, false});
    }
}

void LogSpares::remove(const File& file) {
    disk_bytes_ -= file.bytes;
    // One that stays is below the manifest's position, or a spare: the next start removes it.
    if (Result<void> removed = io_.remove(file.path); !removed)
        log::warning("{}", removed.error().message);
}

}  // namespace spanloom::store

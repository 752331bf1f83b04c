// Files of decisions: written when an hour ages, named by the same entry of the manifest that puts
// its segments in their new place.
#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "base/log.h"
#include "store/store_engine.h"
#include "store/store_paths.h"

namespace spanloom::store {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;

std::string path_of(const DecisionsFile& file) {
    return beside_path(kDecisions, file.tenant, {file.hour, file.id});
}

}  // namespace

std::vector<DecisionsFile> StoreEngine::decisions(std::string_view tenant) const {
    std::lock_guard lock(manifest_mutex_);
    std::vector<DecisionsFile> files;
    for (const auto& [id, file] : manifest_->state().decisions) {
        if (file.tenant == tenant) files.push_back(file);
    }
    std::sort(files.begin(), files.end(),
              [](const DecisionsFile& a, const DecisionsFile& b) { return a.id > b.id; });
    return files;
}

Result<std::unique_ptr<ReadableFile>> StoreEngine::open_decisions(const DecisionsFile& file) const {
    return io_.open(path_of(file));
}

Result<DecisionsFile> StoreEngine::write_decisions(const AgeingQuestion& question,
                                                   std::string_view bytes) {
    DecisionsFile file;
    file.tenant = question.tenant;
    file.hour = question.hour;
    file.at_ns = clock_.wall_ns();
    file.bytes = bytes.size();
    {
        std::lock_guard lock(manifest_mutex_);
        file.id = manifest_->take_id();
    }
    TRY(write_beside(kDecisions, file.tenant, {file.hour, file.id}, bytes));
    return file;
}

Result<void> StoreEngine::write_beside(const BesideKind& kind, std::string_view tenant,
                                       SegmentName name, std::string_view bytes) {
    const std::string directory = beside_directory(kind, tenant);
    const std::string path = beside_path(kind, tenant, name);
    {
        std::lock_guard lock(manifest_mutex_);
        if (!directories_.contains(directory)) {
            TRY(io_.make_directory(directory));
            TRY(io_.sync_directory(""));
            TRY(io_.sync_directory(kind.area));
            directories_.insert(directory);
        }
    }
    const std::string temporary = path + ".tmp";
    const auto write = [&]() -> Result<void> {
        TRY_ASSIGN(auto out, io_.create(temporary));
        TRY(out->append(bytes));
        TRY(out->sync());
        TRY(io_.rename(temporary, path));
        return io_.sync_directory(directory);
    };
    Result<void> written = write();
    if (written) return {};
    std::lock_guard lock(manifest_mutex_);
    obsolete_.add(temporary, nullptr);
    obsolete_.add(path, nullptr);
    obsolete_.collect(io_);
    return tl::unexpected(std::move(written).error());
}

// After what was to name them has failed or was stopped.
void StoreEngine::forget_unnamed(const FilesBeside& files) {
    std::lock_guard lock(manifest_mutex_);
    std::vector<std::string> unnamed;
    if (files.decisions && !manifest_->state().decisions.contains(files.decisions->id))
        unnamed.push_back(path_of(*files.decisions));
    if (files.counts && !manifest_->state().counts.contains(files.counts->id))
        unnamed.push_back(
            beside_path(kCounts, files.counts->tenant, {files.counts->hour, files.counts->id}));
    for (std::string& path : unnamed) {
        // Where the manifest on disk may name it, it must stay until it is known not to.
        if (manifest_->is_certain()) {
            obsolete_.add(std::move(path), nullptr);
        } else {
            orphans_.push_back(std::move(path));
        }
    }
    obsolete_.collect(io_);
}

Result<bool> StoreEngine::drop_old_decisions() {
    if (options_.decisions_ms == 0) return false;
    const uint64_t now_ns = trusted_now_ns();
    std::lock_guard lock(manifest_mutex_);
    ManifestChange change;
    std::vector<std::string> paths;
    for (const auto& [id, file] : manifest_->state().decisions) {
        if (now_ns < file.at_ns || (now_ns - file.at_ns) / kNsPerMs < options_.decisions_ms)
            continue;
        change.decisions_removed.push_back(id);
        paths.push_back(path_of(file));
    }
    if (paths.empty()) return false;
    TRY(manifest_->commit(change));
    for (std::string& path : paths)
        obsolete_.add(std::move(path), nullptr);
    obsolete_.collect(io_);
    return true;
}

// Files that the manifest does not name are remains, unless `take` takes them in.
Result<void> StoreEngine::take_in_beside(const BesideKind& kind,
                                         const std::function<bool(uint64_t)>& is_named,
                                         const TakeBeside& take) {
    TRY_ASSIGN(const std::vector<std::string> tenants, io_.list(kind.area));
    for (const std::string& name : tenants) {
        const std::optional<std::string> tenant = decode_tenant(name);
        if (!tenant) continue;
        const std::string directory = beside_directory(kind, *tenant);
        TRY_ASSIGN(const std::vector<std::string> files, io_.list(directory));
        for (const std::string& file : files) {
            const std::string path = directory + "/" + file;
            const std::optional<SegmentName> parsed = parse_beside_name(kind, file);
            if (!parsed) {
                if (file.ends_with(".tmp")) obsolete_.add(path, nullptr);
                continue;
            }
            if (is_named(parsed->id)) continue;
            manifest_->avoid_id(parsed->id);
            if (take(path, *tenant, *parsed)) {
                log::warning("{} was not in the manifest and is taken in", path);
            } else {
                obsolete_.add(path, nullptr);
            }
        }
    }
    obsolete_.collect(io_);
    return {};
}

// Where the manifest cannot be trusted they are taken in again: the time at which they were made is
// not known then, the hour's end is near it.
Result<void> StoreEngine::take_in_decisions(bool adopt, ManifestChange& change) {
    const auto is_named = [&](uint64_t id) { return manifest_->state().decisions.contains(id); };
    return take_in_beside(
        kDecisions, is_named,
        [&](const std::string& path, const std::string& tenant, SegmentName name) {
            const Result<std::unique_ptr<ReadableFile>> opened = io_.open(path);
            if (!adopt || !opened) return false;
            change.decisions_added.push_back(
                {name.id, tenant, name.hour, (name.hour + 1) * kNsPerHour, (*opened)->size()});
            return true;
        });
}

}  // namespace spanloom::store

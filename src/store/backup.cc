// Copies of everything, made while the store works, and back.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "base/log.h"
#include "store/store_engine.h"
#include "store/store_paths.h"

namespace spanloom::store {
namespace {

const std::string kManifest = "MANIFEST";
const std::string kMark(kBackupMark);

Result<void> write_whole(Io& io, const std::string& path, std::string_view bytes) {
    TRY_ASSIGN(auto file, io.create(path));
    TRY(file->append(bytes));
    TRY(file->sync());
    return io.sync_directory("");
}

Result<void> check_empty(Io& target) {
    TRY_ASSIGN(const std::vector<std::string> names, target.list(""));
    if (names.empty()) return {};
    return fail(ErrorCode::kAlreadyExists,
                "the directory is not empty (it holds {}): name one that is empty or not there",
                names.front());
}

// Copies files into a place, and makes their names durable at the end. One thread.
class Copier {
  public:
    Copier(Io& from, Io& to) : from_(from), to_(to) {}

    Result<void> file(const std::string& path) {
        const std::string directory = path.substr(0, path.rfind('/'));
        if (std::find(directories_.begin(), directories_.end(), directory) == directories_.end()) {
            TRY(to_.make_directory(directory));
            directories_.push_back(directory);
        }
        TRY_ASSIGN(is_linked_, from_.copy_to(path, to_, path));
        return {};
    }
    bool is_linked() const { return is_linked_; }

    // Files with one of these endings, in this directory and at most `depth` below it.
    Result<uint64_t> tree(const std::string& directory, uint32_t depth, std::string_view ending) {
        uint64_t count = 0;
        TRY_ASSIGN(const std::vector<std::string> names, from_.list(directory));
        for (const std::string& name : names) {
            const std::string path = directory + "/" + name;
            if (depth > 0) {
                TRY_ASSIGN(const uint64_t below, tree(path, depth - 1, ending));
                count += below;
            } else if (name.ends_with(ending)) {
                // Gone since it was listed, or another version by now: either is as good.
                const Result<void> copied = file(path);
                if (!copied && copied.error().code == ErrorCode::kNotFound) continue;
                TRY(copied);
                ++count;
            }
        }
        return count;
    }

    Result<void> finish() {
        for (const std::string& directory : directories_) {
            std::string part = directory;
            while (true) {
                TRY(to_.sync_directory(part));
                if (part.empty()) break;
                const size_t slash = part.rfind('/');
                part = slash == std::string::npos ? "" : part.substr(0, slash);
            }
        }
        return {};
    }

  private:
    Io& from_;
    Io& to_;
    std::vector<std::string> directories_;
    bool is_linked_ = false;
};

Result<uint64_t> copy_small_files(Copier& copier) {
    TRY_ASSIGN(const uint64_t records, copier.tree("deletions", 0, ".del"));
    TRY_ASSIGN(const uint64_t decisions, copier.tree(kDecisions.area, 1, kDecisions.ending));
    TRY_ASSIGN(const uint64_t counts, copier.tree(kCounts.area, 1, kCounts.ending));
    TRY_ASSIGN(const uint64_t documents, copier.tree("documents", 2, ".doc"));
    return records + decisions + counts + documents;
}

std::string describe(const BackupReport& report, const std::string& place, bool is_whole) {
    std::string text;
    JsonWriter json(text);
    json.begin_object();
    json.field("format", 1);
    json.field("at_unix_nano", std::to_string(report.at_ns));
    json.field("place", place);
    json.field("complete", is_whole);
    json.field("segments", report.segments);
    json.field("spans", report.spans);
    json.field("bytes", report.bytes);
    json.end_object();
    return text;
}

}  // namespace

Result<BackupReport> StoreEngine::backup(Io& target, const std::string& place) {
    TRY(check_empty(target));
    TRY(flush());
    BackupReport report;
    report.at_ns = clock_.wall_ns();
    // Noted first: a deletion that comes meanwhile names it.
    const std::string name = fmt::format("{:020}", report.at_ns);
    TRY(documents_.put("default", kBackupKind,
                       {name, 0, report.at_ns, describe(report, place, false)}, std::nullopt));
    ManifestState state;
    std::vector<LiveSegments::Pointer> held;  // their files stay meanwhile
    {
        std::lock_guard lock(manifest_mutex_);
        state = manifest_->state();
        held = live_.on_disk();
    }
    // What cannot be opened is not taken along; the check of the data directory tells of it.
    std::erase_if(state.segments, [&](const auto& entry) {
        return std::none_of(held.begin(), held.end(),
                            [&](const auto& one) { return one->id == entry.first; });
    });
    Copier copier(io_, target);
    for (const LiveSegments::Pointer& one : held) {
        TRY(copier.file(one->path));
        const SegmentInfo& info = one->segment->info();
        report.segments += 1;
        report.spans += info.spans;
        report.bytes += info.bytes;
        if (copier.is_linked()) report.linked_bytes += info.bytes;
    }
    TRY_ASSIGN(report.other_files, copy_small_files(copier));
    // One that retention took meanwhile is not named.
    std::erase_if(state.decisions, [&](const auto& entry) {
        const DecisionsFile& file = entry.second;
        return !target.open(beside_path(kDecisions, file.tenant, {file.hour, file.id}));
    });
    std::erase_if(state.counts, [&](const auto& entry) {
        const CountsFile& file = entry.second;
        return !target.open(beside_path(kCounts, file.tenant, {file.hour, file.id}));
    });
    TRY(copier.finish());
    TRY(write_whole(target, kManifest, encode_manifest(state)));
    const std::string text = describe(report, place, true);
    TRY(write_whole(target, kMark, text + "\n"));
    if (auto noted =
            documents_.put("default", kBackupKind, {name, 0, report.at_ns, text}, std::nullopt);
        !noted)
        log::warning("the backup is complete, but not noted as such: {}", noted.error().message);
    return report;
}

Result<BackupReport> restore_backup(Io& backup, Io& target, RestoreCheck check,
                                    const std::function<void(uint64_t, uint64_t)>& progress) {
    if (!backup.read_all(kMark))
        return fail(ErrorCode::kNotFound,
                    "this is no complete backup: it has no file {}, which is written last", kMark);
    TRY(check_empty(target));
    if (check == RestoreCheck::kVerify) {
        TRY_ASSIGN(const CheckReport found, check_backup(backup, progress));
        if (!found.damage.empty())
            return fail(ErrorCode::kDataLoss,
                        "the backup is damaged in {} places, the first: {}; restore what can be "
                        "read with --no-verify",
                        found.damage.size(), found.damage.front());
    }
    TRY_ASSIGN(const Blob manifest, backup.read_all(kManifest));
    const ManifestReading reading = read_manifest(manifest.view());
    BackupReport report;
    Copier copier(backup, target);
    for (const auto& [id, segment] : reading.state.segments) {
        const Result<void> copied = copier.file(segment.path());
        if (!copied && check == RestoreCheck::kTrust && copied.error().code == ErrorCode::kNotFound)
            continue;
        TRY(copied);
        report.segments += 1;
        report.spans += segment.spans;
        report.bytes += segment.bytes;
        if (copier.is_linked()) report.linked_bytes += segment.bytes;
    }
    TRY_ASSIGN(report.other_files, copy_small_files(copier));
    TRY(copier.finish());
    // The manifest last: without it there is no data directory to start with.
    TRY(write_whole(target, kManifest, manifest.view()));
    return report;
}

}  // namespace spanloom::store

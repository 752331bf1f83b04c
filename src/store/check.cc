#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "otlp/batch.h"
#include "store/log_format.h"
#include "store/manifest.h"
#include "store/store.h"
#include "store/store_paths.h"

namespace spanloom::store {
namespace {

// Walks a data directory that nobody writes. One use.
class Checker {
  public:
    Checker(Io& io, const std::function<void(uint64_t, uint64_t)>& progress)
        : io_(io), progress_(progress) {}

    Result<CheckReport> run() {
        TRY(read_manifest_file());
        TRY(list_log());
        TRY(find_strangers());
        for (const auto& [id, segment] : reading_.state.segments)
            all_bytes_ += segment.bytes;
        for (const LogFile& file : logs_)
            all_bytes_ += file.reader->file_bytes();
        for (const auto& [id, segment] : reading_.state.segments)
            check_segment(segment);
        for (size_t i = 0; i < logs_.size(); ++i)
            check_log(i);
        check_decisions();
        check_counts();
        TRY(check_deletions());
        TRY(check_documents("documents"));
        return std::move(report_);
    }

  private:
    struct LogFile {
        std::string path;
        std::unique_ptr<LogFileReader> reader;
    };

    Result<void> read_manifest_file() {
        Result<Blob> bytes = io_.read_all("MANIFEST");
        if (!bytes && bytes.error().code != ErrorCode::kNotFound)
            return tl::unexpected(std::move(bytes).error());
        if (!bytes) {
            report_.damage.push_back("MANIFEST: missing");
            return {};
        }
        reading_ = read_manifest(bytes->view());
        report_.damage = reading_.damage;
        report_.notes = reading_.notes;
        return {};
    }

    Result<void> list_log() {
        TRY_ASSIGN(const std::vector<std::string> names, io_.list("log"));
        for (const std::string& name : names) {
            if (!parse_log_file_name(name)) continue;
            const std::string path = "log/" + name;
            Result<std::unique_ptr<ReadableFile>> file = io_.open(path);
            if (!file) {
                report_.damage.push_back(file.error().message);
                continue;
            }
            const uint64_t bytes = (*file)->size();
            auto reader = LogFileReader::open(std::move(*file));
            if (reader) {
                if ((*reader)->header_copy_used())
                    report_.damage.push_back(path + ": the header is damaged, its copy was used");
                logs_.push_back({path, std::move(*reader)});
                continue;
            }
            // A crash may come before the first record; then there is nothing to lose.
            auto& where = bytes <= kLogDataOffset ? report_.notes : report_.damage;
            where.push_back(fmt::format("{}: {}", path, reader.error().message));
        }
        std::sort(logs_.begin(), logs_.end(), [](const LogFile& a, const LogFile& b) {
            const LogFileHeader& x = a.reader->header();
            const LogFileHeader& y = b.reader->header();
            return x.start != y.start ? x.start < y.start : x.number < y.number;
        });
        return {};
    }

    Result<void> find_strangers() {
        for (const char* area : {area_name(Area::kRecent), area_name(Area::kKept)}) {
            TRY_ASSIGN(const std::vector<std::string> tenants, io_.list(area));
            for (const std::string& name : tenants)
                TRY(find_strangers_in(fmt::format("{}/{}", area, name)));
        }
        TRY_ASSIGN(const std::vector<std::string> quarantined, io_.list("quarantine"));
        for (const std::string& name : quarantined)
            report_.notes.push_back(fmt::format("quarantine/{}: set aside earlier", name));
        return {};
    }

    Result<void> find_strangers_in(const std::string& directory) {
        TRY_ASSIGN(const std::vector<std::string> files, io_.list(directory));
        for (const std::string& file : files) {
            const auto parsed = parse_segment_name(file);
            if (parsed && reading_.state.segments.contains(parsed->id)) continue;
            report_.notes.push_back(fmt::format(
                "{}/{}: not in the manifest; the next start decides about it", directory, file));
        }
        return {};
    }

    void check_segment(const ManifestSegment& entry) {
        const std::string path = entry.path();
        const auto check = [&]() -> Result<void> {
            TRY_ASSIGN(auto file, io_.open(path));
            report_.segment_bytes += file->size();
            TRY_ASSIGN(auto segment, Segment::open(std::move(file)));
            report_.segments += 1;
            report_.spans += segment->info().spans;
            report_.traces += segment->info().traces;
            return segment->verify();
        };
        if (Result<void> result = check(); !result) {
            const std::string& text = result.error().message;
            report_.damage.push_back(
                text.find(path) == std::string::npos ? fmt::format("{}: {}", path, text) : text);
        }
        advance(entry.bytes);
    }

    // What is in them is for their owner to check.
    void check_decisions() {
        for (const auto& [id, file] : reading_.state.decisions) {
            const std::string path = beside_path(kDecisions, file.tenant, {file.hour, file.id});
            const auto opened = io_.open(path);
            if (!opened) {
                report_.damage.push_back(opened.error().message);
            } else if ((*opened)->size() != file.bytes) {
                report_.damage.push_back(fmt::format("{}: has {} bytes instead of {}", path,
                                                     (*opened)->size(), file.bytes));
            } else {
                report_.decisions += 1;
            }
        }
    }

    void check_counts() {
        for (const auto& [id, file] : reading_.state.counts) {
            const Result<std::string> counts = StoredCounts(file, io_).read();
            if (counts) {
                report_.counts += 1;
            } else {
                report_.damage.push_back(counts.error().message);
            }
        }
    }

    Result<void> check_deletions() {
        TRY_ASSIGN(const std::vector<std::string> names, io_.list("deletions"));
        for (const std::string& name : names) {
            if (!name.ends_with(".del")) continue;
            const std::string path = "deletions/" + name;
            const auto check = [&]() -> Result<void> {
                TRY_ASSIGN(const Blob bytes, io_.read_all(path));
                bool copy_used = false;
                TRY(decode_deletion(bytes.view(), copy_used));
                if (copy_used)
                    report_.damage.push_back(path + ": one of its two copies is damaged");
                report_.deletions += 1;
                return {};
            };
            if (const Result<void> checked = check(); !checked)
                report_.damage.push_back(fmt::format("{}: {}", path, checked.error().message));
        }
        return {};
    }

    // documents/TENANT/KIND/NAME.doc
    Result<void> check_documents(const std::string& directory) {
        TRY_ASSIGN(const std::vector<std::string> names, io_.list(directory));
        for (const std::string& name : names) {
            const std::string path = directory + "/" + name;
            if (name.ends_with(".tmp")) continue;
            if (!name.ends_with(".doc")) {
                if (std::count(path.begin(), path.end(), '/') <= 2) TRY(check_documents(path));
                continue;
            }
            const auto check = [&]() -> Result<void> {
                TRY_ASSIGN(const Blob bytes, io_.read_all(path));
                TRY(decode_document(bytes.view()));
                report_.documents += 1;
                return {};
            };
            if (const Result<void> checked = check(); !checked)
                report_.damage.push_back(fmt::format("{}: {}", path, checked.error().message));
        }
        return {};
    }

    void check_log(size_t index) {
        LogFile& file = logs_[index];
        LogFileReader& reader = *file.reader;
        report_.log_files += 1;
        report_.log_bytes += reader.file_bytes();
        const bool is_last = index + 1 == logs_.size();
        const LogPosition limit =
            is_last ? LogPosition{UINT64_MAX} : logs_[index + 1].reader->header().acknowledged_end;
        LogPosition acknowledged_end = is_last ? reading_.state.log_position : limit;
        LogPosition valid_end = reader.header().start;
        LogRecord record;
        while (reader.next(record)) {
            if (record.position >= limit) break;
            valid_end = record.end;
            acknowledged_end = std::max(acknowledged_end, record.acknowledged_end);
            const Result<Batch> batch = otlp::decode(std::move(record.payload));
            if (!batch) {
                report_.damage.push_back(fmt::format("{}: the request at {} cannot be decoded: {}",
                                                     file.path, record.position.value,
                                                     batch.error().message));
                continue;
            }
            // What segments hold is counted there.
            if (record.position < reading_.state.log_position) continue;
            report_.log_records += 1;
            report_.log_spans += batch->spans.size();
        }
        const auto add = [&](LogPosition position, uint64_t bytes, uint64_t offset) {
            if (position >= limit) return;
            if (position < acknowledged_end) {
                report_.damage.push_back(
                    fmt::format("{}: {} bytes at {} are damaged", file.path, bytes, offset));
            } else {
                report_.notes.push_back(
                    fmt::format("{}: {} bytes at {} were written by a crash and never acknowledged",
                                file.path, bytes, offset));
            }
        };
        for (const LogDamage& damage : reader.damage())
            add(damage.position, damage.bytes, damage.offset);
        if (reader.tail_bytes() > 0 && valid_end < limit)
            add(valid_end, reader.tail_bytes(), reader.file_bytes() - reader.tail_bytes());
        if (!is_last && valid_end < limit && reader.tail_bytes() == 0)
            report_.damage.push_back(fmt::format("{}: {} acknowledged bytes at its end are missing",
                                                 file.path, limit.value - valid_end.value));
        advance(reader.file_bytes());
    }

    void advance(uint64_t bytes) {
        done_bytes_ += bytes;
        if (progress_) progress_(std::min(done_bytes_, all_bytes_), all_bytes_);
    }

    Io& io_;
    const std::function<void(uint64_t, uint64_t)>& progress_;
    CheckReport report_;
    ManifestReading reading_;
    std::vector<LogFile> logs_;
    uint64_t all_bytes_ = 0;
    uint64_t done_bytes_ = 0;
};

}  // namespace

Result<CheckReport> check_backup(Io& io, const std::function<void(uint64_t, uint64_t)>& progress) {
    return Checker(io, progress).run();
}

Result<CheckReport> check_data(Io& io, const std::function<void(uint64_t, uint64_t)>& progress) {
    TRY_ASSIGN(const std::vector<std::string> names, io.list(""));
    const bool is_ours = std::any_of(names.begin(), names.end(), [](const std::string& name) {
        return name == "MANIFEST" || name == "log" || name == "recent";
    });
    if (!is_ours)
        return fail(ErrorCode::kNotFound,
                    "this is no data directory: it has no MANIFEST, log/ or recent/");
    // Held while reading: what a server writes meanwhile would look like damage.
    Result<std::unique_ptr<FileLock>> lock = io.lock("lock");
    if (!lock && lock.error().code == ErrorCode::kAlreadyExists)
        return fail(ErrorCode::kAlreadyExists,
                    "the data directory is in use by another spanloom: {}; stop it first",
                    lock.error().message);
    if (!lock) return tl::unexpected(std::move(lock).error());
    return Checker(io, progress).run();
}

}  // namespace spanloom::store

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "store/log_file.h"

// What a start finds of the log.
namespace spanloom::store {
namespace {

void add_finding(std::vector<std::string>& findings, std::string text) {
    if (findings.size() < kLogFindingsMax) findings.push_back(std::move(text));
}

}  // namespace

Result<void> FileLog::list_files() {
    TRY_ASSIGN(const std::vector<std::string> names, io_.list(kLogDirectory));
    next_ = options_.start_at_least;
    spares_.remove_left();
    for (const std::string& name : names) {
        const std::optional<uint64_t> number = parse_log_file_name(name);
        if (!number) continue;
        next_number_ = std::max(next_number_, *number + 1);
        Result<std::unique_ptr<ReadableFile>> file = io_.open(log_path(name));
        if (!file) {
            add_finding(set_aside_, file.error().message);
            continue;
        }
        const uint64_t bytes = (*file)->size();
        auto reader = LogFileReader::open(std::move(*file));
        if (!reader && reader.error().code == ErrorCode::kUnsupported)
            return fail(ErrorCode::kUnsupported, "cannot read {}: {}; use the newer program",
                        log_path(name), reader.error().message);
        if (!reader) {
            set_aside(name, reader.error().message);
            continue;
        }
        const LogFileHeader& header = (*reader)->header();
        if ((*reader)->header_copy_used() && bytes > kLogDataOffset)
            add_finding(set_aside_, fmt::format("{}: the header is damaged, its copy was used",
                                                log_path(name)));
        if (header.number != *number)
            add_finding(set_aside_, fmt::format("{}: was written as {}, read in its old place",
                                                log_path(name), log_file_name(header.number)));
        File listed{*number, header.number, header.start, {}, header.acknowledged_end, bytes};
        listed.end = (*reader)->find_end();
        files_.push_back(listed);
        counts_->bytes += bytes;
    }
    std::sort(files_.begin(), files_.end(), [](const File& a, const File& b) {
        return std::tie(a.start, a.written_number) < std::tie(b.start, b.written_number);
    });
    for (size_t i = 0; i < files_.size(); ++i) {
        next_ = std::max(next_, files_[i].end);
        // Nothing behind it was ever acknowledged, and all before it was.
        if (i + 1 < files_.size()) files_[i].end = files_[i + 1].acknowledged_end;
    }
    end_ = next_;
    return {};
}

// A file that cannot be read: one that a crash left empty goes, another is kept for people.
void FileLog::set_aside(const std::string& name, const std::string& why) {
    const std::string path = log_path(name);
    const Result<Blob> bytes = io_.read_all(path);
    const bool is_blank = bytes && bytes->view().find_first_not_of('\0') == std::string_view::npos;
    const bool is_unfinished = bytes && bytes->size() <= kLogDataOffset;
    if (is_blank || is_unfinished) {
        add_finding(set_aside_notes_, path + ": empty, a crash came while it was created");
        if (!io_.remove(path)) add_finding(set_aside_notes_, path + ": cannot be removed");
        return;
    }
    add_finding(set_aside_, fmt::format("{}: {}; moved to quarantine/", path, why));
    if (!io_.make_directory("quarantine") || !io_.rename(path, "quarantine/" + name))
        add_finding(set_aside_notes_, path + ": cannot be moved to quarantine/");
}

Result<LogReplay> FileLog::replay(LogPosition from,
                                  const std::function<Result<void>(Batch, LogPosition)>& visit) {
    LogReplay found;
    found.damage = std::move(set_aside_);
    found.notes = std::move(set_aside_notes_);
    if (!files_.empty()) {
        found.first = files_.front().start;
        const LogPosition covered = files_.front().acknowledged_end;
        if (covered > from)
            add_finding(found.damage,
                        fmt::format("the log begins at {}, but segments end at {}: log files are "
                                    "missing",
                                    covered.value, from.value));
    }
    // `visit` may free files: what to read is settled first.
    const size_t count = files_.size();
    std::vector<uint64_t> numbers;
    for (const File& file : files_)
        numbers.push_back(file.number);
    for (size_t i = 0; i < count; ++i) {
        const auto at = std::find_if(files_.begin(), files_.end(),
                                     [&](const File& file) { return file.number == numbers[i]; });
        if (at == files_.end()) continue;
        TRY(replay_file(static_cast<size_t>(at - files_.begin()), from, found, visit));
    }
    return found;
}

Result<void> FileLog::replay_file(size_t index, LogPosition from, LogReplay& found,
                                  const std::function<Result<void>(Batch, LogPosition)>& visit) {
    const File file = files_[index];
    const bool is_last = index + 1 == files_.size();
    const LogPosition limit =
        is_last ? LogPosition{UINT64_MAX} : files_[index + 1].acknowledged_end;
    if (file.end <= from || limit <= from) return {};
    const std::string path = log_path(log_file_name(file.number));
    auto opened = io_.open(path);
    if (!opened) {
        add_finding(found.damage, opened.error().message);
        return {};
    }
    TRY_ASSIGN(auto reader, LogFileReader::open(std::move(*opened)));
    reader->seek(from);
    LogPosition valid_end = std::max(from, file.start);
    LogPosition acknowledged_end = is_last ? LogPosition{} : limit;
    LogRecord record;
    while (reader->next(record)) {
        if (record.position >= limit) break;
        valid_end = record.end;
        acknowledged_end = std::max(acknowledged_end, record.acknowledged_end);
        Result<Batch> batch = otlp::decode(std::move(record.payload), options_.decode);
        if (!batch) {
            found.damaged_bytes += record.end.value - record.position.value;
            add_finding(found.damage,
                        fmt::format("{}: the request at {} cannot be decoded: {}", path,
                                    record.position.value, batch.error().message));
            continue;
        }
        batch->tenant = std::move(record.tenant);
        batch->arrival_ns = record.arrival_ns;
        found.records += 1;
        found.spans += batch->spans.size();
        found.bytes += record.end.value - record.position.value;
        TRY(visit(std::move(*batch), record.end));
    }
    for (const LogDamage& damage : reader->damage()) {
        if (damage.position >= limit) continue;
        if (damage.position >= acknowledged_end) {
            add_finding(found.notes, fmt::format("{}: {} bytes at {} were written by a crash and "
                                                 "never acknowledged",
                                                 path, damage.bytes, damage.offset));
            continue;
        }
        found.damaged_bytes += damage.bytes;
        add_finding(found.damage, fmt::format("{}: {} bytes at {} are damaged and were skipped",
                                              path, damage.bytes, damage.offset));
    }
    if (!is_last && valid_end < limit) {
        const uint64_t lost = limit.value - valid_end.value;
        found.damaged_bytes += lost;
        add_finding(found.damage,
                    fmt::format("{}: {} acknowledged bytes at its end are damaged", path, lost));
    }
    if (!is_last) return {};
    // The next file says up to here everything was valid.
    end_ = valid_end;
    files_[index].end = valid_end;
    if (reader->tail_bytes() > 0)
        add_finding(found.notes,
                    fmt::format("{}: {} bytes at its end were written by a crash and never "
                                "acknowledged",
                                path, reader->tail_bytes()));
    return {};
}

}  // namespace spanloom::store

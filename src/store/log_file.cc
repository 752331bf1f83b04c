#include "store/log_file.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <pthread.h>

#include "base/hash.h"
#include "base/log.h"

namespace spanloom::store {
namespace {

constexpr const char* kDirectory = "log";
constexpr uint32_t kRetryAfterFullQueue_s = 1;
constexpr uint32_t kRetryAfterFullDisk_s = 10;
constexpr uint32_t kRetryAfterReadOnly_s = 60;

std::string path_of(const std::string& name) {
    return std::string(kDirectory) + "/" + name;
}

// Space or descriptors may come back; anything else means that the disk cannot be trusted.
bool may_pass(const Error& error) {
    return error.code == ErrorCode::kResourceExhausted || error.code == ErrorCode::kUnavailable;
}

Error later(std::string text, uint32_t retry_after_s) {
    return Error{ErrorCode::kUnavailable, std::move(text), retry_after_s};
}

void add_finding(std::vector<std::string>& findings, std::string text) {
    if (findings.size() < kLogFindingsMax) findings.push_back(std::move(text));
}

}  // namespace

FileLog::FileLog(FileLogOptions options, Io& io, const Clock& clock, Random& random,
                 MetricsRegistry& metrics)
    : options_(options),
      io_(io),
      clock_(clock),
      random_(random.next()),
      records_total_(metrics.counter("log_records_total", "Requests written to the log.")),
      bytes_total_(metrics.counter("log_bytes_total", "Bytes written to the log.")),
      groups_total_(metrics.counter("log_syncs_total", "Groups of requests written and synced.")),
      sync_us_total_(
          metrics.counter("log_sync_microseconds_total", "Time spent writing and syncing groups.")),
      refused_total_(metrics.counter("log_refused_total",
                                     "Requests refused because the log's queue was full.")),
      failed_total_(metrics.counter("log_failed_total",
                                    "Requests that could not be written, for want of space or "
                                    "because of an error of the disk.")) {
    auto counts = counts_;
    metrics.gauge("log_queue_bytes", "Bytes of requests waiting for their sync.",
                  [counts] { return static_cast<double>(counts->queued_bytes.load()); });
    metrics.gauge("log_queue_limit_bytes", "Limit of log_queue_bytes.",
                  [max = options_.queue_bytes_max] { return static_cast<double>(max); });
    metrics.gauge("log_disk_bytes", "Bytes of the log's files.",
                  [counts] { return static_cast<double>(counts->bytes.load()); });
    metrics.gauge("log_sync_seconds_max", "Longest write and sync of a group since the start.",
                  [counts] { return static_cast<double>(counts->sync_ns_max.load()) * 1e-9; });
    for (const auto& [label, q] : {std::pair<const char*, double>{"0.5", 0.5}, {"0.99", 0.99}})
        metrics.gauge("log_sync_seconds", "Write and sync of the newest groups, by quantile.",
                      [counts, share = q] { return counts->sync_seconds(share); },
                      {{"quantile", label}});
    metrics.gauge("log_read_only", "1 where the log takes nothing any more.",
                  [counts] { return counts->is_read_only.load() ? 1.0 : 0.0; });
}

double FileLog::Counts::sync_seconds(double q) const {
    const size_t count = std::min<size_t>(syncs.load(), kSyncsRemembered);
    if (count == 0) return 0;
    std::vector<uint64_t> sorted;
    for (size_t i = 0; i < count; ++i)
        sorted.push_back(sync_ns[i].load());
    std::sort(sorted.begin(), sorted.end());
    return static_cast<double>(sorted[static_cast<size_t>(q * static_cast<double>(count - 1))]) *
           1e-9;
}

Result<std::unique_ptr<FileLog>> FileLog::open(FileLogOptions options, Io& io, const Clock& clock,
                                               Random& random, MetricsRegistry& metrics) {
    std::unique_ptr<FileLog> log(new FileLog(options, io, clock, random, metrics));
    TRY(io.make_directory(kDirectory));
    TRY(io.sync_directory(""));
    TRY(log->list_files());
    if (options.thread == LogThread::kOwn) {
        log->thread_ = std::thread([raw = log.get()] { raw->run(); });
        pthread_setname_np(log->thread_.native_handle(), "log");
    }
    return log;
}

FileLog::~FileLog() {
    stop();
}

void FileLog::stop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
}

Result<void> FileLog::list_files() {
    TRY_ASSIGN(const std::vector<std::string> names, io_.list(kDirectory));
    next_ = options_.start_at_least;
    for (const std::string& name : names) {
        const std::optional<uint64_t> number = parse_log_file_name(name);
        if (!number) continue;
        next_number_ = std::max(next_number_, *number + 1);
        Result<std::unique_ptr<ReadableFile>> file = io_.open(path_of(name));
        if (!file) {
            add_finding(set_aside_, file.error().message);
            continue;
        }
        const uint64_t bytes = (*file)->size();
        auto reader = LogFileReader::open(std::move(*file));
        if (!reader && reader.error().code == ErrorCode::kUnsupported)
            return fail(ErrorCode::kUnsupported, "cannot read {}: {}; use the newer program",
                        path_of(name), reader.error().message);
        if (!reader) {
            set_aside(name, reader.error().message);
            continue;
        }
        const LogFileHeader& header = (*reader)->header();
        if ((*reader)->header_copy_used() && bytes > kLogDataOffset)
            add_finding(set_aside_,
                        fmt::format("{}: the header is damaged, its copy was used", path_of(name)));
        if (header.number != *number)
            add_finding(set_aside_, fmt::format("{}: was written as {}, read in its old place",
                                                path_of(name), log_file_name(header.number)));
        const uint64_t data = bytes > kLogDataOffset ? bytes - kLogDataOffset : 0;
        files_.push_back({*number,
                          header.number,
                          header.start,
                          {header.start.value + data},
                          header.acknowledged_end,
                          bytes});
        next_ = std::max(next_, files_.back().end);
        counts_->bytes += bytes;
    }
    std::sort(files_.begin(), files_.end(), [](const File& a, const File& b) {
        return std::tie(a.start, a.written_number) < std::tie(b.start, b.written_number);
    });
    end_ = next_;
    return {};
}

// A file that cannot be read: one that a crash left empty goes, another is kept for people.
void FileLog::set_aside(const std::string& name, const std::string& why) {
    const std::string path = path_of(name);
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

void FileLog::append(const Batch& batch, uint64_t bytes_hash,
                     std::function<void(Result<LogPosition>)> done) {
    const uint64_t size = batch.bytes.size();
    if (batch.tenant.empty() || batch.tenant.size() > kTenantBytesMax)
        return done(fail(ErrorCode::kInvalidArgument, "a tenant's name has 1 to {} bytes, not {}",
                         kTenantBytesMax, batch.tenant.size()));
    if (size > kLogPayloadBytesMax)
        return done(fail(ErrorCode::kInvalidArgument, "a request of {} bytes; the log takes {}",
                         size, kLogPayloadBytesMax));
    {
        std::unique_lock lock(mutex_);
        if (is_read_only_) {
            Error error = later(reason_, kRetryAfterReadOnly_s);
            lock.unlock();
            return done(tl::unexpected(std::move(error)));
        }
        const uint64_t queued = counts_->queued_bytes.load();
        // An empty queue takes a request of any size.
        if (stopping_ || (queued > 0 && queued + size > options_.queue_bytes_max)) {
            lock.unlock();
            refused_total_.add();
            return done(tl::unexpected(later("the disk does not keep up: the log's queue is full",
                                             kRetryAfterFullQueue_s)));
        }
        counts_->queued_bytes += size;
        queue_.push_back(
            {batch.bytes, bytes_hash, batch.tenant, batch.arrival_ns, std::move(done)});
    }
    wake_.notify_one();
}

void FileLog::refuse_queued(const Error& error) {
    std::deque<Pending> refused;
    {
        std::lock_guard lock(mutex_);
        refused.swap(queue_);
    }
    refused_total_.add(refused.size());
    for (Pending& one : refused) {
        counts_->queued_bytes -= one.bytes.size();
        one.done(tl::unexpected(error));
    }
}

std::vector<FileLog::Pending> FileLog::take_group() {
    std::vector<Pending> group;
    uint64_t bytes = 0;
    while (!queue_.empty() && (group.empty() || bytes < options_.group_bytes_max)) {
        bytes += queue_.front().bytes.size();
        group.push_back(std::move(queue_.front()));
        queue_.pop_front();
    }
    return group;
}

void FileLog::run() {
    while (true) {
        std::vector<Pending> group;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return stopping_ || next_file_wanted_ || !queue_.empty(); });
            if (queue_.empty() && stopping_) return;
            if (!next_file_wanted_) group = take_group();
        }
        if (group.empty()) {
            change_file();
        } else {
            write_group(std::move(group));
        }
    }
}

void FileLog::begin_next_file() {
    {
        std::lock_guard lock(mutex_);
        next_file_wanted_ = true;
    }
    wake_.notify_one();
    if (options_.thread == LogThread::kCaller) change_file();
}

void FileLog::change_file() {
    {
        std::lock_guard lock(mutex_);
        next_file_wanted_ = false;
        if (is_read_only_) return;
    }
    end_file();
    // Where it cannot be made now, the next group tries again.
    if (Result<void> begun = begin_file(); !begun) log::warning("{}", begun.error().message);
}

void FileLog::write_queued() {
    while (true) {
        std::vector<Pending> group;
        {
            std::lock_guard lock(mutex_);
            if (queue_.empty()) return;
            group = take_group();
        }
        write_group(std::move(group));
    }
}

void FileLog::write_group(std::vector<Pending> group) {
    if (is_read_only_)
        return finish_group(group, tl::unexpected(later(reason_, kRetryAfterReadOnly_s)));
    const uint64_t begin_ns = clock_.monotonic_ns();
    Result<void> result = try_group(group);
    if (!result) {
        end_file();
        if (!may_pass(result.error())) {
            log::warning("{}; the requests are written again to a new log file",
                         result.error().message);
            result = try_group(group);
            if (!result) end_file();
        }
        if (!result && !may_pass(result.error())) become_read_only(result.error());
    }
    const uint64_t took_ns = clock_.monotonic_ns() - begin_ns;
    sync_us_total_.add(took_ns / 1000);
    if (took_ns > counts_->sync_ns_max.load()) counts_->sync_ns_max = took_ns;
    counts_->sync_ns[counts_->syncs.load() % kSyncsRemembered] = took_ns;
    ++counts_->syncs;
    finish_group(group, result);
}

Result<void> FileLog::try_group(const std::vector<Pending>& group) {
    if (file_ == nullptr) TRY(begin_file());
    std::vector<std::string> headers;
    headers.reserve(group.size());
    uint64_t position = next_.value;
    for (const Pending& one : group) {
        headers.push_back(encode_log_record_header({position}, next_, one.arrival_ns, one.tenant,
                                                   static_cast<uint32_t>(one.bytes.size()),
                                                   one.bytes_hash, file_salt_));
        position += log_record_bytes(one.tenant, one.bytes.size());
    }
    std::vector<std::string_view> pieces;
    pieces.reserve(group.size() * 2);
    for (size_t i = 0; i < group.size(); ++i) {
        pieces.push_back(headers[i]);
        pieces.push_back(group[i].bytes.view());
    }
    TRY(file_->append(pieces));
    TRY(file_->sync());
    const uint64_t bytes = position - next_.value;
    counts_->bytes += bytes;
    std::lock_guard lock(mutex_);
    next_.value = position;
    end_ = next_;
    files_.back().end = next_;
    files_.back().bytes += bytes;
    ++syncs_;
    return {};
}

Result<void> FileLog::begin_file() {
    LogFileHeader header;
    header.number = next_number_++;
    header.start = next_;
    header.acknowledged_end = end_;
    header.salt = random_.next();
    const std::string path = path_of(log_file_name(header.number));
    const std::string bytes = encode_log_file_header(header);
    TRY_ASSIGN(auto file, io_.create(path));
    // The header is on disk before any record is, so that a bad one behind a crash has none.
    Result<void> written = file->append(bytes);
    if (written) written = file->sync();
    if (written) written = io_.sync_directory(kDirectory);
    if (!written) {
        file.reset();
        // Best effort: an unfinished file is harmless.
        if (!io_.remove(path)) log::warning("cannot remove the unfinished log file {}", path);
        return written;
    }
    file_ = std::move(file);
    file_salt_ = header.salt;
    counts_->bytes += bytes.size();
    std::lock_guard lock(mutex_);
    files_.push_back({header.number, header.number, header.start, header.start,
                      header.acknowledged_end, bytes.size()});
    is_writing_ = true;
    return {};
}

void FileLog::end_file() {
    file_.reset();
    std::lock_guard lock(mutex_);
    is_writing_ = false;
}

void FileLog::finish_group(std::vector<Pending>& group, const Result<void>& result) {
    uint64_t bytes = 0;
    for (const Pending& one : group)
        bytes += one.bytes.size();
    if (result) {
        groups_total_.add();
        records_total_.add(group.size());
        bytes_total_.add(bytes);
    } else {
        failed_total_.add(group.size());
    }
    uint64_t position = end_.value;
    if (result) {
        for (const Pending& one : group)
            position -= log_record_bytes(one.tenant, one.bytes.size());
    }
    for (Pending& one : group) {
        // Before `done`, which may wait for room further on.
        counts_->queued_bytes -= one.bytes.size();
        position += log_record_bytes(one.tenant, one.bytes.size());
        if (result) {
            one.done(LogPosition{position});
        } else {
            Error error = result.error();
            if (error.retry_after_s == 0) error.retry_after_s = kRetryAfterFullDisk_s;
            error.code = ErrorCode::kUnavailable;
            one.done(tl::unexpected(std::move(error)));
        }
        one = Pending{};
    }
    bool is_full = false;
    {
        std::lock_guard lock(mutex_);
        is_full = is_writing_ && files_.back().bytes >= options_.file_bytes;
    }
    if (is_full) end_file();
}

void FileLog::become_read_only(const Error& error) {
    std::string reason =
        "the log cannot be written any more, so nothing is accepted until the "
        "disk is looked at and the program restarted: " +
        error.message;
    log::error("{}", reason);
    std::lock_guard lock(mutex_);
    is_read_only_ = true;
    counts_->is_read_only = true;
    reason_ = std::move(reason);
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
    const std::string path = path_of(log_file_name(file.number));
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
        const uint64_t position = file.start.value + (damage.offset - kLogDataOffset);
        if (position >= limit.value) continue;
        if (position >= acknowledged_end.value) {
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

void FileLog::free_before(LogPosition position) {
    std::vector<File> freed;
    {
        std::lock_guard lock(mutex_);
        // The newest stays: it shows where the log was, should the manifest lose an entry.
        while (files_.size() > 1 && files_.front().end <= position) {
            freed.push_back(files_.front());
            files_.pop_front();
        }
    }
    for (const File& file : freed) {
        const std::string path = path_of(log_file_name(file.number));
        counts_->bytes -= file.bytes;
        // One that stays is below the manifest's position: the next start removes it.
        if (Result<void> removed = io_.remove(path); !removed)
            log::warning("{}", removed.error().message);
    }
}

LogState FileLog::state() const {
    std::lock_guard lock(mutex_);
    LogState state;
    state.begin = files_.empty() ? end_ : files_.front().acknowledged_end;
    state.end = end_;
    state.bytes = counts_->bytes.load();
    state.queued_bytes = counts_->queued_bytes.load();
    state.syncs = syncs_;
    state.sync_ns_max = counts_->sync_ns_max.load();
    state.is_read_only = is_read_only_;
    state.reason = reason_;
    return state;
}

}  // namespace spanloom::store

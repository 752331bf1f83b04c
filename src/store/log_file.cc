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

constexpr uint32_t kRetryAfterFullQueue_s = 1;
constexpr uint32_t kRetryAfterFullDisk_s = 10;
constexpr uint32_t kRetryAfterReadOnly_s = 60;

// Space or descriptors may come back; anything else means that the disk cannot be trusted.
bool may_pass(const Error& error) {
    return error.code == ErrorCode::kResourceExhausted || error.code == ErrorCode::kUnavailable;
}

Error later(std::string text, uint32_t retry_after_s) {
    return Error{ErrorCode::kUnavailable, std::move(text), retry_after_s};
}

}  // namespace

FileLog::FileLog(FileLogOptions options, Io& io, const Clock& clock, Random& random,
                 MetricsRegistry& metrics)
    : options_(options),
      io_(io),
      clock_(clock),
      random_(random.next()),
      spares_(io, options.spare_files_max, options.spare_disk_bytes_min, counts_->bytes),
      records_total_(metrics.counter("log_records_total", "Requests written to the log.")),
      bytes_total_(metrics.counter("log_bytes_total", "Bytes of requests taken by the log.")),
      written_bytes_total_(metrics.counter("log_written_bytes_total",
                                           "Bytes written to the log, packed or as they came.")),
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
    metrics.gauge("log_disk_bytes", "Bytes of the log's files, those kept for reuse among them.",
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
    TRY(io.make_directory(kLogDirectory));
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

void FileLog::begin_erasing() {
    {
        std::lock_guard lock(mutex_);
        ++erasures_;
        for (File& file : files_)
            file.is_reusable = false;
        next_file_wanted_ = true;
    }
    spares_.remove_all();
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
    uint64_t bytes = 0;
    for (const Pending& one : group)
        bytes += one.bytes.size();
    is_packing_ = options_.packing == LogPacking::kWhereFaster
                      ? packing_.next(bytes)
                      : options_.packing == LogPacking::kAlways;
    const uint64_t begin_ns = clock_.monotonic_ns();
    Result<void> result = try_group(group);
    if (result) packing_.took(bytes, clock_.monotonic_ns() - begin_ns);
    if (!result) {
        {
            std::lock_guard lock(mutex_);
            // What the disk has in it now is not known.
            if (is_writing_) files_.back().is_reusable = false;
        }
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
    std::vector<LogRequest> requests;
    requests.reserve(group.size());
    uint64_t extent = 0;
    for (const Pending& one : group) {
        requests.push_back({one.tenant, one.arrival_ns, one.bytes.view(), one.bytes_hash});
        extent += requests.back().extent();
    }
    TRY_ASSIGN(const uint64_t bytes, write_requests(requests));
    TRY(file_->sync());
    written_bytes_total_.add(bytes);
    std::lock_guard lock(mutex_);
    next_.value += extent;
    end_ = next_;
    File& file = files_.back();
    file.end = next_;
    const uint64_t disk_bytes = file.disk_bytes();
    file.bytes += bytes;
    counts_->bytes += file.disk_bytes() - disk_bytes;
    ++syncs_;
    return {};
}

// How many bytes they took.
Result<uint64_t> FileLog::write_requests(const std::vector<LogRequest>& requests) {
    if (is_packing_) {
        const std::string pack = encode_log_pack(next_, next_, requests, file_salt_);
        if (!pack.empty()) {
            TRY(file_->append(pack));
            return pack.size();
        }
    }
    std::vector<std::string> headers;
    headers.reserve(requests.size());
    std::vector<std::string_view> pieces;
    pieces.reserve(requests.size() * 2);
    uint64_t position = next_.value;
    for (const LogRequest& request : requests) {
        headers.push_back(encode_log_record_header({position}, next_, request, file_salt_));
        pieces.push_back(headers.back());
        pieces.push_back(request.payload);
        position += request.extent();
    }
    TRY(file_->append(pieces));
    return position - next_.value;
}

Result<void> FileLog::begin_file() {
    LogFileHeader header;
    header.number = next_number_++;
    header.start = next_;
    header.acknowledged_end = end_;
    header.salt = random_.next();
    uint64_t erasures = 0;
    {
        std::lock_guard lock(mutex_);
        erasures = erasures_;
    }
    const std::optional<LogSpares::File> spare = spares_.take();
    if (spare) {
        header.former_bytes = spare->bytes;
        Result<std::unique_ptr<WritableFile>> file = begin_file(header, &*spare);
        if (file) file_ = std::move(*file);
        if (!file) log::warning("{}; a new log file is made", file.error().message);
    }
    if (file_ == nullptr) {
        if (spare) counts_->bytes -= spare->bytes;
        header.former_bytes = 0;
        TRY_ASSIGN(file_, begin_file(header, nullptr));
        counts_->bytes += kLogDataOffset;
    }
    file_salt_ = header.salt;
    std::lock_guard lock(mutex_);
    files_.push_back({header.number, header.number, header.start, header.start,
                      header.acknowledged_end, kLogDataOffset, header.former_bytes,
                      erasures == erasures_});
    is_writing_ = true;
    return {};
}

// In a new file, or in this one. The header is on disk before any record is, so that a bad one
// behind a crash has none, and before its name is that of a log file.
Result<std::unique_ptr<WritableFile>> FileLog::begin_file(const LogFileHeader& header,
                                                          const LogSpares::File* spare) {
    const std::string path = log_path(log_file_name(header.number));
    std::string current = spare != nullptr ? spare->path : path;
    const auto begin = [&]() -> Result<std::unique_ptr<WritableFile>> {
        TRY_ASSIGN(auto file, spare != nullptr ? io_.overwrite(current) : io_.create(current));
        TRY(file->append(encode_log_file_header(header)));
        TRY(file->sync());
        if (spare != nullptr) {
            TRY(io_.rename(current, path));
            current = path;
        }
        TRY(io_.sync_directory(kLogDirectory));
        return file;
    };
    Result<std::unique_ptr<WritableFile>> begun = begin();
    // Best effort: an unfinished file is harmless.
    if (!begun && !io_.remove(current))
        log::warning("cannot remove the unfinished log file {}", current);
    return begun;
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
    const auto extent = [](const Pending& one) {
        return LogRequest{one.tenant, 0, one.bytes.view(), 0}.extent();
    };
    if (result) {
        for (const Pending& one : group)
            position -= extent(one);
    }
    for (Pending& one : group) {
        // Before `done`, which may wait for room further on.
        counts_->queued_bytes -= one.bytes.size();
        position += extent(one);
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

void FileLog::free_before(LogPosition position) {
    std::vector<LogSpares::File> freed;
    {
        std::lock_guard lock(mutex_);
        // The newest stays: it shows where the log was, should the manifest lose an entry.
        while (files_.size() > 1 && files_.front().end <= position) {
            const File& file = files_.front();
            freed.push_back(
                {log_path(log_file_name(file.number)), file.disk_bytes(), file.is_reusable});
            files_.pop_front();
        }
    }
    spares_.add(freed);
}

LogState FileLog::state() const {
    std::lock_guard lock(mutex_);
    LogState state;
    state.begin = files_.empty() ? end_ : files_.front().acknowledged_end;
    state.end = end_;
    for (const File& file : files_)
        state.bytes += file.disk_bytes();
    state.written_bytes = written_bytes_total_.value();
    state.queued_bytes = counts_->queued_bytes.load();
    state.syncs = syncs_;
    state.sync_ns_max = counts_->sync_ns_max.load();
    state.is_read_only = is_read_only_;
    state.reason = reason_;
    return state;
}

}  // namespace spanloom::store

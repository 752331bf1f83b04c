#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/io.h"
#include "base/metrics.h"
#include "base/random.h"
#include "store/log.h"
#include "store/log_format.h"
#include "store/log_pack.h"
#include "store/log_spares.h"

namespace spanloom::store {

// kOwn: a thread writes groups as they gather. kCaller: write_queued() does, in its caller's
// thread (tests, and callers that want one thing after the other).
enum class LogThread : uint8_t { kOwn, kCaller };

// Whether groups of requests are packed. The first is for servers, the others for tests and
// benches.
enum class LogPacking : uint8_t { kWhereFaster, kAlways, kNever };

struct FileLogOptions {
    LogThread thread = LogThread::kOwn;
    uint64_t file_bytes = 32U << 20;       // then the next file begins
    uint64_t queue_bytes_max = 64U << 20;  // beyond this appends are refused
    // Written and synced at once. While one group is on its way to the disk, those who sent the one
    // before send again: small ones keep both busy.
    uint64_t group_bytes_max = 4U << 20;
    size_t spare_files_max = 4;  // see LogSpares
    uint64_t spare_disk_bytes_min = 1U << 30;
    LogPacking packing = LogPacking::kWhereFaster;
    LogPosition start_at_least;  // what the manifest says is in segments
    otlp::DecodeLimits decode;   // as the receivers have them
};

// The log as files below log/ (docs/format/log.md). Lives as long as the store; its thread ends
// with it, after what is queued was written.
class FileLog final : public Log {
  public:
    static Result<std::unique_ptr<FileLog>> open(FileLogOptions options, Io& io, const Clock& clock,
                                                 Random& random, MetricsRegistry& metrics);
    ~FileLog() override;
    FileLog(const FileLog&) = delete;
    FileLog& operator=(const FileLog&) = delete;

    void append(const Batch& batch, uint64_t bytes_hash,
                std::function<void(Result<LogPosition>)> done) override;
    Result<LogReplay> replay(LogPosition from,
                             const std::function<Result<void>(Batch, LogPosition)>& visit) override;
    void free_before(LogPosition position) override;
    LogState state() const override;

    // What is appended from now on goes to a new file, so that the one before can be freed as a
    // whole, and is not kept for reuse: nothing of it stays. With LogThread::kOwn soon.
    void begin_erasing();
    // Appends are refused from now on; returns when what is queued was written and acknowledged.
    void stop();
    // Answers everything that waits and is not being written with this error. Any thread.
    void refuse_queued(const Error& error);
    // With LogThread::kCaller: writes and syncs everything queued as one group (or several, beyond
    // group_bytes_max).
    void write_queued();

  private:
    struct Pending {
        Blob bytes;
        uint64_t bytes_hash = 0;
        std::string tenant;
        uint64_t arrival_ns = 0;
        std::function<void(Result<LogPosition>)> done;
    };
    struct File {
        uint64_t number = 0;          // in its name
        uint64_t written_number = 0;  // in its header
        LogPosition start;
        LogPosition end;  // at most; exact where this process wrote it
        LogPosition acknowledged_end;
        uint64_t bytes = 0;
        uint64_t former_bytes = 0;  // had in an earlier use
        bool is_reusable = false;   // written by this process, and nothing went wrong

        uint64_t disk_bytes() const { return std::max(bytes, former_bytes); }
    };
    static constexpr size_t kSyncsRemembered = 512;
    // Read by metrics, which may outlive the log.
    struct Counts {
        std::atomic<uint64_t> queued_bytes = 0;
        std::atomic<uint64_t> bytes = 0;
        std::atomic<uint64_t> sync_ns_max = 0;
        std::atomic<bool> is_read_only = false;
        std::array<std::atomic<uint64_t>, kSyncsRemembered> sync_ns{};  // the newest, in a ring
        std::atomic<uint64_t> syncs = 0;

        double sync_seconds(double q) const;
    };

    FileLog(FileLogOptions options, Io& io, const Clock& clock, Random& random,
            MetricsRegistry& metrics);
    Result<void> list_files();
    void run();
    std::vector<Pending> take_group();
    void write_group(std::vector<Pending> group);
    Result<void> try_group(const std::vector<Pending>& group);
    Result<uint64_t> write_requests(const std::vector<LogRequest>& requests);
    Result<void> begin_file();
    Result<std::unique_ptr<WritableFile>> begin_file(const LogFileHeader& header,
                                                     const LogSpares::File* spare);
    void end_file();
    void change_file();
    void finish_group(std::vector<Pending>& group, const Result<void>& result);
    void become_read_only(const Error& error);
    Result<void> replay_file(size_t index, LogPosition from, LogReplay& found,
                             const std::function<Result<void>(Batch, LogPosition)>& visit);
    void set_aside(const std::string& name, const std::string& why);

    const FileLogOptions options_;
    Io& io_;
    const Clock& clock_;
    SeededRandom random_;
    std::shared_ptr<Counts> counts_ = std::make_shared<Counts>();
    LogSpares spares_;
    Counter& records_total_;
    Counter& bytes_total_;
    Counter& written_bytes_total_;
    Counter& groups_total_;
    Counter& sync_us_total_;
    Counter& refused_total_;
    Counter& failed_total_;

    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Pending> queue_;
    std::deque<File> files_;   // by start
    bool is_writing_ = false;  // the last of files_ is open
    LogPosition end_;
    uint64_t syncs_ = 0;
    bool is_read_only_ = false;
    std::string reason_;
    bool stopping_ = false;
    bool next_file_wanted_ = false;
    uint64_t erasures_ = 0;

    // Used by one thread at a time: the log's, or the caller of write_queued().
    std::unique_ptr<WritableFile> file_;
    uint64_t file_salt_ = 0;
    LogPackingChoice packing_;
    bool is_packing_ = false;  // the group that is being written
    uint64_t next_number_ = 1;
    LogPosition next_;
    std::vector<std::string> set_aside_;  // damage found before the replay that reports it
    std::vector<std::string> set_aside_notes_;
    std::thread thread_;
};

}  // namespace spanloom::store

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/io.h"
#include "base/result.h"
#include "store/log.h"

// The bytes of log files, as docs/format/log.md has them.
namespace spanloom::store {

constexpr uint32_t kLogDataOffset = 8192;
constexpr uint32_t kLogRecordHeaderBytes = 56;
constexpr uint32_t kTenantBytesMax = 64;             // so that its directory's name stays below 255
constexpr uint32_t kLogPayloadBytesMax = 80U << 20;  // above the 64 MiB a request may have
constexpr uint32_t kLogPackBytesMax = 16U << 20;     // of positions that a pack may cover
constexpr size_t kLogFindingsMax = 20;  // sentences kept of each kind; more are only counted

struct LogFileHeader {
    uint64_t number = 0;
    LogPosition start;
    LogPosition acknowledged_end;
    uint64_t salt = 0;
    uint64_t former_bytes = 0;  // the file had, in an earlier use, so many: they may be at its end
};

// The first kLogDataOffset bytes of a file.
std::string encode_log_file_header(const LogFileHeader& header);
// nullopt: neither copy is valid. `copy_used`: the first was damaged.
struct DecodedLogFileHeader {
    LogFileHeader header;
    uint32_t version = 0;
    bool copy_used = false;
};
std::optional<DecodedLogFileHeader> decode_log_file_header(std::string_view bytes);

// A request as the log takes it. The views belong to the caller.
struct LogRequest {
    std::string_view tenant;
    uint64_t arrival_ns = 0;
    std::string_view payload;
    uint64_t payload_hash = 0;

    // How far the position goes on over it.
    uint64_t extent() const { return kLogRecordHeaderBytes + tenant.size() + payload.size(); }
};

// Header of a record and the tenant's name behind it; the payload follows.
std::string encode_log_record_header(LogPosition position, LogPosition acknowledged_end,
                                     const LogRequest& request, uint64_t salt);
// Several requests as one record, packed; "" where that does not pay, or they are too many.
std::string encode_log_pack(LogPosition position, LogPosition acknowledged_end,
                            std::span<const LogRequest> requests, uint64_t salt);

struct LogRecord {
    LogPosition position;
    LogPosition end;
    LogPosition acknowledged_end;  // when it was written
    uint64_t arrival_ns = 0;
    std::string tenant;
    Blob payload;
    uint64_t payload_hash = 0;
};

// Bytes that are no valid record.
struct LogDamage {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    LogPosition position;  // after the last valid record before them
};

// Reads the valid records of one file in order; holds one record or pack at a time. One thread.
class LogFileReader {
  public:
    // kDataLoss: no valid header. kUnsupported: a newer version.
    static Result<std::unique_ptr<LogFileReader>> open(std::unique_ptr<ReadableFile> file);

    const LogFileHeader& header() const { return header_; }
    bool header_copy_used() const { return copy_used_; }
    uint64_t file_bytes() const { return file_->size(); }
    // Goes on from the record at this position (not before the file's start).
    void seek(LogPosition position);
    // False: there are no more.
    bool next(LogRecord& record);
    // Where the records end, by their headers alone. Before the first next().
    LogPosition find_end() const;
    // Damage that a valid record follows.
    const std::vector<LogDamage>& damage() const { return damage_; }
    // Bytes at the end, behind the last valid record, but for what an earlier use left there.
    uint64_t tail_bytes() const;

  private:
    LogFileReader(std::unique_ptr<ReadableFile> file, LogFileHeader header, bool copy_used);
    struct Head {
        bool is_pack = false;
        uint32_t tenant_bytes = 0;
        uint32_t payload_bytes = 0;
        uint64_t extent = 0;  // of positions
        LogPosition position;
        LogPosition acknowledged_end;
        uint64_t arrival_ns = 0;
        uint64_t payload_hash = 0;
        std::string tenant;

        uint64_t payload_offset() const { return kLogRecordHeaderBytes + tenant_bytes; }
        uint64_t bytes() const { return payload_offset() + payload_bytes; }
        LogPosition end() const { return {position.value + extent}; }
    };
    std::optional<Head> decode_head(std::string_view bytes, LogPosition at_least) const;
    std::optional<Head> read_head(uint64_t offset, LogPosition at_least) const;
    std::optional<uint64_t> find_head(uint64_t offset, LogPosition at_least) const;
    bool take(const Head& head, Blob payload);

    std::unique_ptr<ReadableFile> file_;
    LogFileHeader header_;
    bool copy_used_ = false;
    uint64_t offset_ = kLogDataOffset;
    uint64_t valid_offset_ = kLogDataOffset;
    uint64_t torn_bytes_ = 0;  // of a record at the end whose payload is not whole
    LogPosition from_;
    LogPosition valid_end_;
    std::deque<LogRecord> taken_;  // of the newest record or pack, not yet handed out
    std::vector<LogDamage> damage_;
};

constexpr const char* kLogDirectory = "log";
inline std::string log_path(const std::string& name) {
    return std::string(kLogDirectory) + "/" + name;
}
// "0000000042.log" and back.
std::string log_file_name(uint64_t number);
std::optional<uint64_t> parse_log_file_name(std::string_view name);

}  // namespace spanloom::store

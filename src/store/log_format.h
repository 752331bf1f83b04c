#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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
constexpr size_t kLogFindingsMax = 20;  // sentences kept of each kind; more are only counted

struct LogFileHeader {
    uint64_t number = 0;
    LogPosition start;
    LogPosition acknowledged_end;
    uint64_t salt = 0;
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

// Header of a record and the tenant's name behind it; the payload follows.
std::string encode_log_record_header(LogPosition position, LogPosition acknowledged_end,
                                     uint64_t arrival_ns, std::string_view tenant,
                                     uint32_t payload_bytes, uint64_t payload_hash, uint64_t salt);
inline uint64_t log_record_bytes(std::string_view tenant, size_t payload_bytes) {
    return kLogRecordHeaderBytes + tenant.size() + payload_bytes;
}

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
};

// Reads the valid records of one file in order; holds one record at a time. One thread.
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
    // After the last valid record.
    LogPosition valid_end() const { return valid_end_; }
    // Damage that a valid record follows.
    const std::vector<LogDamage>& damage() const { return damage_; }
    // Bytes at the end, behind the last valid record.
    uint64_t tail_bytes() const;

  private:
    LogFileReader(std::unique_ptr<ReadableFile> file, LogFileHeader header, bool copy_used);
    struct Head {
        uint32_t tenant_bytes = 0;
        uint32_t payload_bytes = 0;
        LogPosition acknowledged_end;
        uint64_t arrival_ns = 0;
        uint64_t payload_hash = 0;
        std::string tenant;
    };
    std::optional<Head> read_head(uint64_t offset) const;
    std::optional<uint64_t> find_head(uint64_t offset) const;

    std::unique_ptr<ReadableFile> file_;
    LogFileHeader header_;
    bool copy_used_ = false;
    uint64_t offset_ = kLogDataOffset;
    uint64_t valid_offset_ = kLogDataOffset;
    LogPosition valid_end_;
    std::vector<LogDamage> damage_;
};

// "0000000042.log" and back.
std::string log_file_name(uint64_t number);
std::optional<uint64_t> parse_log_file_name(std::string_view name);

}  // namespace spanloom::store

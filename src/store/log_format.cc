#include "store/log_format.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"

namespace spanloom::store {
namespace {

constexpr std::string_view kFileMagic = "SPANLOG1";
constexpr std::string_view kRecordMagic = "SpLr";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 64;
constexpr size_t kHeaderCopyOffset = 4096;
constexpr size_t kScanBytes = 256 << 10;  // read at once when looking for the next record
constexpr size_t kDamageMax = 1000;       // places remembered of one file

template <typename T>
void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
T get(std::string_view bytes, size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

}  // namespace

std::string encode_log_file_header(const LogFileHeader& header) {
    std::string one(kFileMagic);
    put<uint32_t>(one, kVersion);
    put<uint32_t>(one, kLogDataOffset);
    put<uint64_t>(one, header.number);
    put<uint64_t>(one, header.start.value);
    put<uint64_t>(one, header.acknowledged_end.value);
    put<uint64_t>(one, header.salt);
    put<uint64_t>(one, 0);
    put<uint64_t>(one, hash64(one));
    std::string all = one;
    all.resize(kHeaderCopyOffset);
    all += one;
    all.resize(kLogDataOffset);
    return all;
}

std::optional<DecodedLogFileHeader> decode_log_file_header(std::string_view bytes) {
    for (size_t offset : {size_t{0}, kHeaderCopyOffset}) {
        if (bytes.size() < offset + kHeaderBytes) return std::nullopt;
        const std::string_view one = bytes.substr(offset, kHeaderBytes);
        if (!one.starts_with(kFileMagic)) continue;
        if (get<uint64_t>(one, 56) != hash64(one.substr(0, 56))) continue;
        if (get<uint32_t>(one, 12) != kLogDataOffset && get<uint32_t>(one, 8) <= kVersion) continue;
        DecodedLogFileHeader decoded;
        decoded.version = get<uint32_t>(one, 8);
        decoded.header.number = get<uint64_t>(one, 16);
        decoded.header.start.value = get<uint64_t>(one, 24);
        decoded.header.acknowledged_end.value = get<uint64_t>(one, 32);
        decoded.header.salt = get<uint64_t>(one, 40);
        decoded.copy_used = offset != 0;
        return decoded;
    }
    return std::nullopt;
}

std::string encode_log_record_header(LogPosition position, LogPosition acknowledged_end,
                                     uint64_t arrival_ns, std::string_view tenant,
                                     uint32_t payload_bytes, uint64_t payload_hash, uint64_t salt) {
    std::string out;
    out.reserve(kLogRecordHeaderBytes + tenant.size());
    out += kRecordMagic;
    put<uint16_t>(out, 0);
    put<uint16_t>(out, static_cast<uint16_t>(tenant.size()));
    put<uint32_t>(out, payload_bytes);
    put<uint32_t>(out, 0);
    put<uint64_t>(out, position.value);
    put<uint64_t>(out, acknowledged_end.value);
    put<uint64_t>(out, arrival_ns);
    put<uint64_t>(out, payload_hash);
    // The checksum covers fields and name as they would lie end to end without it.
    out += tenant;
    const uint64_t checksum = hash64(out, salt);
    out.insert(48, reinterpret_cast<const char*>(&checksum), sizeof checksum);
    return out;
}

Result<std::unique_ptr<LogFileReader>> LogFileReader::open(std::unique_ptr<ReadableFile> file) {
    std::string bytes;
    // Block by block, so that an unreadable first one leaves the copy.
    for (size_t offset = 0; offset < kLogDataOffset; offset += kHeaderCopyOffset) {
        const uint64_t have = file->size() > offset ? file->size() - offset : 0;
        const size_t size = std::min<uint64_t>(have, kHeaderCopyOffset);
        Result<Blob> block = file->read(offset, size);
        bytes += block ? std::string(block->view()) : std::string(size, '\0');
    }
    const auto decoded = decode_log_file_header(bytes);
    if (!decoded) return fail(ErrorCode::kDataLoss, "the file has no valid header");
    if (decoded->version > kVersion)
        return fail(ErrorCode::kUnsupported, "the file has version {}, this program reads up to {}",
                    decoded->version, kVersion);
    return std::unique_ptr<LogFileReader>(
        new LogFileReader(std::move(file), decoded->header, decoded->copy_used));
}

LogFileReader::LogFileReader(std::unique_ptr<ReadableFile> file, LogFileHeader header,
                             bool copy_used)
    : file_(std::move(file)), header_(header), copy_used_(copy_used), valid_end_(header.start) {}

void LogFileReader::seek(LogPosition position) {
    if (position <= header_.start) return;
    const uint64_t behind_start = position.value - header_.start.value;
    const uint64_t data_bytes = file_->size() > kLogDataOffset ? file_->size() - kLogDataOffset : 0;
    offset_ = kLogDataOffset + std::min(behind_start, data_bytes);
    valid_offset_ = offset_;
    valid_end_ = position;
}

uint64_t LogFileReader::tail_bytes() const {
    return file_->size() > valid_offset_ ? file_->size() - valid_offset_ : 0;
}

std::optional<LogFileReader::Head> LogFileReader::read_head(uint64_t offset) const {
    const uint64_t left = file_->size() - std::min(offset, file_->size());
    if (left < kLogRecordHeaderBytes) return std::nullopt;
    const size_t size = std::min<uint64_t>(left, kLogRecordHeaderBytes + kTenantBytesMax);
    const Result<Blob> block = file_->read(offset, size);
    if (!block) return std::nullopt;
    const std::string_view bytes = block->view();
    if (!bytes.starts_with(kRecordMagic)) return std::nullopt;
    Head head;
    head.tenant_bytes = get<uint16_t>(bytes, 6);
    head.payload_bytes = get<uint32_t>(bytes, 8);
    if (get<uint16_t>(bytes, 4) != 0) return std::nullopt;
    if (head.tenant_bytes == 0 || head.tenant_bytes > kTenantBytesMax) return std::nullopt;
    if (head.payload_bytes > kLogPayloadBytesMax) return std::nullopt;
    if (kLogRecordHeaderBytes + head.tenant_bytes > bytes.size()) return std::nullopt;
    if (get<uint64_t>(bytes, 16) != header_.start.value + (offset - kLogDataOffset))
        return std::nullopt;
    head.acknowledged_end.value = get<uint64_t>(bytes, 24);
    head.arrival_ns = get<uint64_t>(bytes, 32);
    head.payload_hash = get<uint64_t>(bytes, 40);
    head.tenant = bytes.substr(kLogRecordHeaderBytes, head.tenant_bytes);
    const std::string covered = std::string(bytes.substr(0, 48)) + head.tenant;
    if (hash64(covered, header_.salt) != get<uint64_t>(bytes, 48)) return std::nullopt;
    return head;
}

std::optional<uint64_t> LogFileReader::find_head(uint64_t offset) const {
    while (offset < file_->size()) {
        const size_t size = std::min<uint64_t>(kScanBytes, file_->size() - offset);
        const Result<Blob> block = file_->read(offset, size);
        if (block) {
            const std::string_view bytes = block->view();
            for (size_t at = bytes.find(kRecordMagic); at != std::string_view::npos;
                 at = bytes.find(kRecordMagic, at + 1)) {
                const uint64_t position = header_.start.value + (offset + at - kLogDataOffset);
                const bool has_position = at + 24 <= bytes.size();
                // Most false ones are told apart without another read.
                if (has_position && get<uint64_t>(bytes, at + 16) != position) continue;
                if (read_head(offset + at)) return offset + at;
            }
        }
        if (size <= kRecordMagic.size()) break;
        // The magic may lie across two reads.
        offset += size == kScanBytes ? size - (kRecordMagic.size() - 1) : size;
    }
    return std::nullopt;
}

bool LogFileReader::next(LogRecord& record) {
    while (offset_ < file_->size()) {
        std::optional<Head> head = read_head(offset_);
        if (!head) {
            const std::optional<uint64_t> found = find_head(offset_ + 1);
            offset_ = found.value_or(file_->size());
            continue;
        }
        const uint64_t payload_offset = offset_ + kLogRecordHeaderBytes + head->tenant_bytes;
        const uint64_t end = payload_offset + head->payload_bytes;
        Result<Blob> payload = file_->read(payload_offset, head->payload_bytes);
        if (!payload || hash64(payload->view()) != head->payload_hash) {
            // Its size can be trusted, unless the file ends before it.
            offset_ = end <= file_->size() ? end : offset_ + 1;
            continue;
        }
        if (offset_ > valid_offset_ && damage_.size() < kDamageMax)
            damage_.push_back({valid_offset_, offset_ - valid_offset_});
        record.position.value = header_.start.value + (offset_ - kLogDataOffset);
        record.end.value = header_.start.value + (end - kLogDataOffset);
        record.acknowledged_end = head->acknowledged_end;
        record.arrival_ns = head->arrival_ns;
        record.tenant = std::move(head->tenant);
        record.payload = std::move(*payload);
        record.payload_hash = head->payload_hash;
        offset_ = end;
        valid_offset_ = end;
        valid_end_ = record.end;
        return true;
    }
    return false;
}

std::string log_file_name(uint64_t number) {
    return fmt::format("{:010}.log", number);
}

std::optional<uint64_t> parse_log_file_name(std::string_view name) {
    if (!name.ends_with(".log") || name.size() < 14 || name.size() > 23) return std::nullopt;
    uint64_t number = 0;
    for (char c : name.substr(0, name.size() - 4)) {
        if (c < '0' || c > '9') return std::nullopt;
        number = number * 10 + static_cast<uint64_t>(c - '0');
    }
    return number;
}

}  // namespace spanloom::store

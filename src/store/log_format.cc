#include "store/log_format.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "store/log_pack.h"

namespace spanloom::store {
namespace {

constexpr std::string_view kFileMagic = "SPANLOG1";
constexpr std::string_view kRecordMagic = "SpLr";
constexpr uint32_t kVersion = 2;
constexpr size_t kHeaderBytes = 64;
constexpr size_t kHeaderCopyOffset = 4096;
constexpr size_t kScanBytes = 256 << 10;  // read at once when looking for the next record
constexpr size_t kDamageMax = 1000;       // places remembered of one file

template <typename T>
void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

enum RecordForm : uint16_t { kRequest, kPack };

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
    put<uint64_t>(one, header.former_bytes);
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
        if (decoded.version >= 2) decoded.header.former_bytes = get<uint64_t>(one, 48);
        decoded.copy_used = offset != 0;
        return decoded;
    }
    return std::nullopt;
}

namespace {

// Of a request or a pack, whose form and extent are said; its name goes with it.
std::string encode_head(RecordForm form, LogPosition position, uint32_t extent,
                        LogPosition acknowledged_end, const LogRequest& record, uint64_t salt) {
    std::string out;
    out.reserve(kLogRecordHeaderBytes + record.tenant.size());
    out += kRecordMagic;
    put<uint16_t>(out, form);
    put<uint16_t>(out, static_cast<uint16_t>(record.tenant.size()));
    put<uint32_t>(out, static_cast<uint32_t>(record.payload.size()));
    put<uint32_t>(out, extent);
    put<uint64_t>(out, position.value);
    put<uint64_t>(out, acknowledged_end.value);
    put<uint64_t>(out, record.arrival_ns);
    put<uint64_t>(out, record.payload_hash);
    // The checksum covers fields and name as they would lie end to end without it.
    out += record.tenant;
    const uint64_t checksum = hash64(out, salt);
    out.insert(48, reinterpret_cast<const char*>(&checksum), sizeof checksum);
    return out;
}

}  // namespace

std::string encode_log_record_header(LogPosition position, LogPosition acknowledged_end,
                                     const LogRequest& request, uint64_t salt) {
    return encode_head(kRequest, position, 0, acknowledged_end, request, salt);
}

std::string encode_log_pack(LogPosition position, LogPosition acknowledged_end,
                            std::span<const LogRequest> requests, uint64_t salt) {
    uint64_t extent = 0;
    for (const LogRequest& request : requests)
        extent += request.extent();
    if (extent > kLogPackBytesMax) return {};
    const std::string packed = pack_requests(requests);
    if (packed.empty()) return {};
    const LogRequest pack{"", 0, packed, hash64(packed)};
    return encode_head(kPack, position, static_cast<uint32_t>(extent), acknowledged_end, pack,
                       salt) +
           packed;
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
    from_ = position;
    // Up to the first pack a record lies as far behind the start as its position does.
    const uint64_t behind_start = position.value - header_.start.value;
    const uint64_t data_bytes = file_->size() > kLogDataOffset ? file_->size() - kLogDataOffset : 0;
    offset_ = kLogDataOffset + std::min(behind_start, data_bytes);
    const std::optional<Head> there = read_head(offset_, position);
    valid_end_ = position;
    if (!there || there->position != position) {
        // It is within or behind a pack, or nothing is there: on from the start.
        offset_ = kLogDataOffset;
        valid_end_ = header_.start;
        std::optional<Head> head = read_head(offset_, valid_end_);
        while (head && head->end() <= position) {
            offset_ += head->bytes();
            valid_end_ = head->end();
            head = read_head(offset_, valid_end_);
        }
    }
    valid_offset_ = offset_;
}

LogPosition LogFileReader::find_end() const {
    LogPosition end = header_.start;
    uint64_t offset = kLogDataOffset;
    while (offset < file_->size()) {
        std::optional<Head> head = read_head(offset, end);
        if (!head) {
            const std::optional<uint64_t> found = find_head(offset + 1, end);
            if (!found) break;
            offset = *found;
            continue;
        }
        end = head->end();
        offset += head->bytes();
    }
    return end;
}

uint64_t LogFileReader::tail_bytes() const {
    const uint64_t behind = file_->size() > valid_offset_ ? file_->size() - valid_offset_ : 0;
    if (header_.former_bytes == 0) return behind;
    // What an earlier use left is no tail; a record that begins there and is not whole is one.
    const uint64_t grown =
        file_->size() - std::min(file_->size(), std::max(header_.former_bytes, valid_offset_));
    return std::max(torn_bytes_, grown);
}

std::optional<LogFileReader::Head> LogFileReader::decode_head(std::string_view bytes,
                                                              LogPosition at_least) const {
    if (bytes.size() < kLogRecordHeaderBytes || !bytes.starts_with(kRecordMagic))
        return std::nullopt;
    const auto form = get<uint16_t>(bytes, 4);
    if (form != kRequest && form != kPack) return std::nullopt;
    Head head;
    head.is_pack = form == kPack;
    head.tenant_bytes = get<uint16_t>(bytes, 6);
    head.payload_bytes = get<uint32_t>(bytes, 8);
    head.extent = head.is_pack ? get<uint32_t>(bytes, 12) : head.bytes();
    head.position.value = get<uint64_t>(bytes, 16);
    if ((head.tenant_bytes == 0) != head.is_pack || head.tenant_bytes > kTenantBytesMax)
        return std::nullopt;
    if (head.payload_bytes > kLogPayloadBytesMax || head.position < at_least) return std::nullopt;
    if (head.payload_offset() > bytes.size()) return std::nullopt;
    head.acknowledged_end.value = get<uint64_t>(bytes, 24);
    head.arrival_ns = get<uint64_t>(bytes, 32);
    head.payload_hash = get<uint64_t>(bytes, 40);
    head.tenant = bytes.substr(kLogRecordHeaderBytes, head.tenant_bytes);
    const std::string covered = std::string(bytes.substr(0, 48)) + head.tenant;
    if (hash64(covered, header_.salt) != get<uint64_t>(bytes, 48)) return std::nullopt;
    return head;
}

std::optional<LogFileReader::Head> LogFileReader::read_head(uint64_t offset,
                                                            LogPosition at_least) const {
    const uint64_t left = file_->size() - std::min(offset, file_->size());
    const size_t size = std::min<uint64_t>(left, kLogRecordHeaderBytes + kTenantBytesMax);
    if (size < kLogRecordHeaderBytes) return std::nullopt;
    const Result<Blob> block = file_->read(offset, size);
    if (!block) return std::nullopt;
    return decode_head(block->view(), at_least);
}

std::optional<uint64_t> LogFileReader::find_head(uint64_t offset, LogPosition at_least) const {
    constexpr size_t kHeadBytesMax = kLogRecordHeaderBytes + kTenantBytesMax;
    while (offset < file_->size()) {
        const size_t size = std::min<uint64_t>(kScanBytes, file_->size() - offset);
        const Result<Blob> block = file_->read(offset, size);
        if (block) {
            const std::string_view bytes = block->view();
            for (size_t at = bytes.find(kRecordMagic); at != std::string_view::npos;
                 at = bytes.find(kRecordMagic, at + 1)) {
                if (decode_head(bytes.substr(at), at_least)) return offset + at;
            }
        }
        if (size < kScanBytes) break;
        // A header may lie across two reads.
        offset += size - (kHeadBytesMax - 1);
    }
    return std::nullopt;
}

// Whether the payload is what the header says. Its requests are handed out from then on.
bool LogFileReader::take(const Head& head, Blob payload) {
    if (hash64(payload.view()) != head.payload_hash) return false;
    if (!head.is_pack) {
        if (head.end() <= from_) return true;
        taken_.push_back({head.position, head.end(), head.acknowledged_end, head.arrival_ns,
                          head.tenant, std::move(payload), head.payload_hash});
        return true;
    }
    const Result<UnpackedRequests> unpacked = unpack_requests(payload.view());
    if (!unpacked) return false;
    uint64_t extent = 0;
    for (const LogRequest& request : unpacked->requests)
        extent += request.extent();
    if (extent != head.extent) return false;
    LogPosition position = head.position;
    for (const LogRequest& request : unpacked->requests) {
        const LogPosition end{position.value + request.extent()};
        const size_t at =
            static_cast<size_t>(request.payload.data() - unpacked->bytes.view().data());
        if (end > from_)
            taken_.push_back({position, end, head.acknowledged_end, request.arrival_ns,
                              std::string(request.tenant),
                              unpacked->bytes.slice(at, request.payload.size()),
                              request.payload_hash});
        position = end;
    }
    return true;
}

bool LogFileReader::next(LogRecord& record) {
    while (taken_.empty()) {
        if (offset_ >= file_->size()) return false;
        const std::optional<Head> head = read_head(offset_, valid_end_);
        if (!head) {
            offset_ = find_head(offset_ + 1, valid_end_).value_or(file_->size());
            continue;
        }
        Result<Blob> payload = file_->read(offset_ + head->payload_offset(), head->payload_bytes);
        const uint64_t end = offset_ + head->bytes();
        if (!payload || !take(*head, std::move(*payload))) {
            // Its size can be trusted, unless the file ends before it.
            torn_bytes_ = std::min(end, file_->size()) - valid_offset_;
            offset_ = end <= file_->size() ? end : offset_ + 1;
            continue;
        }
        const bool is_wanted = head->position > from_;
        if (offset_ > valid_offset_ && is_wanted && damage_.size() < kDamageMax)
            damage_.push_back({valid_offset_, offset_ - valid_offset_, valid_end_});
        torn_bytes_ = 0;
        offset_ = end;
        valid_offset_ = end;
        valid_end_ = head->end();
    }
    record = std::move(taken_.front());
    taken_.pop_front();
    return true;
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

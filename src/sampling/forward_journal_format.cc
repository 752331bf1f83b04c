#include "sampling/forward_journal_format.h"

#include <algorithm>

#include "base/hash.h"

namespace spanloom::sampling::journal {
namespace {

constexpr std::string_view kMagic = "SPLFWD1\n";
constexpr size_t kRecordHeaderBytes = 16;
constexpr size_t kPayloadBytesMax = 16U << 20;
// Above the 56 bits of a threshold: the rule's number and 1; 0: it is not known.
constexpr uint32_t kRuleShift = 56;
constexpr uint64_t kThresholdMask = (uint64_t{1} << kRuleShift) - 1;

}  // namespace

std::string encode_header(const Header& header) {
    std::string out(kMagic);
    put(out, header.seed);
    put(out, header.first);
    put(out, hash64(out));
    return out;
}

std::optional<Header> decode_header(std::string_view bytes) {
    if (bytes.size() != kHeaderBytes || !bytes.starts_with(kMagic)) return std::nullopt;
    Fields fields(bytes.substr(kMagic.size()));
    Header header;
    header.seed = fields.number<uint64_t>();
    header.first = fields.number<uint64_t>();
    if (fields.number<uint64_t>() != hash64(bytes.substr(0, kHeaderBytes - 8))) return std::nullopt;
    return header;
}

void put_head(std::string& out, const Head& head) {
    put(out, head.at_ns);
    put(out, head.held_from_ns);
    put(out, head.first);
    put(out, head.count);
}

Head read_head(Fields& fields) {
    Head head;
    head.at_ns = fields.number<uint64_t>();
    head.held_from_ns = fields.number<uint64_t>();
    head.first = fields.number<uint64_t>();
    head.count = fields.number<uint32_t>();
    return head;
}

void put_record(std::string& out, Kind kind, std::string_view payload) {
    put<uint32_t>(out, static_cast<uint32_t>(payload.size()));
    put<uint32_t>(out, kind);
    put<uint64_t>(out, hash64(payload, kind));
    out.append(payload);
}

std::string encode_entries(std::span<const ForwardEntry> entries, const Head& head) {
    std::string payload;
    put_head(payload, head);
    for (const ForwardEntry& entry : entries) {
        const uint64_t rule = entry.rule < ForwardEntry::kRulesMax ? entry.rule + 1 : 0;
        payload.append(entry.id.view());
        put(payload, (entry.threshold & kThresholdMask) | rule << kRuleShift);
        put(payload, static_cast<uint32_t>(entry.spans.size()));
        for (const SpanId& span : entry.spans)
            payload.append(span.view());
    }
    uint64_t arrived_ns = UINT64_MAX;
    for (const ForwardEntry& entry : entries)
        arrived_ns = std::min(arrived_ns, entry.arrived_ns);
    put(payload, arrived_ns);
    return payload;
}

void read_entries(std::string_view payload, const std::function<void(ForwardEntry)>& visit) {
    Fields fields(payload);
    const Head head = read_head(fields);
    std::vector<ForwardEntry> entries;
    for (uint32_t i = 0; i < head.count; ++i) {
        ForwardEntry entry;
        entry.number = head.first + i;
        entry.at_ns = head.at_ns;
        const std::string_view id = fields.bytes(entry.id.bytes.size());
        if (!id.empty()) std::memcpy(entry.id.bytes.data(), id.data(), id.size());
        const auto chosen_by = fields.number<uint64_t>();
        const auto rule = static_cast<uint32_t>(chosen_by >> kRuleShift);
        entry.threshold = chosen_by & kThresholdMask;
        entry.rule = rule == 0 ? ForwardEntry::kNoRule : rule - 1;
        const auto spans = fields.number<uint32_t>();
        const std::string_view list = fields.bytes(size_t{spans} * 8);
        if (fields.is_short()) break;
        entry.spans.resize(spans);
        for (uint32_t span = 0; span < spans; ++span)
            std::memcpy(entry.spans[span].bytes.data(), list.data() + size_t{span} * 8, 8);
        entries.push_back(std::move(entry));
    }
    // 0 where it is missing.
    const auto arrived_ns = fields.number<uint64_t>();
    for (ForwardEntry& entry : entries) {
        entry.arrived_ns = arrived_ns;
        visit(std::move(entry));
    }
}

void read_dropped(std::string_view payload, const std::function<void(uint64_t hash)>& visit) {
    Fields fields(payload);
    const Head head = read_head(fields);
    for (uint32_t i = 0; i < head.count; ++i) {
        const auto hash = fields.number<uint64_t>();
        if (fields.is_short()) return;
        visit(hash);
    }
}

std::string encode_sent(uint64_t first, std::span<const uint32_t> rows, const ForwardEnd& end) {
    std::string payload;
    put(payload, first);
    put(payload, static_cast<uint32_t>(rows.size()));
    for (const uint32_t of_entry : rows)
        put(payload, of_entry);
    put(payload, end.at_ns);
    put(payload, static_cast<uint8_t>(end.fate));
    return payload;
}

void read_sent(std::string_view payload,
               const std::function<void(uint64_t first, std::span<const uint32_t> rows,
                                        const ForwardEnd& end)>& visit) {
    Fields fields(payload);
    const auto first = fields.number<uint64_t>();
    std::vector<uint32_t> rows(std::min<size_t>(fields.number<uint32_t>(), payload.size() / 4));
    for (uint32_t& of_entry : rows)
        of_entry = fields.number<uint32_t>();
    ForwardEnd end;
    end.at_ns = fields.number<uint64_t>();
    const auto fate = fields.number<uint8_t>();
    if (fate <= static_cast<uint8_t>(ForwardFate::kLast)) end.fate = static_cast<ForwardFate>(fate);
    visit(first, rows, end);
}

std::string encode_rules(const std::vector<std::string>& names) {
    std::string payload;
    put(payload, static_cast<uint32_t>(names.size()));
    for (const std::string& name : names) {
        put(payload, static_cast<uint32_t>(name.size()));
        payload.append(name);
    }
    return payload;
}

std::vector<std::string> read_rules(std::string_view payload) {
    Fields fields(payload);
    std::vector<std::string> names;
    const auto count = std::min(fields.number<uint32_t>(), ForwardEntry::kRulesMax);
    for (uint32_t i = 0; i < count; ++i)
        names.emplace_back(fields.bytes(fields.number<uint32_t>()));
    return names;
}

Result<uint64_t> read_records(
    const ReadableFile& file,
    const std::function<void(uint32_t kind, std::string_view payload)>& record) {
    uint64_t at = kHeaderBytes;
    while (at + kRecordHeaderBytes <= file.size()) {
        TRY_ASSIGN(const Blob head, file.read(at, kRecordHeaderBytes));
        Fields fields(head.view());
        const auto size = fields.number<uint32_t>();
        const auto kind = fields.number<uint32_t>();
        const auto checksum = fields.number<uint64_t>();
        if (size > kPayloadBytesMax || at + kRecordHeaderBytes + size > file.size()) break;
        TRY_ASSIGN(const Blob payload, file.read(at + kRecordHeaderBytes, size));
        if (hash64(payload.view(), kind) != checksum) break;
        record(kind, payload.view());
        at += kRecordHeaderBytes + size;
    }
    return at;
}

}  // namespace spanloom::sampling::journal

#include "sampling/decision_log.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/hash.h"
#include "otlp/tracestate.h"
#include "store/column.h"
#include "store/segment_bytes.h"
#include "store/store_paths.h"

namespace spanloom::sampling {
namespace {

using store::ByteReader;
using store::ByteWriter;

constexpr std::string_view kMagic = "SPANDEC1";
constexpr size_t kTrailerBytes = 28;
constexpr size_t kChecksumBytes = 4;
constexpr size_t kRecordsPerBlock = 4096;
constexpr uint32_t kFooterBytesMax = 64U << 20;
constexpr int kZstdLevel = 1;

// A number by its first six bits: buckets a thirty-second of their lower bound wide at most.
uint64_t bucket_of(uint64_t value) {
    if (value < 64) return value;
    const auto shift = static_cast<uint64_t>(std::bit_width(value)) - 6;
    return 32 * shift + (value >> shift);
}

// The middle of a bucket.
uint64_t value_of_bucket(uint64_t bucket) {
    if (bucket < 64) return bucket;
    const uint64_t shift = std::min<uint64_t>(bucket / 32 - 1, 58);
    const uint64_t low = (32 + bucket % 32) << shift;
    return low + (uint64_t{1} << shift) / 2;
}

uint32_t checksum(std::string_view body, uint64_t offset) {
    return static_cast<uint32_t>(hash64(body, offset));
}

tl::unexpected<Error> damaged(std::string_view what) {
    return fail(ErrorCode::kDataLoss, "file of decisions: {}", what);
}

}  // namespace

uint64_t trace_hash(const TraceId& id, uint64_t hash_key) {
    return hash64(id.view(), hash_key);
}

// -------------------------------------------------------------------------------------- writing

uint32_t DecisionLogWriter::rule(DecisionFacts::Rule rule) {
    const auto at = std::find(facts_.rules.begin(), facts_.rules.end(), rule);
    if (at == facts_.rules.end()) {
        facts_.rules.push_back(std::move(rule));
        return static_cast<uint32_t>(facts_.rules.size() - 1);
    }
    return static_cast<uint32_t>(at - facts_.rules.begin());
}

void DecisionLogWriter::add(const TraceId& id, const Decision& decision) {
    records_.push_back({trace_hash(id, facts_.hash_key), decision});
}

std::string DecisionLogWriter::encode_block(size_t from, size_t to) const {
    std::vector<int64_t> hashes;
    std::vector<int64_t> outcomes;
    std::vector<int64_t> spans;
    std::vector<int64_t> bytes;
    std::vector<int64_t> durations;
    uint64_t before = records_[from].hash;
    for (size_t i = from; i < to; ++i) {
        const Decision& decision = records_[i].decision;
        hashes.push_back(static_cast<int64_t>(records_[i].hash - before));
        before = records_[i].hash;
        const auto at = std::lower_bound(outcomes_.begin(), outcomes_.end(), decision.outcome);
        outcomes.push_back(at - outcomes_.begin());
        spans.push_back(static_cast<int64_t>(uint64_t{decision.spans} * 2 + decision.has_error));
        bytes.push_back(static_cast<int64_t>(bucket_of(decision.bytes)));
        durations.push_back(static_cast<int64_t>(bucket_of(decision.duration_ns)));
    }
    std::string body;
    ByteWriter writer(body);
    for (const std::vector<int64_t>* column : {&hashes, &outcomes, &spans, &bytes, &durations}) {
        std::string part;
        store::encode_integers(*column, kZstdLevel, part);
        writer.text(part);
    }
    return body;
}

std::string DecisionLogWriter::finish() {
    std::sort(records_.begin(), records_.end(),
              [](const Record& a, const Record& b) { return a.hash < b.hash; });
    for (const Record& record : records_)
        outcomes_.push_back(record.decision.outcome);
    std::sort(outcomes_.begin(), outcomes_.end());
    outcomes_.erase(std::unique(outcomes_.begin(), outcomes_.end()), outcomes_.end());
    std::string out(kMagic);
    std::string footer;
    ByteWriter writer(footer);
    writer.u64(facts_.hash_key);
    writer.varint(facts_.hour);
    writer.u64(facts_.at_ns);
    writer.text(facts_.source);
    writer.varint(facts_.version);
    writer.text(facts_.rules_json);
    writer.varint(facts_.rules.size());
    for (const DecisionFacts::Rule& rule : facts_.rules) {
        writer.text(rule.name);
        writer.varint(rule.for_ms);
    }
    writer.varint(outcomes_.size());
    for (const Outcome& outcome : outcomes_) {
        writer.varint(outcome.rule == Outcome::kNoRule ? 0 : outcome.rule + 1);
        writer.u8(static_cast<uint8_t>(outcome.fate));
        writer.varint(outcome.threshold);
    }
    writer.varint(records_.size());
    for (size_t from = 0; from < records_.size(); from += kRecordsPerBlock) {
        const std::string body =
            encode_block(from, std::min(from + kRecordsPerBlock, records_.size()));
        writer.u64(records_[from].hash);
        writer.varint(body.size());
        const uint64_t offset = out.size();
        out += body;
        ByteWriter(out).u32(checksum(body, offset));
    }
    std::string packed;
    store::encode_bytes(footer, kZstdLevel, packed);
    const uint64_t offset = out.size();
    out += packed;
    std::string trailer;
    ByteWriter(trailer).u64(offset);
    ByteWriter(trailer).u32(static_cast<uint32_t>(packed.size()));
    ByteWriter(trailer).u64(hash64(trailer, hash64(packed)));
    return out + trailer + std::string(kMagic);
}

// -------------------------------------------------------------------------------------- reading

struct DecisionLogReader::Columns {
    std::vector<uint64_t> hashes;
    std::vector<int64_t> outcomes;
    std::vector<int64_t> spans;
    std::vector<int64_t> bytes;
    std::vector<int64_t> durations;
};

Result<DecisionLogReader> DecisionLogReader::open(std::unique_ptr<ReadableFile> file) {
    DecisionLogReader reader;
    reader.file_ = std::move(file);
    const uint64_t size = reader.file_->size();
    if (size < kMagic.size() + kTrailerBytes) return damaged("it is too short");
    TRY_ASSIGN(const Blob bytes, reader.file_->read(size - kTrailerBytes, kTrailerBytes));
    const std::string_view trailer = bytes.view();
    if (trailer.substr(20) != kMagic) return damaged("it does not end as it should");
    ByteReader numbers(trailer);
    const uint64_t offset = numbers.u64();
    const uint32_t footer_bytes = numbers.u32();
    const uint64_t expected = numbers.u64();
    const bool lies_within = offset >= kMagic.size() && footer_bytes <= kFooterBytesMax &&
                             offset + footer_bytes == size - kTrailerBytes;
    if (!lies_within) return damaged("its footer lies outside");
    TRY_ASSIGN(const Blob footer, reader.file_->read(offset, footer_bytes));
    if (hash64(trailer.substr(0, 12), hash64(footer.view())) != expected)
        return damaged("its footer is damaged");
    TRY_ASSIGN(const Blob body, store::decode_bytes(footer.view()));
    TRY(reader.read_footer(body.view(), offset));
    return reader;
}

Result<void> DecisionLogReader::read_footer(std::string_view body, uint64_t end) {
    ByteReader reader(body);
    facts_.hash_key = reader.u64();
    facts_.hour = reader.varint();
    facts_.at_ns = reader.u64();
    facts_.source = reader.text();
    facts_.version = reader.varint();
    facts_.rules_json = reader.text();
    const uint64_t rules = reader.varint_max(reader.rest().size());
    for (uint64_t i = 0; i < rules && reader.ok(); ++i) {
        facts_.rules.emplace_back();
        facts_.rules.back().name = reader.text();
        facts_.rules.back().for_ms = reader.varint();
    }
    const uint64_t outcomes = reader.varint_max(reader.rest().size());
    for (uint64_t i = 0; i < outcomes && reader.ok(); ++i) {
        Outcome outcome;
        const uint64_t rule = reader.varint_max(rules);
        if (rule > 0) outcome.rule = static_cast<uint32_t>(rule - 1);
        const uint8_t fate = reader.u8();
        if (fate > static_cast<uint8_t>(Fate::kThinned)) return damaged("a fate is unknown");
        outcome.fate = static_cast<Fate>(fate);
        outcome.threshold = reader.varint_max(otlp::kThresholdEnd);
        outcomes_.push_back(outcome);
    }
    records_ = reader.varint();
    uint64_t left = records_;
    uint64_t offset = kMagic.size();
    while (left > 0 && reader.ok()) {
        Block block;
        block.first_hash = reader.u64();
        block.offset = offset;
        block.bytes = static_cast<uint32_t>(reader.varint_max(end));
        block.records = static_cast<uint32_t>(std::min<uint64_t>(left, kRecordsPerBlock));
        if (block.bytes + kChecksumBytes > end - offset) return damaged("a block lies outside");
        if (!blocks_.empty() && block.first_hash < blocks_.back().first_hash)
            return damaged("its blocks are not in order");
        offset += block.bytes + kChecksumBytes;
        left -= block.records;
        blocks_.push_back(block);
    }
    if (!reader.ok() || !reader.at_end() || offset != end)
        return damaged("its footer has a wrong length");
    return {};
}

Result<DecisionLogReader::Columns> DecisionLogReader::read_block(const Block& block) const {
    TRY_ASSIGN(const Blob bytes, file_->read(block.offset, block.bytes + kChecksumBytes));
    const std::string_view body = bytes.view().substr(0, block.bytes);
    ByteReader tail(bytes.view().substr(block.bytes));
    if (tail.u32() != checksum(body, block.offset)) return damaged("a block is damaged");
    ByteReader reader(body);
    Columns columns;
    std::vector<int64_t> steps;
    TRY(store::decode_integers(reader.text(), block.records, steps));
    for (std::vector<int64_t>* column :
         {&columns.outcomes, &columns.spans, &columns.bytes, &columns.durations})
        TRY(store::decode_integers(reader.text(), block.records, *column));
    if (!reader.ok()) return damaged("a block ends early");
    uint64_t hash = block.first_hash;
    for (const int64_t step : steps)
        columns.hashes.push_back(hash += static_cast<uint64_t>(step));
    for (const int64_t outcome : columns.outcomes) {
        if (outcome < 0 || static_cast<uint64_t>(outcome) >= outcomes_.size())
            return damaged("an outcome is unknown");
    }
    return columns;
}

Decision DecisionLogReader::decision_of(const Columns& columns, size_t at) const {
    Decision decision;
    decision.outcome = outcomes_[static_cast<size_t>(columns.outcomes[at])];
    const auto spans = static_cast<uint64_t>(columns.spans[at]);
    decision.spans = static_cast<uint32_t>(spans / 2);
    decision.has_error = spans % 2 != 0;
    decision.bytes = value_of_bucket(static_cast<uint64_t>(columns.bytes[at]));
    decision.duration_ns = value_of_bucket(static_cast<uint64_t>(columns.durations[at]));
    return decision;
}

Result<std::vector<Decision>> DecisionLogReader::find(const TraceId& id) const {
    std::vector<Decision> found;
    TRY(find_all({trace_hash(id, facts_.hash_key)},
                 [&](size_t, const Decision& decision) { found.push_back(decision); }));
    return found;
}

Result<void> DecisionLogReader::find_all(
    const std::vector<uint64_t>& hashes,
    const std::function<void(size_t, const Decision&)>& visit) const {
    size_t next = 0;
    for (size_t number = 0; number < blocks_.size() && next < hashes.size(); ++number) {
        // A hash may be the last of one block and the first of the next.
        const bool is_last = number + 1 == blocks_.size();
        const uint64_t end = is_last ? UINT64_MAX : blocks_[number + 1].first_hash;
        while (next < hashes.size() && hashes[next] < blocks_[number].first_hash)
            ++next;
        if (next == hashes.size() || hashes[next] > end) continue;
        TRY_ASSIGN(const Columns columns, read_block(blocks_[number]));
        size_t at = 0;
        for (size_t i = next; i < hashes.size() && hashes[i] <= end; ++i) {
            while (at < columns.hashes.size() && columns.hashes[at] < hashes[i])
                ++at;
            for (size_t same = at;
                 same < columns.hashes.size() && columns.hashes[same] == hashes[i]; ++same)
                visit(i, decision_of(columns, same));
        }
    }
    return {};
}

Result<void> DecisionLogReader::verify() const {
    for (const Block& block : blocks_)
        TRY(read_block(block));
    return {};
}

Result<std::vector<std::string>> check_decisions(Io& io) {
    std::vector<std::string> damage;
    const std::string area = store::kDecisions.area;
    TRY_ASSIGN(const std::vector<std::string> tenants, io.list(area));
    for (const std::string& tenant : tenants) {
        TRY_ASSIGN(const std::vector<std::string> files, io.list(area + "/" + tenant));
        for (const std::string& file : files) {
            if (!store::parse_beside_name(store::kDecisions, file)) continue;
            const std::string path = area + "/" + tenant + "/" + file;
            const auto check = [&]() -> Result<void> {
                TRY_ASSIGN(auto opened, io.open(path));
                TRY_ASSIGN(const DecisionLogReader log, DecisionLogReader::open(std::move(opened)));
                return log.verify();
            };
            if (const Result<void> checked = check(); !checked)
                damage.push_back(path + ": " + checked.error().message);
        }
    }
    return damage;
}

}  // namespace spanloom::sampling

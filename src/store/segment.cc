#include "store/segment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>

#include "base/hash.h"
#include "store/column.h"
#include "store/segment_bytes.h"
#include "store/segment_filter.h"
#include "store/segment_footer.h"
#include "store/segment_layout.h"
#include "store/segment_rows.h"
#include "store/segment_wire.h"

namespace spanloom::store {
namespace {

// Decoded pieces that a segment keeps, newest first.
constexpr size_t kChunksKept = 64;  // of the fragment table, 48 kB each
constexpr size_t kOrdersKept = 8;   // row groups' attribute orders, 16 kB each

struct Chunk {
    std::vector<TraceFragment> fragments;
};
struct TraceIndex {
    std::vector<uint32_t> hashes;  // ascending
    std::vector<uint32_t> fragments;
};
// The distinct orders of attributes of one table, and the way back from a column to them.
struct Orders {
    std::shared_ptr<const TextList> texts;
    struct Use {
        uint32_t order;
        uint32_t times;
    };
    std::vector<uint32_t> first_use;  // per column, and the end
    std::vector<Use> uses;
};
using Codes = std::vector<uint32_t>;

template <typename T>
class Recent {
  public:
    explicit Recent(size_t limit) : limit_(limit) {}
    std::shared_ptr<const T> find(uint64_t key) {
        for (auto& entry : entries_)
            if (entry.first == key) return entry.second;
        return nullptr;
    }
    void keep(uint64_t key, std::shared_ptr<const T> value) {
        if (entries_.size() == limit_) entries_.erase(entries_.begin());
        entries_.emplace_back(key, std::move(value));
    }

  private:
    size_t limit_;
    std::vector<std::pair<uint64_t, std::shared_ptr<const T>>> entries_;
};

bool drops_zeros(uint32_t column) {
    switch (column) {
        case kColumnKind:
        case kColumnStatus:
        case kColumnFlags:
        case kColumnDroppedAttributes:
        case kColumnDroppedEvents:
        case kColumnDroppedLinks:
        case kColumnEventDropped:
        case kColumnLinkFlags:
        case kColumnLinkDropped:
            return true;
        default:
            return false;
    }
}

uint32_t fixed_width(uint32_t column) {
    return column == kColumnLinkTraceId ? 16 : 8;
}

// Leaves only the values that keep(i) likes.
template <typename Keep>
void filter_block(ColumnBlock& block, Keep keep) {
    const size_t count = block.size();
    std::vector<uint32_t> rows;
    size_t to = 0;
    const auto move = [&](size_t i) {
        if (!block.integers.empty()) block.integers[to] = block.integers[i];
        if (!block.codes.empty()) block.codes[to] = block.codes[i];
        ++to;
    };
    for (size_t i = 0; i < count; ++i) {
        if (!keep(i)) continue;
        rows.push_back(static_cast<uint32_t>(i));
        move(i);
    }
    if (to == count && count > 0) return;
    if (!block.integers.empty()) block.integers.resize(to);
    if (!block.codes.empty()) block.codes.resize(to);
    block.rows = std::move(rows);
    block.dense = false;
}

class FileSegment final : public Segment {
  public:
    FileSegment(Blob image, std::unique_ptr<ReadableFile> file)
        : image_(std::move(image)), file_(std::move(file)) {}

    Result<void> load();

    const SegmentInfo& info() const override { return footer_.info; }
    size_t memory_bytes() const override;
    uint32_t fragment_count() const override { return static_cast<uint32_t>(footer_.info.traces); }
    Result<TraceFragment> fragment(uint32_t index) const override;
    Result<std::optional<TraceFragment>> find(const TraceId& id) const override;
    std::span<const RowGroup> row_groups() const override { return footer_.groups; }
    std::span<const ColumnKey> columns() const override { return footer_.columns; }
    Result<std::shared_ptr<const ColumnBlock>> read(uint32_t column,
                                                    uint32_t row_group) const override;
    bool has_values(uint32_t column) const override { return has_values_[column]; }
    uint32_t resource_count() const override {
        return static_cast<uint32_t>(footer_.resources.size());
    }
    std::string_view resource_message(uint32_t index) const override {
        return footer_.resources[index].message;
    }
    std::string_view resource_schema_url(uint32_t index) const override {
        return footer_.resources[index].schema_url;
    }
    uint32_t scope_count() const override { return static_cast<uint32_t>(footer_.scopes.size()); }
    std::string_view scope_message(uint32_t index) const override {
        return footer_.scopes[index].message;
    }
    std::string_view scope_schema_url(uint32_t index) const override {
        return footer_.scopes[index].schema_url;
    }
    uint32_t scope_resource(uint32_t index) const override {
        return footer_.scopes[index].resource;
    }
    bool may_contain(const Field& field, const Value& value) const override;
    Result<std::string_view> rollup() const override;
    Result<void> verify() const override;

  private:
    uint64_t size() const { return file_ != nullptr ? file_->size() : image_.size(); }
    Result<Blob> bytes(uint64_t offset, size_t size) const;
    Result<Blob> block(const BlockPlace& place) const;
    Result<std::shared_ptr<const Chunk>> chunk(uint32_t number) const;
    Result<std::shared_ptr<const Chunk>> read_chunk(uint32_t number) const;
    Result<std::shared_ptr<const TraceIndex>> trace_index() const;
    Result<std::shared_ptr<const TextList>> dictionary(uint32_t column) const;
    Result<std::shared_ptr<const Orders>> orders(Table table) const;
    Result<std::shared_ptr<const Codes>> order_codes(Table table, uint32_t group) const;
    uint32_t table_rows(Table table, uint32_t group) const;

    Result<void> read_column(uint32_t column, uint32_t group, ColumnBlock& out) const;
    Result<void> read_fixed_column(uint32_t column, uint32_t group, ColumnBlock& out) const;
    Result<void> find_rows(uint32_t column, uint32_t group, ColumnBlock& out, size_t& count) const;
    Result<void> decode(uint32_t column, const ColumnPlace& place, size_t count,
                        ColumnBlock& out) const;
    Result<void> decode_text(uint32_t column, Blob body, size_t count, ColumnBlock& out) const;
    Result<void> add_starts(uint32_t group, std::vector<int64_t>& values) const;
    Result<void> read_parents(uint32_t group, ColumnBlock& out) const;
    Result<void> resolve_parents(uint32_t group, std::span<const int64_t> links,
                                 std::string_view elsewhere, ColumnBlock& out) const;

    bool filter_contains(uint64_t hash) const;
    bool column_may_contain(const ColumnKey& key, const Value& value) const;
    bool message_may_contain(Scope scope, const std::string& key, const Value& value) const;

    Blob image_;
    std::unique_ptr<ReadableFile> file_;
    SegmentFooter footer_;
    std::array<bool, 3> has_overflow_{};
    std::vector<bool> has_values_;  // by column

    mutable std::mutex mutex_;
    mutable Recent<Chunk> chunks_{kChunksKept};
    mutable Recent<Codes> order_codes_{kOrdersKept};
    mutable std::shared_ptr<const TraceIndex> trace_index_;
    mutable std::vector<std::shared_ptr<const TextList>> dictionaries_;
    mutable std::array<std::shared_ptr<const Orders>, 3> orders_;
    mutable Blob rollup_;
    mutable bool rollup_read_ = false;
    mutable size_t kept_bytes_ = 0;
};

// ---- bytes and blocks

Result<Blob> FileSegment::bytes(uint64_t offset, size_t size) const {
    if (offset > this->size() || size > this->size() - offset)
        return fail(ErrorCode::kDataLoss, "segment: bytes {} to {} lie outside the file", offset,
                    offset + size);
    if (file_ == nullptr) return image_.slice(offset, size);
    return file_->read(offset, size);
}

Result<Blob> FileSegment::block(const BlockPlace& place) const {
    TRY_ASSIGN(Blob whole, bytes(place.offset, place.bytes));
    if (whole.size() < kChecksumBytes)
        return fail(ErrorCode::kDataLoss, "segment: block at {} is too short", place.offset);
    Blob body = whole.slice(0, whole.size() - kChecksumBytes);
    uint64_t checksum = 0;
    std::memcpy(&checksum, whole.data() + body.size(), sizeof checksum);
    if (hash64(body.view(), place.offset) != checksum)
        return fail(ErrorCode::kDataLoss, "segment: block at {} has a wrong checksum",
                    place.offset);
    return body;
}

Result<void> FileSegment::load() {
    if (size() < kSegmentMagic.size() + kTrailerBytes)
        return fail(ErrorCode::kDataLoss, "segment: {} bytes are too short for a segment file",
                    size());
    TRY_ASSIGN(const Blob head, bytes(0, kSegmentMagic.size()));
    TRY_ASSIGN(const Blob trailer, bytes(size() - kTrailerBytes, kTrailerBytes));
    const uint64_t end = size() - kTrailerBytes;
    ByteReader reader(trailer.view());
    const uint64_t offset = reader.u64();
    const uint32_t footer_bytes = reader.u32();
    const uint32_t version = reader.u32();
    const uint64_t checksum = reader.u64();
    if (reader.rest() != kSegmentMagic || head.view() != kSegmentMagic)
        return fail(ErrorCode::kDataLoss, "segment: the magic bytes are missing at its {}",
                    head.view() != kSegmentMagic ? "begin" : "end");
    if (offset > end || footer_bytes != end - offset)
        return fail(ErrorCode::kDataLoss, "segment footer: it lies outside the file");
    TRY_ASSIGN(const Blob body, bytes(offset, footer_bytes));
    if (hash64(trailer.view().substr(0, 16), hash64(body.view())) != checksum)
        return fail(ErrorCode::kDataLoss, "segment footer: wrong checksum");
    if (version != kSegmentVersion)
        return fail(ErrorCode::kUnsupported,
                    "segment: version {} is not known here, only {}; use a newer spanloom", version,
                    kSegmentVersion);
    TRY_ASSIGN(footer_, parse_footer(body.view(), offset));
    footer_.info.bytes = size();
    dictionaries_.resize(footer_.columns.size());
    // Of the fixed columns only the overflow is told apart: zeros may have no block.
    has_values_.resize(footer_.columns.size(), false);
    for (uint32_t column = 0; column < kFixedColumns; ++column) {
        has_values_[column] = footer_.columns[column].row_field != RowField::kOverflow;
    }
    for (const ColumnPlace& place : footer_.places) {
        has_values_[place.column] = true;
        for (const Table table : {Table::kSpans, Table::kEvents, Table::kLinks})
            if (place.column == overflow_column(table))
                has_overflow_[static_cast<size_t>(table)] = true;
    }
    return {};
}

size_t FileSegment::memory_bytes() const {
    const std::lock_guard lock(mutex_);
    return image_.size() + footer_.memory_bytes() + kept_bytes_ + sizeof *this;
}

// ---- fragments

Result<std::shared_ptr<const Chunk>> FileSegment::read_chunk(uint32_t number) const {
    TRY_ASSIGN(const Blob body, block(footer_.chunks[number]));
    const size_t count = std::min<size_t>(
        kFragmentsPerChunk, footer_.info.traces - size_t{number} * kFragmentsPerChunk);
    const auto broken = [&] {
        return fail(ErrorCode::kDataLoss, "segment: chunk {} of the fragment table is broken",
                    number);
    };
    ByteReader reader(body.view());
    uint64_t row = reader.u32();
    reader.u8();  // the ids lie as they are
    const std::string_view ids = reader.text();
    if (ids.size() != count * 16) return broken();
    std::array<std::vector<int64_t>, 4> columns;
    for (auto& column : columns) {
        const std::string_view part = reader.text();
        if (!reader.ok()) return broken();
        TRY(decode_integers(part, count, column));
    }
    auto chunk = std::make_shared<Chunk>();
    chunk->fragments.resize(count);
    for (size_t i = 0; i < count; ++i) {
        TraceFragment& fragment = chunk->fragments[i];
        std::memcpy(fragment.trace_id.bytes.data(), ids.data() + i * 16, 16);
        fragment.first_row = static_cast<uint32_t>(row);
        fragment.start_ns = static_cast<uint64_t>(columns[0][i]);
        fragment.end_ns = fragment.start_ns + static_cast<uint64_t>(columns[1][i]);
        const auto rows = static_cast<uint64_t>(columns[2][i]);
        if (rows == 0 || rows > footer_.info.spans - std::min(row, footer_.info.spans))
            return broken();
        fragment.rows = static_cast<uint32_t>(rows);
        fragment.errors = static_cast<uint32_t>(columns[3][i]);
        row += rows;
    }
    return chunk;
}

Result<std::shared_ptr<const Chunk>> FileSegment::chunk(uint32_t number) const {
    {
        const std::lock_guard lock(mutex_);
        if (auto kept = chunks_.find(number)) return kept;
    }
    TRY_ASSIGN(auto made, read_chunk(number));
    const std::lock_guard lock(mutex_);
    chunks_.keep(number, made);
    return made;
}

Result<TraceFragment> FileSegment::fragment(uint32_t index) const {
    if (index >= footer_.info.traces)
        return fail(ErrorCode::kInvalidArgument, "segment: there is no fragment {}", index);
    TRY_ASSIGN(const auto part, chunk(index / kFragmentsPerChunk));
    return part->fragments[index % kFragmentsPerChunk];
}

Result<std::shared_ptr<const TraceIndex>> FileSegment::trace_index() const {
    {
        const std::lock_guard lock(mutex_);
        if (trace_index_ != nullptr) return trace_index_;
    }
    TRY_ASSIGN(const Blob body, block(footer_.trace_index));
    const size_t count = footer_.info.traces;
    ByteReader reader(body.view());
    const std::string_view part = reader.text();
    if (!reader.ok()) return fail(ErrorCode::kDataLoss, "segment: the trace index ends early");
    std::vector<int64_t> hashes;
    std::vector<int64_t> fragments;
    TRY(decode_integers(part, count, hashes));
    TRY(decode_integers(reader.rest(), count, fragments));
    auto index = std::make_shared<TraceIndex>();
    index->hashes.assign(hashes.begin(), hashes.end());
    for (size_t i = 0; i < count; ++i) {
        if (fragments[i] < 0 || static_cast<uint64_t>(fragments[i]) >= count)
            return fail(ErrorCode::kDataLoss, "segment: the trace index is broken");
        index->fragments.push_back(static_cast<uint32_t>(fragments[i]));
    }
    const std::lock_guard lock(mutex_);
    if (trace_index_ == nullptr) kept_bytes_ += count * 8;
    trace_index_ = index;
    return std::shared_ptr<const TraceIndex>(index);
}

Result<std::optional<TraceFragment>> FileSegment::find(const TraceId& id) const {
    TRY_ASSIGN(const auto index, trace_index());
    const auto hash = static_cast<uint32_t>(hash64(id.view()) >> 32);
    auto at = std::lower_bound(index->hashes.begin(), index->hashes.end(), hash);
    for (; at != index->hashes.end() && *at == hash; ++at) {
        TRY_ASSIGN(const TraceFragment found,
                   fragment(index->fragments[static_cast<size_t>(at - index->hashes.begin())]));
        if (found.trace_id == id) return std::optional(found);
    }
    return std::optional<TraceFragment>();
}

// ---- dictionaries and orders

Result<std::shared_ptr<const TextList>> FileSegment::dictionary(uint32_t column) const {
    {
        const std::lock_guard lock(mutex_);
        if (dictionaries_[column] != nullptr) return dictionaries_[column];
    }
    const DictionaryPlace& place = footer_.dictionaries[column];
    if (place.entries == 0)
        return fail(ErrorCode::kDataLoss, "segment: column {} has no dictionary", column);
    TRY_ASSIGN(const Blob body, block(place.block));
    TRY_ASSIGN(TextList list, decode_texts(body.view(), place.entries));
    if (footer_.columns[column].type == ColumnType::kValue) {
        const WireMessage type = footer_.columns[column].row_field == RowField::kOverflow
                                     ? WireMessage::kOverflow
                                     : WireMessage::kAnyValue;
        for (const std::string_view text : list.texts)
            if (check_wire(text, type) == WireState::kBroken)
                return fail(ErrorCode::kDataLoss, "segment: a value of column {} is broken",
                            column);
    }
    auto made = std::make_shared<const TextList>(std::move(list));
    const std::lock_guard lock(mutex_);
    if (dictionaries_[column] != nullptr) return dictionaries_[column];
    kept_bytes_ += made->storage.size() + made->texts.size() * sizeof(std::string_view);
    dictionaries_[column] = made;
    return made;
}

Result<std::shared_ptr<const Orders>> FileSegment::orders(Table table) const {
    const auto slot = static_cast<size_t>(table);
    {
        const std::lock_guard lock(mutex_);
        if (orders_[slot] != nullptr) return orders_[slot];
    }
    auto made = std::make_shared<Orders>();
    TRY_ASSIGN(made->texts, dictionary(order_column(table)));
    const auto& texts = made->texts->texts;
    const size_t columns = footer_.columns.size();
    std::vector<std::pair<uint32_t, uint32_t>> uses;  // column, order
    for (uint32_t order = 0; order < texts.size(); ++order) {
        if (texts[order].size() % 4 != 0)
            return fail(ErrorCode::kDataLoss, "segment: an attribute order is broken");
        for (size_t i = 0; i < texts[order].size() / 4; ++i) {
            const uint32_t column = order_entry(texts[order], i);
            if (column < kFixedColumns || column >= columns ||
                footer_.columns[column].table != table)
                return fail(ErrorCode::kDataLoss, "segment: an attribute order is broken");
            uses.emplace_back(column, order);
        }
    }
    std::sort(uses.begin(), uses.end());
    made->first_use.assign(columns + 1, 0);
    for (size_t i = 0; i < uses.size(); ++i) {
        if (i > 0 && uses[i] == uses[i - 1]) {
            ++made->uses.back().times;
            continue;
        }
        made->uses.push_back({uses[i].second, 1});
        ++made->first_use[uses[i].first + 1];
    }
    for (size_t c = 0; c < columns; ++c)
        made->first_use[c + 1] += made->first_use[c];
    const std::lock_guard lock(mutex_);
    if (orders_[slot] != nullptr) return orders_[slot];
    kept_bytes_ += made->uses.size() * sizeof(Orders::Use) + columns * 4;
    orders_[slot] = made;
    return std::shared_ptr<const Orders>(made);
}

uint32_t FileSegment::table_rows(Table table, uint32_t group) const {
    const RowGroup& meta = footer_.groups[group];
    return table == Table::kSpans ? meta.rows : table == Table::kEvents ? meta.events : meta.links;
}

// nullptr where no row of the group has attributes.
Result<std::shared_ptr<const Codes>> FileSegment::order_codes(Table table, uint32_t group) const {
    const uint32_t column = order_column(table);
    const ColumnPlace* place = footer_.find(column, group);
    if (place == nullptr) return std::shared_ptr<const Codes>();
    const uint64_t key = uint64_t{column} << 32 | group;
    {
        const std::lock_guard lock(mutex_);
        if (auto kept = order_codes_.find(key)) return kept;
    }
    TRY_ASSIGN(const Blob body, block({place->offset, place->bytes}));
    ByteReader reader(body.view());
    if (reader.u8() != static_cast<uint8_t>(TextForm::kShared))
        return fail(ErrorCode::kDataLoss, "segment: attribute orders have an unknown form");
    std::vector<int64_t> decoded;
    TRY(decode_integers(reader.rest(), table_rows(table, group), decoded));
    TRY_ASSIGN(const auto known, orders(table));
    auto codes = std::make_shared<Codes>(decoded.size());
    for (size_t row = 0; row < decoded.size(); ++row) {
        if (static_cast<uint64_t>(decoded[row]) >= known->texts->texts.size())
            return fail(ErrorCode::kDataLoss, "segment: an attribute order is out of range");
        (*codes)[row] = static_cast<uint32_t>(decoded[row]);
    }
    const std::lock_guard lock(mutex_);
    order_codes_.keep(key, codes);
    return std::shared_ptr<const Codes>(codes);
}

// ---- columns

Result<void> FileSegment::decode_text(uint32_t column, Blob body, size_t count,
                                      ColumnBlock& out) const {
    ByteReader reader(body.view());
    const auto form = static_cast<TextForm>(reader.u8());
    std::shared_ptr<const TextList> texts;
    std::vector<int64_t> codes;
    if (form == TextForm::kShared) {
        TRY_ASSIGN(texts, dictionary(column));
        TRY(decode_integers(reader.rest(), count, codes));
    } else if (form == TextForm::kLocal) {
        const uint64_t entries = reader.varint_max(count);
        const std::string_view part = reader.text();
        if (!reader.ok()) return fail(ErrorCode::kDataLoss, "a dictionary ends early");
        TRY_ASSIGN(TextList list, decode_texts(part, entries));
        texts = std::make_shared<const TextList>(std::move(list));
        TRY(decode_integers(reader.rest(), count, codes));
    } else if (form == TextForm::kPlain) {
        TRY_ASSIGN(TextList list, decode_texts(reader.rest(), count));
        texts = std::make_shared<const TextList>(std::move(list));
    } else {
        return fail(ErrorCode::kDataLoss, "texts have an unknown form");
    }
    if (footer_.columns[column].type == ColumnType::kValue && form != TextForm::kShared) {
        const WireMessage type = footer_.columns[column].row_field == RowField::kOverflow
                                     ? WireMessage::kOverflow
                                     : WireMessage::kAnyValue;
        for (const std::string_view text : texts->texts)
            if (check_wire(text, type) == WireState::kBroken)
                return fail(ErrorCode::kDataLoss, "a value is no OTLP message");
    }
    out.codes.resize(count);
    for (size_t i = 0; i < count; ++i) {
        const uint64_t code = form == TextForm::kPlain ? i : static_cast<uint64_t>(codes[i]);
        if (code >= texts->texts.size())
            return fail(ErrorCode::kDataLoss, "a text code is out of range");
        out.codes[i] = static_cast<uint32_t>(code);
    }
    out.strings = texts->texts;
    out.storage = texts->storage;
    out.owner = std::move(texts);
    return {};
}

Result<void> FileSegment::decode(uint32_t column, const ColumnPlace& place, size_t count,
                                 ColumnBlock& out) const {
    TRY_ASSIGN(Blob body, block({place.offset, place.bytes}));
    switch (out.type) {
        case ColumnType::kInt:
            return decode_integers(body.view(), count, out.integers);
        case ColumnType::kDouble:
            return decode_doubles(body.view(), count, out.numbers);
        case ColumnType::kFixed: {
            TRY_ASSIGN(out.storage, decode_bytes(body.view()));
            out.fixed = out.storage.view();
            if (out.fixed.size() != count * out.width)
                return fail(ErrorCode::kDataLoss, "ids have a wrong length");
            return {};
        }
        default:
            return decode_text(column, std::move(body), count, out);
    }
}

// Which rows have a value of an attribute column: those whose order names it.
Result<void> FileSegment::find_rows(uint32_t column, uint32_t group, ColumnBlock& out,
                                    size_t& count) const {
    const Table table = footer_.columns[column].table;
    TRY_ASSIGN(const auto codes, order_codes(table, group));
    out.dense = false;
    count = 0;
    if (codes == nullptr) return {};
    TRY_ASSIGN(const auto known, orders(table));
    thread_local std::vector<uint32_t> times;
    times.assign(known->texts->texts.size(), 0);
    for (uint32_t i = known->first_use[column]; i < known->first_use[column + 1]; ++i)
        times[known->uses[i].order] = known->uses[i].times;
    uint32_t most = 0;
    size_t all = 0;
    for (const uint32_t code : *codes) {
        most = std::max(most, times[code]);
        all += times[code];
    }
    // A few bytes of order may name a column often: what they ask for must fit a block.
    if (all > kBlockBytesMax / 16)
        return fail(ErrorCode::kDataLoss, "attribute orders ask for too many values");
    count = all;
    out.dense = most == 1 && all == codes->size();
    if (out.dense) return {};
    out.rows.resize(all + 1);
    uint32_t* to = out.rows.data();
    for (uint32_t row = 0; row < codes->size(); ++row) {
        const uint32_t here = times[(*codes)[row]];
        *to = row;  // without a branch where each row has at most one
        if (most <= 1)
            to += here;
        else
            for (uint32_t i = 0; i < here; ++i)
                *to++ = row;
    }
    out.rows.resize(all);
    return {};
}

Result<void> FileSegment::add_starts(uint32_t group, std::vector<int64_t>& values) const {
    const RowGroup& meta = footer_.groups[group];
    uint32_t number = footer_.first_fragment[group];
    size_t row = 0;
    while (row < values.size()) {
        TRY_ASSIGN(const TraceFragment part, fragment(number));
        const uint64_t at = meta.first_row + row;
        if (at < part.first_row || at >= uint64_t{part.first_row} + part.rows)
            return fail(ErrorCode::kDataLoss, "fragments and row groups do not fit");
        const size_t end =
            std::min<size_t>(values.size(), part.first_row + part.rows - meta.first_row);
        auto time = part.start_ns;
        // What came before this group began is added to the group's first difference by the writer.
        for (; row < end; ++row) {
            time += static_cast<uint64_t>(values[row]);
            values[row] = static_cast<int64_t>(time);
        }
        ++number;
    }
    return {};
}

Result<void> FileSegment::read_parents(uint32_t group, ColumnBlock& out) const {
    out.dense = false;
    const ColumnPlace* place = footer_.find(kColumnParentId, group);
    if (place == nullptr) return {};
    TRY_ASSIGN(const Blob body, block({place->offset, place->bytes}));
    ByteReader reader(body.view());
    const std::string_view part = reader.text();
    if (!reader.ok()) return fail(ErrorCode::kDataLoss, "parents end early");
    std::vector<int64_t> links;
    TRY(decode_integers(part, footer_.groups[group].rows, links));
    TRY_ASSIGN(const Blob elsewhere, decode_bytes(reader.rest()));
    return resolve_parents(group, links, elsewhere.view(), out);
}

Result<void> FileSegment::resolve_parents(uint32_t group, std::span<const int64_t> links,
                                          std::string_view elsewhere, ColumnBlock& out) const {
    std::shared_ptr<const ColumnBlock> ids;
    uint32_t ids_group = UINT32_MAX;
    size_t count = 0;
    for (const int64_t link : links)
        count += link != kParentNone;
    Blob storage = Blob::allocate(count * 8);
    uint8_t* to = storage.mutable_data();
    for (uint32_t row = 0; row < links.size(); ++row) {
        const int64_t link = links[row];
        if (link == kParentNone) continue;
        out.rows.push_back(row);
        if (link == kParentElsewhere) {
            if (elsewhere.size() < 8) return fail(ErrorCode::kDataLoss, "parent ids end early");
            std::memcpy(to, elsewhere.data(), 8);
            elsewhere.remove_prefix(8);
            to += 8;
            continue;
        }
        const int64_t distance = link / 2;
        const int64_t own = int64_t{footer_.groups[group].first_row} + row;
        const int64_t parent = (link & 1) != 0 ? own + distance : own - distance;
        if (link < 0 || distance > UINT32_MAX || parent < 0 ||
            static_cast<uint64_t>(parent) >= footer_.info.spans)
            return fail(ErrorCode::kDataLoss, "a parent is out of range");
        const auto at = std::upper_bound(
            footer_.groups.begin(), footer_.groups.end(), static_cast<uint32_t>(parent),
            [](uint32_t r, const RowGroup& g) { return r < g.first_row; });
        const auto holder = static_cast<uint32_t>(at - footer_.groups.begin() - 1);
        if (holder != ids_group) {
            TRY_ASSIGN(ids, read(kColumnSpanId, holder));
            ids_group = holder;
        }
        const size_t index = static_cast<uint32_t>(parent) - footer_.groups[holder].first_row;
        std::memcpy(to, ids->fixed.data() + index * 8, 8);
        to += 8;
    }
    if (!elsewhere.empty()) return fail(ErrorCode::kDataLoss, "too many parent ids");
    out.storage = storage;
    out.fixed = storage.view();
    out.dense = out.rows.size() == links.size();
    if (out.dense) out.rows = {};
    return {};
}

Result<void> FileSegment::read_fixed_column(uint32_t column, uint32_t group,
                                            ColumnBlock& out) const {
    if (out.type == ColumnType::kFixed) out.width = fixed_width(column);
    if (column == kColumnParentId) return read_parents(group, out);
    const size_t count = table_rows(footer_.columns[column].table, group);
    const ColumnPlace* place = footer_.find(column, group);
    if (place != nullptr) {
        TRY(decode(column, *place, count, out));
    } else if (out.type == ColumnType::kInt) {
        out.integers.assign(count, 0);
    } else if (out.type == ColumnType::kFixed && count > 0) {
        return fail(ErrorCode::kDataLoss, "the ids are missing");
    } else {
        out.dense = false;  // texts, all empty
        return {};
    }
    if (column == kColumnStart) TRY(add_starts(group, out.integers));
    if (column == kColumnEventOwner || column == kColumnLinkOwner) {
        int64_t before = 0;
        for (const int64_t owner : out.integers) {
            if (owner < before || owner >= footer_.groups[group].rows)
                return fail(ErrorCode::kDataLoss, "a child row belongs to no span");
            before = owner;
        }
    }
    if (column == kColumnScope)
        for (const int64_t scope : out.integers)
            if (static_cast<uint64_t>(scope) >= footer_.scopes.size())
                return fail(ErrorCode::kDataLoss, "a scope is out of range");
    if (drops_zeros(column)) filter_block(out, [&](size_t i) { return out.integers[i] != 0; });
    if (!out.codes.empty())
        filter_block(out, [&](size_t i) { return !out.strings[out.codes[i]].empty(); });
    if (column == order_column(footer_.columns[column].table) && !out.codes.empty())
        TRY(orders(footer_.columns[column].table));
    if (count == 0) out.dense = false;
    return {};
}

Result<void> FileSegment::read_column(uint32_t column, uint32_t group, ColumnBlock& out) const {
    out.type = footer_.columns[column].type;
    if (column < kFixedColumns) return read_fixed_column(column, group, out);
    size_t count = 0;
    TRY(find_rows(column, group, out, count));
    const ColumnPlace* place = footer_.find(column, group);
    if ((place == nullptr) != (count == 0))
        return fail(ErrorCode::kDataLoss, "attribute orders and values do not fit");
    if (count == 0) return {};
    return decode(column, *place, count, out);
}

Result<std::shared_ptr<const ColumnBlock>> FileSegment::read(uint32_t column,
                                                             uint32_t row_group) const {
    if (column >= footer_.columns.size() || row_group >= footer_.groups.size())
        return fail(ErrorCode::kInvalidArgument, "segment: there is no column {} in row group {}",
                    column, row_group);
    auto out = std::make_shared<ColumnBlock>();
    Result<void> done = read_column(column, row_group, *out);
    if (!done) {
        return fail(done.error().code, "segment: column {} ({}) of row group {}: {}", column,
                    column < kFixedColumns ? "fixed" : footer_.columns[column].key, row_group,
                    done.error().message);
    }
    return std::shared_ptr<const ColumnBlock>(std::move(out));
}

// ---- filter

bool FileSegment::filter_contains(uint64_t hash) const {
    if (footer_.filter_pages == 0) return false;
    const FilterPlace place = filter_place(hash, footer_.filter_pages);
    const uint32_t page_bytes = kFilterPageBytes + kChecksumBytes;
    const auto page =
        block({footer_.filter_offset + uint64_t{place.page} * page_bytes, page_bytes});
    return !page || filter_page_may_contain(page->view(), place, hash);
}

namespace {

// The integer that a number equals, if it is one.
std::optional<int64_t> whole(const Value& value) {
    if (value.kind != ValueKind::kDouble) return value.integer;
    if (!(value.number >= -0x1p63 && value.number < 0x1p63)) return std::nullopt;
    const auto integer = static_cast<int64_t>(value.number);
    if (static_cast<double>(integer) != value.number) return std::nullopt;
    return integer;
}

}  // namespace

bool FileSegment::column_may_contain(const ColumnKey& key, const Value& value) const {
    const auto seed = [&](ValueKind kind) {
        return filter_seed(key.scope, key.intrinsic, key.key, kind);
    };
    if (key.type == ColumnType::kValue) return true;
    switch (value.kind) {
        case ValueKind::kString:
            return key.type == ColumnType::kString &&
                   filter_contains(filter_hash(seed(ValueKind::kString), hash64(value.text)));
        case ValueKind::kBool:
            return key.is_boolean &&
                   filter_contains(
                       filter_hash(seed(ValueKind::kBool), filter_integer_hash(value.integer)));
        case ValueKind::kInt:
        case ValueKind::kDuration:
        case ValueKind::kDouble: {
            if (key.type == ColumnType::kDouble) return true;
            if (key.type != ColumnType::kInt || key.is_boolean) return false;
            // Large integers equal a double that is only near to them.
            if (value.kind == ValueKind::kDouble && std::abs(value.number) > 0x1p53) return true;
            const auto integer = whole(value);
            return integer && filter_contains(filter_hash(seed(ValueKind::kInt),
                                                          filter_integer_hash(*integer)));
        }
        default:
            return true;
    }
}

bool FileSegment::message_may_contain(Scope scope, const std::string& key,
                                      const Value& value) const {
    const auto has = [&](ValueKind kind, uint64_t hash) {
        return filter_contains(filter_hash(filter_seed(scope, Intrinsic::kNone, key, kind), hash));
    };
    if (has(ValueKind::kOther, 0)) return true;
    switch (value.kind) {
        case ValueKind::kString:
            return has(ValueKind::kString, hash64(value.text));
        case ValueKind::kBool:
            return has(ValueKind::kBool, filter_integer_hash(value.integer));
        case ValueKind::kInt:
        case ValueKind::kDuration:
        case ValueKind::kDouble: {
            if (value.kind == ValueKind::kDouble && std::abs(value.number) > 0x1p53) return true;
            const auto integer = whole(value);
            return integer && has(ValueKind::kInt, filter_integer_hash(*integer));
        }
        default:
            return true;
    }
}

bool FileSegment::may_contain(const Field& field, const Value& value) const {
    if (field.scope == Scope::kIntrinsic) {
        const bool is_filtered = field.intrinsic == Intrinsic::kName ||
                                 field.intrinsic == Intrinsic::kStatusMessage ||
                                 field.intrinsic == Intrinsic::kEventName ||
                                 field.intrinsic == Intrinsic::kInstrumentationName ||
                                 field.intrinsic == Intrinsic::kInstrumentationVersion;
        if (!is_filtered || value.kind != ValueKind::kString || value.text.empty()) return true;
        const uint64_t seed =
            filter_seed(Scope::kIntrinsic, field.intrinsic, {}, ValueKind::kString);
        return filter_contains(filter_hash(seed, hash64(value.text)));
    }
    const auto wants = [&](Scope scope) {
        return field.scope == Scope::kAny || field.scope == scope;
    };
    constexpr std::array<Scope, 3> kTableScopes = {Scope::kSpan, Scope::kEvent, Scope::kLink};
    for (size_t table = 0; table < kTableScopes.size(); ++table)
        if (wants(kTableScopes[table]) && has_overflow_[table]) return true;
    for (size_t column = kFixedColumns; column < footer_.columns.size(); ++column) {
        const ColumnKey& key = footer_.columns[column];
        if (wants(key.scope) && key.key == field.key && column_may_contain(key, value)) return true;
    }
    for (const Scope scope : {Scope::kResource, Scope::kInstrumentation})
        if (wants(scope) && message_may_contain(scope, field.key, value)) return true;
    return false;
}

// ---- the rest

Result<std::string_view> FileSegment::rollup() const {
    if (footer_.rollup.bytes == 0) return std::string_view();
    {
        const std::lock_guard lock(mutex_);
        if (rollup_read_) return rollup_.view();
    }
    TRY_ASSIGN(const Blob body, block(footer_.rollup));
    TRY_ASSIGN(Blob bytes, decode_bytes(body.view()));
    const std::lock_guard lock(mutex_);
    if (!rollup_read_) {
        kept_bytes_ += bytes.size();
        rollup_ = std::move(bytes);
        rollup_read_ = true;
    }
    return rollup_.view();
}

Result<void> FileSegment::verify() const {
    for (uint32_t number = 0; number < footer_.chunks.size(); ++number)
        TRY(read_chunk(number));
    TRY(trace_index());
    for (uint32_t group = 0; group < footer_.groups.size(); ++group)
        for (uint32_t column = 0; column < footer_.columns.size(); ++column)
            TRY(read(column, group));
    for (uint32_t column = 0; column < footer_.columns.size(); ++column)
        if (footer_.dictionaries[column].entries > 0)
            TRY(block(footer_.dictionaries[column].block));
    const uint32_t page_bytes = kFilterPageBytes + kChecksumBytes;
    for (uint32_t page = 0; page < footer_.filter_pages; ++page)
        TRY(block({footer_.filter_offset + uint64_t{page} * page_bytes, page_bytes}));
    TRY(rollup());
    return {};
}

Result<std::shared_ptr<const Segment>> load_segment(Blob image,
                                                    std::unique_ptr<ReadableFile> file) {
    auto segment = std::make_shared<FileSegment>(std::move(image), std::move(file));
    TRY(segment->load());
    return std::shared_ptr<const Segment>(std::move(segment));
}

}  // namespace

Result<std::shared_ptr<const Segment>> Segment::open(Blob image) {
    return load_segment(std::move(image), nullptr);
}

Result<std::shared_ptr<const Segment>> Segment::open(std::unique_ptr<ReadableFile> file) {
    return load_segment({}, std::move(file));
}

std::vector<OverflowAttribute> overflow_attributes(std::string_view value) {
    std::vector<OverflowAttribute> out;
    otlp::WireReader reader(value);
    while (reader.next()) {
        if (reader.field() != 1 || reader.wire_type() != 2) {
            reader.skip();
            continue;
        }
        const std::string_view message = reader.bytes();
        OverflowAttribute one;
        one.attribute = otlp::AttributeView::parse(message);
        otlp::WireReader inner(message);
        while (inner.next()) {
            if (inner.field() == 15 && inner.wire_type() == 0)
                one.position = static_cast<uint32_t>(inner.varint());
            else
                inner.skip();
        }
        out.push_back(one);
    }
    return out;
}

}  // namespace spanloom::store

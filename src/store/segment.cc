#include <algorithm>

#include "base/hash.h"
#include "otlp/tracestate.h"
#include "store/column_part.h"
#include "store/segment_bytes.h"
#include "store/segment_file.h"
#include "store/segment_filter.h"
#include "store/segment_rows.h"
#include "store/segment_text_table.h"
#include "store/segment_wire.h"

namespace spanloom::store {

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
    const size_t checksum_size = checksum_bytes(footer_.version);
    if (whole.size() < checksum_size)
        return fail(ErrorCode::kDataLoss, "segment: block at {} is too short", place.offset);
    Blob body = whole.slice(0, whole.size() - checksum_size);
    const uint64_t checksum = hash64(body.view(), place.offset);
    if (std::memcmp(whole.data() + body.size(), &checksum, checksum_size) != 0)
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
    if (version < kSegmentVersionMin || version > kSegmentVersion)
        return fail(ErrorCode::kUnsupported,
                    "segment: version {} is not known here, only {} to {}; use a newer spanloom",
                    version, kSegmentVersionMin, kSegmentVersion);
    TRY_ASSIGN(footer_, parse_footer(body.view(), offset, version));
    footer_.info.bytes = size();
    if ((footer_.followers.bytes > 0 && version >= 3) || footer_.models.bytes > 0) {
        TextTable families;
        for (const StoredScope& scope : footer_.scopes)
            families_.push_back(families.intern(
                scope_family(footer_.resources[scope.resource].message, scope.message)));
    }
    // Of the fixed columns only the overflow is told apart: zeros may have no block.
    has_values_.resize(footer_.columns.size(), false);
    for (uint32_t column = 0; column < kFixedColumns; ++column) {
        has_values_[column] = footer_.columns[column].row_field != RowField::kOverflow;
    }
    // Blocks of attributes may be left out where their values follow.
    if (version >= 3) std::fill(has_values_.begin() + kFixedColumns, has_values_.end(), true);
    for (const ColumnPlace& place : footer_.places) {
        has_values_[place.column] = true;
        for (const Table table : {Table::kSpans, Table::kEvents, Table::kLinks})
            if (place.column == overflow_column(table))
                has_overflow_[static_cast<size_t>(table)] = true;
    }
    return {};
}

size_t FileSegment::memory_bytes() const {
    return image_.size() + footer_.memory_bytes() + sizeof *this;
}

// ---- fragments

Result<FragmentChunk> FileSegment::read_chunk(uint32_t number) const {
    TRY_ASSIGN(const Blob body, block(footer_.chunks[number]));
    const size_t count = std::min<size_t>(
        kFragmentsPerChunk, footer_.info.traces - size_t{number} * kFragmentsPerChunk);
    const auto broken = [&] {
        return fail(ErrorCode::kDataLoss, "segment: chunk {} of the fragment table is broken",
                    number);
    };
    ByteReader reader(body.view());
    uint64_t row = reader.u32();
    TRY_ASSIGN(const Part part, read_part(reader));
    const std::string_view ids = part.bytes;
    if (ids.size() != count * kTraceIdBytes) return broken();
    std::array<std::vector<int64_t>, 4> columns;
    for (auto& column : columns) {
        const std::string_view body_of_column = reader.text();
        if (!reader.ok()) return broken();
        TRY(decode_integers(body_of_column, count, column));
    }
    FragmentChunk chunk;
    chunk.fragments.resize(count);
    for (size_t i = 0; i < count; ++i) {
        TraceFragment& fragment = chunk.fragments[i];
        std::memcpy(fragment.trace_id.bytes.data(), ids.data() + i * kTraceIdBytes, kTraceIdBytes);
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

Result<std::shared_ptr<const FragmentChunk>> FileSegment::chunk(uint32_t number) const {
    return cached<FragmentChunk>(Piece::kFragments, number, [&] { return read_chunk(number); });
}

Result<TraceFragment> FileSegment::fragment(uint32_t index) const {
    if (index >= footer_.info.traces)
        return fail(ErrorCode::kInvalidArgument, "segment: there is no fragment {}", index);
    TRY_ASSIGN(const auto part, chunk(index / kFragmentsPerChunk));
    return part->fragments[index % kFragmentsPerChunk];
}

Result<TraceIndex> FileSegment::read_trace_index() const {
    TRY_ASSIGN(const Blob body, block(footer_.trace_index));
    const size_t count = footer_.info.traces;
    ByteReader reader(body.view());
    TraceIndex index;
    index.bits = footer_.version >= 3 ? reader.u8() : 32;
    const std::string_view part = reader.text();
    if (!reader.ok() || index.bits == 0 || index.bits > 32)
        return fail(ErrorCode::kDataLoss, "segment: the trace index ends early");
    std::vector<int64_t> hashes;
    std::vector<int64_t> fragments;
    TRY(decode_integers(part, count, hashes));
    TRY(decode_integers(reader.rest(), count, fragments));
    index.hashes.assign(hashes.begin(), hashes.end());
    index.fragments.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        if (fragments[i] < 0 || static_cast<uint64_t>(fragments[i]) >= count)
            return fail(ErrorCode::kDataLoss, "segment: the trace index is broken");
        index.fragments.push_back(static_cast<uint32_t>(fragments[i]));
    }
    return index;
}

Result<std::shared_ptr<const TraceIndex>> FileSegment::trace_index() const {
    return cached<TraceIndex>(Piece::kTraceIndex, 0, [&] { return read_trace_index(); });
}

Result<Segment::Thresholds> FileSegment::read_thresholds() const {
    TRY_ASSIGN(const Blob body, block(footer_.thresholds));
    ByteReader reader(body.view());
    std::vector<uint64_t> distinct(reader.varint_max(body.size() / 8));
    for (uint64_t& threshold : distinct)
        threshold = reader.u64();
    const bool is_valid = std::all_of(distinct.begin(), distinct.end(), [](uint64_t threshold) {
        return threshold < otlp::kThresholdEnd;
    });
    if (!reader.ok() || !is_valid)
        return fail(ErrorCode::kDataLoss, "segment: the thresholds are broken");
    std::vector<int64_t> numbers;
    TRY(decode_integers(reader.rest(), footer_.info.traces, numbers));
    Thresholds thresholds;
    thresholds.reserve(numbers.size());
    for (const int64_t number : numbers) {
        if (number < 0 || static_cast<uint64_t>(number) >= distinct.size())
            return fail(ErrorCode::kDataLoss, "segment: the thresholds are broken");
        thresholds.push_back(distinct[static_cast<size_t>(number)]);
    }
    return thresholds;
}

Result<std::shared_ptr<const Segment::Thresholds>> FileSegment::thresholds() const {
    if (footer_.thresholds.bytes == 0) return nullptr;
    return cached<Thresholds>(Piece::kThresholds, 0, [&] { return read_thresholds(); });
}

Result<Delays> FileSegment::read_delays() const {
    TRY_ASSIGN(const Blob body, block(footer_.delays));
    return store::read_delays(body.view(), footer_.info.spans,
                              footer_.info.arrival_ns_min / kNsPerSecond,
                              footer_.info.arrival_ns_max / kNsPerSecond);
}

Result<std::shared_ptr<const Delays>> FileSegment::delays() const {
    const SegmentInfo& own = footer_.info;
    if (own.arrival_ns_min / kNsPerSecond == own.arrival_ns_max / kNsPerSecond) return nullptr;
    if (footer_.version < 6) {
        static const auto kUnknown = std::make_shared<const Delays>(Delays{{}, false});
        return kUnknown;
    }
    if (footer_.delays.bytes == 0) return nullptr;
    return cached<Delays>(Piece::kDelays, 0, [&] { return read_delays(); });
}

// The place of the first hash that is not below this one. Hashes are spread evenly, so that it is
// near where it would be if they were exactly so.
static size_t first_of(const TraceIndex& index, uint32_t hash) {
    const std::vector<uint32_t>& hashes = index.hashes;
    const size_t count = hashes.size();
    size_t first = std::min<size_t>(count, uint64_t{hash} * count >> index.bits);
    size_t last = first;
    size_t step = 16;
    if (first < count && hashes[first] < hash) {
        for (; last < count && hashes[last] < hash; step *= 2) {
            first = last;
            last += step;
        }
    } else {
        for (; first > 0 && hashes[first - 1] >= hash; step *= 2) {
            last = first;
            first -= std::min(first, step);
        }
    }
    const auto begin = hashes.begin();
    const auto at = std::lower_bound(begin + static_cast<ptrdiff_t>(first),
                                     begin + static_cast<ptrdiff_t>(std::min(last, count)), hash);
    return static_cast<size_t>(at - begin);
}

Result<std::optional<TraceFragment>> FileSegment::find(const TraceId& id) const {
    TRY_ASSIGN(const auto index, trace_index());
    const auto hash = static_cast<uint32_t>(hash64(id.view()) >> (64 - index->bits));
    auto at = index->hashes.begin() + static_cast<ptrdiff_t>(first_of(*index, hash));
    for (; at != index->hashes.end() && *at == hash; ++at) {
        TRY_ASSIGN(const TraceFragment found,
                   fragment(index->fragments[static_cast<size_t>(at - index->hashes.begin())]));
        if (found.trace_id == id) return std::optional(found);
    }
    return std::optional<TraceFragment>();
}

// ---- dictionaries and orders

Result<std::shared_ptr<const TextList>> FileSegment::dictionary(uint32_t column) const {
    const auto read = [&]() -> Result<TextList> {
        const DictionaryPlace& place = footer_.dictionaries[column];
        if (place.entries == 0)
            return fail(ErrorCode::kDataLoss, "segment: column {} has no dictionary", column);
        TRY_ASSIGN(const Blob body, block(place.block));
        TRY_ASSIGN(TextList list, decode_texts(body.view(), place.entries, body));
        TRY(check_texts(column, list));
        return list;
    };
    return cached<TextList>(Piece::kDictionary, column, read);
}

// The patterns that texts of a column have, in whichever row group.
Result<std::shared_ptr<const TextList>> FileSegment::patterns(uint32_t column) const {
    const auto read = [&]() -> Result<TextList> {
        const DictionaryPlace& place = footer_.dictionaries[column];
        if (place.patterns == 0)
            return fail(ErrorCode::kDataLoss, "segment: column {} has no patterns", column);
        TRY_ASSIGN(const Blob body, block(place.patterns_block));
        return decode_texts(body.view(), place.patterns, body);
    };
    return cached<TextList>(Piece::kPatterns, column, read);
}

Result<AttributeOrders> FileSegment::read_orders(Table table) const {
    AttributeOrders made;
    TRY_ASSIGN(made.texts, dictionary(order_column(table)));
    const auto& texts = made.texts->texts;
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
    made.first_use.assign(columns + 1, 0);
    for (size_t i = 0; i < uses.size(); ++i) {
        if (i > 0 && uses[i] == uses[i - 1]) {
            ++made.uses.back().times;
            continue;
        }
        made.uses.push_back({uses[i].second, 1});
        ++made.first_use[uses[i].first + 1];
    }
    for (size_t c = 0; c < columns; ++c)
        made.first_use[c + 1] += made.first_use[c];
    return made;
}

Result<std::shared_ptr<const AttributeOrders>> FileSegment::orders(Table table) const {
    return cached<AttributeOrders>(Piece::kOrders, static_cast<uint64_t>(table),
                                   [&] { return read_orders(table); });
}

uint32_t FileSegment::table_rows(Table table, uint32_t group) const {
    const RowGroup& meta = footer_.groups[group];
    return table == Table::kSpans ? meta.rows : table == Table::kEvents ? meta.events : meta.links;
}

Result<OrderCodes> FileSegment::read_order_codes(Table table, uint32_t group,
                                                 const ColumnPlace& place) const {
    TRY_ASSIGN(const Blob body, block({place.offset, place.bytes}));
    ByteReader reader(body.view());
    if (reader.u8() != static_cast<uint8_t>(TextForm::kShared))
        return fail(ErrorCode::kDataLoss, "segment: attribute orders have an unknown form");
    std::vector<int64_t> decoded;
    TRY(decode_values(order_column(table), group, reader.rest(), table_rows(table, group), {},
                      decoded));
    TRY_ASSIGN(const auto known, orders(table));
    const size_t orders_known = std::min<size_t>(known->texts->texts.size(), kShapesMax);
    OrderCodes codes(decoded.size());
    for (size_t row = 0; row < decoded.size(); ++row) {
        if (static_cast<uint64_t>(decoded[row]) >= orders_known)
            return fail(ErrorCode::kDataLoss, "segment: an attribute order is out of range");
        codes[row] = static_cast<uint16_t>(decoded[row]);
    }
    return codes;
}

// nullptr where no row of the group has attributes.
Result<std::shared_ptr<const OrderCodes>> FileSegment::order_codes(Table table,
                                                                   uint32_t group) const {
    const ColumnPlace* place = footer_.find(order_column(table), group);
    if (place == nullptr) return std::shared_ptr<const OrderCodes>();
    return cached<OrderCodes>(Piece::kOrderCodes, uint64_t{order_column(table)} << 32 | group,
                              [&] { return read_order_codes(table, group, *place); });
}

// ---- the rest

Result<Blob> FileSegment::rollup() const {
    if (footer_.rollup.bytes == 0) return Blob();
    TRY_ASSIGN(const Blob body, block(footer_.rollup));
    return decode_bytes(body.view());
}

Result<void> FileSegment::verify() const {
    for (uint32_t number = 0; number < footer_.chunks.size(); ++number)
        TRY(read_chunk(number));
    TRY(trace_index());
    for (uint32_t group = 0; group < footer_.groups.size(); ++group)
        for (uint32_t column = 0; column < footer_.columns.size(); ++column)
            TRY(read(column, group));
    for (uint32_t column = 0; column < footer_.columns.size(); ++column) {
        const DictionaryPlace& place = footer_.dictionaries[column];
        if (place.entries > 0) TRY(block(place.block));
        if (place.patterns > 0) TRY(patterns(column));
    }
    for (uint32_t page = 0; page < footer_.filter_pages; ++page)
        TRY(filter_page(page));
    if (footer_.directory.bytes > 0) TRY(places());
    if (footer_.followers.bytes > 0) TRY(followers());
    if (footer_.models.bytes > 0) TRY(models());
    TRY(thresholds());
    TRY(delays());
    TRY(rollup());
    return {};
}

namespace {

constexpr size_t kOwnCacheBytes = 16U << 20;  // of a segment that shares none

Result<std::shared_ptr<const Segment>> load_segment(Blob image, std::unique_ptr<ReadableFile> file,
                                                    std::shared_ptr<SegmentCache> cache) {
    if (cache == nullptr) cache = std::make_shared<SegmentCache>(kOwnCacheBytes);
    auto segment =
        std::make_shared<FileSegment>(std::move(image), std::move(file), std::move(cache));
    TRY(segment->load());
    return std::shared_ptr<const Segment>(std::move(segment));
}

}  // namespace

Result<std::shared_ptr<const Segment>> Segment::open(Blob image,
                                                     std::shared_ptr<SegmentCache> cache) {
    return load_segment(std::move(image), nullptr, std::move(cache));
}

Result<std::shared_ptr<const Segment>> Segment::open(std::unique_ptr<ReadableFile> file,
                                                     std::shared_ptr<SegmentCache> cache) {
    return load_segment({}, std::move(file), std::move(cache));
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

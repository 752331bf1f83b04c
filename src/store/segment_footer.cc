#include "store/segment_footer.h"

#include <algorithm>

#include "store/column.h"
#include "store/column_patterns.h"
#include "store/segment_bytes.h"
#include "store/segment_layout.h"
#include "store/segment_wire.h"

namespace spanloom::store {
namespace {

tl::unexpected<Error> damaged(std::string_view what) {
    return fail(ErrorCode::kDataLoss, "segment footer: {}", what);
}

bool lies_within(const BlockPlace& place, uint64_t end) {
    return place.offset >= kSegmentMagic.size() && place.offset <= end &&
           place.bytes >= kChecksumBytes && place.bytes <= end - place.offset;
}

BlockPlace read_place(ByteReader& reader) {
    BlockPlace place;
    place.offset = reader.varint();
    place.bytes = static_cast<uint32_t>(reader.varint_max(UINT32_MAX));
    return place;
}

Result<void> read_columns(ByteReader& reader, SegmentFooter& footer) {
    footer.columns = fixed_columns();
    const uint64_t count = reader.varint_max(std::min<size_t>(kColumnsMax, reader.rest().size()));
    for (uint64_t i = 0; i < count; ++i) {
        const uint8_t kind = reader.u8();
        const uint32_t table = kind & 3;
        const uint32_t type = kind >> 2 & 7;
        const bool is_boolean = (kind & 32) != 0;
        if (!reader.ok() || table > 2 || type > 4 || kind > 63 ||
            type == static_cast<uint32_t>(ColumnType::kFixed) || (is_boolean && type != 0))
            return damaged("an attribute column is unknown");
        ColumnKey key;
        key.table = static_cast<Table>(table);
        key.scope = table == 0 ? Scope::kSpan : table == 1 ? Scope::kEvent : Scope::kLink;
        key.type = static_cast<ColumnType>(type);
        key.is_boolean = is_boolean;
        key.key = reader.text();
        footer.columns.push_back(std::move(key));
    }
    footer.dictionaries.resize(footer.columns.size());
    for (size_t column = 0; column < footer.columns.size(); ++column) {
        const ColumnType type = footer.columns[column].type;
        if (type != ColumnType::kString && type != ColumnType::kValue) continue;
        DictionaryPlace& place = footer.dictionaries[column];
        place.entries = static_cast<uint32_t>(reader.varint_max(kShapesMax));
        if (place.entries > 0) place.block = read_place(reader);
        if (footer.version < 3) continue;
        place.patterns = static_cast<uint32_t>(reader.varint_max(kPatternsMax));
        if (place.patterns > 0) place.patterns_block = read_place(reader);
    }
    return reader.ok() ? Result<void>() : damaged("the columns end early");
}

Result<void> read_messages(ByteReader& reader, SegmentFooter& footer) {
    const uint64_t resources = reader.varint_max(reader.rest().size());
    for (uint64_t i = 0; i < resources && reader.ok(); ++i) {
        StoredResource resource{reader.text(), reader.text()};
        if (check_wire(resource.message, WireMessage::kResource) == WireState::kBroken)
            return damaged("a resource is no OTLP message");
        footer.resources.push_back(resource);
    }
    const uint64_t scopes = reader.varint_max(reader.rest().size());
    for (uint64_t i = 0; i < scopes && reader.ok(); ++i) {
        StoredScope scope;
        scope.resource = static_cast<uint32_t>(reader.varint_max(UINT32_MAX));
        scope.schema_url = reader.text();
        scope.message = reader.text();
        if (scope.resource >= footer.resources.size())
            return damaged("a scope names an unknown resource");
        if (check_wire(scope.message, WireMessage::kScope) == WireState::kBroken)
            return damaged("a scope is no OTLP message");
        footer.scopes.push_back(scope);
    }
    return reader.ok() ? Result<void>() : damaged("the resources end early");
}

Result<void> read_group(ByteReader& reader, uint64_t end, SegmentFooter& footer) {
    RowGroup group;
    if (!footer.groups.empty()) {
        const RowGroup& before = footer.groups.back();
        group.first_row = before.first_row + before.rows;
        group.first_event = before.first_event + before.events;
        group.first_link = before.first_link + before.links;
    }
    group.rows = static_cast<uint32_t>(reader.varint_max(kGroupRowsMax));
    group.events = static_cast<uint32_t>(reader.varint_max(kGroupChildrenMax));
    group.links = static_cast<uint32_t>(reader.varint_max(kGroupChildrenMax));
    group.start_ns_min = reader.u64();
    group.end_ns_max = reader.u64();
    group.duration_ns_max = reader.zigzag();
    const uint8_t flags = reader.u8();
    group.has_error = (flags & 1) != 0;
    footer.continues.push_back(flags >> 1 & 1);
    footer.first_fragment.push_back(static_cast<uint32_t>(reader.varint_max(UINT32_MAX)));
    if (group.rows == 0 || flags > 3 || UINT32_MAX - group.first_row < group.rows ||
        UINT32_MAX - group.first_event < group.events ||
        UINT32_MAX - group.first_link < group.links)
        return damaged("a row group has impossible counts");
    uint64_t offset = reader.varint();
    const uint64_t blocks = reader.varint_max(footer.columns.size());
    uint64_t column = 0;
    for (uint64_t i = 0; i < blocks && reader.ok(); ++i) {
        const uint64_t step = reader.varint_max(footer.columns.size());
        if (i > 0 && step == 0) return damaged("a row group names a column twice");
        column += step;
        const ColumnPlace place{static_cast<uint32_t>(column),
                                static_cast<uint32_t>(reader.varint_max(UINT32_MAX)), offset};
        if (column >= footer.columns.size() || !lies_within({place.offset, place.bytes}, end))
            return damaged("a block lies outside the file");
        offset += place.bytes;
        footer.places.push_back(place);
    }
    footer.groups.push_back(group);
    footer.first_place.push_back(static_cast<uint32_t>(footer.places.size()));
    return reader.ok() ? Result<void>() : damaged("the row groups end early");
}

Result<void> read_tables(ByteReader& reader, uint64_t end, SegmentFooter& footer) {
    const uint64_t chunks = reader.varint_max(reader.rest().size());
    if (chunks != (footer.info.traces + kFragmentsPerChunk - 1) / kFragmentsPerChunk)
        return damaged("the fragment table has a wrong size");
    for (uint64_t i = 0; i < chunks; ++i)
        footer.chunks.push_back(read_place(reader));
    footer.trace_index = read_place(reader);
    footer.filter_offset = reader.varint();
    footer.filter_pages = static_cast<uint32_t>(reader.varint_max(UINT32_MAX));
    if (footer.version >= 2) {
        footer.directory = read_place(reader);
        footer.followers = read_place(reader);
    }
    if (footer.version >= 4) footer.models = read_place(reader);
    if (footer.version >= 5) footer.thresholds = read_place(reader);
    if (footer.version >= 6) footer.delays = read_place(reader);
    footer.rollup = read_place(reader);
    if (!reader.ok() || !reader.at_end()) return damaged("it has a wrong length");
    for (const BlockPlace& chunk : footer.chunks)
        if (!lies_within(chunk, end)) return damaged("the fragment table lies outside the file");
    if (!lies_within(footer.trace_index, end))
        return damaged("the trace index lies outside the file");
    if (footer.rollup.bytes != 0 && !lies_within(footer.rollup, end))
        return damaged("the rollup lies outside the file");
    for (const DictionaryPlace& place : footer.dictionaries)
        if ((place.entries > 0 && !lies_within(place.block, end)) ||
            (place.patterns > 0 && !lies_within(place.patterns_block, end)))
            return damaged("a dictionary lies outside the file");
    if (footer.directory.bytes != 0 && !lies_within(footer.directory, end))
        return damaged("the places lie outside the file");
    if (footer.followers.bytes != 0 && !lies_within(footer.followers, end))
        return damaged("the followers lie outside the file");
    if (footer.models.bytes != 0 && !lies_within(footer.models, end))
        return damaged("the models lie outside the file");
    if (footer.thresholds.bytes != 0 && !lies_within(footer.thresholds, end))
        return damaged("the thresholds lie outside the file");
    if (footer.delays.bytes != 0 && !lies_within(footer.delays, end))
        return damaged("the delays lie outside the file");
    if (footer.filter_offset > end ||
        footer.filter_pages > (end - footer.filter_offset) / checksum_bytes(footer.version))
        return damaged("the filter lies outside the file");
    return {};
}

}  // namespace

const ColumnPlace* SegmentFooter::find(uint32_t column, uint32_t group) const {
    const auto begin = places.begin() + first_place[group];
    const auto end = places.begin() + first_place[group + 1];
    const auto at = std::lower_bound(
        begin, end, column, [](const ColumnPlace& place, uint32_t c) { return place.column < c; });
    return at != end && at->column == column ? &*at : nullptr;
}

size_t SegmentFooter::memory_bytes() const {
    size_t bytes =
        storage.size() + places.capacity() * sizeof(ColumnPlace) +
        groups.capacity() * (sizeof(RowGroup) + 9) + chunks.capacity() * sizeof(BlockPlace) +
        columns.capacity() * (sizeof(ColumnKey) + sizeof(DictionaryPlace)) +
        resources.capacity() * sizeof(StoredResource) + scopes.capacity() * sizeof(StoredScope);
    for (const ColumnKey& column : columns)
        if (column.key.size() > 15) bytes += column.key.capacity();
    return bytes;
}

Result<SegmentFooter> parse_footer(std::string_view body, uint64_t offset, uint32_t version) {
    SegmentFooter footer;
    footer.version = version;
    TRY_ASSIGN(footer.storage, decode_bytes(body));
    ByteReader reader(footer.storage.view());
    SegmentInfo& info = footer.info;
    info.spans = reader.varint_max(UINT32_MAX);
    info.traces = reader.varint_max(info.spans);
    for (uint64_t* time : {&info.start_ns_min, &info.end_ns_max, &info.trace_start_ns_max,
                           &info.arrival_ns_min, &info.arrival_ns_max})
        *time = reader.u64();
    TRY(read_columns(reader, footer));
    TRY(read_messages(reader, footer));
    const uint64_t groups = reader.varint_max(reader.rest().size());
    footer.first_place.push_back(0);
    uint64_t rows = 0;
    for (uint64_t i = 0; i < groups; ++i) {
        TRY(read_group(reader, offset, footer));
        rows += footer.groups.back().rows;
        const uint32_t first = footer.first_fragment.back();
        if (first >= info.traces || (i == 0 && (first != 0 || footer.continues.back() != 0)))
            return damaged("a row group begins with an unknown fragment");
    }
    if (rows != info.spans || (rows > 0 && info.traces == 0))
        return damaged("the row groups do not hold all rows");
    TRY(read_tables(reader, offset, footer));
    return footer;
}

}  // namespace spanloom::store

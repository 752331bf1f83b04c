#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "store/segment.h"
#include "store/segment_filter.h"
#include "store/segment_footer.h"
#include "store/segment_layout.h"

// For tests and fuzzing: damage that checksums would catch, with the checksums made to fit again,
// so that what lies behind them is tried.
namespace spanloom::store {

inline void seal_bytes(std::string& image, size_t at, uint64_t checksum) {
    std::memcpy(image.data() + at, &checksum, sizeof checksum);
}

inline void seal_block(std::string& image, const BlockPlace& place) {
    if (place.bytes < kChecksumBytes || place.offset > image.size() ||
        place.bytes > image.size() - place.offset)
        return;
    const size_t body = place.bytes - kChecksumBytes;
    const uint64_t checksum =
        hash64(std::string_view(image).substr(place.offset, body), place.offset);
    std::memcpy(image.data() + place.offset + body, &checksum, kChecksumBytes);
}

// Makes the checksums of the trailer and of every block that the footer names right.
inline void seal(std::string& image) {
    if (image.size() < kSegmentMagic.size() + kTrailerBytes) return;
    std::memcpy(image.data(), kSegmentMagic.data(), kSegmentMagic.size());
    const size_t trailer = image.size() - kTrailerBytes;
    std::memcpy(image.data() + trailer + 24, kSegmentMagic.data(), kSegmentMagic.size());
    std::memcpy(image.data() + trailer + 12, &kSegmentVersion, 4);
    uint64_t offset = 0;
    std::memcpy(&offset, image.data() + trailer, 8);
    if (offset > trailer) {
        offset = kSegmentMagic.size();
        std::memcpy(image.data() + trailer, &offset, 8);
    }
    const auto bytes = static_cast<uint32_t>(trailer - offset);
    uint32_t version = 0;
    std::memcpy(&version, image.data() + trailer + 12, 4);
    std::memcpy(image.data() + trailer + 8, &bytes, 4);
    const std::string_view body = std::string_view(image).substr(offset, bytes);
    seal_bytes(image, trailer + 16,
               hash64(std::string_view(image).substr(trailer, 16), hash64(body)));
    const auto footer = parse_footer(std::string(body), offset, version);
    if (!footer) return;
    for (const ColumnPlace& place : footer->places)
        seal_block(image, {place.offset, place.bytes});
    for (const DictionaryPlace& place : footer->dictionaries)
        seal_block(image, place.block);
    for (const BlockPlace& place : footer->chunks)
        seal_block(image, place);
    seal_block(image, footer->trace_index);
    seal_block(image, footer->rollup);
    if (footer->directory.bytes > 0) seal_block(image, footer->directory);
    if (footer->followers.bytes > 0) seal_block(image, footer->followers);
    if (footer->models.bytes > 0) seal_block(image, footer->models);
    const uint32_t page_bytes = kFilterPageBytes + kChecksumBytes;
    for (uint32_t page = 0; page < footer->filter_pages; ++page)
        seal_block(image, {footer->filter_offset + uint64_t{page} * page_bytes, page_bytes});
}

// Asks a segment everything; what it answers does not matter.
// Values counted, and the last one of so many alone.
inline uint64_t ask_counts(const Segment& segment, uint32_t column, uint32_t group, size_t count) {
    uint64_t sum = 0;
    const uint32_t group_rows = segment.row_groups()[group].rows;
    if (count == 0 || group_rows == 0) return sum;
    const auto counted = segment.value_counts(column, group, count);
    if (counted && *counted) {
        for (const uint32_t times : (*counted)->counts)
            sum += times;
        sum += (*counted)->values->size();
    }
    const std::vector<uint32_t> places = {static_cast<uint32_t>(count - 1)};
    const std::vector<uint32_t> rows = {group_rows - 1};
    const auto one = segment.read_values_at(column, group, count, places, rows);
    return sum + one.has_value();
}

// Every third row.
inline uint64_t ask_chosen_rows(const Segment& segment, uint32_t group) {
    uint64_t sum = 0;
    std::vector<uint32_t> rows;
    for (uint32_t row = 1; row < segment.row_groups()[group].rows; row += 3)
        rows.push_back(row);
    const auto chosen = segment.choose_rows(group, std::move(rows));
    if (chosen == nullptr) return sum;
    for (uint32_t column = 0; column < segment.columns().size(); ++column) {
        const auto block = chosen->read(column);
        if (!block) continue;
        for (size_t at = 0; at < (*block)->size(); ++at) {
            sum += (*block)->dense ? at : (*block)->rows[at];
            if (!(*block)->codes.empty()) sum += (*block)->strings[(*block)->codes[at]].size();
        }
        for (const char byte : (*block)->fixed)
            sum += static_cast<uint8_t>(byte);
    }
    return sum;
}

inline uint64_t ask_everything(const Segment& segment) {
    uint64_t sum = segment.memory_bytes();
    for (uint32_t i = 0; i < segment.fragment_count() && i < 5000; ++i) {
        const auto fragment = segment.fragment(i);
        if (!fragment) break;
        const auto found = segment.find(fragment->trace_id);
        sum += found.has_value();
    }
    for (uint32_t group = 0; group < segment.row_groups().size(); ++group) {
        sum += ask_chosen_rows(segment, group);
        for (uint32_t column = 0; column < segment.columns().size(); ++column) {
            sum += ask_counts(segment, column, group, segment.row_groups()[group].rows);
            const auto block = segment.read(column, group);
            if (!block) continue;
            sum += ask_counts(segment, column, group, (*block)->size());
            for (const uint32_t row : (*block)->rows)
                sum += row;
            for (const int64_t value : (*block)->integers)
                sum += static_cast<uint64_t>(value);
            for (const uint32_t code : (*block)->codes)
                sum += (*block)->strings[code].size();
            for (const char byte : (*block)->fixed)
                sum += static_cast<uint8_t>(byte);
            if (segment.columns()[column].row_field != RowField::kOverflow) continue;
            for (const uint32_t code : (*block)->codes)
                sum += overflow_attributes((*block)->strings[code]).size();
        }
    }
    for (uint32_t i = 0; i < segment.resource_count(); ++i)
        sum += segment.resource_message(i).size() + segment.resource_schema_url(i).size();
    for (uint32_t i = 0; i < segment.scope_count(); ++i)
        sum += segment.scope_message(i).size() + segment.scope_resource(i);
    for (const ColumnKey& key : segment.columns())
        sum += segment.may_contain({key.scope, key.intrinsic, key.key}, Value::of_string("GET"));
    sum += segment.rollup().has_value();
    sum += segment.verify().has_value();
    return sum;
}

}  // namespace spanloom::store

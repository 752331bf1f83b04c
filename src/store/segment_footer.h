#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "store/segment.h"

namespace spanloom::store {

// Where a block lies, its checksum included.
struct BlockPlace {
    uint64_t offset = 0;
    uint32_t bytes = 0;
};

struct ColumnPlace {
    uint32_t column = 0;
    uint32_t bytes = 0;
    uint64_t offset = 0;
};

struct DictionaryPlace {
    BlockPlace block;
    uint32_t entries = 0;  // 0: none
    BlockPlace patterns_block;
    uint32_t patterns = 0;  // 0: none; version 3
};

struct StoredScope {
    uint32_t resource = 0;
    std::string_view schema_url;
    std::string_view message;
};
struct StoredResource {
    std::string_view schema_url;
    std::string_view message;
};

// What the end of a segment file tells, checked: every place lies in the file, every count is
// bounded, every message is well formed.
struct SegmentFooter {
    Blob storage;  // owns the texts
    SegmentInfo info;
    std::vector<ColumnKey> columns;
    std::vector<DictionaryPlace> dictionaries;  // per column
    std::vector<StoredResource> resources;
    std::vector<StoredScope> scopes;
    std::vector<RowGroup> groups;
    std::vector<uint32_t> first_fragment;  // per group
    std::vector<uint8_t> continues;        // per group: its first fragment began before it
    std::vector<ColumnPlace> places;       // of all groups, by group, then column
    std::vector<uint32_t> first_place;     // per group, and the end
    std::vector<BlockPlace> chunks;        // of the fragment table
    BlockPlace trace_index;
    uint32_t version = 0;
    // Pages of the places' cells, or, without a directory, of a filter; no page: anything may be
    // anywhere (version 1: nothing is there).
    uint64_t filter_offset = 0;
    uint32_t filter_pages = 0;
    BlockPlace directory;  // of the places
    BlockPlace followers;
    BlockPlace models;      // version 4
    BlockPlace thresholds;  // version 5
    BlockPlace delays;      // version 6
    BlockPlace rollup;

    bool has_filter() const { return version == 1 || (directory.bytes == 0 && filter_pages > 0); }
    // nullptr where the group has no block of the column.
    const ColumnPlace* find(uint32_t column, uint32_t group) const;
    size_t memory_bytes() const;
};

// `offset` is where the footer begins: no block reaches beyond it.
Result<SegmentFooter> parse_footer(std::string_view body, uint64_t offset, uint32_t version);

}  // namespace spanloom::store

#include "store/merge_input.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/hash.h"
#include "otlp/writer.h"
#include "store/segment_bytes.h"
#include "store/segment_file.h"
#include "store/segment_rows.h"

namespace spanloom::store {
namespace {

constexpr uint32_t kUnmapped = UINT32_MAX;
// Orders that cannot be kept are remembered, too.
constexpr uint32_t kNoOrder = SegmentWriter::kNone - 1;

bool is_same_place(const ColumnKey& a, const ColumnKey& b) {
    return a.table == b.table && a.scope == b.scope && a.intrinsic == b.intrinsic &&
           a.row_field == b.row_field && a.type == b.type;
}

// Adds the value at `at` as an AnyValue's fields.
void append_value(const ColumnKey& key, const ColumnBlock& block, size_t at, std::string& out) {
    otlp::WireWriter writer(out);
    switch (block.type) {
        case ColumnType::kInt:
            writer.varint_field(key.is_boolean ? 2 : 3, static_cast<uint64_t>(block.integers[at]));
            break;
        case ColumnType::kDouble:
            writer.double_field(4, block.numbers[at]);
            break;
        case ColumnType::kString:
            writer.bytes_field(1, block.strings[block.codes[at]]);
            break;
        case ColumnType::kValue:
            out.append(block.strings[block.codes[at]]);
            break;
        case ColumnType::kFixed:
            out.append(block.fixed.substr(at * block.width, block.width));
            break;
    }
}

// The columns of a row's attributes, in order; empty where it has none.
std::string_view order_of(WholeGroup& group, Table table, uint32_t row) {
    WholeGroup::Column& column = group.fixed[order_column(table)];
    const ValueRange range = values_of(column, row, row + 1);
    if (range.first == range.last) return {};
    return column.block->strings[column.block->codes[range.first]];
}

}  // namespace

ValueRange values_of(WholeGroup::Column& column, uint32_t row, uint32_t end) {
    const ColumnBlock& block = *column.block;
    if (block.dense) return {row, end};
    const auto begin = block.rows.begin();
    size_t first = column.cursor;
    const bool is_near = first <= block.rows.size() && (first == 0 || block.rows[first - 1] < row);
    if (!is_near)
        first = static_cast<size_t>(std::lower_bound(begin, block.rows.end(), row) - begin);
    if (first + 8 < block.rows.size() && block.rows[first + 8] < row)
        first = static_cast<size_t>(
            std::lower_bound(begin + static_cast<std::ptrdiff_t>(first), block.rows.end(), row) -
            begin);
    while (first < block.rows.size() && block.rows[first] < row)
        ++first;
    size_t last = first;
    while (last < block.rows.size() && block.rows[last] < end)
        ++last;
    column.cursor = last;
    return {first, last};
}

MergeInput::MergeInput(std::shared_ptr<const Segment> segment, SegmentWriter& writer)
    : segment_(std::move(segment)), writer_(writer) {}

uint64_t MergeInput::delayed_until_s(const MergeGroup& group, uint32_t row) const {
    if (delays_ != nullptr) {
        const uint64_t arrival_s = delays_->arrival_s(group.meta.first_row + row);
        if (arrival_s > 0) return arrival_s;
    }
    const auto start_ns = static_cast<uint64_t>(group.block(kColumnStart).integers[row]);
    const auto& durations = group.block(kColumnDuration).integers;
    const uint64_t duration_ns = durations.empty() ? 0 : static_cast<uint64_t>(durations[row]);
    const uint64_t end_ns = std::max(start_ns, start_ns + duration_ns);
    // One that came later would be among the delays.
    return is_delayed(first_arrival_s_, end_ns) ? first_arrival_s_ : 0;
}

Result<void> MergeInput::prepare() {
    file_ = dynamic_cast<const FileSegment*>(segment_.get());
    if (file_ == nullptr)
        return fail(ErrorCode::kUnsupported, "merge: an input is a view of a segment");
    TRY_ASSIGN(delays_, segment_->delays());
    first_arrival_s_ = segment_->info().arrival_ns_min / kNsPerSecond;
    const auto columns = segment_->columns();
    const std::vector<ColumnKey>& known = fixed_columns();
    fixed_.assign(kFixedColumns, UINT32_MAX);
    shared_maps_.resize(columns.size());
    last_owners_.resize(columns.size());
    for (uint32_t column = 0; column < columns.size(); ++column) {
        const ColumnKey& key = columns[column];
        if (key.scope != Scope::kIntrinsic) {
            columns_.push_back(
                writer_.attribute_column(key.table, key.key, key.type, key.is_boolean));
            continue;
        }
        const auto at = std::find_if(known.begin(), known.end(),
                                     [&](const ColumnKey& one) { return is_same_place(one, key); });
        if (at == known.end())
            return fail(ErrorCode::kUnsupported, "merge: an input has a column not known here");
        const auto number = static_cast<uint32_t>(at - known.begin());
        columns_.push_back(number);
        fixed_[number] = column;
    }
    if (std::find(fixed_.begin(), fixed_.end(), UINT32_MAX) != fixed_.end())
        return fail(ErrorCode::kUnsupported, "merge: an input lacks a column");
    scopes_.assign(segment_->scope_count(), kUnmapped);
    return {};
}

uint32_t MergeInput::output_scope(int64_t input_scope) {
    uint32_t& mapped = scopes_[static_cast<size_t>(input_scope)];
    if (mapped != kUnmapped) return mapped;
    const auto scope = static_cast<uint32_t>(input_scope);
    const uint32_t resource = segment_->scope_resource(scope);
    const uint32_t number = writer_.resource(segment_->resource_message(resource),
                                             segment_->resource_schema_url(resource));
    mapped =
        writer_.scope(number, segment_->scope_message(scope), segment_->scope_schema_url(scope));
    return mapped;
}

uint32_t MergeInput::group_of(uint32_t row) const {
    const auto groups = segment_->row_groups();
    const auto at =
        std::upper_bound(groups.begin(), groups.end(), row,
                         [](uint32_t r, const RowGroup& group) { return r < group.first_row; });
    return static_cast<uint32_t>(at - groups.begin() - 1);
}

// A dictionary that comes with two blocks is shared; the map of its codes then outlives them.
void MergeInput::map_texts(uint32_t column, TextSource& source) {
    const ColumnBlock& block = *source.block;
    if (block.owner == nullptr) return;
    CodeMap& shared = shared_maps_[column];
    if (block.owner == last_owners_[column]) shared.owner = block.owner;
    last_owners_[column] = block.owner;
    source.map = block.owner == shared.owner ? &shared : &source.own_map;
    if (source.map->codes.size() < block.strings.size())
        source.map->codes.resize(block.strings.size());
}

Result<void> MergeInput::load_attributes(Table table, uint32_t group, AttributeTable& attributes) {
    TRY_ASSIGN(auto orders, file_->read_values(fixed_[order_column(table)], group, 0, {}));
    attributes.start(std::move(orders), segment_->columns().size());
    for (AttributeTable::Column& column : attributes.columns()) {
        TRY_ASSIGN(column.texts.block,
                   file_->read_values(column.number, group, attributes.values(column), {}));
        column.type = column.texts.block->type;
        column.output_column = columns_[column.number];
        if (column.output_column == SegmentWriter::kNone) continue;
        column.stage = &writer_.stage(column.output_column);
        if (!writer_.has_texts(column.output_column)) continue;
        column.output_texts = &writer_.texts(column.output_column);
        map_texts(column.number, column.texts);
    }
    return {};
}

Result<std::shared_ptr<MergeGroup>> MergeInput::load(uint32_t group) {
    auto loaded = std::make_shared<MergeGroup>();
    loaded->meta = segment_->row_groups()[group];
    for (uint32_t column = 0; column < kFixedColumns; ++column) {
        TextSource& source = loaded->fixed[column];
        TRY_ASSIGN(source.block, file_->read_values(fixed_[column], group, 0, {}));
        map_texts(fixed_[column], source);
    }
    for (const Table table : {Table::kSpans, Table::kEvents, Table::kLinks})
        TRY(load_attributes(table, group, loaded->attributes[static_cast<size_t>(table)]));
    return loaded;
}

Result<std::shared_ptr<WholeGroup>> MergeInput::load_whole(uint32_t group) {
    auto loaded = std::make_shared<WholeGroup>();
    for (const uint32_t column : fixed_) {
        TRY_ASSIGN(auto block, segment_->read(column, group));
        loaded->fixed.push_back({column, std::move(block), 0});
    }
    const auto columns = segment_->columns();
    for (uint32_t column = 0; column < columns.size(); ++column) {
        if (columns[column].scope == Scope::kIntrinsic) continue;
        TRY_ASSIGN(auto block, segment_->read(column, group));
        if (block->size() > 0) loaded->attributes.push_back({column, std::move(block), 0});
    }
    return loaded;
}

uint32_t MergeInput::output_order(Table table, const ColumnBlock& block, uint32_t code) {
    OrderMap& map = order_maps_[static_cast<size_t>(table)];
    if (map.owner != block.owner) {
        map.owner = block.owner;
        map.orders.assign(block.strings.size(), kUnmapped);
    }
    uint32_t& mapped = map.orders[code];
    if (mapped == kUnmapped) {
        std::vector<uint32_t> columns;
        const std::string_view order = block.strings[code];
        for (size_t i = 0; i < order.size() / 4; ++i)
            columns.push_back(columns_[order_entry(order, i)]);
        const bool fits =
            std::find(columns.begin(), columns.end(), SegmentWriter::kNone) == columns.end();
        const uint32_t made = fits ? writer_.order(table, columns) : SegmentWriter::kNone;
        mapped = made == SegmentWriter::kNone ? kNoOrder : made;
    }
    return mapped == kNoOrder ? SegmentWriter::kNone : mapped;
}

// ---- one row, all of it

void MergeInput::append_attributes(Table table, WholeGroup& group, uint32_t row,
                                   std::string& out) const {
    const std::string_view order = order_of(group, table, row);
    std::vector<uint32_t> seen;
    otlp::WireWriter writer(out);
    for (uint32_t i = 0; i < order.size() / 4; ++i) {
        const uint32_t number = order_entry(order, i);
        const auto at = std::lower_bound(
            group.attributes.begin(), group.attributes.end(), number,
            [](const WholeGroup::Column& column, uint32_t n) { return column.number < n; });
        if (at == group.attributes.end() || at->number != number) continue;
        // A key that comes again takes the next value.
        const auto times = static_cast<size_t>(std::count(seen.begin(), seen.end(), number));
        seen.push_back(number);
        const ValueRange range = values_of(*at, row, row + 1);
        if (range.first + times >= range.last) continue;
        const ColumnKey& key = segment_->columns()[number];
        const size_t mark = writer.begin(1);
        writer.bytes_field(1, key.key);
        const size_t value = writer.begin(2);
        append_value(key, *at->block, range.first + times, out);
        writer.end(value);
        writer.varint_field(15, i);
        writer.end(mark);
    }
}

std::string MergeInput::overflow_value(Table table, WholeGroup& group, uint32_t row) const {
    std::string out;
    WholeGroup::Column& column = group.fixed[overflow_column(table)];
    const ValueRange range = values_of(column, row, row + 1);
    if (range.first == range.last) {
        append_attributes(table, group, row, out);
        return out;
    }
    // Some attributes have been in the overflow before; the others fill the positions between.
    const std::string_view before = column.block->strings[column.block->codes[range.first]];
    std::string rest;
    append_attributes(table, group, row, rest);
    std::vector<std::pair<uint32_t, std::string>> placed;
    otlp::WireReader reader(before);
    std::vector<OverflowAttribute> attributes = overflow_attributes(before);
    for (size_t i = 0; reader.next();) {
        if (reader.field() != 1 || reader.wire_type() != 2) {
            reader.skip();
            continue;
        }
        placed.emplace_back(attributes[i++].position, reader.bytes());
    }
    std::sort(placed.begin(), placed.end());
    std::vector<uint32_t> taken;
    for (const auto& one : placed)
        taken.push_back(one.first);
    otlp::WireReader others(rest);
    uint32_t position = 0;
    while (others.next()) {
        std::string message(others.bytes());
        while (std::binary_search(taken.begin(), taken.end(), position))
            ++position;
        otlp::WireWriter(message).varint_field(15, position);  // the last one counts
        placed.emplace_back(position++, std::move(message));
    }
    std::sort(placed.begin(), placed.end());
    otlp::WireWriter writer(out);
    for (const auto& one : placed)
        writer.bytes_field(1, one.second);
    return out;
}

void MergeInput::append_child(Table table, WholeGroup& group, uint32_t row,
                              std::string& out) const {
    for (uint32_t column = 0; column < kFixedColumns; ++column) {
        const ColumnKey& key = fixed_columns()[column];
        const bool is_content = key.table == table && key.row_field != RowField::kAttributeOrder &&
                                key.row_field != RowField::kOwner &&
                                key.row_field != RowField::kScopeIndex;
        if (!is_content) continue;
        WholeGroup::Column& one = group.fixed[column];
        const ValueRange range = values_of(one, row, row + 1);
        out += static_cast<char>(column);
        for (size_t at = range.first; at < range.last; ++at)
            append_value(key, *one.block, at, out);
    }
    out += '\xff';
    append_attributes(table, group, row, out);
}

std::string MergeInput::content(WholeGroup& group, uint32_t row) {
    std::string out;
    ByteWriter(out).varint(output_scope(group.block(kColumnScope).integers[row]));
    append_child(Table::kSpans, group, row, out);
    for (const Table table : {Table::kEvents, Table::kLinks}) {
        const auto& owners =
            group.block(table == Table::kEvents ? kColumnEventOwner : kColumnLinkOwner).integers;
        const auto [first, last] = std::equal_range(owners.begin(), owners.end(), int64_t{row});
        for (auto at = first; at != last; ++at)
            append_child(table, group, static_cast<uint32_t>(at - owners.begin()), out);
    }
    return out;
}

}  // namespace spanloom::store

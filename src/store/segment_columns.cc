#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "store/segment_bytes.h"
#include "store/segment_file.h"
#include "store/segment_wire.h"

namespace spanloom::store {
namespace {

uint32_t fixed_width(uint32_t column) {
    return column == kColumnLinkTraceId ? 16 : 8;
}

// Leaves only the values that keep() likes: `values` are the block's integers or codes.
template <typename T, typename Keep>
void filter_block(ColumnBlock& block, std::vector<T>& values, Keep keep) {
    const size_t count = values.size();
    block.rows.resize(count);  // there are none yet
    size_t to = 0;
    // Without a branch.
    for (size_t i = 0; i < count; ++i) {
        const T value = values[i];
        block.rows[to] = static_cast<uint32_t>(i);
        values[to] = value;
        to += keep(value) ? 1 : 0;
    }
    if (to == count && count > 0) {
        block.rows.clear();
        return;
    }
    block.rows.resize(to);
    values.resize(to);
    block.dense = false;
}

void drop_empty_texts(ColumnBlock& block) {
    const auto is_empty = [](std::string_view text) { return text.empty(); };
    if (std::none_of(block.strings.begin(), block.strings.end(), is_empty)) return;
    filter_block(block, block.codes, [&](uint32_t code) { return !block.strings[code].empty(); });
}

}  // namespace

void hand_over(std::shared_ptr<const TextList> texts, ColumnBlock& out) {
    out.strings = texts->texts;
    out.storage = texts->storage;
    out.owner = std::move(texts);
}

Result<void> set_texts(std::shared_ptr<const TextList> texts, std::span<const int64_t> codes,
                       ColumnBlock& out) {
    out.codes.resize(codes.size());
    for (size_t i = 0; i < codes.size(); ++i) {
        const auto code = static_cast<uint64_t>(codes[i]);
        if (code >= texts->texts.size())
            return fail(ErrorCode::kDataLoss, "a text code is out of range");
        out.codes[i] = static_cast<uint32_t>(code);
    }
    hand_over(std::move(texts), out);
    return {};
}

Result<void> FileSegment::decode_values(uint32_t column, uint32_t group, std::string_view body,
                                        size_t count, std::span<const uint32_t> rows,
                                        std::vector<int64_t>& out, bool is_pattern) const {
    if (column == kColumnName && is_modelled(body)) return decode_names(group, body, out);
    const bool follows = !body.empty() && static_cast<uint8_t>(body.front()) == kFollowsForm &&
                         footer_.columns[column].table == Table::kSpans;
    if (!follows) return decode_integers(body, count, out);
    TRY_ASSIGN(const auto directory, followers());
    TRY_ASSIGN(const auto keys, follow_keys(group));
    const uint32_t follower = follower_of(column, is_pattern);
    body.remove_prefix(1);
    if (rows.empty() && count == keys->size()) return directory->decode(follower, body, *keys, out);
    thread_local ColumnBlock found;
    if (rows.empty() && column >= kFixedColumns) {
        size_t there = 0;
        found.rows.clear();
        TRY(find_rows(column, group, found, there));
        rows = found.rows;
    }
    if (rows.size() != count) return fail(ErrorCode::kDataLoss, "names and values do not fit");
    thread_local std::vector<FollowKey> keys_of_rows;
    keys_of_rows.resize(rows.size());
    for (size_t i = 0; i < rows.size(); ++i)
        keys_of_rows[i] = (*keys)[rows[i]];
    return directory->decode(follower, body, keys_of_rows, out);
}

// That values of any type are such messages.
Result<void> FileSegment::check_texts(uint32_t column, const TextList& list) const {
    if (footer_.columns[column].type != ColumnType::kValue) return {};
    const WireMessage type = footer_.columns[column].row_field == RowField::kOverflow
                                 ? WireMessage::kOverflow
                                 : WireMessage::kAnyValue;
    for (const std::string_view text : list.texts)
        if (check_wire(text, type) == WireState::kBroken)
            return fail(ErrorCode::kDataLoss, "a value is no OTLP message");
    return {};
}

Result<void> FileSegment::decode_text(uint32_t column, uint32_t group, Blob body, size_t count,
                                      ColumnBlock& out, std::span<const uint8_t> wanted) const {
    ByteReader reader(body.view());
    const auto form = static_cast<TextForm>(reader.u8());
    if (form == TextForm::kShared) {
        TRY_ASSIGN(const auto texts, dictionary(column));
        thread_local std::vector<int64_t> codes;
        codes.clear();
        TRY(decode_values(column, group, reader.rest(), count, out.rows, codes));
        return set_texts(texts, codes, out);
    }
    PatternSource source;
    source.patterns = [&] { return patterns(column); };
    thread_local std::vector<int64_t> codes;
    codes.clear();
    TextList list;
    if (form == TextForm::kLocal) {
        const uint64_t entries = reader.varint_max(count);
        const std::string_view part = reader.text();
        if (!reader.ok()) return fail(ErrorCode::kDataLoss, "a dictionary ends early");
        source.codes = [&](std::string_view numbers, std::vector<int64_t>& to) {
            return decode_integers(numbers, entries, to);
        };
        TRY_ASSIGN(list, decode_texts(part, entries, body, &source));
        TRY(decode_integers(reader.rest(), count, codes));
    } else if (form == TextForm::kPlain) {
        source.wanted = wanted;
        source.codes = [&](std::string_view numbers, std::vector<int64_t>& to) {
            return decode_values(column, group, numbers, count, out.rows, to, true);
        };
        TRY_ASSIGN(list, decode_coded_texts(reader.rest(), count, body, &source));
        if (list.codes.empty()) {
            list.codes.resize(count);
            std::iota(list.codes.begin(), list.codes.end(), 0);
        }
        TRY(check_texts(column, list));
        std::swap(out.codes, list.codes);
        hand_over(std::make_shared<const TextList>(std::move(list)), out);
        return {};
    } else {
        return fail(ErrorCode::kDataLoss, "texts have an unknown form");
    }
    TRY(check_texts(column, list));
    return set_texts(std::make_shared<const TextList>(std::move(list)), codes, out);
}

// Trace ids of links: those of fragments of this segment, and others.
Result<void> FileSegment::decode_link_traces(std::string_view body, size_t count,
                                             ColumnBlock& out) const {
    ByteReader reader(body);
    reader.u8();
    const std::string_view numbers = reader.text();
    if (!reader.ok()) return fail(ErrorCode::kDataLoss, "links end early");
    std::vector<int64_t> fragments;
    TRY(decode_integers(numbers, count, fragments));
    TRY_ASSIGN(const Blob others, decode_bytes(reader.rest()));
    Blob ids = Blob::allocate(count * kTraceIdBytes);
    size_t next = 0;
    for (size_t i = 0; i < count; ++i) {
        uint8_t* const to = ids.mutable_data() + i * kTraceIdBytes;
        if (fragments[i] != 0) {
            if (fragments[i] < 0 || static_cast<uint64_t>(fragments[i]) > footer_.info.traces)
                return fail(ErrorCode::kDataLoss, "a link's trace is out of range");
            TRY_ASSIGN(const TraceFragment found,
                       fragment(static_cast<uint32_t>(fragments[i] - 1)));
            std::memcpy(to, found.trace_id.bytes.data(), kTraceIdBytes);
            continue;
        }
        if (others.size() - next < kTraceIdBytes)
            return fail(ErrorCode::kDataLoss, "ids of links end early");
        std::memcpy(to, others.data() + next, kTraceIdBytes);
        next += kTraceIdBytes;
    }
    if (next != others.size()) return fail(ErrorCode::kDataLoss, "too many ids of links");
    out.storage = ids;
    out.fixed = ids.view();
    return {};
}

// Of an attribute column whose block was left out, as all its values follow.
Result<std::string_view> FileSegment::left_out_body(uint32_t column) const {
    const ColumnKey& key = footer_.columns[column];
    const bool can_follow = footer_.version >= 3 && footer_.followers.bytes > 0 &&
                            key.table == Table::kSpans &&
                            (key.type == ColumnType::kInt || key.type == ColumnType::kString);
    if (!can_follow) return fail(ErrorCode::kDataLoss, "attribute orders and values do not fit");
    static constexpr char kBody[] = {static_cast<char>(kFollowsForm), 0};
    return std::string_view(kBody, sizeof kBody);
}

Result<void> FileSegment::decode_left_out(uint32_t column, uint32_t group, size_t count,
                                          ColumnBlock& out) const {
    TRY_ASSIGN(const std::string_view body, left_out_body(column));
    if (out.type == ColumnType::kInt)
        return decode_values(column, group, body, count, out.rows, out.integers);
    TRY_ASSIGN(const auto texts, dictionary(column));
    thread_local std::vector<int64_t> codes;
    codes.clear();
    TRY(decode_values(column, group, body, count, out.rows, codes));
    return set_texts(texts, codes, out);
}

Result<void> FileSegment::decode(uint32_t column, uint32_t group, const ColumnPlace& place,
                                 size_t count, ColumnBlock& out,
                                 std::span<const uint8_t> wanted) const {
    TRY_ASSIGN(Blob body, block({place.offset, place.bytes}));
    switch (out.type) {
        case ColumnType::kInt:
            return decode_values(column, group, body.view(), count, out.rows, out.integers);
        case ColumnType::kDouble:
            return decode_doubles(body.view(), count, out.numbers);
        case ColumnType::kFixed: {
            const bool has_references =
                column == kColumnLinkTraceId && !body.empty() && body.data()[0] == kReferencesForm;
            if (has_references) return decode_link_traces(body.view(), count, out);
            TRY_ASSIGN(out.storage, decode_bytes_in_place(body));
            out.fixed = out.storage.view();
            if (out.fixed.size() != count * out.width)
                return fail(ErrorCode::kDataLoss, "ids have a wrong length");
            return {};
        }
        default:
            return decode_text(column, group, std::move(body), count, out, wanted);
    }
}

// Made once for a group where many columns have few rows each.
Result<std::shared_ptr<const OrderRows>> FileSegment::order_rows(Table table,
                                                                 uint32_t group) const {
    const auto make = [&]() -> Result<OrderRows> {
        TRY_ASSIGN(const auto codes, order_codes(table, group));
        TRY_ASSIGN(const auto known, orders(table));
        std::vector<uint32_t> next(known->texts->texts.size(), 0);  // place of an order's next row
        for (const uint16_t order : *codes)
            ++next[order];
        OrderRows made;
        uint32_t place = 0;
        for (uint32_t order = 0; order < next.size(); ++order) {
            const uint32_t rows = std::exchange(next[order], place);
            if (rows == 0) continue;
            made.orders.push_back(order);
            made.first.push_back(place);
            place += rows;
        }
        made.first.push_back(place);
        made.rows.resize(place);
        for (uint32_t row = 0; row < codes->size(); ++row)
            made.rows[next[(*codes)[row]]++] = row;
        return made;
    };
    return cached<OrderRows>(Piece::kOrderRows, uint64_t{order_column(table)} << 32 | group, make);
}

// Different rows below `all`, in their order: by bits, as they are many of few.
static void sort_rows(std::vector<uint32_t>& rows, size_t all) {
    thread_local std::vector<uint64_t> words;
    words.assign((all + 63) / 64, 0);
    for (const uint32_t row : rows)
        words[row / 64] |= uint64_t{1} << (row % 64);
    uint32_t* to = rows.data();
    for (size_t word = 0; word < words.size(); ++word) {
        for (uint64_t bits = words[word]; bits != 0; bits &= bits - 1)
            *to++ =
                static_cast<uint32_t>(word * 64) + static_cast<uint32_t>(std::countr_zero(bits));
    }
    rows.resize(static_cast<size_t>(to - rows.data()));
}

// Of a column that few orders name, without a look at each row; `all`: how many there are.
Result<void> FileSegment::find_few_rows(uint32_t column, uint32_t group,
                                        const AttributeOrders& known, size_t all,
                                        ColumnBlock& out) const {
    TRY_ASSIGN(const auto index, order_rows(footer_.columns[column].table, group));
    uint32_t most = 0;
    uint32_t found = 0;
    for (uint32_t i = known.first_use[column]; i < known.first_use[column + 1]; ++i) {
        const auto [order, times] = known.uses[i];
        const auto at = std::lower_bound(index->orders.begin(), index->orders.end(), order);
        if (at == index->orders.end() || *at != order) continue;
        const auto place = static_cast<size_t>(at - index->orders.begin());
        const size_t rows = index->first[place + 1] - index->first[place];
        // A few bytes of order may name a column often: what they ask for must fit a block.
        if (out.rows.size() + rows * times > kBlockBytesMax / 16)
            return fail(ErrorCode::kDataLoss, "attribute orders ask for too many values");
        for (size_t row = index->first[place]; row < index->first[place + 1]; ++row)
            out.rows.insert(out.rows.end(), times, index->rows[row]);
        most = std::max(most, times);
        ++found;
    }
    if (found > 1 && most == 1) {
        sort_rows(out.rows, all);
    } else if (found > 1) {
        std::sort(out.rows.begin(), out.rows.end());
    }
    out.dense = most == 1 && out.rows.size() == all;
    return {};
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
    // Which rows have which order is worth finding out where many columns will ask.
    constexpr size_t kManyColumns = 256;
    constexpr size_t kLookupCost = 32;  // of looking at one row
    const size_t uses = known->first_use[column + 1] - known->first_use[column];
    if (footer_.columns.size() > kManyColumns && uses * kLookupCost < codes->size()) {
        TRY(find_few_rows(column, group, *known, codes->size(), out));
        count = out.rows.size();
        if (out.dense) out.rows.clear();
        return {};
    }
    thread_local std::vector<uint32_t> times;
    times.assign(known->texts->texts.size(), 0);
    uint32_t most = 0;
    for (uint32_t i = known->first_use[column]; i < known->first_use[column + 1]; ++i) {
        times[known->uses[i].order] = known->uses[i].times;
        most = std::max(most, known->uses[i].times);
    }
    if (most <= 1) {
        // Without a branch.
        out.rows.resize(codes->size() + 1);
        uint32_t* to = out.rows.data();
        for (uint32_t row = 0; row < codes->size(); ++row) {
            *to = row;
            to += times[(*codes)[row]];
        }
        count = static_cast<size_t>(to - out.rows.data());
    } else {
        for (const uint16_t code : *codes)
            count += times[code];
        // A few bytes of order may name a column often: what they ask for must fit a block.
        if (count > kBlockBytesMax / 16)
            return fail(ErrorCode::kDataLoss, "attribute orders ask for too many values");
        out.rows.reserve(count);
        most = 0;
        for (uint32_t row = 0; row < codes->size(); ++row) {
            const uint32_t here = times[(*codes)[row]];
            most = std::max(most, here);
            out.rows.insert(out.rows.end(), here, row);
        }
    }
    out.rows.resize(count);
    out.dense = most == 1 && count == codes->size();
    if (out.dense) out.rows.clear();
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

// That what others are found by is in range.
Result<void> FileSegment::check_fixed(uint32_t column, uint32_t group,
                                      const ColumnBlock& block) const {
    if (column == kColumnEventOwner || column == kColumnLinkOwner) {
        int64_t before = 0;
        for (const int64_t owner : block.integers) {
            if (owner < before || owner >= footer_.groups[group].rows)
                return fail(ErrorCode::kDataLoss, "a child row belongs to no span");
            before = owner;
        }
    }
    if (column == order_column(footer_.columns[column].table) && !block.codes.empty())
        TRY(orders(footer_.columns[column].table));
    return {};
}

Result<void> FileSegment::read_scopes(uint32_t group, ColumnBlock& out) const {
    TRY_ASSIGN(const auto known, scopes(group));
    known->scopes.copy_to(out.integers);
    return {};
}

Result<void> FileSegment::read_fixed_values(uint32_t column, uint32_t group,
                                            ColumnBlock& out) const {
    if (out.type == ColumnType::kFixed) out.width = fixed_width(column);
    if (column == kColumnParentId) return read_links(group, out, nullptr);
    if (column == kColumnScope) return read_scopes(group, out);
    const size_t count = table_rows(footer_.columns[column].table, group);
    const ColumnPlace* place = footer_.find(column, group);
    const bool is_needed = out.type == ColumnType::kFixed && count > 0;
    if (place == nullptr && is_needed) return fail(ErrorCode::kDataLoss, "the ids are missing");
    if (place != nullptr)
        TRY(decode(column, group, *place, count, out));
    else if (column == kColumnStart || column == kColumnEventOwner || column == kColumnLinkOwner)
        out.integers.assign(count, 0);
    if (column == kColumnStart) TRY(add_starts(group, out.integers));
    return check_fixed(column, group, out);
}

Result<void> FileSegment::read_fixed_column(uint32_t column, uint32_t group,
                                            ColumnBlock& out) const {
    if (out.type == ColumnType::kFixed) out.width = fixed_width(column);
    if (column == kColumnParentId) return read_parents(group, out);
    if (column == kColumnScope) return read_scopes(group, out);
    const size_t count = table_rows(footer_.columns[column].table, group);
    const ColumnPlace* place = footer_.find(column, group);
    if (place != nullptr) {
        TRY(decode(column, group, *place, count, out));
    } else if (drops_zeros(column)) {
        out.dense = false;
        return {};
    } else if (out.type == ColumnType::kInt) {
        out.integers.assign(count, 0);
    } else if (out.type == ColumnType::kFixed && count > 0) {
        return fail(ErrorCode::kDataLoss, "the ids are missing");
    } else {
        out.dense = false;  // texts, all empty
        return {};
    }
    if (column == kColumnStart) TRY(add_starts(group, out.integers));
    TRY(check_fixed(column, group, out));
    if (drops_zeros(column))
        filter_block(out, out.integers, [](int64_t value) { return value != 0; });
    if (!out.codes.empty()) drop_empty_texts(out);
    if (count == 0) out.dense = false;
    return {};
}

Result<void> FileSegment::read_column(uint32_t column, uint32_t group, ColumnBlock& out) const {
    out.type = footer_.columns[column].type;
    if (column < kFixedColumns) return read_fixed_column(column, group, out);
    size_t count = 0;
    TRY(find_rows(column, group, out, count));
    const ColumnPlace* place = footer_.find(column, group);
    if (place != nullptr && count == 0)
        return fail(ErrorCode::kDataLoss, "attribute orders and values do not fit");
    if (count == 0) return {};
    return place == nullptr ? decode_left_out(column, group, count, out)
                            : decode(column, group, *place, count, out);
}

tl::unexpected<Error> FileSegment::located(const Error& error, uint32_t column,
                                           uint32_t group) const {
    return fail(error.code, "segment: column {} ({}) of row group {}: {}", column,
                column < kFixedColumns ? "fixed" : footer_.columns[column].key, group,
                error.message);
}

// Blocks that are soon let go of, as nobody keeps them: their memory is used again. Each thread has
// a few.
static std::shared_ptr<ColumnBlock> short_lived_block() {
    constexpr size_t kBlocks = 4;
    constexpr size_t kValuesMax = kGroupRowsMax;
    thread_local std::vector<std::unique_ptr<ColumnBlock>> free_blocks;
    const auto let_go = [](ColumnBlock* block) {
        std::unique_ptr<ColumnBlock> owned(block);
        const bool is_small =
            block->rows.capacity() <= kValuesMax && block->integers.capacity() <= kValuesMax &&
            block->numbers.capacity() <= kValuesMax && block->codes.capacity() <= kValuesMax;
        if (!is_small || free_blocks.size() == kBlocks) return;
        ColumnBlock empty;
        std::swap(empty.rows, block->rows);
        std::swap(empty.integers, block->integers);
        std::swap(empty.numbers, block->numbers);
        std::swap(empty.codes, block->codes);
        empty.rows.clear();
        empty.integers.clear();
        empty.numbers.clear();
        empty.codes.clear();
        *block = std::move(empty);
        free_blocks.push_back(std::move(owned));
    };
    if (free_blocks.empty()) return {new ColumnBlock, let_go};
    std::shared_ptr<ColumnBlock> block(free_blocks.back().release(), let_go);
    free_blocks.pop_back();
    return block;
}

Result<std::shared_ptr<const ColumnBlock>> FileSegment::read_values(
    uint32_t column, uint32_t row_group, size_t count, std::span<const uint8_t> wanted) const {
    auto out = short_lived_block();
    out->type = footer_.columns[column].type;
    const auto read = [&]() -> Result<void> {
        if (column < kFixedColumns) return read_fixed_values(column, row_group, *out);
        const ColumnPlace* place = footer_.find(column, row_group);
        if (place != nullptr && count == 0)
            return fail(ErrorCode::kDataLoss, "attribute orders and values do not fit");
        if (count == 0) return {};
        return place == nullptr ? decode_left_out(column, row_group, count, *out)
                                : decode(column, row_group, *place, count, *out, wanted);
    };
    if (Result<void> done = read(); !done) return located(done.error(), column, row_group);
    return std::shared_ptr<const ColumnBlock>(std::move(out));
}

Result<std::shared_ptr<const ColumnBlock>> FileSegment::read(uint32_t column,
                                                             uint32_t row_group) const {
    if (column >= footer_.columns.size() || row_group >= footer_.groups.size())
        return fail(ErrorCode::kInvalidArgument, "segment: there is no column {} in row group {}",
                    column, row_group);
    auto out = std::make_shared<ColumnBlock>();
    Result<void> done = read_column(column, row_group, *out);
    if (!done) return located(done.error(), column, row_group);
    return std::shared_ptr<const ColumnBlock>(std::move(out));
}

}  // namespace spanloom::store

#include <algorithm>
#include <numeric>

#include "store/segment_bytes.h"
#include "store/segment_file.h"
#include "store/segment_wire.h"

namespace spanloom::store {
namespace {

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

// Texts and the number of each value among them.
Result<void> set_texts(std::shared_ptr<const TextList> texts, std::span<const int64_t> codes,
                       size_t count, ColumnBlock& out) {
    out.codes.resize(count);
    for (size_t i = 0; i < count; ++i) {
        const auto code = static_cast<uint64_t>(codes[i]);
        if (code >= texts->texts.size())
            return fail(ErrorCode::kDataLoss, "a text code is out of range");
        out.codes[i] = static_cast<uint32_t>(code);
    }
    out.strings = texts->texts;
    out.storage = texts->storage;
    out.owner = std::move(texts);
    return {};
}

}  // namespace

Result<std::shared_ptr<const FollowerDirectory>> FileSegment::followers() const {
    {
        const std::lock_guard lock(mutex_);
        if (followers_ != nullptr) return followers_;
    }
    if (footer_.followers.bytes == 0)
        return fail(ErrorCode::kDataLoss, "a column follows, but nothing says how");
    TRY_ASSIGN(const Blob body, block(footer_.followers));
    TRY_ASSIGN(FollowerDirectory read,
               FollowerDirectory::parse(body.view(), static_cast<uint32_t>(footer_.columns.size()),
                                        footer_.version));
    auto made = std::make_shared<const FollowerDirectory>(std::move(read));
    const std::lock_guard lock(mutex_);
    if (followers_ == nullptr) kept_bytes_ += made->memory_bytes();
    followers_ = made;
    return made;
}

// What the values of each row of a group follow.
Result<std::shared_ptr<const OrderCodes>> FileSegment::follow_keys(uint32_t group) const {
    {
        const std::lock_guard lock(mutex_);
        if (auto kept = follow_keys_.find(group)) return kept;
    }
    TRY_ASSIGN(const auto directory, followers());
    const ColumnPlace* place = footer_.find(kColumnName, group);
    if (place == nullptr)
        return fail(ErrorCode::kDataLoss, "the names that others follow are missing");
    const uint32_t rows = footer_.groups[group].rows;
    TRY_ASSIGN(const Blob body, block({place->offset, place->bytes}));
    ByteReader reader(body.view());
    if (reader.u8() != static_cast<uint8_t>(TextForm::kShared))
        return fail(ErrorCode::kDataLoss, "the names that others follow have another form");
    std::vector<int64_t> names;
    TRY(decode_integers(reader.rest(), rows, names));
    auto keys = std::make_shared<OrderCodes>(names.begin(), names.end());
    if (directory->has_families()) {
        std::vector<int64_t> scopes(rows, 0);
        if (const ColumnPlace* scope_place = footer_.find(kColumnScope, group)) {
            TRY_ASSIGN(const Blob scope_body, block({scope_place->offset, scope_place->bytes}));
            TRY(decode_scopes(group, scope_body.view(), scopes));
        }
        for (uint32_t row = 0; row < rows; ++row) {
            if (static_cast<uint64_t>(scopes[row]) >= families_.size())
                return fail(ErrorCode::kDataLoss, "a scope is out of range");
            (*keys)[row] =
                directory->key(families_[static_cast<size_t>(scopes[row])], (*keys)[row]);
        }
    }
    const std::lock_guard lock(mutex_);
    follow_keys_.keep(group, keys);
    return std::shared_ptr<const OrderCodes>(keys);
}

Result<void> FileSegment::decode_values(uint32_t column, uint32_t group, std::string_view body,
                                        size_t count, std::span<const uint32_t> rows,
                                        std::vector<int64_t>& out, bool is_pattern) const {
    const bool follows = !body.empty() && static_cast<uint8_t>(body.front()) == kFollowsForm &&
                         footer_.columns[column].table == Table::kSpans;
    if (!follows) return decode_integers(body, count, out);
    TRY_ASSIGN(const auto directory, followers());
    TRY_ASSIGN(const auto keys, follow_keys(group));
    const uint32_t follower = follower_of(column, is_pattern);
    body.remove_prefix(1);
    if (rows.empty() && count == keys->size()) return directory->decode(follower, body, *keys, out);
    ColumnBlock found;
    if (rows.empty() && column >= kFixedColumns) {
        size_t there = 0;
        TRY(find_rows(column, group, found, there));
        rows = found.rows;
    }
    if (rows.size() != count) return fail(ErrorCode::kDataLoss, "names and values do not fit");
    std::vector<uint32_t> keys_of_rows(rows.size());
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
                                      ColumnBlock& out) const {
    ByteReader reader(body.view());
    const auto form = static_cast<TextForm>(reader.u8());
    if (form == TextForm::kShared) {
        TRY_ASSIGN(const auto texts, dictionary(column));
        std::vector<int64_t> codes;
        TRY(decode_values(column, group, reader.rest(), count, out.rows, codes));
        return set_texts(texts, codes, count, out);
    }
    PatternSource source;
    source.patterns = [&] { return patterns(column); };
    std::vector<int64_t> codes;
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
        source.codes = [&](std::string_view numbers, std::vector<int64_t>& to) {
            return decode_values(column, group, numbers, count, out.rows, to, true);
        };
        TRY_ASSIGN(list, decode_coded_texts(reader.rest(), count, body, &source));
        if (list.codes.empty()) {
            codes.resize(count);
            std::iota(codes.begin(), codes.end(), 0);
        } else {
            codes.assign(list.codes.begin(), list.codes.end());
        }
    } else {
        return fail(ErrorCode::kDataLoss, "texts have an unknown form");
    }
    TRY(check_texts(column, list));
    return set_texts(std::make_shared<const TextList>(std::move(list)), codes, count, out);
}

Result<void> FileSegment::decode_scopes(uint32_t group, std::string_view body,
                                        std::vector<int64_t>& out) const {
    const uint32_t rows = footer_.groups[group].rows;
    const bool as_parents = !body.empty() && static_cast<uint8_t>(body.front()) == kAsParentForm;
    // Before version 3 scopes could follow from names.
    if (!as_parents && footer_.version < 3)
        return decode_values(kColumnScope, group, body, rows, {}, out);
    if (!as_parents) return decode_integers(body, rows, out);
    TRY(decode_integers(body.substr(1), rows, out));
    ColumnBlock links;
    TRY(read_links(group, links));
    if (links.integers.empty()) links.integers.assign(rows, kParentNone);
    for (size_t row = 0; row < out.size(); ++row) {
        const size_t parent = parent_row(links.integers[row], row);
        if (out[row] == 0 && parent == row)
            return fail(ErrorCode::kDataLoss, "a scope is that of no parent");
        out[row] = out[row] == 0 ? out[parent] : out[row] - 1;
    }
    return {};
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

// An attribute column whose block was left out: all its values follow.
Result<void> FileSegment::decode_left_out(uint32_t column, uint32_t group, size_t count,
                                          ColumnBlock& out) const {
    const bool can_follow = footer_.version >= 3 && footer_.followers.bytes > 0 &&
                            footer_.columns[column].table == Table::kSpans;
    if (!can_follow) return fail(ErrorCode::kDataLoss, "attribute orders and values do not fit");
    constexpr char kBody[] = {static_cast<char>(kFollowsForm), 0};
    const std::string_view body(kBody, sizeof kBody);
    if (out.type == ColumnType::kInt)
        return decode_values(column, group, body, count, out.rows, out.integers);
    if (out.type != ColumnType::kString)
        return fail(ErrorCode::kDataLoss, "attribute orders and values do not fit");
    TRY_ASSIGN(const auto texts, dictionary(column));
    std::vector<int64_t> codes;
    TRY(decode_values(column, group, body, count, out.rows, codes));
    return set_texts(texts, codes, count, out);
}

Result<void> FileSegment::decode(uint32_t column, uint32_t group, const ColumnPlace& place,
                                 size_t count, ColumnBlock& out) const {
    TRY_ASSIGN(Blob body, block({place.offset, place.bytes}));
    switch (out.type) {
        case ColumnType::kInt:
            if (column == kColumnScope) return decode_scopes(group, body.view(), out.integers);
            return decode_values(column, group, body.view(), count, out.rows, out.integers);
        case ColumnType::kDouble:
            return decode_doubles(body.view(), count, out.numbers);
        case ColumnType::kFixed: {
            const bool has_references =
                column == kColumnLinkTraceId && !body.empty() && body.data()[0] == kReferencesForm;
            if (has_references) return decode_link_traces(body.view(), count, out);
            TRY_ASSIGN(out.storage, decode_bytes(body.view()));
            out.fixed = out.storage.view();
            if (out.fixed.size() != count * out.width)
                return fail(ErrorCode::kDataLoss, "ids have a wrong length");
            return {};
        }
        default:
            return decode_text(column, group, std::move(body), count, out);
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

// Parents as they are stored: links, and the ids that follow them; nothing where no row has one.
Result<void> FileSegment::read_links(uint32_t group, ColumnBlock& out) const {
    const ColumnPlace* place = footer_.find(kColumnParentId, group);
    if (place == nullptr) return {};
    TRY_ASSIGN(const Blob body, block({place->offset, place->bytes}));
    ByteReader reader(body.view());
    const std::string_view part = reader.text();
    if (!reader.ok()) return fail(ErrorCode::kDataLoss, "parents end early");
    TRY(decode_integers(part, footer_.groups[group].rows, out.integers));
    TRY_ASSIGN(out.storage, decode_bytes(reader.rest()));
    out.fixed = out.storage.view();
    return {};
}

Result<void> FileSegment::read_parents(uint32_t group, ColumnBlock& out) const {
    out.dense = false;
    ColumnBlock stored;
    TRY(read_links(group, stored));
    if (stored.integers.empty()) return {};
    return resolve_parents(group, stored.integers, stored.fixed, out);
}

Result<std::optional<std::vector<int32_t>>> FileSegment::parent_rows(uint32_t row_group) const {
    if (row_group >= footer_.groups.size())
        return fail(ErrorCode::kInvalidArgument, "segment: there is no row group {}", row_group);
    if (footer_.info.spans > INT32_MAX) return std::nullopt;
    ColumnBlock stored;
    if (auto read = read_links(row_group, stored); !read)
        return located(read.error(), kColumnParentId, row_group);
    const RowGroup& group = footer_.groups[row_group];
    std::vector<int32_t> rows(group.rows, kNoParent);
    for (uint32_t row = 0; row < stored.integers.size(); ++row) {
        const int64_t link = stored.integers[row];
        if (link == kParentNone) continue;
        if (link == kParentElsewhere) {
            rows[row] = kParentNotHere;
            continue;
        }
        const int64_t own = int64_t{group.first_row} + row;
        const int64_t parent = (link & 1) != 0 ? own + link / 2 : own - link / 2;
        if (link < 0 || parent < 0 || parent >= static_cast<int64_t>(footer_.info.spans))
            return located({ErrorCode::kDataLoss, "a parent is out of range", 0}, kColumnParentId,
                           row_group);
        rows[row] = static_cast<int32_t>(parent);
    }
    return std::optional(std::move(rows));
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
    if (column == kColumnScope)
        for (const int64_t scope : block.integers)
            if (static_cast<uint64_t>(scope) >= footer_.scopes.size())
                return fail(ErrorCode::kDataLoss, "a scope is out of range");
    if (column == order_column(footer_.columns[column].table) && !block.codes.empty())
        TRY(orders(footer_.columns[column].table));
    return {};
}

Result<void> FileSegment::read_fixed_values(uint32_t column, uint32_t group,
                                            ColumnBlock& out) const {
    if (out.type == ColumnType::kFixed) out.width = fixed_width(column);
    if (column == kColumnParentId) return read_links(group, out);
    const size_t count = table_rows(footer_.columns[column].table, group);
    const ColumnPlace* place = footer_.find(column, group);
    const bool is_needed = out.type == ColumnType::kFixed && count > 0;
    if (place == nullptr && is_needed) return fail(ErrorCode::kDataLoss, "the ids are missing");
    if (place != nullptr)
        TRY(decode(column, group, *place, count, out));
    else if (column == kColumnStart || column == kColumnScope || column == kColumnEventOwner ||
             column == kColumnLinkOwner)
        out.integers.assign(count, 0);
    if (column == kColumnStart) TRY(add_starts(group, out.integers));
    return check_fixed(column, group, out);
}

Result<void> FileSegment::read_fixed_column(uint32_t column, uint32_t group,
                                            ColumnBlock& out) const {
    if (out.type == ColumnType::kFixed) out.width = fixed_width(column);
    if (column == kColumnParentId) return read_parents(group, out);
    const size_t count = table_rows(footer_.columns[column].table, group);
    const ColumnPlace* place = footer_.find(column, group);
    if (place != nullptr) {
        TRY(decode(column, group, *place, count, out));
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
    if (drops_zeros(column)) filter_block(out, [&](size_t i) { return out.integers[i] != 0; });
    if (!out.codes.empty())
        filter_block(out, [&](size_t i) { return !out.strings[out.codes[i]].empty(); });
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

Result<std::shared_ptr<const ColumnBlock>> FileSegment::read_values(uint32_t column,
                                                                    uint32_t row_group,
                                                                    size_t count) const {
    auto out = std::make_shared<ColumnBlock>();
    out->type = footer_.columns[column].type;
    const auto read = [&]() -> Result<void> {
        if (column < kFixedColumns) return read_fixed_values(column, row_group, *out);
        const ColumnPlace* place = footer_.find(column, row_group);
        if (place != nullptr && count == 0)
            return fail(ErrorCode::kDataLoss, "attribute orders and values do not fit");
        if (count == 0) return {};
        return place == nullptr ? decode_left_out(column, row_group, count, *out)
                                : decode(column, row_group, *place, count, *out);
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

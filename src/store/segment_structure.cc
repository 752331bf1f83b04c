#include <algorithm>

#include "store/segment_bytes.h"
#include "store/segment_file.h"
#include "store/segment_rows.h"

// What ties the rows of a group together, and so says much about the rest of them: parents, scopes,
// names, and what follows from these.
namespace spanloom::store {

Result<RowNumbers> RowNumbers::of(std::span<const int64_t> numbers) {
    RowNumbers made;
    uint64_t bits = 0;
    for (const int64_t number : numbers)
        bits |= static_cast<uint64_t>(number);
    if (bits > UINT32_MAX)
        return fail(ErrorCode::kDataLoss, "a scope, name or parent is out of range");
    if (bits <= UINT16_MAX)
        made.small_.assign(numbers.begin(), numbers.end());
    else
        made.large_.assign(numbers.begin(), numbers.end());
    return made;
}

void RowNumbers::copy_to(std::vector<int64_t>& out) const {
    if (large_.empty())
        out.assign(small_.begin(), small_.end());
    else
        out.assign(large_.begin(), large_.end());
}

Result<std::shared_ptr<const FollowerDirectory>> FileSegment::followers() const {
    const auto read = [&]() -> Result<FollowerDirectory> {
        if (footer_.followers.bytes == 0)
            return fail(ErrorCode::kDataLoss, "a column follows, but nothing says how");
        TRY_ASSIGN(const Blob body, block(footer_.followers));
        return FollowerDirectory::parse(body.view(), static_cast<uint32_t>(footer_.columns.size()),
                                        footer_.version);
    };
    return cached<FollowerDirectory>(Piece::kFollowers, 0, read);
}

Result<std::shared_ptr<const GroupModels>> FileSegment::models() const {
    const auto read = [&]() -> Result<GroupModels> {
        if (footer_.models.bytes == 0)
            return fail(ErrorCode::kDataLoss, "a column has a model, but there is none");
        TRY_ASSIGN(const Blob body, block(footer_.models));
        ByteReader reader(body.view());
        GroupModels models;
        for (ValueModel* model : {&models.parents, &models.scopes, &models.names}) {
            TRY_ASSIGN(*model, ValueModel::parse(reader));
        }
        if (!reader.at_end()) return fail(ErrorCode::kDataLoss, "segment: the models are broken");
        return models;
    };
    return cached<GroupModels>(Piece::kModels, 0, read);
}

// ---- parents

// The links that a block says by a model.
Result<void> FileSegment::decode_links(std::string_view body, uint32_t rows,
                                       std::vector<int64_t>& steps,
                                       std::vector<int64_t>& links) const {
    TRY_ASSIGN(const auto known, models());
    const std::vector<uint8_t> contexts(rows);
    TRY(known->parents.decode(body, contexts, steps));
    if (!links_of_steps(steps, links))
        return fail(ErrorCode::kDataLoss, "a parent is out of range");
    return {};
}

// Parents as links, with the ids of those that are elsewhere; nothing where no row has one.
// `steps`, where asked for, are those of the links where the block has them, else empty.
Result<void> FileSegment::read_links(uint32_t group, ColumnBlock& out,
                                     std::vector<int64_t>* steps) const {
    const ColumnPlace* place = footer_.find(kColumnParentId, group);
    if (place == nullptr) return {};
    TRY_ASSIGN(const Blob body, block({place->offset, place->bytes}));
    ByteReader reader(body.view());
    const std::string_view part = reader.text();
    if (!reader.ok()) return fail(ErrorCode::kDataLoss, "parents end early");
    const uint32_t rows = footer_.groups[group].rows;
    if (!is_modelled(part)) {
        TRY(decode_integers(part, rows, out.integers));
    } else if (steps != nullptr) {
        TRY(decode_links(part.substr(1), rows, *steps, out.integers));
    } else {
        const auto decode = [&]() -> Result<RowNumbers> {
            std::vector<int64_t> made_steps;
            std::vector<int64_t> links;
            TRY(decode_links(part.substr(1), rows, made_steps, links));
            return RowNumbers::of(links);
        };
        TRY_ASSIGN(const auto links, cached<RowNumbers>(Piece::kLinks, group, decode));
        links->copy_to(out.integers);
    }
    TRY_ASSIGN(out.storage, decode_bytes(reader.rest()));
    out.fixed = out.storage.view();
    return {};
}

Result<void> FileSegment::read_parents(uint32_t group, ColumnBlock& out) const {
    out.dense = false;
    ColumnBlock stored;
    TRY(read_links(group, stored, nullptr));
    if (stored.integers.empty()) return {};
    TRY(resolve_parents(group, {}, stored.integers, stored.fixed, out));
    out.dense = out.rows.size() == stored.integers.size();
    if (out.dense) out.rows = {};
    return {};
}

Result<std::optional<std::vector<int32_t>>> FileSegment::parent_rows(uint32_t row_group) const {
    if (row_group >= footer_.groups.size())
        return fail(ErrorCode::kInvalidArgument, "segment: there is no row group {}", row_group);
    if (footer_.info.spans > INT32_MAX) return std::nullopt;
    ColumnBlock stored;
    if (auto read = read_links(row_group, stored, nullptr); !read)
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

Result<void> FileSegment::resolve_parents(uint32_t group, std::span<const uint32_t> rows,
                                          std::span<const int64_t> links,
                                          std::string_view elsewhere, ColumnBlock& out) const {
    std::shared_ptr<const ColumnBlock> ids;
    uint32_t ids_group = UINT32_MAX;
    size_t count = 0;
    for (const int64_t link : links)
        count += link != kParentNone;
    Blob storage = Blob::allocate(count * 8);
    uint8_t* to = storage.mutable_data();
    for (uint32_t i = 0; i < links.size(); ++i) {
        const int64_t link = links[i];
        if (link == kParentNone) continue;
        const uint32_t row = rows.empty() ? i : rows[i];
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
    return {};
}

// ---- scopes and names

Result<void> FileSegment::decode_scopes(uint32_t group, std::span<const int64_t> links,
                                        std::span<const int64_t> steps,
                                        std::vector<int64_t>& out) const {
    const uint32_t rows = footer_.groups[group].rows;
    const ColumnPlace* place = footer_.find(kColumnScope, group);
    out.assign(rows, 0);
    if (place == nullptr) return {};
    TRY_ASSIGN(const Blob block_body, block({place->offset, place->bytes}));
    std::string_view body = block_body.view();
    const bool as_parents = !body.empty() && static_cast<uint8_t>(body.front()) == kAsParentForm;
    // Before version 3 scopes could follow from names.
    if (!as_parents && footer_.version < 3)
        return decode_values(kColumnScope, group, body, rows, {}, out);
    if (!as_parents) return decode_integers(body, rows, out);
    body.remove_prefix(1);
    if (is_modelled(body)) {
        if (steps.size() != rows)
            return fail(ErrorCode::kDataLoss, "scopes have a model, but parents have none");
        TRY_ASSIGN(const auto known, models());
        std::vector<uint8_t> contexts(rows);
        for (uint32_t row = 0; row < rows; ++row)
            contexts[row] = scope_context(steps[row]);
        TRY(known->scopes.decode(body.substr(1), contexts, out));
    } else {
        TRY(decode_integers(body, rows, out));
    }
    for (size_t row = 0; row < out.size(); ++row) {
        const size_t parent = links.empty() ? row : parent_row(links[row], row);
        if (out[row] == 0 && parent == row)
            return fail(ErrorCode::kDataLoss, "a scope is that of no parent");
        out[row] =
            out[row] == 0 ? out[parent] : static_cast<int64_t>(static_cast<uint64_t>(out[row]) - 1);
    }
    return {};
}

Result<GroupScopes> FileSegment::read_group_scopes(uint32_t group) const {
    GroupScopes made;
    ColumnBlock parents;
    std::vector<int64_t> steps;
    const bool needs_parents = footer_.version >= 3;
    if (needs_parents) TRY(read_links(group, parents, &steps));
    std::vector<int64_t> scopes;
    TRY(decode_scopes(group, parents.integers, steps, scopes));
    for (const int64_t scope : scopes)
        if (static_cast<uint64_t>(scope) >= footer_.scopes.size())
            return fail(ErrorCode::kDataLoss, "a scope is out of range");
    TRY_ASSIGN(made.scopes, RowNumbers::of(scopes));
    if (footer_.models.bytes == 0) return made;
    made.name_contexts.resize(scopes.size());
    for (size_t row = 0; row < scopes.size(); ++row) {
        const size_t parent =
            parents.integers.empty() ? row : parent_row(parents.integers[row], row);
        made.name_contexts[row] = name_context(families_[static_cast<size_t>(scopes[row])],
                                               parent != row && scopes[parent] == scopes[row]);
    }
    return made;
}

Result<std::shared_ptr<const GroupScopes>> FileSegment::scopes(uint32_t group) const {
    return cached<GroupScopes>(Piece::kScopes, group, [&] { return read_group_scopes(group); });
}

Result<void> FileSegment::decode_names(uint32_t group, std::string_view body,
                                       std::vector<int64_t>& out) const {
    if (!is_modelled(body)) return decode_integers(body, footer_.groups[group].rows, out);
    const auto decode = [&]() -> Result<RowNumbers> {
        TRY_ASSIGN(const auto known, models());
        TRY_ASSIGN(const auto scopes_known, scopes(group));
        std::vector<int64_t> codes;
        TRY(known->names.decode(body.substr(1), scopes_known->name_contexts, codes));
        return RowNumbers::of(codes);
    };
    TRY_ASSIGN(const auto codes, cached<RowNumbers>(Piece::kNames, group, decode));
    codes->copy_to(out);
    return {};
}

Result<FollowKeys> FileSegment::read_follow_keys(uint32_t group) const {
    TRY_ASSIGN(const auto directory, followers());
    const ColumnPlace* place = footer_.find(kColumnName, group);
    if (place == nullptr)
        return fail(ErrorCode::kDataLoss, "the names that others follow are missing");
    TRY_ASSIGN(const Blob body, block({place->offset, place->bytes}));
    ByteReader reader(body.view());
    if (reader.u8() != static_cast<uint8_t>(TextForm::kShared))
        return fail(ErrorCode::kDataLoss, "the names that others follow have another form");
    std::vector<int64_t> names;
    TRY(decode_names(group, reader.rest(), names));
    FollowKeys keys(names.size());
    const auto name_of = [&](size_t row) { return static_cast<uint32_t>(names[row]); };
    if (!directory->has_families()) {
        for (size_t row = 0; row < keys.size(); ++row)
            keys[row] = directory->key(0, name_of(row));
        return keys;
    }
    TRY_ASSIGN(const auto scopes_known, scopes(group));
    for (size_t row = 0; row < keys.size(); ++row)
        keys[row] = directory->key(families_[scopes_known->scopes[row]], name_of(row));
    return keys;
}

// What the values of each row of a group follow.
Result<std::shared_ptr<const FollowKeys>> FileSegment::follow_keys(uint32_t group) const {
    return cached<FollowKeys>(Piece::kFollowKeys, group, [&] { return read_follow_keys(group); });
}

}  // namespace spanloom::store

#include <algorithm>
#include <cstring>

#include "store/column.h"
#include "store/segment_bytes.h"
#include "store/segment_rows.h"
#include "store/segment_writer.h"

// How what ties the rows of a group together is written: parents, scopes, and what follows from
// names; segment_structure.cc reads it.
namespace spanloom::store {

// What the parents, scopes and names of the group's rows are coded by.
void SegmentWriter::gather_structure() {
    parent_links_.clear();
    parents_have_model_ = false;
    if (options_.zstd_level <= 0) return;
    const std::vector<int64_t>& scopes = stages_[kColumnScope].integers;
    parent_links_ = stages_[kColumnParentId].integers;
    parent_links_.resize(scopes.size(), kParentNone);
    scope_codes_.resize(scopes.size());
    if (options_.has_models) {
        steps_of_links(parent_links_, parent_steps_);
        scope_contexts_.resize(scopes.size());
        name_contexts_.resize(scopes.size());
    }
    for (size_t row = 0; row < scopes.size(); ++row) {
        const size_t parent = parent_row(parent_links_[row], row);
        const bool is_as_parent = parent != row && scopes[parent] == scopes[row];
        scope_codes_[row] = is_as_parent ? 0 : scopes[row] + 1;
        if (!options_.has_models) continue;
        scope_contexts_[row] = scope_context(parent_steps_[row]);
        name_contexts_[row] =
            name_context(family_of_scope_[static_cast<size_t>(scopes[row])], is_as_parent);
    }
}

void SegmentWriter::encode_parents(std::string& body) {
    const ColumnStage& stage = stages_[kColumnParentId];
    std::string links;
    if (const ValueModel* model = parent_model_.model(); model != nullptr && !parent_links_.empty())
        parents_have_model_ = model->encode(std::vector<uint8_t>(parent_steps_.size()),
                                            parent_steps_, options_.zstd_level, links);
    if (!parents_have_model_)
        encode_integers(stage.integers, options_.zstd_level, links, &trials_[kColumnParentId]);
    has_models_ |= parents_have_model_;
    if (options_.has_models && options_.zstd_level > 0)
        parent_model_.count(std::vector<uint8_t>(parent_steps_.size()), parent_steps_);
    ByteWriter(body).text(links);
    encode_bytes(stage.fixed, 0, body);
}

// Most spans are of the scope of their parent.
void SegmentWriter::encode_scopes(std::string& body) {
    const std::vector<int64_t>& scopes = stages_[kColumnScope].integers;
    const bool are_equal = std::all_of(scopes.begin(), scopes.end(),
                                       [&](int64_t scope) { return scope == scopes.front(); });
    if (options_.zstd_level <= 0 || are_equal)
        return encode_integers(scopes, options_.zstd_level, body, &trials_[kColumnScope]);
    ByteWriter(body).u8(kAsParentForm);
    const ValueModel* const model = parents_have_model_ ? scope_model_.model() : nullptr;
    const bool has_model =
        model != nullptr && model->encode(scope_contexts_, scope_codes_, options_.zstd_level, body);
    if (!has_model)
        encode_integers(scope_codes_, options_.zstd_level, body, &trials_[kColumnScope]);
    scope_model_.count(scope_contexts_, scope_codes_);
}

// The columns among an order's that may follow from the span's name and family.
const std::vector<uint32_t>& SegmentWriter::followed_columns(uint32_t order) {
    while (followed_columns_.size() <= order) {
        const auto code = static_cast<uint32_t>(followed_columns_.size());
        const std::string_view list = texts_[kColumnOrder]->table.text(code);
        std::vector<uint32_t>& columns = followed_columns_.emplace_back();
        for (size_t i = 0; i < list.size() / 4; ++i) {
            uint32_t column = 0;
            std::memcpy(&column, list.data() + i * 4, 4);
            const ColumnType type = columns_[column].type;
            const bool is_text = type == ColumnType::kString;
            const bool is_likely = followers_.may_follow(follower_of(column, false)) ||
                                   (is_text && followers_.may_follow(follower_of(column, true)));
            if (is_likely && (is_text || type == ColumnType::kInt)) columns.push_back(column);
        }
    }
    return followed_columns_[order];
}

// Which name and family each value of the group's columns goes with, before stages are emptied.
void SegmentWriter::gather_keys() {
    const std::vector<uint32_t>& names = stages_[kColumnName].codes;
    has_keys_ = options_.zstd_level > 0 && !names.empty() && texts_[kColumnName]->is_shared &&
                !all_empty(kColumnName);
    if (!has_keys_) return;
    keys_of_values_.resize(columns_.size());
    for (auto& column : keys_of_values_)
        column.clear();
    const std::vector<int64_t>& scopes = stages_[kColumnScope].integers;
    std::vector<FollowKey>& keys = keys_of_values_[kColumnName];
    keys.resize(names.size());
    for (size_t row = 0; row < names.size(); ++row)
        keys[row] =
            followers_.key_of(family_of_scope_[static_cast<size_t>(scopes[row])], names[row]);
    const std::vector<uint32_t>& orders = stages_[kColumnOrder].codes;
    followed_columns_.clear();
    for (size_t row = 0; row < orders.size(); ++row)
        for (const uint32_t column : followed_columns(orders[row]))
            keys_of_values_[column].push_back(keys[row]);
}

bool SegmentWriter::encode_following(uint32_t column, bool is_pattern,
                                     std::span<const int64_t> values, std::string& body) {
    // A name that has only the block's own code cannot be followed.
    if (!has_keys_ || !texts_[kColumnName]->is_shared || column == kColumnName ||
        column == kColumnDuration || column == kColumnScope ||
        columns_[column].table != Table::kSpans)
        return false;
    const auto& keys = keys_of_values_[column < kFixedColumns ? uint32_t{kColumnName} : column];
    return followers_.may_follow(follower_of(column, is_pattern)) &&
           followers_.encode(follower_of(column, is_pattern), keys, values,
                             column >= kFixedColumns && !is_pattern, options_.zstd_level, body);
}

}  // namespace spanloom::store

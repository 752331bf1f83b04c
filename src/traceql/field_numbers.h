#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/field_reader.h"
#include "traceql/ast.h"

namespace spanloom::traceql {

// Values of a query, numbered. One thread.
class ValueNumbers {
  public:
    uint32_t number_of(const store::Value& value);
    const store::Value& value(uint32_t number) const { return values_[number]; }
    size_t size() const { return values_.size(); }

  private:
    std::unordered_map<std::string, uint32_t> numbers_;
    std::vector<store::Value> values_;
    std::string key_;
};

// The values of one field of one segment's spans as numbers, a row group at a time: dictionary
// codes and resources are looked up once. One thread.
class FieldNumbers {
  public:
    // Whether single spans carry the field.
    static bool can_read(const Expression& field);

    FieldNumbers(store::SegmentReader& reader, const store::Field& field, ValueNumbers& numbers);

    // out[i] for rows[i], which ascend.
    Result<void> read(store::GroupReader& group, std::span<const uint32_t> rows,
                      std::vector<uint32_t>& out);

  private:
    Result<void> read_scopes(store::GroupReader& group, std::span<const uint32_t> rows,
                             std::vector<uint32_t>& out);
    Result<void> read_column(store::GroupReader& group, std::span<const uint32_t> rows,
                             std::vector<uint32_t>& out);
    store::Value value_at(const store::ColumnBlock& block, uint32_t position) const;

    store::SegmentReader& reader_;
    store::Field field_;
    ValueNumbers& numbers_;
    store::FieldReader values_;
    bool is_of_scope_ = false;
    std::optional<uint32_t> column_;  // the only one that has the field
    uint32_t absent_ = 0;             // what rows without a value have
    std::vector<uint32_t> by_scope_;  // UINT32_MAX: not looked up yet
    std::vector<uint32_t> by_code_;
    std::shared_ptr<const void> dictionary_;
    const std::string_view* strings_ = nullptr;
};

// Visits the rows (ascending) that have a value in the block, with its position, and the others.
template <typename Found, typename Absent>
void walk(const store::ColumnBlock& block, std::span<const uint32_t> rows, Found&& found,
          Absent&& absent) {
    if (block.dense) {
        for (size_t i = 0; i < rows.size(); ++i) {
            if (rows[i] < block.size()) {
                found(i, rows[i]);
            } else {
                absent(i);
            }
        }
        return;
    }
    size_t at = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
        while (at < block.rows.size() && block.rows[at] < rows[i])
            ++at;
        if (at == block.rows.size() || block.rows[at] != rows[i]) {
            absent(i);
            continue;
        }
        // Of a key that comes more than once the last value counts.
        while (at + 1 < block.rows.size() && block.rows[at + 1] == rows[i])
            ++at;
        found(i, static_cast<uint32_t>(at));
    }
}

// The column that alone has the field's values, kNoColumn for none at all; nullopt: there are
// several, or none of its own.
std::optional<uint32_t> only_column(const store::SegmentReader& reader, const store::Field& field);

}  // namespace spanloom::traceql

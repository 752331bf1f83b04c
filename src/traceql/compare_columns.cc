#include "traceql/compare_columns.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>

#include "store/attribute_cells.h"
#include "traceql/names.h"

namespace spanloom::traceql {
namespace {

using store::ColumnBlock;
using store::ColumnKey;
using store::ColumnType;
using store::GroupReader;
using store::Intrinsic;
using store::RowBitmap;
using store::RowField;
using store::Scope;
using store::SegmentReader;
using store::Table;
using store::Value;

constexpr uint32_t kUnknown = UINT32_MAX - 1;

std::string name_of(Scope scope, std::string_view key) {
    return field_text({scope, Intrinsic::kNone, std::string(key)});
}

std::string name_of(Intrinsic intrinsic) {
    return field_text({Scope::kIntrinsic, intrinsic, ""});
}

bool has_codes(const ColumnKey& key) {
    return key.type == ColumnType::kString || key.type == ColumnType::kValue;
}

}  // namespace

void CompareColumns::use(SegmentReader& reader) {
    if (reader_ == &reader) return;
    flush();
    reader_ = &reader;
    const auto columns = reader.segment().columns();
    columns_.assign(columns.size(), {});
    std::vector<Attribute*> of_spans(columns.size(), nullptr);
    for (uint32_t i = 0; i < columns.size(); ++i) {
        const ColumnKey& key = columns[i];
        if (key.table != Table::kSpans || !reader.segment().has_values(i)) continue;
        if (key.scope == Scope::kSpan) {
            columns_[i].attribute = &table_.attribute(name_of(Scope::kSpan, key.key));
            of_spans[i] = columns_[i].attribute;
        } else if (key.intrinsic == Intrinsic::kName ||
                   key.intrinsic == Intrinsic::kStatusMessage) {
            columns_[i].attribute = &table_.attribute(name_of(key.intrinsic));
        }
    }
    classes_.use(of_spans, table_.attribute(name_of(Intrinsic::kName)));
    resources_.assign(reader.segment().resource_count(), {});
    is_resource_read_.assign(resources_.size(), 0);
}

Result<void> CompareColumns::count(SegmentReader& reader, GroupReader& group,
                                   const CompareRows& counting) {
    if (!counting.rows.any()) return {};
    use(reader);
    bool has_classes = false;
    if (counting.is_plain()) {
        if (counting.interval != interval_) flush();
        interval_ = counting.interval;
        TRY_ASSIGN(has_classes, classes_.count(reader, group, counting.rows, counting.selected,
                                               counting.selects_few(), counting.interval, others_));
    }
    if (has_classes) {
        for (CompareClasses::Column& column : others_)
            TRY(count_alone(group, column, counting));
    }
    const auto columns = reader.segment().columns();
    for (uint32_t i = 0; i < columns.size(); ++i) {
        if (columns_[i].attribute == nullptr) continue;
        if (has_classes && columns[i].scope == Scope::kSpan) continue;
        if (has_classes && columns[i].intrinsic == Intrinsic::kName && classes_.tells_names())
            continue;
        TRY(count_whole_column(group, i, counting));
    }
    TRY(count_overflow(group, counting));
    TRY(count_enumeration(reader, group, Intrinsic::kStatus, counting));
    TRY(count_enumeration(reader, group, Intrinsic::kKind, counting));
    return count_resources(reader, group, counting);
}

// A column of which it is known how many rows have it.
Result<void> CompareColumns::count_alone(GroupReader& group, CompareClasses::Column& column,
                                         CompareRows counting) {
    ColumnState& state = columns_[column.number];
    const bool is_crowded = CompareTable::is_crowded(*state.attribute);
    if (is_crowded && !column.has_selected) return {};
    if (!column.selected) return count_values(group, column.number, counting);
    if (!is_crowded) {
        TRY_ASSIGN(const bool is_done, add_counts(group, column));
        if (is_done) return {};
    }
    const ColumnKey& key = reader_->segment().columns()[column.number];
    const std::vector<uint32_t>& selected = *column.selected;
    wanted_.clear();
    if (is_crowded) {
        wanted_.assign(column.values, 0);
        for (const uint32_t position : selected)
            wanted_[position] = 1;
    }
    TRY_ASSIGN(const auto block, group.values(column.number, column.values, wanted_));
    if (is_crowded) {
        for (const uint32_t position : selected) {
            const uint32_t number =
                key.type == ColumnType::kString
                    ? table_.number_of(*state.attribute, block->strings[block->codes[position]])
                    : table_.number_of(*state.attribute, store::value_at(key, *block, position));
            table_.count_value(*state.attribute, number, 2 * counting.interval + 1, 1);
        }
        return {};
    }
    const auto leave = [&](const Value& value, uint32_t baseline, uint32_t selection) {
        add_sum(column.number, value, baseline, selection);
    };
    if (state.sums.add(key, *block, selected, leave)) return {};
    counting.selected_positions = &selected;
    count_block(state, key, *block, counting);
    return {};
}

// What is known to be among all rows' values, and of these only the selected ones read. false: it
// is not known.
Result<bool> CompareColumns::add_counts(GroupReader& group, const CompareClasses::Column& column) {
    TRY_ASSIGN(const auto counted, group.value_counts(column.number, column.values));
    if (!counted) return false;
    std::shared_ptr<const ColumnBlock> selected;
    if (!column.selected->empty()) {
        TRY_ASSIGN(selected, group.values_at(column.number, column.values, *column.selected,
                                             column.selected_rows));
    }
    ColumnState& state = columns_[column.number];
    const ColumnKey& key = reader_->segment().columns()[column.number];
    const auto leave = [&](const Value& value, uint32_t baseline, uint32_t selection) {
        add_sum(column.number, value, baseline, selection);
    };
    if (state.sums.add(key, *counted, selected.get(), leave)) return true;
    const std::vector<uint32_t> of_selection = selected_among(*counted->values, selected.get());
    for (uint32_t i = 0; i < of_selection.size(); ++i)
        leave(store::value_at(key, *counted->values, i), counted->counts[i] - of_selection[i],
              of_selection[i]);
    return true;
}

void CompareColumns::add_sum(uint32_t column, const Value& value, uint32_t baseline,
                             uint32_t selection) {
    Attribute& attribute = *columns_[column].attribute;
    const uint32_t number = table_.number_of(attribute, value);
    if (baseline != 0) table_.count_value(attribute, number, 2 * interval_, baseline);
    if (selection != 0) table_.count_value(attribute, number, 2 * interval_ + 1, selection);
}

void CompareColumns::flush() {
    for (uint32_t column = 0; column < columns_.size(); ++column) {
        columns_[column].sums.leave(reader_->segment().columns()[column],
                                    [&](const Value& value, uint32_t baseline, uint32_t selection) {
                                        add_sum(column, value, baseline, selection);
                                    });
    }
    classes_.flush();
}

Result<void> CompareColumns::count_whole_column(GroupReader& group, uint32_t column,
                                                const CompareRows& counting) {
    TRY_ASSIGN(const ColumnBlock* block, group.block(column));
    if (block->size() == 0) return {};
    count_totals(*columns_[column].attribute, *block, counting);
    return count_values(group, column, counting);
}

void CompareColumns::count_totals(Attribute& attribute, const ColumnBlock& block,
                                  const CompareRows& counting) {
    if (!counting.is_plain()) {
        counting.each(block, [&](uint32_t row, uint32_t) {
            table_.count_total(attribute, counting.slot(row), counting.weight(row));
        });
        return;
    }
    std::array<uint32_t, 2> totals{};
    counting.each(block,
                  [&](uint32_t row, uint32_t) { ++totals[counting.is_selected(row) ? 1 : 0]; });
    for (uint32_t i = 0; i < 2; ++i) {
        if (totals[i] != 0) table_.count_total(attribute, 2 * counting.interval + i, totals[i]);
    }
}

Result<void> CompareColumns::count_values(GroupReader& group, uint32_t column,
                                          const CompareRows& counting) {
    ColumnState& state = columns_[column];
    const ColumnKey& key = reader_->segment().columns()[column];
    if (CompareTable::is_crowded(*state.attribute)) return count_selected(group, column, counting);
    TRY_ASSIGN(const ColumnBlock* block, group.block(column));
    if (block->size() != 0) count_block(state, key, *block, counting);
    return {};
}

void CompareColumns::count_block(ColumnState& state, const ColumnKey& key, const ColumnBlock& block,
                                 const CompareRows& counting) {
    if (has_codes(key)) {
        count_codes(state, key, block, counting);
    } else if (key.type == ColumnType::kInt) {
        count_integers(*state.attribute, key, block, counting);
    } else {
        count_numbers(*state.attribute, key, block, counting);
    }
}

Result<void> CompareColumns::count_selected(GroupReader& group, uint32_t column,
                                            const CompareRows& counting) {
    if (counting.selected == nullptr || !counting.selected->any()) return {};
    Attribute& attribute = *columns_[column].attribute;
    const ColumnKey& key = reader_->segment().columns()[column];
    TRY_ASSIGN(const auto block, group.some(column, *counting.selected));
    counting.selected->for_each([&](uint32_t row) {
        const auto position = store::position_of(*block, row);
        if (!position || *position >= block->size()) return;
        const uint32_t number =
            key.type == ColumnType::kString
                ? table_.number_of(attribute, block->strings[block->codes[*position]])
                : table_.number_of(attribute, store::value_at(key, *block, *position));
        table_.count_value(attribute, number, counting.slot(row), counting.weight(row));
    });
    return {};
}

// A text is looked up once for each dictionary, and counted once for each row group.
void CompareColumns::count_codes(ColumnState& state, const ColumnKey& key, const ColumnBlock& block,
                                 const CompareRows& counting) {
    Attribute& attribute = *state.attribute;
    if (!state.dictionary.is_of(block)) {
        state.dictionary.follow(block);
        state.by_code.assign(block.strings.size(), kUnknown);
    }
    const auto number_of = [&](uint32_t position) {
        uint32_t& number = state.by_code[block.codes[position]];
        if (number == kUnknown)
            number = table_.number_of(attribute, store::value_at(key, block, position));
        return number;
    };
    if (!counting.is_plain()) {
        counting.each(block, [&](uint32_t row, uint32_t position) {
            table_.count_value(attribute, number_of(position), counting.slot(row),
                               counting.weight(row));
        });
        return;
    }
    add_up(block, counting, block.strings.size(),
           [&](uint32_t position) { return size_t{block.codes[position]}; });
    for (uint32_t position = 0; position < block.codes.size(); ++position) {
        uint32_t* const sums = &sums_[size_t{block.codes[position]} * 2];
        for (uint32_t i = 0; i < 2; ++i) {
            if (sums[i] == 0) continue;
            table_.count_value(attribute, number_of(position), 2 * counting.interval + i, sums[i]);
            sums[i] = 0;
        }
    }
}

// Where they lie close together they are summed up first.
void CompareColumns::count_integers(Attribute& attribute, const ColumnKey& key,
                                    const ColumnBlock& block, const CompareRows& counting) {
    const auto [least, most] = std::minmax_element(block.integers.begin(), block.integers.end());
    const uint64_t range = static_cast<uint64_t>(*most) - static_cast<uint64_t>(*least);
    if (!counting.is_plain() || range > block.integers.size() + 64)
        return count_numbers(attribute, key, block, counting);
    const auto first = static_cast<uint64_t>(*least);
    add_up(block, counting, range + 1, [&](uint32_t position) {
        return static_cast<uint64_t>(block.integers[position]) - first;
    });
    for (uint64_t at = 0; at <= range; ++at) {
        uint32_t* const sums = &sums_[at * 2];
        if ((sums[0] | sums[1]) == 0) continue;
        const auto integer = static_cast<int64_t>(first + at);
        const uint32_t number = table_.number_of(
            attribute, key.is_boolean ? Value::of_bool(integer != 0) : Value::of_int(integer));
        for (uint32_t i = 0; i < 2; ++i) {
            if (sums[i] == 0) continue;
            table_.count_value(attribute, number, 2 * counting.interval + i, sums[i]);
            sums[i] = 0;
        }
    }
}

void CompareColumns::count_numbers(Attribute& attribute, const ColumnKey& key,
                                   const ColumnBlock& block, const CompareRows& counting) {
    // Many have a value that was looked up a moment ago.
    struct Known {
        int64_t integer = 0;
        uint32_t number = kUnknown;
    };
    constexpr int kKnownBits = 8;
    std::array<Known, size_t{1} << kKnownBits> seen{};
    uint32_t number = kUnknown;
    const auto look_up = [&](uint32_t position) {
        return table_.number_of(attribute, store::value_at(key, block, position));
    };
    const auto number_at = [&](uint32_t position) {
        if (key.type != ColumnType::kInt) return number = look_up(position);
        const int64_t integer = block.integers[position];
        constexpr uint64_t kSpread = 0x9E3779B97F4A7C15;
        Known& known = seen[static_cast<uint64_t>(integer) * kSpread >> (64 - kKnownBits)];
        if (known.number == kUnknown || known.integer != integer)
            known = {integer, look_up(position)};
        return number = known.number;
    };
    const bool is_plain = counting.is_plain();
    if (is_plain) {
        const size_t size = attribute.values.size() + block.size();  // each may be a new one
        if (sums_.size() < size * 2) sums_.resize(size * 2, 0);
    }
    counting.each_value(block, [&](uint32_t position, uint32_t slot, double weight) {
        if (number_at(position) != CompareTable::kTooMany && is_plain) {
            ++sums_[size_t{number} * 2 + slot % 2];
        } else {
            table_.count_value(attribute, number, slot, weight);
        }
    });
    for (uint32_t known = 0; is_plain && known < attribute.values.size(); ++known) {
        for (uint32_t i = 0; i < 2; ++i) {
            const uint32_t sum = std::exchange(sums_[size_t{known} * 2 + i], 0);
            if (sum != 0) table_.count_value(attribute, known, 2 * counting.interval + i, sum);
        }
    }
}

// Attributes that have no column of their own: few, and each in a message with its key.
Result<void> CompareColumns::count_overflow(GroupReader& group, const CompareRows& counting) {
    TRY_ASSIGN(const ColumnBlock* block,
               group.block(reader_->column(Table::kSpans, RowField::kOverflow)));
    std::map<std::string_view, otlp::ValueView> values;  // the last of a key counts
    counting.each(*block, [&](uint32_t row, uint32_t position) {
        values.clear();
        const std::string_view message = block->strings[block->codes[position]];
        for (const store::OverflowAttribute& one : store::overflow_attributes(message))
            values[one.attribute.key] = one.attribute.value;
        for (const auto& [key, value] : values) {
            Attribute& attribute = table_.attribute(name_of(Scope::kSpan, key));
            const uint32_t slot = counting.slot(row);
            const uint32_t number = table_.number_of(attribute, store::value_of(value));
            table_.count_total(attribute, slot, counting.weight(row));
            table_.count_value(attribute, number, slot, counting.weight(row));
        }
    });
    return {};
}

void CompareColumns::end() {
    if (reader_ != nullptr) flush();
    columns_.clear();
    reader_ = nullptr;
}

}  // namespace spanloom::traceql

#include "traceql/compare_sink.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "store/attribute_cells.h"
#include "store/row_weights.h"
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
// Row groups of more intervals are counted row by row.
constexpr size_t kIntervalsAtOnce = 8;

std::string name_of(Scope scope, std::string_view key) {
    return field_text({scope, Intrinsic::kNone, std::string(key)});
}

std::string name_of(Intrinsic intrinsic) {
    return field_text({Scope::kIntrinsic, intrinsic, ""});
}

bool has_codes(const ColumnKey& key) {
    return key.type == ColumnType::kString || key.type == ColumnType::kValue;
}

// No row has two values.
bool is_single(const ColumnBlock& block) {
    return block.dense ||
           std::adjacent_find(block.rows.begin(), block.rows.end()) == block.rows.end();
}

}  // namespace

// The spans of one row group, and the slot and weight of each.
struct CompareSink::Counting {
    const RowBitmap& rows;
    const RowBitmap* selected = nullptr;
    uint32_t interval = 0;                // of all, where `intervals` is empty
    std::span<const uint32_t> intervals;  // by row of the group
    std::span<const double> weights;      // as well; empty: 1 each

    bool is_plain() const { return intervals.empty() && weights.empty(); }
    bool is_whole() const { return rows.count() == rows.rows(); }
    bool is_selected(uint32_t row) const { return selected != nullptr && selected->test(row); }
    uint32_t slot(uint32_t row) const {
        return 2 * (intervals.empty() ? interval : intervals[row]) + (is_selected(row) ? 1 : 0);
    }
    double weight(uint32_t row) const { return weights.empty() ? 1 : weights[row]; }

    // Visits rows that have a value in the block, with its position.
    template <typename Visit>
    void each(const ColumnBlock& block, Visit&& visit) const {
        if (block.dense) {
            const auto size = static_cast<uint32_t>(block.size());
            rows.for_each([&](uint32_t row) {
                if (row < size) visit(row, row);
            });
            return;
        }
        for (uint32_t at = 0; at < block.rows.size(); ++at) {
            const uint32_t row = block.rows[at];
            // Of a key that comes more than once the last value counts.
            if (at + 1 < block.rows.size() && block.rows[at + 1] == row) continue;
            if (rows.test(row)) visit(row, at);
        }
    }
    // The selected ones among them, where no row has two values.
    template <typename Visit>
    void each_selected(const ColumnBlock& block, Visit&& visit) const {
        if (selected == nullptr) return;
        auto from = block.rows.begin();
        selected->for_each([&](uint32_t row) {
            if (block.dense) {
                if (row < block.size()) visit(row);
                return;
            }
            from = std::lower_bound(from, block.rows.end(), row);
            if (from != block.rows.end() && *from == row)
                visit(static_cast<uint32_t>(from - block.rows.begin()));
        });
    }
};

CompareSink::CompareSink(const Stage& stage, const Grid& grid, bool is_weighted, double scale,
                         MemoryShare& memory)
    : grid_(grid),
      is_weighted_(is_weighted),
      scale_(scale),
      table_(stage, grid, memory),
      classes_(table_) {
    if (stage.arguments.size() != 3) return;
    start_ns_ = static_cast<uint64_t>(stage.arguments[1].literal.integer);
    end_ns_ = static_cast<uint64_t>(stage.arguments[2].literal.integer);
    if (end_ns_ == 0) end_ns_ = UINT64_MAX;
}

// ---- rows of a group

Result<void> CompareSink::add(store::SearchSegment& segment, GroupReader& group,
                              const RowBitmap& rows, const RowBitmap* selected) {
    SegmentReader& reader = segment.reader();
    const store::RowGroup& meta = group.rows();
    const bool is_limited = start_ns_ != 0 || end_ns_ != UINT64_MAX;
    const bool is_inside = !is_limited && grid_.holds(meta.start_ns_min) &&
                           grid_.holds(meta.end_ns_max) &&
                           grid_.index(meta.start_ns_min) == grid_.index(meta.end_ns_max);
    if (is_inside) {
        TRY_ASSIGN(const std::vector<double> weights, weights_of(reader, group, rows));
        const auto interval = static_cast<uint32_t>(grid_.index(meta.start_ns_min));
        return count_group(reader, group, {rows, selected, interval, {}, weights});
    }
    TRY_ASSIGN(const ColumnBlock* starts,
               group.block(reader.column(Table::kSpans, Intrinsic::kStart)));
    if (starts->integers.size() < meta.rows)
        return fail(ErrorCode::kDataLoss, "spans without time");
    RowBitmap rows_inside(meta.rows);
    RowBitmap selected_inside(meta.rows);
    std::vector<uint32_t> intervals(meta.rows, 0);
    rows.for_each([&](uint32_t row) {
        const auto start = static_cast<uint64_t>(starts->integers[row]);
        if (!grid_.holds(start)) return;
        rows_inside.set(row);
        intervals[row] = static_cast<uint32_t>(grid_.index(start));
        if (selected != nullptr && selected->test(row) && start >= start_ns_ && start < end_ns_)
            selected_inside.set(row);
    });
    TRY_ASSIGN(const std::vector<double> weights, weights_of(reader, group, rows_inside));
    if (weights.empty())
        return count_intervals(reader, group, rows_inside, selected_inside, intervals);
    return count_group(reader, group, {rows_inside, &selected_inside, 0, intervals, weights});
}

// One interval after the other, where they are few.
Result<void> CompareSink::count_intervals(SegmentReader& reader, GroupReader& group,
                                          const RowBitmap& rows, const RowBitmap& selected,
                                          std::span<const uint32_t> intervals) {
    std::map<uint32_t, RowBitmap> by_interval;
    uint32_t last = kUnknown;
    RowBitmap* its = nullptr;
    rows.for_each([&](uint32_t row) {
        if (intervals[row] != last && by_interval.size() <= kIntervalsAtOnce) {
            last = intervals[row];
            its = &by_interval.try_emplace(last, rows.rows()).first->second;
        }
        its->set(row);
    });
    if (by_interval.size() > kIntervalsAtOnce)
        return count_group(reader, group, {rows, &selected, 0, intervals, {}});
    for (const auto& [interval, some] : by_interval) {
        RowBitmap of_selection = selected;
        of_selection &= some;
        TRY(count_group(reader, group, {some, &of_selection, interval, {}, {}}));
    }
    return {};
}

// Empty where every span stands for itself.
Result<std::vector<double>> CompareSink::weights_of(SegmentReader& reader, GroupReader& group,
                                                    const RowBitmap& rows) {
    TRY_ASSIGN(std::vector<double> weights, store::row_weights(reader, group));
    rows.for_each([&](uint32_t row) {
        if (!weights.empty()) weight_max_ = std::max(weight_max_, weights[row]);
    });
    if (!is_weighted_) weights.clear();
    return weights;
}

void CompareSink::use(SegmentReader& reader) {
    if (reader_ == &reader) return;
    reader_ = &reader;
    classes_.flush();
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
    classes_.use(of_spans);
    resources_.assign(reader.segment().resource_count(), {});
    is_resource_read_.assign(resources_.size(), 0);
}

Result<void> CompareSink::count_group(SegmentReader& reader, GroupReader& group,
                                      const Counting& counting) {
    if (!counting.rows.any()) return {};
    use(reader);
    bool has_classes = false;
    if (counting.is_plain()) {
        TRY_ASSIGN(has_classes, classes_.count(reader, group, counting.rows, counting.selected,
                                               counting.interval, others_));
    }
    if (has_classes) {
        for (const CompareClasses::Column& column : others_) {
            const bool is_crowded = CompareTable::is_crowded(*columns_[column.number].attribute);
            if (is_crowded && !column.has_selected) continue;
            TRY(count_values(group, column.number, counting));
        }
    }
    const auto columns = reader.segment().columns();
    for (uint32_t i = 0; i < columns.size(); ++i) {
        if (columns_[i].attribute == nullptr) continue;
        if (has_classes && columns[i].scope == Scope::kSpan) continue;
        TRY(count_whole_column(group, i, counting));
    }
    TRY(count_enumeration(reader, group, Intrinsic::kStatus, counting));
    TRY(count_enumeration(reader, group, Intrinsic::kKind, counting));
    return count_resources(reader, group, counting);
}

Result<void> CompareSink::count_whole_column(GroupReader& group, uint32_t column,
                                             const Counting& counting) {
    TRY_ASSIGN(const ColumnBlock* block, group.block(column));
    if (block->size() == 0) return {};
    count_totals(*columns_[column].attribute, *block, counting);
    return count_values(group, column, counting);
}

void CompareSink::count_totals(Attribute& attribute, const ColumnBlock& block,
                               const Counting& counting) {
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

Result<void> CompareSink::count_values(GroupReader& group, uint32_t column,
                                       const Counting& counting) {
    ColumnState& state = columns_[column];
    const ColumnKey& key = reader_->segment().columns()[column];
    if (CompareTable::is_crowded(*state.attribute)) return count_selected(group, column, counting);
    TRY_ASSIGN(const ColumnBlock* block, group.block(column));
    if (block->size() == 0) return {};
    if (has_codes(key)) {
        count_codes(state, key, *block, counting);
    } else if (key.type == ColumnType::kInt) {
        count_integers(*state.attribute, key, *block, counting);
    } else {
        count_numbers(*state.attribute, key, *block, counting);
    }
    return {};
}

Result<void> CompareSink::count_selected(GroupReader& group, uint32_t column,
                                         const Counting& counting) {
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

// Sums of plain counting by number, in sums_: sum_of(position) is below `size`. Whoever reads them
// leaves 0 there.
template <typename SumOf>
void CompareSink::add_up(const ColumnBlock& block, const Counting& counting, size_t size,
                         SumOf&& sum_of) {
    if (sums_.size() < size * 2) sums_.resize(size * 2, 0);
    if (!counting.is_whole() || !is_single(block)) {
        counting.each(block, [&](uint32_t row, uint32_t position) {
            ++sums_[sum_of(position) * 2 + (counting.is_selected(row) ? 1 : 0)];
        });
        return;
    }
    const auto count = static_cast<uint32_t>(block.size());
    for (uint32_t position = 0; position < count; ++position)
        ++sums_[sum_of(position) * 2];
    counting.each_selected(block, [&](uint32_t position) {
        --sums_[sum_of(position) * 2];
        ++sums_[sum_of(position) * 2 + 1];
    });
}

// A text is looked up once for each dictionary, and counted once for each row group.
void CompareSink::count_codes(ColumnState& state, const ColumnKey& key, const ColumnBlock& block,
                              const Counting& counting) {
    Attribute& attribute = *state.attribute;
    const bool is_known = state.owner != nullptr && state.owner == block.owner &&
                          state.strings.data() == block.strings.data() &&
                          state.strings.size() == block.strings.size();
    if (!is_known) {
        state.owner = block.owner;
        state.strings = block.strings;
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
void CompareSink::count_integers(Attribute& attribute, const ColumnKey& key,
                                 const ColumnBlock& block, const Counting& counting) {
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

void CompareSink::count_numbers(Attribute& attribute, const ColumnKey& key,
                                const ColumnBlock& block, const Counting& counting) {
    std::optional<int64_t> last;
    uint32_t number = kUnknown;
    const auto number_at = [&](uint32_t position) {
        // Many have the value of the one before.
        const bool is_same = key.type == ColumnType::kInt && last == block.integers[position];
        if (!is_same) number = table_.number_of(attribute, store::value_at(key, block, position));
        if (key.type == ColumnType::kInt) last = block.integers[position];
        return number;
    };
    const bool is_plain = counting.is_plain();
    if (is_plain) {
        const size_t size = attribute.values.size() + block.size();  // each may be a new one
        if (sums_.size() < size * 2) sums_.resize(size * 2, 0);
    }
    counting.each(block, [&](uint32_t row, uint32_t position) {
        if (number_at(position) != CompareTable::kTooMany && is_plain) {
            ++sums_[size_t{number} * 2 + (counting.is_selected(row) ? 1 : 0)];
        } else {
            table_.count_value(attribute, number, counting.slot(row), counting.weight(row));
        }
    });
    for (uint32_t known = 0; is_plain && known < attribute.values.size(); ++known) {
        for (uint32_t i = 0; i < 2; ++i) {
            const uint32_t sum = std::exchange(sums_[size_t{known} * 2 + i], 0);
            if (sum != 0) table_.count_value(attribute, known, 2 * counting.interval + i, sum);
        }
    }
}

// Rows without a stored value have number 0.
Result<void> CompareSink::count_enumeration(SegmentReader& reader, GroupReader& group,
                                            Intrinsic intrinsic, const Counting& counting) {
    constexpr size_t kKnown = 8;
    Attribute& attribute = table_.attribute(name_of(intrinsic));
    const auto count = [&](int64_t number, uint32_t slot, double weight) {
        const Value value = intrinsic == Intrinsic::kStatus
                                ? Value::of_status(static_cast<otlp::StatusCode>(number))
                                : Value::of_kind(static_cast<otlp::SpanKind>(number));
        table_.count_total(attribute, slot, weight);
        table_.count_value(attribute, table_.number_of(attribute, value), slot, weight);
    };
    TRY_ASSIGN(const ColumnBlock* block, group.block(reader.column(Table::kSpans, intrinsic)));
    const bool are_known =
        std::all_of(block->integers.begin(), block->integers.end(),
                    [](int64_t value) { return value >= 0 && value < int64_t{kKnown}; });
    if (!counting.is_plain() || !are_known) {
        RowBitmap without = counting.rows;
        RowBitmap with(counting.rows.rows());
        counting.each(*block, [&](uint32_t row, uint32_t position) {
            with.set(row);
            count(block->integers[position], counting.slot(row), counting.weight(row));
        });
        without.subtract(with);
        without.for_each([&](uint32_t row) { count(0, counting.slot(row), counting.weight(row)); });
        return {};
    }
    std::array<uint32_t, 2> absent{counting.rows.count(), 0};
    if (counting.selected != nullptr) absent[1] = counting.selected->count();
    absent[0] -= absent[1];
    add_up(*block, counting, kKnown,
           [&](uint32_t position) { return static_cast<size_t>(block->integers[position]); });
    for (size_t value = kKnown; value-- > 0;) {
        for (uint32_t i = 0; i < 2; ++i) {
            uint32_t sum = std::exchange(sums_[value * 2 + i], 0);
            // What is 0 need not be there.
            if (value == 0) sum = absent[i];
            if (value != 0) absent[i] -= sum;
            if (sum != 0) count(static_cast<int64_t>(value), 2 * counting.interval + i, sum);
        }
    }
    return {};
}

// Resources are few: their attributes are looked up once each.
Result<void> CompareSink::count_resources(SegmentReader& reader, GroupReader& group,
                                          const Counting& counting) {
    TRY_ASSIGN(const ColumnBlock* scopes,
               group.block(reader.column(Table::kSpans, RowField::kScopeIndex)));
    const store::Segment& segment = reader.segment();
    std::map<std::pair<uint32_t, uint32_t>, double> sums;  // by resource and slot
    if (counting.is_plain()) {
        const size_t scope_count = segment.scope_count();
        const auto scope_at = [&](uint32_t position) {
            return std::min<uint64_t>(static_cast<uint64_t>(scopes->integers[position]),
                                      scope_count);
        };
        add_up(*scopes, counting, scope_count + 1, scope_at);
        for (uint32_t scope = 0; scope <= scope_count; ++scope) {
            for (uint32_t i = 0; i < 2; ++i) {
                const uint32_t sum = std::exchange(sums_[size_t{scope} * 2 + i], 0);
                if (sum == 0 || scope == scope_count) continue;
                sums[{segment.scope_resource(scope), 2 * counting.interval + i}] += sum;
            }
        }
    } else {
        counting.each(*scopes, [&](uint32_t row, uint32_t position) {
            const auto scope = static_cast<uint64_t>(scopes->integers[position]);
            if (scope >= segment.scope_count()) return;
            sums[{segment.scope_resource(static_cast<uint32_t>(scope)), counting.slot(row)}] +=
                counting.weight(row);
        });
    }
    for (const auto& [place, weight] : sums) {
        for (const auto& [attribute, number] : resource(segment, place.first)) {
            table_.count_total(*attribute, place.second, weight);
            table_.count_value(*attribute, number, place.second, weight);
        }
    }
    return {};
}

const std::vector<std::pair<CompareSink::Attribute*, uint32_t>>& CompareSink::resource(
    const store::Segment& segment, uint32_t index) {
    auto& known = resources_[index];
    if (std::exchange(is_resource_read_[index], 1) != 0) return known;
    const auto view = otlp::ResourceView::parse(segment.resource_message(index));
    std::map<std::string, Value> values;  // the last of a key counts
    for (const otlp::AttributeView& attribute : view.attributes())
        values[name_of(Scope::kResource, attribute.key)] = store::value_of(attribute.value);
    for (const auto& [name, value] : values) {
        Attribute& attribute = table_.attribute(name);
        known.emplace_back(&attribute, table_.number_of(attribute, value));
    }
    return known;
}

// ---- traces

bool CompareSink::add(StoredRows& trace, Conditions&, const std::vector<uint32_t>& rows,
                      const std::vector<uint32_t>& selected) {
    for (const uint32_t row : rows) {
        const uint64_t start_ns = trace.start_ns(row);
        if (!grid_.holds(start_ns)) continue;
        if (!table_.charge(sizeof(Row) * 2)) return false;
        const double weight = trace.weight(row);
        weight_max_ = std::max(weight_max_, weight);
        const bool is_selected = start_ns >= start_ns_ && start_ns < end_ns_ &&
                                 std::binary_search(selected.begin(), selected.end(), row);
        rows_[{&trace.segment_of(row), trace.group_of(row)}].push_back(
            {trace.row_in_group(row), static_cast<uint32_t>(grid_.index(start_ns)), is_selected,
             is_weighted_ ? weight : 1});
    }
    return true;
}

Result<void> CompareSink::end() {
    for (const auto& [place, rows] : rows_) {
        SegmentReader& reader = place.first->reader();
        const auto group = reader.group(place.second);
        const uint32_t count = group->rows().rows;
        RowBitmap chosen(count);
        RowBitmap selected(count);
        std::vector<uint32_t> intervals(count, 0);
        std::vector<double> weights(count, 1);
        for (const Row& row : rows) {
            chosen.set(row.row);
            if (row.is_selected) selected.set(row.row);
            intervals[row.row] = row.interval;
            weights[row.row] = row.weight;
        }
        TRY(count_group(reader, *group, {chosen, &selected, 0, intervals, weights}));
    }
    rows_.clear();
    classes_.flush();
    reader_ = nullptr;  // what it read may go now
    return {};
}

void CompareSink::add(const CompareSink& other) {
    weight_max_ = std::max(weight_max_, other.weight_max_);
    table_.add(other.table_);
}

}  // namespace spanloom::traceql

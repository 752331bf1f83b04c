#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>

#include "store/attribute_cells.h"
#include "traceql/compare_columns.h"
#include "traceql/names.h"

namespace spanloom::traceql {

using store::ColumnBlock;
using store::GroupReader;
using store::Intrinsic;
using store::RowBitmap;
using store::RowField;
using store::Scope;
using store::SegmentReader;
using store::Table;
using store::Value;

// How often each of different values, integers or codes, comes among the selected ones.
std::vector<uint32_t> CompareColumns::selected_among(const ColumnBlock& values,
                                                     const ColumnBlock* selected) {
    std::vector<uint32_t> times(values.size(), 0);
    const auto count = [&](const auto& different, const auto& each) {
        for (const auto value : each) {
            const auto at = std::find(different.begin(), different.end(), value);
            if (at != different.end()) ++times[static_cast<size_t>(at - different.begin())];
        }
    };
    if (selected == nullptr) return times;
    count(values.integers, selected->integers);
    count(values.codes, selected->codes);
    return times;
}

// Visits what rows have in a column of integers that all of them have: the value, how many of the
// baseline and of the selection. false: that is not known without a look at each.
template <typename Visit>
Result<bool> CompareColumns::each_row_value(GroupReader& group, uint32_t column,
                                            const CompareRows& counting, Visit&& visit) {
    if (column == store::kNoColumn || !counting.selects_few()) return false;
    const uint32_t row_count = counting.rows.rows();
    TRY_ASSIGN(auto counted, group.value_counts(column, row_count));
    if (!counted) return false;
    std::shared_ptr<const ColumnBlock> selected;
    if (counting.selected != nullptr && counting.selected->any()) {
        std::vector<uint32_t> rows;
        counting.selected->for_each([&](uint32_t row) { rows.push_back(row); });
        TRY_ASSIGN(selected, group.values_at(column, row_count, rows, rows));
    }
    const std::vector<uint32_t> of_selection = selected_among(*counted->values, selected.get());
    for (size_t i = 0; i < of_selection.size(); ++i)
        visit(counted->values->integers[i], counted->counts[i] - of_selection[i], of_selection[i]);
    return true;
}

// Rows without a stored value have number 0.
Result<void> CompareColumns::count_enumeration(SegmentReader& reader, GroupReader& group,
                                               Intrinsic intrinsic, const CompareRows& counting) {
    constexpr size_t kKnown = 8;
    Attribute& attribute = table_.attribute(field_text({Scope::kIntrinsic, intrinsic, ""}));
    const auto count = [&](int64_t number, uint32_t slot, double weight) {
        const Value value = intrinsic == Intrinsic::kStatus
                                ? Value::of_status(static_cast<otlp::StatusCode>(number))
                                : Value::of_kind(static_cast<otlp::SpanKind>(number));
        table_.count_total(attribute, slot, weight);
        table_.count_value(attribute, table_.number_of(attribute, value), slot, weight);
    };
    const uint32_t column = reader.column(Table::kSpans, intrinsic);
    TRY_ASSIGN(const bool is_done,
               each_row_value(group, column, counting,
                              [&](int64_t value, uint32_t baseline, uint32_t selection) {
                                  if (baseline != 0) count(value, 2 * counting.interval, baseline);
                                  if (selection != 0)
                                      count(value, 2 * counting.interval + 1, selection);
                              }));
    if (is_done) return {};
    TRY_ASSIGN(const ColumnBlock* block, group.block(column));
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

// How many rows each resource has, by slot.
Result<CompareColumns::ResourceSums> CompareColumns::sum_resources(SegmentReader& reader,
                                                                   GroupReader& group,
                                                                   const CompareRows& counting) {
    ResourceSums sums;
    const store::Segment& segment = reader.segment();
    const auto add = [&](uint64_t scope, uint32_t slot, double weight) {
        if (weight == 0 || scope >= segment.scope_count()) return;
        sums[{segment.scope_resource(static_cast<uint32_t>(scope)), slot}] += weight;
    };
    const uint32_t column = reader.column(Table::kSpans, RowField::kScopeIndex);
    const auto add_counted = [&](int64_t scope, uint32_t baseline, uint32_t selection) {
        add(static_cast<uint64_t>(scope), 2 * counting.interval, baseline);
        add(static_cast<uint64_t>(scope), 2 * counting.interval + 1, selection);
    };
    TRY_ASSIGN(const bool is_counted, each_row_value(group, column, counting, add_counted));
    if (is_counted) return sums;
    TRY_ASSIGN(const ColumnBlock* scopes, group.block(column));
    if (!counting.is_plain()) {
        counting.each(*scopes, [&](uint32_t row, uint32_t position) {
            add(static_cast<uint64_t>(scopes->integers[position]), counting.slot(row),
                counting.weight(row));
        });
        return sums;
    }
    const size_t scope_count = segment.scope_count();
    add_up(*scopes, counting, scope_count + 1, [&](uint32_t position) {
        return std::min<uint64_t>(static_cast<uint64_t>(scopes->integers[position]), scope_count);
    });
    for (size_t scope = 0; scope <= scope_count; ++scope) {
        for (uint32_t i = 0; i < 2; ++i)
            add(scope, 2 * counting.interval + i, std::exchange(sums_[scope * 2 + i], 0));
    }
    return sums;
}

// Resources are few: their attributes are looked up once each.
Result<void> CompareColumns::count_resources(SegmentReader& reader, GroupReader& group,
                                             const CompareRows& counting) {
    TRY_ASSIGN(const ResourceSums sums, sum_resources(reader, group, counting));
    for (const auto& [place, weight] : sums) {
        for (const auto& [attribute, number] : resource(reader.segment(), place.first)) {
            table_.count_total(*attribute, place.second, weight);
            table_.count_value(*attribute, number, place.second, weight);
        }
    }
    return {};
}

const std::vector<std::pair<CompareColumns::Attribute*, uint32_t>>& CompareColumns::resource(
    const store::Segment& segment, uint32_t index) {
    auto& known = resources_[index];
    if (std::exchange(is_resource_read_[index], 1) != 0) return known;
    const auto view = otlp::ResourceView::parse(segment.resource_message(index));
    std::map<std::string, Value> values;  // the last of a key counts
    for (const otlp::AttributeView& attribute : view.attributes())
        values[field_text({Scope::kResource, Intrinsic::kNone, std::string(attribute.key)})] =
            store::value_of(attribute.value);
    for (const auto& [name, value] : values) {
        Attribute& attribute = table_.attribute(name);
        known.emplace_back(&attribute, table_.number_of(attribute, value));
    }
    return known;
}

}  // namespace spanloom::traceql

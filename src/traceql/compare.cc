#include "traceql/compare.h"

#include <algorithm>
#include <cmath>

#include "store/attribute_cells.h"
#include "store/values.h"
#include "traceql/names.h"

namespace spanloom::traceql {
namespace {

using store::ColumnBlock;
using store::ColumnKey;
using store::ColumnType;
using store::Field;
using store::GroupReader;
using store::Intrinsic;
using store::RowField;
using store::Scope;
using store::SegmentReader;
using store::Table;
using store::Value;
using store::ValueKind;

constexpr size_t kTopDefault = 10;
// Values of one attribute that are told apart; an attribute with more tells nothing anyway.
constexpr size_t kValuesMax = 20'000;

std::string name_of(Scope scope, std::string_view key) {
    return field_text({scope, Intrinsic::kNone, std::string(key)});
}

std::string name_of(Intrinsic intrinsic) {
    return field_text({Scope::kIntrinsic, intrinsic, ""});
}

}  // namespace

void CompareCounter::Counts::add(uint32_t slot, double weight) {
    (slot % 2 != 0 ? selection : baseline) += weight;
    // Spans come nearly in the order of time.
    constexpr size_t kLook = 4;
    for (size_t i = 0; i < kLook && i < slots.size(); ++i) {
        auto& known = slots[slots.size() - 1 - i];
        if (known.first != slot) continue;
        known.second += weight;
        return;
    }
    slots.emplace_back(slot, weight);
}

CompareCounter::CompareCounter(const Stage& stage, Grid grid, size_t memory_bytes_max)
    : stage_(stage), grid_(grid), memory_bytes_max_(memory_bytes_max) {
    if (stage.arguments.size() != 3) return;
    start_ns_ = static_cast<uint64_t>(stage.arguments[1].literal.integer);
    end_ns_ = static_cast<uint64_t>(stage.arguments[2].literal.integer);
    if (end_ns_ == 0) end_ns_ = UINT64_MAX;
}

CompareCounter::~CompareCounter() = default;

bool CompareCounter::charge(size_t bytes) {
    if (memory_bytes_ + bytes > memory_bytes_max_) {
        is_full_ = true;
        return false;
    }
    memory_bytes_ += bytes;
    return true;
}

void CompareCounter::add(StoredRows& rows, uint32_t row, double weight, bool is_selected) {
    if (!charge(sizeof(Row) * 2)) return;
    const uint64_t start_ns = rows.start_ns(row);
    const bool counts_selected = is_selected && start_ns >= start_ns_ && start_ns < end_ns_;
    const auto slot = static_cast<uint32_t>(grid_.index(start_ns) * 2 + (counts_selected ? 1 : 0));
    rows_[{&rows.segment_of(row), rows.group_of(row)}].push_back(
        {rows.row_in_group(row), slot, weight});
}

CompareCounter::Counts* CompareCounter::counts_of(Attribute& attribute, const Value& value) {
    std::string key;
    append_key(key, value);
    const auto known = attribute.by_key.find(key);
    if (known != attribute.by_key.end()) return &attribute.counts[known->second];
    if (attribute.values.size() >= kValuesMax || !charge(key.size() * 2 + 256)) {
        ++attribute.overflowed;
        return nullptr;
    }
    attribute.by_key.emplace(std::move(key), static_cast<uint32_t>(attribute.values.size()));
    attribute.values.push_back(value);
    return &attribute.counts.emplace_back();
}

// Counts the columns of one row group.
struct CompareCounter::Counting {
    CompareCounter& counter;
    SegmentReader& reader;
    GroupReader& group;
    const std::vector<Row>& rows;  // ascending

    // Visits rows that have a value in the block, with its position.
    template <typename Visit>
    void each(const ColumnBlock& block, Visit&& visit) const {
        if (block.dense) {
            for (const Row& row : rows) {
                if (row.row < block.size()) visit(row, row.row);
            }
            return;
        }
        size_t at = 0;
        for (const Row& row : rows) {
            while (at < block.rows.size() && block.rows[at] < row.row)
                ++at;
            if (at == block.rows.size()) return;
            if (block.rows[at] != row.row) continue;
            // Of a key that comes more than once the last value counts.
            size_t last = at;
            while (last + 1 < block.rows.size() && block.rows[last + 1] == row.row)
                ++last;
            visit(row, static_cast<uint32_t>(last));
        }
    }

    void column(const ColumnKey& key, const ColumnBlock& block, const std::string& name) const {
        Attribute& attribute = counter.attribute(name);
        if (key.type == ColumnType::kString) {
            // A code is looked up once.
            std::vector<int64_t> index(block.strings.size(), -2);
            each(block, [&](const Row& row, uint32_t position) {
                const uint32_t code = block.codes[position];
                if (index[code] == -2) {
                    const Counts* found = counter.counts_of(
                        attribute, Value::of_string(std::string(block.strings[code])));
                    index[code] = found == nullptr ? -1 : found - attribute.counts.data();
                }
                attribute.totals.add(row.slot, row.weight);
                if (index[code] >= 0)
                    attribute.counts[static_cast<size_t>(index[code])].add(row.slot, row.weight);
            });
            return;
        }
        each(block, [&](const Row& row, uint32_t position) {
            Counts* counts = counter.counts_of(attribute, store::value_at(key, block, position));
            attribute.totals.add(row.slot, row.weight);
            if (counts != nullptr) counts->add(row.slot, row.weight);
        });
    }

    // Rows without a stored value have number 0.
    Result<void> enumeration(Intrinsic intrinsic) const {
        TRY_ASSIGN(const ColumnBlock* block, group.block(reader.column(Table::kSpans, intrinsic)));
        Attribute& attribute = counter.attribute(name_of(intrinsic));
        for (const Row& row : rows) {
            const auto at = store::position_of(*block, row.row);
            const int64_t number = at && *at < block->integers.size() ? block->integers[*at] : 0;
            const Value value = intrinsic == Intrinsic::kStatus
                                    ? Value::of_status(static_cast<otlp::StatusCode>(number))
                                    : Value::of_kind(static_cast<otlp::SpanKind>(number));
            Counts* counts = counter.counts_of(attribute, value);
            attribute.totals.add(row.slot, row.weight);
            if (counts != nullptr) counts->add(row.slot, row.weight);
        }
        return {};
    }

    // Resources are few: their attributes are read once for each and slot.
    Result<void> resources() const {
        TRY_ASSIGN(const ColumnBlock* scopes,
                   group.block(reader.column(Table::kSpans, RowField::kScopeIndex)));
        std::map<std::pair<uint32_t, uint32_t>, double> sums;
        const store::Segment& segment = reader.segment();
        for (const Row& row : rows) {
            if (row.row >= scopes->integers.size()) continue;
            const auto scope = static_cast<uint32_t>(scopes->integers[row.row]);
            if (scope < segment.scope_count())
                sums[{segment.scope_resource(scope), row.slot}] += row.weight;
        }
        for (const auto& [place, weight] : sums) {
            const auto view = otlp::ResourceView::parse(segment.resource_message(place.first));
            std::map<std::string, Value> values;  // the last of a key counts
            for (const otlp::AttributeView& attribute : view.attributes())
                values[name_of(Scope::kResource, attribute.key)] = store::value_of(attribute.value);
            for (const auto& [name, value] : values) {
                Attribute& attribute = counter.attribute(name);
                Counts* counts = counter.counts_of(attribute, value);
                attribute.totals.add(place.second, weight);
                if (counts != nullptr) counts->add(place.second, weight);
            }
        }
        return {};
    }
};

Result<void> CompareCounter::count_group(const Group& place, std::vector<Row>& rows) {
    std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.row < b.row; });
    SegmentReader& reader = place.first->reader();
    const auto group = reader.group(place.second);
    const Counting counting{*this, reader, *group, rows};
    const auto columns = reader.segment().columns();
    for (uint32_t i = 0; i < columns.size(); ++i) {
        if (columns[i].table != Table::kSpans || !reader.segment().has_values(i)) continue;
        const bool is_attribute = columns[i].scope == Scope::kSpan;
        const bool is_text = columns[i].intrinsic == Intrinsic::kName ||
                             columns[i].intrinsic == Intrinsic::kStatusMessage;
        if (!is_attribute && !is_text) continue;
        TRY_ASSIGN(const ColumnBlock* block, group->block(i));
        if (block->size() == 0) continue;
        counting.column(
            columns[i], *block,
            is_attribute ? name_of(Scope::kSpan, columns[i].key) : name_of(columns[i].intrinsic));
    }
    TRY(counting.enumeration(Intrinsic::kStatus));
    TRY(counting.enumeration(Intrinsic::kKind));
    return counting.resources();
}

std::vector<double> CompareCounter::values_of(const Counts& counts, bool of_selection) const {
    std::vector<double> values(grid_.intervals, 0);
    for (const auto& [slot, weight] : counts.slots) {
        if ((slot % 2 != 0) == of_selection) values[slot / 2] += weight;
    }
    return values;
}

void CompareCounter::add_series(const std::string& name, const Attribute& attribute,
                                std::vector<Series>& out) const {
    const size_t top =
        stage_.arguments.empty()
            ? kTopDefault
            : static_cast<size_t>(std::min<int64_t>(stage_.arguments[0].literal.integer, 1'000));
    const auto series = [&](std::string_view type, std::vector<Label> labels,
                            std::vector<double> values) {
        Series& one = out.emplace_back();
        one.labels.push_back({"__meta_type", Value::of_string(std::string(type))});
        for (Label& label : labels)
            one.labels.push_back(std::move(label));
        one.values = std::move(values);
    };
    const Value nil = Value::of_string("nil");
    for (const bool of_selection : {false, true}) {
        const std::string_view type = of_selection ? "selection" : "baseline";
        const auto sum = [&](const Counts& counts) {
            return of_selection ? counts.selection : counts.baseline;
        };
        if (sum(attribute.totals) == 0) continue;
        std::vector<uint32_t> order;
        for (uint32_t i = 0; i < attribute.counts.size(); ++i) {
            if (sum(attribute.counts[i]) > 0) order.push_back(i);
        }
        std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
            const double left = sum(attribute.counts[a]);
            const double right = sum(attribute.counts[b]);
            return left != right ? left > right
                                 : store::value_before(attribute.values[a], attribute.values[b]);
        });
        if (order.size() > top || attribute.overflowed != 0)
            series(type, {{"__meta_error", Value::of_string("__too_many_values__")}, {name, nil}},
                   std::vector<double>(grid_.intervals, 0));
        for (size_t i = 0; i < std::min(top, order.size()); ++i)
            series(type, {{name, attribute.values[order[i]]}},
                   values_of(attribute.counts[order[i]], of_selection));
        series(of_selection ? "selection_total" : "baseline_total", {{name, nil}},
               values_of(attribute.totals, of_selection));
    }
}

Result<std::vector<Series>> CompareCounter::finish() {
    for (auto& [place, rows] : rows_) {
        TRY(count_group(place, rows));
        rows = {};
    }
    std::vector<Series> out;
    for (const auto& [name, attribute] : attributes_)
        add_series(name, attribute, out);
    return out;
}

}  // namespace spanloom::traceql

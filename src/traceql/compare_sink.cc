#include "traceql/compare_sink.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "otlp/tracestate.h"
#include "store/attribute_cells.h"
#include "store/values.h"
#include "traceql/field_numbers.h"
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
using store::ValueKind;

constexpr size_t kTopDefault = 10;
// Values of one attribute that are told apart; an attribute with more tells nothing anyway.
constexpr size_t kValuesMax = 20'000;
// Those of the baseline are told apart up to here: beyond it most values are rare, the most
// frequent ones say little, and counting all of them would take most of the time. Of the selection,
// which is small, they are always counted.
constexpr size_t kCrowd = 2'000;
constexpr uint32_t kUnknown = UINT32_MAX - 1;

std::string name_of(Scope scope, std::string_view key) {
    return field_text({scope, Intrinsic::kNone, std::string(key)});
}

std::string name_of(Intrinsic intrinsic) {
    return field_text({Scope::kIntrinsic, intrinsic, ""});
}

bool is_integer(ValueKind kind) {
    return kind == ValueKind::kInt || kind == ValueKind::kBool || kind == ValueKind::kStatus ||
           kind == ValueKind::kSpanKind;
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
};

CompareSink::CompareSink(const Stage& stage, const Grid& grid, bool is_weighted, double scale,
                         MemoryShare& memory)
    : stage_(stage), grid_(grid), is_weighted_(is_weighted), scale_(scale), memory_(memory) {
    if (stage.arguments.size() != 3) return;
    start_ns_ = static_cast<uint64_t>(stage.arguments[1].literal.integer);
    end_ns_ = static_cast<uint64_t>(stage.arguments[2].literal.integer);
    if (end_ns_ == 0) end_ns_ = UINT64_MAX;
}

CompareSink::~CompareSink() {
    memory_.give_back(memory_bytes_);
}

bool CompareSink::charge(size_t bytes) {
    if (!memory_.take(bytes)) {
        is_full_ = true;
        return false;
    }
    memory_bytes_ += bytes;
    return true;
}

void CompareSink::count_slot(Counts& counts, uint32_t slot, double weight) {
    (slot % 2 != 0 ? counts.selection : counts.baseline) += weight;
    // Spans come nearly in the order of time.
    constexpr size_t kLook = 4;
    for (size_t i = 0; i < kLook && i < counts.slots.size(); ++i) {
        auto& known = counts.slots[counts.slots.size() - 1 - i];
        if (known.first != slot) continue;
        known.second += weight;
        return;
    }
    if (charge(sizeof(counts.slots[0]))) counts.slots.emplace_back(slot, weight);
}

// kTooMany where it is not told apart.
uint32_t CompareSink::value_number(Attribute& attribute, const Value& value) {
    if (is_integer(value.kind)) return integer_number(attribute, value);
    std::string key;
    append_key(key, value);
    const auto known = attribute.by_key.find(key);
    if (known != attribute.by_key.end()) return known->second;
    if (attribute.values.size() >= kValuesMax || !charge(key.size() * 2 + 256)) return kTooMany;
    const auto number = static_cast<uint32_t>(attribute.values.size());
    attribute.by_key.emplace(std::move(key), number);
    attribute.values.push_back(value);
    attribute.counts.emplace_back();
    return number;
}

// Kinds of integers of one name are told apart by their upper bits; integers that large are rare
// enough to be looked up as texts.
uint32_t CompareSink::integer_number(Attribute& attribute, const Value& value) {
    constexpr int kShift = 60;
    const bool is_small = value.integer >> (kShift - 1) == 0 || value.integer >> (kShift - 1) == -1;
    if (!is_small) {
        std::string key;
        append_key(key, value);
        const auto known = attribute.by_key.find(key);
        if (known != attribute.by_key.end()) return known->second;
        if (attribute.values.size() >= kValuesMax || !charge(512)) return kTooMany;
        attribute.by_key.emplace(std::move(key), static_cast<uint32_t>(attribute.values.size()));
    } else {
        const uint64_t low = static_cast<uint64_t>(value.integer) & ((uint64_t{1} << kShift) - 1);
        const auto key = static_cast<int64_t>(low | static_cast<uint64_t>(value.kind) << kShift);
        const auto known = attribute.by_integer.find(key);
        if (known != attribute.by_integer.end()) return known->second;
        if (attribute.values.size() >= kValuesMax || !charge(256)) return kTooMany;
        attribute.by_integer.emplace(key, static_cast<uint32_t>(attribute.values.size()));
    }
    attribute.values.push_back(value);
    attribute.counts.emplace_back();
    return static_cast<uint32_t>(attribute.values.size() - 1);
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
    return count_group(reader, group, {rows_inside, &selected_inside, 0, intervals, weights});
}

// Empty where every span stands for itself.
Result<std::vector<double>> CompareSink::weights_of(SegmentReader& reader, GroupReader& group,
                                                    const RowBitmap& rows) {
    std::vector<double> weights;
    const uint32_t column = reader.column(Table::kSpans, Intrinsic::kTraceState);
    if (column == store::kNoColumn) return weights;
    TRY_ASSIGN(const ColumnBlock* states, group.block(column));
    if (states->size() == 0) return weights;
    weights.assign(group.rows().rows, 1);
    Counting{rows, nullptr, 0, {}, {}}.each(*states, [&](uint32_t row, uint32_t position) {
        const double weight = otlp::adjusted_count(states->strings[states->codes[position]]).value;
        if (weight != 1) is_sampled_ = true;
        if (is_weighted_) weights[row] = weight;
    });
    return weights;
}

void CompareSink::use(SegmentReader& reader) {
    if (reader_ == &reader) return;
    reader_ = &reader;
    const auto columns = reader.segment().columns();
    columns_.assign(columns.size(), {});
    for (uint32_t i = 0; i < columns.size(); ++i) {
        const ColumnKey& key = columns[i];
        if (key.table != Table::kSpans || !reader.segment().has_values(i)) continue;
        const bool is_intrinsic =
            key.intrinsic == Intrinsic::kName || key.intrinsic == Intrinsic::kStatusMessage ||
            key.intrinsic == Intrinsic::kStatus || key.intrinsic == Intrinsic::kKind;
        if (key.scope == Scope::kSpan) {
            columns_[i].attribute = &attributes_[name_of(Scope::kSpan, key.key)];
        } else if (is_intrinsic) {
            columns_[i].attribute = &attributes_[name_of(key.intrinsic)];
        }
    }
    resources_.assign(reader.segment().resource_count(), {});
    is_resource_read_.assign(resources_.size(), 0);
}

Result<void> CompareSink::count_group(SegmentReader& reader, GroupReader& group,
                                      const Counting& counting) {
    if (!counting.rows.any()) return {};
    use(reader);
    const auto columns = reader.segment().columns();
    for (uint32_t i = 0; i < columns.size(); ++i) {
        const ColumnKey& key = columns[i];
        const bool is_number =
            key.intrinsic == Intrinsic::kStatus || key.intrinsic == Intrinsic::kKind;
        if (columns_[i].attribute == nullptr || is_number) continue;
        TRY_ASSIGN(const ColumnBlock* block, group.block(i));
        if (block->size() == 0) continue;
        if (key.type == ColumnType::kString || key.type == ColumnType::kValue) {
            count_codes(columns_[i], key, *block, counting);
        } else {
            count_values(columns_[i], key, *block, counting);
        }
    }
    TRY(count_enumeration(reader, group, Intrinsic::kStatus, counting));
    TRY(count_enumeration(reader, group, Intrinsic::kKind, counting));
    return count_resources(reader, group, counting);
}

// A text is looked up once for each dictionary, and counted once for each row group.
void CompareSink::count_codes(ColumnState& state, const ColumnKey& key, const ColumnBlock& block,
                              const Counting& counting) {
    Attribute& attribute = *state.attribute;
    attribute.is_crowded = attribute.is_crowded || attribute.values.size() > kCrowd;
    if (attribute.is_crowded) return count_selected(state, key, block, counting);
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
            number = value_number(attribute, store::value_at(key, block, position));
        return number;
    };
    if (!counting.is_plain()) {
        counting.each(block, [&](uint32_t row, uint32_t position) {
            count_one(attribute, number_of(position), counting.slot(row), counting.weight(row));
        });
        return;
    }
    sums_.resize(std::max(sums_.size(), block.strings.size() * 2));
    std::array<uint32_t, 2> totals{};
    counting.each(block, [&](uint32_t row, uint32_t position) {
        const size_t selected = counting.is_selected(row) ? 1 : 0;
        ++sums_[block.codes[position] * size_t{2} + selected];
        ++totals[selected];
    });
    const auto flush = [&](uint32_t position) {
        const size_t at = block.codes[position] * size_t{2};
        if ((sums_[at] | sums_[at + 1]) == 0) return;
        const uint32_t number = number_of(position);
        for (uint32_t selected = 0; selected < 2; ++selected) {
            const uint32_t sum = std::exchange(sums_[at + selected], 0);
            if (sum == 0) continue;
            if (number == kTooMany) {
                attribute.overflowed += sum;
            } else {
                count_slot(attribute.counts[number], 2 * counting.interval + selected, sum);
            }
        }
    };
    for (uint32_t position = 0; position < block.codes.size(); ++position)
        flush(position);
    for (uint32_t selected = 0; selected < 2; ++selected) {
        if (totals[selected] != 0)
            count_slot(attribute.totals, 2 * counting.interval + selected, totals[selected]);
    }
}

void CompareSink::count_totals(Attribute& attribute, const ColumnBlock& block,
                               const Counting& counting) {
    if (!counting.is_plain()) {
        counting.each(block, [&](uint32_t row, uint32_t) {
            count_slot(attribute.totals, counting.slot(row), counting.weight(row));
        });
        return;
    }
    std::array<uint32_t, 2> totals{};
    counting.each(block,
                  [&](uint32_t row, uint32_t) { ++totals[counting.is_selected(row) ? 1 : 0]; });
    for (uint32_t selected = 0; selected < 2; ++selected) {
        if (totals[selected] != 0)
            count_slot(attribute.totals, 2 * counting.interval + selected, totals[selected]);
    }
}

// Of the baseline only how many have a value at all.
void CompareSink::count_selected(ColumnState& state, const ColumnKey& key, const ColumnBlock& block,
                                 const Counting& counting) {
    Attribute& attribute = *state.attribute;
    count_totals(attribute, block, counting);
    if (counting.selected == nullptr) return;
    counting.selected->for_each([&](uint32_t row) {
        const auto position = store::position_of(block, row);
        if (!position || *position >= block.size()) return;
        const uint32_t number = value_number(attribute, store::value_at(key, block, *position));
        if (number == kTooMany) {
            ++attribute.overflowed;
        } else {
            count_slot(attribute.counts[number], counting.slot(row), counting.weight(row));
        }
    });
}

void CompareSink::count_one(Attribute& attribute, uint32_t number, uint32_t slot, double weight) {
    count_slot(attribute.totals, slot, weight);
    if (number == kTooMany) {
        ++attribute.overflowed;
    } else {
        count_slot(attribute.counts[number], slot, weight);
    }
}

void CompareSink::count_values(ColumnState& state, const ColumnKey& key, const ColumnBlock& block,
                               const Counting& counting) {
    Attribute& attribute = *state.attribute;
    attribute.is_crowded = attribute.is_crowded || attribute.values.size() > kCrowd;
    if (attribute.is_crowded) return count_selected(state, key, block, counting);
    Value last;
    uint32_t last_number = kUnknown;
    counting.each(block, [&](uint32_t row, uint32_t position) {
        // Most have the value of the one before.
        const bool is_same = last_number != kUnknown && key.type == ColumnType::kInt &&
                             block.integers[position] == last.integer;
        if (!is_same) {
            last = store::value_at(key, block, position);
            last_number = value_number(attribute, last);
        }
        count_one(attribute, last_number, counting.slot(row), counting.weight(row));
    });
}

// Rows without a stored value have number 0.
Result<void> CompareSink::count_enumeration(SegmentReader& reader, GroupReader& group,
                                            Intrinsic intrinsic, const Counting& counting) {
    const auto value_of = [&](int64_t number) {
        return intrinsic == Intrinsic::kStatus
                   ? Value::of_status(static_cast<otlp::StatusCode>(number))
                   : Value::of_kind(static_cast<otlp::SpanKind>(number));
    };
    Attribute& attribute = attributes_[name_of(intrinsic)];
    TRY_ASSIGN(const ColumnBlock* block, group.block(reader.column(Table::kSpans, intrinsic)));
    RowBitmap without = counting.rows;
    RowBitmap with(counting.rows.rows());
    std::map<std::pair<int64_t, uint32_t>, double> sums;
    int64_t last = 0;
    uint32_t last_slot = kUnknown;
    double* sum = nullptr;
    const auto count = [&](int64_t number, uint32_t row) {
        const uint32_t slot = counting.slot(row);
        if (sum == nullptr || number != last || slot != last_slot) sum = &sums[{number, slot}];
        last = number;
        last_slot = slot;
        *sum += counting.weight(row);
    };
    counting.each(*block, [&](uint32_t row, uint32_t position) {
        with.set(row);
        count(block->integers[position], row);
    });
    without.subtract(with);
    without.for_each([&](uint32_t row) { count(0, row); });
    for (const auto& [place, weight] : sums)
        count_one(attribute, value_number(attribute, value_of(place.first)), place.second, weight);
    return {};
}

// Resources are few: their attributes are looked up once each.
Result<void> CompareSink::count_resources(SegmentReader& reader, GroupReader& group,
                                          const Counting& counting) {
    TRY_ASSIGN(const ColumnBlock* scopes,
               group.block(reader.column(Table::kSpans, RowField::kScopeIndex)));
    const store::Segment& segment = reader.segment();
    std::map<std::pair<uint32_t, uint32_t>, double> sums;  // by resource and slot
    std::pair<uint32_t, uint32_t> last{kUnknown, 0};
    double* sum = nullptr;
    counting.each(*scopes, [&](uint32_t row, uint32_t position) {
        const auto scope = static_cast<uint32_t>(scopes->integers[position]);
        if (scope >= segment.scope_count()) return;
        const std::pair place{segment.scope_resource(scope), counting.slot(row)};
        if (place != last) sum = &sums[place];
        last = place;
        *sum += counting.weight(row);
    });
    for (const auto& [place, weight] : sums) {
        for (const auto& [attribute, number] : resource(segment, place.first))
            count_one(*attribute, number, place.second, weight);
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
        Attribute& attribute = attributes_[name];
        known.emplace_back(&attribute, value_number(attribute, value));
    }
    return known;
}

// ---- traces

bool CompareSink::add(StoredRows& trace, Conditions&, const std::vector<uint32_t>& rows,
                      const std::vector<uint32_t>& selected) {
    for (const uint32_t row : rows) {
        const uint64_t start_ns = trace.start_ns(row);
        if (!grid_.holds(start_ns)) continue;
        if (!charge(sizeof(Row) * 2)) return false;
        const double weight = trace.weight(row);
        if (weight != 1) is_sampled_ = true;
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
    reader_ = nullptr;  // what it read may go now
    return {};
}

void CompareSink::add(const CompareSink& other) {
    is_full_ = is_full_ || other.is_full_;
    is_sampled_ = is_sampled_ || other.is_sampled_;
    const auto join = [&](Counts& counts, const Counts& theirs) {
        for (const auto& [slot, weight] : theirs.slots)
            count_slot(counts, slot, weight);
    };
    for (const auto& [name, theirs] : other.attributes_) {
        Attribute& attribute = attributes_[name];
        join(attribute.totals, theirs.totals);
        attribute.overflowed += theirs.overflowed;
        attribute.is_crowded = attribute.is_crowded || theirs.is_crowded;
        for (size_t i = 0; i < theirs.values.size(); ++i) {
            const uint32_t number = value_number(attribute, theirs.values[i]);
            if (number == kTooMany) {
                ++attribute.overflowed;
            } else {
                join(attribute.counts[number], theirs.counts[i]);
            }
        }
    }
}

// ---- the answer

std::vector<double> CompareSink::values_of(const Counts& counts, bool of_selection) const {
    std::vector<double> values(grid_.intervals, 0);
    for (const auto& [slot, weight] : counts.slots) {
        if ((slot % 2 != 0) == of_selection) values[slot / 2] += weight * scale_;
    }
    return values;
}

void CompareSink::add_series(const std::string& name, const Attribute& attribute,
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
        const bool is_told_apart = of_selection || !attribute.is_crowded;
        for (uint32_t i = 0; is_told_apart && i < attribute.counts.size(); ++i) {
            if (sum(attribute.counts[i]) > 0) order.push_back(i);
        }
        std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
            const double left = sum(attribute.counts[a]);
            const double right = sum(attribute.counts[b]);
            return left != right ? left > right
                                 : store::value_before(attribute.values[a], attribute.values[b]);
        });
        if (order.size() > top || attribute.overflowed != 0 || !is_told_apart)
            series(type, {{"__meta_error", Value::of_string("__too_many_values__")}, {name, nil}},
                   std::vector<double>(grid_.intervals, 0));
        for (size_t i = 0; i < std::min(top, order.size()); ++i)
            series(type, {{name, attribute.values[order[i]]}},
                   values_of(attribute.counts[order[i]], of_selection));
        series(of_selection ? "selection_total" : "baseline_total", {{name, nil}},
               values_of(attribute.totals, of_selection));
    }
}

std::vector<Series> CompareSink::finish(const Sharing& share) const {
    std::vector<const std::pair<const std::string, Attribute>*> all;
    for (const auto& one : attributes_)
        all.push_back(&one);
    std::vector<std::vector<Series>> finished(all.size());
    share(all.size(), [&](size_t i) { add_series(all[i]->first, all[i]->second, finished[i]); });
    std::vector<Series> out;
    for (std::vector<Series>& of_attribute : finished) {
        for (Series& one : of_attribute)
            out.push_back(std::move(one));
    }
    return out;
}

}  // namespace spanloom::traceql

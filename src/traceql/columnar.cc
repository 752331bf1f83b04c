#include "traceql/columnar.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "otlp/tracestate.h"
#include "store/attribute_cells.h"
#include "store/intrinsic_cells.h"
#include "store/predicate_node.h"

namespace spanloom::traceql {

using store::ColumnBlock;
using store::ColumnType;
using store::Field;
using store::GroupReader;
using store::Intrinsic;
using store::RowBitmap;
using store::RowField;
using store::Scope;
using store::SegmentReader;
using store::Table;
using store::Value;
using store::ValueKind;

namespace {

// Visits the rows that have a value in the block, with its position, and the others.
template <typename Found, typename Absent>
void walk(const ColumnBlock& block, std::span<const uint32_t> rows, Found&& found,
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

// The column that alone has the field's values; nullopt: there are several, or none of its own.
std::optional<uint32_t> only_column(const SegmentReader& reader, const Field& field) {
    if (field.scope == Scope::kSpan) {
        if (reader.column(Table::kSpans, RowField::kOverflow) != store::kNoColumn)
            return std::nullopt;
        const std::vector<uint32_t> columns = reader.attribute_columns(Table::kSpans, field.key);
        if (columns.size() > 1) return std::nullopt;
        return columns.empty() ? store::kNoColumn : columns[0];
    }
    switch (field.scope == Scope::kIntrinsic ? field.intrinsic : Intrinsic::kNone) {
        case Intrinsic::kName:
        case Intrinsic::kStatus:
        case Intrinsic::kStatusMessage:
        case Intrinsic::kKind:
            return reader.column(Table::kSpans, field.intrinsic);
        default:
            return std::nullopt;
    }
}

Value absent_value(const Field& field) {
    if (field.scope != Scope::kIntrinsic) return Value::nil();
    if (field.intrinsic == Intrinsic::kStatus) return Value::of_status(otlp::StatusCode::kUnset);
    if (field.intrinsic == Intrinsic::kKind) return Value::of_kind(otlp::SpanKind::kUnspecified);
    return Value::of_string("");
}

bool is_of_scope(const SegmentReader& reader, const Field& field) {
    if (field.scope == Scope::kResource || field.scope == Scope::kInstrumentation) return true;
    if (field.scope != Scope::kAny) return false;
    // Where no span, event or link of the segment has the key, only resources and scopes can.
    for (const Table table : {Table::kSpans, Table::kEvents, Table::kLinks}) {
        if (reader.column(table, RowField::kOverflow) != store::kNoColumn ||
            !reader.attribute_columns(table, field.key).empty())
            return false;
    }
    return true;
}

}  // namespace

// ---- values as numbers

uint32_t ValueNumbers::number_of(const Value& value) {
    key_.clear();
    append_key(key_, value);
    const auto [at, is_new] = numbers_.try_emplace(key_, static_cast<uint32_t>(values_.size()));
    if (is_new) values_.push_back(value);
    return at->second;
}

bool FieldNumbers::can_read(const Expression& field) {
    return field.kind == Expression::Kind::kField && !field.is_parent &&
           !field.field.is_trace_level() && field.field.intrinsic != Intrinsic::kTraceId;
}

FieldNumbers::FieldNumbers(SegmentReader& reader, const Field& field, ValueNumbers& numbers)
    : reader_(reader),
      field_(field),
      numbers_(numbers),
      values_(reader, field),
      is_of_scope_(is_of_scope(reader, field)),
      column_(only_column(reader, field)),
      absent_(numbers.number_of(absent_value(field))) {
    if (is_of_scope_) by_scope_.assign(reader.segment().scope_count(), UINT32_MAX);
}

Result<void> FieldNumbers::read(GroupReader& group, std::span<const uint32_t> rows,
                                std::vector<uint32_t>& out) {
    out.resize(rows.size());
    if (is_of_scope_) return read_scopes(group, rows, out);
    if (column_) return read_column(group, rows, out);
    for (size_t i = 0; i < rows.size(); ++i) {
        TRY_ASSIGN(Value value, values_.value(group, rows[i], {}));
        const bool is_text = value.kind == ValueKind::kNil && field_.scope == Scope::kIntrinsic &&
                             store::table_of(field_) == Table::kSpans;
        out[i] = is_text ? absent_ : numbers_.number_of(value);
    }
    return {};
}

Result<void> FieldNumbers::read_scopes(GroupReader& group, std::span<const uint32_t> rows,
                                       std::vector<uint32_t>& out) {
    TRY_ASSIGN(const ColumnBlock* scopes,
               group.block(reader_.column(Table::kSpans, RowField::kScopeIndex)));
    for (size_t i = 0; i < rows.size(); ++i) {
        if (rows[i] >= scopes->integers.size())
            return fail(ErrorCode::kDataLoss, "spans without scope");
        const auto scope = static_cast<uint64_t>(scopes->integers[rows[i]]);
        if (scope >= by_scope_.size()) return fail(ErrorCode::kDataLoss, "spans without scope");
        if (by_scope_[scope] == UINT32_MAX) {
            const auto index = static_cast<uint32_t>(scope);
            Value value = store::scope_value(
                reader_.segment(), field_,
                field_.scope == Scope::kAny ? Scope::kResource : field_.scope, index);
            if (value.kind == ValueKind::kNil && field_.scope == Scope::kAny)
                value =
                    store::scope_value(reader_.segment(), field_, Scope::kInstrumentation, index);
            by_scope_[scope] = numbers_.number_of(value);
        }
        out[i] = by_scope_[scope];
    }
    return {};
}

Value FieldNumbers::value_at(const ColumnBlock& block, uint32_t position) const {
    if (field_.scope == Scope::kIntrinsic && field_.intrinsic == Intrinsic::kStatus)
        return Value::of_status(static_cast<otlp::StatusCode>(block.integers[position]));
    if (field_.scope == Scope::kIntrinsic && field_.intrinsic == Intrinsic::kKind)
        return Value::of_kind(static_cast<otlp::SpanKind>(block.integers[position]));
    return store::value_at(reader_.segment().columns()[*column_], block, position);
}

Result<void> FieldNumbers::read_column(GroupReader& group, std::span<const uint32_t> rows,
                                       std::vector<uint32_t>& out) {
    TRY_ASSIGN(const ColumnBlock* block, group.block(*column_));
    const bool has_codes = block->type == ColumnType::kString || block->type == ColumnType::kValue;
    if (block->size() == 0) {
        std::fill(out.begin(), out.end(), absent_);
        return {};
    }
    const bool is_known = has_codes && block->strings.data() == strings_ &&
                          block->owner == dictionary_ && dictionary_ != nullptr &&
                          by_code_.size() == block->strings.size();
    if (has_codes && !is_known) {
        strings_ = block->strings.data();
        dictionary_ = block->owner;
        by_code_.assign(block->strings.size(), UINT32_MAX);
    }
    walk(
        *block, rows,
        [&](size_t i, uint32_t position) {
            if (!has_codes) {
                out[i] = numbers_.number_of(value_at(*block, position));
                return;
            }
            uint32_t& number = by_code_[block->codes[position]];
            if (number == UINT32_MAX) number = numbers_.number_of(value_at(*block, position));
            out[i] = number;
        },
        [&](size_t i) { out[i] = absent_; });
    return {};
}

// ---- counting

struct ColumnarCount::Columns {
    std::vector<std::unique_ptr<FieldNumbers>> groups;
    std::unique_ptr<store::FieldReader> value;  // where no column alone has it
    std::optional<uint32_t> value_column;
};

bool ColumnarCount::can_count(const Plan& plan, const Stage& metric) {
    if (!plan.is_exact) return false;
    const bool has_value = !metric.arguments.empty();
    return (!has_value || FieldNumbers::can_read(metric.arguments[0])) &&
           std::all_of(metric.by.begin(), metric.by.end(), FieldNumbers::can_read);
}

ColumnarCount::ColumnarCount(const Stage& metric, const Grid& grid, bool is_weighted,
                             uint32_t exemplars, SeriesSet& set)
    : metric_(metric),
      grid_(grid),
      is_weighted_(is_weighted),
      exemplars_(exemplars),
      set_(set),
      groups_(metric.by.size()) {}

Result<void> ColumnarCount::count(store::SearchSegment& segment,
                                  const std::unordered_set<TraceId>& shared,
                                  store::ScanStats& stats, const std::function<bool()>& stop) {
    TRY_ASSIGN(store::BoundPredicate * predicate, segment.predicate());
    if (predicate->is_never()) return {};
    const store::TimeRange range{grid_.left_ns + 1, grid_.right_ns() + 1};
    SegmentReader& reader = segment.reader();
    Columns columns;
    for (const Expression& by : metric_.by)
        columns.groups.push_back(std::make_unique<FieldNumbers>(reader, by.field, numbers_));
    if (!metric_.arguments.empty()) {
        const Field& field = metric_.arguments[0].field;
        columns.value_column = only_column(reader, field);
        columns.value = std::make_unique<store::FieldReader>(reader, field);
    }
    const auto groups = segment.segment().row_groups();
    for (uint32_t i = 0; i < groups.size(); ++i) {
        if (!store::overlaps(groups[i].start_ns_min, groups[i].end_ns_max, range) ||
            !predicate->may_match(groups[i]))
            continue;
        if (stop()) return {};
        stats.scanned_spans += groups[i].rows;
        TRY_ASSIGN(const RowBitmap* matches, segment.matches(i));
        if (!matches->any()) continue;
        RowBitmap rows = *matches;
        TRY(leave_unshared(segment, groups[i], shared, rows));
        const auto group = reader.group(i);
        TRY(count_group(segment, columns, *group, rows));
    }
    return {};
}

Result<void> ColumnarCount::find_shared(
    const store::Segment& segment, std::span<const std::shared_ptr<const store::Segment>> others,
    std::unordered_set<TraceId>& shared) const {
    // Equal spans start alike: both segments must reach to where they lie.
    const auto may_share = [](const store::Segment& other, uint64_t start_ns, uint64_t end_ns) {
        const store::SegmentInfo& info = other.info();
        return info.spans > 0 && start_ns <= info.end_ns_max && end_ns >= info.start_ns_min;
    };
    std::vector<const store::Segment*> near;
    for (const auto& other : others) {
        const store::SegmentInfo& info = segment.info();
        if (other.get() != &segment && may_share(*other, info.start_ns_min, info.end_ns_max))
            near.push_back(other.get());
    }
    if (near.empty()) return {};
    for (uint32_t index = 0; index < segment.fragment_count(); ++index) {
        TRY_ASSIGN(const store::TraceFragment fragment, segment.fragment(index));
        if (fragment.start_ns > grid_.right_ns() || fragment.end_ns < grid_.left_ns) continue;
        for (const store::Segment* other : near) {
            if (!may_share(*other, fragment.start_ns, fragment.end_ns)) continue;
            TRY_ASSIGN(const auto found, other->find(fragment.trace_id));
            if (found) shared.insert(fragment.trace_id);
        }
    }
    return {};
}

// Takes out the rows of traces that are counted as wholes.
Result<void> ColumnarCount::leave_unshared(store::SearchSegment& segment,
                                           const store::RowGroup& group,
                                           const std::unordered_set<TraceId>& shared,
                                           RowBitmap& rows) {
    if (shared.empty()) return {};
    TRY_ASSIGN(uint32_t index, segment.reader().fragment_of_row(group.first_row));
    const uint32_t end_row = group.first_row + group.rows;
    for (; index < segment.segment().fragment_count(); ++index) {
        TRY_ASSIGN(const store::TraceFragment fragment, segment.segment().fragment(index));
        if (fragment.first_row >= end_row) break;
        if (!shared.contains(fragment.trace_id)) continue;
        const uint32_t first = std::max(fragment.first_row, group.first_row);
        RowBitmap its(group.rows);
        its.fill(first - group.first_row,
                 std::min(fragment.first_row + fragment.rows, end_row) - group.first_row);
        rows.subtract(its);
    }
    return {};
}

Result<void> ColumnarCount::count_group(store::SearchSegment& segment, Columns& columns,
                                        GroupReader& group, const RowBitmap& rows) {
    SegmentReader& reader = segment.reader();
    TRY_ASSIGN(const ColumnBlock* starts,
               group.block(reader.column(Table::kSpans, Intrinsic::kStart)));
    if (starts->integers.size() < group.rows().rows)
        return fail(ErrorCode::kDataLoss, "spans without time");
    rows_.clear();
    intervals_.clear();
    starts_.clear();
    // Neighbouring rows lie in one interval: it is divided seldom.
    uint64_t left = 0;
    uint64_t right = 0;
    uint32_t interval = 0;
    rows.for_each([&](uint32_t row) {
        const auto start = static_cast<uint64_t>(starts->integers[row]);
        if (start <= left || start > right) {
            if (!grid_.holds(start)) return;
            interval = static_cast<uint32_t>(grid_.index(start));
            left = grid_.left_ns + interval * grid_.step_ns;
            right = left + grid_.step_ns;
        }
        rows_.push_back(row);
        intervals_.push_back(interval);
        starts_.push_back(start);
    });
    if (rows_.empty()) return {};
    TRY_ASSIGN(const bool has_values, read_values(reader, columns, group));
    TRY(read_weights(reader, group));
    TRY(read_series(columns, group));
    for (size_t i = 0; i < rows_.size(); ++i) {
        if (series_[i] == SeriesSet::kNone) continue;
        const double value = has_values ? values_[i] : 0;
        if (std::isnan(value)) continue;
        set_.add(series_[i], intervals_[i], value, weights_.empty() ? 1 : weights_[i]);
    }
    return exemplars_ == 0 ? Result<void>() : add_exemplars(segment, group);
}

// NaN where a row has no number.
Result<bool> ColumnarCount::read_values(SegmentReader& reader, Columns& columns,
                                        GroupReader& group) {
    if (columns.value == nullptr) return false;
    const Field& field = columns.value->field();
    values_.assign(rows_.size(), std::nan(""));
    if (field.scope == Scope::kIntrinsic && field.intrinsic == Intrinsic::kDuration) {
        TRY_ASSIGN(const ColumnBlock* durations,
                   group.block(reader.column(Table::kSpans, Intrinsic::kDuration)));
        if (durations->integers.size() < group.rows().rows)
            return fail(ErrorCode::kDataLoss, "spans without duration");
        for (size_t i = 0; i < rows_.size(); ++i)
            values_[i] =
                static_cast<double>(store::duration_of(starts_[i], durations->integers[rows_[i]]));
        return true;
    }
    if (!columns.value_column) {
        for (size_t i = 0; i < rows_.size(); ++i) {
            TRY_ASSIGN(const Value value, columns.value->value(group, rows_[i], {}));
            if (value.is_number()) values_[i] = value.as_number();
        }
        return true;
    }
    if (*columns.value_column == store::kNoColumn) return true;
    const store::ColumnKey& key = reader.segment().columns()[*columns.value_column];
    TRY_ASSIGN(const ColumnBlock* block, group.block(*columns.value_column));
    const bool is_integer = key.type == ColumnType::kInt && !key.is_boolean;
    if (!is_integer && key.type != ColumnType::kDouble) return true;
    walk(
        *block, rows_,
        [&](size_t i, uint32_t position) {
            values_[i] = is_integer ? static_cast<double>(block->integers[position])
                                    : block->numbers[position];
        },
        [](size_t) {});
    return true;
}

// Empty where every span stands for itself.
Result<void> ColumnarCount::read_weights(SegmentReader& reader, GroupReader& group) {
    weights_.clear();
    const uint32_t column = reader.column(Table::kSpans, Intrinsic::kTraceState);
    if (column == store::kNoColumn) return {};
    TRY_ASSIGN(const ColumnBlock* states, group.block(column));
    if (states->size() == 0) return {};
    std::vector<double> by_code(states->strings.size(), 0);
    weights_.assign(rows_.size(), 1);
    walk(
        *states, rows_,
        [&](size_t i, uint32_t position) {
            double& weight = by_code[states->codes[position]];
            if (weight == 0)
                weight = otlp::adjusted_count(states->strings[states->codes[position]]).value;
            if (weight != 1) is_sampled_ = true;
            weights_[i] = is_weighted_ ? weight : 1;
        },
        [](size_t) {});
    return {};
}

uint32_t ColumnarCount::series_of(std::span<const uint32_t> numbers) {
    std::vector<Value> values;
    for (const uint32_t number : numbers)
        values.push_back(numbers_.value(number));
    return set_.series_of(values);
}

Result<void> ColumnarCount::read_series(Columns& columns, GroupReader& group) {
    for (size_t i = 0; i < groups_.size(); ++i)
        TRY(columns.groups[i]->read(group, rows_, groups_[i]));
    series_.resize(rows_.size());
    if (groups_.empty()) {
        std::fill(series_.begin(), series_.end(), set_.series_of({}));
        return {};
    }
    constexpr uint32_t kUnknown = UINT32_MAX - 1;
    if (groups_.size() == 1) {
        series_of_number_.resize(numbers_.size(), kUnknown);
        for (size_t i = 0; i < rows_.size(); ++i) {
            uint32_t& series = series_of_number_[groups_[0][i]];
            if (series == kUnknown) {
                // A metric of a number has no series of spans without one.
                const bool counts = !set_.needs_value() || !std::isnan(values_[i]);
                if (!counts) {
                    series_[i] = SeriesSet::kNone;
                    continue;
                }
                series = series_of(std::span(&groups_[0][i], 1));
            }
            series_[i] = series;
        }
        return {};
    }
    std::vector<uint32_t> numbers(groups_.size());
    std::vector<uint32_t> last;
    uint32_t last_series = SeriesSet::kNone;
    for (size_t i = 0; i < rows_.size(); ++i) {
        if (set_.needs_value() && std::isnan(values_[i])) {
            series_[i] = SeriesSet::kNone;
            continue;
        }
        for (size_t at = 0; at < groups_.size(); ++at)
            numbers[at] = groups_[at][i];
        if (numbers != last) {
            const std::string key(reinterpret_cast<const char*>(numbers.data()),
                                  numbers.size() * sizeof(uint32_t));
            const auto [at, is_new] = series_of_key_.try_emplace(key, 0);
            if (is_new) at->second = series_of(numbers);
            last = numbers;
            last_series = at->second;
        }
        series_[i] = last_series;
    }
    return {};
}

Result<void> ColumnarCount::add_exemplars(store::SearchSegment& segment, GroupReader& group) {
    SegmentReader& reader = segment.reader();
    TRY_ASSIGN(const ColumnBlock* ids,
               group.block(reader.column(Table::kSpans, Intrinsic::kSpanId)));
    TRY_ASSIGN(const ColumnBlock* durations,
               group.block(reader.column(Table::kSpans, Intrinsic::kDuration)));
    if (ids->fixed.size() < size_t{group.rows().rows} * 8 ||
        durations->integers.size() < group.rows().rows)
        return fail(ErrorCode::kDataLoss, "spans without id or time");
    const uint32_t first = group.rows().first_row;
    TRY_ASSIGN(uint32_t index, reader.fragment_of_row(first + rows_[0]));
    TRY_ASSIGN(store::TraceFragment fragment, segment.segment().fragment(index));
    for (size_t i = 0; i < rows_.size(); ++i) {
        while (first + rows_[i] >= fragment.first_row + fragment.rows) {
            TRY_ASSIGN(fragment, segment.segment().fragment(++index));
        }
        if (series_[i] == SeriesSet::kNone) continue;
        if (set_.needs_value() && std::isnan(values_[i])) continue;
        SpanId id;
        std::memcpy(id.bytes.data(), ids->fixed.data() + size_t{rows_[i]} * 8, 8);
        const uint64_t hash = exemplar_hash(fragment.trace_id, id);
        if (!set_.wants_exemplar(series_[i], intervals_[i], hash)) continue;
        const double value =
            set_.needs_value() ? values_[i] : static_cast<double>(durations->integers[rows_[i]]);
        set_.add_exemplar(series_[i], {fragment.trace_id, id, starts_[i], value, {}});
    }
    return {};
}

}  // namespace spanloom::traceql

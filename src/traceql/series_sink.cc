#include "traceql/series_sink.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "store/attribute_cells.h"
#include "store/intrinsic_cells.h"
#include "store/row_weights.h"

namespace spanloom::traceql {

using store::ColumnBlock;
using store::ColumnType;
using store::Field;
using store::GroupReader;
using store::Intrinsic;
using store::RowBitmap;
using store::Scope;
using store::SegmentReader;
using store::Table;
using store::Value;

struct SeriesSink::Columns {
    std::vector<std::unique_ptr<FieldNumbers>> groups;
    std::unique_ptr<store::FieldReader> value;  // nullptr: the metric measures nothing
    std::optional<uint32_t> value_column;       // the only one that has it
};

bool SeriesSink::can_count(const Stage& metric) {
    const bool has_value = !metric.arguments.empty();
    return (!has_value || FieldNumbers::can_read(metric.arguments[0])) &&
           std::all_of(metric.by.begin(), metric.by.end(), FieldNumbers::can_read);
}

SeriesSink::SeriesSink(const Stage& metric, const Grid& grid, bool is_weighted, uint32_t exemplars,
                       SeriesSet& set)
    : metric_(metric),
      grid_(grid),
      is_weighted_(is_weighted),
      exemplars_(exemplars),
      set_(set),
      group_(metric.by.size()),
      groups_(metric.by.size()) {}

SeriesSink::~SeriesSink() = default;

// ---- traces

bool SeriesSink::add(StoredRows& trace, Conditions& conditions, const std::vector<uint32_t>& rows,
                     const std::vector<uint32_t>&) {
    const bool needs_value = set_.needs_value();
    for (const uint32_t row : rows) {
        const uint64_t time = trace.start_ns(row);
        if (!grid_.holds(time)) continue;
        const double weight = trace.weight(row);
        weight_max_ = std::max(weight_max_, weight);
        double value = 0;
        if (needs_value) {
            const Value measured = conditions.value(metric_.arguments[0], row);
            if (!measured.is_number() || std::isnan(measured.as_number())) continue;
            value = measured.as_number();
        }
        for (size_t i = 0; i < group_.size(); ++i)
            group_[i] = conditions.value(metric_.by[i], row);
        const uint32_t series = set_.series_of(group_);
        if (series == SeriesSet::kNone) continue;
        const size_t interval = grid_.index(time);
        set_.add(series, interval, value, is_weighted_ ? weight : 1);
        if (exemplars_ == 0) continue;
        const SpanId id = trace.span_id(row);
        if (!set_.wants_exemplar(series, interval, exemplar_hash(trace.trace_id(), id))) continue;
        if (!needs_value)
            value = static_cast<double>(static_cast<int64_t>(trace.end_ns(row) - time));
        set_.add_exemplar(series, {trace.trace_id(), id, time, value, {}});
    }
    return true;
}

// ---- columns

Result<void> SeriesSink::add(store::SearchSegment& segment, GroupReader& group,
                             const RowBitmap& rows, const RowBitmap*) {
    SegmentReader& reader = segment.reader();
    if (columns_ == nullptr) {
        columns_ = std::make_unique<Columns>();
        for (const Expression& by : metric_.by)
            columns_->groups.push_back(std::make_unique<FieldNumbers>(reader, by.field, numbers_));
        if (!metric_.arguments.empty()) {
            const Field& field = metric_.arguments[0].field;
            columns_->value_column = only_column(reader, field);
            columns_->value = std::make_unique<store::FieldReader>(reader, field);
        }
    }
    TRY(read_rows(reader, group, rows));
    if (rows_.empty()) return {};
    TRY_ASSIGN(const bool has_values, read_values(reader, group));
    TRY(read_weights(reader, group));
    for (size_t i = 0; i < groups_.size(); ++i)
        TRY(columns_->groups[i]->read(group, rows_, groups_[i]));
    if (count_numbers() || add_to_sketches()) return {};
    read_series();
    for (size_t i = 0; i < rows_.size(); ++i) {
        if (series_[i] == SeriesSet::kNone) continue;
        const double value = has_values ? values_[i] : 0;
        if (std::isnan(value)) continue;
        set_.add(series_[i], interval_ ? *interval_ : intervals_[i], value,
                 weights_.empty() ? 1 : weights_[i]);
    }
    return exemplars_ == 0 ? Result<void>() : add_exemplars(segment, group);
}

// Those in the intervals of the query, and in which of them.
Result<void> SeriesSink::read_rows(SegmentReader& reader, GroupReader& group,
                                   const RowBitmap& rows) {
    const store::RowGroup& meta = group.rows();
    while (all_rows_.size() < meta.rows)
        all_rows_.push_back(static_cast<uint32_t>(all_rows_.size()));
    some_rows_.clear();
    starts_.clear();
    intervals_.clear();
    const bool is_inside = grid_.holds(meta.start_ns_min) && grid_.holds(meta.end_ns_max);
    interval_.reset();
    if (is_inside && grid_.index(meta.start_ns_min) == grid_.index(meta.end_ns_max))
        interval_ = static_cast<uint32_t>(grid_.index(meta.start_ns_min));
    if (interval_) {
        if (rows.count() == meta.rows) {
            rows_ = std::span(all_rows_).first(meta.rows);
        } else {
            rows.for_each([&](uint32_t row) { some_rows_.push_back(row); });
            rows_ = some_rows_;
        }
        return exemplars_ == 0 ? Result<void>() : read_starts(reader, group);
    }
    TRY_ASSIGN(const ColumnBlock* starts,
               group.block(reader.column(Table::kSpans, Intrinsic::kStart)));
    if (starts->integers.size() < meta.rows)
        return fail(ErrorCode::kDataLoss, "spans without time");
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
        some_rows_.push_back(row);
        intervals_.push_back(interval);
        starts_.push_back(start);
    });
    rows_ = some_rows_;
    return {};
}

Result<void> SeriesSink::read_starts(SegmentReader& reader, GroupReader& group) {
    if (starts_.size() == rows_.size()) return {};
    TRY_ASSIGN(const ColumnBlock* starts,
               group.block(reader.column(Table::kSpans, Intrinsic::kStart)));
    if (starts->integers.size() < group.rows().rows)
        return fail(ErrorCode::kDataLoss, "spans without time");
    starts_.clear();
    for (const uint32_t row : rows_)
        starts_.push_back(static_cast<uint64_t>(starts->integers[row]));
    return {};
}

// NaN where a row has no number; false: the metric measures nothing.
Result<bool> SeriesSink::read_values(SegmentReader& reader, GroupReader& group) {
    if (columns_->value == nullptr) return false;
    const Field& field = columns_->value->field();
    values_.assign(rows_.size(), std::nan(""));
    if (field.scope == Scope::kIntrinsic && field.intrinsic == Intrinsic::kDuration) {
        TRY(read_durations(reader, group));
        return true;
    }
    const std::optional<uint32_t> column = columns_->value_column;
    if (!column) {
        for (size_t i = 0; i < rows_.size(); ++i) {
            TRY_ASSIGN(const Value value, columns_->value->value(group, rows_[i], {}));
            if (value.is_number()) values_[i] = value.as_number();
        }
        return true;
    }
    if (*column == store::kNoColumn) return true;
    const store::ColumnKey& key = reader.segment().columns()[*column];
    TRY_ASSIGN(const ColumnBlock* block, group.block(*column));
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

Result<void> SeriesSink::read_durations(SegmentReader& reader, GroupReader& group) {
    TRY_ASSIGN(const ColumnBlock* durations,
               group.block(reader.column(Table::kSpans, Intrinsic::kDuration)));
    if (durations->integers.size() < group.rows().rows)
        return fail(ErrorCode::kDataLoss, "spans without duration");
    // Where all start and end within one interval nothing wraps.
    const bool is_plain = interval_ && grid_.right_ns() <= INT64_MAX;
    if (!is_plain) TRY(read_starts(reader, group));
    for (size_t i = 0; i < rows_.size(); ++i) {
        const int64_t stored = durations->integers[rows_[i]];
        values_[i] = static_cast<double>(is_plain ? std::max<int64_t>(stored, 0)
                                                  : store::duration_of(starts_[i], stored));
    }
    return {};
}

// Empty where every span stands for itself.
Result<void> SeriesSink::read_weights(SegmentReader& reader, GroupReader& group) {
    weights_.clear();
    TRY_ASSIGN(const std::vector<double> weights, store::row_weights(reader, group));
    if (weights.empty()) return {};
    for (const uint32_t row : rows_) {
        weight_max_ = std::max(weight_max_, weights[row]);
        weights_.push_back(is_weighted_ ? weights[row] : 1);
    }
    return {};
}

// Where all spans of a number count alike they are counted before anything else; false: they do
// not.
bool SeriesSink::count_numbers() {
    const bool is_plain = interval_ && !set_.needs_value() && weights_.empty() && exemplars_ == 0 &&
                          groups_.size() <= 1;
    if (!is_plain) return false;
    if (groups_.empty()) {
        const uint32_t series = set_.series_of({});
        if (series != SeriesSet::kNone)
            set_.add(series, *interval_, 0, static_cast<double>(rows_.size()));
        return true;
    }
    counts_.assign(numbers_.size(), 0);
    for (const uint32_t number : groups_[0])
        ++counts_[number];
    for (uint32_t number = 0; number < counts_.size(); ++number) {
        if (counts_[number] == 0) continue;
        const uint32_t series = series_of_number(number);
        if (series != SeriesSet::kNone) set_.add(series, *interval_, 0, counts_[number]);
    }
    return true;
}

// The same for quantiles: where the values of a number go is looked up once. false: not so simple.
bool SeriesSink::add_to_sketches() {
    constexpr size_t kIntervalsAtOnce = 8;
    const bool is_plain =
        set_.has_sketches() && weights_.empty() && exemplars_ == 0 && groups_.size() == 1;
    if (!is_plain) return false;
    uint32_t first = interval_.value_or(0);
    uint32_t last = first;
    if (!interval_) {
        const auto [least, most] = std::minmax_element(intervals_.begin(), intervals_.end());
        first = *least;
        last = *most;
    }
    const size_t intervals = size_t{last} - first + 1;
    if (intervals > kIntervalsAtOnce) return false;
    sketched_.assign(numbers_.size() * intervals, {});
    for (size_t i = 0; i < rows_.size(); ++i) {
        const double value = values_[i];
        if (std::isnan(value)) continue;
        const uint32_t number = groups_[0][i];
        const uint32_t interval = interval_ ? *interval_ : intervals_[i];
        Sketched& place = sketched_[number * intervals + interval - first];
        if (place.sketch != nullptr && place.sketch->add_in_place(value)) continue;
        if (!place.is_known) place = {series_of_number(number), nullptr, true};
        if (place.series == SeriesSet::kNone) continue;
        set_.add(place.series, interval, value, 1);
        place.sketch = set_.sketch_of(place.series, interval);
    }
    return true;
}

uint32_t SeriesSink::series_of(std::span<const uint32_t> numbers) {
    for (size_t i = 0; i < numbers.size(); ++i)
        group_[i] = numbers_.value(numbers[i]);
    return set_.series_of(group_);
}

uint32_t SeriesSink::series_of_number(uint32_t number) {
    constexpr uint32_t kUnknown = UINT32_MAX - 1;
    if (series_of_number_.size() < numbers_.size())
        series_of_number_.resize(numbers_.size(), kUnknown);
    uint32_t& series = series_of_number_[number];
    if (series == kUnknown) series = series_of(std::span(&number, 1));
    return series;
}

// A metric of a number has no series of spans without one.
void SeriesSink::read_series() {
    series_.resize(rows_.size());
    const bool may_lack = set_.needs_value();
    if (groups_.size() > 1) {
        find_series_of_several();
        return;
    }
    if (groups_.empty()) {
        const bool has_any = !may_lack || std::any_of(values_.begin(), values_.end(),
                                                      [](double v) { return !std::isnan(v); });
        std::fill(series_.begin(), series_.end(), has_any ? set_.series_of({}) : SeriesSet::kNone);
        return;
    }
    for (size_t i = 0; i < rows_.size(); ++i) {
        series_[i] =
            may_lack && std::isnan(values_[i]) ? SeriesSet::kNone : series_of_number(groups_[0][i]);
    }
}

void SeriesSink::find_series_of_several() {
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
}

Result<void> SeriesSink::add_exemplars(store::SearchSegment& segment, GroupReader& group) {
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
        if (!set_.wants_exemplar(series_[i], interval_ ? *interval_ : intervals_[i], hash))
            continue;
        const double value =
            set_.needs_value() ? values_[i] : static_cast<double>(durations->integers[rows_[i]]);
        set_.add_exemplar(series_[i], {fragment.trace_id, id, starts_[i], value, {}});
    }
    return {};
}

}  // namespace spanloom::traceql

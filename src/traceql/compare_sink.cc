#include "traceql/compare_sink.h"

#include <algorithm>
#include <utility>

#include "store/row_weights.h"

namespace spanloom::traceql {
namespace {

using store::ColumnBlock;
using store::GroupReader;
using store::Intrinsic;
using store::RowBitmap;
using store::SegmentReader;
using store::Table;

// Row groups of more intervals are counted row by row.
constexpr size_t kIntervalsAtOnce = 8;

}  // namespace

CompareSink::CompareSink(const Stage& stage, const Grid& grid, bool is_weighted, double scale,
                         CrowdedAttributes& crowded, MemoryShare& memory)
    : grid_(grid),
      is_weighted_(is_weighted),
      scale_(scale),
      crowded_(crowded),
      table_(stage, grid, crowded, memory),
      columns_(table_) {
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
        return columns_.count(reader, group, {rows, selected, interval, {}, weights});
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
    return columns_.count(reader, group, {rows_inside, &selected_inside, 0, intervals, weights});
}

// One interval after the other, where they are few.
Result<void> CompareSink::count_intervals(SegmentReader& reader, GroupReader& group,
                                          const RowBitmap& rows, const RowBitmap& selected,
                                          std::span<const uint32_t> intervals) {
    std::map<uint32_t, RowBitmap> by_interval;
    uint32_t last = UINT32_MAX;
    RowBitmap* its = nullptr;
    rows.for_each([&](uint32_t row) {
        if (intervals[row] != last && by_interval.size() <= kIntervalsAtOnce) {
            last = intervals[row];
            its = &by_interval.try_emplace(last, rows.rows()).first->second;
        }
        its->set(row);
    });
    if (by_interval.size() > kIntervalsAtOnce)
        return columns_.count(reader, group, {rows, &selected, 0, intervals, {}});
    for (const auto& [interval, some] : by_interval) {
        RowBitmap of_selection = selected;
        of_selection &= some;
        TRY(columns_.count(reader, group, {some, &of_selection, interval, {}, {}}));
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
        TRY(columns_.count(reader, *group, {chosen, &selected, 0, intervals, weights}));
    }
    rows_.clear();
    columns_.end();
    if (!crowded_.is_known()) crowded_.know(table_.crowded());
    return {};
}

void CompareSink::add(const CompareSink& other) {
    weight_max_ = std::max(weight_max_, other.weight_max_);
    table_.add(other.table_);
}

}  // namespace spanloom::traceql

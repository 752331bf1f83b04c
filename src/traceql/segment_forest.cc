#include "traceql/segment_forest.h"

#include <algorithm>
#include <cstring>

#include "traceql/forest.h"

namespace spanloom::traceql {
namespace {

using store::ColumnBlock;
using store::Field;
using store::Intrinsic;
using store::RowBitmap;
using store::Table;
using store::TraceFragment;
using store::Value;

static_assert(store::Segment::kNoParent == kRoot && store::Segment::kParentNotHere == kOrphan);

// What a whole trace has, but for the number of children, which parents tell.
bool asks_of_trace(const Expression& expression) {
    const bool is_of_trace = expression.kind == Expression::Kind::kField &&
                             expression.field.is_trace_level() &&
                             expression.field.intrinsic != Intrinsic::kChildCount;
    return is_of_trace || expression.kind == Expression::Kind::kAggregate ||
           expression.kind == Expression::Kind::kPipeline ||
           std::any_of(expression.operands.begin(), expression.operands.end(), asks_of_trace);
}

bool can_evaluate_set(const Spanset& set, const Plan& plan) {
    switch (set.kind) {
        case Spanset::Kind::kPipeline:
            return SegmentForest::can_evaluate(set.pipeline, plan);
        case Spanset::Kind::kRelation:
            // Of && the trace must have both sides.
            return set.relation != Relation::kAnd && can_evaluate_set(set.operands[0], plan) &&
                   can_evaluate_set(set.operands[1], plan);
        case Spanset::Kind::kFilter:
            break;
    }
    if (!set.filter || !asks_of_trace(*set.filter)) return true;
    // That a span is a root can be told where nothing else is left to evaluate.
    return std::any_of(plan.conditions.begin(), plan.conditions.end(),
                       [&](const Plan::Condition& one) {
                           return one.filter == &*set.filter && one.only_roots && one.is_exact;
                       });
}

}  // namespace

bool SegmentForest::can_evaluate(const std::vector<Stage>& stages, const Plan& plan) {
    return std::all_of(stages.begin(), stages.end(), [&](const Stage& stage) {
        if (stage.kind == Stage::Kind::kSpanset) return can_evaluate_set(stage.spanset, plan);
        return stage.kind == Stage::Kind::kFunction && stage.function == FunctionKind::kSelect;
    });
}

void SegmentForest::note(const Error& error) const {
    if (reason_.empty()) reason_ = error.message;
}

Result<void> SegmentForest::load(uint32_t first_group, uint32_t end_group) {
    const store::Segment& segment = segment_.segment();
    store::SegmentReader& reader = segment_.reader();
    const auto groups = segment.row_groups();
    runs_.clear();
    traces_.clear();
    odd_.clear();
    parents_.clear();
    rows_ = 0;
    for (std::vector<uint8_t>& mask : masks_)
        mask.clear();
    masks_.resize(tests_.size());
    const uint32_t end_row = groups[end_group - 1].first_row + groups[end_group - 1].rows;
    first_row_ = groups[first_group].first_row;
    if (first_row_ == end_row) return {};
    TRY_ASSIGN(uint32_t index, reader.fragment_of_row(first_row_));
    for (; index < segment.fragment_count(); ++index) {
        TRY_ASSIGN(const TraceFragment fragment, segment.fragment(index));
        if (fragment.first_row >= end_row) break;
        // One that began before belongs to the groups before.
        if (fragment.first_row >= groups[first_group].first_row) traces_.push_back(fragment);
    }
    if (traces_.empty()) return {};
    first_row_ = traces_.front().first_row;
    rows_ = traces_.back().first_row + traces_.back().rows - first_row_;
    for (uint32_t row = 0; row < rows_;) {
        const uint32_t at = first_row_ + row;
        Run run{reader.group(reader.group_of_row(at)), 0, row, 0};
        const store::RowGroup& meta = run.group->rows();
        run.from = at - meta.first_row;
        if (run.from >= meta.rows) return fail(ErrorCode::kDataLoss, "a row is in no row group");
        run.rows = std::min(meta.rows - run.from, rows_ - row);
        row += run.rows;
        runs_.push_back(std::move(run));
    }
    return {};
}

Result<void> SegmentForest::link() {
    TRY(load_parents());
    if (odd_.empty()) TRY(find_odd());
    return cut();
}

Result<void> SegmentForest::load_parents() {
    parents_.resize(rows_, kOrphan);
    for (const Run& run : runs_) {
        TRY_ASSIGN(const auto known, segment_.segment().parent_rows(run.group->group()));
        if (!known) {
            odd_ = traces_;
            return {};
        }
        for (uint32_t i = 0; i < run.rows; ++i) {
            const int32_t parent = (*known)[run.from + i];
            const int64_t local = int64_t{parent} - first_row_;
            if (parent >= 0 && (local < 0 || local >= rows_))
                return fail(ErrorCode::kDataLoss, "a parent is in another trace");
            parents_[run.first + i] = parent < 0 ? parent : static_cast<int32_t>(local);
        }
    }
    return {};
}

Result<void> SegmentForest::find_odd() {
    for (const TraceFragment& trace : traces_) {
        const uint32_t row = trace.first_row - first_row_;
        TRY_ASSIGN(const bool is_odd, has_equal_ids(row, row + trace.rows));
        if (is_odd) odd_.push_back(trace);
    }
    return {};
}

Result<bool> SegmentForest::has_equal_ids(uint32_t row, uint32_t end) {
    ids_.resize(end - row);
    for (uint32_t at = row; at < end;) {
        const Run& run = run_of(at);
        const uint32_t from = run.from + at - run.first;
        const uint32_t count = std::min(end, run.first + run.rows) - at;
        const ColumnBlock* ids = block(run, Intrinsic::kSpanId);
        if (ids == nullptr || ids->fixed.size() < (size_t{from} + count) * 8)
            return fail(ErrorCode::kDataLoss, "spans without id");
        std::memcpy(ids_.data() + (at - row), ids->fixed.data() + size_t{from} * 8,
                    size_t{count} * 8);
        at += count;
    }
    constexpr size_t kCompareEach = 40;  // up to so many that beats sorting
    if (ids_.size() > kCompareEach) {
        std::sort(ids_.begin(), ids_.end());
        return std::adjacent_find(ids_.begin(), ids_.end()) != ids_.end();
    }
    size_t equal = 0;
    for (size_t i = 1; i < ids_.size(); ++i) {
        for (size_t other = 0; other < i; ++other)
            equal += ids_[other] == ids_[i];
    }
    return equal != 0;
}

Result<void> SegmentForest::cut() {
    for (uint32_t row = 0; row < rows_; ++row) {
        if (parents_[row] < static_cast<int32_t>(row)) continue;
        // A parent that comes later: there may be a cycle.
        std::vector<uint64_t> starts(rows_);
        for (uint32_t at = 0; at < rows_; ++at)
            starts[at] = start_ns(at);
        cut_cycles(parents_, starts);
        break;
    }
    return {};
}

const SegmentForest::Run& SegmentForest::run_of(uint32_t row) const {
    const auto after = std::upper_bound(runs_.begin(), runs_.end(), row,
                                        [](uint32_t at, const Run& run) { return at < run.first; });
    return *std::prev(after);
}

const ColumnBlock* SegmentForest::block(const Run& run, Intrinsic intrinsic) const {
    const auto found = run.group->block(segment_.reader().column(Table::kSpans, intrinsic));
    if (found) return *found;
    note(found.error());
    return nullptr;
}

uint64_t SegmentForest::start_ns(uint32_t row) const {
    const Run& run = run_of(row);
    const ColumnBlock* starts = block(run, Intrinsic::kStart);
    const size_t at = run.from + row - run.first;
    if (starts == nullptr || at >= starts->integers.size()) return 0;
    return static_cast<uint64_t>(starts->integers[at]);
}

uint64_t SegmentForest::end_ns(uint32_t row) const {
    const Run& run = run_of(row);
    const ColumnBlock* durations = block(run, Intrinsic::kDuration);
    const size_t at = run.from + row - run.first;
    if (durations == nullptr || at >= durations->integers.size()) return start_ns(row);
    return start_ns(row) + static_cast<uint64_t>(durations->integers[at]);
}

SpanId SegmentForest::span_id(uint32_t row) const {
    const Run& run = run_of(row);
    SpanId id;
    const ColumnBlock* ids = block(run, Intrinsic::kSpanId);
    const size_t at = size_t{run.from + row - run.first} * 8;
    if (ids != nullptr && at + 8 <= ids->fixed.size())
        std::memcpy(id.bytes.data(), ids->fixed.data() + at, 8);
    return id;
}

TraceId SegmentForest::trace_of(uint32_t row) const {
    const auto after = std::upper_bound(
        traces_.begin(), traces_.end(), first_row_ + row,
        [](uint32_t at, const TraceFragment& trace) { return at < trace.first_row; });
    return std::prev(after)->trace_id;
}

uint32_t SegmentForest::children(Table table, uint32_t row) {
    const Run& run = run_of(row);
    const auto rows = fields_.children(table, *run.group, run.from + row - run.first);
    if (!rows) note(rows.error());
    return rows ? rows->second - rows->first : 0;
}

double SegmentForest::weight(uint32_t row) {
    const Run& run = run_of(row);
    const auto weight = fields_.weight(*run.group, run.from + row - run.first);
    if (!weight) note(weight.error());
    return weight ? *weight : 1;
}

Value SegmentForest::value(const Field& field, const Place& place) {
    const Run& run = run_of(place.row);
    auto value = fields_.value(
        field, *run.group, {run.from + place.row - run.first, place.event, place.link},
        field.intrinsic == Intrinsic::kTraceId ? trace_of(place.row) : TraceId());
    if (value) return std::move(*value);
    note(value.error());
    return Value::nil();
}

const std::vector<uint8_t>* SegmentForest::candidates(const Expression& condition, bool& is_exact) {
    is_exact = false;
    const size_t test = test_of(tests_, condition);
    if (test == tests_.size()) return nullptr;
    is_exact = tests_[test].is_exact;
    std::vector<uint8_t>& mask = masks_[test];
    if (!mask.empty()) return &mask;
    mask.assign(rows_, 0);
    for (const Run& run : runs_) {
        const auto hits = fields_.hits(test, *run.group);
        if (!hits) {
            note(hits.error());
            continue;
        }
        for (uint32_t i = 0; i < run.rows; ++i)
            mask[run.first + i] = (*hits)->test(run.from + i) ? 1 : 0;
    }
    if (tests_[test].only_roots) leave_roots(parents_, mask);
    return &mask;
}

}  // namespace spanloom::traceql

#include "store/scan_segments.h"

#include <algorithm>
#include <atomic>

#include "base/clock.h"
#include "store/trace_summary.h"

namespace spanloom::store {

std::optional<Error> ScanLimits::reached() const {
    if (scope_.cancelled.stop_requested())
        return Error{ErrorCode::kCancelled, "the query was cancelled", 0};
    if (scope_.deadline_monotonic_ns != 0 &&
        SystemClock().monotonic_ns() >= scope_.deadline_monotonic_ns)
        return Error{ErrorCode::kDeadlineExceeded,
                     "the query took too long; narrow the range or the conditions", 0};
    return std::nullopt;
}

SegmentScan::SegmentScan(std::shared_ptr<const Segment> segment, const CompiledPredicate& predicate,
                         TimeRange range, ScanMemory& memory)
    : segment_(std::move(segment)), predicate_(predicate), range_(range), memory_(memory) {}

Result<bool> SegmentScan::open() {
    const SegmentInfo& info = segment_->info();
    if (info.spans == 0 || !overlaps(info.start_ns_min, info.end_ns_max, range_)) return false;
    reader_ = std::make_unique<SegmentReader>(segment_);
    reader_->limit_memory(memory_);
    TRY_ASSIGN(BoundPredicate bound, BoundPredicate::bind(predicate_, *reader_));
    if (bound.is_never()) return false;
    bound_.emplace(std::move(bound));
    return true;
}

Result<bool> SegmentScan::next() {
    const auto groups = segment_->row_groups();
    while (next_group_ < groups.size()) {
        const uint32_t number = next_group_++;
        const RowGroup& meta = groups[number];
        if (!overlaps(meta.start_ns_min, meta.end_ns_max, range_) || !bound_->may_match(meta) ||
            (wants_group && !wants_group(meta)))
            continue;
        group_ = reader_->group(number);
        scanned_spans_ += meta.rows;
        RowBitmap rows = RowBitmap::all(meta.rows);
        if (!bound_->is_always()) {
            TRY_ASSIGN(rows, bound_->evaluate(*group_, rows));
        }
        TRY(leave_in_range(rows));
        if (!rows.any()) continue;
        selection_.assign(rows);
        return true;
    }
    return false;
}

// Spans count where they start.
Result<void> SegmentScan::leave_in_range(RowBitmap& rows) {
    const RowGroup& meta = group_->rows();
    if (meta.start_ns_min >= range_.start_ns && meta.end_ns_max < range_.end_ns) return {};
    if (!rows.any()) return {};
    TRY_ASSIGN(const ColumnBlock* starts,
               group_->block(reader_->column(Table::kSpans, Intrinsic::kStart)));
    if (starts->integers.size() < rows.rows())
        return fail(ErrorCode::kDataLoss, "spans without time");
    RowBitmap inside(rows.rows());
    for (uint32_t row = 0; row < rows.rows(); ++row) {
        const auto start = static_cast<uint64_t>(starts->integers[row]);
        if (start >= range_.start_ns && start < range_.end_ns) inside.set(row);
    }
    rows &= inside;
    return {};
}

namespace {

struct Shared {
    const std::function<void(size_t)>* work = nullptr;
    size_t count = 0;
    std::atomic<size_t> next = 0;
    std::mutex mutex;
    std::condition_variable done;
    uint32_t running = 0;
    bool is_over = false;
};

void help(Executor& executor, std::shared_ptr<Shared> shared) {
    executor.post([&executor, shared = std::move(shared)] {
        {
            // A helper that comes late must not touch what is gone.
            const std::lock_guard lock(shared->mutex);
            if (shared->is_over) return;
            ++shared->running;
        }
        const size_t i = shared->next++;
        if (i < shared->count) (*shared->work)(i);
        // While it counts as running, the executor is there.
        if (i + 1 < shared->count) help(executor, shared);
        const std::lock_guard lock(shared->mutex);
        --shared->running;
        shared->done.notify_all();
    });
}

}  // namespace

void share_out(const ScanScope& scope, size_t count, const std::function<void(size_t)>& work) {
    auto shared = std::make_shared<Shared>();
    shared->work = &work;
    shared->count = count;
    const size_t helpers =
        scope.executor == nullptr || count < 2 ? 0 : std::min<size_t>(scope.helpers, count - 1);
    for (size_t i = 0; i < helpers; ++i)
        help(*scope.executor, shared);
    for (size_t i = shared->next++; i < count; i = shared->next++)
        work(i);
    std::unique_lock lock(shared->mutex);
    shared->is_over = true;
    shared->done.wait(lock, [&] { return shared->running == 0; });
}

std::vector<std::shared_ptr<const Segment>> in_scan_order(Segments segments) {
    std::vector<std::shared_ptr<const Segment>> ordered(segments.begin(), segments.end());
    std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
        return a->info().arrival_ns_max > b->info().arrival_ns_max;
    });
    return ordered;
}

void note_partial(ScanStats& stats, const Error& error) {
    stats.partial = true;
    if (stats.reason.empty()) stats.reason = error.message;
}

}  // namespace spanloom::store

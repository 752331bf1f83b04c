#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "store/predicate.h"
#include "store/scan_columns.h"

// What every kind of scan has in common: walking the row groups of a segment that may hold rows,
// and sharing segments out among threads.
namespace spanloom::store {

// Tells when a scan has to end before its time. Any thread.
class ScanLimits {
  public:
    explicit ScanLimits(const ScanScope& scope) : scope_(scope), memory_(scope.memory_bytes_max) {}
    // Why; nullopt: it may go on.
    std::optional<Error> reached() const;
    ScanMemory& memory() { return memory_; }

  private:
    const ScanScope& scope_;
    ScanMemory memory_;
};

// The rows of one segment that satisfy a scope, row group by row group. One thread.
class SegmentScan {
  public:
    SegmentScan(std::shared_ptr<const Segment> segment, const CompiledPredicate& predicate,
                TimeRange range, ScanMemory& memory);

    // False: no row of the segment can satisfy it. Before anything else.
    Result<bool> open();
    // Moves to the next group with rows; false: there is none. A group that fails is left behind,
    // the next call goes on after it.
    Result<bool> next();
    // Whether to look at a group at all, asked before it is read.
    std::function<bool(const RowGroup&)> wants_group;

    SegmentReader& reader() { return *reader_; }
    GroupReader& group() { return *group_; }
    const Selection& rows() const { return selection_; }
    uint64_t scanned_spans() const { return scanned_spans_; }

  private:
    Result<void> leave_in_range(RowBitmap& rows);

    std::shared_ptr<const Segment> segment_;
    const CompiledPredicate& predicate_;
    TimeRange range_;
    ScanMemory& memory_;
    std::unique_ptr<SegmentReader> reader_;
    std::optional<BoundPredicate> bound_;
    uint32_t next_group_ = 0;
    std::shared_ptr<GroupReader> group_;
    Selection selection_;
    uint64_t scanned_spans_ = 0;
};

// Calls work(i) for i in [0, count), in the caller's thread and in helpers of the scope's executor
// where they come to run; returns when all that began has ended. A helper queues again after each
// piece, so that what others have asked meanwhile comes in between.
void share_out(const ScanScope& scope, size_t count, const std::function<void(size_t)>& work);

// Newest arrival first.
std::vector<std::shared_ptr<const Segment>> in_scan_order(Segments segments);

void note_partial(ScanStats& stats, const Error& error);

}  // namespace spanloom::store

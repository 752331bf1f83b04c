#include "store/scan.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "store/scan_segments.h"

namespace spanloom::store {
namespace {

constexpr size_t kMarksMax = 64;

Result<void> check_fields(std::span<const Field> fields) {
    for (const Field& field : fields)
        if (field.scope == Scope::kIntrinsic &&
            (field.is_trace_level() || field.intrinsic == Intrinsic::kNone))
            return fail(ErrorCode::kInvalidArgument,
                        "a field of a whole trace cannot be read from single spans");
    return {};
}

// Makes blocks of the groups of one segment.
class BlockReader {
  public:
    BlockReader(SegmentScan& scan, const ScanRequest& request) : scan_(scan), request_(request) {
        for (const Field& field : request.columns)
            fields_.emplace_back(scan.reader(), field);
    }

    Result<void> bind(std::span<const CompiledPredicate> marks) {
        for (const CompiledPredicate& mark : marks) {
            TRY_ASSIGN(BoundPredicate bound, BoundPredicate::bind(mark, scan_.reader()));
            marks_.push_back(std::move(bound));
        }
        return {};
    }

    Result<void> read(ScanBlock& block) {
        const Selection& rows = scan_.rows();
        block.rows = rows.size();
        block.columns.resize(fields_.size());
        for (size_t i = 0; i < fields_.size(); ++i)
            TRY(fields_[i].read(scan_.group(), rows, block.columns[i]));
        TRY(read_marks(block));
        return request_.with_ids ? read_ids(block) : Result<void>();
    }

  private:
    Result<void> read_marks(ScanBlock& block) {
        block.marks.assign(marks_.empty() ? 0 : block.rows, 0);
        if (marks_.empty()) return {};
        const Selection& rows = scan_.rows();
        RowBitmap candidates(scan_.group().rows().rows);
        for (const uint32_t row : rows.rows())
            candidates.set(row);
        for (size_t i = 0; i < marks_.size(); ++i) {
            if (!marks_[i].may_match(scan_.group().rows())) continue;
            TRY_ASSIGN(const RowBitmap hit, marks_[i].evaluate(scan_.group(), candidates));
            hit.for_each(
                [&](uint32_t row) { block.marks[rows.place_of(row)] |= uint64_t{1} << i; });
        }
        return {};
    }

    Result<void> read_ids(ScanBlock& block) {
        SegmentReader& reader = scan_.reader();
        GroupReader& group = scan_.group();
        const std::vector<uint32_t>& rows = scan_.rows().rows();
        TRY_ASSIGN(const ColumnBlock* ids,
                   group.block(reader.column(Table::kSpans, Intrinsic::kSpanId)));
        TRY_ASSIGN(const ColumnBlock* parents,
                   group.block(reader.column(Table::kSpans, Intrinsic::kParentId)));
        if (ids->fixed.size() < size_t{group.rows().rows} * 8)
            return fail(ErrorCode::kDataLoss, "spans without id");
        block.span_ids.resize(rows.size());
        block.parent_ids.assign(rows.size(), SpanId{});
        for (size_t i = 0; i < rows.size(); ++i)
            std::memcpy(block.span_ids[i].bytes.data(), ids->fixed.data() + size_t{rows[i]} * 8, 8);
        for (size_t i = 0; i < parents->size(); ++i) {
            const uint32_t place =
                scan_.rows().place_of(parents->dense ? static_cast<uint32_t>(i) : parents->rows[i]);
            if (place != Selection::kNowhere)
                std::memcpy(block.parent_ids[place].bytes.data(), parents->fixed.data() + i * 8, 8);
        }
        return read_traces(block);
    }

    Result<void> read_traces(ScanBlock& block) {
        const Segment& segment = scan_.reader().segment();
        const uint32_t first = scan_.group().rows().first_row;
        const std::vector<uint32_t>& rows = scan_.rows().rows();
        block.traces.clear();
        TRY_ASSIGN(uint32_t index, scan_.reader().fragment_of_row(first + rows.front()));
        TRY_ASSIGN(TraceFragment fragment, segment.fragment(index));
        for (uint32_t place = 0; place < rows.size();) {
            while (first + rows[place] >= fragment.first_row + fragment.rows) {
                TRY_ASSIGN(fragment, segment.fragment(++index));
            }
            ScanTrace trace{fragment.trace_id, place, 0};
            for (; place < rows.size() && first + rows[place] < fragment.first_row + fragment.rows;
                 ++place)
                ++trace.rows;
            block.traces.push_back(trace);
        }
        return {};
    }

    SegmentScan& scan_;
    const ScanRequest& request_;
    std::vector<FieldColumn> fields_;
    std::vector<BoundPredicate> marks_;
};

class BlockScan {
  public:
    BlockScan(const ScanRequest& request, const CompiledPredicate& predicate,
              std::span<const CompiledPredicate> marks,
              const std::function<bool(const ScanBlock&)>& visit)
        : request_(request),
          predicate_(predicate),
          marks_(marks),
          visit_(visit),
          limits_(request.scope) {}

    ScanStats run(Segments segments) {
        const auto ordered = in_scan_order(segments);
        stats_.segments = static_cast<uint32_t>(ordered.size());
        share_out(request_.scope, ordered.size(), [&](size_t i) { run_segment(ordered[i]); });
        return stats_;
    }

  private:
    void note(const Error& error) {
        const std::lock_guard lock(mutex_);
        note_partial(stats_, error);
    }

    bool is_stopped() {
        if (is_over_) return true;
        const std::optional<Error> reached = limits_.reached();
        if (!reached) return false;
        note(*reached);
        is_over_ = true;
        return true;
    }

    void run_segment(const std::shared_ptr<const Segment>& segment) {
        if (is_stopped()) return;
        SegmentScan scan(segment, predicate_, request_.scope.range, limits_.memory());
        const Result<bool> opened = scan.open();
        if (!opened) return note(opened.error());
        if (!*opened) {
            const std::lock_guard lock(mutex_);
            ++stats_.segments_skipped;
            return;
        }
        BlockReader reader(scan, request_);
        if (const Result<void> bound = reader.bind(marks_); !bound) return note(bound.error());
        ScanBlock block;
        while (!is_stopped()) {
            const Result<bool> has = scan.next();
            if (!has) {
                note(has.error());
                continue;
            }
            if (!*has) break;
            if (const Result<void> read = reader.read(block); !read) {
                note(read.error());
                continue;
            }
            const std::lock_guard lock(mutex_);
            if (is_over_) break;
            if (!visit_(block)) is_over_ = true;
        }
        const std::lock_guard lock(mutex_);
        stats_.scanned_spans += scan.scanned_spans();
        stats_.scanned_bytes += scan.reader().counts().bytes;
    }

    const ScanRequest& request_;
    const CompiledPredicate& predicate_;
    std::span<const CompiledPredicate> marks_;
    const std::function<bool(const ScanBlock&)>& visit_;
    ScanLimits limits_;
    std::mutex mutex_;  // stats_, visit_
    ScanStats stats_;
    std::atomic<bool> is_over_ = false;
};

// ---- the first rows in some order

// One of the best rows so far, and where the rest of it lies.
struct TopPlace {
    Value order;
    TraceId trace_id;
    SpanId span_id;
    size_t segment = 0;
    uint32_t row = 0;  // of the segment
};

class TopScan {
  public:
    TopScan(const TopRequest& request, const CompiledPredicate& predicate)
        : request_(request), predicate_(predicate), limits_(request.scope) {}

    TopAnswer run(Segments segments) {
        segments_ = in_scan_order(segments);
        answer_.stats.segments = static_cast<uint32_t>(segments_.size());
        share_out(request_.scope, segments_.size(), [&](size_t i) { run_segment(i); });
        std::sort_heap(best_.begin(), best_.end(), before());
        drop_equal();
        for (const TopPlace& place : best_)
            show(place);
        return std::move(answer_);
    }

  private:
    // Whether a is shown before b.
    std::function<bool(const TopPlace&, const TopPlace&)> before() const {
        return [ascending = request_.ascending](const TopPlace& a, const TopPlace& b) {
            if (value_before(a.order, b.order)) return ascending;
            if (value_before(b.order, a.order)) return !ascending;
            return std::tie(a.trace_id, a.span_id, a.segment, a.row) <
                   std::tie(b.trace_id, b.span_id, b.segment, b.row);
        };
    }

    void note(const Error& error) {
        const std::lock_guard lock(mutex_);
        note_partial(answer_.stats, error);
    }

    // No row of the group can be among the best: by statistics alone.
    bool may_be_best(const RowGroup& group) {
        if (request_.ascending || request_.order.scope != Scope::kIntrinsic) return true;
        const std::lock_guard lock(mutex_);
        if (best_.size() < request_.limit) return true;
        const int64_t least = best_.front().order.integer;
        if (request_.order.intrinsic == Intrinsic::kDuration)
            return group.duration_ns_max < 0 || group.duration_ns_max >= least;
        if (request_.order.intrinsic == Intrinsic::kStart)
            return least < 0 || group.end_ns_max >= static_cast<uint64_t>(least);
        return true;
    }

    void run_segment(size_t number) {
        if (limits_.reached()) return note(*limits_.reached());
        SegmentScan scan(segments_[number], predicate_, request_.scope.range, limits_.memory());
        const Result<bool> opened = scan.open();
        if (!opened) return note(opened.error());
        if (!*opened) {
            const std::lock_guard lock(mutex_);
            ++answer_.stats.segments_skipped;
            return;
        }
        scan.wants_group = [this](const RowGroup& group) { return may_be_best(group); };
        FieldColumn field(scan.reader(), request_.order);
        ScanColumn column;
        while (true) {
            if (const auto reached = limits_.reached()) {
                note(*reached);
                break;
            }
            const Result<bool> has = scan.next();
            if (has && !*has) break;
            Result<void> taken = has ? field.read(scan.group(), scan.rows(), column)
                                     : Result<void>(tl::unexpected<Error>(has.error()));
            if (taken) taken = take(scan, number, column);
            if (!taken) note(taken.error());
        }
        const std::lock_guard lock(mutex_);
        answer_.stats.scanned_spans += scan.scanned_spans();
        answer_.stats.scanned_bytes += scan.reader().counts().bytes;
    }

    Result<void> take(SegmentScan& scan, size_t number, const ScanColumn& column) {
        GroupReader& group = scan.group();
        TRY_ASSIGN(const ColumnBlock* ids,
                   group.block(scan.reader().column(Table::kSpans, Intrinsic::kSpanId)));
        const std::lock_guard lock(mutex_);
        for (size_t i = 0; i < scan.rows().size(); ++i) {
            TopPlace place;
            place.order = column.value(i);
            if (!place.order.is_number()) continue;
            const uint32_t row = scan.rows().rows()[i];
            if (best_.size() == request_.limit) {
                const bool is_worse = request_.ascending
                                          ? value_before(best_.front().order, place.order)
                                          : value_before(place.order, best_.front().order);
                if (is_worse) continue;
            }
            place.segment = number;
            place.row = group.rows().first_row + row;
            TRY_ASSIGN(const uint32_t index, scan.reader().fragment_of_row(place.row));
            TRY_ASSIGN(const TraceFragment fragment, scan.reader().segment().fragment(index));
            place.trace_id = fragment.trace_id;
            std::memcpy(place.span_id.bytes.data(), ids->fixed.data() + size_t{row} * 8, 8);
            best_.push_back(std::move(place));
            std::push_heap(best_.begin(), best_.end(), before());
            if (best_.size() <= request_.limit) continue;
            std::pop_heap(best_.begin(), best_.end(), before());
            best_.pop_back();
        }
        return {};
    }

    // What was sent again and is in two segments.
    void drop_equal() {
        const auto equal = [](const TopPlace& a, const TopPlace& b) {
            return a.trace_id == b.trace_id && a.span_id == b.span_id && a.order == b.order &&
                   a.segment != b.segment;
        };
        best_.erase(std::unique(best_.begin(), best_.end(), equal), best_.end());
    }

    void show(const TopPlace& place) {
        TopRow row{place.trace_id, place.span_id, place.order, {}};
        SegmentReader reader(segments_[place.segment]);
        reader.limit_memory(limits_.memory());
        const auto group = reader.group(reader.group_of_row(place.row));
        for (const Field& field : request_.columns) {
            Result<Value> value =
                FieldReader(reader, field)
                    .value(*group, place.row - group->rows().first_row, place.trace_id);
            if (!value) note(value.error());
            row.values.push_back(value ? std::move(*value) : Value::nil());
        }
        answer_.rows.push_back(std::move(row));
    }

    const TopRequest& request_;
    const CompiledPredicate& predicate_;
    ScanLimits limits_;
    std::vector<std::shared_ptr<const Segment>> segments_;
    std::mutex mutex_;            // best_, answer_
    std::vector<TopPlace> best_;  // a heap: the last one to be shown at the front
    TopAnswer answer_;
};

}  // namespace

Result<ScanStats> scan(Segments segments, const ScanRequest& request,
                       const std::function<bool(const ScanBlock&)>& visit) {
    TRY(check_fields(request.columns));
    if (request.marks.size() > kMarksMax)
        return fail(ErrorCode::kInvalidArgument, "a scan tells of at most {} conditions, not {}",
                    kMarksMax, request.marks.size());
    TRY_ASSIGN(const CompiledPredicate predicate, CompiledPredicate::compile(request.scope.where));
    std::vector<CompiledPredicate> marks;
    for (const Predicate& mark : request.marks) {
        TRY_ASSIGN(CompiledPredicate compiled, CompiledPredicate::compile(mark));
        marks.push_back(std::move(compiled));
    }
    return BlockScan(request, predicate, marks, visit).run(segments);
}

Result<TopAnswer> top_spans(Segments segments, const TopRequest& request) {
    TRY(check_fields(request.columns));
    TRY(check_fields({&request.order, 1}));
    if (request.limit == 0 || request.limit > kTopRowsMax)
        return fail(ErrorCode::kInvalidArgument, "a limit is 1 to {}, not {}", kTopRowsMax,
                    request.limit);
    TRY_ASSIGN(const CompiledPredicate predicate, CompiledPredicate::compile(request.scope.where));
    return TopScan(request, predicate).run(segments);
}

}  // namespace spanloom::store

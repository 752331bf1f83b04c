#include "traceql/span_scan.h"

#include <algorithm>

#include "traceql/segment_forest.h"

namespace spanloom::traceql {
namespace {

using store::GroupReader;
using store::RowBitmap;
using store::TraceFragment;

// Row groups of a piece: enough work for a thread to be worth sharing, little enough that several
// threads end at about the same time and other queries get their turn.
constexpr uint32_t kPieceGroups = 64;
constexpr uint32_t kPieceRows = 1U << 18;
// Row groups of a first piece that others wait for.
constexpr uint32_t kFirstGroups = 16;
// Row groups that are one forest: what is kept of them fits into a cache.
constexpr uint32_t kForestGroups = 4;

bool overlaps(const store::RowGroup& group, store::TimeRange range) {
    return store::overlaps(group.start_ns_min, group.end_ns_max, range);
}

// One piece being read. One thread.
class PieceScan {
  public:
    PieceScan(const SpanScan& scan, const std::shared_ptr<const store::Segment>& segment,
              const Piece& piece, SpanSink& sink)
        : scan_(scan),
          piece_(piece),
          sink_(sink),
          segment_(segment, scan.candidates, scan.request),
          shared_(scan.shared.in(*segment)) {}

    PieceOutcome run() {
        const Result<void> done =
            scan_.question.way() == SpanQuestion::Way::kColumns ? by_columns() : by_forest();
        if (!done) note(done.error());
        if (const auto ended = sink_.end(); !ended) note(ended.error());
        if (traces_ != nullptr && !traces_->reason().empty() && outcome_.reason.empty())
            outcome_.reason = traces_->reason();
        outcome_.read.add(segment_);
        return std::move(outcome_);
    }

  private:
    void note(const Error& error) {
        if (outcome_.reason.empty()) outcome_.reason = error.message;
    }

    std::span<const store::RowGroup> groups() const { return segment_.segment().row_groups(); }

    // The shared traces whose rows end behind this one.
    auto shared_from(uint32_t row) const {
        return std::upper_bound(shared_.begin(), shared_.end(), row,
                                [](uint32_t at, const TraceFragment& fragment) {
                                    return at < fragment.first_row + fragment.rows;
                                });
    }

    // Takes out the rows of traces that are counted as wholes.
    void leave_unshared(const store::RowGroup& group, RowBitmap& rows) const {
        const uint32_t end_row = group.first_row + group.rows;
        for (auto at = shared_from(group.first_row); at != shared_.end() && at->first_row < end_row;
             ++at)
            leave(group, *at, rows);
    }

    static void leave(const store::RowGroup& group, const TraceFragment& fragment,
                      RowBitmap& rows) {
        const uint32_t end_row = group.first_row + group.rows;
        const uint32_t first = std::max(fragment.first_row, group.first_row);
        const uint32_t end = std::min(fragment.first_row + fragment.rows, end_row);
        if (first >= end) return;
        RowBitmap its(group.rows);
        its.fill(first - group.first_row, end - group.first_row);
        rows.subtract(its);
    }

    Result<void> by_columns() {
        TRY_ASSIGN(store::BoundPredicate * predicate, segment_.predicate());
        if (predicate->is_never()) return {};
        std::optional<store::BoundPredicate> selected;
        if (scan_.question.has_selection()) {
            TRY_ASSIGN(store::BoundPredicate bound,
                       store::BoundPredicate::bind(scan_.selected, segment_.reader()));
            selected.emplace(std::move(bound));
        }
        for (uint32_t i = piece_.first_group; i < piece_.end_group; ++i) {
            const store::RowGroup& meta = groups()[i];
            if (!scan_.takes(i)) continue;
            if (!overlaps(meta, scan_.request.range) || !predicate->may_match(meta)) continue;
            if (scan_.is_interrupted()) return {};
            outcome_.scanned_spans += meta.rows;
            TRY_ASSIGN(const RowBitmap* matches, segment_.matches(i));
            if (!matches->any()) continue;
            RowBitmap rows = *matches;
            leave_unshared(meta, rows);
            const auto group = segment_.reader().group(i);
            if (!selected) {
                TRY(sink_.add(segment_, *group, rows, nullptr));
                continue;
            }
            RowBitmap of_selection(meta.rows);
            if (!selected->is_never() && selected->may_match(meta)) {
                TRY_ASSIGN(of_selection, selected->evaluate(*group, rows));
                of_selection &= rows;
            }
            TRY(sink_.add(segment_, *group, rows, &of_selection));
        }
        return {};
    }

    Result<void> by_forest() {
        TRY_ASSIGN(store::BoundPredicate * predicate, segment_.predicate());
        if (predicate->is_never()) return {};
        TRY_ASSIGN(tests_, stored_tests(scan_.question.plan()));
        SegmentForest forest(segment_, tests_);
        Pipeline choosing(scan_.question.choosing());
        Pipeline selecting(scan_.question.selecting());
        for (uint32_t at = piece_.first_group; at < piece_.end_group; at += kForestGroups) {
            const uint32_t end = std::min(at + kForestGroups, piece_.end_group);
            if (!scan_.takes(at / kForestGroups)) continue;
            if (scan_.is_interrupted()) return {};
            TRY(forest.load(at, end));
            TRY_ASSIGN(const bool may_match, may_have_answers(*predicate, forest));
            if (!may_match) continue;
            TRY(forest.link());
            outcome_.scanned_spans += forest.size();
            const std::vector<uint32_t> rows = choosing.rows_left(forest);
            std::vector<uint32_t> selected;
            if (scan_.question.has_selection() && !rows.empty())
                selected = selecting.rows_left(forest);
            TRY(hand_over(forest, rows, selected));
            for (const TraceFragment& trace : forest.odd())
                TRY(one_by_one(trace));
            if (!forest.reason().empty() && outcome_.reason.empty())
                outcome_.reason = forest.reason();
        }
        return {};
    }

    // Whether a trace of the forest is near the range and has a span that a query needs.
    Result<bool> may_have_answers(store::BoundPredicate& predicate, const SegmentForest& forest) {
        const auto is_near = [&](const SegmentForest::Run& run) {
            return overlaps(run.group->rows(), scan_.request.range);
        };
        if (std::none_of(forest.runs().begin(), forest.runs().end(), is_near)) return false;
        for (const SegmentForest::Run& run : forest.runs()) {
            if (!predicate.may_match(run.group->rows())) continue;
            TRY_ASSIGN(const RowBitmap* rows, segment_.matches(run.group->group()));
            if (rows->any()) return true;
        }
        return false;
    }

    Result<void> hand_over(SegmentForest& forest, const std::vector<uint32_t>& rows,
                           const std::vector<uint32_t>& selected) {
        auto row = rows.begin();
        auto chosen = selected.begin();
        for (const SegmentForest::Run& run : forest.runs()) {
            const store::RowGroup& meta = run.group->rows();
            const uint32_t end = run.first + run.rows;
            RowBitmap bitmap(meta.rows);
            for (; row != rows.end() && *row < end; ++row)
                bitmap.set(run.from + *row - run.first);
            RowBitmap of_selection(meta.rows);
            for (; chosen != selected.end() && *chosen < end; ++chosen)
                of_selection.set(run.from + *chosen - run.first);
            if (!bitmap.any()) continue;
            leave_unshared(meta, bitmap);
            for (const TraceFragment& trace : forest.odd())
                leave(meta, trace, bitmap);
            if (!bitmap.any()) continue;
            of_selection &= bitmap;
            TRY(sink_.add(segment_, *run.group, bitmap,
                          scan_.question.has_selection() ? &of_selection : nullptr));
        }
        return {};
    }

    Result<void> one_by_one(const TraceFragment& trace) {
        const auto shared = shared_from(trace.first_row);
        if (shared != shared_.end() && shared->first_row == trace.first_row) return {};
        if (traces_ == nullptr) {
            TRY_ASSIGN(traces_, StoredRows::make(scan_.question.plan()));
            evaluation_.emplace(scan_.question);
        }
        ++outcome_.traces;
        auto places = std::make_shared<std::vector<store::FragmentPlace>>();
        places->push_back({&segment_, trace});
        traces_->load({trace.trace_id, trace.start_ns, std::move(places)});
        (void)evaluation_->add(*traces_, sink_);
        return {};
    }

    const SpanScan& scan_;
    const Piece& piece_;
    SpanSink& sink_;
    store::SearchSegment segment_;
    std::span<const TraceFragment> shared_;
    std::vector<StoredTest> tests_;
    std::unique_ptr<StoredRows> traces_;  // where ids must tell the parents
    std::optional<TraceEvaluation> evaluation_;
    PieceOutcome outcome_;
};

}  // namespace

SpanQuestion::SpanQuestion(std::span<const Stage> choosing, const Spanset* selection)
    : choosing_(choosing.begin(), choosing.end()), plan_(make_plan(choosing_)) {
    bool is_exact = plan_.is_exact;
    if (selection != nullptr) {
        selecting_.emplace_back();
        selecting_.back().spanset = *selection;
        Plan selecting = make_plan(selecting_);
        is_exact = is_exact && selecting.is_exact;
        selected_ = std::move(selecting.candidates);
        for (Plan::Condition& condition : selecting.conditions)
            plan_.conditions.push_back(std::move(condition));
    }
    if (is_exact) {
        way_ = Way::kColumns;
    } else if (SegmentForest::can_evaluate(choosing_, plan_) &&
               SegmentForest::can_evaluate(selecting_, plan_)) {
        way_ = Way::kForest;
    }
}

std::vector<Piece> pieces_of(store::Segments segments, store::TimeRange range, double size,
                             bool begins_small) {
    const double rows_max = kPieceRows * size;
    const double groups_max = kPieceGroups * size;
    std::vector<Piece> pieces;
    for (uint32_t number = 0; number < segments.size(); ++number) {
        const store::SegmentInfo& info = segments[number]->info();
        if (info.spans == 0 || !store::overlaps(info.start_ns_min, info.end_ns_max, range))
            continue;
        const auto groups = segments[number]->row_groups();
        Piece piece{number, 0, 0};
        uint32_t rows = 0;
        for (uint32_t i = 0; i < groups.size(); ++i) {
            rows += groups[i].rows;
            piece.end_group = i + 1;
            const uint32_t count = piece.end_group - piece.first_group;
            const bool is_small = begins_small && pieces.empty() && count >= kFirstGroups;
            if (!is_small && rows < rows_max && count < groups_max) continue;
            pieces.push_back(piece);
            piece.first_group = piece.end_group;
            rows = 0;
        }
        if (piece.first_group < groups.size()) pieces.push_back(piece);
    }
    return pieces;
}

PieceOutcome scan_piece(const SpanScan& scan, const std::shared_ptr<const store::Segment>& segment,
                        const Piece& piece, SpanSink& sink) {
    return PieceScan(scan, segment, piece, sink).run();
}

}  // namespace spanloom::traceql

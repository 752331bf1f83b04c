#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "store/scan.h"
#include "traceql/explain.h"
#include "traceql/pipeline.h"
#include "traceql/shared_traces.h"
#include "traceql/stored_rows.h"

// Which spans a metric is about, found a piece of the store at a time, without putting traces
// together where columns (and parents as row numbers) suffice.
namespace spanloom::traceql {

// Which spans: those that the stages before a metric leave, and of them those that compare()
// selects. Immutable; what it is made of outlives it.
class SpanQuestion {
  public:
    // kColumns: single rows decide. kForest: rows and their parents. kTraces: whole traces.
    enum class Way : uint8_t { kColumns, kForest, kTraces };

    SpanQuestion(std::span<const Stage> choosing, const Spanset* selection);
    SpanQuestion(const SpanQuestion&) = delete;
    SpanQuestion& operator=(const SpanQuestion&) = delete;

    const std::vector<Stage>& choosing() const { return choosing_; }
    bool has_selection() const { return !selecting_.empty(); }
    const std::vector<Stage>& selecting() const { return selecting_; }
    const Plan& plan() const { return plan_; }  // with the conditions of both
    const store::Predicate& selected() const { return selected_; }
    Way way() const { return way_; }

  private:
    std::vector<Stage> choosing_;
    std::vector<Stage> selecting_;
    Plan plan_;
    store::Predicate selected_;
    Way way_ = Way::kTraces;
};

// Takes the spans that are found. One thread.
class SpanSink {
  public:
    virtual ~SpanSink() = default;
    // Rows of one row group; with a selection, those of them that it holds.
    virtual Result<void> add(store::SearchSegment& segment, store::GroupReader& group,
                             const store::RowBitmap& rows, const store::RowBitmap* selected) = 0;
    // Rows of one trace, ascending. false: enough.
    virtual bool add(StoredRows& trace, Conditions& conditions, const std::vector<uint32_t>& rows,
                     const std::vector<uint32_t>& selected) = 0;
    // While what was added can still be read.
    virtual Result<void> end() { return {}; }
};

// The question asked of whole traces, one after another. One thread; the question outlives it.
class TraceEvaluation {
  public:
    explicit TraceEvaluation(const SpanQuestion& question)
        : choosing_(question.choosing()),
          selecting_(question.selecting()),
          has_selection_(question.has_selection()) {}

    // false: the sink has enough.
    bool add(StoredRows& trace, SpanSink& sink) {
        if (has_selection_) selected_ = selecting_.rows_left(trace);
        const std::vector<uint32_t>& rows = choosing_.rows_left(trace);
        return rows.empty() || sink.add(trace, choosing_.conditions(), rows, selected_);
    }

  private:
    Pipeline choosing_;
    Pipeline selecting_;
    bool has_selection_;
    std::vector<uint32_t> selected_;
};

// Row groups of one segment that one thread reads at a time.
struct Piece {
    uint32_t segment = 0;
    uint32_t first_group = 0;
    uint32_t end_group = 0;
};
// Of all segments that reach into the range. They depend on nothing else: what is counted piece by
// piece and joined in their order is the same whenever it is asked. `size`: how many times as large
// as usual, where joining takes long.
// `begins_small`: what the first one, which is small then, tells about the data serves the others.
std::vector<Piece> pieces_of(store::Segments segments, store::TimeRange range, double size = 1,
                             bool begins_small = false);

// What all pieces of one scan have in common. Immutable; any thread.
struct SpanScan {
    const SpanQuestion& question;
    const store::CompiledPredicate& candidates;
    const store::CompiledPredicate& selected;  // kColumns with a selection
    const store::SearchRequest& request;
    const SharedTraces& shared;  // left out
    std::function<bool()> is_interrupted;
    double sample = 1;  // the share of the row groups that is looked at

    // Evenly spread, and always the same ones.
    bool takes(uint64_t number) const {
        return sample >= 1 || static_cast<uint64_t>(static_cast<double>(number + 1) * sample) !=
                                  static_cast<uint64_t>(static_cast<double>(number) * sample);
    }
};

struct PieceOutcome {
    SegmentRead read;
    uint64_t scanned_spans = 0;
    uint64_t traces = 0;  // looked at as wholes
    std::string reason;   // why something was left out
};
// kColumns and kForest.
PieceOutcome scan_piece(const SpanScan& scan, const std::shared_ptr<const store::Segment>& segment,
                        const Piece& piece, SpanSink& sink);

}  // namespace spanloom::traceql

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include "base/result.h"
#include "otlp/ids.h"
#include "sampling/keep_rules.h"
#include "sampling/trace_survey.h"
#include "sampling/verdicts.h"
#include "store/segment.h"
#include "traceql/ast.h"

namespace spanloom::sampling {

// Traces of which nothing is decided yet: of each its id, when its first span came, and which
// rules may find it, as each of its segments says while it is in memory anyway. The spans are the
// store's. One thread.
class HeldTraces {
  public:
    struct Held {
        uint64_t rules = 0;      // by number, those that may find it
        uint32_t since_ds = 0;   // tenths of a second of some clock
        uint32_t arrival_s = 0;  // seconds since 1970: no segment with a part of it is older
        uint64_t start_ns = 0;   // of its spans
        uint64_t end_ns = 0;
    };
    struct Due {
        TraceId id;
        Held held;
    };

    // The rules outlive it.
    explicit HeldTraces(const KeepRules& rules);

    // For each fragment of a segment, which rules may find its trace.
    Result<std::vector<uint64_t>> rules_of(const std::shared_ptr<const store::Segment>& segment);
    void add(const TraceId& id, const Held& held);
    size_t size() const { return traces_.size(); }
    bool has(const TraceId& id) const { return traces_.contains(id); }
    // Of those that came after a time, in seconds since 1970, or somewhat earlier; nullopt: there
    // are none.
    std::optional<uint32_t> oldest_arrival_s(uint32_t after_ds) const;

    // Those that came at that time or before.
    std::vector<Due> due(uint32_t until_ds) const;
    // A time by which at least so many came.
    uint32_t time_of_oldest(size_t count) const;
    // All that were due at a time. As the last judge_due() said.
    void remove(const std::vector<Due>& decided);

    // Whether rules compare traces with each other, so that it matters how many are judged at once.
    bool compares_traces() const { return compares_traces_; }
    // What the rules say of these traces. `segments` hold them. It may be asked again until they
    // are removed: rates of keys go on from what was removed.
    Result<std::vector<Verdict>> judge_due(const std::vector<Due>& due, store::Segments segments,
                                           JudgedSpan span);

  private:
    // `{ trace:duration > 2s }` and the like: what is held says it.
    struct DurationTest {
        traceql::Operator op = traceql::Operator::kNone;
        uint64_t ns = 0;

        bool matches(const Held& held) const;
    };

    // Traces whose first span came at one time, so that nobody looks at all that are held to find
    // those that are due. Of some it was told later that they came earlier.
    struct Arrivals {
        std::vector<TraceId> ids;
        uint32_t arrival_s = UINT32_MAX;  // no trace of these is older
    };

    void note_arrival(const TraceId& id, const Held& held, bool is_new);
    static std::optional<DurationTest> duration_test(const traceql::Query& query);
    Result<void> note_randomness(const store::Segment& segment);
    SurveyedTraces known_of(const std::vector<Due>& due) const;
    Result<SurveyedTraces> survey(const std::vector<Due>& due, const std::vector<uint32_t>& numbers,
                                  store::Segments segments, std::vector<uint32_t>& place_of) const;

    const KeepRules& rules_;
    std::vector<std::optional<DurationTest>> durations_;  // by rule
    bool needs_keys_ = false;                             // of all traces, or their order
    // By number, those that look at more than single spans: a trace that they may find is read.
    uint64_t rules_of_wholes_ = 0;
    bool compares_traces_ = false;
    std::vector<TraceRates> rates_;         // by rule
    std::vector<TraceRates> rates_judged_;  // with what is not removed yet
    boost::unordered_flat_map<TraceId, Held, std::hash<TraceId>> traces_;
    std::map<uint32_t, Arrivals> arrivals_;  // by Held::since_ds
    // What senders said themselves.
    boost::unordered_flat_map<TraceId, uint64_t, std::hash<TraceId>> randomness_;
};

// Which traces were decided about lately, and how: a bounded number, the newest. One thread.
class DecidedTraces {
  public:
    struct Fate {
        bool is_chosen = false;
        uint64_t threshold = 0;
    };

    explicit DecidedTraces(size_t traces_max) : generation_max_(traces_max / 2) {}

    // nullopt: not known (any more).
    std::optional<Fate> find(uint64_t hash) const;
    void add(uint64_t hash, const Fate& fate);

  private:
    struct Generation {
        boost::unordered_flat_set<uint64_t> traces;  // the lowest bit: whether it was chosen
        boost::unordered_flat_map<uint64_t, uint64_t> thresholds;  // but those of 0
    };

    const size_t generation_max_;
    Generation newer_;
    Generation older_;
};

}  // namespace spanloom::sampling

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sampling/keep_rules.h"
#include "sampling/trace_rates.h"
#include "sampling/trace_survey.h"

namespace spanloom::sampling {

// What rules say of one trace.
struct Verdict {
    static constexpr uint32_t kNoRule = UINT32_MAX;

    uint32_t rule = kNoRule;  // the first that matches
    bool is_kept = false;
    // Traces of the rule (and key) are kept where their randomness is at least this.
    uint64_t threshold = 0;
};

// The threshold that keeps a share of all traces; kThresholdEnd: none.
uint64_t threshold_of_share(double share);

// Verdicts on the traces with these numbers, which arrived within so many seconds, in their order.
// Pure: the same of the same.
std::vector<Verdict> judge(const KeepRules& rules, const SurveyedTraces& traces,
                           std::span<const uint32_t> numbers, double seconds);

// When what is judged arrived, in seconds of any clock: since the last time.
struct JudgedSpan {
    double from_s = 0;
    double until_s = 0;
};
// The same for traces that are judged while they stream, some at a time: rules that let so many a
// second stay go by the rates of each key so far, which are carried on. One for each rule.
std::vector<Verdict> judge_streaming(const KeepRules& rules, const SurveyedTraces& traces,
                                     std::span<const uint32_t> numbers, JudgedSpan span,
                                     std::vector<TraceRates>& rates);

}  // namespace spanloom::sampling

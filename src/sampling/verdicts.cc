#include "sampling/verdicts.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "base/hash.h"
#include "otlp/tracestate.h"

namespace spanloom::sampling {
namespace {

using otlp::kThresholdEnd;

// Places in the list that is judged.
using Places = std::vector<uint32_t>;

class Judging {
  public:
    Judging(const KeepRules& rules, const SurveyedTraces& traces, std::span<const uint32_t> numbers,
            JudgedSpan span, std::vector<TraceRates>* rates)
        : rules_(rules), traces_(traces), numbers_(numbers), span_(span), rates_(rates) {}

    std::vector<Verdict> run() {
        verdicts_.resize(numbers_.size());
        for (uint32_t rule = 0; rule < rules_.keep.size(); ++rule) {
            const std::map<uint32_t, Places> matched = match(rule);
            for (const auto& [key, places] : matched) {
                for (const uint32_t place : places)
                    verdicts_[place].rule = rule;
            }
            const bool is_steered =
                rates_ != nullptr && rules_.keep[rule].rate_kind != KeepRule::Rate::kShare;
            is_steered ? steer(rule, matched) : choose(rules_.keep[rule], matched);
        }
        return std::move(verdicts_);
    }

  private:
    // Those that no rule before has, by key.
    std::map<uint32_t, Places> match(uint32_t number) const {
        const KeepRule& rule = rules_.keep[number];
        const std::vector<uint8_t>& found = traces_.matches[number];
        const uint32_t keys = traces_.keys_of_rule[number];
        std::map<uint32_t, Places> matched;
        for (uint32_t place = 0; place < numbers_.size(); ++place) {
            const uint32_t trace = numbers_[place];
            if (verdicts_[place].rule != Verdict::kNoRule) continue;
            if (!found.empty() && found[trace] == 0) continue;
            const uint32_t key =
                keys == SurveyedTraces::kNoKeys ? 0 : traces_.keys[keys].number_of[trace];
            matched[key].push_back(place);
        }
        if (rule.slowest) {
            for (auto& [key, places] : matched)
                leave_slowest(*rule.slowest, places);
        }
        return matched;
    }

    // Of each key at least one. This must not depend on the randomness.
    void leave_slowest(double share, Places& places) const {
        const auto count =
            static_cast<size_t>(std::ceil(share * static_cast<double>(places.size())));
        const auto is_slower = [&](uint32_t a, uint32_t b) {
            const uint32_t x = numbers_[a];
            const uint32_t y = numbers_[b];
            if (traces_.duration_ns[x] != traces_.duration_ns[y])
                return traces_.duration_ns[x] > traces_.duration_ns[y];
            return traces_.start_ns[x] != traces_.start_ns[y]
                       ? traces_.start_ns[x] < traces_.start_ns[y]
                       : a < b;
        };
        std::nth_element(places.begin(), places.begin() + static_cast<ptrdiff_t>(count) - 1,
                         places.end(), is_slower);
        places.resize(count);
    }

    void choose(const KeepRule& rule, const std::map<uint32_t, Places>& matched) {
        const double budget = std::max(1.0, std::round(rule.rate * (span_.until_s - span_.from_s)));
        switch (rule.rate_kind) {
            case KeepRule::Rate::kShare:
                for (const auto& [key, places] : matched)
                    apply(threshold_of_share(rule.rate), places);
                break;
            case KeepRule::Rate::kPerKey:
                for (const auto& [key, places] : matched)
                    apply(threshold_of_count(places, budget), places);
                break;
            case KeepRule::Rate::kPerSecond: {
                const double each = fair_count(matched, budget);
                for (const auto& [key, places] : matched)
                    apply(threshold_of_count(places, each), places);
                break;
            }
        }
    }

    void steer(uint32_t number, const std::map<uint32_t, Places>& matched) {
        const uint32_t keys = traces_.keys_of_rule[number];
        std::vector<TraceRates::Seen> seen;
        for (const auto& [key, places] : matched) {
            const uint64_t hash =
                keys == SurveyedTraces::kNoKeys ? 0 : hash64(traces_.keys[keys].texts[key]);
            seen.push_back({hash, places.size()});
        }
        const std::vector<double> shares =
            (*rates_)[number].shares(rules_.keep[number], seen, span_.from_s, span_.until_s);
        size_t at = 0;
        for (const auto& [key, places] : matched)
            apply(threshold_of_share(shares[at++]), places);
    }

    void apply(uint64_t threshold, const Places& places) {
        for (const uint32_t place : places) {
            Verdict& verdict = verdicts_[place];
            verdict.threshold = threshold;
            verdict.is_kept = traces_.randomness[numbers_[place]] >= threshold;
        }
    }

    // How many traces each key may have, so that all have `budget` together: those that have fewer
    // leave the rest to the others.
    static double fair_count(const std::map<uint32_t, Places>& matched, double budget) {
        std::vector<double> counts;
        for (const auto& [key, places] : matched)
            counts.push_back(static_cast<double>(places.size()));
        std::sort(counts.begin(), counts.end());
        double left = budget;
        for (size_t i = 0; i < counts.size(); ++i) {
            const double each = left / static_cast<double>(counts.size() - i);
            if (counts[i] > each) return std::max(1.0, std::floor(each));
            left -= counts[i];
        }
        return budget;
    }

    // So that the `count` with the highest randomness stay. Just above the next one: given the
    // others, each of those that stay would have stayed with exactly this chance.
    uint64_t threshold_of_count(const Places& places, double count) const {
        if (static_cast<double>(places.size()) <= count) return 0;
        std::vector<uint64_t> randomness;
        for (const uint32_t place : places)
            randomness.push_back(traces_.randomness[numbers_[place]]);
        const auto next = randomness.begin() + static_cast<ptrdiff_t>(count);
        std::nth_element(randomness.begin(), next, randomness.end(), std::greater<>());
        // A lower share would stand for more than any count is believed.
        return std::min(*next + 1, threshold_of_share(1 / otlp::kAdjustedCountMax));
    }

    const KeepRules& rules_;
    const SurveyedTraces& traces_;
    const std::span<const uint32_t> numbers_;
    const JudgedSpan span_;
    std::vector<TraceRates>* const rates_;  // none: what is judged is all that there is
    std::vector<Verdict> verdicts_;
};

}  // namespace

uint64_t threshold_of_share(double share) {
    if (share <= 0) return kThresholdEnd;
    const double kept = std::round(std::min(share, 1.0) * static_cast<double>(kThresholdEnd));
    return kThresholdEnd - std::max<uint64_t>(1, static_cast<uint64_t>(kept));
}

std::vector<Verdict> judge(const KeepRules& rules, const SurveyedTraces& traces,
                           std::span<const uint32_t> numbers, double seconds) {
    return Judging(rules, traces, numbers, {0, seconds}, nullptr).run();
}

std::vector<Verdict> judge_streaming(const KeepRules& rules, const SurveyedTraces& traces,
                                     std::span<const uint32_t> numbers, JudgedSpan span,
                                     std::vector<TraceRates>& rates) {
    rates.resize(rules.keep.size());
    return Judging(rules, traces, numbers, span, &rates).run();
}

}  // namespace spanloom::sampling

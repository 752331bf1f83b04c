#include "sampling/trace_rates.h"

#include <algorithm>
#include <cmath>

#include "otlp/tracestate.h"

namespace spanloom::sampling {
namespace {

// So many should be seen between two changes of an average, where just as many come as are to
// stay: fewer say too little.
constexpr double kTracesPerInterval = 4;
// All keys that there is no room for.
constexpr uint64_t kOthers = UINT64_MAX;

}  // namespace

double TraceRates::Rate::now(double interval_s) const {
    const double current = traces / interval_s;
    return mean < 0 || current > kBurst * mean ? current : mean;
}

// The fewer are to stay of each key, the longer they are counted.
double TraceRates::interval_s(const KeepRule& rule) const {
    const bool is_shared = rule.rate_kind == KeepRule::Rate::kPerSecond;
    const double goal =
        is_shared ? rule.rate / static_cast<double>(std::max<size_t>(keys_.size(), 1)) : rule.rate;
    return std::clamp(kTracesPerInterval / goal, kIntervalS, kIntervalMaxS);
}

void TraceRates::adjust(double until_s, double interval_s) {
    const double elapsed_s = until_s - *since_s_;
    // What nothing came for is as if it had been several intervals.
    const double before = std::pow(1 - kWeight, std::max(1.0, std::floor(elapsed_s / interval_s)));
    for (auto at = keys_.begin(); at != keys_.end();) {
        const auto here = at++;
        Rate& rate = here->second;
        const double current = rate.traces / elapsed_s;
        rate.mean = rate.mean < 0 ? current : before * rate.mean + (1 - before) * current;
        rate.traces = 0;
        if (rate.mean * interval_s < kAgeOut) keys_.erase(here);
    }
    since_s_ = until_s;
}

TraceRates::Rate& TraceRates::rate_of(uint64_t key) {
    const auto known = keys_.find(key);
    if (known != keys_.end()) return known->second;
    return keys_[keys_.size() + 1 < kKeysMax ? key : kOthers];
}

// How many a second of each key may stay, so that all together have the budget: those that have
// fewer leave the rest to the others.
double TraceRates::fair_rate(double budget, double interval_s) const {
    std::vector<double> rates;
    rates.reserve(keys_.size());
    for (const auto& [key, rate] : keys_)
        rates.push_back(rate.now(interval_s));
    std::sort(rates.begin(), rates.end());
    double left = budget;
    for (size_t i = 0; i < rates.size(); ++i) {
        const double each = left / static_cast<double>(rates.size() - i);
        if (rates[i] > each) return each;
        left -= rates[i];
    }
    return rates.empty() ? budget : std::max(budget, rates.back());
}

std::vector<double> TraceRates::shares(const KeepRule& rule, std::span<const Seen> seen,
                                       double from_s, double until_s) {
    if (!since_s_) since_s_ = from_s;
    const double interval = interval_s(rule);
    // Nothing was decided about for long.
    if (from_s - *since_s_ >= interval) adjust(from_s, interval);
    for (const Seen& one : seen)
        rate_of(one.key).traces += static_cast<double>(one.traces);
    const double elapsed_s = std::max(until_s - *since_s_, 0.0);
    const double window_s = std::max(interval, elapsed_s);
    const double goal =
        rule.rate_kind == KeepRule::Rate::kPerSecond ? fair_rate(rule.rate, window_s) : rule.rate;
    std::vector<double> shares;
    shares.reserve(seen.size());
    for (const Seen& one : seen)
        shares.push_back(
            std::clamp(goal / rate_of(one.key).now(window_s), 1 / otlp::kAdjustedCountMax, 1.0));
    if (elapsed_s >= interval) adjust(until_s, interval);
    return shares;
}

}  // namespace spanloom::sampling

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "sampling/keep_rules.h"

namespace spanloom::sampling {

// How many traces a second a rule saw of each key, where traces are decided about while they
// stream, and so which share of each is to stay: as Refinery's samplers do it, by a moving average
// of counts that changes every now and then, so that a key's threshold is the same from one batch
// to the next. A share depends on counts alone, never on the randomness of what is chosen: each
// trace that stays stands for exactly 1 / share. Memory is bounded; it begins anew with each
// process. One thread.
class TraceRates {
  public:
    static constexpr double kIntervalS = 15;      // between changes of the average, at least
    static constexpr double kIntervalMaxS = 600;  // and at most, where few are to stay
    static constexpr double kWeight = 0.5;        // of the newest interval
    static constexpr double kAgeOut = 0.5;  // traces an interval: keys with fewer are forgotten
    // A key with so many times what its average says has that many at once.
    static constexpr double kBurst = 2;
    static constexpr size_t kKeysMax = 10'000;  // those beyond are one

    // Of one key, in what is decided about at once.
    struct Seen {
        uint64_t key = 0;
        size_t traces = 0;
    };

    // The share of each that is to stay, above 0. They came between two times, in seconds of any
    // clock; the first is that of the call before.
    std::vector<double> shares(const KeepRule& rule, std::span<const Seen> seen, double from_s,
                               double until_s);
    size_t keys() const { return keys_.size(); }

  private:
    struct Rate {
        double mean = -1;   // traces a second; below 0: nothing is known yet
        double traces = 0;  // since the last change

        // What is likely now: a burst is seen before the average knows of it.
        double now(double interval_s) const;
    };

    double interval_s(const KeepRule& rule) const;
    void adjust(double until_s, double interval_s);
    Rate& rate_of(uint64_t key);
    double fair_rate(double budget, double interval_s) const;

    boost::unordered_flat_map<uint64_t, Rate> keys_;
    std::optional<double> since_s_;  // of the last change
};

}  // namespace spanloom::sampling

#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/metrics.h"
#include "base/random.h"
#include "sampling/decision_log.h"
#include "sampling/keep_rules.h"
#include "sampling/setting.h"
#include "sampling/trace_survey.h"
#include "store/store.h"

namespace spanloom::sampling {

// Kinds of documents (store/documents.h) that are written here alone.
constexpr std::string_view kRulesKind = "keep_rules";
constexpr std::string_view kPinsKind = "pinned_traces";

// The rules by which the store ages, and where they come from.
using RulesInForce = InForce<KeepRules>;

// A trace that stays for ever.
struct Pin {
    TraceId id;
    uint64_t at_ns = 0;
    std::string by;
    std::string reason;
};

// Decides which traces stay when an hour of the store ages: whole traces, once each, by the rules
// in force. Spans that come late follow what was decided; pinned traces always stay. Held by the
// store's ageing as well, so that it is there as long as that may ask. Thread-safe.
class Keeper : public std::enable_shared_from_this<Keeper> {
  public:
    // Reads the rules and pins that were set before, and lets the store age from now on.
    // `configured`: the rules of the configuration; none: those by default. All outlive the store.
    static Result<std::shared_ptr<Keeper>> start(store::Store& store, const Clock& clock,
                                                 Random& random, MetricsRegistry& metrics,
                                                 std::optional<KeepRules> configured);
    Keeper(const Keeper&) = delete;
    Keeper& operator=(const Keeper&) = delete;

    std::shared_ptr<const RulesInForce> rules() const { return setting_.get(); }
    // Takes other rules into force, durably, where `expected` is the version in force;
    // kAlreadyExists where it is another by now.
    Result<std::shared_ptr<const RulesInForce>> replace(std::string_view json, uint64_t expected);
    // Back to those of the configuration.
    Result<std::shared_ptr<const RulesInForce>> reset(uint64_t expected);

    Result<void> pin(Pin pin);  // kNotFound where the trace is not stored
    Result<void> unpin(const TraceId& id);
    Result<std::vector<Pin>> pins() const;
    bool is_pinned(const TraceId& id) const;

    // The verdict function of store::Ageing. The maintenance thread.
    Result<store::AgeingAnswer> decide(const store::AgeingQuestion& question) const;
    // store::Ageing::thin: half of them stays, by raising what the rules' threshold was.
    Result<store::AgeingAnswer> thin(const store::AgeingQuestion& question) const;

  private:
    // What was decided before about a trace of a question.
    struct Earlier {
        bool is_kept = false;
        bool is_thinned = false;
        DecisionFacts::Rule rule;
        bool has_rule = false;
        uint64_t threshold = 0;
    };
    struct EarlierDecisions {
        std::vector<std::optional<Earlier>> of_trace;
        uint64_t hash_key = 0;  // for what is decided now
    };
    using Pinned = std::unordered_set<TraceId>;

    Keeper(store::Store& store, const Clock& clock, Random& random, MetricsRegistry& metrics,
           std::optional<KeepRules> configured);

    Result<void> load();
    void age_by(const KeepRules& rules);
    std::shared_ptr<const Pinned> pinned() const;
    EarlierDecisions find_earlier(const store::AgeingQuestion& question) const;

    store::Store& store_;
    const Clock& clock_;
    const uint64_t fresh_hash_key_;
    Counter& late_traces_;

    std::mutex change_mutex_;  // one change at a time
    Setting<KeepRules> setting_;
    mutable std::mutex mutex_;
    std::shared_ptr<const Pinned> pinned_ = std::make_shared<const Pinned>();
};

}  // namespace spanloom::sampling

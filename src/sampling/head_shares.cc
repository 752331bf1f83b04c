#include "sampling/head_shares.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "otlp/tracestate.h"
#include "store/scan.h"

namespace spanloom::sampling {
namespace {

using Kind = HeadStrategy::Kind;

constexpr double kGrowthMax = 10;
constexpr double kShrinkMax = 100;
constexpr double kTolerance = 0.2;
constexpr double kIdleGrowth = 2;
constexpr double kTellingApart = 2;
constexpr uint64_t kForgetNs = 24ULL * 3'600'000'000'000;

// ---- counting

store::Predicate is_root() {
    return store::Predicate::compare({store::Scope::kIntrinsic, store::Intrinsic::kParentId, ""},
                                     store::Comparison::kEqual, store::Value::of_string(""));
}

store::Predicate says_threshold(store::Comparison comparison) {
    return store::Predicate::compare({store::Scope::kIntrinsic, store::Intrinsic::kTraceState, ""},
                                     comparison,
                                     store::Value::of_string("(.*,)?[ \t]*ot=([^,]*;)?th:.*"));
}

store::Field span_attribute(const char* key) {
    return {store::Scope::kSpan, store::Intrinsic::kNone, key};
}

// How many traces one stands for whose client wrote down how it was chosen, as Jaeger's samplers
// do; 0: it did not.
double written_weight(const store::Value& type, const store::Value& param) {
    if (type.kind != store::ValueKind::kString) return 0;
    if (type.text == "lowerbound" || type.text == "ratelimiting") return 1;
    const double share = param.is_number() ? param.as_number() : 0;
    if (type.text != "probabilistic" || !(share > 0) || share > 1) return 0;
    return std::min(1 / share, otlp::kAdjustedCountMax);
}

using RootCounts = std::map<std::pair<std::string, std::string>, RootCount>;

RootCount& count_of(RootCounts& counts, const store::AggregateGroup& group) {
    RootCount& count = counts[{group.key[0].text, group.key[1].text}];
    if (count.operation.empty()) {
        count.service = group.key[0].text;
        count.operation = group.key[1].text;
    }
    return count;
}

// ---- adapting

double step(double share, double wanted) {
    return std::clamp(wanted, share / kShrinkMax, share * kGrowthMax);
}

// Whether it is worth telling clients.
bool is_change(double share, double next, const HeadAdaptation& limits) {
    if (next == share) return false;
    return next == limits.max || next == limits.min || std::abs(next / share - 1) > kTolerance;
}

// The rate that an operation is to have; none: its share is fixed.
std::optional<double> target_of(const HeadStrategies& strategies, const HeadService& service,
                                std::string_view operation) {
    const HeadStrategy strategy =
        strategies.of_operation(service, operation).value_or(service.strategy);
    if (strategy.kind != Kind::kAdaptive) return std::nullopt;
    return strategy.param;
}

class Adapting {
  public:
    Adapting(const HeadStrategies& strategies, std::string_view service, double seconds,
             uint64_t now_ns, ServiceShares& shares)
        : strategies_(strategies),
          service_(strategies.of(service)),
          limits_(strategies.adaptation),
          seconds_(seconds),
          now_ns_(now_ns),
          shares_(shares) {
        if (shares_.share == 0) set(shares_.share, limits_.initial);
        set(shares_.share, std::clamp(shares_.share, limits_.min, limits_.max));
    }

    void received(const RootCount& count, const std::function<bool(std::string_view)>& may_add) {
        const std::optional<double> target = target_of(strategies_, service_, count.operation);
        if (!target) return;
        auto known = shares_.operations.find(count.operation);
        if (known == shares_.operations.end()) {
            if (!may_add(count.operation))
                return by_service(*target, rate_of(count, shares_.share));
            known = shares_.operations.try_emplace(count.operation).first;
            known->second.share = shares_.share;
            has_changed_ = true;
        }
        OperationShare& operation = known->second;
        set(operation.is_named_later, is_named_later(operation, count));
        operation.traces_per_s =
            rate_of(count, operation.is_named_later ? shares_.share : operation.share);
        if (operation.is_named_later) by_service(*target, operation.traces_per_s);
        operation.received_per_s = static_cast<double>(count.weighed + count.bare) / seconds_;
        operation.seen_ns = now_ns_;
        operation.former_share = operation.share;
        move(operation.share, *target / operation.traces_per_s);
        seen_.insert(known->first);
    }

    // True where something changed.
    bool finish() {
        for (auto at = shares_.operations.begin(); at != shares_.operations.end();) {
            const bool is_over = !target_of(strategies_, service_, at->first) ||
                                 at->second.seen_ns + kForgetNs < now_ns_;
            if (is_over) {
                at = shares_.operations.erase(at);
                has_changed_ = true;
                continue;
            }
            if (!seen_.contains(at->first)) {
                at->second.traces_per_s = at->second.received_per_s = 0;
                at->second.former_share = 0;
                move(at->second.share, at->second.share * kIdleGrowth);
            }
            ++at;
        }
        // What is decided by it gets what all of that together needs.
        move(shares_.share, traces_ > 0 ? wanted_ / traces_ : idle_share());
        return has_changed_;
    }

  private:
    // Traces a second that there are, where those that do not say it were chosen by this share.
    double rate_of(const RootCount& count, double share) const {
        return (count.weighed_traces + static_cast<double>(count.bare) / share) / seconds_;
    }

    // Traces a second, of them decided by the service's share and wanted.
    void by_service(double target, double rate) {
        wanted_ += std::min(target, rate);
        traces_ += rate;
    }

    // Where nobody decides by it, it comes back to what new operations begin with.
    double idle_share() const {
        return std::max(shares_.share, std::min(shares_.share * kIdleGrowth, limits_.initial));
    }

    // By which of two shares it was decided: by the one that fits better what clients wrote down,
    // else what came after its own share was moved.
    bool is_named_later(const OperationShare& operation, const RootCount& count) const {
        const double own = operation.share;
        const double service = shares_.share;
        const auto is_nearer = [](double value, double to, double than) {
            return std::abs(std::log(value / to)) < std::abs(std::log(value / than));
        };
        if (!are_apart(own, service)) return operation.is_named_later;
        if (count.weighed > 0)
            return is_nearer(static_cast<double>(count.weighed) / count.weighed_traces, service,
                             own);
        if (operation.former_share == 0 || !are_apart(own, operation.former_share))
            return operation.is_named_later;
        return is_nearer(operation.traces_per_s, rate_of(count, service), rate_of(count, own));
    }

    static bool are_apart(double a, double b) {
        return std::max(a, b) >= kTellingApart * std::min(a, b);
    }

    template <typename T>
    void set(T& place, T value) {
        has_changed_ = has_changed_ || place != value;
        place = value;
    }
    void move(double& share, double wanted) {
        const double next = std::clamp(step(share, wanted), limits_.min, limits_.max);
        if (is_change(share, next, limits_)) set(share, next);
    }

    const HeadStrategies& strategies_;
    const HeadService& service_;
    const HeadAdaptation& limits_;
    const double seconds_;
    const uint64_t now_ns_;
    ServiceShares& shares_;
    std::set<std::string, std::less<>> seen_;
    double wanted_ = 0;  // traces a second, of those that the service's share decides
    double traces_ = 0;
    bool has_changed_ = false;
};

}  // namespace

Result<std::vector<RootCount>> count_roots(const store::Store& store, std::string_view tenant,
                                           store::TimeRange range) {
    const auto segments = store.snapshot(tenant);
    const store::Field service{store::Scope::kResource, store::Intrinsic::kNone, "service.name"};
    const store::Field name{store::Scope::kIntrinsic, store::Intrinsic::kName, ""};
    store::AggregateRequest request;
    request.scope.range = range;
    RootCounts counts;
    request.scope.where =
        store::Predicate::all_of({is_root(), says_threshold(store::Comparison::kMatch)});
    request.group_by = {service, name};
    TRY_ASSIGN(const auto weighed, store::aggregate(segments, request));
    for (const store::AggregateGroup& group : weighed.groups) {
        RootCount& count = count_of(counts, group);
        count.weighed += group.cells[0].rows;
        count.weighed_traces += group.cells[0].weighted;
    }
    request.scope.where =
        store::Predicate::all_of({is_root(), says_threshold(store::Comparison::kNotMatch)});
    request.group_by = {service,
                        name,
                        span_attribute("sampler.type"),
                        span_attribute("sampler.param"),
                        span_attribute("jaeger.sampler.type"),
                        span_attribute("jaeger.sampler.param")};
    TRY_ASSIGN(const auto others, store::aggregate(segments, request));
    for (const store::AggregateGroup& group : others.groups) {
        RootCount& count = count_of(counts, group);
        const uint64_t rows = group.cells[0].rows;
        const double weight = std::max(written_weight(group.key[2], group.key[3]),
                                       written_weight(group.key[4], group.key[5]));
        if (weight == 0) {
            count.bare += rows;
        } else {
            count.weighed += rows;
            count.weighed_traces += weight * static_cast<double>(rows);
        }
    }
    std::vector<RootCount> all;
    all.reserve(counts.size());
    for (auto& [key, count] : counts)
        all.push_back(std::move(count));
    return all;
}

bool adapt_shares(const HeadStrategies& strategies, std::string_view service,
                  std::span<const RootCount* const> counts, double seconds, uint64_t now_ns,
                  const std::function<bool(std::string_view operation)>& may_add,
                  ServiceShares& shares) {
    Adapting adapting(strategies, service, seconds, now_ns, shares);
    for (const RootCount* const count : counts)
        adapting.received(*count, may_add);
    return adapting.finish();
}

}  // namespace spanloom::sampling

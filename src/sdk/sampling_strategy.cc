#include "sdk/sampling_strategy.h"

#include <algorithm>

#include "sdk/probability.h"
#include "sdk/yaml.h"

// jaeger-idl, api_v2/sampling.proto, as its JSON mapping has it.
namespace spanloom::sdk {
namespace {

// Jaeger's own clients follow at most as many.
constexpr size_t kOperationsMax = 2000;
constexpr double kDefaultProbability = 0.001;

// A number of an object inside the map; absent where there is none.
std::optional<double> number_at(const YamlNode& map, std::string_view object,
                                std::string_view key) {
    const YamlNode* inner = map.find(object);
    const YamlNode* value = inner == nullptr ? nullptr : inner->find(key);
    return value == nullptr ? std::nullopt : value->number();
}
double number_or(const YamlNode& map, std::string_view key, double otherwise) {
    const YamlNode* value = map.find(key);
    return value == nullptr ? otherwise : value->number().value_or(otherwise);
}

bool is_share(double value) {
    return value >= 0 && value <= 1;
}

}  // namespace

OperationStrategy::OperationStrategy(double probability, double lower_bound_per_second,
                                     const Clock& clock)
    : probability_(probability),
      threshold_(threshold_of(probability)),
      lower_bound_(lower_bound_per_second),
      clock_(clock) {}

std::unique_ptr<OperationStrategy> OperationStrategy::rate_limited(double per_second,
                                                                   const Clock& clock) {
    auto strategy = std::make_unique<OperationStrategy>(0, 0, clock);
    strategy->limit_ = std::make_unique<AdaptiveThreshold>(per_second, clock);
    return strategy;
}

// One every 1/lower_bound seconds, without a burst.
bool OperationStrategy::take_lower_bound() noexcept {
    if (!(lower_bound_ > 0)) return false;
    const uint64_t now_ns = clock_.monotonic_ns();
    uint64_t due_ns = lower_bound_due_ns_.load(std::memory_order_relaxed);
    const auto next_ns = now_ns + static_cast<uint64_t>(std::min(1e9 / lower_bound_, 1e15));
    return now_ns >= due_ns &&
           lower_bound_due_ns_.compare_exchange_strong(due_ns, next_ns, std::memory_order_relaxed);
}

SamplingResult OperationStrategy::decide(const SamplingParameters& parameters) noexcept {
    const TraceState& state = parameters.parent.span_context().trace_state();
    const uint64_t threshold = limit_ != nullptr ? limit_->next() : threshold_;
    const bool is_due = take_lower_bound();
    if (threshold < kThresholdEnd && randomness_of(parameters.trace_id, state) >= threshold) {
        return limit_ != nullptr
                   ? sampled(parameters, "ratelimiting", limit_->per_second(), &threshold)
                   : sampled(parameters, "probabilistic", probability_, &threshold);
    }
    // Taken for the promise, not by chance: nobody can say how many it stands
    // for.
    if (is_due) return sampled(parameters, "lowerbound", lower_bound_, nullptr);
    return {SamplingDecision::kDrop, {}, with_threshold(state, std::nullopt)};
}

// Jaeger's adaptive sampling learns from these two attributes which spans it
// has caused.
SamplingResult OperationStrategy::sampled(const SamplingParameters& parameters, const char* type,
                                          double parameter, const uint64_t* threshold) noexcept {
    thread_local Attribute attributes[2];
    attributes[0] = {"sampler.type", type};
    attributes[1] = {"sampler.param", parameter};
    const TraceState& state = parameters.parent.span_context().trace_state();
    return {SamplingDecision::kRecordAndSample, AttributeList(attributes, 2),
            with_threshold(state, threshold == nullptr ? std::nullopt : std::optional(*threshold))};
}

Result<std::unique_ptr<SamplingStrategy>> SamplingStrategy::parse(std::string_view json,
                                                                  const Clock& clock) {
    TRY_ASSIGN(const YamlNode root, parse_yaml(json));
    if (root.kind != YamlNode::Kind::kMap)
        return fail(ErrorCode::kInvalidArgument, "a sampling strategy is expected, not this");
    auto strategy = std::make_unique<SamplingStrategy>();
    const auto share = number_at(root, "probabilisticSampling", "samplingRate");
    const auto rate = number_at(root, "rateLimitingSampling", "maxTracesPerSecond");
    const YamlNode* operations = root.find("operationSampling");
    const bool has_operations = operations != nullptr && operations->kind == YamlNode::Kind::kMap;
    if (!has_operations) {
        if (rate && *rate >= 0 && !share) {
            strategy->others_ = OperationStrategy::rate_limited(*rate, clock);
        } else if (share && is_share(*share)) {
            strategy->others_ = std::make_unique<OperationStrategy>(*share, 0, clock);
        } else {
            return fail(ErrorCode::kInvalidArgument, "the sampling strategy names no rate");
        }
        return strategy;
    }

    const double otherwise =
        number_or(*operations, "defaultSamplingProbability", share.value_or(kDefaultProbability));
    const double lower_bound = number_or(*operations, "defaultLowerBoundTracesPerSecond", 0);
    if (!is_share(otherwise))
        return fail(ErrorCode::kInvalidArgument, "{} is no sampling probability", otherwise);
    strategy->others_ = std::make_unique<OperationStrategy>(otherwise, lower_bound, clock);
    const YamlNode* list = operations->find("perOperationStrategies");
    if (list == nullptr) return strategy;
    for (const YamlNode& entry : list->items) {
        if (strategy->operations_.size() == kOperationsMax) break;
        const YamlNode* name = entry.find("operation");
        const auto own = number_at(entry, "probabilisticSampling", "samplingRate");
        if (name == nullptr || !own || !is_share(*own)) continue;
        strategy->operations_[name->text] =
            std::make_unique<OperationStrategy>(*own, lower_bound, clock);
    }
    return strategy;
}

SamplingResult SamplingStrategy::decide(const SamplingParameters& parameters) noexcept {
    const auto found = operations_.find(parameters.name);
    return (found != operations_.end() ? found->second : others_)->decide(parameters);
}

}  // namespace spanloom::sdk

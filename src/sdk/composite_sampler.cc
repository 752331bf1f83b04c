#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "base/glob.h"
#include "sdk/adaptive_threshold.h"
#include "sdk/id_random.h"
#include "sdk/probability.h"
#include "spanloom/samplers.h"

namespace spanloom {
namespace {

SamplingIntent keep_from(uint64_t threshold) noexcept {
    SamplingIntent intent;
    if (threshold < sdk::kThresholdEnd) {
        intent.threshold = threshold;
        intent.is_count_reliable = true;
    }
    return intent;
}

// A threshold that never changes.
class FixedPart final : public ComposableSampler {
  public:
    FixedPart(uint64_t threshold, std::string description)
        : threshold_(threshold), description_(std::move(description)) {}
    SamplingIntent intent(const SamplingParameters&) noexcept override {
        return keep_from(threshold_);
    }
    std::string description() const override { return description_; }

  private:
    uint64_t threshold_;
    std::string description_;
};

class RateLimitingPart final : public ComposableSampler {
  public:
    explicit RateLimitingPart(double spans_per_second) : threshold_(spans_per_second, clock_) {}
    SamplingIntent intent(const SamplingParameters&) noexcept override {
        return keep_from(threshold_.next());
    }
    std::string description() const override {
        return fmt::format("ComposableRateLimiting{{{}}}", threshold_.per_second());
    }

  private:
    SystemClock clock_;
    sdk::AdaptiveThreshold threshold_;
};

class ParentThresholdPart final : public ComposableSampler {
  public:
    explicit ParentThresholdPart(std::shared_ptr<ComposableSampler> root)
        : root_(std::move(root)) {}
    SamplingIntent intent(const SamplingParameters& parameters) noexcept override {
        const SpanContext& parent = parameters.parent.span_context();
        if (!parent.is_valid()) return root_->intent(parameters);
        const auto sampling = otlp::SamplingState::parse(parent.trace_state().text());
        SamplingIntent intent;
        if (sampling.threshold) {
            intent.threshold = sampling.threshold;
            intent.is_count_reliable = true;
        } else if (parent.is_sampled()) {
            intent.threshold = 0;
        }
        return intent;
    }
    std::string description() const override {
        return "ComposableParentThreshold{root=" + root_->description() + "}";
    }

  private:
    std::shared_ptr<ComposableSampler> root_;
};

class RuleBasedPart final : public ComposableSampler {
  public:
    explicit RuleBasedPart(std::vector<SamplingRule> rules) : rules_(std::move(rules)) {}
    SamplingIntent intent(const SamplingParameters& parameters) noexcept override {
        for (const SamplingRule& rule : rules_) {
            if (fits(rule, parameters)) return rule.sampler->intent(parameters);
        }
        return {};
    }
    std::string description() const override {
        std::string text = "ComposableRuleBased{[";
        for (const SamplingRule& rule : rules_) {
            text += fmt::format("{}({},{})", &rule == rules_.data() ? "" : ",", rule.name,
                                rule.sampler->description());
        }
        return text + "]}";
    }

  private:
    // A user's function may throw; then the rule does not match.
    static bool fits(const SamplingRule& rule, const SamplingParameters& parameters) noexcept {
        try {
            return rule.matches(parameters);
        } catch (...) {
            return false;
        }
    }

    std::vector<SamplingRule> rules_;
};

// Attributes with what they point to: text is the sampler's own.
class AnnotatingPart final : public ComposableSampler {
  public:
    AnnotatingPart(AttributeList attributes, std::shared_ptr<ComposableSampler> part)
        : part_(std::move(part)) {
        texts_.reserve(2 * attributes.size());
        for (const Attribute& attribute : attributes) {
            Attribute own = attribute;
            own.key = texts_.emplace_back(attribute.key);
            if (attribute.value.type() == AttributeValue::Type::kString)
                own.value = std::string_view(texts_.emplace_back(attribute.value.text()));
            attributes_.push_back(own);
        }
    }
    SamplingIntent intent(const SamplingParameters& parameters) noexcept override {
        SamplingIntent intent = part_->intent(parameters);
        if (intent.attribute_lists < SamplingIntent::kAttributeListsMax)
            new (&intent.attributes[intent.attribute_lists++]) AttributeList(attributes_);
        return intent;
    }
    std::string description() const override {
        return "ComposableAnnotating{" + part_->description() + "}";
    }

  private:
    std::shared_ptr<ComposableSampler> part_;
    std::vector<std::string> texts_;
    std::vector<Attribute> attributes_;
};

// The attributes of all parts, where this thread's last result finds them.
AttributeList gather(const SamplingIntent& intent) {
    if (intent.attribute_lists == 1) return intent.attributes[0];
    thread_local std::vector<Attribute> gathered;
    gathered.clear();
    for (size_t i = 0; i < intent.attribute_lists; ++i)
        gathered.insert(gathered.end(), intent.attributes[i].begin(), intent.attributes[i].end());
    return gathered;
}

uint64_t fresh_randomness() noexcept {
    thread_local sdk::IdRandom random = [] {
        sdk::IdRandom seeded;
        seeded.reseed();
        return seeded;
    }();
    return random.next() >> 8;
}

class CompositeSampler final : public Sampler {
  public:
    explicit CompositeSampler(std::shared_ptr<ComposableSampler> part, std::string description = {})
        : part_(std::move(part)), description_(std::move(description)) {}

    SamplingResult should_sample(const SamplingParameters& parameters) noexcept override {
        const TraceState& before = parameters.parent.span_context().trace_state();
        const SamplingIntent intent = part_->intent(parameters);
        bool is_sampled = false;
        if (intent.threshold) {
            const uint64_t randomness = intent.is_count_reliable
                                            ? sdk::randomness_of(parameters.trace_id, before)
                                            : fresh_randomness();
            is_sampled = randomness >= *intent.threshold;
        }
        TraceState state = before;
        if (intent.change_state != nullptr)
            state = intent.change_state(intent.change_state_with, before, is_sampled);
        if (!is_sampled)
            return {SamplingDecision::kDrop, {}, sdk::with_threshold(state, std::nullopt)};
        return {SamplingDecision::kRecordAndSample, gather(intent),
                state_with(state, intent.is_count_reliable ? intent.threshold : std::nullopt)};
    }
    std::string description() const override {
        return description_.empty() ? "CompositeSampler{" + part_->description() + "}"
                                    : description_;
    }

  private:
    // Roots of one threshold share one text.
    TraceState state_with(const TraceState& state, std::optional<uint64_t> threshold) noexcept {
        if (!state.empty() || !threshold) return sdk::with_threshold(state, threshold);
        struct Last {
            uint64_t threshold = sdk::kThresholdEnd;
            TraceState state;
        };
        thread_local Last last;
        if (last.threshold != *threshold) last = {*threshold, sdk::with_threshold({}, threshold)};
        return last.state;
    }

    std::shared_ptr<ComposableSampler> part_;
    std::string description_;
};

// AlwaysRecord: processors see what exporters do not.
class AlwaysRecordSampler final : public Sampler {
  public:
    explicit AlwaysRecordSampler(std::shared_ptr<Sampler> root) : root_(std::move(root)) {}
    SamplingResult should_sample(const SamplingParameters& parameters) noexcept override {
        SamplingResult result = root_->should_sample(parameters);
        if (result.decision == SamplingDecision::kDrop)
            result.decision = SamplingDecision::kRecordOnly;
        return result;
    }
    std::string description() const override {
        return "AlwaysRecord{root=" + root_->description() + "}";
    }

  private:
    std::shared_ptr<Sampler> root_;
};

bool fits_any(const std::vector<std::string>& patterns, std::string_view text) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [text](const std::string& pattern) { return glob_match(pattern, text); });
}

// Calls `visit` with the value as text, and with each element of an array.
template <typename Visit>
void for_each_text(const AttributeValue& value, Visit visit) {
    using Type = AttributeValue::Type;
    switch (value.type()) {
        case Type::kBool:
            visit(value.boolean() ? std::string_view("true") : std::string_view("false"));
            break;
        case Type::kInt:
            visit(std::string_view(fmt::format_int(value.integer()).c_str()));
            break;
        case Type::kDouble:
            visit(std::string_view(fmt::format("{}", value.number())));
            break;
        case Type::kString:
            visit(value.text());
            break;
        case Type::kBoolArray:
            for (size_t i = 0; i < value.size(); ++i)
                for_each_text(static_cast<const bool*>(value.data())[i], visit);
            break;
        case Type::kInt64Array:
            for (size_t i = 0; i < value.size(); ++i)
                for_each_text(static_cast<const int64_t*>(value.data())[i], visit);
            break;
        case Type::kInt32Array:
            for (size_t i = 0; i < value.size(); ++i)
                for_each_text(static_cast<const int32_t*>(value.data())[i], visit);
            break;
        case Type::kDoubleArray:
            for (size_t i = 0; i < value.size(); ++i)
                for_each_text(static_cast<const double*>(value.data())[i], visit);
            break;
        case Type::kStringArray:
            for (size_t i = 0; i < value.size(); ++i)
                visit(static_cast<const std::string_view*>(value.data())[i]);
            break;
        case Type::kTextArray:
            for (size_t i = 0; i < value.size(); ++i)
                visit(value.text_at(i));
            break;
        default:
            break;
    }
}

}  // namespace

bool SpanMatch::operator()(const SamplingParameters& parameters) const {
    const SpanContext& parent = parameters.parent.span_context();
    const Parent from = !parent.is_valid()   ? Parent::kNone
                        : parent.is_remote() ? Parent::kRemote
                                             : Parent::kLocal;
    if (!parents.empty() && std::find(parents.begin(), parents.end(), from) == parents.end())
        return false;
    if (!kinds.empty() && std::find(kinds.begin(), kinds.end(), parameters.kind) == kinds.end())
        return false;
    if (!names.empty() && !fits_any(names, parameters.name)) return false;
    if (attribute_key.empty()) return true;
    for (const Attribute& attribute : parameters.attributes) {
        if (attribute.key != attribute_key) continue;
        bool matches = false;
        for_each_text(attribute.value, [&](std::string_view text) {
            const bool is_value = attribute_values.empty() ||
                                  std::find(attribute_values.begin(), attribute_values.end(),
                                            text) != attribute_values.end();
            const bool is_included =
                attribute_included.empty() || fits_any(attribute_included, text);
            matches = matches || (is_value && is_included && !fits_any(attribute_excluded, text));
        });
        if (matches) return true;
    }
    return false;
}

std::shared_ptr<Sampler> make_composite_sampler(std::shared_ptr<ComposableSampler> part) {
    return std::make_shared<CompositeSampler>(std::move(part));
}

std::shared_ptr<ComposableSampler> make_composable_always_on() {
    return std::make_shared<FixedPart>(0, "ComposableAlwaysOn");
}

std::shared_ptr<ComposableSampler> make_composable_always_off() {
    return std::make_shared<FixedPart>(sdk::kThresholdEnd, "ComposableAlwaysOff");
}

std::shared_ptr<ComposableSampler> make_composable_probability(double probability) {
    const uint64_t threshold = sdk::threshold_of(probability);
    if (threshold == sdk::kThresholdEnd) return make_composable_always_off();
    return std::make_shared<FixedPart>(threshold,
                                       fmt::format("ComposableProbability{{{}}}", probability));
}

std::shared_ptr<ComposableSampler> make_composable_rate_limiting(double spans_per_second) {
    return std::make_shared<RateLimitingPart>(spans_per_second);
}

std::shared_ptr<ComposableSampler> make_composable_parent_threshold(
    std::shared_ptr<ComposableSampler> root) {
    return std::make_shared<ParentThresholdPart>(std::move(root));
}

std::shared_ptr<ComposableSampler> make_composable_annotating(
    AttributeList attributes, std::shared_ptr<ComposableSampler> part) {
    return std::make_shared<AnnotatingPart>(attributes, std::move(part));
}

std::shared_ptr<ComposableSampler> make_composable_rule_based(std::vector<SamplingRule> rules) {
    return std::make_shared<RuleBasedPart>(std::move(rules));
}

std::shared_ptr<Sampler> make_probability_sampler(double probability) {
    return std::make_shared<CompositeSampler>(make_composable_probability(probability),
                                              fmt::format("ProbabilitySampler{{{}}}", probability));
}

std::shared_ptr<Sampler> make_trace_id_ratio_sampler(double ratio) {
    return std::make_shared<CompositeSampler>(make_composable_probability(ratio),
                                              fmt::format("TraceIdRatioBased{{{}}}", ratio));
}

std::shared_ptr<Sampler> make_rate_limiting_sampler(double spans_per_second) {
    return std::make_shared<CompositeSampler>(
        make_composable_rate_limiting(spans_per_second),
        fmt::format("RateLimitingSampler{{{}}}", spans_per_second));
}

std::shared_ptr<Sampler> make_always_record_sampler(std::shared_ptr<Sampler> root) {
    return std::make_shared<AlwaysRecordSampler>(std::move(root));
}

}  // namespace spanloom

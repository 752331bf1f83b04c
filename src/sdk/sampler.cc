#include "spanloom/sampler.h"

#include <utility>

#include "sdk/probability.h"

namespace spanloom {
namespace {

// Decides the same for every span.
class FixedSampler final : public Sampler {
  public:
    explicit FixedSampler(SamplingDecision decision) : decision_(decision) {}
    SamplingResult should_sample(const SamplingParameters& parameters) noexcept override {
        return {decision_, {}, parameters.parent.span_context().trace_state()};
    }
    std::string description() const override {
        return decision_ == SamplingDecision::kDrop ? "AlwaysOffSampler" : "AlwaysOnSampler";
    }
    Shortcut shortcut() const noexcept override {
        return decision_ == SamplingDecision::kDrop ? Shortcut::kAlwaysOff : Shortcut::kAlwaysOn;
    }

  private:
    SamplingDecision decision_;
};

// As the parent was decided; a root by another sampler.
class ParentBasedSampler final : public Sampler {
  public:
    explicit ParentBasedSampler(ParentBasedOptions options) : options_(std::move(options)) {
        is_plain_ = options_.remote_parent_sampled == nullptr &&
                    options_.remote_parent_not_sampled == nullptr &&
                    options_.local_parent_sampled == nullptr &&
                    options_.local_parent_not_sampled == nullptr;
        if (options_.root == nullptr) options_.root = make_always_on_sampler();
        const auto fill = [](std::shared_ptr<Sampler>& sampler, bool is_on) {
            if (sampler == nullptr)
                sampler = is_on ? make_always_on_sampler() : make_always_off_sampler();
        };
        fill(options_.remote_parent_sampled, true);
        fill(options_.remote_parent_not_sampled, false);
        fill(options_.local_parent_sampled, true);
        fill(options_.local_parent_not_sampled, false);
    }
    SamplingResult should_sample(const SamplingParameters& parameters) noexcept override {
        const SpanContext& parent = parameters.parent.span_context();
        if (!parent.is_valid()) return options_.root->should_sample(parameters);
        if (is_plain_) {
            return {
                parent.is_sampled() ? SamplingDecision::kRecordAndSample : SamplingDecision::kDrop,
                {},
                sdk::consistent_state(parent)};
        }
        const auto& sampled =
            parent.is_remote() ? options_.remote_parent_sampled : options_.local_parent_sampled;
        const auto& not_sampled = parent.is_remote() ? options_.remote_parent_not_sampled
                                                     : options_.local_parent_not_sampled;
        return (parent.is_sampled() ? sampled : not_sampled)->should_sample(parameters);
    }
    std::string description() const override {
        return "ParentBased{root=" + options_.root->description() +
               ",remoteParentSampled=" + options_.remote_parent_sampled->description() +
               ",remoteParentNotSampled=" + options_.remote_parent_not_sampled->description() +
               ",localParentSampled=" + options_.local_parent_sampled->description() +
               ",localParentNotSampled=" + options_.local_parent_not_sampled->description() + "}";
    }
    Shortcut shortcut() const noexcept override {
        if (!is_plain_) return Shortcut::kNone;
        if (options_.root->shortcut() == Shortcut::kAlwaysOn) return Shortcut::kParentElseOn;
        if (options_.root->shortcut() == Shortcut::kAlwaysOff) return Shortcut::kParentElseOff;
        return Shortcut::kNone;
    }

  private:
    ParentBasedOptions options_;
    bool is_plain_ = false;
};

}  // namespace

std::shared_ptr<Sampler> make_always_on_sampler() {
    return std::make_shared<FixedSampler>(SamplingDecision::kRecordAndSample);
}

std::shared_ptr<Sampler> make_always_off_sampler() {
    return std::make_shared<FixedSampler>(SamplingDecision::kDrop);
}

std::shared_ptr<Sampler> make_parent_based_sampler(ParentBasedOptions options) {
    return std::make_shared<ParentBasedSampler>(std::move(options));
}

}  // namespace spanloom

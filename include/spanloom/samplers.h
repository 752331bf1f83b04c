#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spanloom/attribute.h"
#include "spanloom/sampler.h"
#include "spanloom/timestamp.h"

// Samplers beyond always on, always off and parent-based (spanloom/sampler.h).
namespace spanloom {

// A share of all traces, the same ones in every service: consistent probability
// sampling. Writes `ot=th` into the tracestate, so that a backend can weight
// what it sees. 0: none, 1: all.
std::shared_ptr<Sampler> make_probability_sampler(double probability);
// The same under the name that OTEL_TRACES_SAMPLER=traceidratio gives it.
std::shared_ptr<Sampler> make_trace_id_ratio_sampler(double ratio);
// What `root` drops is recorded, but not exported: for processors that count.
std::shared_ptr<Sampler> make_always_record_sampler(std::shared_ptr<Sampler> root);
// About so many spans a second: the probability follows the rate at which they
// start, and `ot=th` says which one held, so that weighted counts stay right.
// Below the parent-based sampler (as its root) it limits traces a second.
std::shared_ptr<Sampler> make_rate_limiting_sampler(double spans_per_second);

// ---- Samplers made of parts (the specification's ComposableSampler)

// What a part wants; the composite sampler decides.
struct SamplingIntent {
    // Kept where the trace's 56 bits of randomness are at least this. Absent:
    // dropped.
    std::optional<uint64_t> threshold = {};
    // The threshold says how many spans one stands for.
    bool is_count_reliable = false;
    // Added to the span if it is sampled. They must live as long as the sampler.
    static constexpr size_t kAttributeListsMax = 8;
    AttributeList attributes[kAttributeListsMax] = {};
    size_t attribute_lists = 0;
    // Makes the span's tracestate of its parent's. Must leave the member `ot`
    // alone.
    TraceState (*change_state)(const void* with, const TraceState& parent,
                               bool is_sampled) = nullptr;
    const void* change_state_with = nullptr;
};

// Must not depend on the trace's randomness, and not change the parameters. Any
// thread.
class ComposableSampler {
  public:
    virtual ~ComposableSampler() = default;
    virtual SamplingIntent intent(const SamplingParameters& parameters) noexcept = 0;
    virtual std::string description() const = 0;
};

std::shared_ptr<Sampler> make_composite_sampler(std::shared_ptr<ComposableSampler> part);

std::shared_ptr<ComposableSampler> make_composable_always_on();
std::shared_ptr<ComposableSampler> make_composable_always_off();
std::shared_ptr<ComposableSampler> make_composable_probability(double probability);
std::shared_ptr<ComposableSampler> make_composable_rate_limiting(double spans_per_second);
// As the parent was sampled, with its threshold; a root by `root`.
std::shared_ptr<ComposableSampler> make_composable_parent_threshold(
    std::shared_ptr<ComposableSampler> root);
// With attributes on the spans that are sampled.
std::shared_ptr<ComposableSampler> make_composable_annotating(
    AttributeList attributes, std::shared_ptr<ComposableSampler> part);

// Asked for each span; first match wins, none: dropped.
struct SamplingRule {
    std::function<bool(const SamplingParameters&)> matches;
    std::shared_ptr<ComposableSampler> sampler;
    std::string name = {};  // for descriptions
};
std::shared_ptr<ComposableSampler> make_composable_rule_based(std::vector<SamplingRule> rules);

// A rule's condition as the declarative configuration writes it; what is empty
// matches all.
struct SpanMatch {
    std::string attribute_key = {};
    std::vector<std::string> attribute_values = {};  // any of these
    // Patterns with '*' and '?' for values; numbers are compared as text, arrays
    // by any element.
    std::vector<std::string> attribute_included = {};
    std::vector<std::string> attribute_excluded = {};
    std::vector<std::string> names = {};  // patterns of the span's name
    std::vector<SpanKind> kinds = {};
    enum class Parent : uint8_t { kNone, kRemote, kLocal };
    std::vector<Parent> parents = {};

    bool operator()(const SamplingParameters& parameters) const;
};

// ---- Decided elsewhere

struct RemoteSamplerOptions {
    // Asked for <endpoint>/sampling?service=<service>. spanloom and Jaeger answer
    // on port 5778.
    std::string endpoint = "http://localhost:5778";
    std::string service;
    Duration polling_interval = Duration::from_ms(60'000);
    // Until the first answer; absent: a probability of 0.001, as Jaeger's own
    // clients have it.
    std::shared_ptr<Sampler> initial = {};
};
// Jaeger's remote sampling: strategies for the service and its operations,
// polled by a thread that the first span starts. A server that does not answer
// leaves the last strategy in force.
std::shared_ptr<Sampler> make_jaeger_remote_sampler(RemoteSamplerOptions options);

}  // namespace spanloom

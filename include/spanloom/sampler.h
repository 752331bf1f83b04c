#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "spanloom/attribute.h"
#include "spanloom/context.h"
#include "spanloom/span.h"

namespace spanloom {

enum class SamplingDecision : uint8_t {
    kDrop,
    kRecordOnly,  // processors see it, exporters do not; the sampled flag is not set
    kRecordAndSample,
};

// What a sampler is asked about; views for the length of the call.
struct SamplingParameters {
    const Context& parent;
    const TraceId& trace_id;
    std::string_view name;
    SpanKind kind;
    AttributeList attributes;
    LinkList links;
    std::string_view scope_name;  // the tracer's
};

struct SamplingResult {
    SamplingDecision decision = SamplingDecision::kDrop;
    // Added to the span. Must stay where they are until the same thread asks this sampler again.
    AttributeList attributes = {};
    // The span's tracestate; hand on the parent's where nothing is to change.
    TraceState trace_state = {};
};

// Decides for every span whether it is recorded, before it costs anything. Called on the thread
// that starts the span, by all of them at once: keep it lock-free and without allocation.
class Sampler {
  public:
    virtual ~Sampler() = default;
    virtual SamplingResult should_sample(const SamplingParameters& parameters) noexcept = 0;
    virtual std::string description() const = 0;

    // What it always decides, where that can be said without asking: lets a span start without a
    // virtual call.
    enum class Shortcut : uint8_t { kNone, kAlwaysOn, kAlwaysOff, kParentElseOn, kParentElseOff };
    virtual Shortcut shortcut() const noexcept { return Shortcut::kNone; }
};

std::shared_ptr<Sampler> make_always_on_sampler();
std::shared_ptr<Sampler> make_always_off_sampler();

struct ParentBasedOptions {
    std::shared_ptr<Sampler> root;  // absent: always on
    // Absent: as the parent decided.
    std::shared_ptr<Sampler> remote_parent_sampled = {};
    std::shared_ptr<Sampler> remote_parent_not_sampled = {};
    std::shared_ptr<Sampler> local_parent_sampled = {};
    std::shared_ptr<Sampler> local_parent_not_sampled = {};
};
std::shared_ptr<Sampler> make_parent_based_sampler(ParentBasedOptions options);

}  // namespace spanloom

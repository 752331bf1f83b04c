#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "spanloom/propagator.h"

// The formats in which context travels.
namespace spanloom {

// W3C trace context, level 2: traceparent and tracestate.
std::shared_ptr<const TextMapPropagator> make_trace_context_propagator();
// W3C baggage.
std::shared_ptr<const TextMapPropagator> make_baggage_propagator();

// Zipkin's B3. Either form is understood; this is the one that is sent.
enum class B3Format : uint8_t { kSingleHeader, kMultipleHeaders };
std::shared_ptr<const TextMapPropagator> make_b3_propagator(
    B3Format format = B3Format::kSingleHeader);

// Jaeger's own: uber-trace-id, and baggage as uberctx-* headers.
std::shared_ptr<const TextMapPropagator> make_jaeger_propagator();

// One after the other, for both directions; of two that find a context, the
// later one wins.
std::shared_ptr<const TextMapPropagator> make_composite_propagator(
    std::vector<std::shared_ptr<const TextMapPropagator>> propagators);

}  // namespace spanloom

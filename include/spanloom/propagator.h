#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spanloom/context.h"
#include "spanloom/function_ref.h"

namespace spanloom {

// Reads what came with a request. Names of HTTP headers are compared without case.
class TextMapGetter {
  public:
    virtual ~TextMapGetter() = default;
    // The first value of a name.
    virtual std::optional<std::string_view> get(std::string_view name) const noexcept = 0;
    // Every value of a name, in order (headers may be repeated).
    virtual void for_each_value(std::string_view name,
                                FunctionRef<void(std::string_view)> visit) const noexcept {
        if (const auto value = get(name)) visit(*value);
    }
    virtual void for_each_name(FunctionRef<void(std::string_view)> visit) const noexcept = 0;
};

// Writes what goes with a request.
class TextMapSetter {
  public:
    virtual ~TextMapSetter() = default;
    virtual void set(std::string_view name, std::string_view value) noexcept = 0;
};

// Context to headers and back. Immutable; any thread.
class TextMapPropagator {
  public:
    virtual ~TextMapPropagator() = default;
    virtual void inject(const Context& context, TextMapSetter& carrier) const noexcept = 0;
    // The context with what the carrier holds; as it was where that is nothing or malformed.
    virtual Context extract(const Context& context,
                            const TextMapGetter& carrier) const noexcept = 0;
    // The names that inject may set.
    virtual std::vector<std::string> fields() const = 0;
};

// The process's own; W3C trace context and baggage unless another is set. Set it at the start.
const TextMapPropagator& global_propagator() noexcept;
void set_global_propagator(std::shared_ptr<const TextMapPropagator> propagator) noexcept;

// What a server makes of the context that comes with a request.
enum class IncomingContext : uint8_t {
    kConfigured,  // what the process has set; until then it is continued
    kContinue,    // the caller's trace goes on
    // For a server that anyone can reach: callers there must not decide what is sampled, nor add to
    // traces of others. A new trace begins, and its first span has a link to the caller's.
    kRestart,             // without the caller's baggage
    kRestartWithBaggage,  // with it
};

// Where the span of a request begins.
struct IncomingParent {
    Context context = {};  // its parent, with the baggage
    // The span to which a restarted trace is linked; not valid where none is.
    SpanContext linked = {};
};
// By the process's propagator.
IncomingParent extract_incoming(const TextMapGetter& carrier,
                                IncomingContext incoming = IncomingContext::kConfigured) noexcept;
// The process's own; `init` sets it as SPANLOOM_INCOMING_CONTEXT says.
void set_incoming_context(IncomingContext incoming) noexcept;

}  // namespace spanloom

#pragma once

#include <cstddef>
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

}  // namespace spanloom

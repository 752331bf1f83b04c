#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sdk/substitution.h"
#include "sdk/system_source.h"
#include "spanloom/configuration.h"

// The parts of load_configuration, with the world handed in.
namespace spanloom::sdk {

// As load_configuration, for a machine that a test made up.
Configuration configure(const SystemSource& source, std::string_view service_name = {});

// By OTEL_* alone.
Configuration configure_by_environment(const SystemSource& source, std::string_view service_name);

// By the text of a declarative configuration file (file_format 1.x). An error
// where any of it cannot be used: unknown versions and keys, wrong types,
// invalid references. Sections of other signals are passed over.
Result<Configuration> configure_by_file(std::string_view text, const SystemSource& source,
                                        std::string_view service_name);

// "tracecontext", "baggage", "b3", "b3multi", "jaeger"; null for any other
// name.
std::shared_ptr<const TextMapPropagator> propagator_by_name(std::string_view name);
// "continue", "restart", "restart_with_baggage"; nullopt for any other.
std::optional<IncomingContext> incoming_context_by_name(std::string_view name);

// "key1=value1,key2=value2", percent-encoded: headers of OTLP exporters. A part
// that is malformed is left out and told.
std::vector<std::pair<std::string, std::string>> parse_headers(std::string_view text,
                                                               std::string& problem);

}  // namespace spanloom::sdk

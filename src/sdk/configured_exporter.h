#pragma once

#include <memory>
#include <string>
#include <vector>

#include "spanloom/configuration.h"
#include "spanloom/exporter.h"

namespace spanloom::sdk {

// The exporter that a configuration describes. What is wrong with it is added to `problems`; then
// null, or one that says so with each batch.
std::shared_ptr<SpanExporter> exporter_of(const ExporterConfiguration& configuration,
                                          std::vector<std::string>& problems);

}  // namespace spanloom::sdk

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "spanloom/configuration.h"
#include "spanloom/exporter.h"
#include "spanloom/otlp_exporter.h"

namespace spanloom::sdk {

struct Listener {
    ExportProblemCallback callback = nullptr;  // absent: a line on standard error
    void* user = nullptr;
};

// The exporter that a configuration describes. What is wrong with it is added to `problems`; then
// null, or one that says so with each batch.
// `listener` hears what goes wrong later.
std::shared_ptr<SpanExporter> exporter_of(const ExporterConfiguration& configuration,
                                          std::vector<std::string>& problems, Listener listener);

}  // namespace spanloom::sdk

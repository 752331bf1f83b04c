#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spanloom/exporter.h"
#include "spanloom/privacy.h"
#include "spanloom/tracer_provider.h"

namespace spanloom {

// Everything in one call. What is left empty comes from the environment (OTEL_*) or the declarative
// configuration file, then from the specification's defaults.
struct InitOptions {
    std::string service_name = {};
    std::string service_version = {};
    Resource resource = {};                       // on top of what detectors find
    std::shared_ptr<Sampler> sampler = {};        // OTEL_TRACES_SAMPLER
    std::shared_ptr<SpanExporter> exporter = {};  // OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_*
    std::vector<std::shared_ptr<SpanProcessor>> processors = {};  // before the exporter's
    std::optional<BatchOptions> batch = {};                       // OTEL_BSP_*
    std::optional<SpanLimits> limits = {};                        // OTEL_SPAN_*_LIMIT
    std::vector<std::pair<std::string, TracerConfig>> tracers = {};
    // Personal data and secrets are hidden before anything leaves the process: SPANLOOM_REDACTION.
    std::optional<RedactionOptions> redaction = {};
    Duration duration_min = {};                    // SPANLOOM_DURATION_MIN
    std::optional<uint32_t> trace_spans_max = {};  // SPANLOOM_TRACE_SPANS_MAX
    DebugOptions debug = {};                       // OTEL_LOG_LEVEL, SPANLOOM_SPAN_ALIVE_MAX
    DiagnosticCallback diagnostic = nullptr;
    void* diagnostic_user = nullptr;
    // At scope exit, how long to wait for the last spans.
    Duration shutdown_timeout = Duration::from_ms(5'000);
    // SIGTERM and SIGINT, where their action is still the default one, flush before they end the
    // process.
    bool flush_on_signals = false;
};

// What `init` set up: flushes and shuts down where it goes out of scope. Keep it in main().
class [[nodiscard]] Telemetry {
  public:
    Telemetry() noexcept = default;
    Telemetry(TracerProvider provider, Duration shutdown_timeout, std::string problem) noexcept
        : provider_(provider), shutdown_timeout_(shutdown_timeout), problem_(std::move(problem)) {}
    Telemetry(Telemetry&& other) noexcept
        : provider_(std::exchange(other.provider_, TracerProvider())),
          shutdown_timeout_(other.shutdown_timeout_),
          problem_(std::move(other.problem_)) {}
    Telemetry& operator=(Telemetry&& other) noexcept;
    ~Telemetry() { shutdown(shutdown_timeout_); }

    TracerProvider& provider() noexcept { return provider_; }
    bool force_flush(Deadline deadline) noexcept { return provider_.force_flush(deadline); }
    bool shutdown(Deadline deadline) noexcept;
    // "" where all went well; else what is wrong in the configuration. The program runs on.
    const std::string& problem() const noexcept { return problem_; }

  private:
    TracerProvider provider_;
    Duration shutdown_timeout_ = Duration::from_ms(5'000);
    std::string problem_;
};

// Never throws and never fails: where something is wrong, it works as well as it can and says so in
// `problem()` and to the diagnostic callback.
Telemetry init(InitOptions options = {}) noexcept;

}  // namespace spanloom

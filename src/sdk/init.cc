#include "spanloom/init.h"

#include <algorithm>
#include <exception>
#include <initializer_list>
#include <utility>

#include "sdk/configured_exporter.h"
#include "sdk/diagnostics.h"
#include "sdk/signal_flush.h"
#include "spanloom/baggage_processor.h"
#include "spanloom/configuration.h"
#include "spanloom/propagators.h"

namespace spanloom {
namespace {

// What the caller gave, completed by what is configured.
class Initializer {
  public:
    explicit Initializer(InitOptions options)
        : options_(std::move(options)), configuration_(load_configuration(options_.service_name)) {}

    Telemetry run() {
        // Context travels through a program that records nothing itself.
        set_global_propagator(configuration_.propagator != nullptr ? configuration_.propagator
                                                                   : make_composite_propagator({}));
        set_incoming_context(configuration_.incoming_context);
        TracerProvider provider;
        if (!configuration_.is_disabled) {
            provider = TracerProvider::create(provider_options());
            TracerProvider::set_global(provider);
            if (options_.flush_on_signals)
                sdk::flush_on_signals(provider, options_.shutdown_timeout);
        }
        return {provider, options_.shutdown_timeout, report()};
    }

  private:
    ProviderOptions provider_options() {
        ProviderOptions made;
        Resource given;
        if (!options_.service_name.empty()) given.set("service.name", options_.service_name);
        if (!options_.service_version.empty())
            given.set("service.version", options_.service_version);
        made.resource = configuration_.resource.merge(given).merge(options_.resource);
        made.sampler = options_.sampler != nullptr ? options_.sampler : configuration_.sampler;
        made.limits = options_.limits.value_or(configuration_.limits);
        if (!configuration_.baggage_attributes.empty())
            made.processors.push_back(make_baggage_processor(configuration_.baggage_attributes));
        made.processors.insert(made.processors.end(), options_.processors.begin(),
                               options_.processors.end());
        add_exporters(made.processors);
        made.tracers = std::move(options_.tracers);
        made.tracers.insert(made.tracers.end(), configuration_.tracers.begin(),
                            configuration_.tracers.end());
        made.duration_min = options_.duration_min;
        if (made.duration_min.ns == 0) made.duration_min = configuration_.duration_min;
        made.trace_spans_max = options_.trace_spans_max.value_or(configuration_.trace_spans_max);
        made.debug = options_.debug;
        if (made.debug.span_alive_max.ns == DebugOptions().span_alive_max.ns)
            made.debug.span_alive_max = configuration_.debug.span_alive_max;
        made.debug.is_enabled = made.debug.is_enabled || configuration_.debug.is_enabled ||
                                is_level({"debug", "trace", "verbose", "all"});
        made.diagnostic = diagnostic();
        made.diagnostic_user = options_.diagnostic_user;
        return made;
    }

    bool is_level(std::initializer_list<std::string_view> levels) const {
        return std::find(levels.begin(), levels.end(), configuration_.log_level) != levels.end();
    }
    DiagnosticCallback diagnostic() const {
        if (options_.diagnostic != nullptr || !is_level({"none", "fatal", "error"}))
            return options_.diagnostic;
        return [](std::string_view, void*) {};
    }

    void add_exporters(std::vector<std::shared_ptr<SpanProcessor>>& processors) {
        if (options_.exporter != nullptr) {
            BatchOptions batch;
            if (!configuration_.processors.empty()) batch = configuration_.processors[0].batch;
            processors.push_back(
                make_batch_processor(redacting(options_.exporter), options_.batch.value_or(batch)));
            return;
        }
        for (const ProcessorConfiguration& processor : configuration_.processors) {
            auto exporter = sdk::exporter_of(processor.exporter, configuration_.problems,
                                             {diagnostic(), options_.diagnostic_user});
            if (exporter == nullptr) continue;
            exporter = redacting(std::move(exporter));
            processors.push_back(
                processor.is_batch
                    ? make_batch_processor(std::move(exporter),
                                           options_.batch.value_or(processor.batch))
                    : make_simple_processor(std::move(exporter), processor.batch.export_timeout));
        }
    }
    std::shared_ptr<SpanExporter> redacting(std::shared_ptr<SpanExporter> exporter) {
        if (options_.redaction.has_value())
            return make_redacting_exporter(std::move(exporter), *options_.redaction);
        if (!configuration_.is_redacting) return exporter;
        return make_redacting_exporter(std::move(exporter), configuration_.redaction);
    }

    // All problems as one text, after telling each.
    std::string report() const {
        std::string all;
        for (const std::string& problem : configuration_.problems) {
            sdk::tell_owner(diagnostic(), options_.diagnostic_user, problem);
            if (!all.empty()) all += "; ";
            all += problem;
        }
        return all;
    }

    InitOptions options_;
    Configuration configuration_;
};

}  // namespace

Telemetry& Telemetry::operator=(Telemetry&& other) noexcept {
    if (this == &other) return *this;
    shutdown(shutdown_timeout_);
    provider_ = std::exchange(other.provider_, TracerProvider());
    shutdown_timeout_ = other.shutdown_timeout_;
    problem_ = std::move(other.problem_);
    return *this;
}

bool Telemetry::shutdown(Deadline deadline) noexcept {
    return provider_.shutdown(deadline);
}

Telemetry init(InitOptions options) noexcept {
    try {
        return Initializer(std::move(options)).run();
    } catch (const std::exception& e) {  // out of memory
        return {TracerProvider(), Duration(), e.what()};
    } catch (...) {
        return {};
    }
}

}  // namespace spanloom

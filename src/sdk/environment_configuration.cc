#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/text.h"
#include "sdk/configuration_sources.h"
#include "spanloom/propagators.h"
#include "spanloom/samplers.h"

// configuration/sdk-environment-variables.md and protocol/exporter.md of the
// specification.
namespace spanloom::sdk {
namespace {

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return out;
}

// Takes the next part of a list off the front, without the blanks around it.
std::string_view take_listed(std::string_view& list) {
    const size_t end = std::min(list.find(','), list.size());
    const std::string_view part = trim(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
    return part;
}

// Reads variables by the specification's rules: empty is unset; what cannot be
// read is told and ignored.
class Reader {
  public:
    Reader(const SystemSource& source, std::string_view service_name)
        : source_(source), service_name_(service_name) {}

    Configuration run() {
        out_.is_disabled = flag("OTEL_SDK_DISABLED");
        read_log_level();
        read_resource();
        read_limits();
        read_propagators();
        read_incoming_context();
        read_processors();
        read_redaction();
        read_noise();
        if (text("OTEL_ENTITIES")) problem("OTEL_ENTITIES is not supported and ignored");
        // Last: a remote sampler asks for the service by its name.
        read_sampler();
        return std::move(out_);
    }

  private:
    template <typename... Args>
    void problem(fmt::format_string<Args...> format, Args&&... args) {
        out_.problems.push_back(fmt::format(format, std::forward<Args>(args)...));
    }

    std::optional<std::string> text(std::string_view name) const {
        auto value = source_.variable(name);
        if (!value || trim(*value).empty()) return std::nullopt;
        return std::string(trim(*value));
    }
    // The first that is set, the special one before the general one.
    std::optional<std::string> text(std::string_view special, std::string_view general) const {
        auto value = text(special);
        return value ? value : text(general);
    }
    bool flag(std::string_view name) {
        const auto value = text(name);
        if (!value) return false;
        const std::string word = lower(*value);
        if (word != "true" && word != "false")
            problem("{}='{}' is neither true nor false: taken as false", name, *value);
        return word == "true";
    }
    // A whole number from `min` up.
    std::optional<uint64_t> number(std::string_view name, uint64_t min, uint64_t max) {
        const auto value = text(name);
        if (!value) return std::nullopt;
        const auto parsed = parse_int(*value);
        if (!parsed || *parsed < 0 || static_cast<uint64_t>(*parsed) < min) {
            problem("{}='{}' is ignored: a whole number of at least {} is expected", name, *value,
                    min);
            return std::nullopt;
        }
        return std::min(static_cast<uint64_t>(*parsed), max);
    }
    void read(std::string_view name, uint64_t min, uint32_t& to) {
        if (const auto value = number(name, min, std::numeric_limits<uint32_t>::max()))
            to = static_cast<uint32_t>(*value);
    }
    void read_ms(std::string_view name, Duration& to) {
        constexpr uint64_t kMsMax = std::numeric_limits<uint64_t>::max() / 1'000'000;
        if (const auto value = number(name, 0, kMsMax)) to = Duration::from_ms(*value);
    }

    void read_log_level() {
        const auto value = text("OTEL_LOG_LEVEL");
        if (!value) return;
        const std::string level = lower(*value);
        for (const std::string_view known :
             {"none", "fatal", "error", "warn", "info", "debug", "trace", "verbose", "all"}) {
            if (level == known) {
                out_.log_level = level;
                return;
            }
        }
        if (level == "warning") {
            out_.log_level = "warn";
        } else {
            problem("OTEL_LOG_LEVEL='{}' is ignored: not a level", *value);
        }
    }

    void read_resource() {
        Resource resource = default_resource()
                                .merge(detect_host(source_))
                                .merge(detect_process(source_))
                                .merge(detect_container(source_))
                                .merge(detect_kubernetes(source_));
        Resource service = detect_service(source_);
        if (const auto attributes = text("OTEL_RESOURCE_ATTRIBUTES")) {
            std::string trouble;
            Resource given = parse_resource_attributes(*attributes, trouble);
            if (!trouble.empty()) out_.problems.push_back(trouble);
            // A name or an instance that was given stays; OTEL_SERVICE_NAME wins over
            // both.
            if (given.find("service.instance.id") != nullptr) service.erase("service.instance.id");
            resource = resource.merge(given);
        }
        out_.resource = resource.merge(service);
    }

    void read_limits() {
        SpanLimits& limits = out_.limits;
        read("OTEL_ATTRIBUTE_COUNT_LIMIT", 0, limits.attributes_max);
        read("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", 0, limits.value_characters_max);
        // The general limit holds for the attributes of events and links as well.
        limits.event_attributes_max = limits.link_attributes_max = limits.attributes_max;
        read("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", 0, limits.attributes_max);
        read("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", 0, limits.value_characters_max);
        read("OTEL_SPAN_EVENT_COUNT_LIMIT", 0, limits.events_max);
        read("OTEL_SPAN_LINK_COUNT_LIMIT", 0, limits.links_max);
        read("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", 0, limits.event_attributes_max);
        read("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", 0, limits.link_attributes_max);
    }

    void read_propagators() {
        const std::string names = text("OTEL_PROPAGATORS").value_or("tracecontext,baggage");
        std::vector<std::string> seen;
        std::vector<std::shared_ptr<const TextMapPropagator>> propagators;
        std::string_view rest = names;
        while (!rest.empty()) {
            const std::string name = lower(take_listed(rest));
            if (name.empty() || std::find(seen.begin(), seen.end(), name) != seen.end()) continue;
            seen.push_back(name);
            if (name == "none") return;
            if (auto propagator = propagator_by_name(name)) {
                propagators.push_back(std::move(propagator));
            } else {
                problem("OTEL_PROPAGATORS: '{}' is not known and left out", name);
            }
        }
        if (propagators.empty()) return;
        out_.propagator = propagators.size() == 1
                              ? propagators.front()
                              : make_composite_propagator(std::move(propagators));
    }

    void read_incoming_context() {
        const std::string name = lower(text("SPANLOOM_INCOMING_CONTEXT").value_or("continue"));
        const auto known = incoming_context_by_name(name);
        if (!known)
            problem(
                "SPANLOOM_INCOMING_CONTEXT='{}' is ignored: continue, restart or "
                "restart_with_baggage is expected",
                name);
        out_.incoming_context = known.value_or(IncomingContext::kContinue);
    }

    // ---- samplers
    void read_sampler() {
        const std::string name =
            lower(text("OTEL_TRACES_SAMPLER").value_or("parentbased_always_on"));
        const auto argument = text("OTEL_TRACES_SAMPLER_ARG");
        constexpr std::string_view kParentBased = "parentbased_";
        const bool is_parent_based = name.rfind(kParentBased, 0) == 0;
        const std::string_view root =
            is_parent_based ? std::string_view(name).substr(kParentBased.size()) : name;
        std::shared_ptr<Sampler> sampler;
        if (root == "always_on") {
            sampler = make_always_on_sampler();
        } else if (root == "always_off") {
            sampler = make_always_off_sampler();
        } else if (root == "traceidratio") {
            sampler = make_trace_id_ratio_sampler(ratio(argument));
        } else if (root == "jaeger_remote") {
            sampler = remote_sampler(argument.value_or(""));
        } else {
            problem(
                "OTEL_TRACES_SAMPLER='{}' is not known: parentbased_always_on is "
                "used",
                name);
            out_.sampler = make_parent_based_sampler({make_always_on_sampler()});
            return;
        }
        out_.sampler = is_parent_based ? make_parent_based_sampler({std::move(sampler)}) : sampler;
    }
    double ratio(const std::optional<std::string>& argument) {
        if (!argument) return 1;
        const auto value = parse_double(*argument);
        if (value && *value >= 0 && *value <= 1) return *value;
        problem(
            "OTEL_TRACES_SAMPLER_ARG='{}' is ignored: a number from 0 to 1 is "
            "expected",
            *argument);
        return 1;
    }
    std::shared_ptr<Sampler> remote_sampler(std::string_view argument) {
        RemoteSamplerOptions options;
        options.service = service_name_;
        const OwnedAttribute* service = out_.resource.find("service.name");
        if (options.service.empty() && service != nullptr) options.service = service->text();
        while (!argument.empty()) {
            const std::string_view part = take_listed(argument);
            const size_t equals = part.find('=');
            const std::string_view key = part.substr(0, equals);
            const std::string_view value =
                equals == std::string_view::npos ? "" : part.substr(equals + 1);
            const auto rate = parse_double(value);
            const auto interval_ms = parse_int(value);
            if (key == "endpoint" && !value.empty()) {
                options.endpoint = value;
            } else if (key == "pollingIntervalMs" && interval_ms && *interval_ms > 0) {
                options.polling_interval = Duration::from_ms(
                    static_cast<uint64_t>(std::min<int64_t>(*interval_ms, 86'400'000)));
            } else if (key == "initialSamplingRate" && rate && *rate >= 0 && *rate <= 1) {
                options.initial = make_probability_sampler(*rate);
            } else if (!part.empty()) {
                problem("OTEL_TRACES_SAMPLER_ARG: '{}' is ignored", part);
            }
        }
        return make_jaeger_remote_sampler(std::move(options));
    }

    // ---- exporters
    void read_processors() {
        BatchOptions batch;
        read_ms("OTEL_BSP_SCHEDULE_DELAY", batch.schedule_delay);
        read_ms("OTEL_BSP_EXPORT_TIMEOUT", batch.export_timeout);
        read("OTEL_BSP_MAX_QUEUE_SIZE", 1, batch.queue_spans_max);
        read("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1, batch.export_batch_max);
        if (batch.queue_spans_max != 0 && batch.export_batch_max > batch.queue_spans_max) {
            if (text("OTEL_BSP_MAX_EXPORT_BATCH_SIZE"))
                problem(
                    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE is more than the queue holds: "
                    "{} is used",
                    batch.queue_spans_max);
            batch.export_batch_max = batch.queue_spans_max;
        }
        const std::string names = text("OTEL_TRACES_EXPORTER").value_or("otlp");
        std::string_view rest = names;
        while (!rest.empty()) {
            const std::string name = lower(take_listed(rest));
            if (name == "none") {
                out_.processors.clear();
                return;
            }
            ProcessorConfiguration processor;
            processor.batch = batch;
            if (name == "otlp") {
                read_otlp(processor.exporter);
            } else if (name == "console" || name == "logging") {
                processor.is_batch = false;
                processor.exporter.kind = ExporterConfiguration::Kind::kConsole;
            } else if (name == "otlp/stdout") {
                processor.exporter.kind = ExporterConfiguration::Kind::kOtlpFile;
            } else {
                if (!name.empty())
                    problem("OTEL_TRACES_EXPORTER: '{}' is not known and left out", name);
                continue;
            }
            out_.processors.push_back(std::move(processor));
        }
    }

    void read_otlp(ExporterConfiguration& exporter) {
        using Kind = ExporterConfiguration::Kind;
        const auto protocol =
            text("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL");
        const std::string name = lower(protocol.value_or("http/protobuf"));
        if (name == "grpc") {
            exporter.kind = Kind::kOtlpGrpc;
        } else if (name == "http/json") {
            exporter.encoding = ExporterConfiguration::Encoding::kJson;
        } else if (name != "http/protobuf") {
            problem(
                "OTEL_EXPORTER_OTLP_PROTOCOL='{}' is ignored: grpc, "
                "http/protobuf or http/json "
                "are known",
                name);
        }
        read_endpoint(exporter);
        if (const auto headers =
                text("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")) {
            std::string trouble;
            exporter.headers = parse_headers(*headers, trouble);
            if (!trouble.empty()) problem("OTEL_EXPORTER_OTLP_HEADERS: {}", trouble);
        }
        if (const auto coding =
                text("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")) {
            exporter.is_gzip = lower(*coding) == "gzip";
            if (!exporter.is_gzip && lower(*coding) != "none")
                problem(
                    "OTEL_EXPORTER_OTLP_COMPRESSION='{}' is ignored: gzip or none "
                    "are known",
                    *coding);
        }
        read_ms(text("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") ? "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"
                                                          : "OTEL_EXPORTER_OTLP_TIMEOUT",
                exporter.timeout);
        exporter.certificate_file =
            text("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE")
                .value_or("");
        exporter.client_key_file =
            text("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY")
                .value_or("");
        exporter.client_certificate_file = text("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
                                                "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE")
                                               .value_or("");
    }
    // The endpoint for traces is taken as it is; the one for all signals gets
    // "/v1/traces".
    void read_endpoint(ExporterConfiguration& exporter) {
        const bool is_grpc = exporter.kind == ExporterConfiguration::Kind::kOtlpGrpc;
        const auto special = text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        auto general = text("OTEL_EXPORTER_OTLP_ENDPOINT");
        if (is_grpc) {
            exporter.endpoint = special ? *special : general.value_or("http://localhost:4317");
            if (exporter.endpoint.find("://") == std::string::npos) {
                // "host:port": whether it is TLS is said by INSECURE, and the names
                // that was once.
                const bool is_insecure = flag("OTEL_EXPORTER_OTLP_TRACES_INSECURE") ||
                                         flag("OTEL_EXPORTER_OTLP_INSECURE") ||
                                         flag("OTEL_EXPORTER_OTLP_SPAN_INSECURE");
                exporter.endpoint = (is_insecure ? "http://" : "https://") + exporter.endpoint;
            }
            return;
        }
        if (special) {
            exporter.endpoint = *special;
            const size_t scheme = special->find("://");
            if (special->find('/', scheme == std::string::npos ? 0 : scheme + 3) ==
                std::string::npos)
                exporter.endpoint += '/';
            return;
        }
        exporter.endpoint = general.value_or("http://localhost:4318");
        if (exporter.endpoint.back() != '/') exporter.endpoint += '/';
        exporter.endpoint += "v1/traces";
    }

    // ---- spanloom's own
    void read_redaction() {
        out_.is_redacting = flag("SPANLOOM_REDACTION");
        if (const auto key = text("SPANLOOM_REDACTION_HASH_KEY")) out_.redaction.hash_key = *key;
        if (const auto keys = text("SPANLOOM_REDACTION_BLOCKED_KEYS")) {
            std::string_view rest = *keys;
            while (!rest.empty())
                out_.redaction.blocked_keys.emplace_back(take_listed(rest));
        }
    }

    void read_noise() {
        read_ms("SPANLOOM_DURATION_MIN", out_.duration_min);
        read("SPANLOOM_TRACE_SPANS_MAX", 0, out_.trace_spans_max);
        read_ms("SPANLOOM_SPAN_ALIVE_MAX", out_.debug.span_alive_max);
        const std::string off = text("SPANLOOM_TRACERS_OFF").value_or("");
        for (std::string_view rest = off; !rest.empty();) {
            TracerConfig config;
            config.is_enabled = false;
            if (const std::string_view name = take_listed(rest); !name.empty())
                out_.tracers.emplace_back(name, config);
        }
        const std::string baggage = text("SPANLOOM_BAGGAGE_ATTRIBUTES").value_or("");
        for (std::string_view rest = baggage; !rest.empty();)
            if (const std::string_view key = take_listed(rest); !key.empty())
                out_.baggage_attributes.emplace_back(key);
    }

    const SystemSource& source_;
    std::string_view service_name_;
    Configuration out_;
};

}  // namespace

std::optional<IncomingContext> incoming_context_by_name(std::string_view name) {
    if (name == "continue") return IncomingContext::kContinue;
    if (name == "restart") return IncomingContext::kRestart;
    if (name == "restart_with_baggage") return IncomingContext::kRestartWithBaggage;
    return std::nullopt;
}

std::shared_ptr<const TextMapPropagator> propagator_by_name(std::string_view name) {
    if (name == "tracecontext") return make_trace_context_propagator();
    if (name == "baggage") return make_baggage_propagator();
    if (name == "b3") return make_b3_propagator(B3Format::kSingleHeader);
    if (name == "b3multi") return make_b3_propagator(B3Format::kMultipleHeaders);
    if (name == "jaeger") return make_jaeger_propagator();
    return nullptr;
}

std::vector<std::pair<std::string, std::string>> parse_headers(std::string_view text,
                                                               std::string& problem) {
    std::vector<std::pair<std::string, std::string>> headers;
    while (!text.empty()) {
        const std::string_view part = take_listed(text);
        if (part.empty()) continue;
        const size_t equals = part.find('=');
        const std::string_view key = trim(part.substr(0, equals));
        if (equals == std::string_view::npos || key.empty()) {
            // Its value may be a secret: only its place is told.
            problem =
                fmt::format("header {} is left out: it is no key=value pair", headers.size() + 1);
            continue;
        }
        headers.emplace_back(key, decode_percent(trim(part.substr(equals + 1)), false));
    }
    return headers;
}

Configuration configure_by_environment(const SystemSource& source, std::string_view service_name) {
    return Reader(source, service_name).run();
}

Configuration configure(const SystemSource& source, std::string_view service_name) {
    std::string path = source.variable("OTEL_CONFIG_FILE").value_or("");
    if (path.empty()) path = source.variable("OTEL_EXPERIMENTAL_CONFIG_FILE").value_or("");
    if (path.empty()) return configure_by_environment(source, service_name);
    const auto disabled = [&path](std::string_view why) {
        Configuration configuration;
        configuration.is_disabled = true;
        configuration.problems.push_back(fmt::format(
            "cannot use the configuration file {}, so that nothing is traced: {}", path, why));
        return configuration;
    };
    const std::optional<std::string> text = source.read_file(path);
    if (!text) return disabled("it cannot be read");
    auto configuration = configure_by_file(*text, source, service_name);
    if (!configuration) return disabled(configuration.error().message);
    return *std::move(configuration);
}

}  // namespace spanloom::sdk

namespace spanloom {

Configuration load_configuration(std::string_view service_name) {
    return sdk::configure(sdk::SystemSource::of_this_process(), service_name);
}

}  // namespace spanloom

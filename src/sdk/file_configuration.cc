#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>

#include <fmt/format.h>

#include "base/glob.h"
#include "sdk/configuration_sources.h"
#include "sdk/file_samplers.h"
#include "sdk/file_values.h"
#include "spanloom/propagators.h"

// The declarative configuration: opentelemetry-configuration, schema/,
// version 1.1.
namespace spanloom::sdk {
namespace {

// A file's values in their places. What is not there keeps the model's default.
class FileReader {
  public:
    FileReader(const SystemSource& source, std::string_view service_name)
        : source_(source), service_name_(service_name) {}

    Result<Configuration> run(const YamlNode& root) {
        if (root.kind != YamlNode::Kind::kMap)
            return wrong(root, "the file", "a mapping with file_format");
        TRY(check_version(root));
        out_.propagator = nullptr;
        TRY(only_keys(root, "the file",
                      {"file_format", "disabled", "log_level", "attribute_limits", "resource",
                       "propagator", "tracer_provider", "distribution", "meter_provider",
                       "logger_provider", "instrumentation/development"}));
        TRY(read(root, "disabled", out_.is_disabled));
        TRY(read(root, "log_level", out_.log_level));
        TRY(read_resource(root.find("resource")));
        TRY(read_propagator(root.find("propagator")));
        if (const YamlNode* limits = present(root, "attribute_limits"))
            TRY(read_general_limits(*limits));
        if (const YamlNode* provider = present(root, "tracer_provider"))
            TRY(read_provider(*provider));
        // Without a provider in the file there is nothing to trace with.
        if (present(root, "tracer_provider") == nullptr) out_.is_disabled = true;
        TRY(read_distribution(root.find("distribution")));
        return std::move(out_);
    }

  private:
    static Result<void> check_version(const YamlNode& root) {
        const YamlNode* version = root.find("file_format");
        if (version == nullptr || version->kind != YamlNode::Kind::kScalar || version->is_null())
            return fail(ErrorCode::kInvalidArgument,
                        "file_format is missing: write file_format: \"1.1\"");
        if (version->text == "1.0" || version->text == "1.1" ||
            version->text.rfind("1.0-", 0) == 0 || version->text.rfind("1.1-", 0) == 0)
            return {};
        return fail(ErrorCode::kInvalidArgument,
                    "line {}: file_format {} is not supported: 1.0 and 1.1 are", version->line,
                    version->text);
    }

    // ---- resource
    Result<void> read_resource(const YamlNode* node) {
        Resource resource = default_resource();
        if (node == nullptr || node->is_null()) {
            out_.resource = std::move(resource);
            return {};
        }
        TRY(only_keys(*node, "resource",
                      {"attributes", "attributes_list", "schema_url", "detection/development"}));
        if (const YamlNode* detection = present(*node, "detection/development")) {
            TRY_ASSIGN(const Resource found, detect(*detection));
            resource = resource.merge(found);
        }
        std::string list;
        TRY(read(*node, "attributes_list", list));
        std::string trouble;
        resource = resource.merge(parse_resource_attributes(list, trouble));
        if (!trouble.empty()) out_.problems.push_back(trouble);
        if (const YamlNode* attributes = present(*node, "attributes")) {
            TRY(expect(*attributes, YamlNode::Kind::kList, "resource.attributes", "a list"));
            for (const YamlNode& attribute : attributes->items)
                TRY(set_attribute(attribute, resource));
        }
        std::string schema_url;
        TRY(read(*node, "schema_url", schema_url));
        if (!schema_url.empty()) resource.set_schema_url(schema_url);
        out_.resource = std::move(resource);
        return {};
    }

    Result<Resource> detect(const YamlNode& node) {
        TRY(only_keys(node, "detection", {"attributes", "detectors"}));
        Resource all;
        if (const YamlNode* detectors = present(node, "detectors")) {
            TRY(expect(*detectors, YamlNode::Kind::kList, "detectors", "a list"));
            for (const YamlNode& detector : detectors->items) {
                TRY_ASSIGN(const auto one, only_entry(detector, "detector"));
                TRY_ASSIGN(const Resource found, detect_one(one->key, one->value));
                all = all.merge(found);
            }
        }
        const YamlNode* filter = present(node, "attributes");
        if (filter == nullptr) return all;
        TRY(only_keys(*filter, "detection.attributes", {"included", "excluded"}));
        std::vector<std::string> included;
        std::vector<std::string> excluded;
        TRY(read(*filter, "included", included));
        TRY(read(*filter, "excluded", excluded));
        const auto fits = [](const std::vector<std::string>& patterns, std::string_view key) {
            return std::any_of(patterns.begin(), patterns.end(), [key](const std::string& pattern) {
                return glob_match(pattern, key);
            });
        };
        std::vector<std::string> leaving;
        for (const OwnedAttribute& attribute : all.attributes()) {
            if ((!included.empty() && !fits(included, attribute.key)) ||
                fits(excluded, attribute.key))
                leaving.push_back(attribute.key);
        }
        for (const std::string& key : leaving)
            all.erase(key);
        return all;
    }
    Result<Resource> detect_one(std::string_view name, const YamlNode& node) {
        if (name == "service") return detect_service(source_);
        if (name == "host") return detect_host(source_);
        if (name == "process") return detect_process(source_);
        if (name == "container") return detect_container(source_);
        if (name == "kubernetes") return detect_kubernetes(source_);
        return fail(ErrorCode::kInvalidArgument,
                    "line {}: there is no resource detector '{}': service, host, "
                    "process, container "
                    "and kubernetes are known",
                    node.line, name);
    }

    static Result<void> set_attribute(const YamlNode& node, Resource& resource) {
        TRY(only_keys(node, "resource.attributes", {"name", "value", "type"}));
        std::string name;
        std::string type = "string";
        TRY(read(node, "name", name));
        TRY(read(node, "type", type));
        const YamlNode* value = node.find("value");
        if (name.empty() || value == nullptr) return wrong(node, "an attribute", "name and value");
        if (value->is_null()) return {};
        const bool is_list = type.size() > 6 && type.substr(type.size() - 6) == "_array";
        if (is_list) type.resize(type.size() - 6);
        TRY(expect(*value, is_list ? YamlNode::Kind::kList : YamlNode::Kind::kScalar, name,
                   is_list ? "a list" : "one value"));
        if (is_list) {
            std::vector<AttributeValue> values;
            for (const YamlNode& element : value->items) {
                TRY_ASSIGN(const AttributeValue one, typed_value(element, name, type));
                values.push_back(one);
            }
            resource.set(name, values);
            return {};
        }
        TRY_ASSIGN(const AttributeValue one, typed_value(*value, name, type));
        resource.set(name, one);
        return {};
    }
    static Result<AttributeValue> typed_value(const YamlNode& node, std::string_view name,
                                              std::string_view type) {
        if (type == "string" && node.kind == YamlNode::Kind::kScalar)
            return AttributeValue(std::string_view(node.text));
        if (type == "bool") {
            if (const auto value = node.boolean()) return AttributeValue(*value);
        } else if (type == "int") {
            if (const auto value = node.integer()) return AttributeValue(*value);
        } else if (type == "double") {
            if (const auto value = node.number()) return AttributeValue(*value);
        }
        return wrong(node, name, fmt::format("a value of type {}", type));
    }

    // ---- propagators
    Result<void> read_propagator(const YamlNode* node) {
        if (node == nullptr || node->is_null()) return {};
        TRY(only_keys(*node, "propagator", {"composite", "composite_list"}));
        std::vector<std::string> names;
        if (const YamlNode* composite = present(*node, "composite")) {
            TRY(expect(*composite, YamlNode::Kind::kList, "propagator.composite", "a list"));
            for (const YamlNode& item : composite->items) {
                TRY_ASSIGN(const auto one, only_entry(item, "propagator.composite"));
                names.push_back(one->key);
            }
        }
        std::string list;
        TRY(read(*node, "composite_list", list));
        std::string_view rest = list;
        while (!rest.empty()) {
            const size_t end = std::min(rest.find(','), rest.size());
            std::string name(rest.substr(0, end));
            name.erase(std::remove(name.begin(), name.end(), ' '), name.end());
            if (!name.empty()) names.push_back(std::move(name));
            rest.remove_prefix(std::min(end + 1, rest.size()));
        }
        std::vector<std::shared_ptr<const TextMapPropagator>> propagators;
        for (size_t i = 0; i < names.size(); ++i) {
            if (names[i] == "none" ||
                std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i),
                          names[i]) != names.begin() + static_cast<std::ptrdiff_t>(i))
                continue;
            auto propagator = propagator_by_name(names[i]);
            if (propagator == nullptr)
                return fail(ErrorCode::kInvalidArgument, "line {}: there is no propagator '{}'",
                            node->line, names[i]);
            propagators.push_back(std::move(propagator));
        }
        if (!propagators.empty())
            out_.propagator = make_composite_propagator(std::move(propagators));
        return {};
    }

    // ---- limits
    Result<void> read_value_limits(const YamlNode& node) {
        TRY(read(node, "attribute_value_length_limit", out_.limits.value_characters_max));
        TRY(read(node, "attribute_value_depth_limit", out_.limits.value_depth_max, 1));
        return read(node, "attribute_count_limit", out_.limits.attributes_max);
    }
    Result<void> read_general_limits(const YamlNode& node) {
        TRY(only_keys(node, "attribute_limits",
                      {"attribute_value_length_limit", "attribute_value_depth_limit",
                       "attribute_count_limit"}));
        TRY(read_value_limits(node));
        out_.limits.event_attributes_max = out_.limits.link_attributes_max =
            out_.limits.attributes_max;
        return {};
    }
    Result<void> read_span_limits(const YamlNode& node) {
        TRY(only_keys(node, "limits",
                      {"attribute_value_length_limit", "attribute_value_depth_limit",
                       "attribute_count_limit", "event_count_limit", "link_count_limit",
                       "event_attribute_count_limit", "link_attribute_count_limit"}));
        TRY(read_value_limits(node));
        TRY(read(node, "event_count_limit", out_.limits.events_max));
        TRY(read(node, "link_count_limit", out_.limits.links_max));
        TRY(read(node, "event_attribute_count_limit", out_.limits.event_attributes_max));
        return read(node, "link_attribute_count_limit", out_.limits.link_attributes_max);
    }

    // ---- tracer_provider
    Result<void> read_provider(const YamlNode& node) {
        TRY(only_keys(node, "tracer_provider",
                      {"processors", "limits", "sampler", "id_generator",
                       "tracer_configurator/development"}));
        const YamlNode* processors = node.find("processors");
        if (processors == nullptr || processors->kind != YamlNode::Kind::kList ||
            processors->items.empty())
            return wrong(node, "tracer_provider", "a list of processors");
        for (const YamlNode& processor : processors->items)
            TRY(read_processor(processor));
        if (const YamlNode* limits = present(node, "limits")) TRY(read_span_limits(*limits));
        if (const YamlNode* generator = present(node, "id_generator")) {
            TRY_ASSIGN(const auto one, only_entry(*generator, "id_generator"));
            if (one->key != "random") return wrong(*generator, "id_generator", "random");
        }
        if (const YamlNode* tracers = present(node, "tracer_configurator/development"))
            TRY(read_tracers(*tracers));
        std::string service(service_name_);
        const OwnedAttribute* name = out_.resource.find("service.name");
        if (service.empty() && name != nullptr) service = name->text();
        const YamlNode* sampler = present(node, "sampler");
        if (sampler == nullptr) {
            out_.sampler = make_parent_based_sampler({make_always_on_sampler()});
            return {};
        }
        TRY_ASSIGN(out_.sampler, sampler_of(*sampler, service));
        return {};
    }

    Result<void> read_processor(const YamlNode& node) {
        TRY_ASSIGN(const auto one, only_entry(node, "processors"));
        const auto& [name, options] = *one;
        ProcessorConfiguration processor;
        processor.is_batch = name == "batch";
        if (name != "batch" && name != "simple")
            return wrong(node, "a processor", "batch or simple");
        BatchOptions& batch = processor.batch;
        if (processor.is_batch) {
            TRY(only_keys(options, "batch",
                          {"schedule_delay", "export_timeout", "max_queue_size",
                           "max_export_batch_size", "exporter"}));
            TRY(read(options, "schedule_delay", batch.schedule_delay));
            TRY(read(options, "export_timeout", batch.export_timeout, Zero::kUnlimited));
            TRY(read(options, "max_queue_size", batch.queue_spans_max, 1));
            TRY(read(options, "max_export_batch_size", batch.export_batch_max, 1));
            if (batch.queue_spans_max != 0)
                batch.export_batch_max = std::min(batch.export_batch_max, batch.queue_spans_max);
        } else {
            TRY(only_keys(options, "simple", {"exporter"}));
        }
        const YamlNode* exporter = options.find("exporter");
        if (exporter == nullptr) return wrong(node, "a processor", "an exporter");
        TRY(read_exporter(*exporter, processor.exporter));
        out_.processors.push_back(std::move(processor));
        return {};
    }

    Result<void> read_exporter(const YamlNode& node, ExporterConfiguration& exporter) {
        using Kind = ExporterConfiguration::Kind;
        TRY_ASSIGN(const auto one, only_entry(node, "exporter"));
        const auto& [name, options] = *one;
        if (name == "console") {
            exporter.kind = Kind::kConsole;
            return only_keys(options, name, {});
        }
        if (name == "otlp_file/development") {
            exporter.kind = Kind::kOtlpFile;
            TRY(only_keys(options, name, {"output_stream"}));
            std::string stream = "stdout";
            TRY(read(options, "output_stream", stream));
            if (stream == "stdout") return {};
            if (stream.rfind("file://", 0) != 0)
                return wrong(options, "output_stream", "stdout or file:///path");
            exporter.file = stream.substr(7);
            return {};
        }
        if (name == "otlp_grpc") {
            exporter.kind = Kind::kOtlpGrpc;
            exporter.endpoint = "http://localhost:4317";
        } else if (name == "otlp_http") {
            exporter.endpoint = "http://localhost:4318/v1/traces";
        } else {
            return wrong(node, "an exporter",
                         "otlp_http, otlp_grpc, otlp_file/development or console");
        }
        return read_otlp(options, exporter);
    }

    Result<void> read_otlp(const YamlNode& node, ExporterConfiguration& exporter) {
        const bool is_grpc = exporter.kind == ExporterConfiguration::Kind::kOtlpGrpc;
        TRY(only_keys(node, is_grpc ? "otlp_grpc" : "otlp_http",
                      {"endpoint", "tls", "headers", "headers_list", "compression", "timeout",
                       "max_request_size", "max_response_size", "encoding"}));
        TRY(read(node, "endpoint", exporter.endpoint));
        TRY(read(node, "timeout", exporter.timeout, Zero::kUnlimited));
        TRY(read(node, "max_request_size", exporter.request_bytes_max));
        TRY(read(node, "max_response_size", exporter.response_bytes_max));
        std::string compression = "none";
        TRY(read(node, "compression", compression));
        if (compression != "none" && compression != "gzip")
            return wrong(node, "compression", "gzip or none");
        exporter.is_gzip = compression == "gzip";
        std::string encoding = "protobuf";
        TRY(read(node, "encoding", encoding));
        if (encoding != "protobuf" && (encoding != "json" || is_grpc))
            return wrong(node, "encoding", is_grpc ? "protobuf" : "protobuf or json");
        if (encoding == "json") exporter.encoding = ExporterConfiguration::Encoding::kJson;
        TRY(read_headers(node, exporter));
        bool is_insecure = false;
        if (const YamlNode* tls = present(node, "tls")) {
            TRY(only_keys(*tls, "tls", {"ca_file", "key_file", "cert_file", "insecure"}));
            TRY(read(*tls, "ca_file", exporter.certificate_file));
            TRY(read(*tls, "key_file", exporter.client_key_file));
            TRY(read(*tls, "cert_file", exporter.client_certificate_file));
            TRY(read(*tls, "insecure", is_insecure));
        }
        if (exporter.endpoint.find("://") == std::string::npos)
            exporter.endpoint = (is_insecure ? "http://" : "https://") + exporter.endpoint;
        return {};
    }
    // `headers` wins over `headers_list`.
    Result<void> read_headers(const YamlNode& node, ExporterConfiguration& exporter) {
        std::string list;
        TRY(read(node, "headers_list", list));
        std::string trouble;
        exporter.headers = parse_headers(list, trouble);
        if (!trouble.empty()) out_.problems.push_back("headers_list: " + trouble);
        const YamlNode* headers = present(node, "headers");
        if (headers == nullptr) return {};
        TRY(expect(*headers, YamlNode::Kind::kList, "headers", "a list"));
        for (const YamlNode& header : headers->items) {
            TRY(only_keys(header, "headers", {"name", "value"}));
            std::string name;
            TRY(read(header, "name", name));
            if (name.empty()) return wrong(header, "a header", "a name");
            if (present(header, "value") == nullptr) continue;
            std::string value;
            TRY(read(header, "value", value));
            auto& all = exporter.headers;
            all.erase(std::remove_if(all.begin(), all.end(),
                                     [&name](const auto& known) { return known.first == name; }),
                      all.end());
            all.emplace_back(std::move(name), std::move(value));
        }
        return {};
    }

    Result<void> read_tracers(const YamlNode& node) {
        TRY(only_keys(node, "tracer_configurator", {"default_config", "tracers"}));
        if (const YamlNode* tracers = present(node, "tracers")) {
            TRY(expect(*tracers, YamlNode::Kind::kList, "tracers", "a list"));
            for (const YamlNode& tracer : tracers->items) {
                TRY(only_keys(tracer, "tracers", {"name", "config"}));
                std::string name;
                TRY(read(tracer, "name", name));
                const YamlNode* config = tracer.find("config");
                if (name.empty() || config == nullptr)
                    return wrong(tracer, "a tracer", "name and config");
                TRY(read_tracer(std::move(name), *config));
            }
        }
        const YamlNode* rest = present(node, "default_config");
        return rest == nullptr ? Result<void>() : read_tracer("*", *rest);
    }
    Result<void> read_tracer(std::string name, const YamlNode& node) {
        TracerConfig config;
        TRY(only_keys(node, "config", {"enabled"}));
        TRY(read(node, "enabled", config.is_enabled));
        out_.tracers.emplace_back(std::move(name), config);
        return {};
    }

    // ---- distribution.spanloom: what is ours
    // Before the specification's, which know of no durations.
    Result<void> read_own_tracers(const YamlNode& node) {
        TRY(expect(node, YamlNode::Kind::kList, "tracers", "a list"));
        std::vector<std::pair<std::string, TracerConfig>> own;
        for (const YamlNode& tracer : node.items) {
            TRY(only_keys(tracer, "tracers", {"name", "enabled", "duration_min"}));
            auto& [name, config] = own.emplace_back();
            TRY(read(tracer, "name", name));
            if (name.empty()) return wrong(tracer, "a tracer", "a name");
            TRY(read(tracer, "enabled", config.is_enabled));
            TRY(read(tracer, "duration_min", config.duration_min));
        }
        out_.tracers.insert(out_.tracers.begin(), own.begin(), own.end());
        return {};
    }
    Result<void> read_distribution(const YamlNode* node) {
        const YamlNode* ours = node == nullptr ? nullptr : present(*node, "spanloom");
        if (ours == nullptr) return {};
        TRY(only_keys(*ours, "distribution.spanloom",
                      {"redaction", "duration_min", "trace_spans_max", "tracers", "debug",
                       "baggage_attributes", "incoming_context"}));
        TRY(read(*ours, "duration_min", out_.duration_min));
        TRY(read(*ours, "trace_spans_max", out_.trace_spans_max));
        TRY(read(*ours, "baggage_attributes", out_.baggage_attributes));
        std::string incoming;
        TRY(read(*ours, "incoming_context", incoming));
        if (!incoming.empty()) {
            const auto known = incoming_context_by_name(incoming);
            if (!known.has_value())
                return wrong(*ours, "incoming_context",
                             "continue, restart or restart_with_baggage");
            out_.incoming_context = *known;
        }
        if (const YamlNode* debug = present(*ours, "debug")) {
            TRY(only_keys(*debug, "debug", {"enabled", "span_alive_max"}));
            TRY(read(*debug, "enabled", out_.debug.is_enabled));
            TRY(read(*debug, "span_alive_max", out_.debug.span_alive_max));
        }
        if (const YamlNode* tracers = present(*ours, "tracers")) TRY(read_own_tracers(*tracers));
        const YamlNode* redaction = ours->find("redaction");
        if (redaction == nullptr) return {};
        out_.is_redacting = true;
        RedactionOptions& options = out_.redaction;
        TRY(only_keys(*redaction, "redaction",
                      {"detectors", "exempt_keys", "blocked_keys", "removed_keys", "allowed_keys",
                       "secret_names", "urls", "statements", "mask", "hash_key"}));
        TRY(read(*redaction, "detectors", options.detectors));
        TRY(read(*redaction, "exempt_keys", options.exempt_keys));
        TRY(read(*redaction, "blocked_keys", options.blocked_keys));
        TRY(read(*redaction, "removed_keys", options.removed_keys));
        TRY(read(*redaction, "allowed_keys", options.allowed_keys));
        TRY(read(*redaction, "secret_names", options.hides_secret_names));
        TRY(read(*redaction, "urls", options.sanitizes_urls));
        TRY(read(*redaction, "statements", options.sanitizes_statements));
        TRY(read(*redaction, "mask", options.mask));
        return read(*redaction, "hash_key", options.hash_key);
    }

    const SystemSource& source_;
    std::string_view service_name_;
    Configuration out_;
};

}  // namespace

Result<Configuration> configure_by_file(std::string_view text, const SystemSource& source,
                                        std::string_view service_name) {
    TRY_ASSIGN(YamlNode root, parse_yaml(text));
    TRY(substitute_variables(root, source.variable));
    return FileReader(source, service_name).run(root);
}

}  // namespace spanloom::sdk

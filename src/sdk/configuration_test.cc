#include "spanloom/configuration.h"

#include <map>
#include <string>

#include <doctest/doctest.h>

#include "sdk/configuration_sources.h"

using namespace spanloom;
using namespace spanloom::sdk;

namespace {

using Variables = std::map<std::string, std::string, std::less<>>;
using Files = std::map<std::string, std::string>;

SystemSource machine(Variables variables, Files files = {}) {
    SystemSource source;
    source.variable = [variables](std::string_view name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    source.read_file = [files](const std::string& path) -> std::optional<std::string> {
        const auto found = files.find(path);
        return found == files.end() ? std::nullopt : std::optional(found->second);
    };
    source.read_link = [](const std::string&) {
        return std::optional<std::string>("/usr/bin/shop");
    };
    source.random = [n = uint64_t{0}]() mutable { return ++n * 0x9e3779b97f4a7c15U; };
    source.host_name = "web-1";
    source.machine = "x86_64";
    source.process_id = 42;
    source.parent_process_id = 1;
    source.user_id = 1000;
    return source;
}

Configuration by_environment(Variables variables) {
    return configure(machine(std::move(variables)));
}
std::string problems(const Configuration& configuration) {
    std::string text;
    for (const std::string& problem : configuration.problems)
        text += (text.empty() ? "" : "|") + problem;
    return text;
}
std::string attribute(const Configuration& configuration, std::string_view key) {
    const OwnedAttribute* found = configuration.resource.find(key);
    return found == nullptr ? "absent" : std::string(found->text());
}
std::string fields(const Configuration& configuration) {
    if (configuration.propagator == nullptr) return "none";
    std::string text;
    for (const std::string& field : configuration.propagator->fields())
        text += (text.empty() ? "" : ",") + field;
    return text;
}
const ExporterConfiguration& exporter(const Configuration& configuration) {
    REQUIRE(configuration.processors.size() == 1);
    return configuration.processors[0].exporter;
}

Configuration by_file(const std::string& text, Variables variables = {}) {
    auto configuration = configure_by_file(text, machine(std::move(variables)), "");
    if (!configuration) FAIL(configuration.error().message);
    return *std::move(configuration);
}
std::string refusal(const std::string& text) {
    const auto configuration = configure_by_file(text, machine({}), "");
    return configuration ? "accepted" : configuration.error().message;
}

const std::string kProvider =
    "file_format: \"1.1\"\ntracer_provider:\n  processors:\n    - simple:\n    "
    "    exporter:\n          console:\n";

}  // namespace

TEST_CASE("without any variable, the specification's defaults") {
    const Configuration c = by_environment({});
    CHECK(problems(c).empty());
    CHECK_FALSE(c.is_disabled);
    CHECK(c.log_level == "info");
    CHECK(c.sampler->description().rfind("ParentBased{root=AlwaysOnSampler", 0) == 0);
    CHECK(fields(c) == "traceparent,tracestate,baggage");
    CHECK(c.limits.attributes_max == 128);
    CHECK(c.limits.value_characters_max == UINT32_MAX);
    const ExporterConfiguration& otlp = exporter(c);
    CHECK(otlp.kind == ExporterConfiguration::Kind::kOtlpHttp);
    CHECK(otlp.encoding == ExporterConfiguration::Encoding::kProtobuf);
    CHECK(otlp.endpoint == "http://localhost:4318/v1/traces");
    CHECK(otlp.timeout.ns == 10'000'000'000);
    CHECK(c.processors[0].batch.schedule_delay.ns == 5'000'000'000);
    CHECK(c.processors[0].batch.export_batch_max == 512);
    CHECK_FALSE(c.is_redacting);
    CHECK(attribute(c, "telemetry.sdk.language") == "cpp");
    CHECK(attribute(c, "service.name").rfind("unknown_service", 0) == 0);
}

TEST_CASE("empty is unset") {
    const Configuration c = by_environment({{"OTEL_SDK_DISABLED", ""},
                                            {"OTEL_TRACES_SAMPLER", ""},
                                            {"OTEL_TRACES_EXPORTER", " "},
                                            {"OTEL_PROPAGATORS", ""},
                                            {"OTEL_CONFIG_FILE", ""},
                                            {"OTEL_BSP_SCHEDULE_DELAY", ""}});
    CHECK(problems(c).empty());
    CHECK_FALSE(c.is_disabled);
    CHECK(fields(c) == "traceparent,tracestate,baggage");
}

TEST_CASE("only true is true") {
    CHECK(by_environment({{"OTEL_SDK_DISABLED", "TRUE"}}).is_disabled);
    CHECK(problems(by_environment({{"OTEL_SDK_DISABLED", "false"}})).empty());
    const Configuration c = by_environment({{"OTEL_SDK_DISABLED", "1"}});
    CHECK_FALSE(c.is_disabled);
    CHECK(problems(c) == "OTEL_SDK_DISABLED='1' is neither true nor false: taken as false");
}

TEST_CASE("numbers that are none are told and ignored") {
    const Configuration c = by_environment({{"OTEL_BSP_SCHEDULE_DELAY", "soon"},
                                            {"OTEL_BSP_MAX_QUEUE_SIZE", "0"},
                                            {"OTEL_SPAN_EVENT_COUNT_LIMIT", "-1"},
                                            {"OTEL_ATTRIBUTE_COUNT_LIMIT", "0"}});
    CHECK(c.processors[0].batch.schedule_delay.ns == 5'000'000'000);
    CHECK(c.processors[0].batch.queue_spans_max == 0);
    CHECK(c.limits.events_max == 128);
    CHECK(c.limits.attributes_max == 0);
    CHECK(c.problems.size() == 3);
}

TEST_CASE("limits: the special one wins over the general one") {
    const Configuration c = by_environment({{"OTEL_ATTRIBUTE_COUNT_LIMIT", "10"},
                                            {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "20"},
                                            {"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "5"},
                                            {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "100"},
                                            {"OTEL_SPAN_LINK_COUNT_LIMIT", "3"},
                                            {"OTEL_SPAN_EVENT_COUNT_LIMIT", "4"}});
    CHECK(c.limits.attributes_max == 20);
    CHECK(c.limits.event_attributes_max == 10);
    CHECK(c.limits.link_attributes_max == 5);
    CHECK(c.limits.value_characters_max == 100);
    CHECK(c.limits.links_max == 3);
    CHECK(c.limits.events_max == 4);
}

TEST_CASE("the batch processor's knobs") {
    const Configuration c = by_environment({{"OTEL_BSP_SCHEDULE_DELAY", "100"},
                                            {"OTEL_BSP_EXPORT_TIMEOUT", "2000"},
                                            {"OTEL_BSP_MAX_QUEUE_SIZE", "64"},
                                            {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100"}});
    const BatchOptions& batch = c.processors[0].batch;
    CHECK(batch.schedule_delay.ns == 100'000'000);
    CHECK(batch.export_timeout.ns == 2'000'000'000);
    CHECK(batch.queue_spans_max == 64);
    CHECK(batch.export_batch_max == 64);
    CHECK(c.problems.size() == 1);
}

TEST_CASE("samplers by name") {
    const auto description = [](const char* name, const char* argument) {
        Variables variables = {{"OTEL_TRACES_SAMPLER", name}, {"OTEL_SERVICE_NAME", "shop"}};
        if (argument != nullptr) variables["OTEL_TRACES_SAMPLER_ARG"] = argument;
        return by_environment(variables).sampler->description();
    };
    CHECK(description("always_on", nullptr) == "AlwaysOnSampler");
    CHECK(description("ALWAYS_OFF", nullptr) == "AlwaysOffSampler");
    CHECK(description("traceidratio", "0.25") == "TraceIdRatioBased{0.25}");
    CHECK(description("traceidratio", nullptr) == "TraceIdRatioBased{1}");
    CHECK(description("parentbased_traceidratio", "0.1")
              .rfind("ParentBased{root=TraceIdRatioBased{0.1}", 0) == 0);
    CHECK(description("parentbased_always_off", nullptr)
              .rfind("ParentBased{root=AlwaysOffSampler", 0) == 0);
    CHECK(description("jaeger_remote",
                      "endpoint=http://"
                      "localhost:1,pollingIntervalMs=5000,initialSamplingRate=0.25") ==
          "JaegerRemoteSampler{endpoint=http://"
          "localhost:1,service=shop,initial=ProbabilitySampler{0.25}}");
    CHECK(description("xray", nullptr).rfind("ParentBased{root=AlwaysOnSampler", 0) == 0);

    for (const char* ratio : {"1.5", "-1", "many", "nan"}) {
        const Configuration c = by_environment(
            {{"OTEL_TRACES_SAMPLER", "traceidratio"}, {"OTEL_TRACES_SAMPLER_ARG", ratio}});
        CHECK(c.sampler->description() == "TraceIdRatioBased{1}");
        CHECK(c.problems.size() == 1);
    }
}

TEST_CASE("propagators by name, each once") {
    CHECK(fields(by_environment({{"OTEL_PROPAGATORS", "b3, tracecontext,B3"}})) ==
          "b3,traceparent,tracestate");
    CHECK(fields(by_environment({{"OTEL_PROPAGATORS", "none"}})) == "none");
    CHECK(fields(by_environment({{"OTEL_PROPAGATORS", "jaeger"}})) == "uber-trace-id");
    const Configuration c = by_environment({{"OTEL_PROPAGATORS", "xray,b3multi"}});
    CHECK(fields(c) == "X-B3-TraceId,X-B3-SpanId,X-B3-Sampled,X-B3-Flags");
    CHECK(problems(c) == "OTEL_PROPAGATORS: 'xray' is not known and left out");
}

TEST_CASE("OTLP endpoints") {
    const auto endpoint = [](Variables variables) {
        return exporter(by_environment(variables)).endpoint;
    };
    CHECK(endpoint({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"}}) ==
          "http://c:4318/v1/traces");
    CHECK(endpoint({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base/"}}) ==
          "http://c:4318/base/v1/traces");
    CHECK(endpoint({{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318"},
                    {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://d"}}) == "http://c:4318/");
    CHECK(endpoint({{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318/mine"}}) ==
          "http://c:4318/mine");
    CHECK(endpoint({{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}}) == "http://localhost:4317");
    CHECK(endpoint({{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"},
                    {"OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"}}) == "https://c:4317");
    CHECK(endpoint({{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"},
                    {"OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"},
                    {"OTEL_EXPORTER_OTLP_INSECURE", "true"}}) == "http://c:4317");
    CHECK(endpoint({{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"},
                    {"OTEL_EXPORTER_OTLP_ENDPOINT", "https://c:4317"},
                    {"OTEL_EXPORTER_OTLP_INSECURE", "true"}}) == "https://c:4317");
}

TEST_CASE("the rest of the OTLP exporter") {
    const Configuration c =
        by_environment({{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"},
                        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"},
                        {"OTEL_EXPORTER_OTLP_HEADERS", "a=1"},
                        {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", " api-key = x%20y , other=z=,broken"},
                        {"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"},
                        {"OTEL_EXPORTER_OTLP_TIMEOUT", "1000"},
                        {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000"},
                        {"OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"},
                        {"OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem"},
                        {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/cert.pem"}});
    const ExporterConfiguration& otlp = exporter(c);
    CHECK(otlp.encoding == ExporterConfiguration::Encoding::kJson);
    REQUIRE(otlp.headers.size() == 2);
    CHECK(otlp.headers[0] == std::pair<std::string, std::string>("api-key", "x y"));
    CHECK(otlp.headers[1] == std::pair<std::string, std::string>("other", "z="));
    CHECK(otlp.is_gzip);
    CHECK(otlp.timeout.ns == 2'000'000'000);
    CHECK(otlp.certificate_file == "/ca.pem");
    CHECK(otlp.client_key_file == "/key.pem");
    CHECK(otlp.client_certificate_file == "/cert.pem");
    CHECK(c.problems.size() == 1);
}

TEST_CASE("exporters by name") {
    CHECK(by_environment({{"OTEL_TRACES_EXPORTER", "none"}}).processors.empty());
    const Configuration c =
        by_environment({{"OTEL_TRACES_EXPORTER", "console,otlp,zipkin,otlp/stdout"}});
    REQUIRE(c.processors.size() == 3);
    CHECK(c.processors[0].exporter.kind == ExporterConfiguration::Kind::kConsole);
    CHECK_FALSE(c.processors[0].is_batch);
    CHECK(c.processors[2].exporter.kind == ExporterConfiguration::Kind::kOtlpFile);
    CHECK(problems(c) == "OTEL_TRACES_EXPORTER: 'zipkin' is not known and left out");
}

TEST_CASE("resource attributes, and who wins") {
    Configuration c =
        by_environment({{"OTEL_RESOURCE_ATTRIBUTES",
                         "service.name=a, deployment.environment.name=p%2Cq,host.name=mine"}});
    CHECK(attribute(c, "service.name") == "a");
    CHECK(attribute(c, "deployment.environment.name") == "p,q");
    CHECK(attribute(c, "host.name") == "mine");
    c = by_environment({{"OTEL_RESOURCE_ATTRIBUTES", "service.name=a,service.instance.id=7"},
                        {"OTEL_SERVICE_NAME", "b"}});
    CHECK(attribute(c, "service.name") == "b");
    CHECK(attribute(c, "service.instance.id") == "7");
    // Any error spoils the whole.
    c = by_environment({{"OTEL_RESOURCE_ATTRIBUTES", "a=1,broken"}});
    CHECK(attribute(c, "a") == "absent");
    CHECK(c.problems.size() == 1);
    c = by_environment({{"OTEL_RESOURCE_ATTRIBUTES", "a=%ff"}});
    CHECK(attribute(c, "a") == "absent");
}

TEST_CASE("detectors describe the machine") {
    const std::string id(64, 'a');
    const SystemSource source = machine(
        {{"KUBERNETES_SERVICE_HOST", "10.0.0.1"}, {"POD_UID", "u-1"}, {"K8S_NODE_NAME", "n-1"}},
        {{"/etc/machine-id", "0123456789abcdef\n"},
         {"/etc/os-release",
          "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nPRETTY_NAME='Debian "
          "12'\n"},
         {"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n"},
         {"/proc/self/cgroup", "0::/kubepods/pod1/" + id + "\n"},
         {"/var/run/secrets/kubernetes.io/serviceaccount/namespace", "shop-prod"}});
    const Configuration c = configure(source);
    CHECK(attribute(c, "host.id") == "0123456789abcdef");
    CHECK(attribute(c, "host.name") == "web-1");
    CHECK(attribute(c, "host.arch") == "amd64");
    CHECK(attribute(c, "os.type") == "linux");
    CHECK(attribute(c, "os.name") == "Debian GNU/Linux");
    CHECK(attribute(c, "os.version") == "12");
    CHECK(attribute(c, "os.description") == "Debian 12");
    CHECK(attribute(c, "process.executable.name") == "shop");
    CHECK(attribute(c, "process.executable.path") == "/usr/bin/shop");
    CHECK(attribute(c, "process.owner") == "ada");
    CHECK(attribute(c, "process.command_args") == "absent");
    CHECK(attribute(c, "container.id") == id);
    CHECK(attribute(c, "k8s.pod.name") == "web-1");
    CHECK(attribute(c, "k8s.pod.uid") == "u-1");
    CHECK(attribute(c, "k8s.namespace.name") == "shop-prod");
    CHECK(attribute(c, "k8s.node.name") == "n-1");
    CHECK(c.resource.schema_url() == kResourceSchemaUrl);
    // Version 4, variant 10.
    const std::string instance = attribute(c, "service.instance.id");
    REQUIRE(instance.size() == 36);
    CHECK(instance[14] == '4');
    CHECK(std::string("89ab").find(instance[19]) != std::string::npos);
    // A machine that tells nothing is no error.
    CHECK(attribute(configure(machine({})), "host.id") == "absent");
}

TEST_CASE("container ids of both versions of control groups") {
    const std::string id = "dc679f8a8319c8cf7d38e1adf263bc08d23bcb0ab6d4d6e1b6ef3e6ab2b4c5d6";
    CHECK(container_id("13:name=systemd:/docker/" + id + "\n12:pids:/docker/" + id, "") == id);
    CHECK(container_id("1:name=systemd:/system.slice/docker-" + id + ".scope", "") == id);
    CHECK(container_id("11:cpu:/kubepods/besteffort/"
                       "pod12345678-1234-1234-1234-123456789012/" +
                           id,
                       "") == id);
    CHECK(container_id("1:name=systemd:/kubepods.slice/cri-containerd-" + id + ".scope", "") == id);
    CHECK(container_id("0::/kubepods-pod1.slice:cri-containerd:" + id, "") == id);
    CHECK(container_id("0::/user.slice/user-1000.slice", "") == "");
    CHECK(container_id("0::/", "473 456 254:1 /docker/containers/" + id +
                                   "/hostname /etc/hostname rw - ext4 /dev/vda1 rw") == id);
    CHECK(container_id("0::/",
                       "1 2 0:3 / /proc rw - proc proc rw\n983 961 0:56 "
                       "/var/lib/containers/storage/overlay-containers/" +
                           id + "/userdata/hostname /etc/hostname rw") == id);
    CHECK(container_id("0::/", "1 2 0:3 /containers/short/hostname /etc/hostname rw") == "");
    CHECK(container_id("", "") == "");
}

TEST_CASE("redaction can be switched on from outside") {
    const Configuration c = by_environment({{"SPANLOOM_REDACTION", "true"},
                                            {"SPANLOOM_REDACTION_HASH_KEY", "k"},
                                            {"SPANLOOM_REDACTION_BLOCKED_KEYS", "a.*, b"}});
    CHECK(c.is_redacting);
    CHECK(c.redaction.hash_key == "k");
    CHECK(c.redaction.blocked_keys == std::vector<std::string>{"a.*", "b"});
}

TEST_CASE("whether callers' traces go on is said from outside") {
    const auto by_name = [](const char* name) {
        return by_environment({{"SPANLOOM_INCOMING_CONTEXT", name}});
    };
    CHECK(by_environment({}).incoming_context == IncomingContext::kContinue);
    CHECK(by_name("continue").incoming_context == IncomingContext::kContinue);
    CHECK(by_name("Restart").incoming_context == IncomingContext::kRestart);
    CHECK(by_name("restart_with_baggage").incoming_context == IncomingContext::kRestartWithBaggage);
    const Configuration wrong = by_name("forget");
    CHECK(wrong.incoming_context == IncomingContext::kContinue);
    CHECK(problems(wrong).find("'forget'") != std::string::npos);

    const Configuration file =
        by_file(kProvider + "distribution: {spanloom: {incoming_context: restart}}\n");
    CHECK(problems(file).empty());
    CHECK(file.incoming_context == IncomingContext::kRestart);
    CHECK(refusal(kProvider + "distribution: {spanloom: {incoming_context: forget}}\n")
              .find("restart_with_baggage") != std::string::npos);
}

TEST_CASE("noise can be turned down from outside") {
    const Configuration c = by_environment({{"SPANLOOM_DURATION_MIN", "3"},
                                            {"SPANLOOM_TRACE_SPANS_MAX", "0"},
                                            {"SPANLOOM_SPAN_ALIVE_MAX", "250"},
                                            {"SPANLOOM_TRACERS_OFF", "redis*, pool,"},
                                            {"SPANLOOM_BAGGAGE_ATTRIBUTES", "tenant, app.*"}});
    CHECK(problems(c).empty());
    CHECK(c.duration_min.ns == 3'000'000);
    CHECK(c.trace_spans_max == 0);
    CHECK(c.debug.span_alive_max.ns == 250'000'000);
    REQUIRE(c.tracers.size() == 2);
    CHECK(c.tracers[0].first == "redis*");
    CHECK_FALSE(c.tracers[0].second.is_enabled);
    CHECK(c.tracers[1].first == "pool");
    CHECK(c.baggage_attributes == std::vector<std::string>{"tenant", "app.*"});
    CHECK(by_environment({}).trace_spans_max == 10'000);
    CHECK_FALSE(problems(by_environment({{"SPANLOOM_DURATION_MIN", "soon"}})).empty());
}

TEST_CASE("a file turns noise down") {
    const Configuration c = by_file(kProvider + R"(  tracer_configurator/development:
    tracers: [{name: "pool*", config: {enabled: false}}]
distribution:
  spanloom:
    duration_min: 3
    trace_spans_max: 500
    tracers: [{name: pool, duration_min: 7}, {name: redis, enabled: false}]
    baggage_attributes: [tenant]
    debug: {enabled: true, span_alive_max: 250}
)");
    CHECK(problems(c).empty());
    CHECK(c.duration_min.ns == 3'000'000);
    CHECK(c.trace_spans_max == 500);
    CHECK(c.baggage_attributes == std::vector<std::string>{"tenant"});
    CHECK(c.debug.is_enabled);
    CHECK(c.debug.span_alive_max.ns == 250'000'000);
    REQUIRE(c.tracers.size() == 3);
    CHECK(c.tracers[0].first == "pool");
    CHECK(c.tracers[0].second.is_enabled);
    CHECK(c.tracers[0].second.duration_min.ns == 7'000'000);
    CHECK_FALSE(c.tracers[1].second.is_enabled);
    CHECK(c.tracers[2].first == "pool*");
    CHECK(refusal(kProvider + "distribution:\n  spanloom:\n    tracers: [{enabled: false}]\n")
              .find("a name") != std::string::npos);
}

// ---- the declarative file

TEST_CASE("a file describes everything") {
    const Configuration c = by_file(R"(
file_format: "1.1"
disabled: false
log_level: debug
resource:
  attributes:
    - {name: service.name, value: "${SERVICE:-shop}"}
    - name: instances
      value: 3
      type: int
    - name: zones
      value: [a, b]
      type: string_array
    - name: absent
      value:
  attributes_list: "service.name=lower,team=x"
  schema_url: https://example.com/schema
attribute_limits:
  attribute_value_length_limit: 4096
  attribute_count_limit: 64
propagator:
  composite:
    - tracecontext:
    - b3:
  composite_list: "b3,baggage"
tracer_provider:
  processors:
    - batch:
        schedule_delay: 1000
        export_timeout: 0
        max_queue_size: 4096
        max_export_batch_size: 256
        exporter:
          otlp_http:
            endpoint: https://collector:4318/v1/traces
            headers:
              - name: api-key
                value: ${KEY}
            headers_list: "api-key=lower,x=1"
            compression: gzip
            timeout: 2000
            encoding: json
            max_request_size: 1048576
            tls:
              ca_file: /ca.pem
              key_file: /key.pem
              cert_file: /cert.pem
    - simple:
        exporter:
          otlp_file/development:
            output_stream: file:///tmp/spans.jsonl
  limits:
    attribute_count_limit: 32
    event_count_limit: 8
    link_attribute_count_limit: 4
  sampler:
    parent_based:
      root:
        trace_id_ratio_based:
          ratio: 0.25
      remote_parent_not_sampled:
        always_on:
  tracer_configurator/development:
    tracers:
      - name: noisy.*
        config: {enabled: false}
meter_provider:
  readers: [{anything: {goes: here}}]
distribution:
  spanloom:
    redaction:
      blocked_keys: [customer.*]
      detectors: [email, card]
      hash_key: ${HASH:-secret}
)",
                                    {{"KEY", "abc"}});
    CHECK(problems(c).empty());
    CHECK_FALSE(c.is_disabled);
    CHECK(c.log_level == "debug");
    CHECK(attribute(c, "service.name") == "shop");
    CHECK(attribute(c, "team") == "x");
    CHECK(c.resource.find("instances") != nullptr);
    CHECK(c.resource.find("zones") != nullptr);
    CHECK(c.resource.find("absent") == nullptr);
    CHECK(c.resource.schema_url() == "https://example.com/schema");
    CHECK(attribute(c, "telemetry.sdk.name") == "spanloom");
    CHECK(attribute(c, "host.name") == "absent");
    CHECK(fields(c) == "traceparent,tracestate,b3,baggage");
    CHECK(c.limits.value_characters_max == 4096);
    CHECK(c.limits.attributes_max == 32);
    CHECK(c.limits.event_attributes_max == 64);
    CHECK(c.limits.link_attributes_max == 4);
    CHECK(c.limits.events_max == 8);
    REQUIRE(c.processors.size() == 2);
    const ProcessorConfiguration& batch = c.processors[0];
    CHECK(batch.batch.schedule_delay.ns == 1'000'000'000);
    CHECK(batch.batch.export_timeout.ns > 1'000'000'000'000'000);
    CHECK(batch.batch.queue_spans_max == 4096);
    CHECK(batch.batch.export_batch_max == 256);
    CHECK(batch.exporter.endpoint == "https://collector:4318/v1/traces");
    CHECK(batch.exporter.headers ==
          std::vector<std::pair<std::string, std::string>>{{"x", "1"}, {"api-key", "abc"}});
    CHECK(batch.exporter.is_gzip);
    CHECK(batch.exporter.encoding == ExporterConfiguration::Encoding::kJson);
    CHECK(batch.exporter.request_bytes_max == 1 << 20);
    CHECK(batch.exporter.certificate_file == "/ca.pem");
    CHECK_FALSE(c.processors[1].is_batch);
    CHECK(c.processors[1].exporter.file == "/tmp/spans.jsonl");
    CHECK(c.sampler->description() ==
          "ParentBased{root=TraceIdRatioBased{0.25},remoteParentSampled="
          "AlwaysOnSampler,remoteParentNotSampled=AlwaysOnSampler,"
          "localParentSampled=AlwaysOnSampler,localParentNotSampled="
          "AlwaysOffSampler}");
    REQUIRE(c.tracers.size() == 1);
    CHECK(c.tracers[0].first == "noisy.*");
    CHECK_FALSE(c.tracers[0].second.is_enabled);
    CHECK(c.is_redacting);
    CHECK(c.redaction.blocked_keys == std::vector<std::string>{"customer.*"});
    CHECK(c.redaction.hash_key == "secret");
}

TEST_CASE("a file's samplers") {
    const auto sampler = [](const std::string& text) {
        return by_file(kProvider + "  sampler:\n" + text).sampler->description();
    };
    CHECK(by_file(kProvider).sampler->description().rfind("ParentBased{root=AlwaysOnSampler", 0) ==
          0);
    CHECK(sampler("    always_off:") == "AlwaysOffSampler");
    CHECK(sampler("    probability/development: {ratio: 0.5}") == "ProbabilitySampler{0.5}");
    CHECK(sampler("    always_record: {root: {always_off: }}") ==
          "AlwaysRecord{root=AlwaysOffSampler}");
    CHECK(sampler("    jaeger_remote/development: {endpoint: 'http://j:5778', "
                  "interval: 10, initial_sampler: {always_on: }}")
              .rfind("JaegerRemoteSampler{endpoint=http://"
                     "j:5778,service=unknown_service",
                     0) == 0);
    CHECK(sampler(R"(    composite/development:
      rule_based:
        rules:
          - attribute_values: {key: db.system.name, values: [redis]}
            attribute_patterns: {key: db.query.text, included: ["PING*"]}
            span_kinds: [client]
            parent: [none, remote]
            sampler: {always_off: }
          - sampler:
              parent_threshold: {root: {probability: {ratio: 0.1}}})") ==
          "CompositeSampler{ComposableRuleBased{[(line 11,ComposableAlwaysOff),"
          "(line "
          "16,ComposableParentThreshold{root=ComposableProbability{0.1}})]}}");
}

TEST_CASE("a file's resource detectors") {
    const Configuration c = by_file(kProvider + R"(resource:
  detection/development:
    attributes: {included: ["host.*", "process.*"], excluded: [process.owner, host.arch]}
    detectors: [{host: }, {process: }, {container: }, {service: }])");
    CHECK(attribute(c, "host.name") == "web-1");
    CHECK(attribute(c, "host.arch") == "absent");
    CHECK(attribute(c, "os.type") == "absent");
    CHECK(attribute(c, "process.executable.name") == "shop");
    CHECK(attribute(c, "service.instance.id") == "absent");
}

TEST_CASE("what is wrong in a file refuses the whole, and says where") {
    CHECK(refusal("") == "line 1: the file: a mapping with file_format is expected");
    CHECK(refusal("disabled: true") == "file_format is missing: write file_format: \"1.1\"");
    CHECK(refusal("file_format: \"2.0\"") ==
          "line 1: file_format 2.0 is not supported: 1.0 and 1.1 are");
    CHECK(refusal("file_format: \"1.1\"\ntracer: 1") == "line 2: the file: 'tracer' is not known");
    CHECK(refusal("file_format: \"1.1\"\ndisabled: maybe") ==
          "line 2: disabled: true or false is expected");
    CHECK(refusal("file_format: \"1.1\"\ndisabled: \"true\"") ==
          "line 2: disabled: true or false is expected");
    CHECK(refusal("file_format: \"1.1\"\nlog_level: ${X:?y}")
              .rfind("line 2: '${X:?y}' is no reference", 0) == 0);
    CHECK(refusal("file_format: \"1.1\"\ntracer_provider:\n  limits:\n") ==
          "line 3: tracer_provider: a list of processors is expected");
    CHECK(refusal(kProvider + "  sampler: {always_on: , always_off: }") ==
          "line 7: sampler: a mapping with one key is expected");
    CHECK(refusal(kProvider + "  sampler: {sometimes: }") ==
          "line 7: there is no sampler 'sometimes'");
    CHECK(refusal(kProvider + "  sampler: {trace_id_ratio_based: {ratio: 2}}") ==
          "line 7: ratio: a number from 0 to 1 is expected");
    CHECK(refusal(kProvider + "  limits: {event_count_limit: -1}") ==
          "line 7: event_count_limit: a whole number, not negative is expected");
    CHECK(refusal(kProvider + "propagator: {composite: [{xray: }]}") ==
          "line 7: there is no propagator 'xray'");
    CHECK(refusal("file_format: \"1.1\"\na: *b") ==
          "line 2: anchors and aliases are not supported");
}

TEST_CASE("the configuration file takes the place of the variables") {
    const Variables variables = {{"OTEL_CONFIG_FILE", "/etc/otel.yaml"},
                                 {"OTEL_TRACES_SAMPLER", "always_off"},
                                 {"OTEL_PROPAGATORS", "b3"}};
    const Configuration c = configure(machine(variables, {{"/etc/otel.yaml", kProvider}}));
    CHECK(problems(c).empty());
    CHECK(c.sampler->description().rfind("ParentBased{root=AlwaysOnSampler", 0) == 0);
    CHECK(fields(c) == "none");
    CHECK_FALSE(configure(machine({{"OTEL_EXPERIMENTAL_CONFIG_FILE", "/x"}}, {{"/x", kProvider}}))
                    .is_disabled);
    CHECK(configure(machine({{"OTEL_CONFIG_FILE", "/x"}}, {{"/x", "file_format: \"1.1\""}}))
              .is_disabled);

    const Configuration missing = configure(machine(variables));
    CHECK(missing.is_disabled);
    CHECK(problems(missing) ==
          "cannot use the configuration file /etc/otel.yaml, so that nothing is "
          "traced: it cannot be read");
    const Configuration broken =
        configure(machine(variables, {{"/etc/otel.yaml", "file_format: [\n"}}));
    CHECK(broken.is_disabled);
    CHECK(problems(broken).find("/etc/otel.yaml") != std::string::npos);
}

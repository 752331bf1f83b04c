#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spanloom/privacy.h"
#include "spanloom/processor.h"
#include "spanloom/propagator.h"
#include "spanloom/resource.h"
#include "spanloom/sampler.h"
#include "spanloom/span_limits.h"
#include "spanloom/timestamp.h"
#include "spanloom/tracer_provider.h"

namespace spanloom {

// Where spans are sent, as OTEL_EXPORTER_* or the configuration file say it.
struct ExporterConfiguration {
    enum class Kind : uint8_t { kOtlpHttp, kOtlpGrpc, kOtlpFile, kConsole };
    enum class Encoding : uint8_t { kProtobuf, kJson };

    Kind kind = Kind::kOtlpHttp;
    Encoding encoding = Encoding::kProtobuf;
    std::string endpoint = {};  // a URL; of OTLP/HTTP with the path that is asked for
    std::vector<std::pair<std::string, std::string>> headers = {};
    bool is_gzip = false;
    Duration timeout = Duration::from_ms(10'000);
    std::string certificate_file = {};         // authorities that sign the server's, PEM
    std::string client_certificate_file = {};  // of mutual TLS
    std::string client_key_file = {};
    uint64_t request_bytes_max = 64U << 20;
    uint64_t response_bytes_max = 4U << 20;
    std::string file = {};  // of kOtlpFile; "" is standard output
};

struct ProcessorConfiguration {
    bool is_batch = true;
    BatchOptions batch = {};  // of a batch processor; its export_timeout holds for a simple one too
    ExporterConfiguration exporter = {};
};

// Everything that is configured from outside, as plain values. `init` uses it
// for what its options leave open.
struct Configuration {
    bool is_disabled = false;
    std::string log_level = "info";
    Resource resource = {};
    std::shared_ptr<Sampler> sampler = {};
    SpanLimits limits = {};
    std::vector<ProcessorConfiguration> processors = {};
    std::shared_ptr<const TextMapPropagator> propagator = {};       // null: none
    IncomingContext incoming_context = IncomingContext::kContinue;  // of servers
    std::vector<std::pair<std::string, TracerConfig>> tracers = {};
    Duration duration_min = {};
    uint32_t trace_spans_max = 10'000;
    DebugOptions debug = {};
    std::vector<std::string> baggage_attributes = {};  // patterns of keys that spans get
    bool is_redacting = false;
    RedactionOptions redaction = {};
    // What was ignored, and why; each a sentence for the log.
    std::vector<std::string> problems = {};
};

// By the file that OTEL_CONFIG_FILE names, where it is set (all other OTEL_*
// are then ignored, but for what the file itself refers to); else by OTEL_*. A
// file that cannot be used disables the SDK: half a configuration is none.
// Detects the resource. `service_name`: "" for what is configured; a remote
// sampler asks for it.
Configuration load_configuration(std::string_view service_name = {});

}  // namespace spanloom

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spanloom/exporter.h"
#include "spanloom/timestamp.h"

namespace spanloom {

enum class OtlpProtocol : uint8_t { kHttpProtobuf, kHttpJson, kGrpc };
enum class OtlpCompression : uint8_t { kNone, kGzip };

// What goes wrong while sending: at most one message in ten seconds. May come from any thread.
using ExportProblemCallback = void (*)(std::string_view message, void* user);

struct OtlpOptions {
    OtlpProtocol protocol = OtlpProtocol::kHttpProtobuf;
    // "http://host:port/path" or "https://..."; "host:port" is https for gRPC, http otherwise.
    // Empty: http://localhost:4318 or, for gRPC, http://localhost:4317. HTTP without a path:
    // /v1/traces.
    std::string endpoint = {};
    std::vector<std::pair<std::string, std::string>> headers = {};
    OtlpCompression compression = OtlpCompression::kNone;
    // Of one attempt. A batch is tried again, with growing pauses, until its processor's deadline.
    Duration timeout = Duration::from_ms(10'000);
    // PEM files. The CA to trust (empty: the system's), and a certificate and key to show.
    std::string certificate_file = {};
    std::string client_certificate_file = {};
    std::string client_key_file = {};
    // A batch over this is sent in parts; a span over this is refused and counted.
    size_t request_bytes_max = 64U << 20;
    ExportProblemCallback on_problem = nullptr;  // absent: a line on standard error
    void* on_problem_user = nullptr;
};

// Sends by OTLP. Where the options cannot work (an endpoint that is no URL, a file that is not
// there), `problem` says why and the exporter fails every batch.
std::shared_ptr<SpanExporter> make_otlp_exporter(OtlpOptions options,
                                                 std::string* problem = nullptr);

// Appends OTLP/JSON, one request a line, to a file, or to standard output where the path is empty.
std::shared_ptr<SpanExporter> make_otlp_file_exporter(std::string path,
                                                      std::string* problem = nullptr);

}  // namespace spanloom

#include "sdk/configured_exporter.h"

#include <utility>

namespace spanloom::sdk {

namespace {

OtlpOptions otlp_options(const ExporterConfiguration& configuration) {
    OtlpOptions options;
    if (configuration.kind == ExporterConfiguration::Kind::kOtlpGrpc) {
        options.protocol = OtlpProtocol::kGrpc;
    } else if (configuration.encoding == ExporterConfiguration::Encoding::kJson) {
        options.protocol = OtlpProtocol::kHttpJson;
    }
    options.endpoint = configuration.endpoint;
    options.headers = configuration.headers;
    if (configuration.is_gzip) options.compression = OtlpCompression::kGzip;
    options.timeout = configuration.timeout;
    options.certificate_file = configuration.certificate_file;
    options.client_certificate_file = configuration.client_certificate_file;
    options.client_key_file = configuration.client_key_file;
    if (configuration.request_bytes_max != 0)
        options.request_bytes_max = configuration.request_bytes_max;
    return options;
}

}  // namespace

std::shared_ptr<SpanExporter> exporter_of(const ExporterConfiguration& configuration,
                                          std::vector<std::string>& problems, Listener listener) {
    std::string problem;
    std::shared_ptr<SpanExporter> exporter;
    switch (configuration.kind) {
        case ExporterConfiguration::Kind::kConsole:
            exporter = make_console_exporter();
            break;
        case ExporterConfiguration::Kind::kOtlpFile:
            exporter = make_otlp_file_exporter(configuration.file, &problem);
            break;
        default: {
            OtlpOptions options = otlp_options(configuration);
            options.on_problem = listener.callback;
            options.on_problem_user = listener.user;
            exporter = make_otlp_exporter(std::move(options), &problem);
            break;
        }
    }
    if (!problem.empty()) problems.push_back(problem);
    return exporter;
}

}  // namespace spanloom::sdk

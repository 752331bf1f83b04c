#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "otlp/batch.h"

namespace spanloom {

// Reads a file of traces piece by piece and hands each piece on as an OTLP request of bounded size.
// The form is seen from the content: OTLP protobuf (one message, or the Collector's file exporter's
// with lengths before them), OTLP JSON (one document, or one a line), Jaeger JSON, Zipkin JSON.
struct ImportCounts {
    uint64_t requests = 0;
    uint64_t spans = 0;
    uint64_t rejected = 0;  // spans that no server would take
    std::string rejection;  // why, the first time
    uint64_t bytes = 0;     // read
};
using ImportSink = std::function<Result<void>(std::string_view request, uint64_t spans)>;

Result<void> import_file(const std::string& path, const ImportSink& sink, ImportCounts& counts);
// The same of what is in memory already.
Result<void> import_bytes(std::string_view bytes, const ImportSink& sink, ImportCounts& counts);

// A request cut into pieces of at most this many spans and about this many bytes.
std::vector<std::string> split_request(const Batch& batch, size_t spans_max, size_t bytes_max);

}  // namespace spanloom

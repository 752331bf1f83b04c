// Jaeger's JSON from anywhere: what comes out can be read as OTLP, or there is an error.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "otlp/batch.h"
#include "receive/jaeger_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace spanloom;
    const Blob json = Blob::copy_of({reinterpret_cast<const char*>(data), size});
    const auto request = jaeger_json_to_otlp(json.view());
    if (request && !otlp::decode(*request)) std::abort();
    return 0;
}

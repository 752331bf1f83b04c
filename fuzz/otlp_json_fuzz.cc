#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "otlp/batch.h"
#include "receive/zipkin_convert.h"

// Any text must give a request or an error; what the converters write, decode must be able to walk.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace spanloom;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto bytes = otlp::json_to_protobuf(text)) {
        if (!otlp::decode(*bytes)) std::abort();
    }
    if (const auto bytes = zipkin_json_to_otlp(text, 1)) {
        const auto batch = otlp::decode(*bytes);
        if (!batch || batch->spans_rejected != 0) std::abort();
    }
    return 0;
}

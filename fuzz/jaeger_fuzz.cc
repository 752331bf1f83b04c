#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "otlp/batch.h"
#include "receive/jaeger_convert.h"

// Any bytes must give a request or an error; what the converters write, decode must be able to
// walk.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace spanloom;
    if (size == 0) return 0;
    const Blob bytes = Blob::copy_of({reinterpret_cast<const char*>(data + 1), size - 1});
    Result<Blob> converted = data[0] % 4 == 0   ? jaeger_thrift_to_otlp(bytes)
                             : data[0] % 4 == 1 ? jaeger_compact_call_to_otlp(bytes)
                             : data[0] % 4 == 2 ? jaeger_binary_call_to_otlp(bytes)
                                                : jaeger_protobuf_to_otlp(bytes);
    if (converted && !otlp::decode(*converted)) std::abort();
    return 0;
}

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/promql.h"

// Any text must give an expression or an error.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    (void)spanloom::api::parse_promql({reinterpret_cast<const char*>(data), size});
    return 0;
}

#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "otlp/batch.h"

// For benchmarks: a dump of OTLP requests as the load generator writes it: "OTLPDMP1", two u64,
// then records of u32 length, u32 spans and the request.
namespace spanloom::bench {

inline std::string read_dump(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// Gives the spans of a request other trace ids and later times, in place.
inline void shift(Blob& bytes, const Batch& batch, uint8_t copy, uint64_t later_ns) {
    for (const SpanRef& ref : batch.spans) {
        uint8_t* at = bytes.mutable_data() + ref.message.offset;
        const uint8_t* end = at + ref.message.size;
        // Fields come in order: trace id, ..., start and end.
        if (at[0] == 0x0a && at[1] == 16) at[2] = static_cast<uint8_t>(at[2] ^ copy);
        for (; at + 18 <= end; ++at) {
            uint64_t start = 0;
            uint64_t finish = 0;
            std::memcpy(&start, at + 1, 8);
            std::memcpy(&finish, at + 10, 8);
            if (at[0] != 0x39 || at[9] != 0x41 || start != ref.start_ns || finish != ref.end_ns)
                continue;
            start += later_ns;
            finish += later_ns;
            std::memcpy(at + 1, &start, 8);
            std::memcpy(at + 10, &finish, 8);
            break;
        }
    }
}

// Each request of a dump; as another copy with other trace ids and later times.
template <typename Visit>
void for_each_batch(std::string_view dump, uint8_t copy, uint64_t later_ns, const Visit& visit) {
    for (size_t at = 24; at + 8 <= dump.size();) {
        uint32_t size = 0;
        std::memcpy(&size, dump.data() + at, 4);
        at += 8;
        Blob bytes = Blob::copy_of(dump.substr(at, size));
        at += size;
        auto batch = otlp::decode(bytes);
        if (batch && copy != 0) {
            shift(bytes, *batch, copy, later_ns);
            batch = otlp::decode(bytes);
        }
        if (!batch) std::abort();
        batch->arrival_ns = 1;
        visit(std::move(*batch));
    }
}

}  // namespace spanloom::bench

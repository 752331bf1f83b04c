// What is counted of spans, from anywhere: reading never crashes, and what was read can be written,
// put together and read again.
#include <cstdint>
#include <string_view>

#include "insight/edge_counts.h"
#include "rollup/rollup_series.h"
#include "rollup/span_counts.h"

namespace {

using namespace spanloom;

void write_again(const PackedRollup& section) {
    if (section.empty()) return;
    (void)decode_rollup(encode_section(unpack(section)), section.step_s);
    RollupSum sum(section.step_s, section.detail);
    sum.add(section);
    (void)decode_rollup(encode_series(sum.finish()), section.step_s);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    if (size > 4096) return 0;
    if (const auto section = decode_rollup(bytes)) write_again(*section);
    const auto counts = decode_span_counts(bytes);
    if (!counts) return 0;
    write_again(counts->operations);
    const std::string_view both[] = {bytes, bytes};
    (void)insight::make_span_counting().put_together(both, store::CountsDetail::kMonth);
    return 0;
}

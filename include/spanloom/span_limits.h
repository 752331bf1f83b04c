#pragma once

#include <cstdint>

namespace spanloom {

// What one span may hold (the specification's SpanLimits). What is beyond is left out and counted
// in the span's dropped counts; values are cut.
struct SpanLimits {
    uint32_t attributes_max = 128;
    uint32_t value_characters_max = UINT32_MAX;  // of text; bytes of bytes
    uint32_t value_depth_max = 64;               // deeper arrays and maps become empty
    uint32_t events_max = 128;
    uint32_t links_max = 128;
    uint32_t event_attributes_max = 128;
    uint32_t link_attributes_max = 128;
    // Not in the specification: no span is encoded to more than this, so that none can eat the
    // memory of all others. What does not fit counts as dropped.
    uint32_t span_bytes_max = 1U << 20;
};

}  // namespace spanloom

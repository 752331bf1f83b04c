#pragma once

#include <functional>
#include <string_view>

#include "otlp/batch.h"

namespace spanloom::api {

// Streaming clients take messages of a few MiB at most: a trace goes out as several TracesData
// messages, each whole in itself with its resources and scopes, of about this size (a span is never
// cut). `send` returns false to stop.
inline constexpr size_t kChunkBytesMax = 1U << 20;
void for_each_chunk(const Batch& trace, size_t bytes_max,
                    const std::function<bool(std::string_view traces_data)>& send);

}  // namespace spanloom::api

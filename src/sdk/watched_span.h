#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "spanloom/span.h"

namespace spanloom::sdk {

// What a span record has beside it while its provider is asked to look closer (debug mode, minimum
// durations). Made at a record's first such span, never freed, used again as records are.
struct WatchedSpan {
    // The span's generation (32 bits), how many children were started (16) and how many of these
    // were left out (16), in one word: a late child never counts for another span that has the
    // record now. Any thread.
    std::atomic<uint64_t> family = 0;

    // ---- set at the start, by the thread that starts it
    WatchedSpan* parent = nullptr;  // null: none that lives in this process
    uint32_t parent_generation = 0;
    SpanKind kind = SpanKind::kInternal;
    bool is_entry = false;  // no parent in this process
    SpanContext context;
    detail::SourceLocation where;
    uint64_t started_ns = 0;  // monotonic

    // ---- of the list of live spans, with its lock held
    std::string name;
    bool is_listed = false;
    bool is_found = false;
    WatchedSpan* previous = nullptr;
    WatchedSpan* next = nullptr;
};

}  // namespace spanloom::sdk

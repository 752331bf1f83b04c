#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sdk/encode.h"
#include "sdk/thread_state.h"
#include "sdk/tick_clock.h"
#include "spanloom/span.h"

namespace spanloom::sdk {
struct WatchedSpan;
}

namespace spanloom::detail {

struct TracerCore;
struct Letter;

// What the SDK may do to a Span and a SpanContext.
struct SpanAccess {
    static SpanRecord* record(const Span& span) noexcept { return span.record_; }
    static bool is_recording(const Span& span) noexcept { return span.is_recording_; }
    // A Span that was made for a processor does not end.
    static void forget(Span& span) noexcept {
        span.record_ = nullptr;
        span.is_recording_ = false;
    }
    static void set_sampled(SpanContext& context) noexcept {
        context.flags_.bits |= TraceFlags::kSampled;
    }
    static TraceId& trace_id(SpanContext& context) noexcept { return context.trace_id_; }
    static SpanId& span_id(SpanContext& context) noexcept { return context.span_id_; }
    // Of a local span: all but its ids.
    static void set_local(SpanContext& context, TraceFlags flags) noexcept {
        context.flags_ = flags;
        context.is_remote_ = false;
        if (!context.trace_state_.empty()) context.trace_state_ = TraceState();
    }
    // Both without tracestate.
    static void copy_plain(SpanContext& to, const SpanContext& from) noexcept {
        to.trace_id_ = from.trace_id_;
        to.span_id_ = from.span_id_;
        to.flags_ = from.flags_;
        to.is_remote_ = from.is_remote_;
    }
    static void set_trace_state(SpanContext& context, TraceState state) noexcept {
        context.trace_state_ = std::move(state);
    }
};

// OTLP tags of a Span's fields.
enum SpanTag : uint32_t {
    kTagTraceId = 1 << 3 | 2,
    kTagSpanId = 2 << 3 | 2,
    kTagTraceState = 3 << 3 | 2,
    kTagParent = 4 << 3 | 2,
    kTagName = 5 << 3 | 2,
    kTagKind = 6 << 3,
    kTagStart = 7 << 3 | 1,
    kTagEnd = 8 << 3 | 1,
    kTagAttribute = 9 << 3 | 2,
    kTagDroppedAttributes = 10 << 3,
    kTagEvent = 11 << 3 | 2,
    kTagDroppedEvents = 12 << 3,
    kTagLink = 13 << 3 | 2,
    kTagDroppedLinks = 14 << 3,
    kTagStatus = 15 << 3 | 2,
    kTagFlags = 16 << 3 | 5,
};

// Every span begins with the same fields in the same places:
//    0 trace id    18 span id    28 start    37 end    46 kind    48 flags    (each with its tag)
//   54 parent id, where there is one; then tracestate where there is one, then the name, then all
//   else as it came.
constexpr size_t kStartAt = 29;
constexpr size_t kEndAt = 38;
constexpr size_t kFixedBytes = 54;

constexpr size_t kRecordBytes = 1024;
constexpr size_t kRecordHeadBytes = 272;

// A living span: its OTLP bytes as they grow, and what is needed to grow them. Records are kept by
// threads and used again and again; never freed, so that a SpanHandle can always look whether its
// generation is still the current one. Used by the owner of the Span, but where said.
class alignas(64) SpanRecord {
  public:
    // By its address, since it comes later.
    SpanRecord() noexcept : buffer(reinterpret_cast<uint8_t*>(&storage), sizeof storage) {}

    SpanContext context;
    // Read by any thread; tracers are never freed.
    TracerCore* tracer() const noexcept { return tracer_.load(std::memory_order_relaxed); }
    void set_tracer(TracerCore* tracer) noexcept {
        tracer_.store(tracer, std::memory_order_relaxed);
    }
    // Odd while the span is recording. Read by any thread.
    std::atomic<uint64_t> generation = 0;
    // What other threads have to say, newest first. Pushed by any thread.
    std::atomic<Letter*> letters = nullptr;
    std::atomic<uint32_t> letter_count = 0;
    uint32_t fork_number = 0;  // of the process that started it
    sdk::EncodeBuffer buffer;
    sdk::TickClock::Moment start;
    // Bits of the keys that are set: a key whose bit is not there is new.
    std::array<uint64_t, 4> key_filter{};
    uint32_t fields_at = 0;  // where the fields after the name begin
    uint32_t attributes = 0;
    uint32_t events = 0;
    uint32_t links = 0;
    uint32_t dropped_attributes = 0;
    uint32_t dropped_events = 0;
    uint32_t dropped_links = 0;
    StatusCode status = StatusCode::kUnset;
    bool is_recording = false;
    bool lacks_ids = false;  // it was sampled out, and nobody has asked for its ids yet
    SourceLocation where;
    SpanRecord* next_free = nullptr;
    // Made where its provider looks closer; never freed. Read by any thread.
    std::atomic<sdk::WatchedSpan*> watched = nullptr;

    std::array<uint8_t, kRecordBytes - kRecordHeadBytes> storage;

  private:
    std::atomic<TracerCore*> tracer_ = nullptr;
};

// One word from another thread to a span: already encoded.
struct Letter {
    enum class Kind : uint8_t { kAttribute, kEvent, kLink, kStatus, kName };

    Letter* next = nullptr;
    uint64_t generation = 0;
    Kind kind = Kind::kAttribute;
    StatusCode status = StatusCode::kUnset;
    uint32_t size = 0;
    // The bytes follow: a field of the Span (kAttribute, kEvent, kLink) or text.
    const char* bytes() const noexcept { return reinterpret_cast<const char*>(this + 1); }
    std::string_view view() const noexcept { return {bytes(), size}; }
};

// For a thread that has no free record, or too many.
SpanRecord* refill_records(ThreadState& thread) noexcept;
void give_records_on(ThreadState& thread) noexcept;

inline SpanRecord* take_record(ThreadState& thread) noexcept {
    SpanRecord* record = thread.free_records;
    if (record == nullptr) [[unlikely]]
        record = refill_records(thread);
    if (record == nullptr) [[unlikely]]
        return nullptr;
    thread.free_records = record->next_free;
    --thread.free_record_count;
    return record;
}

inline void give_record(ThreadState& thread, SpanRecord* record) noexcept {
    // A thread that ends spans which others start gives their records on by this many.
    constexpr uint32_t kFreeRecordsMax = 64;
    record->next_free = thread.free_records;
    thread.free_records = record;
    if (++thread.free_record_count > kFreeRecordsMax) [[unlikely]]
        give_records_on(thread);
}

// Around a fork, so that the child finds no lock taken.
void lock_spare_records() noexcept;
void unlock_spare_records() noexcept;

// The process's number among its forks: spans of another number were born in a parent.
extern std::atomic<uint32_t> fork_number;

// Of a span that was sampled out. By the owner of the Span.
void make_late_ids(SpanRecord* record) noexcept;

// Takes in what other threads have written. `read_letters` for when there is something.
void read_letters(SpanRecord* record) noexcept;
inline void check_letters(SpanRecord* record) noexcept {
    if (record->letters.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
        read_letters(record);
}

// Appends a whole field that carries an attribute (its KeyValue is `message`).
void append_attribute_field(SpanRecord* record, std::string_view key,
                            std::string_view field) noexcept;

sdk::EncodeLimits value_limits(const SpanRecord* record) noexcept;
// Whole fields of a Span; false (and nothing written) where the buffer is full.
bool put_event(sdk::EncodeBuffer& buffer, std::string_view name, AttributeList attributes,
               Timestamp time, const sdk::EncodeLimits& limits, uint32_t attributes_max) noexcept;
bool put_link(sdk::EncodeBuffer& buffer, const SpanContext& context, AttributeList attributes,
              const sdk::EncodeLimits& limits, uint32_t attributes_max) noexcept;

// The span's bytes are complete but for these.
void append_dropped_counts(SpanRecord* record) noexcept;

}  // namespace spanloom::detail

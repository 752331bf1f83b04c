#include <cstring>

#include "sdk/provider_core.h"
#include "sdk/span_record.h"

namespace spanloom::detail {
namespace {

const SpanContext kNoContext;

[[gnu::always_inline]] inline void hand_to_processors(SpanRecord* record,
                                                      ProviderCore* provider) noexcept {
    const ReadableSpan span(record->buffer.view(), record->context, record->tracer()->source);
    for (SpanProcessor* processor : provider->on_end)
        processor->on_end(span);
}

[[gnu::always_inline]] inline void put_end_time(SpanRecord* record, Timestamp time) noexcept {
    uint64_t end_ns = time.unix_ns;
    if (time.is_now()) end_ns = sdk::tick_clock.end_ns(record->start);
    std::memcpy(record->buffer.begin() + kEndAt, &end_ns, sizeof end_ns);
}

}  // namespace

const SpanContext& context_of(const SpanRecord* record) noexcept {
    if (record == nullptr) return kNoContext;
    // A Span is a value of one thread at a time, and so are its ids until they are made.
    if (record->lacks_ids) make_late_ids(const_cast<SpanRecord*>(record));
    return record->context;
}

void append_dropped_counts(SpanRecord* record) noexcept {
    // These few bytes are always allowed: what was dropped must not go unsaid.
    if (!record->buffer.ensure(3 * 16, SIZE_MAX)) return;
    uint8_t* at = record->buffer.at();
    const auto put = [&at](uint32_t tag, uint32_t count) {
        if (count != 0) at = sdk::put_varint(sdk::put_varint(at, tag), count);
    };
    put(kTagDroppedAttributes, record->dropped_attributes);
    put(kTagDroppedEvents, record->dropped_events);
    put(kTagDroppedLinks, record->dropped_links);
    record->buffer.set_at(at);
}

namespace {

[[gnu::always_inline]] inline void end(ThreadState& thread, SpanRecord* record,
                                       Timestamp time) noexcept {
    put_end_time(record, time);
    check_letters(record);
    ProviderCore* provider = record->tracer()->provider;
    if (!provider->on_ending.empty()) [[unlikely]] {
        Span span(Started{record, true});
        for (SpanProcessor* processor : provider->on_ending)
            processor->on_ending(span);
        SpanAccess::forget(span);
    }
    record->is_recording = false;
    record->generation.store(record->generation.load(std::memory_order_relaxed) + 1,
                             std::memory_order_release);
    if ((record->dropped_attributes | record->dropped_events | record->dropped_links) != 0)
        [[unlikely]]
        append_dropped_counts(record);
    // A span of the parent process ends there too: it is not the child's to count and report.
    if (record->fork_number != fork_number.load(std::memory_order_relaxed)) [[unlikely]]
        return;
    ThreadCounts& counts = provider->counts(thread);
    ThreadCounts::add(counts.ended);
    if (provider->watch.flags.load(std::memory_order_relaxed) != 0 &&
        !provider->watch.keeps(record, counts)) [[unlikely]]
        return;
    hand_to_processors(record, provider);
}

}  // namespace

void end_span(SpanRecord* record, Timestamp time) noexcept {
    end(thread_state(), record, time);
}

void release_span(SpanRecord* record, bool is_recording) noexcept {
    ThreadState& thread = thread_state();
    if (is_recording) end(thread, record, {});
    give_record(thread, record);
}

}  // namespace spanloom::detail

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "otlp/wire.h"
#include "sdk/exception_event.h"
#include "sdk/provider_core.h"
#include "sdk/span_record.h"
#include "spanloom/span.h"

// Words of other threads to a span. They are encoded where they are said, and wait in the span's
// letter box until its owner comes by.
namespace spanloom {

using detail::Letter;
using detail::SpanRecord;

namespace detail {
namespace {

constexpr uint32_t kLettersMax = 1024;
constexpr size_t kScratchBytes = 2048;
constexpr size_t kTextBytesMax = size_t{1} << 20;

void post(SpanRecord* record, uint64_t generation, Letter::Kind kind, StatusCode status,
          std::string_view bytes) noexcept {
    if (record->letter_count.fetch_add(1, std::memory_order_relaxed) >= kLettersMax) {
        if (TracerCore* tracer = record->tracer(); tracer != nullptr)
            tracer->provider->dropped_letters.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    void* memory = std::malloc(sizeof(Letter) + bytes.size());
    if (memory == nullptr) return;
    auto* letter = new (memory) Letter;
    letter->generation = generation;
    letter->kind = kind;
    letter->status = status;
    letter->size = static_cast<uint32_t>(bytes.size());
    std::memcpy(static_cast<void*>(letter + 1), bytes.data(), bytes.size());
    letter->next = record->letters.load(std::memory_order_relaxed);
    while (!record->letters.compare_exchange_weak(letter->next, letter, std::memory_order_release,
                                                  std::memory_order_relaxed)) {
    }
}

void count_late(const SpanRecord* record) noexcept {
    if (const TracerCore* tracer = record->tracer(); tracer != nullptr)
        tracer->provider->late_letters.fetch_add(1, std::memory_order_relaxed);
}

// False where the span has ended: what it would be told is counted as too late.
bool hears(const SpanRecord* record, uint64_t generation) noexcept {
    if (record == nullptr) return false;
    if (record->generation.load(std::memory_order_acquire) == generation) return true;
    count_late(record);
    return false;
}

std::string_view key_of(std::string_view field) noexcept {
    otlp::WireReader reader(field);
    reader.next();
    otlp::WireReader inner(reader.bytes());
    inner.next();
    return inner.bytes();
}

void append_counted(SpanRecord* record, std::string_view field, uint32_t& count, uint32_t max,
                    uint32_t& dropped) noexcept {
    if (count >= max ||
        !record->buffer.ensure(field.size(), record->tracer()->limits.span_bytes_max)) {
        ++dropped;
        return;
    }
    std::memcpy(record->buffer.at(), field.data(), field.size());
    record->buffer.set_at(record->buffer.at() + field.size());
    ++count;
}

void read_letter(SpanRecord* record, const Letter& letter) noexcept {
    const SpanLimits& limits = record->tracer()->limits;
    switch (letter.kind) {
        case Letter::Kind::kAttribute:
            append_attribute_field(record, key_of(letter.view()), letter.view());
            break;
        case Letter::Kind::kEvent:
            append_counted(record, letter.view(), record->events, limits.events_max,
                           record->dropped_events);
            break;
        case Letter::Kind::kLink:
            append_counted(record, letter.view(), record->links, limits.links_max,
                           record->dropped_links);
            break;
        case Letter::Kind::kStatus:
            set_status(record, letter.status, letter.view());
            break;
        case Letter::Kind::kName:
            update_name(record, letter.view());
            break;
    }
}

}  // namespace

void read_letters(SpanRecord* record) noexcept {
    Letter* newest = record->letters.exchange(nullptr, std::memory_order_acquire);
    record->letter_count.store(0, std::memory_order_relaxed);
    Letter* oldest = nullptr;
    while (newest != nullptr)
        oldest = std::exchange(newest, std::exchange(newest->next, oldest));
    const uint64_t generation = record->generation.load(std::memory_order_relaxed);
    while (oldest != nullptr) {
        Letter* letter = std::exchange(oldest, oldest->next);
        // Others were meant for a span that had this record before.
        if (letter->generation == generation) {
            read_letter(record, *letter);
        } else {
            count_late(record);
        }
        std::free(letter);
    }
}

}  // namespace detail

SpanHandle Span::handle() const noexcept {
    if (!is_recording_) return {context(), nullptr, 0};
    return {record_->context, record_, record_->generation.load(std::memory_order_relaxed)};
}

bool SpanHandle::is_recording() const noexcept {
    return record_ != nullptr && record_->generation.load(std::memory_order_acquire) == generation_;
}

// Encodes with `put` and posts what came of it.
template <typename Put>
static void post_encoded(SpanRecord* record, uint64_t generation, Letter::Kind kind,
                         Put put) noexcept {
    const detail::TracerCore* tracer = record->tracer();
    if (tracer == nullptr) return;
    uint8_t scratch[detail::kScratchBytes];
    sdk::EncodeBuffer buffer(scratch, sizeof scratch);
    if (put(buffer, detail::value_limits(record), tracer->limits))
        detail::post(record, generation, kind, StatusCode::kUnset, buffer.view());
}

const SpanHandle& SpanHandle::set_attribute(std::string_view key,
                                            const AttributeValue& value) const noexcept {
    if (key.empty() || value.type() == AttributeValue::Type::kEmpty ||
        !detail::hears(record_, generation_))
        return *this;
    post_encoded(record_, generation_, Letter::Kind::kAttribute,
                 [&](sdk::EncodeBuffer& buffer, const sdk::EncodeLimits& limits,
                     const SpanLimits&) noexcept {
                     return put_attribute(buffer, detail::kTagAttribute, key, value, limits);
                 });
    return *this;
}

const SpanHandle& SpanHandle::add_event(std::string_view name, AttributeList attributes,
                                        Timestamp time) const noexcept {
    if (!detail::hears(record_, generation_)) return *this;
    post_encoded(record_, generation_, Letter::Kind::kEvent,
                 [&](sdk::EncodeBuffer& buffer, const sdk::EncodeLimits& limits,
                     const SpanLimits& span_limits) noexcept {
                     return detail::put_event(buffer, name, attributes, time, limits,
                                              span_limits.event_attributes_max);
                 });
    return *this;
}

const SpanHandle& SpanHandle::record_exception(const std::exception& exception,
                                               AttributeList attributes,
                                               Timestamp time) const noexcept {
    if (!detail::hears(record_, generation_)) return *this;
    return add_event("exception", detail::ExceptionEvent(exception, attributes).attributes(), time);
}

const SpanHandle& SpanHandle::record_current_exception(AttributeList attributes,
                                                       Timestamp time) const noexcept {
    if (!detail::hears(record_, generation_)) return *this;
    const detail::ExceptionEvent event(attributes);
    return event.is_there() ? add_event("exception", event.attributes(), time) : *this;
}

const SpanHandle& SpanHandle::add_link(const SpanContext& context,
                                       AttributeList attributes) const noexcept {
    if (!detail::hears(record_, generation_)) return *this;
    if (!context.is_valid() && attributes.empty() && context.trace_state().empty()) return *this;
    post_encoded(record_, generation_, Letter::Kind::kLink,
                 [&](sdk::EncodeBuffer& buffer, const sdk::EncodeLimits& limits,
                     const SpanLimits& span_limits) noexcept {
                     return detail::put_link(buffer, context, attributes, limits,
                                             span_limits.link_attributes_max);
                 });
    return *this;
}

const SpanHandle& SpanHandle::set_status(StatusCode code,
                                         std::string_view description) const noexcept {
    if (description.size() <= detail::kTextBytesMax && detail::hears(record_, generation_))
        detail::post(record_, generation_, Letter::Kind::kStatus, code, description);
    return *this;
}

const SpanHandle& SpanHandle::update_name(std::string_view name) const noexcept {
    if (name.size() <= detail::kTextBytesMax && detail::hears(record_, generation_))
        detail::post(record_, generation_, Letter::Kind::kName, StatusCode::kUnset, name);
    return *this;
}

}  // namespace spanloom

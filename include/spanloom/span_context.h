#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "spanloom/ids.h"

namespace spanloom {
namespace detail {

struct SpanAccess;
struct TextBlock;

// Immutable text that is shared: copies count references, none where the text is empty (which is
// almost always, and then costs nothing). Any thread.
class SharedText {
  public:
    constexpr SharedText() noexcept = default;
    explicit SharedText(std::string_view text) noexcept;
    SharedText(const SharedText& other) noexcept : block_(other.block_) {
        if (block_ != nullptr) acquire(block_);
    }
    SharedText(SharedText&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
    SharedText& operator=(SharedText other) noexcept {
        std::swap(block_, other.block_);
        return *this;
    }
    ~SharedText() {
        if (block_ != nullptr) release(block_);
    }

    bool empty() const noexcept { return block_ == nullptr; }
    std::string_view view() const noexcept { return block_ == nullptr ? "" : text_of(block_); }

  private:
    static void acquire(TextBlock* block) noexcept;
    static void release(TextBlock* block) noexcept;
    static std::string_view text_of(const TextBlock* block) noexcept;

    TextBlock* block_ = nullptr;
};

}  // namespace detail

// W3C trace-flags.
struct TraceFlags {
    static constexpr uint8_t kSampled = 0x01;
    static constexpr uint8_t kRandom =
        0x02;  // level 2: the last 7 bytes of the trace id are random
    static constexpr uint8_t kSent = kSampled | kRandom;  // no other bit is W3C's
    // B3's and Jaeger's "debug", which only their own formats pass on.
    static constexpr uint8_t kDebug = 0x80;

    uint8_t bits = 0;

    constexpr bool is_sampled() const noexcept { return (bits & kSampled) != 0; }
    constexpr bool is_random() const noexcept { return (bits & kRandom) != 0; }
    friend constexpr bool operator==(TraceFlags a, TraceFlags b) noexcept {
        return a.bits == b.bits;
    }
};

// W3C tracestate: a list of `key=value`, newest first. Immutable; `set` and `erase` give a changed
// copy. The text is always valid by the specification's grammar and at most 32 members long.
class TraceState {
  public:
    TraceState() noexcept = default;
    // An empty one where the text breaks the grammar or has more than 32 members.
    static TraceState parse(std::string_view header) noexcept;

    bool empty() const noexcept { return text_.empty(); }
    // As a header carries it.
    std::string_view text() const noexcept { return text_.view(); }
    // The value of a key; "" where it is absent (no value is empty).
    std::string_view get(std::string_view key) const noexcept;
    // With the member in front. Unchanged where key or value break the grammar.
    TraceState set(std::string_view key, std::string_view value) const noexcept;
    TraceState erase(std::string_view key) const noexcept;

    friend bool operator==(const TraceState& a, const TraceState& b) noexcept {
        return a.text() == b.text();
    }

  private:
    explicit TraceState(detail::SharedText text) noexcept : text_(std::move(text)) {}

    detail::SharedText text_;
};

// What of a span travels: its ids, flags and tracestate. A value; any thread.
class SpanContext {
  public:
    SpanContext() noexcept = default;
    SpanContext(const TraceId& trace_id, const SpanId& span_id, TraceFlags flags,
                TraceState trace_state = {}, bool is_remote = false) noexcept
        : trace_id_(trace_id),
          span_id_(span_id),
          flags_(flags),
          is_remote_(is_remote),
          trace_state_(std::move(trace_state)) {}

    const TraceId& trace_id() const noexcept { return trace_id_; }
    const SpanId& span_id() const noexcept { return span_id_; }
    TraceFlags flags() const noexcept { return flags_; }
    const TraceState& trace_state() const noexcept { return trace_state_; }
    bool is_valid() const noexcept { return !trace_id_.is_zero() && !span_id_.is_zero(); }
    bool is_sampled() const noexcept { return flags_.is_sampled(); }
    // It came from another process.
    bool is_remote() const noexcept { return is_remote_; }

    friend bool operator==(const SpanContext& a, const SpanContext& b) noexcept {
        return a.trace_id_ == b.trace_id_ && a.span_id_ == b.span_id_ && a.flags_ == b.flags_ &&
               a.is_remote_ == b.is_remote_ && a.trace_state_ == b.trace_state_;
    }

  private:
    friend struct detail::SpanAccess;

    TraceId trace_id_;
    SpanId span_id_;
    TraceFlags flags_;
    bool is_remote_ = false;
    TraceState trace_state_;
};

}  // namespace spanloom

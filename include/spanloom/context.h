#pragma once

#include <cstdint>
#include <utility>

#include "spanloom/baggage.h"
#include "spanloom/span_context.h"

namespace spanloom {

class Scope;
class Span;
class SpanHandle;

namespace detail {
struct ContextAccess;
class SpanRecord;
class ThreadState;
}  // namespace detail

// What follows the work: the active span, the baggage, and whether instrumentation is silent. A
// value: copying it costs no lock and (without baggage and tracestate) no atomic operation. Take
// `Context::current()` where work is handed over and `activate()` it where the work goes on; or let
// `spanloom::bind` do both. It may outlive its span: then only the span's ids are left of it.
class Context {
  public:
    // The root: no span, no baggage. A span with this parent begins a new trace.
    Context() noexcept = default;
    // With a span of another process (or any other known by its ids alone) as the active one.
    explicit Context(SpanContext span_context) noexcept : span_context_(std::move(span_context)) {}

    static Context root() noexcept { return {}; }
    // The calling thread's.
    static Context current() noexcept;

    const SpanContext& span_context() const noexcept { return span_context_; }
    // The active span itself while it lives in this process, else a no-op with its ids.
    SpanHandle span() const noexcept;
    const Baggage& baggage() const noexcept { return baggage_; }
    // Spans are not recorded below this context: exporters run so.
    bool is_suppressed() const noexcept { return is_suppressed_; }

    [[nodiscard]] Context with_span(const Span& span) const noexcept;
    [[nodiscard]] Context with_span_context(SpanContext span_context) const noexcept;
    [[nodiscard]] Context with_baggage(Baggage baggage) const noexcept;
    [[nodiscard]] Context with_suppression() const noexcept;

    // Makes it the calling thread's context until the Scope is gone.
    [[nodiscard]] Scope activate() const noexcept;

  private:
    friend struct detail::ContextAccess;

    SpanContext span_context_;
    detail::SpanRecord* record_ = nullptr;
    uint64_t record_generation_ = 0;
    Baggage baggage_;
    bool is_suppressed_ = false;
};

// A context is the thread's current one as long as its Scope lives. Meant for a local variable:
//
//     Span span = tracer.start_span("work");
//     Scope scope(span);
//
// Scopes may end in any order and even on another thread: the one that was opened last and is still
// open is the current one.
class Scope {
  public:
    // Not active at all.
    Scope() noexcept = default;
    [[nodiscard]] explicit Scope(const Context& context) noexcept;
    // The current context, with this span as the active one.
    [[nodiscard]] explicit Scope(const Span& span) noexcept;
    Scope(Scope&& other) noexcept
        : thread_(std::exchange(other.thread_, nullptr)),
          token_(other.token_),
          depth_(other.depth_) {}
    Scope& operator=(Scope&& other) noexcept {
        close();
        thread_ = std::exchange(other.thread_, nullptr);
        token_ = other.token_;
        depth_ = other.depth_;
        return *this;
    }
    ~Scope() { close(); }

    void close() noexcept {
        if (thread_ != nullptr) leave();
    }

  private:
    void leave() noexcept;

    detail::ThreadState* thread_ = nullptr;
    uint64_t token_ = 0;
    uint32_t depth_ = 0;
};

}  // namespace spanloom

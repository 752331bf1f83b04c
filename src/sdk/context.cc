#include "spanloom/context.h"

#include "sdk/span_record.h"
#include "sdk/thread_state.h"
#include "spanloom/tracer.h"

namespace spanloom {

using detail::ContextAccess;
using detail::ThreadState;

namespace {

[[gnu::always_inline]] inline void put_span(Context& context, const Span& span) noexcept {
    detail::SpanRecord* record = detail::SpanAccess::record(span);
    const SpanContext& from = detail::context_of(record);
    SpanContext& to = ContextAccess::span_context(context);
    if (from.trace_state().empty() && to.trace_state().empty()) [[likely]] {
        detail::SpanAccess::copy_plain(to, from);
    } else {
        to = from;
    }
    const bool is_recording = detail::SpanAccess::is_recording(span);
    ContextAccess::record(context) = is_recording ? record : nullptr;
    ContextAccess::generation(context) =
        is_recording ? record->generation.load(std::memory_order_relaxed) : 0;
}

// Written once: every thread reads it.
void note_contexts() noexcept {
    if (!__atomic_load_n(&detail::has_contexts, __ATOMIC_RELAXED)) [[unlikely]]
        __atomic_store_n(&detail::has_contexts, true, __ATOMIC_RELAXED);
}

}  // namespace

Context Context::current() noexcept {
    ThreadState* thread = detail::thread_state_or_null;
    const Context* top = thread == nullptr ? nullptr : thread->top();
    return top == nullptr ? Context() : *top;
}

Context Context::with_span(const Span& span) const noexcept {
    Context changed = *this;
    put_span(changed, span);
    return changed;
}

Context Context::with_span_context(SpanContext span_context) const noexcept {
    Context changed = *this;
    changed.span_context_ = std::move(span_context);
    changed.record_ = nullptr;
    changed.record_generation_ = 0;
    return changed;
}

Context Context::with_baggage(Baggage baggage) const noexcept {
    Context changed = *this;
    changed.baggage_ = std::move(baggage);
    return changed;
}

Context Context::with_suppression() const noexcept {
    Context changed = *this;
    changed.is_suppressed_ = true;
    return changed;
}

Scope Context::activate() const noexcept {
    return Scope(*this);
}

Scope::Scope(const Context& context) noexcept {
    ThreadState& thread = detail::thread_state();
    ThreadState::ContextEntry* entry = thread.push();
    if (entry == nullptr) return;
    entry->context = context;
    thread_ = &thread;
    token_ = entry->token.load(std::memory_order_relaxed);
    depth_ = thread.depth() - 1;
    note_contexts();
}

Scope::Scope(const Span& span) noexcept {
    ThreadState& thread = detail::thread_state();
    const Context* below = thread.top();
    ThreadState::ContextEntry* entry = thread.push();
    if (entry == nullptr) return;
    ContextAccess::is_suppressed(entry->context) = false;
    if (below != nullptr) {
        if (!below->baggage().empty()) ContextAccess::baggage(entry->context) = below->baggage();
        ContextAccess::is_suppressed(entry->context) = below->is_suppressed();
    }
    put_span(entry->context, span);
    thread_ = &thread;
    token_ = entry->token.load(std::memory_order_relaxed);
    depth_ = thread.depth() - 1;
    note_contexts();
}

void Scope::leave() noexcept {
    if (thread_ != detail::thread_state_or_null || !thread_->close_top(depth_, token_)) [[unlikely]]
        thread_->close(depth_, token_);
    thread_ = nullptr;
}

}  // namespace spanloom

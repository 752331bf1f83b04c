#include "spanloom/flow.h"

#include "sdk/thread_state.h"
#include "spanloom/tracer.h"

namespace spanloom {

using detail::ContextAccess;
using detail::FlowMark;
using detail::ThreadState;

namespace {

void open(ThreadState& thread, const Context& context, uint64_t token) noexcept {
    if (ThreadState::ContextEntry* entry = thread.push(token)) entry->context = context;
}

FlowMark begin(ThreadState& thread) noexcept {
    thread.top();  // takes closed contexts away
    const FlowMark mark{&thread, thread.depth(), thread.flow_base};
    thread.flow_base = mark.depth;
    __atomic_store_n(&detail::has_contexts, true, __ATOMIC_RELAXED);
    return mark;
}

}  // namespace

FlowMark detail::enter_flow(const Context& context) noexcept {
    ThreadState& thread = thread_state();
    const FlowMark mark = begin(thread);
    open(thread, context, 0);
    return mark;
}

FlowMark detail::enter_flow(const Flow& flow) noexcept {
    ThreadState& thread = thread_state();
    const FlowMark mark = begin(thread);
    for (const Flow::Open& below : flow.below_)
        open(thread, below.context, below.token);
    open(thread, flow.current_, flow.token_);
    return mark;
}

void detail::leave_flow(const FlowMark& mark) noexcept {
    if (mark.thread == nullptr || mark.thread != thread_state_or_null) return;
    mark.thread->truncate(mark.depth);
    mark.thread->flow_base = mark.base;
}

Flow Flow::current() noexcept {
    Flow flow;
    ThreadState* thread = detail::thread_state_or_null;
    const Context* top = thread == nullptr ? nullptr : thread->top();
    if (top == nullptr) return flow;
    flow.current_ = *top;
    const uint32_t last = thread->depth() - 1;
    if (thread->flow_base > last) return flow;  // in none: what is below belongs to the thread
    flow.token_ = thread->at(last).token.load(std::memory_order_relaxed);
    try {
        for (uint32_t i = thread->flow_base; i < last; ++i) {
            const ThreadState::ContextEntry& entry = thread->at(i);
            const uint64_t token = entry.token.load(std::memory_order_relaxed);
            if (token != 0) flow.below_.push_back({token, entry.context});
        }
    } catch (...) {  // out of memory: after its scopes the flow is at its current context
        flow.below_.clear();
    }
    return flow;
}

std::shared_ptr<const Flow> Flow::share() noexcept {
    try {
        return std::make_shared<const Flow>(current());
    } catch (...) {
        return nullptr;
    }
}

}  // namespace spanloom

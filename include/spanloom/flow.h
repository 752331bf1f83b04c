#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "spanloom/context.h"

namespace spanloom {

class Flow;

namespace detail {

struct FlowMark {
    ThreadState* thread = nullptr;
    uint32_t depth = 0;
    uint32_t base = 0;
};
FlowMark enter_flow(const Flow& flow) noexcept;
FlowMark enter_flow(const Context& context) noexcept;
void leave_flow(const FlowMark& mark) noexcept;

}  // namespace detail

// What a flow of work takes along when it leaves a thread and goes on elsewhere: its current
// context, and those below it that are still open. So a Scope that a coroutine opened on one thread
// can be closed on another, and what was current before it is current again. A value.
//
// Programs rarely need it: `bind`, the coroutine promise and the Asio executor use it.
class Flow {
  public:
    // With the root as its context.
    Flow() noexcept = default;
    explicit Flow(Context context) noexcept : current_(std::move(context)) {}
    // The one that runs on this thread: everything that was opened since it went on here.
    static Flow current() noexcept;
    // The same, for those who must be copied without fail. Null where there is no memory for it.
    static std::shared_ptr<const Flow> share() noexcept;

    const Context& context() const noexcept { return current_; }

  private:
    friend detail::FlowMark detail::enter_flow(const Flow& flow) noexcept;

    struct Open {
        uint64_t token;
        Context context;
    };
    std::vector<Open> below_;  // outermost first; nothing is allocated where there are none
    Context current_;
    uint64_t token_ = 0;  // 0: no Scope waits for it
};

// The flow goes on here while this lives. Afterwards the thread has the context it had before, also
// where the flow left scopes open. A local variable.
class FlowScope {
  public:
    explicit FlowScope(const Flow& flow) noexcept : mark_(detail::enter_flow(flow)) {}
    explicit FlowScope(const Context& context) noexcept : mark_(detail::enter_flow(context)) {}
    explicit FlowScope(const std::shared_ptr<const Flow>& flow) noexcept
        : mark_(flow == nullptr ? detail::enter_flow(Context()) : detail::enter_flow(*flow)) {}
    FlowScope(const FlowScope&) = delete;
    FlowScope& operator=(const FlowScope&) = delete;
    ~FlowScope() { detail::leave_flow(mark_); }

  private:
    detail::FlowMark mark_;
};

}  // namespace spanloom

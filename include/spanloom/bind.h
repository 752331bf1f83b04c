#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include "spanloom/flow.h"

namespace spanloom {

// A callable that runs in the context of where it was bound, on whatever thread. It can be called
// as the callable itself can (same arguments, same result, const where that is const, once where it
// must be moved to be called), copied where that can be copied, and moved.
template <typename Carried, typename F>
class Bound {
  public:
    template <typename G>
    Bound(Carried carried, G&& function)
        : carried_(std::move(carried)), function_(std::forward<G>(function)) {}

    template <typename... Args, typename = std::enable_if_t<std::is_invocable<F&, Args...>::value>>
    std::invoke_result_t<F&, Args...> operator()(Args&&... args) & {
        const FlowScope scope(carried_);
        return std::invoke(function_, std::forward<Args>(args)...);
    }
    template <typename... Args,
              typename = std::enable_if_t<std::is_invocable<const F&, Args...>::value>>
    std::invoke_result_t<const F&, Args...> operator()(Args&&... args) const& {
        const FlowScope scope(carried_);
        return std::invoke(function_, std::forward<Args>(args)...);
    }
    template <typename... Args, typename = std::enable_if_t<std::is_invocable<F, Args...>::value>>
    std::invoke_result_t<F, Args...> operator()(Args&&... args) && {
        const FlowScope scope(carried_);
        return std::invoke(std::move(function_), std::forward<Args>(args)...);
    }

    F& function() noexcept { return function_; }
    const F& function() const noexcept { return function_; }

  private:
    Carried carried_;
    F function_;
};

// In a given context.
template <typename F>
Bound<Context, std::decay_t<F>> bind(Context context, F&& function) {
    return {std::move(context), std::forward<F>(function)};
}

// In the current one: `pool.submit(spanloom::bind([] { ... }))`.
template <typename F>
Bound<Context, std::decay_t<F>> bind(F&& function) {
    return {Context::current(), std::forward<F>(function)};
}

// An executor whose work runs in the context of where it was handed over: wraps anything with
// post, submit, execute, enqueue or push, and has those that it has.
//
//     auto pool = spanloom::carry(my_thread_pool);   // keeps a reference
//     pool.submit([] { ... });
template <typename Executor>
class CarryingExecutor {
  public:
    explicit CarryingExecutor(Executor& executor) noexcept : executor_(&executor) {}

    template <typename F, typename... Args>
    decltype(auto) post(F&& function, Args&&... args) const {
        return executor_->post(bind(std::forward<F>(function)), std::forward<Args>(args)...);
    }
    template <typename F, typename... Args>
    decltype(auto) submit(F&& function, Args&&... args) const {
        return executor_->submit(bind(std::forward<F>(function)), std::forward<Args>(args)...);
    }
    template <typename F, typename... Args>
    decltype(auto) execute(F&& function, Args&&... args) const {
        return executor_->execute(bind(std::forward<F>(function)), std::forward<Args>(args)...);
    }
    template <typename F, typename... Args>
    decltype(auto) enqueue(F&& function, Args&&... args) const {
        return executor_->enqueue(bind(std::forward<F>(function)), std::forward<Args>(args)...);
    }
    template <typename F, typename... Args>
    decltype(auto) push(F&& function, Args&&... args) const {
        return executor_->push(bind(std::forward<F>(function)), std::forward<Args>(args)...);
    }

    Executor& wrapped() const noexcept { return *executor_; }

  private:
    Executor* executor_;
};

template <typename Executor>
CarryingExecutor<Executor> carry(Executor& executor) noexcept {
    return CarryingExecutor<Executor>(executor);
}

}  // namespace spanloom

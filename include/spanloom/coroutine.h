#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "spanloom/flow.h"

namespace spanloom {

namespace detail {

template <typename T>
concept HasMemberCoAwait = requires(T&& value) { std::forward<T>(value).operator co_await(); };
template <typename T>
concept HasFreeCoAwait = requires(T&& value) { operator co_await(std::forward<T>(value)); };

template <typename T>
decltype(auto) awaiter_of(T&& awaitable) {
    if constexpr (HasMemberCoAwait<T>)
        return std::forward<T>(awaitable).operator co_await();
    else if constexpr (HasFreeCoAwait<T>)
        return operator co_await(std::forward<T>(awaitable));
    else
        return std::forward<T>(awaitable);
}

}  // namespace detail

// The base of a coroutine's promise that lets the context follow the coroutine: across every
// co_await, onto whatever thread it goes on, while nothing of it is left on the threads it leaves.
// It begins with the context of where it was called.
//
//     struct promise_type : spanloom::ContextPromise {
//         auto initial_suspend() noexcept { return follow_start(std::suspend_always{}); }
//         auto final_suspend() noexcept { return follow_end(std::suspend_always{}); }
//         auto yield_value(int value) { return follow(std::suspend_always{}); }  // of a generator
//         ...
//
// A promise with an await_transform of its own returns `follow(...)` from it. `Task` below is such
// a coroutine, ready for use.
class ContextPromise {
  public:
    ContextPromise() noexcept : flow_(Context::current()) {}
    ContextPromise(const ContextPromise&) = delete;
    ContextPromise& operator=(const ContextPromise&) = delete;
    ~ContextPromise() { leave(); }

    template <typename Awaitable>
    auto await_transform(Awaitable&& awaitable) {
        return follow(std::forward<Awaitable>(awaitable));
    }

    // An awaitable as it is, around which the context is put away and brought back.
    template <typename Awaitable>
    auto follow(Awaitable&& awaitable) {
        using Inner = decltype(detail::awaiter_of(std::forward<Awaitable>(awaitable)));
        return Follow<Inner>{*this, detail::awaiter_of(std::forward<Awaitable>(awaitable))};
    }
    template <typename Awaiter>
    auto follow_start(Awaiter awaiter) noexcept {
        return Start<Awaiter>{*this, std::move(awaiter)};
    }
    template <typename Awaiter>
    Awaiter follow_end(Awaiter awaiter) noexcept {
        leave();
        return awaiter;
    }

  private:
    void enter() noexcept {
        mark_ = detail::enter_flow(flow_);
        is_entered_ = true;
    }
    void leave() noexcept {
        if (std::exchange(is_entered_, false)) detail::leave_flow(mark_);
    }
    // What the thread must get back when the coroutine is suspended. From here on the coroutine may
    // go on on another thread at any moment, so nothing of the promise is touched afterwards.
    detail::FlowMark put_away() noexcept {
        flow_ = Flow::current();
        is_entered_ = false;
        return mark_;
    }

    template <typename Inner>
    struct Follow {
        ContextPromise& promise;
        Inner inner;
        bool is_suspended = false;

        bool await_ready() noexcept(noexcept(inner.await_ready())) { return inner.await_ready(); }
        // What starts in here (a read, a timer) starts in the coroutine's context.
        template <typename Promise>
        auto await_suspend(std::coroutine_handle<Promise> coroutine) {
            struct Leave {
                detail::FlowMark mark;
                ~Leave() { detail::leave_flow(mark); }
            };
            is_suspended = true;
            ContextPromise* const self = &promise;
            try {
                const Leave leave{promise.put_away()};
                return inner.await_suspend(coroutine);
            } catch (...) {  // it was not suspended
                self->enter();
                throw;
            }
        }
        decltype(auto) await_resume() {
            if (is_suspended) promise.enter();
            return inner.await_resume();
        }
    };

    template <typename Awaiter>
    struct Start {
        ContextPromise& promise;
        Awaiter inner;

        bool await_ready() noexcept { return inner.await_ready(); }
        auto await_suspend(std::coroutine_handle<> coroutine) noexcept {
            return inner.await_suspend(coroutine);
        }
        void await_resume() noexcept {
            promise.enter();
            inner.await_resume();
        }
    };

    Flow flow_;
    detail::FlowMark mark_;
    bool is_entered_ = false;
};

// A coroutine that starts when it is awaited and hands its result to the one that awaits it. Where
// it is started from outside, `start` runs it to its first suspension; it must outlive its end.
template <typename T = void>
class [[nodiscard]] Task {
    static constexpr bool kIsVoid = std::is_void_v<T>;
    using Stored = std::conditional_t<kIsVoid, std::monostate, T>;

    struct Final {
        bool await_ready() const noexcept { return false; }
        template <typename Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) noexcept {
            return done.promise().continuation;
        }
        void await_resume() const noexcept {}
    };

    struct PromiseBase : ContextPromise {
        auto initial_suspend() noexcept { return follow_start(std::suspend_always{}); }
        auto final_suspend() noexcept { return follow_end(Final{}); }
        void unhandled_exception() noexcept {
            result.template emplace<2>(std::current_exception());
        }

        std::variant<std::monostate, Stored, std::exception_ptr> result;
        std::coroutine_handle<> continuation = std::noop_coroutine();
    };
    struct VoidPromise : PromiseBase {
        void return_void() noexcept { this->result.template emplace<1>(); }
    };
    struct ValuePromise : PromiseBase {
        template <typename U>
        void return_value(U&& value) {
            this->result.template emplace<1>(std::forward<U>(value));
        }
    };

  public:
    struct promise_type : std::conditional_t<kIsVoid, VoidPromise, ValuePromise> {
        Task get_return_object() noexcept {
            return Task(std::coroutine_handle<promise_type>::from_promise(*this));
        }
    };

    Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
    Task& operator=(Task&& other) noexcept {
        std::swap(coroutine_, other.coroutine_);
        return *this;
    }
    ~Task() {
        if (coroutine_) coroutine_.destroy();
    }

    void start() { coroutine_.resume(); }
    bool is_done() const noexcept { return coroutine_.done(); }
    // Of a task that is done.
    T get() { return take(coroutine_.promise()); }

    auto operator co_await() && noexcept {
        struct Awaiter {
            std::coroutine_handle<promise_type> coroutine;

            bool await_ready() const noexcept { return coroutine.done(); }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiting) noexcept {
                coroutine.promise().continuation = waiting;
                return coroutine;
            }
            T await_resume() { return take(coroutine.promise()); }
        };
        return Awaiter{coroutine_};
    }

  private:
    explicit Task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}

    static T take(promise_type& promise) {
        if (promise.result.index() == 2) std::rethrow_exception(std::get<2>(promise.result));
        if constexpr (!kIsVoid) return std::get<1>(std::move(promise.result));
    }

    std::coroutine_handle<promise_type> coroutine_;
};

}  // namespace spanloom

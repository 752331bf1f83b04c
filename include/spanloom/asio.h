#pragma once

// The context along Boost.Asio: header-only, for those who have Asio anyway (1.81 or newer).
#include <memory>
#include <type_traits>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associator.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>

#include "spanloom/bind.h"

namespace spanloom {

// An executor on which everything runs in the context of where it was started: posted functions in
// that of the post, handlers in that of the operation, coroutines in their own. Give it to co_spawn
// or to sockets and timers; it converts to any_io_executor.
//
//     asio::co_spawn(spanloom::carry_context(io.get_executor()), session(), asio::detached);
//     tcp::socket socket(spanloom::carry_context(io.get_executor()));
//
// It goes around a strand, not into one: carry_context(make_strand(io)).
template <typename Inner>
class ContextExecutor {
  public:
    explicit ContextExecutor(Inner inner) noexcept : inner_(std::move(inner)) {}
    ContextExecutor(Inner inner, std::shared_ptr<const Flow> flow) noexcept
        : inner_(std::move(inner)), flow_(std::move(flow)) {}

    template <typename F>
    void execute(F&& function) const {
        if (flow_ == nullptr)
            inner_.execute(bind(std::forward<F>(function)));
        else
            inner_.execute(Bound<std::shared_ptr<const Flow>, std::decay_t<F>>(
                flow_, std::forward<F>(function)));
    }

    template <typename Property>
    auto query(const Property& property) const
        noexcept(boost::asio::is_nothrow_query<const Inner&, const Property&>::value) ->
        typename boost::asio::query_result<const Inner&, const Property&>::type {
        return boost::asio::query(inner_, property);
    }

    // Asio asks for this where an operation begins, and keeps what it gets until the operation's
    // handler runs.
    auto require(const boost::asio::execution::outstanding_work_t::tracked_t&) const {
        auto inner = boost::asio::prefer(inner_, boost::asio::execution::outstanding_work.tracked);
        return ContextExecutor<decltype(inner)>(std::move(inner), Flow::share());
    }
    template <
        typename Property,
        typename = std::enable_if_t<boost::asio::can_require<const Inner&, const Property&>::value>>
    auto require(const Property& property) const {
        auto inner = boost::asio::require(inner_, property);
        return ContextExecutor<decltype(inner)>(std::move(inner), flow_);
    }

    friend bool operator==(const ContextExecutor& a, const ContextExecutor& b) noexcept {
        return a.inner_ == b.inner_;
    }
    friend bool operator!=(const ContextExecutor& a, const ContextExecutor& b) noexcept {
        return !(a == b);
    }

  private:
    Inner inner_;
    std::shared_ptr<const Flow> flow_;  // of the operation that waits, else null
};

template <typename Executor>
ContextExecutor<Executor> carry_context(Executor executor) noexcept {
    return ContextExecutor<Executor>(std::move(executor));
}

// A completion token whose handler runs in the context of where the operation was started, for
// sockets and timers with an ordinary executor: `timer.async_wait(with_context(use_future))`. A
// plain handler is bound: `timer.async_wait(spanloom::bind([](auto error) { ... }))`; it keeps its
// executor, allocator and cancellation slot. Coroutines want carry_context.
template <typename Token>
struct ContextToken {
    Token token;
};

template <typename Token>
ContextToken<std::decay_t<Token>> with_context(Token&& token) {
    return {std::forward<Token>(token)};
}

}  // namespace spanloom

namespace boost::asio {

template <template <typename, typename> class Associator, typename Carried, typename F,
          typename Default>
struct associator<Associator, spanloom::Bound<Carried, F>, Default> : Associator<F, Default> {
    static auto get(const spanloom::Bound<Carried, F>& bound) noexcept
        -> decltype(Associator<F, Default>::get(bound.function())) {
        return Associator<F, Default>::get(bound.function());
    }
    static auto get(const spanloom::Bound<Carried, F>& bound, const Default& otherwise) noexcept
        -> decltype(Associator<F, Default>::get(bound.function(), otherwise)) {
        return Associator<F, Default>::get(bound.function(), otherwise);
    }
};

template <typename Token, typename... Signatures>
struct async_result<spanloom::ContextToken<Token>, Signatures...> {
    template <typename Initiation, typename RawToken, typename... Args>
    static auto initiate(Initiation&& initiation, RawToken&& token, Args&&... args) {
        return async_initiate<Token, Signatures...>(
            [initiation = std::forward<Initiation>(initiation), flow = spanloom::Flow::share()](
                auto&& handler, auto&&... rest) mutable {
                using Handler = std::decay_t<decltype(handler)>;
                std::move(initiation)(
                    spanloom::Bound<std::shared_ptr<const spanloom::Flow>, Handler>(
                        std::move(flow), std::forward<decltype(handler)>(handler)),
                    std::forward<decltype(rest)>(rest)...);
            },
            token.token, std::forward<Args>(args)...);
    }
};

}  // namespace boost::asio

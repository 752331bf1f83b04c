#include "spanloom/asio.h"

#include <thread>
#include <vector>

#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include "test/sdk/recorded_spans.h"

using namespace spanloom;
using spanloom::test::is_child;
using spanloom::test::RecordedSpans;
namespace asio = boost::asio;

namespace {

SpanId current_id() {
    return Context::current().span_context().span_id();
}

asio::awaitable<void> short_wait() {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    timer.expires_at(std::chrono::steady_clock::time_point::min());
    co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<void> session(Tracer tracer, SpanId caller, std::atomic<int>& wrong) {
    wrong += current_id() == caller ? 0 : 1;
    {
        const ActiveSpan read = tracer.start_active("read");
        for (int i = 0; i < 5; ++i) {
            co_await short_wait();
            wrong += current_id() == read.context().span_id() ? 0 : 1;
        }
        auto child = tracer.start_span("child of read");
    }
    wrong += current_id() == caller ? 0 : 1;
    {
        const ActiveSpan write = tracer.start_active("write");
        co_await short_wait();
    }
    wrong += current_id() == caller ? 0 : 1;
}

void run_on_two_threads(asio::io_context& io) {
    std::thread other([&] { io.run(); });
    io.run();
    other.join();
}

}  // namespace

TEST_CASE("asio: a coroutine keeps its context over threads and scopes") {
    RecordedSpans spans;
    asio::io_context io;
    std::atomic<int> wrong = 0;
    SpanId request_id;
    {
        const ActiveSpan request = spans.tracer.start_active("request");
        request_id = request.context().span_id();
        asio::co_spawn(carry_context(io.get_executor()), session(spans.tracer, request_id, wrong),
                       asio::detached);
    }
    run_on_two_threads(io);
    CHECK(wrong == 0);
    CHECK(current_id().is_zero());
    CHECK(is_child(spans.named("read"), spans.named("request")));
    CHECK(is_child(spans.named("child of read"), spans.named("read")));
    CHECK(is_child(spans.named("write"), spans.named("request")));
}

TEST_CASE("asio: many coroutines on two threads do not mix") {
    RecordedSpans spans;
    asio::io_context io;
    std::atomic<int> wrong = 0;
    for (int i = 0; i < 100; ++i) {
        const ActiveSpan request = spans.tracer.start_active("request");
        asio::co_spawn(carry_context(io.get_executor()),
                       session(spans.tracer, request.context().span_id(), wrong), asio::detached);
    }
    // Work of others on the same threads sees nothing of them.
    for (int i = 0; i < 100; ++i) {
        asio::post(io, [&] { wrong += current_id().is_zero() ? 0 : 1; });
    }
    run_on_two_threads(io);
    CHECK(wrong == 0);
    CHECK(spans.all().size() == 100 * 4);
}

TEST_CASE("asio: branches of one coroutine have its context") {
    using namespace asio::experimental::awaitable_operators;
    RecordedSpans spans;
    asio::io_context io;
    const auto branch = [&](const char* name) -> asio::awaitable<void> {
        const ActiveSpan span = spans.tracer.start_active(name);
        co_await short_wait();
    };
    asio::co_spawn(
        carry_context(io.get_executor()),
        [&]() -> asio::awaitable<void> {
            const ActiveSpan parent = spans.tracer.start_active("parent");
            co_await (branch("left") && branch("right"));
            auto after = spans.tracer.start_span("after");
        },
        asio::detached);
    run_on_two_threads(io);
    for (const char* name : {"left", "right", "after"}) {
        CHECK(is_child(spans.named(name), spans.named("parent")));
    }
}

TEST_CASE("asio: handlers of a socket or timer run in the context of their operation") {
    RecordedSpans spans;
    asio::io_context io;
    asio::steady_timer timer(carry_context(io.get_executor()));
    asio::steady_timer plain(io);
    asio::thread_pool pool(1);
    SpanId by_executor;
    SpanId by_bind;
    SpanId by_token;
    SpanId posted;
    SpanId dispatched;
    std::future<void> future;
    SpanId id;
    {
        const ActiveSpan span = spans.tracer.start_active("span");
        id = span.context().span_id();
        timer.expires_after(std::chrono::milliseconds(1));
        timer.async_wait([&](auto) { by_executor = current_id(); });
        plain.expires_after(std::chrono::milliseconds(1));
        plain.async_wait(spanloom::bind(asio::bind_executor(pool, [&](auto) {
            by_bind = current_id();
            CHECK(pool.get_executor().running_in_this_thread());
        })));
        plain.async_wait(with_context([&](auto) { by_token = current_id(); }));
        future = plain.async_wait(with_context(asio::use_future));
        asio::post(carry_context(io.get_executor()), [&] { posted = current_id(); });
        asio::dispatch(carry_context(asio::make_strand(io)), [&] { dispatched = current_id(); });
    }
    io.run();
    pool.join();
    future.get();
    CHECK(by_executor == id);
    CHECK(by_bind == id);
    CHECK(by_token == id);
    CHECK(posted == id);
    CHECK(dispatched == id);
}

TEST_CASE("asio: a strand's work has each its own context") {
    RecordedSpans spans;
    asio::io_context io;
    const auto strand = carry_context(asio::make_strand(io));
    std::vector<SpanId> expected;
    std::vector<SpanId> seen;
    for (int i = 0; i < 10; ++i) {
        const ActiveSpan span = spans.tracer.start_active("span");
        expected.push_back(span.context().span_id());
        asio::post(strand, [&] { seen.push_back(current_id()); });
    }
    run_on_two_threads(io);
    CHECK(seen == expected);
}

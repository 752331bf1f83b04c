// Boost.Asio: on an executor that carries the context, coroutines and handlers keep theirs. Two
// requests at once on one thread do not mix.
#include <chrono>
#include <cstdio>

#include <boost/asio.hpp>

#include "spanloom/asio.h"
#include "spanloom/spanloom.h"

namespace asio = boost::asio;
using spanloom::Tracer;

namespace {

asio::awaitable<void> query_database(const Tracer& tracer) {
    auto span = tracer.start_active("query database", spanloom::SpanKind::kClient);
    asio::steady_timer database(co_await asio::this_coro::executor, std::chrono::milliseconds(2));
    co_await database.async_wait(asio::use_awaitable);
}

asio::awaitable<void> handle_request(const Tracer& tracer, int number) {
    auto span = tracer.start_active("request", spanloom::SpanKind::kServer);
    span.set_attribute("request.number", number);
    std::printf("trace %s\n", span.context().trace_id().hex().c_str());
    co_await query_database(tracer);  // meanwhile the other request runs
    auto render = tracer.start_active("render");
}

}  // namespace

int main() {
    auto telemetry = spanloom::init({.service_name = "async-service"});
    const Tracer tracer = spanloom::get_tracer("asio_async");

    asio::io_context io;
    const auto executor = spanloom::carry_context(io.get_executor());
    for (const int number : {1, 2})
        asio::co_spawn(executor, handle_request(tracer, number), asio::detached);

    // Callbacks: the handler runs in the context of where its operation was started.
    asio::steady_timer timer(executor, std::chrono::milliseconds(1));
    {
        const auto span = tracer.start_active("schedule");
        std::printf("timer %s\n", span.context().trace_id().hex().c_str());
        timer.async_wait([&](auto) { auto fired = tracer.start_active("timer fired"); });
    }
    io.run();
}

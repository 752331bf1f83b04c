#include "spanloom/coroutine.h"

#include <atomic>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "test/sdk/recorded_spans.h"

using namespace spanloom;
using spanloom::test::is_child;
using spanloom::test::RecordedSpans;

namespace {

SpanId current_id() {
    return Context::current().span_context().span_id();
}

// Each co_await of `next()` goes on on a thread of its own; a thread tells whether it was left with
// the context it began with, which is none.
class Threads {
  public:
    struct Next {
        Threads& threads;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> coroutine) { threads.resume(coroutine); }
        void await_resume() const noexcept {}
    };
    Next next() { return {*this}; }

    // Until there is none left; those that run may start others.
    void join() {
        for (std::thread thread = take(); thread.joinable(); thread = take()) {
            thread.join();
        }
    }

    std::atomic<bool> is_clean = true;

  private:
    void resume(std::coroutine_handle<> coroutine) {
        const std::lock_guard lock(mutex_);
        list_.emplace_back([this, coroutine] {
            const bool was_clean = current_id().is_zero();
            coroutine.resume();
            if (!was_clean || !current_id().is_zero()) {
                is_clean = false;
            }
        });
    }
    std::thread take() {
        const std::lock_guard lock(mutex_);
        if (list_.empty()) {
            return {};
        }
        std::thread last = std::move(list_.back());
        list_.pop_back();
        return last;
    }

    std::mutex mutex_;
    std::vector<std::thread> list_;
};

Task<int> answer(Threads& threads, Tracer tracer) {
    const ActiveSpan span = tracer.start_active("answer");
    co_await threads.next();
    CHECK(current_id() == span.context().span_id());
    co_return 42;
}

Task<> hops(Threads& threads, Tracer tracer) {
    const SpanId caller = current_id();
    {
        const ActiveSpan read = tracer.start_active("read");
        co_await threads.next();
        CHECK(current_id() == read.context().span_id());
        auto child = tracer.start_span("child of read");
    }
    CHECK(current_id() == caller);
    {
        const ActiveSpan write = tracer.start_active("write");
        CHECK(co_await answer(threads, tracer) == 42);
        CHECK(current_id() == write.context().span_id());
    }
    CHECK(current_id() == caller);
}

Task<> throws(Threads& threads) {
    co_await threads.next();
    throw std::runtime_error("broken");
}

Task<> catches(Threads& threads, Tracer tracer) {
    const ActiveSpan span = tracer.start_active("span");
    CHECK_THROWS_AS(co_await throws(threads), std::runtime_error);
    CHECK(current_id() == span.context().span_id());
}

}  // namespace

TEST_CASE("coroutines: the context goes where the coroutine goes, and stays nowhere else") {
    RecordedSpans spans;
    Threads threads;
    {
        const ActiveSpan request = spans.tracer.start_active("request");
        Task<> task = hops(threads, spans.tracer);
        task.start();
        CHECK(current_id() == request.context().span_id());
        threads.join();
        task.get();
        CHECK(current_id() == request.context().span_id());
    }
    CHECK(threads.is_clean);
    CHECK(is_child(spans.named("read"), spans.named("request")));
    CHECK(is_child(spans.named("child of read"), spans.named("read")));
    CHECK(is_child(spans.named("write"), spans.named("request")));
    CHECK(is_child(spans.named("answer"), spans.named("write")));
}

TEST_CASE("coroutines: exceptions cross threads without losing the context") {
    RecordedSpans spans;
    Threads threads;
    Task<> task = catches(threads, spans.tracer);
    task.start();
    threads.join();
    task.get();
    CHECK(threads.is_clean);
    CHECK(current_id().is_zero());
}

TEST_CASE("coroutines: many at once on few threads do not mix") {
    // A loop that resumes whatever is ready.
    struct Loop {
        std::mutex mutex;
        std::deque<std::coroutine_handle<>> ready;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> coroutine) {
            const std::lock_guard lock(mutex);
            ready.push_back(coroutine);
        }
        void await_resume() const noexcept {}
        void run() {
            while (true) {
                std::coroutine_handle<> next;
                {
                    const std::lock_guard lock(mutex);
                    if (ready.empty()) return;
                    next = ready.front();
                    ready.pop_front();
                }
                next.resume();
            }
        }
    };
    RecordedSpans spans;
    Loop loop;
    std::atomic<int> wrong = 0;
    const auto session = [&](int number) -> Task<> {
        const ActiveSpan outer = spans.tracer.start_active("outer");
        for (int i = 0; i < 20; ++i) {
            co_await loop;
            const ActiveSpan inner = spans.tracer.start_active("inner", {{"number", number}});
            co_await loop;
            wrong += current_id() == inner.context().span_id() ? 0 : 1;
        }
        wrong += current_id() == outer.context().span_id() ? 0 : 1;
    };
    std::vector<Task<>> tasks;
    for (int i = 0; i < 50; ++i) {
        tasks.push_back(session(i));
        tasks.back().start();
    }
    std::thread other([&] { loop.run(); });
    loop.run();
    other.join();
    loop.run();
    for (Task<>& task : tasks) {
        REQUIRE(task.is_done());
        task.get();
    }
    CHECK(wrong == 0);
    CHECK(spans.all().size() == 50 * 21);
}

TEST_CASE("coroutines: one that is destroyed while it waits leaves nothing behind") {
    RecordedSpans spans;
    struct Never {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<>) const noexcept {}
        void await_resume() const noexcept {}
    };
    const auto waits = [&]() -> Task<> {
        const ActiveSpan span = spans.tracer.start_active("waits");
        co_await Never{};
    };
    const ActiveSpan outer = spans.tracer.start_active("outer");
    {
        Task<> task = waits();
        task.start();
        CHECK(current_id() == outer.context().span_id());
    }
    CHECK(current_id() == outer.context().span_id());
    CHECK(spans.named("waits").parent_span_id == outer.context().span_id().hex());
}

TEST_CASE("coroutines: what starts inside a suspension starts in the coroutine's context") {
    RecordedSpans spans;
    struct Operation {
        SpanId& seen;
        bool await_ready() const noexcept { return false; }
        bool await_suspend(std::coroutine_handle<>) noexcept {
            seen = current_id();
            return false;  // it was done at once
        }
        void await_resume() const noexcept {}
    };
    SpanId seen;
    const auto work = [&]() -> Task<SpanId> {
        const ActiveSpan span = spans.tracer.start_active("work");
        co_await Operation{seen};
        CHECK(current_id() == span.context().span_id());
        co_return span.context().span_id();
    };
    Task<SpanId> task = work();
    task.start();
    CHECK(task.get() == seen);
    CHECK(current_id().is_zero());
}

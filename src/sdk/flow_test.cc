#include "spanloom/flow.h"

#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include <doctest/doctest.h>

#include "spanloom/bind.h"
#include "spanloom/thread.h"
#include "test/sdk/recorded_spans.h"

using namespace spanloom;
using spanloom::test::is_child;
using spanloom::test::RecordedSpans;

namespace {

SpanId current_id() {
    return Context::current().span_context().span_id();
}

// Runs on a thread of its own, to its end.
template <typename F>
void elsewhere(F&& function) {
    std::thread(std::forward<F>(function)).join();
}

}  // namespace

TEST_CASE("bind: a callable runs in the context of where it was bound") {
    RecordedSpans spans;
    std::function<void()> work;
    {
        const ActiveSpan parent = spans.tracer.start_active("parent");
        work = spanloom::bind([&] { auto child = spans.tracer.start_span("child"); });
    }
    elsewhere([&] {
        const ActiveSpan other = spans.tracer.start_active("other");
        work();
        CHECK(current_id() == other.context().span_id());
    });
    CHECK(is_child(spans.named("child"), spans.named("parent")));
    CHECK(spans.named("other").parent_span_id.empty());
}

TEST_CASE("bind: baggage and suppression go along") {
    const Scope scope(
        Context::current().with_baggage(Baggage().set("tenant", "a")).with_suppression());
    const auto work = spanloom::bind([] { return Context::current(); });
    elsewhere([&] {
        CHECK(work().baggage().get("tenant") == "a");
        CHECK(work().is_suppressed());
        CHECK(Context::current().baggage().empty());
    });
}

TEST_CASE("bind: signature, constness, references and move-only callables are kept") {
    const auto add = spanloom::bind([](int a, int& b) -> int& { return b += a; });
    int value = 1;
    CHECK(&add(2, value) == &value);
    CHECK(value == 3);

    auto owned = spanloom::bind(
        [pointer = std::make_unique<int>(7)]() mutable { return std::move(pointer); });
    static_assert(!std::is_copy_constructible_v<decltype(owned)>);
    static_assert(!std::is_invocable_v<const decltype(owned)&>);
    auto moved = std::move(owned);
    CHECK(*moved() == 7);

    struct Once {
        int operator()(std::unique_ptr<int> argument) && { return *argument; }
    };
    auto once = spanloom::bind(Once{});
    static_assert(!std::is_invocable_v<decltype(once)&, std::unique_ptr<int>>);
    CHECK(std::move(once)(std::make_unique<int>(9)) == 9);

    struct Counter {
        int count = 0;
        int next() { return ++count; }
    };
    Counter counter;
    CHECK(spanloom::bind(&Counter::next)(counter) == 1);
    static_assert(std::is_invocable_r_v<int, decltype(spanloom::bind(&Counter::next)), Counter&>);
}

TEST_CASE("bind: an exception leaves the thread's context as it was") {
    RecordedSpans spans;
    std::function<void()> work;
    {
        const ActiveSpan parent = spans.tracer.start_active("parent");
        work = spanloom::bind([] { throw 1; });
    }
    CHECK_THROWS(work());
    CHECK(current_id().is_zero());
}

TEST_CASE("bind: scopes that the callable leaves open do not stay on the thread") {
    RecordedSpans spans;
    std::optional<Scope> leaked;
    const Span span = spans.tracer.start_span("span");
    const auto work = spanloom::bind(Context::root(), [&] { leaked.emplace(span); });
    work();
    CHECK(current_id().is_zero());
    const ActiveSpan other = spans.tracer.start_active("other");
    leaked.reset();
    CHECK(current_id() == other.context().span_id());
}

TEST_CASE("threads, async and tasks start with their starter's context") {
    RecordedSpans spans;
    {
        const ActiveSpan parent = spans.tracer.start_active("parent");
        const auto child = [&](const char* name) {
            return spans.tracer.start_span(name).context().span_id();
        };
        spanloom::thread(child, "thread").join();
#if defined(__cpp_lib_jthread)
        spanloom::jthread(
            [&](std::stop_token token, const char* name) {
                return token.stop_possible() && !child(name).is_zero();
            },
            "jthread")
            .join();
#endif
        spanloom::async(child, "async").get();
        spanloom::async(std::launch::async, child, "launched").get();
        auto task = spanloom::packaged_task<SpanId(const char*)>(child);
        auto result = task.get_future();
        elsewhere([&] { task("task"); });
        result.get();
    }
    for (const char* name : {"thread", "jthread", "async", "launched", "task"}) {
        CHECK(is_child(spans.named(name), spans.named("parent")));
    }
}

TEST_CASE("carry: whatever a pool calls its function, work runs in its giver's context") {
    struct Pool {
        std::vector<std::function<void()>> posted;
        int submit(std::function<void()> work, int priority) {
            posted.push_back(std::move(work));
            return priority;
        }
        void post(std::function<void()> work) { posted.push_back(std::move(work)); }
        void enqueue(std::function<void()> work) { posted.push_back(std::move(work)); }
    };
    RecordedSpans spans;
    Pool pool;
    const auto carrying = spanloom::carry(pool);
    for (const char* name : {"first", "second"}) {
        const ActiveSpan parent = spans.tracer.start_active(name);
        const auto work = [&spans, name] {
            auto child = spans.tracer.start_span(std::string("child of ") + name);
        };
        CHECK(carrying.submit(work, 3) == 3);
        carrying.post([] {});
        carrying.enqueue([] {});
    }
    elsewhere([&] {
        for (const auto& work : pool.posted) {
            work();
        }
    });
    CHECK(is_child(spans.named("child of first"), spans.named("first")));
    CHECK(is_child(spans.named("child of second"), spans.named("second")));
}

TEST_CASE("flow: a scope that was opened here is closed there") {
    RecordedSpans spans;
    const Span outer = spans.tracer.start_span("outer");
    const Span inner = spans.tracer.start_span("inner");
    std::optional<Scope> scope;
    Flow flow;
    {
        const FlowScope here(Context::root().with_span(outer));
        scope.emplace(inner);
        flow = Flow::current();
    }
    CHECK(current_id().is_zero());
    elsewhere([&] {
        const FlowScope there(flow);
        CHECK(current_id() == inner.context().span_id());
        scope.reset();
        CHECK(current_id() == outer.context().span_id());
    });
    CHECK(current_id().is_zero());
}

TEST_CASE("flow: of a thread that is in none, the current context goes along") {
    RecordedSpans spans;
    const ActiveSpan span = spans.tracer.start_active("span");
    const Flow flow = Flow::current();
    elsewhere([&] {
        const FlowScope there(flow);
        CHECK(current_id() == span.context().span_id());
    });
    CHECK(flow.context().span_context() == span.context());
    CHECK(Flow().context().span_context().is_valid() == false);
}

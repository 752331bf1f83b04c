#include <atomic>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "base/clock.h"
#include "base/executor.h"
#include "base/memory_budget.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/result.h"

namespace spanloom {
namespace {

Result<int> half(int n) {
    if (n % 2 != 0) return fail(ErrorCode::kInvalidArgument, "{} is odd", n);
    return n / 2;
}

Result<int> quarter(int n) {
    TRY_ASSIGN(const int h, half(n));
    TRY(half(h));
    return h / 2;
}

}  // namespace

TEST_CASE("TRY leaves with the first error") {
    CHECK(quarter(12).value() == 3);
    CHECK(quarter(6).error().message == "3 is odd");
    CHECK(http_status(ErrorCode::kUnavailable) == 503);
    CHECK(grpc_status(ErrorCode::kUnavailable) == 14);
    CHECK(error_code_name(ErrorCode::kInternal) == "internal");
}

TEST_CASE("reservations give back what they hold, and refusals are counted") {
    MemoryBudget budget(100);
    {
        Reservation first = Reservation::of(budget, 60);
        CHECK(first);
        CHECK_FALSE(Reservation::of(budget, 41));
        CHECK(first.grow(40));
        CHECK_FALSE(first.grow(1));
        Reservation moved = std::move(first);
        CHECK(moved.bytes() == 100);
        CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): a moved-from one holds nothing
        CHECK(budget.used_bytes() == 100);
    }
    CHECK(budget.used_bytes() == 0);
    CHECK(budget.refusals() == 2);
    CHECK_FALSE(Reservation::of(budget, SIZE_MAX));
}

TEST_CASE("a budget that threads share is never overdrawn") {
    MemoryBudget budget(1000);
    std::atomic<size_t> highest = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 5000; ++i) {
                Reservation held = Reservation::of(budget, 300);
                size_t seen = budget.used_bytes();
                size_t known = highest;
                while (seen > known && !highest.compare_exchange_weak(known, seen)) {
                }
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    CHECK(highest <= 1000);
    CHECK(budget.used_bytes() == 0);
}

TEST_CASE("metrics are Prometheus text with escaped labels") {
    MetricsRegistry metrics;
    metrics.counter("spans_total", "Spans.", {{"by", "a\"b\\c\nd"}}).add(3);
    metrics.counter("spans_total", "Spans.", {{"by", "other"}}).add(4);
    metrics.counter("spans_total", "Spans.", {{"by", "other"}}).add();
    metrics.gauge("queue", "Queue.", [] { return 1.5; });
    CHECK(metrics.render() ==
          "# HELP spanloom_spans_total Spans.\n# TYPE spanloom_spans_total counter\n"
          "spanloom_spans_total{by=\"a\\\"b\\\\c\\nd\"} 3\nspanloom_spans_total{by=\"other\"} 5\n"
          "# HELP spanloom_queue Queue.\n# TYPE spanloom_queue gauge\nspanloom_queue 1.5\n");
    CHECK(metrics.total("spans_total") == 8);
    CHECK(metrics.total("nothing") == 0);
}

TEST_CASE("a pool runs everything before it ends") {
    std::atomic<int> done = 0;
    {
        auto pool = make_thread_pool(3, "test");
        for (int i = 0; i < 1000; ++i)
            pool->post([&] { ++done; });
    }
    CHECK(done == 1000);
}

TEST_CASE("seeds repeat, and a manual clock stands still") {
    SeededRandom a(7);
    SeededRandom b(7);
    for (int i = 0; i < 100; ++i) {
        CHECK(a.next() == b.next());
        CHECK(a.below(10) == b.below(10));
        CHECK(a.unit() == b.unit());
    }
    ManualClock clock(1000);
    const uint64_t before = clock.monotonic_ns();
    clock.advance(5);
    clock.set_wall(1);
    CHECK(clock.monotonic_ns() == before + 5);
    CHECK(clock.wall_ns() == 1);
    CHECK(SystemClock().wall_ns() > 1'700'000'000'000'000'000U);
}

}  // namespace spanloom

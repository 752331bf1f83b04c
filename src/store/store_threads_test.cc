#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <sys/resource.h>

#include "store/engine_fixture.h"
#include "store/retention.h"
#include "store/store_paths.h"

namespace spanloom::store {
namespace {

struct Threaded {
    MemoryIo io;
    SystemClock clock;
    SeededRandom random{5};
    MetricsRegistry metrics;
    StoreOptions options;
    std::unique_ptr<Store> store;

    Threaded() { options.disk_free_bytes_min = 0; }
    void open() {
        store.reset();
        auto opened = Store::open(options, io, clock, random, metrics);
        if (!opened) FAIL(opened.error().message);
        store = std::move(*opened);
    }
    Result<void> send(uint64_t first, uint64_t count) {
        auto said = std::make_shared<std::promise<Result<void>>>();
        std::future<Result<void>> waiting = said->get_future();
        store->accept(test_batch(first, count, clock.wall_ns()),
                      [said](Result<void> result) { said->set_value(std::move(result)); });
        return waiting.get();
    }
    Numbers stored() {
        const Result<Numbers> numbers = numbers_in(store->snapshot("default"));
        REQUIRE(numbers.has_value());
        return *numbers;
    }
};

}  // namespace

namespace {

enum class Reading : uint8_t { kAlways, kForgotten };

void check_many_at_once(uint32_t shards, Reading reading) {
    Threaded t;
    if (reading == Reading::kForgotten) {
        t.options.read_memory_ms = 0;
        t.options.unread_ms = 10;
        t.options.file_spans_min = 40;
    }
    t.options.shards = shards;
    t.options.seal_after_ms = 5;
    t.options.seal_spans = 300;
    t.options.flush_after_ms = 20;
    t.options.flush_bytes = 64 << 10;
    t.options.memory_bytes_max = 512 << 10;
    t.options.log_file_bytes = 100'000;
    t.options.merge_segments_min = 2;
    t.open();
    constexpr uint64_t kSenders = 4;
    constexpr uint64_t kRequests = 60;
    std::atomic<uint64_t> failures = 0;
    std::atomic<bool> ends = false;
    std::vector<std::thread> threads;
    for (uint64_t sender = 0; sender < kSenders; ++sender) {
        threads.emplace_back([&t, &failures, sender] {
            for (uint64_t i = 0; i < kRequests; ++i) {
                if (!t.send((sender * kRequests + i) * 20, 20)) ++failures;
            }
        });
    }
    std::thread reader([&] {
        while (!ends) {
            const Result<Numbers> numbers = numbers_in(t.store->snapshot("default"));
            if (!numbers) ++failures;
            if (numbers && std::adjacent_find(numbers->begin(), numbers->end()) != numbers->end())
                ++failures;
            (void)t.store->state();
            (void)t.metrics.render();
        }
    });
    for (std::thread& thread : threads)
        thread.join();
    CHECK(t.store->flush().has_value());
    CHECK(t.store->settle().has_value());
    ends = true;
    reader.join();
    CHECK(failures == 0);
    CHECK(t.stored() == range(0, kSenders * kRequests * 20));
    t.open();
    CHECK(t.stored() == range(0, kSenders * kRequests * 20));
}

}  // namespace

TEST_CASE("many senders, flushes, merges and readers at once lose and double nothing") {
    check_many_at_once(1, Reading::kAlways);
}

TEST_CASE("the same where spans are shared out among threads by trace") {
    check_many_at_once(3, Reading::kAlways);
}

TEST_CASE("the same where heads go to the disk as they are, though somebody reads now and then") {
    check_many_at_once(1, Reading::kForgotten);
    check_many_at_once(3, Reading::kForgotten);
}

TEST_CASE("who reads finds what was acknowledged some time ago, though nobody has read") {
    Threaded t;
    t.options.seal_after_ms = 20;
    t.options.unread_ms = 3'600'000;
    t.open();
    REQUIRE(t.send(0, 10).has_value());
    const uint64_t from_ns = t.clock.monotonic_ns();
    const auto is_past = [&](uint64_t ns) { return t.clock.monotonic_ns() - from_ns >= ns; };
    const Numbers first = range(0, 10);
    bool is_found = false;
    // Requests go on, so that nothing is sealed because nothing comes.
    for (uint64_t next = 10; !is_found && !is_past(20'000'000'000); next += 10) {
        REQUIRE(t.send(next, 10).has_value());
        if (!is_past(200'000'000)) continue;
        const Numbers found = t.stored();
        is_found = std::includes(found.begin(), found.end(), first.begin(), first.end());
    }
    CHECK(is_found);
}

TEST_CASE("what is acknowledged becomes searchable by itself") {
    Threaded t;
    t.options.seal_after_ms = 20;
    t.open();
    REQUIRE(t.send(0, 10).has_value());
    const uint64_t deadline = t.clock.monotonic_ns() + 20'000'000'000;
    while (t.stored().size() < 10 && t.clock.monotonic_ns() < deadline)
        std::this_thread::yield();
    CHECK(t.stored() == range(0, 10));
}

TEST_CASE("merging and retention step back where others want the cores") {
    Threaded t;
    t.open();
    const uint64_t deadline = t.clock.monotonic_ns() + 20'000'000'000;
    int niceness = 0;
    // The thread does it by itself, soon.
    while (niceness != 10 && t.clock.monotonic_ns() < deadline) {
        for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
            std::ifstream comm(task.path() / "comm");
            std::string name;
            if (!std::getline(comm, name) || name != "maintenance") continue;
            niceness = getpriority(PRIO_PROCESS,
                                   static_cast<id_t>(std::stoul(task.path().filename().string())));
        }
        std::this_thread::yield();
    }
    CHECK(niceness == 10);
}

TEST_CASE("heads alone beyond the memory limit are flushed, and what waits behind them comes in") {
    Threaded t;
    t.options.shards = 2;
    t.options.seal_after_ms = 3'600'000;
    t.options.seal_spans = 1'000'000;
    t.options.flush_after_ms = 3'600'000;
    t.options.memory_bytes_max = 64 << 10;
    t.options.builder_queue_bytes_max = 1 << 20;
    t.open();
    for (uint64_t i = 0; i < 40; ++i)
        REQUIRE(t.send(i * 200, 200).has_value());
    CHECK(t.store->flush().has_value());
    CHECK(t.stored() == range(0, 8'000));
}

TEST_CASE("a store that ends while requests wait acknowledges or refuses each of them") {
    Threaded t;
    t.open();
    std::atomic<uint64_t> said = 0;
    std::atomic<uint64_t> acknowledged = 0;
    for (uint64_t i = 0; i < 100; ++i) {
        t.store->accept(test_batch(i * 10, 10, t.clock.wall_ns()), [&](Result<void> result) {
            ++said;
            if (result) ++acknowledged;
        });
    }
    t.store.reset();
    CHECK(said == 100);
    t.open();
    CHECK(t.stored().size() == acknowledged * 10);
}

// ---- decisions

TEST_CASE("retention drops the oldest by age, by bytes and by share of what the disk offers") {
    StoreOptions options;
    constexpr uint64_t kMinute = 60'000'000'000;
    const std::vector<SegmentFacts> segments = {{1, "a", 1, 10, 100, 3 * kMinute},
                                                {2, "b", 1, 10, 100, 1 * kMinute},
                                                {3, "a", 2, 10, 100, 2 * kMinute}};
    const DiskSpace roomy{1'000'000, 900'000};
    const auto drops = [&](uint64_t now_ns, const DiskSpace& space) {
        return choose_drops(segments, options, now_ns,
                            space_limits(segments, options, Ageing{}, space), false);
    };
    const uint64_t now = 10 * kMinute;
    CHECK(drops(now, roomy).empty());
    options.retention_ms = 8 * 60'000;
    CHECK(drops(now, roomy) == Numbers{2, 3});
    options.retention_ms = 0;
    options.retention_bytes = 250;
    CHECK(drops(now, roomy) == Numbers{2});
    options.retention_bytes = 0;
    // 300 bytes are ours and 20 are free: 256 may be used.
    CHECK(drops(now, {1'000'000, 20}) == Numbers{2});
    CHECK(drops(0, roomy).empty());
}

TEST_CASE("large segments are merged when they fill one, or are many") {
    StoreOptions options;
    options.merge_segments_min = 4;
    options.segment_spans_max = 1'000'000;
    std::vector<SegmentFacts> segments;
    const auto add = [&](uint64_t count) {
        for (uint64_t i = 0; i < count; ++i)
            segments.push_back({segments.size() + 1, "a", 1, 70'000, 1, 1});
    };
    const auto merged = [&] { return choose_merge(segments, options, kNsPerHour + 1).size(); };
    add(10);
    CHECK(merged() == 0);
    add(1);
    CHECK(merged() == 11);
    options.segment_spans_max = 10'000'000;
    CHECK(merged() == 11);  // too little yet to wait for more
    options.segment_spans_max = 2'000'000;
    segments.resize(8);
    CHECK(merged() == 0);
    add(7);
    CHECK(merged() == 0);
    add(1);
    CHECK(merged() == 16);
}

TEST_CASE("merging takes segments of one partition and of similar size") {
    StoreOptions options;
    options.merge_segments_min = 4;
    std::vector<SegmentFacts> segments;
    for (uint64_t id = 1; id <= 3; ++id)
        segments.push_back({id, "a", 1, 100, 1, 1});
    segments.push_back({4, "b", 1, 100, 1, 1});
    segments.push_back({5, "a", 2, 100, 1, 1});
    segments.push_back({6, "a", 1, 1'000'000, 1, 1});
    const uint64_t within = kNsPerHour + 1;
    CHECK(choose_merge(segments, options, within).empty());
    segments.push_back({7, "a", 1, 120, 1, 1});
    CHECK(choose_merge(segments, options, within) == Numbers{1, 2, 3, 7});
    // An hour that is over is merged to the end.
    segments.pop_back();
    CHECK(choose_merge(segments, options, 3 * kNsPerHour) == Numbers{1, 2, 3, 6});
    options.segment_spans_max = 1000;
    CHECK(choose_merge(segments, options, 3 * kNsPerHour) == Numbers{1, 2, 3});
    CHECK(choose_merge({{1, "a", 1, 900, 1, 1}, {2, "a", 1, 900, 1, 1}}, options, 9 * kNsPerHour)
              .empty());
}

TEST_CASE("retention drops whole files, and a clock that jumps ahead drops nothing") {
    StoreFixture f;
    f.options.retention_ms = 3 * 3'600'000;
    f.open();
    for (uint64_t hour = 0; hour < 4; ++hour) {
        REQUIRE(f.send(hour * 10, 10).has_value());
        REQUIRE(f.store->flush().has_value());
        f.clock.advance(kHour);
    }
    CHECK(f.segment_files() == 4);
    const uint64_t wall = f.clock.wall_ns();
    REQUIRE(f.store->settle().has_value());
    CHECK(f.stored() == range(20, 20));
    CHECK(f.segment_files() == 2);
    f.clock.set_wall(wall + 10 * 365 * 24 * kHour);
    REQUIRE(f.store->settle().has_value());
    CHECK(f.stored() == range(20, 20));
    f.clock.set_wall(wall);
    f.kill();
    f.open();
    CHECK(f.stored() == range(20, 20));
}

TEST_CASE("files of dropped segments stay while someone reads them") {
    StoreFixture f;
    f.options.retention_ms = 3'600'000;
    f.open();
    REQUIRE(f.send(0, 10).has_value());
    REQUIRE(f.store->flush().has_value());
    auto reading = f.store->snapshot("default");
    f.clock.advance(2 * kHour);
    REQUIRE(f.store->settle().has_value());
    CHECK(f.store->snapshot("default").empty());
    CHECK(f.segment_files() == 1);
    CHECK(*numbers_in(reading) == range(0, 10));
    reading.clear();
    REQUIRE(f.store->settle().has_value());
    CHECK(f.segment_files() == 0);
}

}  // namespace spanloom::store

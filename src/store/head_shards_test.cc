#include "store/head_shards.h"

#include <algorithm>
#include <mutex>
#include <thread>

#include <doctest/doctest.h>

#include "store/engine_fixture.h"

namespace spanloom::store {
namespace {

constexpr uint64_t kSpans = 20;  // of each request

// Shards whose sealed segments are gathered. Request i has spans from i * kSpans on and ends at
// position i + 1.
struct Gathered {
    SystemClock system_clock;
    MetricsRegistry metrics;
    Counter& resends = metrics.counter("resends", "Resends.");
    std::atomic<uint64_t> queue_bytes = 0;
    std::atomic<bool> has_memory = true;
    std::atomic<uint64_t> flush_wishes = 0;
    std::mutex mutex;
    std::vector<std::shared_ptr<const Segment>> segments;
    std::vector<FilledHead> heads;
    std::atomic<uint64_t> unread_ms = 0;
    HeadShards shards;

    Gathered(uint32_t count, uint32_t seal_spans, uint64_t queue_bytes_max = 1U << 20)
        : Gathered(options(count, seal_spans, queue_bytes_max)) {}
    explicit Gathered(HeadShardsOptions options) : Gathered(std::move(options), system_clock) {}
    Gathered(HeadShardsOptions options, const Clock& clock)
        : shards(std::move(options), owner(), clock, resends, queue_bytes) {}

    static HeadShardsOptions options(uint32_t count, uint32_t seal_spans,
                                     uint64_t queue_bytes_max) {
        HeadShardsOptions options;
        options.segments.zstd_level = 0;
        options.segments.places = PlacesForm::kNone;
        options.shards = count;
        options.seal_spans = seal_spans;
        options.queue_bytes_max = queue_bytes_max;
        options.seed = 7;
        return options;
    }
    HeadShardsOwner owner() {
        HeadShardsOwner owner;
        owner.take_sealed = [this](std::vector<SealedHead> sealed) {
            const std::lock_guard lock(mutex);
            for (SealedHead& one : sealed)
                segments.push_back(std::move(one.segment));
        };
        owner.has_memory = [this] { return has_memory.load(); };
        owner.take_filled = [this](std::vector<FilledHead> filled) {
            const std::lock_guard lock(mutex);
            for (FilledHead& one : filled)
                heads.push_back(std::move(one));
        };
        owner.unread_ms = [this] { return unread_ms.load(); };
        owner.wants_flush = [this] { ++flush_wishes; };
        owner.is_stalled = [] {};
        owner.failed = [](const Error& error) { FAIL(error.message); };
        return owner;
    }
    void add(uint64_t request) { add(request, request + 1); }
    void add(uint64_t request, uint64_t end) {
        shards.add(test_batch(request * kSpans, kSpans), {end});
    }
    Numbers numbers() {
        const std::lock_guard lock(mutex);
        const Result<Numbers> found = numbers_in(segments);
        REQUIRE(found.has_value());
        return *found;
    }
};

}  // namespace

TEST_CASE("every span is in one segment, with any number of shards, with threads and without") {
    for (const uint32_t count : {1U, 2U, 5U}) {
        for (const bool has_threads : {false, true}) {
            CAPTURE(count);
            CAPTURE(has_threads);
            Gathered all(count, 64);
            if (has_threads) all.shards.start();
            for (uint64_t request = 0; request < 60; ++request)
                all.add(request);
            all.add(7, 61);  // again
            CHECK(all.shards.seal(HeadShards::Extent::kAdded).has_value());
            CHECK(all.numbers() == range(0, 60 * kSpans));
            CHECK(all.resends.value() == kSpans);
            CHECK(all.queue_bytes == 0);
        }
    }
}

TEST_CASE("while they are sealed nothing later is in a segment") {
    for (const uint32_t count : {1U, 3U}) {
        Gathered all(count, 48, 4096);
        all.shards.start();
        constexpr uint64_t kRequests = 80;
        std::thread sender([&] {
            for (uint64_t request = 0; request < kRequests; ++request)
                all.add(request);
        });
        uint64_t sealed = 0;
        while (sealed < kRequests) {
            const auto look = [&](LogPosition end) {
                sealed = end.value;
                CHECK(all.numbers() == range(0, sealed * kSpans));
            };
            REQUIRE(all.shards.empty(HeadShards::Extent::kBegun, look).has_value());
        }
        sender.join();
    }
}

TEST_CASE("what is in a head is sealed while others wait for memory") {
    Gathered all(2, 1'000'000);
    all.shards.start();
    all.add(0);
    CHECK(all.shards.seal(HeadShards::Extent::kAdded).has_value());
    all.has_memory = false;
    all.add(1);
    while (all.flush_wishes < 2)
        std::this_thread::yield();
    uint64_t sealed = 0;
    CHECK(all.shards.empty(HeadShards::Extent::kBegun, [&](LogPosition end) { sealed = end.value; })
              .has_value());
    CHECK(sealed == 1);
    CHECK(all.numbers() == range(0, kSpans));
    all.has_memory = true;
    all.shards.notice_room();
    CHECK(all.shards.seal(HeadShards::Extent::kAdded).has_value());
    CHECK(all.numbers() == range(0, 2 * kSpans));
}

TEST_CASE("where nobody reads, what is worth a file is handed over as it is") {
    for (const bool has_threads : {false, true}) {
        CAPTURE(has_threads);
        HeadShardsOptions options = Gathered::options(1, 16, 1U << 20);
        options.file_spans_min = 100;
        Gathered all(options);
        all.unread_ms = 3'600'000;
        if (has_threads) all.shards.start();
        for (uint64_t request = 0; request < 6; ++request)
            all.add(request);
        uint64_t end = 0;
        const auto look = [&](LogPosition position) { end = position.value; };
        REQUIRE(all.shards.empty(HeadShards::Extent::kAdded, look).has_value());
        CHECK(end == 6);
        CHECK(all.shards.memory_bytes() < 100'000);
        CHECK(!all.shards.holds_older(0));
        // Without threads full heads are sealed at once, so that nothing is worth a file here.
        if (!has_threads) {
            CHECK(all.heads.empty());
            CHECK(all.numbers() == range(0, 6 * kSpans));
            continue;
        }
        CHECK(all.numbers().empty());
        REQUIRE(all.heads.size() == 1);
        CHECK(all.heads.front().rows.spans() == 6 * kSpans);
        // What is smaller is sealed, and everything where somebody reads.
        all.add(6);
        REQUIRE(all.shards.empty(HeadShards::Extent::kAdded, look).has_value());
        CHECK(all.numbers() == range(6 * kSpans, kSpans));
        all.unread_ms = 0;
        for (uint64_t request = 7; request < 14; ++request)
            all.add(request);
        REQUIRE(all.shards.empty(HeadShards::Extent::kAdded, look).has_value());
        CHECK(all.heads.size() == 1);
        CHECK(all.numbers() == range(6 * kSpans, 8 * kSpans));
    }
}

TEST_CASE("a head that nobody reads is filled on until it is old, or nothing more comes") {
    HeadShardsOptions options = Gathered::options(1, 16, 1U << 20);
    options.gather_bytes = 1;
    options.gather_ms = 1;
    ManualClock clock(kNow);
    Gathered all(options, clock);
    all.unread_ms = 10'000;
    all.shards.start();
    const auto add = [&](uint64_t request) {
        all.add(request);
        while (all.queue_bytes > 0)
            std::this_thread::yield();
    };
    // By the time one is taken, the shard has looked at those before it.
    constexpr uint64_t kStepMs = 400;
    uint64_t requests = 0;
    for (; requests * kStepMs < all.unread_ms; ++requests) {
        add(requests);
        CHECK(all.numbers().empty());
        clock.advance(kStepMs * 1'000'000);
    }
    CHECK(all.shards.holds_older(all.unread_ms));
    while (all.numbers().empty())
        std::this_thread::yield();
    add(requests);
    clock.advance(options.seal_after_ms * 1'000'000);
    while (all.numbers().size() < (requests + 1) * kSpans)
        std::this_thread::yield();
}

TEST_CASE("heads of many bytes are worth a flush, and old ones that are worth a file") {
    HeadShardsOptions options = Gathered::options(1, 10 * kSpans, 1U << 20);
    options.file_spans_min = 50;
    options.flush_bytes = 1U << 20;
    ManualClock clock(kNow);
    Gathered all(options, clock);
    all.unread_ms = 10'000;
    all.add(0);
    all.add(1);
    clock.advance(20'000'000'000);
    CHECK(!all.shards.are_worth_a_flush());
    all.shards.add(test_batch(1'000, 1, kNow, std::string(2U << 20, 'x')), {3});
    CHECK(all.shards.are_worth_a_flush());
    CHECK(all.shards.seal(HeadShards::Extent::kAdded).has_value());
    CHECK(!all.shards.are_worth_a_flush());
    // Memory that is there for later spans does not count.
    SegmentBuilder rows(options.segments);
    rows.add(test_batch(0, 20'000));
    REQUIRE(rows.finish().has_value());
    CHECK(rows.memory_bytes() > options.flush_bytes);
    CHECK(rows.used_bytes() < options.flush_bytes);

    for (uint64_t request = 3; request < 6; ++request)
        all.add(request);
    CHECK(!all.shards.are_worth_a_flush());
    clock.advance(10'000'000'000);
    CHECK(all.shards.are_worth_a_flush());
    all.unread_ms = 30'000;
    CHECK(!all.shards.are_worth_a_flush());
    all.unread_ms = 0;
    CHECK(!all.shards.are_worth_a_flush());
}

TEST_CASE("heads of many spans wish for a flush") {
    HeadShardsOptions options = Gathered::options(1, 10 * kSpans, 1U << 20);
    options.file_spans_min = 50;
    options.gather_bytes = 1;
    Gathered all(options);
    all.unread_ms = 3'600'000;
    all.shards.start();
    for (uint64_t request = 0; request < 10; ++request)
        all.add(request);
    while (all.flush_wishes == 0)
        std::this_thread::yield();
    CHECK(all.shards.are_worth_a_flush());
}

TEST_CASE("requests are built once enough are together, or when they are to be sealed") {
    HeadShardsOptions options = Gathered::options(2, 1'000'000, 1U << 20);
    options.gather_ms = 1'000'000'000;  // nobody looks by himself
    options.seal_after_ms = 4'000'000'000;
    const uint64_t request_bytes = test_batch(0, kSpans).bytes.size();
    options.gather_bytes = 3 * request_bytes - request_bytes / 2;
    Gathered all(options);
    all.shards.start();
    all.add(0);
    CHECK(all.queue_bytes > 0);
    CHECK(all.shards.seal(HeadShards::Extent::kAdded).has_value());
    CHECK(all.queue_bytes == 0);
    CHECK(all.numbers() == range(0, kSpans));
    all.add(1);
    all.add(2);
    CHECK(all.queue_bytes > request_bytes);
    all.add(3);
    while (all.queue_bytes > 0)
        std::this_thread::yield();
    all.add(4);
    all.shards.stop();
    CHECK(all.queue_bytes == 0);
}

TEST_CASE("what comes after a pause is built without being asked for") {
    HeadShardsOptions options = Gathered::options(2, 1'000'000, 1U << 20);
    options.gather_ms = 1;
    options.seal_after_ms = 4;
    Gathered all(options);
    all.shards.start();
    for (uint64_t request = 0; request < 20; ++request) {
        all.add(request);
        while (all.numbers().size() < (request + 1) * kSpans)
            std::this_thread::yield();
    }
    CHECK(all.numbers() == range(0, 20 * kSpans));
}

TEST_CASE("what is queued is built before the shards stop, though there is no memory") {
    Gathered all(2, 1'000'000);
    all.has_memory = false;
    all.shards.start();
    for (uint64_t request = 0; request < 10; ++request)
        all.add(request);
    all.shards.let_go();
    all.shards.stop();
    CHECK(all.shards.seal(HeadShards::Extent::kAdded).has_value());
    CHECK(all.numbers() == range(0, 10 * kSpans));
}

}  // namespace spanloom::store

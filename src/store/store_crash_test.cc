#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "store/engine_fixture.h"

namespace spanloom::store {
namespace {

using Acknowledged = std::set<uint64_t>;

// A life of a store: requests, flushes, a merge, retention off. Stops at the first open that fails.
void live(StoreFixture& f, Acknowledged& acknowledged) {
    if (!f.try_open()) return;
    for (uint64_t i = 0; i < 12; ++i) {
        if (f.send(i * 4, 4)) {
            for (uint64_t n = i * 4; n < i * 4 + 4; ++n)
                acknowledged.insert(n);
        }
        if (i % 3 == 2) (void)f.store->flush();
        if (i % 6 == 5) (void)f.store->settle();
    }
    f.store.reset();
    if (!f.try_open()) return;
    if (f.send(100, 4)) {
        for (uint64_t n = 100; n < 104; ++n)
            acknowledged.insert(n);
    }
    (void)f.store->flush();
    (void)f.store->settle();
}

void check_all_there_once(StoreFixture& f, const Acknowledged& acknowledged) {
    const Numbers stored = f.stored();
    CHECK(std::adjacent_find(stored.begin(), stored.end()) == stored.end());
    CHECK(std::includes(stored.begin(), stored.end(), acknowledged.begin(), acknowledged.end()));
}

void use_small_limits(StoreFixture& f) {
    f.options.merge_segments_min = 2;
    f.options.log_file_bytes = 9'000;
    f.options.seal_spans = 8;
}

// Heads go to the disk as they are, for nobody reads.
void leave_heads(StoreFixture& f) {
    f.options.seal_spans = 64;
    f.options.file_spans_min = 3;
    f.options.read_memory_ms = 0;
}

}  // namespace

namespace {

void crash_at_any_call(const std::function<void(StoreFixture&)>& set) {
    uint64_t calls = 0;
    {
        StoreFixture f;
        use_small_limits(f);
        set(f);
        Acknowledged acknowledged;
        live(f, acknowledged);
        check_all_there_once(f, acknowledged);
        CHECK(acknowledged.size() == 52);
        calls = f.io.changes();
    }
    CHECK(calls > 100);
    for (uint64_t crash = 1; crash <= calls; ++crash) {
        StoreFixture f;
        use_small_limits(f);
        set(f);
        CAPTURE(crash);
        f.io.crash_at(crash);
        Acknowledged acknowledged;
        live(f, acknowledged);
        f.store.reset();
        SeededRandom dice(crash);
        f.io.restart(dice);
        f.open();
        check_all_there_once(f, acknowledged);
        CHECK(f.store->state().quarantined == 0);
        // It lives on, and once more.
        REQUIRE(f.send(200, 4).has_value());
        for (uint64_t n = 200; n < 204; ++n)
            acknowledged.insert(n);
        REQUIRE(f.store->flush().has_value());
        REQUIRE(f.store->settle().has_value());
        check_all_there_once(f, acknowledged);
        f.kill(crash);
        f.open();
        check_all_there_once(f, acknowledged);
    }
}

}  // namespace

TEST_CASE("after a crash at any call every acknowledged span is there exactly once") {
    crash_at_any_call([](StoreFixture&) {});
}

TEST_CASE("the same where heads go to the disk as they are") {
    crash_at_any_call(leave_heads);
}

TEST_CASE("a crash during the recovery from a crash loses nothing either") {
    for (uint64_t crash = 20; crash <= 180; crash += 23) {
        for (uint64_t second = 1; second < 40; second += 3) {
            StoreFixture f;
            use_small_limits(f);
            f.io.crash_at(crash);
            Acknowledged acknowledged;
            live(f, acknowledged);
            f.store.reset();
            SeededRandom dice(crash * 100 + second);
            f.io.restart(dice);
            f.io.crash_at(second);
            f.options.flush_bytes = 1;  // recovery flushes as it goes
            (void)f.try_open();
            f.store.reset();
            f.io.restart(dice);
            CAPTURE(crash);
            CAPTURE(second);
            f.open();
            check_all_there_once(f, acknowledged);
        }
    }
}

namespace {

void fail_at_any_call(const std::function<void(StoreFixture&)>& set) {
    StoreFixture whole;
    use_small_limits(whole);
    set(whole);
    Acknowledged all;
    live(whole, all);
    const uint64_t calls = whole.io.changes();
    for (const ErrorCode code : {ErrorCode::kResourceExhausted, ErrorCode::kInternal}) {
        // Each call fails in one of the ways.
        const uint64_t first = code == ErrorCode::kInternal ? 1 : 2;
        for (uint64_t failing = first; failing <= calls; failing += 2) {
            StoreFixture f;
            use_small_limits(f);
            set(f);
            CAPTURE(failing);
            uint64_t count = 0;
            f.io.set_fault([&](IoCall call, const std::string& path) -> std::optional<Error> {
                const bool is_change = call != IoCall::kOpen && call != IoCall::kList &&
                                       call != IoCall::kRead && call != IoCall::kLock;
                if (!is_change || ++count != failing) return std::nullopt;
                return Error{code, "no luck with " + path};
            });
            Acknowledged acknowledged;
            live(f, acknowledged);
            if (f.store != nullptr) check_all_there_once(f, acknowledged);
            f.io.set_fault(nullptr);
            f.kill(failing);
            f.open();
            check_all_there_once(f, acknowledged);
        }
    }
}

}  // namespace

TEST_CASE("an error at any call is survived, and what was acknowledged stays") {
    fail_at_any_call([](StoreFixture&) {});
}

TEST_CASE("an error at any call is survived where heads go to the disk as they are") {
    fail_at_any_call(leave_heads);
}

TEST_CASE("a disk that fills at any byte refuses, and all goes on when there is room") {
    for (uint64_t capacity = 2'000; capacity < 80'000; capacity += 1'777) {
        StoreFixture f;
        use_small_limits(f);
        CAPTURE(capacity);
        f.options.disk_used_max = 1;  // nothing is dropped to make room
        f.io.set_capacity(capacity);
        Acknowledged acknowledged;
        live(f, acknowledged);
        f.io.set_capacity(UINT64_MAX);
        if (f.store == nullptr) f.open();
        CHECK_FALSE(f.store->state().log.is_read_only);
        REQUIRE(f.send(300, 4).has_value());
        for (uint64_t n = 300; n < 304; ++n)
            acknowledged.insert(n);
        REQUIRE(f.store->flush().has_value());
        REQUIRE(f.store->settle().has_value());
        check_all_there_once(f, acknowledged);
        f.kill(capacity);
        f.open();
        check_all_there_once(f, acknowledged);
        // Nothing is left lying about.
        for (const std::string& path : f.io.files())
            CHECK_FALSE(path.ends_with(".tmp"));
    }
}

TEST_CASE("a bit flip anywhere in a segment never gives a wrong answer, and the rest is served") {
    StoreFixture f;
    f.open();
    REQUIRE(f.send(0, 40).has_value());
    REQUIRE(f.store->flush().has_value());
    REQUIRE(f.send(40, 40).has_value());
    REQUIRE(f.store->flush().has_value());
    f.store.reset();
    const auto files = f.contents();
    const std::string path = f.segment_paths().front();
    const size_t size = f.io.read_file(path).size();
    const Numbers first = range(0, 40);
    const Numbers second = range(40, 40);
    for (uint64_t bit = 3; bit < size * 8; bit += 8 * 17 + 1) {
        StoreFixture g;
        g.restore(files);
        g.io.flip_bit(path, bit);
        g.open();
        Numbers seen;
        bool is_reported = g.store->state().quarantined > 0;
        for (const auto& segment : g.store->snapshot("default")) {
            if (!segment->verify()) is_reported = true;
            const Result<Numbers> numbers = numbers_in({segment});
            if (!numbers) continue;
            CHECK((*numbers == first || *numbers == second));
            seen.insert(seen.end(), numbers->begin(), numbers->end());
        }
        std::sort(seen.begin(), seen.end());
        CAPTURE(bit);
        CHECK(is_reported);
        CHECK(std::includes(seen.begin(), seen.end(), second.begin(), second.end()));
    }
}

TEST_CASE("a bit flip anywhere in the manifest loses no span") {
    StoreFixture f;
    f.options.log_file_bytes = 8'300;
    f.open();
    for (uint64_t i = 0; i < 4; ++i) {
        REQUIRE(f.send(i * 10, 10).has_value());
        REQUIRE(f.store->flush().has_value());
    }
    REQUIRE(f.send(40, 10).has_value());
    f.kill();
    const auto files = f.contents();
    const std::string manifest = f.io.read_file("MANIFEST");
    for (uint64_t bit = 0; bit < manifest.size() * 8; bit += 11) {
        StoreFixture g;
        g.restore(files);
        g.io.flip_bit("MANIFEST", bit);
        g.open();
        CAPTURE(bit);
        Numbers stored = g.stored();
        stored.erase(std::unique(stored.begin(), stored.end()), stored.end());
        CHECK(stored == range(0, 50));
    }
    StoreFixture none;
    none.restore(files);
    REQUIRE(none.io.remove("MANIFEST").has_value());
    none.open();
    Numbers stored = none.stored();
    stored.erase(std::unique(stored.begin(), stored.end()), stored.end());
    CHECK(stored == range(0, 50));
}

TEST_CASE("a segment damaged inside is not merged, and the others are") {
    StoreFixture f;
    f.options.merge_segments_min = 3;
    f.open();
    for (uint64_t i = 0; i < 4; ++i) {
        REQUIRE(f.send(i * 10, 10).has_value());
        REQUIRE(f.store->flush().has_value());
    }
    const std::string path = f.segment_paths().front();
    f.store.reset();
    f.io.flip_bit(path, 8 * 100);
    f.open();
    if (f.store->state().quarantined == 0) {
        REQUIRE(f.store->settle().has_value());
        const Numbers others = range(10, 30);
        Numbers seen;
        for (const auto& segment : f.store->snapshot("default")) {
            if (const Result<Numbers> numbers = numbers_in({segment}))
                seen.insert(seen.end(), numbers->begin(), numbers->end());
        }
        std::sort(seen.begin(), seen.end());
        CHECK(std::includes(seen.begin(), seen.end(), others.begin(), others.end()));
        CHECK(f.store->state().segments == 2);
    }
    CHECK(f.metrics.render().find("store_damaged_segments_total 1") != std::string::npos);
}

TEST_CASE("old files that reappear and remains of a crash are cleaned up") {
    StoreFixture f;
    f.options.merge_segments_min = 2;
    f.open();
    REQUIRE(f.send(0, 10).has_value());
    REQUIRE(f.store->flush().has_value());
    const std::string old_path = f.segment_paths().front();
    const std::string old_bytes = f.io.read_file(old_path);
    REQUIRE(f.send(10, 10).has_value());
    REQUIRE(f.store->flush().has_value());
    REQUIRE(f.store->settle().has_value());
    REQUIRE(f.segment_paths().size() == 1);
    f.store.reset();
    f.io.write_file(old_path, old_bytes);
    f.io.write_file("recent/default/2023111422-00000099.seg.tmp", "half");
    f.open();
    CHECK(f.stored() == range(0, 20));
    CHECK(f.segment_paths().size() == 1);
    for (const std::string& path : f.io.files())
        CHECK_FALSE(path.ends_with(".tmp"));
}

}  // namespace spanloom::store

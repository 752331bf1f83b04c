#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "store/engine_fixture.h"

// What a store does where the disk is full or has lost bytes.
namespace spanloom::store {
namespace {

uint64_t bytes_on_disk(const StoreFixture& f) {
    uint64_t bytes = 0;
    for (const std::string& path : f.io.files())
        bytes += f.io.read_file(path).size();
    return bytes;
}

bool has_file(const StoreFixture& f, const std::string& path) {
    const auto files = f.io.files();
    return std::find(files.begin(), files.end(), path) != files.end();
}

}  // namespace

TEST_CASE("on a full disk retention finds room in the reserve, which comes back with the room") {
    StoreFixture f;
    f.options.reserve_bytes = 40'000;
    f.options.retention_ms = 1000;
    f.options.disk_used_max = 1;
    f.open();
    for (uint64_t i = 0; i < 3; ++i) {
        REQUIRE(f.send(i * 10, 10).has_value());
        REQUIRE(f.store->flush().has_value());
    }
    REQUIRE(f.store->settle().has_value());
    REQUIRE(has_file(f, "reserve"));
    CHECK(f.io.read_file("reserve").size() == 40'000);
    // Others have filled the disk to the last byte: not even a line of the manifest fits.
    f.io.set_capacity(bytes_on_disk(f));
    CHECK_FALSE(f.send(100, 10).has_value());
    f.clock.advance(2 * kHour);
    REQUIRE(f.store->settle().has_value());
    CHECK(f.store->state().segments == 0);
    CHECK(f.segment_files() == 0);
    CHECK_FALSE(has_file(f, "reserve"));
    f.io.set_capacity(UINT64_MAX);
    REQUIRE(f.send(200, 10).has_value());
    REQUIRE(f.store->settle().has_value());
    CHECK(has_file(f, "reserve"));
    REQUIRE(f.store->seal().has_value());
    const Numbers stored = f.stored();
    const Numbers wanted = range(200, 10);
    CHECK(std::includes(stored.begin(), stored.end(), wanted.begin(), wanted.end()));
}

TEST_CASE("what is kept of segments on disk takes no room from what comes in") {
    StoreFixture f;
    f.options.memory_bytes_max = 24 << 10;
    f.options.flush_bytes = 12 << 10;
    f.options.merge_segments_min = 1000;
    f.open();
    for (uint64_t i = 0; i < 40; ++i) {
        REQUIRE(f.send(i * 10, 10).has_value());
        REQUIRE(f.store->flush().has_value());
        CHECK(f.store->state().memory_bytes == 0);
    }
    CHECK(f.store->state().segments == 40);
    CHECK(f.stored() == range(0, 400));
}

TEST_CASE(
    "a segment that cannot be opened is set aside whole, told of, and the others are served") {
    StoreFixture f;
    f.options.merge_segments_min = 100;
    f.open();
    for (uint64_t i = 0; i < 3; ++i) {
        REQUIRE(f.send(i * 10, 10).has_value());
        REQUIRE(f.store->flush().has_value());
    }
    const std::string path = f.segment_paths()[1];
    f.store.reset();
    // The trailer: nothing of the file can be trusted then.
    const uint64_t size = f.io.read_file(path).size();
    f.io.flip_bit(path, (size - 20) * 8);
    const std::string damaged = f.io.read_file(path);
    f.open();
    CHECK(f.store->state().quarantined == 1);
    Numbers wanted = range(0, 10);
    const Numbers last = range(20, 10);
    wanted.insert(wanted.end(), last.begin(), last.end());
    CHECK(f.stored() == wanted);
    // Its bytes stay for people to look at, wherever they lie.
    const auto files = f.io.files();
    const auto kept = std::count_if(files.begin(), files.end(), [&](const std::string& file) {
        return f.io.read_file(file) == damaged;
    });
    CHECK(kept == 1);
    CHECK(f.metrics.render().find("store_damaged_segments_total 1") != std::string::npos);
    // Once more: it is not asked for again, and nothing else goes.
    f.store.reset();
    f.open();
    CHECK(f.stored() == wanted);
    REQUIRE(f.send(40, 10).has_value());
    REQUIRE(f.store->flush().has_value());
    CHECK(f.stored().size() == 30);
}

}  // namespace spanloom::store

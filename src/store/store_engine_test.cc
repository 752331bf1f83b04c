#include <algorithm>
#include <chrono>
#include <cstring>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/memory_io.h"
#include "store/engine_fixture.h"
#include "store/retention.h"
#include "store/store.h"
#include "store/store_paths.h"
#include "store/test_spans.h"

namespace spanloom::store {

using Fixture = StoreFixture;

TEST_CASE("what is accepted is searchable once it is sealed") {
    Fixture f;
    f.open();
    CHECK(f.stored().empty());
    REQUIRE(f.send(0, 10).has_value());
    REQUIRE(f.send(10, 10).has_value());
    REQUIRE(f.store->seal().has_value());
    CHECK(f.stored() == range(0, 20));
    CHECK(f.store->snapshot("other").empty());
    CHECK(f.store->state().spans == 20);
    CHECK(f.store->state().segments_in_memory == 1);
}

TEST_CASE("a head is sealed by itself when it is full") {
    Fixture f;
    f.options.seal_spans = 16;
    f.open();
    REQUIRE(f.send(0, 10).has_value());
    CHECK(f.stored().empty());
    REQUIRE(f.send(10, 10).has_value());
    CHECK(f.stored() == range(0, 20));
}

TEST_CASE("after a kill everything acknowledged comes back from the log") {
    Fixture f;
    f.open();
    REQUIRE(f.send(0, 10).has_value());
    REQUIRE(f.send(10, 10).has_value());
    f.kill();
    f.open();
    CHECK(f.stored() == range(0, 20));
}

TEST_CASE("a flush moves everything to disk and frees the log") {
    Fixture f;
    f.open();
    for (uint64_t i = 0; i < 40; ++i)
        REQUIRE(f.send(i * 10, 10).has_value());
    const uint64_t log_bytes = f.store->state().log.bytes;
    REQUIRE(f.store->flush().has_value());
    CHECK(f.stored() == range(0, 400));
    CHECK(f.store->state().segments_in_memory == 0);
    CHECK(f.segment_files() == 1);
    CHECK(f.store->state().log.bytes < log_bytes);
    REQUIRE(f.send(400, 10).has_value());
    f.kill();
    f.open();
    CHECK(f.stored() == range(0, 410));
}

TEST_CASE("a clean end leaves nothing for the log") {
    Fixture f;
    f.open();
    REQUIRE(f.send(0, 10).has_value());
    f.store.reset();
    CHECK(f.segment_files() == 1);
    f.open();
    CHECK(f.stored() == range(0, 10));
    CHECK(f.store->state().segments_in_memory == 0);
}

TEST_CASE("a request sent again is acknowledged and kept once") {
    Fixture f;
    f.open();
    REQUIRE(f.send(0, 10).has_value());
    const uint64_t bytes = f.store->state().log.bytes;
    REQUIRE(f.send(0, 10).has_value());
    CHECK(f.store->state().log.bytes == bytes);
    CHECK(f.store->state().duplicates == 10);
    // Other requests with some of the same spans.
    REQUIRE(f.send(5, 10).has_value());
    CHECK(f.store->state().duplicates == 15);
    REQUIRE(f.store->seal().has_value());
    CHECK(f.stored() == range(0, 15));
    f.kill();
    f.open();
    CHECK(f.stored() == range(0, 15));
    REQUIRE(f.send(5, 10).has_value());
    CHECK(f.store->seal().has_value());
    CHECK(f.stored() == range(0, 15));
}

TEST_CASE("the same ids with other content are all kept") {
    Fixture f;
    f.open();
    REQUIRE(f.send(test_batch(0, 4, kNow, "one")).has_value());
    REQUIRE(f.send(test_batch(0, 4, kNow, "two")).has_value());
    REQUIRE(f.store->seal().has_value());
    CHECK(f.stored() == Numbers{0, 0, 1, 1, 2, 2, 3, 3});
}

TEST_CASE("tenants never meet, whatever their names are") {
    Fixture f;
    f.open();
    const std::vector<std::string> tenants = {"../../etc/x", "a/b", "con\nx", ".", "..", "Ä%2e"};
    for (size_t i = 0; i < tenants.size(); ++i) {
        Batch batch = test_batch(0, i + 1, kNow);
        batch.tenant = tenants[i];
        REQUIRE(f.send(std::move(batch)).has_value());
    }
    REQUIRE(f.store->flush().has_value());
    f.kill();
    f.open();
    for (size_t i = 0; i < tenants.size(); ++i)
        CHECK(f.stored(tenants[i]) == range(0, i + 1));
    for (const std::string& path : f.io.files()) {
        CHECK(path.find("..") == std::string::npos);
        CHECK(path.find('\n') == std::string::npos);
    }
    Batch nameless = test_batch(0, 1, kNow);
    nameless.tenant = "";
    CHECK_FALSE(f.send(nameless).has_value());
    nameless.tenant = std::string(65, 'x');
    CHECK_FALSE(f.send(nameless).has_value());
}

TEST_CASE("partitions are hours of arrival, whatever the spans say") {
    Fixture f;
    f.open();
    REQUIRE(f.send(0, 4).has_value());
    f.clock.advance(kHour);
    REQUIRE(f.send(4, 4).has_value());
    f.clock.set_wall(kNow);  // and back again
    REQUIRE(f.send(8, 4).has_value());
    REQUIRE(f.store->flush().has_value());
    CHECK(f.segment_files() == 2);
    CHECK(f.stored() == range(0, 12));
}

TEST_CASE("a second instance on the same directory is refused clearly") {
    Fixture f;
    f.open();
    SeededRandom random(1);
    const auto second = Store::open(f.options, f.io, f.clock, random, f.metrics);
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == ErrorCode::kAlreadyExists);
    CHECK(second.error().message.find("in use by another spanloom") != std::string::npos);
}

TEST_CASE("a log that can no longer be synced is told as such, and restarting helps") {
    Fixture f;
    f.open();
    REQUIRE(f.send(0, 4).has_value());
    f.io.set_fault([](IoCall call, const std::string& path) -> std::optional<Error> {
        if (call == IoCall::kSync && path.starts_with("log/"))
            return Error{ErrorCode::kInternal, "input/output error"};
        return std::nullopt;
    });
    const Result<void> refused = f.send(4, 4);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ErrorCode::kUnavailable);
    CHECK(f.store->state().is_read_only);
    CHECK(f.store->state().reason.find("input/output error") != std::string::npos);
    REQUIRE(f.store->seal().has_value());
    CHECK(f.stored() == range(0, 4));
    f.kill();
    f.open();
    CHECK_FALSE(f.store->state().is_read_only);
    REQUIRE(f.send(8, 4).has_value());
    REQUIRE(f.store->seal().has_value());
    const Numbers stored = f.stored();
    const Numbers wanted = range(0, 4);
    CHECK(std::includes(stored.begin(), stored.end(), wanted.begin(), wanted.end()));
}

TEST_CASE("too little free space refuses with a time to come again, and ends by itself") {
    Fixture f;
    f.options.disk_free_bytes_min = 1 << 20;
    f.open();
    REQUIRE(f.send(0, 4).has_value());
    f.io.set_capacity(1 << 20);
    const Result<void> refused = f.send(4, 4);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ErrorCode::kUnavailable);
    CHECK(refused.error().retry_after_s > 0);
    CHECK(f.store->state().is_read_only);
    f.io.set_capacity(UINT64_MAX);
    REQUIRE(f.send(4, 4).has_value());
}

TEST_CASE("a full memory refuses before it grows") {
    Fixture f;
    f.options.memory_bytes_max = 64 << 10;
    f.open();
    Result<void> said;
    uint64_t sent = 0;
    while (said && sent < 10'000) {
        said = f.send(sent * 10, 10);
        ++sent;
    }
    REQUIRE_FALSE(said.has_value());
    CHECK(said.error().code == ErrorCode::kUnavailable);
    CHECK(f.store->state().memory_bytes < 1 << 20);
}

TEST_CASE("names of tenants and segments are read back as written") {
    for (const std::string tenant : {"default", "a/b", "%", "..", "\x01\xff", "UP-per_1"}) {
        const std::string name = encode_tenant(tenant);
        CHECK(name.find('/') == std::string::npos);
        CHECK(name.find('.') == std::string::npos);
        CHECK(decode_tenant(name) == tenant);
    }
    CHECK_FALSE(decode_tenant("..").has_value());
    CHECK_FALSE(decode_tenant("").has_value());
    CHECK(segment_name({kNow / kNsPerHour, 0x2a}) == "2023111422-0000002a.seg");
    CHECK(parse_segment_name("2023111422-0000002a.seg")->hour == kNow / kNsPerHour);
    CHECK(parse_segment_name("2023111422-0000002a.seg")->id == 0x2a);
    CHECK_FALSE(parse_segment_name("2023111422-0000002a.seg.tmp").has_value());
    CHECK_FALSE(parse_segment_name("2023131422-0000002a.seg").has_value());
    CHECK(segment_name({0, 1}) == "1970010100-00000001.seg");
}

}  // namespace spanloom::store

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "store/engine_fixture.h"

namespace spanloom::store {
namespace {

// Where nobody reads, so that heads go to the disk as they are.
struct UnreadFixture : StoreFixture {
    UnreadFixture() {
        options.read_memory_ms = 0;
        options.file_spans_min = 16;
    }
    void refuse_files() {
        io.set_fault([](IoCall call, const std::string& path) -> std::optional<Error> {
            if (call != IoCall::kCreate || !path.ends_with(".tmp")) return std::nullopt;
            return Error{ErrorCode::kResourceExhausted, "no room"};
        });
    }
    double seals() {
        const std::string text = metrics.render();
        const std::string name = "\nspanloom_store_seals_total ";
        const size_t at = text.find(name);
        REQUIRE(at != std::string::npos);
        return std::stod(text.substr(at + name.size()));
    }
};

}  // namespace

TEST_CASE("a head that nobody has read is written to its file as it is") {
    UnreadFixture f;
    f.open();
    REQUIRE(f.send(0, 20).has_value());
    REQUIRE(f.send(20, 20).has_value());
    CHECK(f.stored().empty());
    REQUIRE(f.store->flush().has_value());
    CHECK(f.seals() == 0);
    CHECK(f.stored() == range(0, 40));
    CHECK(f.store->state().segments_in_memory == 0);
    CHECK(f.segment_files() == 1);
    // What is small is sealed and merged, what was sealed before goes into a file of its own.
    REQUIRE(f.send(40, 10).has_value());
    REQUIRE(f.store->seal().has_value());
    REQUIRE(f.send(50, 20).has_value());
    REQUIRE(f.store->flush().has_value());
    CHECK(f.seals() == 1);
    CHECK(f.segment_files() == 3);
    f.kill();
    f.open();
    CHECK(f.stored() == range(0, 70));
}

TEST_CASE("a head that somebody reads is sealed and merged") {
    UnreadFixture f;
    f.options.read_memory_ms = 1'000;
    f.open();
    CHECK(f.stored().empty());
    REQUIRE(f.send(0, 20).has_value());
    REQUIRE(f.store->flush().has_value());
    CHECK(f.seals() == 1);
    f.clock.advance(1'000'000'000);
    REQUIRE(f.send(20, 20).has_value());
    REQUIRE(f.store->flush().has_value());
    CHECK(f.seals() == 1);
    CHECK(f.stored() == range(0, 40));
}

TEST_CASE("spans with large texts are left to a merge, which makes small row groups of them") {
    UnreadFixture f;
    f.open();
    for (uint64_t i = 0; i < 20; ++i) {
        const std::string name(20'000, static_cast<char>('a' + i));
        REQUIRE(f.send(test_batch(i, 1, f.clock.wall_ns(), name)).has_value());
    }
    REQUIRE(f.store->flush().has_value());
    CHECK(f.seals() == 1);
    CHECK(f.stored() == range(0, 20));
}

TEST_CASE("what cannot be written stays searchable in memory, and is written once") {
    UnreadFixture f;
    f.open();
    REQUIRE(f.send(0, 20).has_value());
    f.refuse_files();
    CHECK_FALSE(f.store->flush().has_value());
    CHECK(f.stored() == range(0, 20));
    CHECK(f.store->state().segments_in_memory == 1);
    CHECK(f.segment_files() == 0);
    REQUIRE(f.send(20, 20).has_value());
    CHECK_FALSE(f.store->flush().has_value());
    f.io.set_fault(nullptr);
    REQUIRE(f.store->flush().has_value());
    CHECK(f.stored() == range(0, 40));
    CHECK(f.segment_files() == 2);
    CHECK(f.seals() == 0);
    f.kill();
    f.open();
    CHECK(f.stored() == range(0, 40));
}

TEST_CASE("what was deleted is not in the file of a head that was not written yet") {
    UnreadFixture f;
    f.open();
    REQUIRE(f.send(0, 20).has_value());
    f.refuse_files();
    CHECK_FALSE(f.store->flush().has_value());
    f.io.set_fault(nullptr);
    DeletionRequest request;
    request.traces = {test_trace_id(1)};
    REQUIRE(f.store->erase(std::move(request)).has_value());
    Numbers left = range(0, 4);
    const Numbers others = range(8, 12);
    left.insert(left.end(), others.begin(), others.end());
    CHECK(f.stored() == left);
    REQUIRE(f.store->flush().has_value());
    CHECK(f.stored() == left);
    CHECK(f.store->state().hiding == 0);
}

TEST_CASE("arrivals are told of heads that were not sealed, before they are seen") {
    UnreadFixture f;
    f.open();
    std::vector<std::shared_ptr<const Segment>> told;
    f.store->watch_arrivals(
        [&](const std::string& tenant, const auto& segment) {
            CHECK(tenant == "default");
            CHECK(f.stored().empty());
            told.push_back(segment);
        },
        5'000);
    REQUIRE(f.send(0, 20).has_value());
    REQUIRE(f.store->flush().has_value());
    REQUIRE(told.size() == 1);
    CHECK(*numbers_in(told) == range(0, 20));
    f.store->watch_arrivals(nullptr, 0);
}

}  // namespace spanloom::store

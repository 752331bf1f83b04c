#include <doctest/doctest.h>

#include "store/engine_fixture.h"

namespace spanloom::store {
namespace {

CheckReport check(StoreFixture& f) {
    uint64_t last = 0;
    Result<CheckReport> report = check_data(f.io, [&](uint64_t done, uint64_t all) {
        CHECK(done >= last);
        CHECK(done <= all);
        last = done;
    });
    if (!report) FAIL(report.error().message);
    return *report;
}

void fill(StoreFixture& f) {
    f.open();
    REQUIRE(f.send(0, 40).has_value());
    REQUIRE(f.store->flush().has_value());
    REQUIRE(f.send(40, 8).has_value());
    REQUIRE(f.send(48, 8).has_value());
    f.kill();
}

}  // namespace

TEST_CASE("a check counts what segments and log hold, and finds nothing wrong") {
    StoreFixture f;
    fill(f);
    const auto before = f.contents();
    const CheckReport report = check(f);
    CHECK(report.segments == 1);
    CHECK(report.spans == 40);
    CHECK(report.traces == 10);
    CHECK(report.log_records == 2);
    CHECK(report.log_spans == 16);
    CHECK(report.damage.empty());
    CHECK(f.contents() == before);
}

TEST_CASE("a check finds a bit flip in any file") {
    StoreFixture f;
    fill(f);
    const auto files = f.contents();
    for (const auto& [path, bytes] : files) {
        for (uint64_t bit = 2; bit < bytes.size() * 8; bit += bytes.size() / 7 * 8 + 9) {
            StoreFixture g;
            g.restore(files);
            g.io.flip_bit(path, bit);
            CAPTURE(path);
            CAPTURE(bit);
            const CheckReport report = check(g);
            const bool is_padding = path.starts_with("log/") && bytes[bit / 8] == 0;
            CHECK((is_padding || !report.damage.empty() || !report.notes.empty()));
        }
    }
}

TEST_CASE("a check refuses a directory in use and one that is none of ours") {
    StoreFixture f;
    f.open();
    const auto busy = check_data(f.io, nullptr);
    REQUIRE_FALSE(busy.has_value());
    CHECK(busy.error().message.find("in use by another spanloom") != std::string::npos);
    StoreFixture other;
    other.io.write_file("notes.txt", "hello");
    const auto none = check_data(other.io, nullptr);
    REQUIRE_FALSE(none.has_value());
    CHECK(none.error().code == ErrorCode::kNotFound);
}

}  // namespace spanloom::store

#include <algorithm>
#include <chrono>
#include <cstring>
#include <future>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "store/engine_fixture.h"
#include "store/store_paths.h"

// What is counted of spans before they age or go. Here counts are the numbers of the spans.
namespace spanloom::store {
namespace {

constexpr uint64_t kDay = 24 * kHour;

Numbers counted(const StoreFixture& f) {
    const Result<Numbers> numbers = counted_numbers(*f.store);
    REQUIRE(numbers.has_value());
    return *numbers;
}

size_t files_of(const StoreFixture& f) {
    return f.store->counted("default").files.size();
}

size_t files_on_disk(const StoreFixture& f) {
    const auto files = f.io.files();
    return static_cast<size_t>(std::count_if(files.begin(), files.end(), [](const auto& path) {
        return path.starts_with(kCounts.area);
    }));
}

// Keeps every second trace once an hour is old.
Ageing every_second() {
    Ageing ageing;
    ageing.recent_for_ms = 3'600'000;
    ageing.verdict = [](const AgeingQuestion& question) -> Result<AgeingAnswer> {
        AgeingAnswer answer;
        answer.rules = {{"half", 0}};
        for (const TraceId& id : question.traces) {
            const uint64_t number = trace_number(id);
            answer.rule_of.push_back(number % 2 == 0 ? 0 : AgeingAnswer::kDrop);
        }
        return answer;
    };
    return ageing;
}

struct CountingFixture : StoreFixture {
    CountingFixture() { options.counting = count_numbers(); }
    // Hours with 40 spans each, and two more.
    void fill(uint64_t hours) {
        for (uint64_t hour = 0; hour < hours; ++hour) {
            REQUIRE(send(hour * 40, 40).has_value());
            REQUIRE(store->flush().has_value());
            clock.advance(kHour);
        }
        clock.advance(2 * kHour);
    }
};

}  // namespace

TEST_CASE("what ages is counted whole, once, and what is kept of it not again") {
    CountingFixture f;
    f.open();
    f.fill(3);
    CHECK(counted(f) == range(0, 120));
    CHECK(files_of(f) == 0);
    f.store->set_ageing(every_second());
    REQUIRE(f.store->settle().has_value());
    CHECK(f.stored().size() == 60);
    CHECK(files_of(f) == 3);
    CHECK(counted(f) == range(0, 120));
    CHECK_FALSE(f.store->counted("default").others.empty());
    // Spans that come late count, too.
    REQUIRE(f.send(120, 8).has_value());
    REQUIRE(f.store->flush().has_value());
    CHECK(counted(f) == range(0, 128));
    f.open();
    CHECK(counted(f) == range(0, 128));
    CHECK(f.store->counted("nobody").files.empty());
}

TEST_CASE("the counts know when their spans were, and of which tenant they are") {
    CountingFixture f;
    f.open();
    const uint64_t hour = f.clock.wall_ns() / kHour;
    f.fill(1);
    const auto segments = f.store->counted("default").segments;
    REQUIRE(segments.size() == 1);
    const SegmentInfo& info = segments[0]->info();
    f.store->set_ageing(every_second());
    REQUIRE(f.store->settle().has_value());
    REQUIRE(files_of(f) == 1);
    const CountsFile file = f.store->counted("default").files[0]->file();
    CHECK(file.tenant == "default");
    CHECK(file.hour == hour);
    CHECK(file.detail == CountsDetail::kShort);
    CHECK(file.start_ns_min == info.start_ns_min);
    CHECK(file.end_ns_max == info.end_ns_max);
    CHECK(file.bytes > 40 * 8);
}

TEST_CASE("what retention drops undecided is counted") {
    CountingFixture f;
    f.options.retention_ms = 3'600'000;
    f.open();
    f.fill(2);
    REQUIRE(f.store->settle().has_value());
    CHECK(f.stored().empty());
    CHECK(counted(f) == range(0, 80));
}

TEST_CASE("the hours of a day become one file when they are old, and go at last") {
    CountingFixture f;
    f.options.counts_minutes_ms = 48 * 3'600'000;
    f.options.counts_ms = 240 * 3'600'000;
    f.clock.advance(kDay - kNow % kDay);
    f.open();
    f.store->set_ageing(every_second());
    f.fill(3);
    REQUIRE(f.store->settle().has_value());
    CHECK(files_of(f) == 3);
    f.clock.advance(3 * kDay);
    f.open();
    f.store->set_ageing(every_second());
    // Who reads an hour's file meanwhile still can.
    const auto before = f.store->counted("default");
    REQUIRE(f.store->settle().has_value());
    REQUIRE(files_of(f) == 1);
    const CountsFile day = f.store->counted("default").files[0]->file();
    CHECK(day.detail == CountsDetail::kHours);
    CHECK(day.hour % 24 == 0);
    CHECK(counted(f) == range(0, 120));
    CHECK(before.files[0]->read().has_value());
    f.open();
    CHECK(counted(f) == range(0, 120));
    CHECK(files_on_disk(f) == 1);
    f.clock.advance(11 * kDay);
    f.open();
    REQUIRE(f.store->settle().has_value());
    CHECK(files_of(f) == 0);
    CHECK(files_on_disk(f) == 0);
}

TEST_CASE(
    "counts get less detailed with age, each hour by itself, and a month is one file at last") {
    CountingFixture f;
    f.options.counts_short_ms = 24 * 3'600'000;
    f.options.counts_minutes_ms = 10 * 24 * 3'600'000ULL;
    std::vector<CountsDetail> asked;
    const auto put_together = f.options.counting.put_together;
    f.options.counting.put_together = [&](std::span<const std::string_view> bodies,
                                          CountsDetail detail) {
        asked.push_back(detail);
        return put_together(bodies, detail);
    };
    // The last day of February 2028, from 22 h on: two hours of it, and two of March.
    constexpr uint64_t kMarch = 1'835'481'600'000'000'000;
    f.clock.advance(kMarch - 2 * kHour - kNow);
    f.open();
    f.store->set_ageing(every_second());
    f.fill(4);
    REQUIRE(f.store->settle().has_value());
    CHECK(files_of(f) == 4);
    CHECK(asked.empty());
    const auto advance_to = [&](uint64_t wall_ns) {
        f.clock.advance(wall_ns - f.clock.wall_ns());
        f.open();
        f.store->set_ageing(every_second());
        REQUIRE(f.store->settle().has_value());
        CHECK(counted(f) == range(0, 160));
    };
    // The first hour is a day over, the second not yet.
    advance_to(kMarch + 23 * kHour);
    CHECK(asked == std::vector{CountsDetail::kMinutes});
    CHECK(files_of(f) == 4);
    advance_to(kMarch + 3 * kDay);
    CHECK(asked.size() == 4);
    CHECK(files_of(f) == 4);
    asked.clear();
    // All of February is ten days over, and no day of March.
    advance_to(kMarch + 10 * kDay + kHour);
    CHECK(asked == std::vector{CountsDetail::kMonth});
    REQUIRE(files_of(f) == 3);
    const CountsFile month = f.store->counted("default").files.back()->file();
    CHECK(month.detail == CountsDetail::kMonth);
    CHECK(month.hour * kHour == kMarch - 29 * kDay);
    asked.clear();
    advance_to(kMarch + 12 * kDay);
    CHECK(asked == std::vector{CountsDetail::kHours});
    CHECK(files_of(f) == 2);
    asked.clear();
    advance_to(kMarch + 42 * kDay);
    CHECK(asked == std::vector{CountsDetail::kMonth});
    CHECK(files_of(f) == 2);
    // Nothing is left to do.
    asked.clear();
    advance_to(kMarch + 80 * kDay);
    CHECK(asked.empty());
    CHECK(files_on_disk(f) == 2);
}

TEST_CASE("a month is not put together while some of it is still recent") {
    CountingFixture f;
    f.options.counts_minutes_ms = 24 * 3'600'000;
    f.open();
    f.fill(1);
    f.store->set_ageing(every_second());
    REQUIRE(f.store->settle().has_value());
    REQUIRE(f.send(40, 8).has_value());
    REQUIRE(f.store->flush().has_value());
    f.clock.advance(90 * kDay);
    // Nothing ages now.
    f.store->set_ageing({});
    REQUIRE(f.store->settle().has_value());
    CHECK(f.store->counted("default").files[0]->file().detail == CountsDetail::kHours);
    f.store->set_ageing(every_second());
    REQUIRE(f.store->settle().has_value());
    REQUIRE(files_of(f) == 1);
    CHECK(f.store->counted("default").files[0]->file().detail == CountsDetail::kMonth);
    CHECK(counted(f) == range(0, 48));
}

TEST_CASE("a power cut at any moment of ageing counts each span once") {
    const auto prepare = [](CountingFixture& f) {
        f.open();
        REQUIRE(f.send(0, 40).has_value());
        REQUIRE(f.store->flush().has_value());
        f.clock.advance(3 * kHour);
        f.store->set_ageing(every_second());
    };
    CountingFixture whole;
    prepare(whole);
    const uint64_t before = whole.io.changes();
    REQUIRE(whole.store->settle().has_value());
    const uint64_t calls = whole.io.changes() - before;
    for (uint64_t crash = 1; crash <= calls; ++crash) {
        CAPTURE(crash);
        CountingFixture f;
        prepare(f);
        f.crash_in_settle(crash);
        CHECK(counted(f) == range(0, 40));
        f.store->set_ageing(every_second());
        REQUIRE(f.store->settle().has_value());
        CHECK(counted(f) == range(0, 40));
        CHECK(files_on_disk(f) == 1);
    }
}

TEST_CASE(
    "counts come along into a backup, are checked, and are found where the manifest is lost") {
    CountingFixture f;
    f.open();
    f.fill(2);
    f.store->set_ageing(every_second());
    REQUIRE(f.store->settle().has_value());
    MemoryIo copy;
    REQUIRE(f.store->backup(copy, "there").has_value());
    CountingFixture g;
    REQUIRE(restore_backup(copy, g.io, RestoreCheck::kVerify, {}).has_value());
    g.open();
    CHECK(counted(g) == range(0, 80));
    g.store.reset();
    const Result<CheckReport> report = check_data(g.io, {});
    REQUIRE(report.has_value());
    CHECK(report->counts == 2);
    CHECK(report->damage.empty());
    REQUIRE(g.io.remove("MANIFEST").has_value());
    g.open();
    CHECK(counted(g) == range(0, 80));
    g.store.reset();
    std::string path;
    for (const std::string& file : g.io.files()) {
        if (file.ends_with(".cnt")) path = file;
    }
    g.io.flip_bit(path, 40 * 8);
    const Result<CheckReport> damaged = check_data(g.io, {});
    REQUIRE(damaged.has_value());
    REQUIRE(damaged->damage.size() == 1);
    CHECK(damaged->damage[0].find(path) != std::string::npos);
}

TEST_CASE("an hour that cannot be counted stays") {
    CountingFixture f;
    f.options.counting.count = [](Segments, Segments) -> Result<std::string> {
        return fail(ErrorCode::kResourceExhausted, "no memory");
    };
    f.open();
    f.fill(1);
    f.store->set_ageing(every_second());
    CHECK(f.store->settle().error().code == ErrorCode::kResourceExhausted);
    CHECK(f.stored() == range(0, 40));
    CHECK(files_on_disk(f) == 0);
}

TEST_CASE("who asks for what is counted does not wait for the disk of the manifest") {
    CountingFixture f;
    f.open();
    f.fill(2);
    f.store->set_ageing(every_second());
    std::vector<std::future<size_t>> asked;
    size_t answered = 0;
    f.io.set_fault([&](IoCall call, const std::string& path) -> std::optional<Error> {
        if (call != IoCall::kSync || !path.starts_with("MANIFEST")) return {};
        asked.push_back(std::async(std::launch::async, [&] { return files_of(f); }));
        const auto state = asked.back().wait_for(std::chrono::seconds(20));
        answered += state == std::future_status::ready ? 1 : 0;
        return {};
    });
    REQUIRE(f.store->settle().has_value());
    f.io.set_fault({});
    REQUIRE(!asked.empty());
    CHECK(answered == asked.size());
    // The file is seen with what it counts, which happens behind the sync.
    CHECK(asked.front().get() == 0);
    CHECK(files_of(f) == 2);
    CHECK(counted(f) == range(0, 80));
}

TEST_CASE("damaged bytes of counts are an error, whatever they are") {
    const std::string bytes =
        encode_counts({7, "shop", 480'000, CountsDetail::kMonth, 5, 9, 0}, "the counts");
    const Result<CountsReading> whole = decode_counts(bytes);
    REQUIRE(whole.has_value());
    CHECK(whole->counts == "the counts");
    CHECK(whole->file.tenant == "shop");
    CHECK(whole->file.hour == 480'000);
    CHECK(whole->file.detail == CountsDetail::kMonth);
    CHECK(whole->file.start_ns_min == 5);
    CHECK(whole->file.end_ns_max == 9);
    CHECK(whole->file.bytes == bytes.size());
    for (size_t at = 0; at < bytes.size(); ++at) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
        CHECK_FALSE(decode_counts(damaged).has_value());
        CHECK_FALSE(decode_counts(std::string_view(bytes).substr(0, at)).has_value());
    }
}

}  // namespace spanloom::store

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "otlp/tracestate.h"
#include "store/engine_fixture.h"
#include "store/retention.h"

// Where there is no room for what was kept, half of the oldest goes, and half again.
namespace spanloom::store {
namespace {

constexpr uint64_t kDay = 24 * kHour;

// The randomness of traces here: as many of each share of all as can be.
uint64_t randomness_of(uint64_t trace) {
    return (trace * 0x9e3779b97f4a7c15ULL) >> 8;
}

// Keeps all when they age, and of these what the next higher threshold leaves.
Ageing keep_and_thin() {
    Ageing ageing;
    ageing.recent_for_ms = 3'600'000;
    ageing.verdict = [](const AgeingQuestion& question) -> Result<AgeingAnswer> {
        const size_t traces = question.traces.size();
        return AgeingAnswer{{{"all", 0}},
                            std::vector<uint32_t>(traces, 0),
                            std::vector<uint64_t>(traces, 0),
                            "kept " + std::to_string(traces)};
    };
    ageing.thin = [](const AgeingQuestion& question) -> Result<AgeingAnswer> {
        AgeingAnswer answer;
        answer.rules = {*question.kept};
        ++answer.rules[0].halvings;
        const uint64_t threshold =
            otlp::kThresholdEnd - (otlp::kThresholdEnd >> answer.rules[0].halvings);
        for (const TraceId& id : question.traces) {
            const bool is_kept = randomness_of(trace_number(id)) >= threshold;
            answer.rule_of.push_back(is_kept ? 0 : AgeingAnswer::kDrop);
            answer.thresholds.push_back(threshold);
        }
        answer.decisions = "thinned " + std::to_string(question.traces.size());
        return answer;
    };
    return ageing;
}

// Days with so many spans each, all of them kept.
void fill(StoreFixture& f, uint64_t days, uint64_t spans) {
    f.open();
    f.store->set_ageing(keep_and_thin());
    for (uint64_t day = 0; day < days; ++day) {
        REQUIRE(f.send(day * spans, spans).has_value());
        REQUIRE(f.store->flush().has_value());
        f.clock.advance(kDay);
        REQUIRE(f.store->settle().has_value());
    }
}

void limit(StoreFixture& f, uint64_t bytes) {
    f.options.retention_bytes = bytes;
    f.open();
    f.store->set_ageing(keep_and_thin());
}

}  // namespace

TEST_CASE("half of the oldest goes by a higher threshold, and what is left says by which") {
    StoreFixture f;
    fill(f, 8, 1600);
    const uint64_t bytes = f.store->state().disk_bytes;
    limit(f, bytes - 1);
    REQUIRE(f.store->settle().has_value());
    CHECK(f.store->state().disk_bytes < bytes);
    const auto found = f.thresholds();
    uint64_t halved = 0;
    for (uint64_t trace = 0; trace < 3200; ++trace) {
        const bool is_of_first_day = trace < 400;
        const auto at = found.find(trace);
        const bool is_above = randomness_of(trace) >= otlp::kThresholdEnd / 2;
        CHECK((at != found.end()) == (!is_of_first_day || is_above));
        if (at == found.end()) continue;
        CHECK(at->second == (is_of_first_day ? otlp::kThresholdEnd / 2 : 0));
        halved += is_of_first_day;
    }
    CHECK(halved == doctest::Approx(200).epsilon(0.05));
    // The merged partition survives a restart as what it is.
    f.open();
    CHECK(f.thresholds() == found);
}

TEST_CASE(
    "where less and less fits, what is twice as old is half as dense, and nothing goes whole") {
    StoreFixture f;
    fill(f, 8, 1600);
    limit(f, f.store->state().disk_bytes / 2);
    REQUIRE(f.store->settle().has_value());
    CHECK(f.store->state().disk_bytes <= f.options.retention_bytes);
    std::vector<uint64_t> traces(8);
    for (const auto& [trace, threshold] : f.thresholds())
        ++traces[trace / 400];
    for (size_t day = 1; day < traces.size(); ++day)
        CHECK(traces[day - 1] <= traces[day] + 10);
    CHECK(traces[0] > 10);
    CHECK(traces[7] >= 190);
    // With next to no room the oldest go at last, but the limit holds.
    limit(f, 1);
    REQUIRE(f.store->settle().has_value());
    CHECK(f.stored().empty());
}

TEST_CASE("what is kept for ever is not thinned, and without a way to thin the oldest goes") {
    StoreFixture f;
    fill(f, 4, 800);
    const Keeping for_ever{"pinned", Keeping::kForEver};
    REQUIRE(f.store->keep_traces("default", {test_trace_id(1), test_trace_id(2)}, for_ever)
                .has_value());
    limit(f, 1);
    REQUIRE(f.store->settle().has_value());
    CHECK(f.thresholds().size() == 2);
    StoreFixture g;
    fill(g, 4, 800);
    limit(g, g.store->state().disk_bytes - 1);
    Ageing plain = keep_and_thin();
    plain.thin = nullptr;
    g.store->set_ageing(plain);
    REQUIRE(g.store->settle().has_value());
    CHECK(g.stored() == range(800, 2400));
}

TEST_CASE("a power cut at any moment of thinning leaves a partition as it was, or thinned") {
    const auto prepare = [](StoreFixture& f) {
        fill(f, 3, 160);
        limit(f, f.store->state().disk_bytes - 1);
    };
    StoreFixture whole;
    prepare(whole);
    const auto before = whole.thresholds();
    const uint64_t changes = whole.io.changes();
    REQUIRE(whole.store->settle().has_value());
    const auto after = whole.thresholds();
    CHECK(after.size() < before.size());
    const uint64_t calls = whole.io.changes() - changes;
    for (uint64_t crash = 1; crash <= calls; ++crash) {
        CAPTURE(crash);
        StoreFixture f;
        prepare(f);
        f.crash_in_settle(crash);
        const auto found = f.thresholds();
        CHECK((found == before || found == after));
        CHECK(f.store->decisions("default").size() == (found == after ? 4 : 3));
        f.store->set_ageing(keep_and_thin());
        REQUIRE(f.store->settle().has_value());
        CHECK(f.thresholds() == after);
    }
}

}  // namespace spanloom::store

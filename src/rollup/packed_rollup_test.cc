#include "rollup/packed_rollup.h"

#include <map>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>

#include "base/random.h"

using namespace spanloom;

namespace {

PackedRollup two_operations() {
    PackedRollup packed;
    packed.services = {"cart"};
    packed.operations = {{0, "a", otlp::SpanKind::kServer, false},
                         {0, "a", otlp::SpanKind::kServer, true}};
    return packed;
}

bool is_same(const RollupCell& a, const RollupCell& b) {
    return a.operation == b.operation && a.step == b.step && a.count == b.count &&
           a.errors == b.errors && a.weighted == b.weighted && a.bytes == b.bytes;
}

// Numbers of all lengths.
uint64_t any(SeededRandom& random, uint32_t bits) {
    return random.next() >> (64 - 1 - random.below(bits));
}

}  // namespace

TEST_CASE("whatever cells say comes back from their packed form") {
    SeededRandom random(1);
    RollupSection section;
    static_cast<RollupFacts&>(section) = two_operations();
    for (uint32_t i = 0; i < 4000; ++i) {
        RollupCell cell;
        cell.operation = i < 3000 ? 0 : 1;
        cell.step = static_cast<uint32_t>(any(random, 32));  // also backwards, as in damaged files
        cell.first_bucket = static_cast<uint32_t>(section.buckets.size());
        for (uint64_t bucket = random.below(40); bucket < DurationHistogram::kBuckets;
             bucket += 1 + any(random, 9)) {
            section.buckets.emplace_back(static_cast<uint16_t>(bucket),
                                         static_cast<uint32_t>(any(random, 32) | 1));
            cell.count += section.buckets.back().second;
        }
        cell.buckets = static_cast<uint32_t>(section.buckets.size()) - cell.first_bucket;
        cell.errors = random.below(2) == 0 ? cell.operation * cell.count : random.below(cell.count);
        const double spans = static_cast<double>(cell.count);
        cell.weighted = std::vector<double>{spans, spans * 4, spans * 0.1, 1e-9}[random.below(4)];
        cell.bytes = std::vector<uint64_t>{0, cell.count * 300, any(random, 48)}[random.below(3)];
        section.cells.push_back(cell);
    }
    const PackedRollup packed = pack(section);
    CHECK(packed.cells() == section.cells.size());
    const RollupSection back = unpack(packed);
    CHECK(back.buckets == section.buckets);
    REQUIRE(back.cells.size() == section.cells.size());
    for (size_t i = 0; i < back.cells.size(); ++i) {
        REQUIRE(is_same(back.cells[i], section.cells[i]));
        REQUIRE(back.cells[i].first_bucket == section.cells[i].first_bucket);
    }
}

TEST_CASE("durations of several steps are kept once, and shared out as the format says") {
    __extension__ using Wide = unsigned __int128;
    SeededRandom random(2);
    for (int round = 0; round < 2000; ++round) {
        // Of more than 2^31 spans now and then.
        std::vector<uint64_t> left;
        std::vector<BucketCount> durations;
        uint64_t all = 0;
        const uint32_t bits = round % 10 == 0 ? 31 : 1 + round % 14;
        for (uint32_t bucket = 20; bucket < 20 + 1 + random.below(30); ++bucket) {
            durations.push_back({bucket, any(random, bits) + 1});
            left.push_back(durations.back().count);
            all += left.back();
        }
        std::vector<RollupCell> cells;
        for (uint64_t spans = all; spans > 0 && cells.size() < 24;) {
            RollupCell& cell = cells.emplace_back();
            cell.step = static_cast<uint32_t>(cells.size());
            cell.count = cells.size() == 24 ? spans : 1 + random.below(spans);
            cell.weighted = static_cast<double>(cell.count);
            spans -= cell.count;
        }
        PackedRollup packed = two_operations();
        RollupPacker packer(packed);
        packer.add(cells, durations);
        packer.finish();
        PackedGroups groups(packed);
        REQUIRE(groups.next());
        REQUIRE(groups.cells().size() == cells.size());
        const auto together = groups.durations();
        CHECK((std::vector(together.begin(), together.end()) == durations));
        for (size_t i = 0; i < cells.size(); ++i) {
            std::vector<BucketCount> rest;
            for (size_t at = 0; at < left.size(); ++at)
                if (left[at] > 0) rest.push_back({durations[at].bucket, left[at]});
            const auto from = groups.durations_from(i);
            REQUIRE((std::vector(from.begin(), from.end()) == rest));
            std::vector<BucketCount> expected;
            uint64_t passed = 0;
            uint64_t taken = 0;
            for (size_t at = 0; at < left.size(); ++at) {
                passed += left[at];
                const auto until = static_cast<uint64_t>((Wide{passed} * cells[i].count * 2 + all) /
                                                         (Wide{all} * 2));
                if (until > taken) expected.push_back({durations[at].bucket, until - taken});
                left[at] -= until - taken;
                taken = until;
            }
            all -= cells[i].count;
            const auto own = groups.durations_of(i);
            REQUIRE((std::vector(own.begin(), own.end()) == expected));
        }
        CHECK_FALSE(groups.next());
    }
}

TEST_CASE("durations that go to one place are added at once, others share by share") {
    PackedRollup packed = two_operations();
    RollupPacker packer(packed);
    std::vector<RollupCell> cells(3);
    for (uint32_t i = 0; i < 3; ++i) {
        cells[i].step = 10 + i;
        cells[i].count = 10;
        cells[i].weighted = 10;
    }
    packer.add(cells, std::vector<BucketCount>{{40, 15}, {50, 15}});
    packer.finish();
    const auto added = [&](auto&& to_place) {
        std::vector<std::pair<uint32_t, uint64_t>> sums;
        PackedGroups groups(packed);
        REQUIRE(groups.next());
        groups.each_durations<uint32_t>(
            0, to_place, [&](uint32_t place, std::span<const BucketCount> durations) {
                uint64_t spans = 0;
                for (const BucketCount& part : durations)
                    spans += part.count;
                sums.emplace_back(place, spans);
            });
        return sums;
    };
    using Sums = std::vector<std::pair<uint32_t, uint64_t>>;
    CHECK((added([](const RollupCell&) { return 7U; }) == Sums{{7, 30}}));
    CHECK((added([](const RollupCell&) { return 0U; }).empty()));
    CHECK((added([](const RollupCell& cell) { return cell.step < 12 ? 1U : 0U; }) ==
           Sums{{1, 10}, {1, 10}}));
}

TEST_CASE("longer steps have the same spans, and what is known of them") {
    using Sums = std::map<std::tuple<uint32_t, uint32_t>, RollupCell>;
    using Buckets = std::map<std::tuple<uint32_t, uint32_t, uint32_t>, uint64_t>;
    SeededRandom random(5);
    PackedRollup packed = two_operations();
    packed.step_s = kShortStepS;
    packed.detail = {2, 6};
    RollupPacker packer(packed);
    for (uint32_t operation = 0; operation < 2; ++operation) {
        // Groups of a minute each, some of which have no spans.
        for (uint32_t minute = 100; minute < 160; ++minute) {
            std::vector<RollupCell> cells;
            std::vector<BucketCount> durations;
            for (uint32_t step = 0; step < 6; ++step) {
                if (random.below(3) == 0) continue;
                RollupCell& cell = cells.emplace_back();
                cell.operation = operation;
                cell.step = minute * 6 + step;
                cell.count = 1 + random.below(100);
                cell.errors = operation * cell.count;
                cell.weighted = static_cast<double>(cell.count) * 2;
                cell.bytes = random.below(10'000);
                durations.push_back({30 + step, cell.count});
            }
            if (!cells.empty()) packer.add(cells, durations);
        }
    }
    packer.finish();
    const auto sums_of = [](const PackedRollup& from, uint32_t step_s, Sums& sums, Buckets& all) {
        const RollupSection section = unpack(from);
        for (const RollupCell& cell : section.cells) {
            const uint32_t step = cell.step / (step_s / section.step_s);
            RollupCell& sum = sums[{cell.operation, step}];
            sum.count += cell.count;
            sum.errors += cell.errors;
            sum.weighted += cell.weighted;
            sum.bytes += cell.bytes;
            for (uint32_t i = 0; i < cell.buckets; ++i) {
                const auto& [bucket, count] = section.buckets[cell.first_bucket + i];
                all[{cell.operation, step, bucket}] += count;
            }
        }
    };
    for (const uint32_t step_s : {20U, 30U, 60U, 600U, 3600U}) {
        CAPTURE(step_s);
        const PackedRollup longer = in_longer_steps(packed, step_s);
        CHECK(longer.step_s == step_s);
        CHECK(longer.detail == DurationDetail{2, 1});
        CHECK(longer.operations.size() == 2);
        Sums expected;
        Sums found;
        Buckets expected_buckets;
        Buckets buckets;
        sums_of(packed, step_s, expected, expected_buckets);
        sums_of(longer, step_s, found, buckets);
        CHECK(longer.cells() == expected.size());
        CHECK(buckets == expected_buckets);
        REQUIRE(found.size() == expected.size());
        for (const auto& [key, sum] : expected)
            CHECK(is_same(found[key], sum));
    }
    CHECK(in_longer_steps(packed, 600).memory_bytes() < packed.memory_bytes());
    CHECK(in_longer_steps(PackedRollup(), 600).empty());
}

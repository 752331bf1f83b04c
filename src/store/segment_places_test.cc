#include "store/segment_places.h"

#include <cstring>
#include <map>

#include <doctest/doctest.h>

#include "base/hash.h"
#include "base/random.h"

namespace spanloom::store {
namespace {

// Reads cells as the document says: bits, least significant first.
uint32_t cell_at(std::string_view cells, uint64_t bit, uint32_t bits) {
    uint32_t value = 0;
    for (uint32_t i = 0; i < bits; ++i)
        value |=
            static_cast<uint32_t>(static_cast<uint8_t>(cells[(bit + i) / 8]) >> ((bit + i) % 8) & 1)
            << i;
    return value;
}

PairPlace ask(const PlacesBuilder::Built& built, const PlacesDirectory& directory, uint64_t hash) {
    const PlacesDirectory::Probe probe = directory.probe(hash);
    std::array<uint32_t, 3> cells{};
    for (size_t i = 0; probe.has_table && i < cells.size(); ++i)
        cells[i] = cell_at(built.cells, probe.bits[i], directory.cell_bits());
    return directory.place(probe, cells);
}

PlacesDirectory directory_of(const PlacesBuilder::Built& built) {
    auto directory = PlacesDirectory::parse(
        built.directory, static_cast<uint32_t>(built.cells.size() / kPlacePageBytes));
    REQUIRE_MESSAGE(directory.has_value(), (directory ? "" : directory.error().message));
    return std::move(*directory);
}

}  // namespace

TEST_CASE("places lead to the group of every pair, and say no to others where cells have room") {
    for (const uint32_t count : {1U, 2U, 3U, 10U, 100U, 5'000U, 40'000U, 150'000U}) {
        CAPTURE(count);
        SeededRandom random(count);
        const uint32_t groups = 1 + count / 300;
        PlacesBuilder builder;
        std::map<uint64_t, uint32_t> truth;  // kSeveral where in more than one
        for (uint32_t i = 0; i < count; ++i) {
            const uint64_t hash = random.next();
            const auto group = static_cast<uint32_t>(random.below(groups));
            builder.add(hash, group);
            truth[hash] = group;
            if (groups == 1 || random.below(10) != 0) continue;
            builder.add(hash, (group + 1) % groups);
            truth[hash] = PlacesBuilder::kSeveral;
        }
        const auto built = builder.build(groups);
        CHECK(built.pairs == truth.size());
        const PlacesDirectory directory = directory_of(built);
        for (const auto& [hash, group] : truth) {
            const PairPlace place = ask(built, directory, hash);
            if (group == PlacesBuilder::kSeveral) {
                REQUIRE(place.kind == PairPlace::Kind::kAnywhere);
            } else {
                REQUIRE(place.kind == PairPlace::Kind::kGroup);
                REQUIRE(place.group == group);
            }
        }
        int passed = 0;
        for (int i = 0; i < 10'000; ++i)
            passed += ask(built, directory, random.next()).kind != PairPlace::Kind::kNowhere;
        CHECK(passed < 10'000 * (groups + 1) / (1U << directory.cell_bits()) + 200);
        if (count >= 40'000) {
            // Their last page may be nearly empty.
            const auto bytes = static_cast<double>(built.cells.size() - kPlacePageBytes);
            const double bits = bytes * 8 / count;
            CHECK(bits < directory.cell_bits() * 1.25);
        }
    }
}

TEST_CASE("places of more groups than a cell can tell are anywhere, never nowhere") {
    PlacesBuilder builder;
    for (uint32_t i = 0; i < 1000; ++i)
        builder.add(hash64(std::to_string(i)), i * 100);
    const auto built = builder.build(100'000);
    const PlacesDirectory directory = directory_of(built);
    for (uint32_t i = 0; i < 1000; ++i) {
        const PairPlace place = ask(built, directory, hash64(std::to_string(i)));
        REQUIRE(place.kind != PairPlace::Kind::kNowhere);
        if (place.kind == PairPlace::Kind::kGroup) REQUIRE(place.group == i * 100);
    }
}

TEST_CASE("a broken directory of places is refused") {
    PlacesBuilder builder;
    for (uint32_t i = 0; i < 100; ++i)
        builder.add(hash64(std::to_string(i)), 0);
    const auto built = builder.build(1);
    const auto pages = static_cast<uint32_t>(built.cells.size() / kPlacePageBytes);
    for (size_t size = 0; size < built.directory.size(); ++size)
        CHECK_FALSE(PlacesDirectory::parse(built.directory.substr(0, size), pages));
    CHECK_FALSE(PlacesDirectory::parse(built.directory + "x", pages));
    CHECK_FALSE(PlacesDirectory::parse(built.directory, 0));
}

}  // namespace spanloom::store

#include "store/segment_cache.h"

#include <atomic>
#include <thread>

#include <doctest/doctest.h>

#include "base/random.h"

using namespace spanloom::store;

namespace {

using Piece = SegmentCache::Piece;

std::shared_ptr<const int> piece(int number) {
    return std::make_shared<const int>(number);
}
int number_of(const std::shared_ptr<const void>& piece) {
    return *std::static_pointer_cast<const int>(piece);
}

}  // namespace

TEST_CASE("pieces are found by segment, kind and number") {
    SegmentCache cache(1U << 20);
    const uint64_t a = cache.new_segment();
    const uint64_t b = cache.new_segment();
    cache.keep({a, Piece::kOrders, 1}, piece(1), 10);
    cache.keep({a, Piece::kOrders, 2}, piece(2), 10);
    cache.keep({a, Piece::kFollowers, 1}, piece(3), 10);
    cache.keep({b, Piece::kOrders, 1}, piece(4), 10);
    CHECK(number_of(cache.find({a, Piece::kOrders, 1})) == 1);
    CHECK(number_of(cache.find({a, Piece::kOrders, 2})) == 2);
    CHECK(number_of(cache.find({a, Piece::kFollowers, 1})) == 3);
    CHECK(number_of(cache.find({b, Piece::kOrders, 1})) == 4);
    CHECK(cache.find({b, Piece::kOrders, 2}) == nullptr);
    CHECK(cache.hits() == 4);
    CHECK(cache.misses() == 1);
    // The first one stays.
    CHECK(number_of(cache.keep({a, Piece::kOrders, 1}, piece(9), 10)) == 1);
    cache.forget(a);
    CHECK_FALSE(cache.has({a, Piece::kOrders, 1}));
    CHECK(cache.has({b, Piece::kOrders, 1}));
    CHECK(cache.hits() == 4);
    CHECK(cache.misses() == 1);
}

TEST_CASE("to look whether a piece is there does not keep it") {
    SegmentCache cache(10'000);
    const uint64_t segment = cache.new_segment();
    for (uint64_t i = 0; i < 100; ++i) {
        cache.keep({segment, Piece::kFragments, i}, piece(static_cast<int>(i)), 1'000);
        cache.has({segment, Piece::kFragments, 0});
    }
    CHECK_FALSE(cache.has({segment, Piece::kFragments, 0}));
    CHECK(cache.has({segment, Piece::kFragments, 99}));
}

TEST_CASE("what is asked for again stays, what is not goes, and the limit holds") {
    SegmentCache cache(100'000);
    const uint64_t segment = cache.new_segment();
    for (uint64_t i = 0; i < 1'000; ++i) {
        cache.keep({segment, Piece::kFragments, i}, piece(static_cast<int>(i)), 1'000);
        CHECK(cache.bytes() <= 100'000);
        CHECK(cache.find({segment, Piece::kFragments, 0}) != nullptr);
    }
    CHECK_FALSE(cache.has({segment, Piece::kFragments, 500}));
    CHECK(cache.has({segment, Piece::kFragments, 999}));
    cache.forget(segment);
    CHECK(cache.bytes() == 0);
}

TEST_CASE("what nobody asks for any more makes room for what is asked for in turn") {
    SegmentCache cache(100'000);
    const uint64_t segment = cache.new_segment();
    constexpr uint64_t kPieces = 60;  // so many fit, twice as many do not
    for (uint64_t i = 0; i < kPieces; ++i) {
        cache.keep({segment, Piece::kLinks, i}, piece(0), 1'000);
        CHECK(cache.find({segment, Piece::kLinks, i}) != nullptr);
    }
    uint64_t misses = 0;
    for (int round = 0; round < 4; ++round) {
        misses = cache.misses();
        for (uint64_t i = 0; i < kPieces; ++i) {
            if (cache.find({segment, Piece::kOrders, i}) == nullptr)
                cache.keep({segment, Piece::kOrders, i}, piece(0), 1'000);
        }
    }
    CHECK(cache.misses() == misses);
}

TEST_CASE("one large piece does not push out all others") {
    SegmentCache cache(100'000);
    const uint64_t segment = cache.new_segment();
    cache.keep({segment, Piece::kPlaces, 0}, piece(1), 100);
    const auto large = cache.keep({segment, Piece::kDictionary, 0}, piece(2), 60'000);
    CHECK(number_of(large) == 2);
    CHECK_FALSE(cache.has({segment, Piece::kDictionary, 0}));
    CHECK(cache.has({segment, Piece::kPlaces, 0}));
}

TEST_CASE("many threads read, keep and forget at once") {
    SegmentCache cache(200'000);
    std::atomic<uint64_t> wrong = 0;
    std::vector<std::thread> threads;
    for (uint64_t seed = 1; seed <= 4; ++seed) {
        threads.emplace_back([&, seed] {
            spanloom::SeededRandom random(seed);
            for (int i = 0; i < 5'000; ++i) {
                const SegmentCache::Key key{random.below(4), Piece::kFragments, random.below(80)};
                const int expected = static_cast<int>(key.segment * 1'000 + key.number);
                auto found = cache.find(key);
                if (found == nullptr) found = cache.keep(key, piece(expected), 1'500);
                wrong += number_of(found) == expected ? 0 : 1;
                if (i % 500 == 0) cache.forget(key.segment);
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    CHECK(wrong == 0);
    for (uint64_t segment = 0; segment < 4; ++segment)
        cache.forget(segment);
    CHECK(cache.bytes() == 0);
}

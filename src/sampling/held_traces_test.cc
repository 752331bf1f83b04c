#include "sampling/held_traces.h"

#include <map>
#include <vector>

#include <doctest/doctest.h>

#include "base/random.h"

namespace spanloom::sampling {
namespace {

TraceId id_of(uint64_t number) {
    TraceId id;
    for (size_t i = 0; i < 8; ++i)
        id.bytes[8 + i] = static_cast<uint8_t>(number >> (8 * i));
    return id;
}

}  // namespace

TEST_CASE("traces are due by when they came first, whatever is told of them in which order") {
    const KeepRules rules;
    HeldTraces held(rules);
    std::map<uint64_t, HeldTraces::Held> model;
    SeededRandom random(4);
    for (uint32_t now = 100; now < 400; now += 10) {
        for (int i = 0; i < 40; ++i) {
            const uint64_t number = now / 4 + random.below(30);
            HeldTraces::Held one;
            one.since_ds = now + static_cast<uint32_t>(random.below(20));
            one.arrival_s = one.since_ds / 10;
            held.add(id_of(number), one);
            const auto [at, is_new] = model.try_emplace(number, one);
            at->second.since_ds = std::min(at->second.since_ds, one.since_ds);
            at->second.arrival_s = std::min(at->second.arrival_s, one.arrival_s);
        }
        const uint32_t until = now - static_cast<uint32_t>(random.below(15));
        std::multimap<uint32_t, uint64_t> expected;
        std::optional<uint32_t> oldest;
        for (const auto& [number, one] : model) {
            if (one.since_ds <= until) expected.emplace(one.since_ds, number);
            if (one.since_ds > until) oldest = std::min(oldest.value_or(UINT32_MAX), one.arrival_s);
        }
        const auto due = held.due(until);
        REQUIRE(due.size() == expected.size());
        for (size_t i = 0; i < due.size(); ++i) {
            CHECK((i == 0 || due[i - 1].held.since_ds <= due[i].held.since_ds));
            CHECK(due[i].held.arrival_s <= due[i].held.since_ds / 10);
        }
        const auto said = held.oldest_arrival_s(until);
        if (oldest) CHECK((said && *said <= *oldest && *said + 3 > *oldest));
        held.remove(due);
        for (const auto& [since, number] : expected)
            model.erase(number);
        REQUIRE(held.size() == model.size());
        for (const auto& [number, one] : model)
            REQUIRE(held.has(id_of(number)));
    }
}

}  // namespace spanloom::sampling

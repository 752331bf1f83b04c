#include "sampling/decision_log.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "base/memory_io.h"
#include "base/random.h"
#include "otlp/tracestate.h"

namespace spanloom::sampling {
namespace {

TraceId random_id(Random& random) {
    TraceId id;
    for (uint8_t& byte : id.bytes)
        byte = static_cast<uint8_t>(random.next());
    return id;
}

Result<DecisionLogReader> opened(MemoryIo& io, const std::string& bytes) {
    io.write_file("a.dec", bytes);
    return DecisionLogReader::open(*io.open("a.dec"));
}

struct Written {
    std::vector<TraceId> ids;
    std::vector<Decision> decisions;
    std::string bytes;
};

// Mostly dropped, as logs are.
Written write(uint64_t count, uint64_t seed) {
    SeededRandom random(seed);
    Written written;
    DecisionFacts facts;
    facts.hash_key = 77;
    facts.hour = 472'222;
    facts.at_ns = 1'700'086'400'000'000'000;
    facts.source = "api";
    facts.version = 3;
    facts.rules_json = R"({"keep":[{"name":"errors"},{"name":"rest"}]})";
    DecisionLogWriter log(facts);
    const uint32_t errors = log.rule({"errors", 1000});
    const uint32_t rest = log.rule({"rest", 0});
    CHECK(log.rule({"errors", 1000}) == errors);
    for (uint64_t i = 0; i < count; ++i) {
        Decision decision;
        decision.has_error = random.below(100) == 0;
        decision.outcome.rule = decision.has_error ? errors : rest;
        if (random.below(50) == 0) decision.outcome.rule = Outcome::kNoRule;
        decision.outcome.fate = decision.has_error ? Fate::kKept : Fate::kDropped;
        decision.outcome.threshold = decision.has_error ? 0 : otlp::kThresholdEnd / 100 * 99;
        decision.spans = static_cast<uint32_t>(1 + random.below(40));
        decision.bytes = decision.spans * (30 + random.below(20));
        decision.duration_ns = 1ULL << random.below(34) | random.next() >> 36;
        written.ids.push_back(random_id(random));
        log.add(written.ids.back(), decision);
        written.decisions.push_back(decision);
    }
    written.bytes = log.finish();
    return written;
}

bool is_near(uint64_t value, uint64_t truth) {
    const double apart = static_cast<double>(value) - static_cast<double>(truth);
    return std::abs(apart) <= 0.02 * static_cast<double>(truth);
}

}  // namespace

TEST_CASE("every trace is found with what was decided about it, and no other") {
    for (const uint64_t count : {0, 1, 2, 4096, 4097, 20'000}) {
        CAPTURE(count);
        MemoryIo io;
        const Written written = write(count, count + 1);
        const auto log = opened(io, written.bytes);
        REQUIRE_MESSAGE(log.has_value(), (log ? "" : log.error().message));
        CHECK(log->records() == count);
        CHECK(log->facts().rules.size() == 2);
        CHECK(log->facts().version == 3);
        CHECK(log->facts().source == "api");
        CHECK(log->facts().rules[0] == DecisionFacts::Rule{"errors", 1000});
        for (uint64_t i = 0; i < count; i += 1 + count / 500) {
            const auto found = log->find(written.ids[i]);
            REQUIRE(found.has_value());
            REQUIRE(found->size() == 1);
            const Decision& decision = found->front();
            CHECK(decision.outcome == written.decisions[i].outcome);
            CHECK(decision.spans == written.decisions[i].spans);
            CHECK(decision.has_error == written.decisions[i].has_error);
            CHECK(is_near(decision.bytes, written.decisions[i].bytes));
            CHECK(is_near(decision.duration_ns, written.decisions[i].duration_ns));
        }
        SeededRandom strangers(9);
        for (int i = 0; i < 200; ++i)
            CHECK(log->find(random_id(strangers))->empty());
        std::vector<uint64_t> hashes;
        for (const TraceId& id : written.ids)
            hashes.push_back(trace_hash(id, 77));
        hashes.push_back(5);
        std::sort(hashes.begin(), hashes.end());
        std::vector<uint8_t> seen(hashes.size());
        REQUIRE(log->find_all(hashes, [&](size_t at, const Decision&) { seen[at] += 1; }));
        for (size_t i = 0; i < hashes.size(); ++i)
            CHECK(seen[i] == (hashes[i] != 5));
        CHECK(log->verify().has_value());
    }
}

TEST_CASE("two traces with one hash are both told, also across blocks") {
    MemoryIo io;
    SeededRandom random(1);
    DecisionLogWriter log(DecisionFacts{});
    const TraceId id = random_id(random);
    for (uint32_t i = 0; i < 5000; ++i)
        log.add(id, {{Outcome::kNoRule, Fate::kDropped, 0}, i, false, 0, 0});
    const auto read = opened(io, log.finish());
    REQUIRE(read.has_value());
    CHECK(read->find(id)->size() == 5000);
}

TEST_CASE("a dropped trace takes at most twelve bytes") {
    for (const uint64_t count : {20'000, 200'000}) {
        const Written written = write(count, 7);
        const double each = static_cast<double>(written.bytes.size()) / static_cast<double>(count);
        MESSAGE(count << " traces: " << each << " bytes each");
        CHECK(each <= 12);
    }
}

TEST_CASE("damage is found, and any bytes are safe") {
    MemoryIo io;
    const Written written = write(300, 3);
    SeededRandom random(5);
    for (int round = 0; round < 3000; ++round) {
        std::string bytes = written.bytes;
        const uint64_t bit = random.below(bytes.size() * 8);
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
        const auto log = opened(io, bytes);
        // The first magic bytes are for people.
        const bool is_found = !log || !log->verify();
        CHECK((is_found || bit < 64));
    }
    for (size_t size = 0; size < written.bytes.size(); size += 7) {
        const auto log = opened(io, written.bytes.substr(0, size));
        CHECK_FALSE(log.has_value());
    }
}

}  // namespace spanloom::sampling

#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "otlp/tracestate.h"
#include "sampling/forward_fixture.h"
#include "sampling/verdicts.h"

// Which traces a target gets.
namespace spanloom::sampling {

TEST_CASE("a rate chooses by the trace's randomness, and its threshold goes with the spans") {
    ForwardFixture f;
    f.start(R"([{"endpoint": "b:4317", "wait": "1s", "keep": [{"name": "few", "rate": 0.25}]}])");
    const uint64_t threshold = threshold_of_share(0.25);
    std::vector<TestSpan> spans;
    for (uint64_t trace = 0; trace < 400; ++trace) {
        spans.push_back(f.one(trace));
        if (trace % 4 == 0) spans.back().trace_state = "ot=th:e";  // stricter than ours
    }
    f.send(spans);
    f.pass(3);
    uint64_t kept = 0;
    for (uint64_t trace = 0; trace < 400; ++trace) {
        const bool is_kept = otlp::randomness_of(test_trace(trace)) >= threshold;
        kept += is_kept;
        REQUIRE(f.times(trace) == (is_kept ? 1 : 0));
        if (!is_kept) continue;
        const auto said = otlp::SamplingState::parse(f.received(trace).state);
        CHECK(said.threshold == (trace % 4 == 0 ? 0xeULL << 52 : threshold));
    }
    CHECK(kept > 70);
    CHECK(kept < 130);
    // Late spans say it as well.
    const uint64_t some = [&] {
        uint64_t trace = 1;
        while (otlp::randomness_of(test_trace(trace)) < threshold || trace % 4 == 0)
            ++trace;
        return trace;
    }();
    f.send({f.one(some, 2)});
    f.pass(2);
    REQUIRE(f.times(some, 2) == 1);
    CHECK(otlp::SamplingState::parse(f.received(some, 2).state).threshold == threshold);
}

TEST_CASE("randomness that senders say themselves decides") {
    ForwardFixture f;
    f.start(R"([{"endpoint": "b:4317", "wait": "1s", "keep": [{"name": "few", "rate": 0.5}]}])");
    for (uint64_t trace = 0; trace < 20; ++trace) {
        TestSpan span = f.one(trace);
        span.trace_state = trace % 2 == 0 ? "ot=rv:ffffffffffffff" : "ot=rv:00000000000001";
        f.send({span});
    }
    f.pass(3);
    for (uint64_t trace = 0; trace < 20; ++trace)
        CHECK(f.times(trace) == (trace % 2 == 0 ? 1 : 0));
}

TEST_CASE("a tracestate that is none has no say, and a forged one does no harm") {
    ForwardFixture f;
    f.start(R"([{"endpoint": "b:4317", "wait": "1s", "keep": [{"name": "few", "rate": 0.5}]}])");
    const std::vector<std::string> states = {
        "ot=rv:ff",                        // too short
        "ot=rv:fffffffffffffff",           // too long
        "ot=rv:FFFFFFFFFFFFFF",            // not in lower case
        "ot=th:fffffffffffffff",           // 15 digits
        "ot=th:8;th:0",                    // twice
        "ot=th:ffffffffffffff",            // counts as 7e16: it is passed on, not lowered
        "ot=" + std::string(1'000, 'x')};  // longer than any may be
    const uint64_t threshold = threshold_of_share(0.5);
    uint64_t kept = 0;
    for (uint64_t trace = 0; trace < 20 * states.size(); ++trace) {
        TestSpan span = f.one(trace);
        span.trace_state = states[trace % states.size()];
        f.send({span});
    }
    f.pass(3);
    for (uint64_t trace = 0; trace < 20 * states.size(); ++trace) {
        const std::string& sent = states[trace % states.size()];
        CAPTURE(sent);
        const bool is_kept = otlp::randomness_of(test_trace(trace)) >= threshold;
        REQUIRE(f.times(trace) == (is_kept ? 1 : 0));
        if (!is_kept) continue;
        ++kept;
        const std::string& state = f.received(trace).state;
        const auto said = otlp::SamplingState::parse(state);
        CHECK(otlp::adjusted_count(state).value <= otlp::kAdjustedCountMax);
        if (sent == "ot=th:ffffffffffffff") {
            CHECK(said.threshold == 0xffffffffffffffULL);
            CHECK(otlp::adjusted_count(state).is_capped);
        } else if (sent.size() < 256) {
            CHECK(said.threshold == threshold);
        }
        CHECK_FALSE(said.randomness);
    }
    CHECK(kept > 40);
}

TEST_CASE("conditions on the trace context that senders wrote") {
    ForwardFixture f;
    f.start(R"([{"endpoint": "b:4317", "wait": "1s", "keep": [
        {"name": "state",
         "match": "{ span:traceState =~ \"(.*,)?[ \\\\t]*key3=(a|b\\\\+c)[ \\\\t]*(,.*)?\" }"},
        {"name": "whole", "match": "({ span:traceState = \"\" } | count()) > 1"},
        {"name": "sampled", "match": "{ span:sampled = true }"}]}])");
    const auto send = [&](uint64_t trace, const char* state, uint32_t flags = 0) {
        TestSpan span = f.one(trace);
        span.trace_state = state;
        span.flags = flags;
        f.send({span});
    };
    send(1, "key3=a");
    send(2, "x=y, \tkey3=b+c \t,z=1");
    send(3, "key3=b");
    send(4, "xkey3=a");
    send(5, "x=key3=a");
    send(6, "key3=a1");
    send(7, "v=1", 0x301);
    send(8, "v=1", 0x302);
    f.send({f.one(9), f.one(9, 2)});
    // Of another span of the trace, in another segment.
    send(10, "v=1");
    TestSpan second = f.one(10, 2);
    second.trace_state = "key3=a,v=1";
    f.send({second});
    f.pass(4);
    const std::map<uint64_t, std::string> rule_of = {
        {1, "state"}, {2, "state"}, {7, "sampled"}, {9, "whole"}, {10, "state"}};
    for (uint64_t trace = 1; trace <= 10; ++trace) {
        CAPTURE(trace);
        const auto rule = rule_of.find(trace);
        CHECK(f.times(trace) == (rule == rule_of.end() ? 0 : 1));
        if (rule != rule_of.end())
            CHECK(f.why(trace).front().starts_with("b-4317 sent " + rule->second));
    }
    CHECK(f.times(10, 2) == 1);
}

TEST_CASE("so many a second of each key are sent on, by one threshold from batch to batch") {
    ForwardFixture f;
    f.start(R"([{"name": "b", "endpoint": "b:4317", "wait": "1s", "keep": [
        {"name": "each", "per_key": 0.5, "by": ["name"]}]}])");
    SeededRandom random(17);
    uint64_t next = 1;
    std::map<std::string, uint64_t> sent;
    std::map<uint64_t, std::string> name_of;
    const auto second = [&](const std::map<std::string, uint64_t>& counts) {
        std::vector<TestSpan> spans;
        for (const auto& [name, count] : counts) {
            for (uint64_t i = 0; i < count; ++i) {
                name_of[next] = name;
                TestSpan span = f.one(next++);
                span.name = name;
                spans.push_back(span);
                ++sent[name];
            }
        }
        if (!spans.empty()) f.send(spans);
        f.pass(1);
    };
    const auto received = [&](const std::string& name) {
        std::pair<uint64_t, double> found;  // how many, and what they stand for
        for (const auto& [id, one] : f.target.spans) {
            uint64_t number = 0;
            std::memcpy(&number, id.first.bytes.data() + 1, 7);
            if (name_of.at(number) != name) continue;
            ++found.first;
            found.second += otlp::adjusted_count(one.state).value;
        }
        return found;
    };
    const auto thresholds = [&](const std::string& name) {
        std::set<uint64_t> found;
        for (const auto& [id, one] : f.target.spans) {
            uint64_t number = 0;
            std::memcpy(&number, id.first.bytes.data() + 1, 7);
            if (name_of.at(number) == name)
                found.insert(otlp::SamplingState::parse(one.state).threshold.value_or(0));
        }
        return found;
    };
    for (uint64_t at = 0; at < 240; ++at)
        second({{"busy", 10}, {"rare", at % 20 == 0 ? 1 : 0}});
    f.pass(15);
    CHECK(received("rare").first == sent["rare"]);
    CHECK(received("rare").second == static_cast<double>(sent["rare"]));
    const auto busy = received("busy");
    CHECK(busy.first > 80);  // 120 are meant
    CHECK(busy.first < 170);
    CHECK(busy.second > 0.7 * static_cast<double>(sent["busy"]));
    CHECK(busy.second < 1.3 * static_cast<double>(sent["busy"]));
    // The average moves with every second of the 24 batches.
    CHECK(thresholds("busy").size() <= 13);
    // A burst is no burst at the target.
    second({{"busy", 5'000}});
    f.pass(15);
    CHECK(received("busy").first < busy.first + 40);
    // After a restart it begins anew.
    f.restart();
    for (uint64_t at = 0; at < 60; ++at)
        second({{"again", 10}});
    f.pass(15);
    CHECK(received("again").first > 10);
    CHECK(received("again").first < 60);
}

TEST_CASE("rules may look at whole traces, and compare them") {
    ForwardFixture f;
    f.start(R"([{"endpoint": "b:4317", "wait": "5s", "keep": [
        {"name": "long", "match": "{ trace:duration > 10s }"},
        {"name": "below", "match": "{ name = \"front\" } >> { name = \"db\" }"},
        {"name": "slowest", "slowest": 0.1, "by": ["name"]}]}])");
    const auto named = [&](uint64_t trace, uint64_t number, const char* name) {
        TestSpan span = f.one(trace, number);
        span.name = name;
        return span;
    };
    f.send({named(1, 1, "front")});
    f.send({named(2, 1, "db")});
    f.clock.advance(kSecond);
    f.send({named(1, 2, "db")});  // below the front, of another segment
    TestSpan end = f.one(2, 7);
    end.start_ns += 20 * kSecond;
    f.send({end});
    for (uint64_t trace = 10; trace < 30; ++trace) {
        TestSpan span = named(trace, 1, "list");
        span.duration_ns = trace * 1'000'000;
        f.send({span});
    }
    f.pass(25);
    CHECK(f.times(1, 1) == 1);
    CHECK(f.times(1, 2) == 1);
    CHECK(f.times(2, 1) == 1);
    CHECK(f.times(2, 7) == 1);
    for (uint64_t trace = 10; trace < 30; ++trace)
        CHECK(f.times(trace) == (trace >= 28 ? 1 : 0));
}

TEST_CASE("only traces that a rule over wholes may find are read to be judged") {
    ForwardFixture f;
    f.start(R"([{"endpoint": "b:4317", "wait": "5s", "keep": [
        {"name": "errors", "match": "{ status = error }"},
        {"name": "below", "match": "{ name = \"front\" } >> { name = \"db\" }"},
        {"name": "many", "match": "{ name = \"item\" } | count() > 3"},
        {"name": "apart", "match": "{ name = \"front\" } !>> { name = \"cache\" }"}]}])");
    const auto named = [&](uint64_t trace, uint64_t number, const char* name) {
        TestSpan span = f.one(trace, number);
        span.name = name;
        return span;
    };
    f.send({named(1, 1, "front"), named(2, 1, "front"), named(3, 1, "item"), named(4, 1, "db"),
            named(5, 1, "front"), f.one(6, 1, true), f.one(7), named(8, 1, "item")});
    f.clock.advance(kSecond);
    f.send({named(1, 2, "db"), named(2, 2, "call"), named(3, 2, "item"), named(3, 3, "item"),
            named(3, 4, "item"), named(4, 2, "front"), named(5, 2, "call"), named(5, 3, "db")});
    f.pass(10);
    const std::map<uint64_t, std::string> rule_of = {
        {1, "below"}, {3, "many"}, {5, "below"}, {6, "errors"}};
    for (uint64_t trace = 1; trace <= 8; ++trace) {
        CAPTURE(trace);
        const auto rule = rule_of.find(trace);
        CHECK(f.times(trace) == (rule == rule_of.end() ? 0 : 1));
        if (rule != rule_of.end())
            CHECK(f.why(trace).front().starts_with("b-4317 sent " + rule->second));
    }
}

TEST_CASE("how long a trace took is known without reading it") {
    ForwardFixture f;
    f.start(R"([{"endpoint": "b:4317", "wait": "5s", "keep": [
        {"name": "long", "match": "{ trace:duration >= 10s }"},
        {"name": "short", "match": "{ trace:duration < 1ms }"}]}])");
    for (uint64_t trace = 1; trace <= 3; ++trace)
        f.send({f.one(trace)});
    f.clock.advance(kSecond);
    TestSpan end = f.one(1, 2);
    end.start_ns += 9 * kSecond - end.duration_ns;  // ends 10 s after the first began
    TestSpan before = f.one(2, 2);
    before.start_ns += 9 * kSecond - before.duration_ns - 1;
    TestSpan instant = f.one(4);
    instant.duration_ns = 999'999;
    f.send({end, before, instant});
    f.pass(10);
    CHECK(f.times(1, 1) == 1);
    CHECK(f.times(1, 2) == 1);
    CHECK(f.times(2, 1) == 0);
    CHECK(f.times(3) == 0);
    CHECK(f.times(4) == 1);
}

}  // namespace spanloom::sampling

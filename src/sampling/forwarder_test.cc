#include "sampling/forwarder.h"

#include <algorithm>
#include <map>
#include <set>

#include <doctest/doctest.h>

#include "otlp/tracestate.h"
#include "sampling/forward_fixture.h"

namespace spanloom::sampling {

TEST_CASE("a target gets the traces that its rules choose, whole, after the wait") {
    ForwardFixture f;
    f.start();
    f.send_trace(1, true);
    f.send_trace(2, false);
    TestSpan slow = f.one(3);
    slow.duration_ns = 3 * kSecond;
    f.send({slow});
    f.pass(5);
    f.send({f.one(1, 4), f.one(2, 4)});  // in time
    f.pass(4);
    CHECK(f.target.spans.empty());
    CHECK(f.state().held_traces == 3);
    f.pass(3);
    CHECK(f.state().held_traces == 0);
    for (uint64_t number = 1; number <= 4; ++number)
        CHECK(f.times(1, number) == 1);
    CHECK(f.times(3) == 1);
    CHECK(f.times(2) == 0);
    CHECK(f.target.spans.size() == 5);
    CHECK(f.target.attempts == 1);
    CHECK(f.state().traces_sent == 2);
    CHECK(f.state().spans_sent == 5);
    CHECK(f.state().traces_dropped == 1);
    CHECK(f.state().unsent_traces == 0);
}

TEST_CASE("spans are passed on as they came") {
    ForwardFixture f;
    f.start(kAll);
    TestSpan span = f.one(1);
    span.trace_state = "vendor=1,ot=rv:abcdefabcdefab";
    const Batch sent = batch_of({span, f.one(1, 2)}, f.clock.wall_ns());
    f.send({span, f.one(1, 2)});
    f.pass(12);
    REQUIRE(f.target.spans.size() == 2);
    for (const SpanRef& ref : sent.spans)
        CHECK(f.target.spans.at({ref.trace_id, ref.span_id}).message == sent.at(ref.message));
}

TEST_CASE("late spans follow what was decided about their trace") {
    ForwardFixture f;
    f.start();
    f.send_trace(1, true);
    f.send_trace(2, false);
    f.pass(12);
    f.send({f.one(1, 5), f.one(2, 5, true)});
    f.pass(2);
    CHECK(f.times(1, 5) == 1);
    CHECK(f.times(2, 5) == 0);
    for (uint64_t number = 1; number <= 3; ++number)
        CHECK(f.times(1, number) == 1);
    CHECK(f.state().late_spans == 1);
    CHECK(f.target.spans.size() == 4);
}

TEST_CASE("spans that come between the decision and the reading go with the others") {
    ForwardFixture f;
    f.start();
    f.target.hangs = true;
    f.send_trace(1, true);
    f.pass(12);  // is being sent
    f.send_trace(2, true);
    f.pass(12);  // decided, and waits
    f.send({f.one(1, 9), f.one(2, 9)});
    f.pass(3);
    f.target.hangs = false;
    f.pass(2);
    CHECK(f.times(1, 9) == 1);
    CHECK(f.times(2, 9) == 1);
    CHECK(f.times(2, 1) == 1);
    CHECK(f.state().late_spans == 1);
}

TEST_CASE("what may pass is tried again with growing pauses, and as the target asks") {
    ForwardFixture f;
    f.start();
    f.send_trace(1, true);
    f.target.answer = [](const Batch&) { return failed(ErrorCode::kUnavailable, true); };
    f.pass(12);
    const uint64_t first = f.target.attempts;
    CHECK(first >= 1);
    f.pass(600);
    // Pauses grow to a minute: not more than about that many.
    CHECK(f.target.attempts < first + 30);
    CHECK(f.state().problem == "no");
    CHECK(f.state().lag_s > 500);
    f.target.answer = [](const Batch&) { return failed(ErrorCode::kUnavailable, true, 300'000); };
    f.pass(80);
    const uint64_t asked = f.target.attempts;
    f.pass(200);
    CHECK(f.target.attempts == asked);
    // Ten years are not waited for.
    f.target.answer = [](const Batch&) {
        return failed(ErrorCode::kUnavailable, true, 315'360'000'000);
    };
    f.pass(100);
    f.target.answer = [](const Batch&) { return taken(); };
    f.pass(610);
    CHECK(f.times(1) == 1);
    CHECK(f.state().problem.empty());
    CHECK(f.state().lag_s == 0);
    CHECK(f.state().retries == f.target.attempts - 1);
}

TEST_CASE("a target that cannot be spoken to has refused nothing") {
    ForwardFixture f;
    f.start();
    f.send_trace(1, true);
    f.target.answer = [](const Batch&) {
        send::Attempt attempt = failed(ErrorCode::kPermissionDenied, false);  // its certificate
        attempt.is_answered = false;
        return attempt;
    };
    f.pass(60);
    CHECK(f.target.attempts > 3);
    CHECK(f.state().dead_traces == 0);
    f.target.answer = [](const Batch&) { return taken(); };
    f.pass(80);
    CHECK(f.times(1) == 1);
}

TEST_CASE("of what is refused for good only that trace goes to the dead letters") {
    ForwardFixture f;
    f.start();
    for (uint64_t trace = 0; trace < 50; ++trace)
        f.send_trace(trace, true);
    f.target.answer = [](const Batch& batch) {
        for (const SpanRef& ref : batch.spans)
            if (ref.trace_id == test_trace(17)) return failed(ErrorCode::kInvalidArgument, false);
        return taken();
    };
    f.pass(12);
    for (uint64_t trace = 0; trace < 50; ++trace)
        CHECK(f.times(trace) == (trace == 17 ? 0 : 1));
    CHECK(f.state().dead_traces == 1);
    CHECK(f.state().unsent_traces == 0);
    const std::string letters = f.io.read_file("forward/b/dead-000001.otlp");
    REQUIRE(letters.size() > 4);
    const size_t size = static_cast<uint8_t>(letters[2]) * 256U + static_cast<uint8_t>(letters[3]);
    REQUIRE(letters.size() == size + 4);
    const auto batch = otlp::decode(Blob::copy_of(letters.substr(4)));
    REQUIRE(batch.has_value());
    CHECK(batch->spans.size() == 3);
    CHECK(batch->spans.front().trace_id == test_trace(17));
}

TEST_CASE("dead letters have a limit, and a target that refuses everything is not asked for ever") {
    ForwardFixture f;
    f.start(R"([{"name": "b", "endpoint": "b:4317", "wait": "1s", "dead_letters": "2KiB"}])");
    for (uint64_t trace = 0; trace < 200; ++trace)
        f.send_trace(trace, true);
    f.target.answer = [](const Batch&) { return failed(ErrorCode::kInvalidArgument, false); };
    f.pass(3);
    CHECK(f.state().unsent_traces == 0);
    CHECK(f.state().dead_traces == 200);
    CHECK(f.target.attempts < 60);
    CHECK(f.state().dead_letter_bytes <= 2048);
    CHECK(f.metrics.total("forward_dead_letter_spans_total") +
              f.metrics.total("forward_dead_letter_lost_spans_total") ==
          600);
    CHECK(f.metrics.total("forward_dead_letter_lost_spans_total") > 0);
}

TEST_CASE("partial success is counted") {
    ForwardFixture f;
    f.start();
    f.target.answer = [](const Batch&) { return taken(2); };
    f.send_trace(1, true);
    f.pass(12);
    CHECK(f.state().spans_sent == 1);
    CHECK(f.state().spans_rejected == 2);
    CHECK(f.state().unsent_traces == 0);
}

TEST_CASE("what was there before the target is not for it") {
    ForwardFixture f;
    f.open();
    f.send_trace(1, true);
    f.start();
    f.send_trace(2, true);
    f.pass(15);
    CHECK(f.times(1) == 0);
    CHECK(f.times(2) == 1);
    // Not after a restart either, when both lie in one segment.
    REQUIRE(f.store->flush().has_value());
    f.restart();
    f.pass(30);
    CHECK(f.times(1) == 0);
    CHECK(f.times(2) == 1);
}

TEST_CASE("a target that is down costs no memory, and gets everything when it is back") {
    ForwardFixture f;
    f.limits.entries_per_read = 128;
    f.start();
    f.target.answer = [](const Batch&) { return failed(ErrorCode::kUnavailable, true); };
    for (uint64_t trace = 0; trace < 20'000; trace += 50) {
        if (trace % 100 == 0) f.pass(1);
        std::vector<TestSpan> spans;
        for (uint64_t i = 0; i < 50; ++i)
            spans.push_back(f.one(trace + i, 1, true));
        f.send(spans);
    }
    REQUIRE(f.store->flush().has_value());
    f.pass(15);
    CHECK(f.state().unsent_traces == 20'000);
    f.target.answer = [](const Batch&) { return taken(); };
    f.pass(100);
    CHECK(f.state().unsent_traces == 0);
    CHECK(f.target.spans.size() == 20'000);
    for (const auto& [id, span] : f.target.spans)
        REQUIRE(span.times == 1);
    CHECK(f.state().traces_sent == 20'000);
}

TEST_CASE("what retention took before it was sent is counted as lost") {
    ForwardFixture f;
    f.options.retention_ms = 3 * kHour / 1'000'000;
    f.start();
    f.target.answer = [](const Batch&) { return failed(ErrorCode::kUnavailable, true, 600'000); };
    f.send_trace(1, true);
    f.pass(12);
    f.send_trace(2, true);
    f.pass(12);
    REQUIRE(f.store->flush().has_value());
    f.clock.advance(6 * kHour);
    REQUIRE(f.store->settle().has_value());
    f.target.answer = [](const Batch&) { return taken(); };
    f.pass(700);
    // The first was read already.
    CHECK(f.times(1) == 1);
    CHECK(f.times(2) == 0);
    CHECK(f.state().lost_traces == 1);
    CHECK(f.state().unsent_traces == 0);
}

TEST_CASE("traces that were held when the process ended are decided about after it") {
    ForwardFixture f;
    f.start();
    f.send_trace(1, true);
    f.send_trace(2, false);
    f.pass(15);
    f.send_trace(3, true);
    f.send_trace(4, false);
    f.pass(3);
    f.kill();
    f.restart();
    CHECK(f.state().held_traces == 2);
    f.send({f.one(3, 4)});
    f.pass(15);
    for (const uint64_t trace : {1, 3})
        for (uint64_t number = 1; number <= 3; ++number)
            CHECK(f.times(trace, number) == 1);
    CHECK(f.times(3, 4) == 1);
    CHECK(f.times(2) == 0);
    CHECK(f.times(4) == 0);
    // A late span of what was sent before the end, and one of what was dropped.
    f.send({f.one(1, 6), f.one(2, 6, true)});
    f.pass(2);
    CHECK(f.times(1, 6) == 1);
    CHECK(f.times(1, 1) == 1);
    CHECK(f.times(2, 6) == 0);
}

TEST_CASE("what was held when the process ended is sent however long that was ago") {
    ForwardFixture f;
    f.start();
    f.send_trace(1, true);
    f.send_trace(2, false);
    REQUIRE(f.store->flush().has_value());
    f.kill();
    f.clock.advance(7 * kHour);
    f.restart();
    f.pass(15);
    CHECK(f.times(1, 1) == 1);
    CHECK(f.times(1, 3) == 1);
    CHECK(f.times(2) == 0);
    CHECK(f.state().lost_traces == 0);
}

TEST_CASE("spans that come by a clock that went back are sent with their trace") {
    ForwardFixture f;
    f.start();
    f.target.hangs = true;
    f.send_trace(1, true);
    f.pass(12);
    f.send_trace(2, true);
    f.pass(12);  // decided, and waits
    f.clock.set_wall(f.clock.wall_ns() - 100 * kSecond);
    f.send({f.one(2, 9)});
    f.pass(3);
    f.target.hangs = false;
    f.pass(3);
    CHECK(f.times(2, 9) >= 1);
    CHECK(f.times(2, 1) == 1);
}

TEST_CASE("late spans that were not written down when the process ended are sent after it") {
    ForwardFixture f;
    f.start();
    f.send_trace(1, true);
    f.pass(12);
    REQUIRE(f.times(1) == 1);
    f.send({f.one(1, 5)});
    f.kill();
    f.restart();
    f.pass(3);
    CHECK(f.times(1, 5) == 1);
}

TEST_CASE("what is written again because a write failed counts once") {
    ForwardFixture f;
    f.start();
    f.send_trace(9, true);
    f.pass(12);
    REQUIRE(f.times(9) == 1);
    f.target.answer = [](const Batch&) { return failed(ErrorCode::kUnavailable, true); };
    f.send_trace(1, true);
    // The bytes are there, though nobody can rely on it.
    f.io.set_fault([](IoCall call, const std::string& path) -> std::optional<Error> {
        if (call != IoCall::kSync || !path.starts_with("forward/")) return std::nullopt;
        return Error{ErrorCode::kInternal, "no sync", 0};
    });
    f.pass(12);
    CHECK(f.state().unsent_traces == 0);
    CHECK(f.state().held_traces == 1);
    f.send({f.one(9, 7)});  // comes before the other in what is written next
    f.io.set_fault(nullptr);
    f.pass(3);
    CHECK(f.state().unsent_traces == 2);
    f.target.answer = [](const Batch&) { return taken(); };
    f.restart();
    f.pass(5);
    CHECK(f.times(9, 7) == 1);
    CHECK(f.times(1) == 1);
    CHECK(f.state().unsent_traces == 0);
}

TEST_CASE("what was taken is not sent again because that cannot be written down") {
    ForwardFixture f;
    f.start();
    f.send_trace(1, true);
    f.target.answer = [&](const Batch&) {
        f.io.set_fault([](IoCall call, const std::string& path) -> std::optional<Error> {
            if (call != IoCall::kSync || !path.starts_with("forward/")) return std::nullopt;
            return Error{ErrorCode::kInternal, "no sync", 0};
        });
        return taken();
    };
    f.pass(30);
    CHECK(f.times(1) == 1);
    CHECK(f.state().unsent_traces == 1);
    f.io.set_fault(nullptr);
    f.pass(2);
    CHECK(f.times(1) == 1);
    CHECK(f.state().unsent_traces == 0);
    CHECK(f.state().traces_sent == 1);
}

TEST_CASE("what became of a trace at a target is known, and for long") {
    ForwardFixture f;
    f.options.retention_ms = 6 * kHour / 1'000'000;
    f.start();
    CHECK(f.why(1) == Lines{"b unknown - 0"});
    f.send_trace(1, true);
    f.send_trace(2, false);
    TestSpan slow = f.one(3);
    slow.duration_ns = 3 * kSecond;
    f.send({slow});
    f.step();
    CHECK(f.why(1) == Lines{"b held - 0"});
    f.target.answer = [](const Batch&) { return failed(ErrorCode::kUnavailable, true); };
    f.pass(12);
    CHECK(f.why(1) == Lines{"b waiting errors 0"});
    CHECK(f.why(2) == Lines{"b not_chosen - 0"});
    const auto waits = f.forwarder->explain(test_trace(1));
    CHECK(waits->front().text(f.clock.wall_ns()).ends_with(" by rule 'errors': no"));
    f.target.answer = [](const Batch&) { return taken(); };
    f.pass(10);
    const uint64_t sent_ns = f.clock.wall_ns();
    f.send({f.one(1, 5)});
    f.pass(2);
    f.send({f.one(1, 6)});
    f.pass(2);
    const auto check = [&] {
        CHECK(f.why(1) == Lines{"b sent errors 3", "b sent - 2 late"});
        CHECK(f.why(3) == Lines{"b sent slow 1"});
        CHECK(f.why(7) == Lines{"b unknown - 0"});
    };
    check();
    f.kill();
    f.restart();
    check();
    // The journal forgets it, and the store, too.
    for (int hour = 0; hour < 12; ++hour) {
        f.send_trace(100 + static_cast<uint64_t>(hour), true);
        f.pass(40);
        f.clock.advance(kHour);
        REQUIRE(f.store->settle().has_value());
        f.pass(40);
        if (hour % 4 == 2) f.restart();
    }
    for (const auto& segment : f.store->snapshot("default"))
        CHECK(!*segment->find(test_trace(1)));
    check();
    CHECK(f.why(2) == Lines{"b unknown - 0"});
    CHECK(f.state().history_bytes > 0);
    CHECK(f.state().history_bytes < 1'000);
    const auto past = f.forwarder->explain(test_trace(1));
    CHECK(past->front().entry.ended_ns <= sent_ns);
    CHECK(past->front().entry.ended_ns + 15 * kSecond > sent_ns);
    CHECK(past->front().text(sent_ns + 3 * kHour) == "'b': sent 3 h ago by rule 'errors'; 3 spans");
    // Also of a target that there is no more.
    f.forwarder.reset();
    f.start(R"([{"name": "c", "endpoint": "c:4317"}])");
    CHECK(f.why(1) == Lines{"c unknown - 0", "b sent errors 3", "b sent - 2 late"});
}

TEST_CASE("how it ended is known of what was refused, lost and given up") {
    ForwardFixture f;
    f.options.retention_ms = 3 * kHour / 1'000'000;
    f.start(R"([{"name": "b", "endpoint": "b:4317", "wait": "1s", "dead_letters": "400",
                 "keep": [{"name": "few", "rate": 0.999999}]}])");
    f.target.answer = [](const Batch&) { return failed(ErrorCode::kInvalidArgument, false); };
    f.send_trace(1, true);
    f.pass(3);
    f.send_trace(2, true);
    f.pass(3);
    CHECK(f.why(1) == Lines{"b dead_letter few 3"});
    CHECK(f.why(2) == Lines{"b refused few 3"});
    f.target.answer = [](const Batch&) { return taken(1); };
    f.send_trace(3, true);
    f.pass(3);
    CHECK(f.why(3) == Lines{"b partly_sent few 3"});
    f.target.answer = [](const Batch&) { return failed(ErrorCode::kUnavailable, true, 600'000); };
    f.send_trace(4, true);  // is read now
    f.pass(3);
    f.send_trace(5, true);
    f.pass(3);
    REQUIRE(f.store->flush().has_value());
    f.clock.advance(6 * kHour);
    REQUIRE(f.store->settle().has_value());
    f.target.answer = [](const Batch&) { return taken(); };
    f.pass(700);
    CHECK(f.why(4) == Lines{"b sent few 3"});
    CHECK(f.why(5) == Lines{"b gone few 0"});
}

TEST_CASE("of a large trace whose first part is refused that is known") {
    ForwardFixture f;
    f.start(kAll);
    bool is_first = true;
    f.target.answer = [&](const Batch&) {
        return std::exchange(is_first, false) ? failed(ErrorCode::kInvalidArgument, false)
                                              : taken();
    };
    std::vector<TestSpan> spans;
    for (uint64_t number = 1; number <= 12'000; ++number) {
        spans.push_back(f.one(1, number));
        spans.back().name = std::string(100, 'x');
    }
    f.send(spans);
    f.send_trace(2, false);
    f.pass(12);
    CHECK(f.target.attempts == 2);
    CHECK(f.why(1) == Lines{"b dead_letter all 12000"});
    CHECK(f.why(2) == Lines{"b sent all 3"});
    f.restart();
    CHECK(f.why(1) == Lines{"b dead_letter all 12000"});
    CHECK(f.why(2) == Lines{"b sent all 3"});
}

// Whatever is lost of what was not synced.
TEST_CASE("with the power gone at any moment every chosen trace is sent, and no other") {
    uint64_t duplicates = 0;
    uint64_t crashes = 0;
    for (uint64_t seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        ForwardFixture f;
        SeededRandom dice(seed);
        std::set<uint64_t> acknowledged;
        f.start();
        uint64_t trace = 0;
        for (int life = 0; life < 4; ++life) {
            f.io.crash_at(f.io.changes() + 1 + dice.below(120));
            for (int round = 0; round < 12 && !f.io.has_crashed(); ++round) {
                for (int i = 0; i < 6; ++i) {
                    const bool is_error = trace % 3 == 0;
                    const auto sent = f.StoreFixture::send(
                        batch_of({f.one(trace), f.one(trace, 2, is_error)}, f.clock.wall_ns()));
                    if (sent) acknowledged.insert(trace);
                    ++trace;
                }
                (void)f.store->seal();
                if (dice.below(4) == 0) (void)f.store->flush();
                f.clock.advance((1 + dice.below(4)) * kSecond);
                for (int i = 0; i < 10; ++i)
                    f.forwarder->step();
            }
            crashes += f.io.has_crashed();
            f.kill(seed * 7 + static_cast<uint64_t>(life));
            f.restart();
        }
        f.pass(20);
        for (const uint64_t one : acknowledged) {
            CAPTURE(one);
            if (one % 10 < 2)
                CHECK(f.why(one).front() ==
                      (one % 3 == 0 ? "b sent errors 2" : "b not_chosen - 0"));
            for (const uint64_t number : {1, 2}) {
                if (one % 3 == 0) {
                    CHECK(f.times(one, number) >= 1);
                    duplicates += f.times(one, number) - 1;
                } else {
                    CHECK(f.times(one, number) == 0);
                }
            }
        }
        CHECK(f.state().unsent_traces == 0);
        CHECK(f.state().lost_traces == 0);
    }
    CHECK(crashes > 60);
    // Only what was under way when the power went.
    MESSAGE("spans sent twice: " << duplicates << " in " << crashes << " crashes");
    CHECK(duplicates < crashes * 10);
}

TEST_CASE("too many held traces are decided about before their time, and counted") {
    ForwardFixture f;
    f.limits.held_max = 100;
    f.start();
    for (uint64_t trace = 0; trace < 150; ++trace)
        f.send_trace(trace, true);
    f.step();
    CHECK(f.state().held_traces <= 100);
    CHECK(f.metrics.total("forward_traces_early_total") >= 50);
    f.pass(12);
    for (uint64_t trace = 0; trace < 150; ++trace)
        CHECK(f.times(trace) == 1);
}

TEST_CASE("targets have rules of their own, and one that hangs does not hold up another") {
    ForwardFixture f;
    FakeTarget all;
    auto options = parse_forward_list(
        R"([{"name": "a", "endpoint": "a:4317", "wait": "1s"},
            {"name": "b", "endpoint": "b:4317", "wait": "1s",
             "keep": [{"name": "errors", "match": "{ status = error }"}]}])");
    REQUIRE(options.has_value());
    f.open();
    auto started = Forwarder::start(
        std::move(*options),
        {*f.store, f.io, f.clock, f.keys, f.metrics, Forwarder::Background::kCaller,
         [&](const ForwardOptions& one) {
             return std::make_unique<FakeSender>(one.name == "a" ? all : f.target);
         }},
        {});
    REQUIRE(started.has_value());
    f.forwarder = std::move(*started);
    f.target.hangs = true;
    f.send_trace(1, false);
    f.send_trace(2, true);
    f.pass(3);
    CHECK(all.spans.size() == 6);
    CHECK(f.target.spans.empty());
    f.target.hangs = false;
    f.pass(1);
    CHECK(f.target.spans.size() == 3);
    f.forwarder.reset();
}

TEST_CASE("a large trace goes in several requests") {
    ForwardFixture f;
    f.start(kAll);
    std::vector<TestSpan> spans;
    for (uint64_t number = 1; number <= 30'000; ++number) {
        spans.push_back(f.one(1, number));
        spans.back().name = std::string(100, 'x');
    }
    f.send(spans);
    f.send_trace(2, false);
    f.pass(12);
    CHECK(f.target.spans.size() == 30'003);
    CHECK(f.target.attempts > 3);
    CHECK(f.state().traces_sent == 2);
}

TEST_CASE("a journal of the first form is read: without rules, ends and times of arrival") {
    ForwardFixture f;
    f.list = kErrors;
    f.open();
    for (uint64_t trace = 1; trace <= 4; ++trace)
        f.send_trace(trace, true);
    // As it was written then, byte by byte.
    constexpr uint64_t kSeed = 99;
    const auto put = [](std::string& out, auto value) {
        out.append(reinterpret_cast<const char*>(&value), sizeof value);
    };
    const auto record = [&](uint32_t kind, const std::string& payload) {
        std::string out;
        put(out, static_cast<uint32_t>(payload.size()));
        put(out, kind);
        put(out, hash64(payload, kind));
        return out + payload;
    };
    const auto head = [&](uint64_t first, uint32_t count) {
        std::string out;
        put(out, f.clock.wall_ns() - kSecond);
        put(out, f.clock.wall_ns() - 60 * kSecond);  // what came before it is decided
        put(out, first);
        put(out, count);
        return out;
    };
    std::string file = "SPLFWD1\n";
    put(file, kSeed);
    put(file, uint64_t{0});
    put(file, hash64(file));
    std::string entries = head(0, 2);
    for (const uint64_t trace : {1, 2}) {
        entries.append(test_trace(trace).view());
        put(entries, uint64_t{1} << 40);  // its threshold, and nothing above it
        put(entries, uint32_t{0});
    }
    std::string dropped = head(0, 1);
    put(dropped, hash64(test_trace(3).view(), kSeed));
    std::string sent;
    put(sent, uint64_t{0});
    put(sent, uint32_t{1});
    put(sent, uint32_t{3});  // rows
    file += record(1, entries) + record(2, dropped) + record(3, sent);
    REQUIRE(f.io.make_directory("forward").has_value());
    REQUIRE(f.io.make_directory("forward/b").has_value());
    auto writer = f.io.create("forward/b/000000000001.fwd");
    REQUIRE(writer.has_value());
    const std::string_view pieces[] = {file};
    REQUIRE((*writer)->append(pieces).has_value());
    REQUIRE((*writer)->sync().has_value());
    writer->reset();

    f.start();
    CHECK(f.state().unsent_traces == 0);  // sent at once: it was decided
    CHECK(f.times(1) == 0);
    CHECK(f.times(2) == 1);
    CHECK(otlp::SamplingState::parse(f.received(2).state).threshold == uint64_t{1} << 40);
    CHECK(f.why(1) == Lines{"b sent - 3"});
    CHECK(f.why(2) == Lines{"b sent - 3"});
    CHECK(f.why(3) == Lines{"b not_chosen - 0"});
    f.pass(20);
    CHECK(f.times(1) == 0);
    CHECK(f.times(2) == 1);
    CHECK(f.times(3) == 0);
    CHECK(f.times(4) == 1);
    CHECK(f.why(4) == Lines{"b sent errors 3"});
    // What comes late follows what was decided then.
    f.send({f.one(1, 7), f.one(3, 7, true)});
    f.pass(3);
    CHECK(f.times(1, 7) == 1);
    CHECK(f.times(3, 7) == 0);
    f.restart();
    f.pass(20);
    CHECK(f.times(1) == 0);
    CHECK(f.times(2) == 1);
    CHECK(f.times(4) == 1);
}

TEST_CASE("a journal beyond its limit gives up the oldest and says how many") {
    ForwardFixture f;
    f.limits.journal_bytes_max = 200'000;
    f.start(R"([{"name": "b", "endpoint": "b:4317", "wait": "0s"}])");
    f.target.answer = [](const Batch&) { return failed(ErrorCode::kUnavailable, true, 600'000); };
    for (uint64_t trace = 0; trace < 30'000; trace += 300) {
        std::vector<TestSpan> spans;
        for (uint64_t i = 0; i < 300; ++i)
            spans.push_back(f.one(trace + i));
        f.send(spans);
        REQUIRE(f.store->flush().has_value());
        f.pass(10);
    }
    REQUIRE(f.store->flush().has_value());
    f.pass(40);
    CHECK(f.state().journal_bytes < 900'000);
    CHECK(f.state().lost_traces > 0);
    uint64_t given_up = 0;
    for (uint64_t trace = 0; trace < 30'000; trace += 500)
        given_up += f.why(trace) == Lines{"b given_up all 0"};
    CHECK(given_up * 500 > f.state().lost_traces / 2);
    CHECK(given_up * 500 < f.state().lost_traces * 2);
    f.target.answer = [](const Batch&) { return taken(); };
    f.pass(1'000);
    CHECK(f.state().unsent_traces == 0);
    CHECK(f.state().lost_traces + f.state().traces_sent == 30'000);
}

TEST_CASE("a list of targets says what is wrong with it") {
    const std::pair<const char*, const char*> cases[] = {
        {"{}", "must be a list"},
        {"[7]", "must be an object"},
        {"[{}]", "endpoint: must be given"},
        {R"([{"endpoint": "a:x"}])", "bad port"},
        {R"([{"endpoint": "a:1", "wiat": "1s"}])", "there is no such setting"},
        {R"([{"endpoint": "a:1", "wait": "x"}])", "wait"},
        {R"([{"endpoint": "a:1", "wait": "48h"}])", "at most 24h"},
        {R"([{"endpoint": "a:1", "protocol": "thrift"}])", "grpc, http/protobuf"},
        {R"([{"endpoint": "a:1", "name": "../x"}])", "letters, digits"},
        {R"([{"endpoint": "a:1", "keep": []}])", "must have a rule"},
        {R"([{"endpoint": "a:1", "keep": [{"name": "x", "match": "{"}]}])", "keep[0] (x): match"},
        {R"([{"endpoint": "a:1"}, {"endpoint": "a:1"}])", "two targets"},
        {R"([{"endpoint": "a:1", "tls": {"insecure": "true"}}])", "there is no setting 'insecure'"},
    };
    for (const auto& [json, part] : cases) {
        CAPTURE(json);
        const auto parsed = parse_forward_list(json);
        REQUIRE(!parsed.has_value());
        CHECK_MESSAGE(parsed.error().message.find(part) != std::string::npos,
                      parsed.error().message);
    }
    const auto parsed = parse_forward_list(
        R"([{"endpoint": "a:1", "protocol": "http/protobuf", "headers": {"Authorization": "secret"},
             "tls": {"ca": "/x"}, "wait": "5s"}])");
    REQUIRE(parsed.has_value());
    CHECK(parsed->front().endpoint == "https://a:1");
    CHECK(parsed->front().name == "a-1");
    CHECK(parsed->front().wait_ms == 5'000);
    CHECK(print_forward_list(*parsed).find("secret") == std::string::npos);
}

}  // namespace spanloom::sampling

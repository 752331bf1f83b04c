#include "sampling/keeper.h"

#include <algorithm>
#include <map>
#include <set>

#include <doctest/doctest.h>

#include "otlp/tracestate.h"
#include "sampling/preview.h"
#include "sampling/test_traces.h"
#include "sampling/why.h"
#include "store/engine_fixture.h"
#include "store/scan.h"

// Rules, decisions and pins on a store whose disk lies in memory.
namespace spanloom::sampling {
namespace {

using store::kHour;
using store::kNow;
using State = WhyAnswer::State;

KeepRules parsed(const std::string& json) {
    auto rules = parse_keep_rules(json);
    REQUIRE_MESSAGE(rules.has_value(), (rules ? "" : rules.error().message));
    return std::move(*rules);
}

const char* const kRules = R"({"recent": {"for": "1h"}, "keep": [
    {"name": "errors", "match": "{ status = error }", "for": "30d"},
    {"name": "deep", "match": "{ name = \"front\" } >> { name = \"db\" } | count() > 1"},
    {"name": "long", "match": "{ trace:duration > 10m }"},
    {"name": "rest", "rate": 0.25}]})";

struct KeeperFixture : store::StoreFixture {
    std::shared_ptr<Keeper> keeper;
    SeededRandom keys{5};

    void start(const std::string& rules = kRules) {
        if (store == nullptr) open();
        auto started = Keeper::start(*store, clock, keys, metrics, parsed(rules));
        REQUIRE_MESSAGE(started.has_value(), (started ? "" : started.error().message));
        keeper = std::move(*started);
    }
    void send(const std::vector<TestSpan>& spans) {
        REQUIRE(StoreFixture::send(batch_of(spans, clock.wall_ns())).has_value());
    }
    void flush() { REQUIRE(store->flush().has_value()); }
    void settle() {
        const auto settled = store->settle();
        REQUIRE_MESSAGE(settled.has_value(), (settled ? "" : settled.error().message));
    }
    WhyAnswer why(uint64_t trace) const {
        auto answer = explain_trace(*store, *keeper, "default", test_trace(trace));
        REQUIRE_MESSAGE(answer.has_value(), (answer ? "" : answer.error().message));
        return std::move(*answer);
    }
    uint64_t spans_of(uint64_t trace) const { return why(trace).stored_spans; }
    // A trace of one span.
    TestSpan one(uint64_t trace, const std::string& name = "call") const {
        return {test_trace(trace), 1, 0, "shop", name, clock.wall_ns(), 1'000'000, false, {}};
    }
};

bool stays_by_chance(uint64_t trace, double share) {
    return otlp::randomness_of(test_trace(trace)) >=
           otlp::kThresholdEnd - static_cast<uint64_t>(share * double(otlp::kThresholdEnd));
}

// Of 100 traces: those with an error, those that hold more than one span below the front, the rest.
void send_hundred(KeeperFixture& f, uint64_t first = 0) {
    std::vector<TestSpan> all;
    for (uint64_t trace = first; trace < first + 100; ++trace) {
        std::vector<TestSpan> spans = {f.one(trace, "front")};
        if (trace % 10 == 1) {
            spans[0].is_error = true;
        } else if (trace % 10 == 2) {
            for (const uint64_t number : {2, 3}) {
                spans.push_back(f.one(trace, "db"));
                spans.back().number = number;
                spans.back().parent = number - 1;
            }
        }
        all.insert(all.end(), spans.begin(), spans.end());
    }
    f.send(all);
    f.flush();
}

std::string expected_rule(uint64_t trace) {
    return trace % 10 == 1 ? "errors" : trace % 10 == 2 ? "deep" : "rest";
}

bool expected_kept(uint64_t trace) {
    return expected_rule(trace) != "rest" || stays_by_chance(trace, 0.25);
}

double counted(const std::vector<std::shared_ptr<const store::Segment>>& segments) {
    store::AggregateRequest request;
    request.aggregates.emplace_back();
    const auto answer = store::aggregate(segments, request);
    REQUIRE(answer.has_value());
    return answer->groups.empty() ? 0 : answer->groups.front().cells.front().weighted;
}

}  // namespace

TEST_CASE("what ages stays by the first rule that finds it, and why is told of every trace") {
    KeeperFixture f;
    f.start();
    send_hundred(f);
    CHECK(f.why(1).state == State::kRecent);
    CHECK(f.why(1000).state == State::kUnknown);
    f.settle();
    CHECK(f.why(1).state == State::kRecent);
    f.clock.advance(3 * kHour);
    f.settle();
    uint64_t kept = 0;
    for (uint64_t trace = 0; trace < 100; ++trace) {
        CAPTURE(trace);
        const WhyAnswer why = f.why(trace);
        REQUIRE(why.decisions.size() == 1);
        CHECK(why.decisions[0].rule == expected_rule(trace));
        CHECK(why.decisions[0].source == "file");
        CHECK(why.state == (expected_kept(trace) ? State::kKept : State::kDropped));
        CHECK(why.stored_spans == (expected_kept(trace) ? trace % 10 == 2 ? 3 : 1 : 0));
        CHECK_FALSE(why.is_ambiguous);
        CHECK(why.decisions[0].decision.has_error == (trace % 10 == 1));
        kept += expected_kept(trace);
    }
    CHECK(kept > 25);
    CHECK(kept < 70);
    f.clock.advance(kHour);
    for (const uint64_t trace : {0, 3, 4, 5, 6}) {
        if (expected_kept(trace)) continue;
        CHECK(f.why(trace).text(test_trace(trace), f.clock.wall_ns()) ==
              test_trace(trace).hex() +
                  " was dropped 1 h ago by rule 'rest', 1 in 4; 1 span, 1ms, no error");
        break;
    }
    CHECK(f.why(1).decisions[0].rule_json ==
          R"({"name":"errors","match":"{ status = error }","rate":1,"for":"30d"})");
}

TEST_CASE("what is counted from what stays weighs what it stands for") {
    KeeperFixture f;
    f.start(R"({"recent": {"for": "1h"}, "keep": [{"name": "half", "rate": 0.5}]})");
    for (uint64_t trace = 0; trace < 400; ++trace)
        f.send({f.one(trace)});
    f.flush();
    CHECK(counted(f.store->snapshot("default")) == 400);
    f.clock.advance(3 * kHour);
    f.settle();
    const auto stored = static_cast<double>(f.stored().size());
    CHECK(stored > 150);
    CHECK(stored < 250);
    CHECK(counted(f.store->snapshot("default")) == 2 * stored);
}

TEST_CASE("where there is no room half of what was kept goes, counts stay, and why is known") {
    KeeperFixture f;
    const char* const rules =
        R"({"recent": {"for": "1h"}, "keep": [{"name": "half", "rate": 0.5}]})";
    f.start(rules);
    std::vector<TestSpan> spans;
    for (uint64_t trace = 0; trace < 2000; ++trace)
        spans.push_back(f.one(trace));
    f.send(spans);
    f.flush();
    f.clock.advance(3 * kHour);
    f.settle();
    const auto before = static_cast<double>(f.stored().size());
    CHECK(before == doctest::Approx(1000).epsilon(0.1));
    f.options.retention_bytes = f.store->state().disk_bytes - 1;
    f.keeper.reset();
    f.store.reset();
    f.start(rules);
    f.settle();
    const auto after = static_cast<double>(f.stored().size());
    CHECK(after == doctest::Approx(500).epsilon(0.15));
    CHECK(counted(f.store->snapshot("default")) == 4 * after);
    uint64_t thinned = 0;
    for (uint64_t trace = 0; trace < 2000; ++trace) {
        const WhyAnswer why = f.why(trace);
        const bool is_thinned = why.decisions.front().decision.outcome.fate == Fate::kThinned;
        CHECK(why.decisions.size() == (is_thinned ? 2 : 1));
        CHECK((why.state == WhyAnswer::State::kKept) == (f.spans_of(trace) == 1));
        if (!is_thinned) continue;
        if (thinned++ > 0) continue;
        CHECK(why.decisions.front().rule == "half");
        const std::string text = why.text(test_trace(trace), f.clock.wall_ns());
        CHECK_MESSAGE(text.find("was kept 0 s ago by rule 'half', 1 in 2") != std::string::npos,
                      text);
        CHECK_MESSAGE(text.find("for want of room, when 1 in 4 stayed") != std::string::npos, text);
        // Its spans that come late follow.
        TestSpan late = f.one(trace);
        late.number = 2;
        f.send({late});
        f.flush();
        f.clock.advance(3 * kHour);
        f.settle();
        CHECK(f.spans_of(trace) == 0);
    }
    CHECK(static_cast<double>(thinned) == before - after);
}

TEST_CASE("a trace that lies in two hours is judged as one, once, and late spans follow") {
    KeeperFixture f;
    f.start(R"({"recent": {"for": "1h"}, "keep": [
        {"name": "errors", "match": "{ status = error }", "for": "30d"}]})");
    // 1: its error comes in the next hour. 2: no error; one comes late, when it is decided.
    f.send({f.one(1), f.one(2)});
    f.flush();
    f.clock.advance(kHour);
    TestSpan error = f.one(1);
    error.number = 2;
    error.parent = 1;
    error.is_error = true;
    f.send({error});
    f.flush();
    f.clock.advance(kHour + kHour / 2);
    f.settle();
    CHECK(f.spans_of(1) == 2);
    CHECK(f.spans_of(2) == 0);
    TestSpan late = f.one(2);
    late.number = 2;
    late.parent = 1;
    late.is_error = true;
    TestSpan more = f.one(1);
    more.number = 3;
    f.send({late, more});
    f.flush();
    f.clock.advance(3 * kHour);
    f.settle();
    CHECK(f.spans_of(1) == 3);
    CHECK(f.spans_of(2) == 0);
    CHECK(f.why(1).decisions.size() == 3);
    CHECK(f.why(1).decisions.front().decision.outcome.fate == Fate::kKeptLate);
    CHECK(f.why(1).decisions.front().rule == "errors");
    CHECK(f.why(2).decisions.front().decision.outcome.fate == Fate::kDroppedLate);
    CHECK(f.metrics.render().find("store_aged_late_traces_total 3") != std::string::npos);
    // Kept with it for as long.
    for (const std::string& path : f.segment_paths())
        CHECK(path.starts_with("kept/"));
    f.clock.advance(31 * 24 * kHour);
    f.settle();
    CHECK(f.spans_of(1) == 0);
}

TEST_CASE("a long trace over several hours is seen whole") {
    KeeperFixture f;
    f.start();
    TestSpan root = f.one(3, "job");
    root.duration_ns = 5'000'000'000;
    f.send({root});
    f.flush();
    f.clock.advance(kHour);
    TestSpan step = f.one(3, "step");
    step.number = 2;
    step.parent = 1;
    f.send({step});
    f.flush();
    f.clock.advance(3 * kHour);
    f.settle();
    CHECK(f.why(3).decisions.back().rule == "long");
    CHECK(f.spans_of(3) == 2);
}

TEST_CASE("senders' own randomness decides") {
    KeeperFixture f;
    f.start(R"({"recent": {"for": "1h"}, "keep": [{"name": "half", "rate": 0.5}]})");
    std::vector<TestSpan> spans;
    for (uint64_t trace = 0; trace < 20; ++trace) {
        spans.push_back(f.one(trace));
        spans.back().trace_state =
            trace % 2 == 0 ? "ot=rv:ffffffffffffff" : "x=1,ot=rv:00000000000000";
    }
    f.send(spans);
    f.flush();
    f.clock.advance(3 * kHour);
    f.settle();
    for (uint64_t trace = 0; trace < 20; ++trace)
        CHECK(f.spans_of(trace) == (trace % 2 == 0 ? 1 : 0));
}

TEST_CASE("rules are replaced by who knows their version, at once and for good") {
    KeeperFixture f;
    f.start();
    CHECK(f.keeper->rules()->source == "file");
    const std::string other = R"({"recent": {"for": "1h"}, "keep": [{"name": "none", "rate": 0}]})";
    CHECK(f.keeper->replace("{\"keep\": 1}", 0).error().code == ErrorCode::kInvalidArgument);
    CHECK(f.keeper->replace(other, 3).error().code == ErrorCode::kNotFound);
    const auto changed = f.keeper->replace(other, 0);
    REQUIRE(changed.has_value());
    CHECK((*changed)->version == 1);
    CHECK(f.keeper->replace(other, 0).error().code == ErrorCode::kAlreadyExists);
    send_hundred(f);
    f.keeper.reset();
    f.kill();
    f.store.reset();
    f.start();
    CHECK(f.keeper->rules()->source == "api");
    CHECK(f.keeper->rules()->version == 1);
    f.clock.advance(3 * kHour);
    f.settle();
    CHECK(f.stored().empty());
    CHECK(f.why(1).decisions[0].source == "api");
    CHECK(f.why(1).decisions[0].version == 1);
    CHECK(f.keeper->reset(9).error().code == ErrorCode::kAlreadyExists);
    REQUIRE(f.keeper->reset(1).has_value());
    CHECK(f.keeper->rules()->source == "file");
    CHECK(f.keeper->rules()->version == 0);
    CHECK(f.keeper->reset(1).error().code == ErrorCode::kNotFound);
    CHECK(f.keeper->reset(0).error().code == ErrorCode::kNotFound);
    // Decisions name versions: none is given twice.
    f.keeper.reset();
    f.kill();
    f.store.reset();
    f.start();
    CHECK(f.keeper->rules()->source == "file");
    CHECK(f.keeper->replace(other, 1).error().code == ErrorCode::kNotFound);
    CHECK(f.keeper->replace(other, 2).error().code == ErrorCode::kNotFound);
    const auto again = f.keeper->replace(other, 0);
    REQUIRE(again.has_value());
    CHECK((*again)->version > 1);
    CHECK(f.keeper->replace(other, 0).error().code == ErrorCode::kAlreadyExists);
}

TEST_CASE("pinned traces stay, wherever they lie and whatever rules say") {
    KeeperFixture f;
    f.start(R"({"recent": {"for": "1h"}, "keep": [{"name": "all", "for": "2h"}]})");
    f.send({f.one(1), f.one(2), f.one(3)});
    f.flush();
    CHECK(f.keeper->pin({test_trace(9), 0, "ada", ""}).error().code == ErrorCode::kNotFound);
    REQUIRE(f.keeper->pin({test_trace(1), 0, "ada", "the outage"}).has_value());
    f.clock.advance(kHour + kHour / 2);
    f.settle();
    REQUIRE(f.keeper->pin({test_trace(2), 0, "ada", ""}).has_value());
    CHECK(f.why(1).is_pinned);
    CHECK(f.why(1).decisions[0].rule == "pinned");
    f.keeper.reset();
    f.kill();
    f.store.reset();
    f.start();
    f.clock.advance(24 * kHour);
    f.settle();
    CHECK(f.spans_of(1) == 1);
    CHECK(f.spans_of(2) == 1);
    CHECK(f.spans_of(3) == 0);
    const auto pins = f.keeper->pins();
    REQUIRE(pins.has_value());
    REQUIRE(pins->size() == 2);
    const auto outage = std::find_if(pins->begin(), pins->end(),
                                     [](const Pin& pin) { return pin.reason == "the outage"; });
    REQUIRE(outage != pins->end());
    CHECK(outage->id == test_trace(1));
    CHECK(outage->by == "ada");
    REQUIRE(f.keeper->unpin(test_trace(1)).has_value());
    CHECK(f.keeper->unpin(test_trace(1)).error().code == ErrorCode::kNotFound);
    CHECK_FALSE(f.why(1).is_pinned);
}

TEST_CASE("a preview tells what rules would keep of what is recent, and changes nothing") {
    KeeperFixture f;
    f.start();
    send_hundred(f);
    const auto before = f.contents();
    PreviewQuestion question;
    question.rules = parsed(kRules);
    question.searches = {*parse_preview_search("{ status = error }"),
                         *parse_preview_search("{ status = unset }")};
    const auto preview = preview_rules(*f.store, "default", question, f.clock.wall_ns(), {});
    REQUIRE(preview.has_value());
    CHECK(preview->total.traces == 100);
    CHECK(preview->total.spans == 120);
    CHECK(preview->total.errors == 10);
    CHECK(preview->total.kept_errors == 10);
    REQUIRE(preview->rules.size() == 5);
    CHECK(preview->rules[0].count.kept_traces == 10);
    CHECK(preview->rules[1].count.kept_spans == 30);
    CHECK(preview->rules[3].count.traces == 80);
    CHECK(preview->rules[4].count.traces == 0);
    REQUIRE(preview->services.size() == 1);
    CHECK(preview->services[0].name == "shop");
    uint64_t kept = 0;
    for (uint64_t trace = 0; trace < 100; ++trace)
        kept += expected_kept(trace);
    CHECK(preview->total.kept_traces == kept);
    REQUIRE(preview->searches.size() == 2);
    CHECK(preview->searches[0].count.traces == 10);
    CHECK(preview->searches[0].count.kept_traces == 10);
    CHECK(preview->searches[1].count.traces == 90);
    CHECK(preview->searches[1].count.kept_traces == kept - 10);
    CHECK(preview->kept_bytes_per_day > 0);
    CHECK(f.contents() == before);
    // And that is what happens.
    f.clock.advance(3 * kHour);
    f.settle();
    uint64_t stored = 0;
    for (uint64_t trace = 0; trace < 100; ++trace)
        stored += f.spans_of(trace) > 0;
    CHECK(stored == kept);
    const auto later = preview_rules(*f.store, "default", question, f.clock.wall_ns(), {});
    REQUIRE(later.has_value());
    CHECK(later->total.traces == 0);
}

TEST_CASE("a crash at any call of ageing loses nothing that stays and brings nothing back") {
    const auto prepare = [](KeeperFixture& f) {
        f.start();
        send_hundred(f);
        f.clock.advance(kHour);
        send_hundred(f, 100);
        f.clock.advance(3 * kHour);
    };
    KeeperFixture whole;
    prepare(whole);
    const uint64_t before = whole.io.changes();
    whole.settle();
    const uint64_t calls = whole.io.changes() - before;
    CHECK(calls > 20);
    for (uint64_t crash = 1; crash <= calls; ++crash) {
        CAPTURE(crash);
        KeeperFixture f;
        prepare(f);
        f.io.crash_at(f.io.changes() + crash);
        (void)f.store->settle();
        f.keeper.reset();
        f.store.reset();
        SeededRandom dice(crash);
        f.io.restart(dice);
        // Other rules by now: what was decided stays decided.
        f.start(
            R"({"recent": {"for": "1h"}, "keep": [{"name": "other", "match": "{ name = \"front\" }"}]})");
        std::set<uint64_t> decided;
        for (uint64_t trace = 0; trace < 200; ++trace) {
            const WhyAnswer why = f.why(trace);
            if (!why.decisions.empty()) decided.insert(trace);
            const bool is_there = why.stored_spans > 0;
            CHECK(is_there == (why.decisions.empty() || expected_kept(trace)));
        }
        f.settle();
        for (uint64_t trace = 0; trace < 200; ++trace) {
            CAPTURE(trace);
            const WhyAnswer why = f.why(trace);
            REQUIRE(why.decisions.size() == 1);
            CHECK(why.decisions[0].rule ==
                  (decided.contains(trace) ? expected_rule(trace) : "other"));
            CHECK((why.stored_spans > 0) == (!decided.contains(trace) || expected_kept(trace)));
        }
        const auto report = [&] {
            f.keeper.reset();
            f.store.reset();
            return store::check_data(f.io, {});
        }();
        REQUIRE(report.has_value());
        CHECK(report->damage.empty());
    }
}

TEST_CASE("a damaged file of decisions is told, and does not stop what ages") {
    KeeperFixture f;
    f.start();
    send_hundred(f);
    f.clock.advance(3 * kHour);
    f.settle();
    CHECK(check_decisions(f.io)->empty());
    for (const std::string& path : f.io.files()) {
        if (path.ends_with(".dec")) f.io.flip_bit(path, 8 * 40);
    }
    CHECK(check_decisions(f.io)->size() == 1);
    CHECK(explain_trace(*f.store, *f.keeper, "default", test_trace(1)).error().code ==
          ErrorCode::kDataLoss);
    send_hundred(f, 100);
    f.clock.advance(3 * kHour);
    f.settle();
    uint64_t spans = 0;
    for (const auto& segment : f.store->snapshot("default"))
        spans += segment->info().spans;
    CHECK(spans < 240);
    CHECK(f.store->recent("default").empty());
}

}  // namespace spanloom::sampling

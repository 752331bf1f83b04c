#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "sampling/forwarder.h"
#include "sampling/test_traces.h"
#include "store/engine_fixture.h"

// For tests: forwarding from a store whose disk lies in memory to a target that answers as it is
// told.
namespace spanloom::sampling {

using store::kHour;
using store::kNow;
constexpr uint64_t kSecond = 1'000'000'000;

struct Received {
    uint32_t times = 0;
    std::string state;    // its tracestate
    std::string message;  // of the span
};
// By trace and span.
using Spans = std::map<std::pair<TraceId, SpanId>, Received>;

inline send::Attempt taken(int64_t rejected = 0) {
    send::Attempt attempt;
    attempt.reply.emplace();
    attempt.reply->rejected_spans = rejected;
    return attempt;
}
inline send::Attempt failed(ErrorCode code, bool is_retryable,
                            std::optional<uint64_t> wait_ms = std::nullopt) {
    send::Attempt attempt;
    attempt.error = {code, "no", 0};
    attempt.is_retryable = is_retryable;
    attempt.is_answered = true;
    attempt.server_wait_ms = wait_ms;
    return attempt;
}

// Outlives the forwarder, as a server does.
struct FakeTarget {
    std::function<send::Attempt(const Batch&)> answer = [](const Batch&) { return taken(); };
    Spans spans;
    uint64_t attempts = 0;
    bool hangs = false;

    send::Attempt receive(const std::string& request) {
        auto batch = otlp::decode(Blob::copy_of(request));
        REQUIRE(batch.has_value());
        CHECK(batch->spans_rejected == 0);
        ++attempts;
        send::Attempt attempt = answer(*batch);
        if (!attempt.reply) return attempt;
        for (const SpanRef& ref : batch->spans) {
            Received& one = spans[{ref.trace_id, ref.span_id}];
            ++one.times;
            one.state = batch->span(ref).trace_state;
            one.message = batch->at(ref.message);
        }
        return attempt;
    }
};

class FakeSender final : public ForwardSender {
  public:
    explicit FakeSender(FakeTarget& target) : target_(target) {}
    void begin(std::string request) override {
        CHECK(!request_);
        request_ = std::move(request);
    }
    std::optional<send::Attempt> result() override {
        if (!request_ || target_.hangs) return std::nullopt;
        const std::string request = std::move(*request_);
        request_.reset();
        return target_.receive(request);
    }

  private:
    FakeTarget& target_;
    std::optional<std::string> request_;
};

const char* const kErrors = R"([{"name": "b", "endpoint": "b:4317", "wait": "10s", "keep": [
    {"name": "errors", "match": "{ status = error }"},
    {"name": "slow", "match": "{ duration > 2s }"}]}])";
const char* const kAll = R"([{"name": "b", "endpoint": "b:4317", "wait": "10s"}])";

struct ForwardFixture : store::StoreFixture {
    FakeTarget target;
    SeededRandom keys{5};
    std::unique_ptr<Forwarder> forwarder;
    std::string list = kErrors;
    ForwardTarget::Limits limits;

    ~ForwardFixture() { forwarder.reset(); }

    void start(const std::string& targets = "") {
        if (!targets.empty()) list = targets;
        if (store == nullptr) open();
        auto parsed = parse_forward_list(list);
        REQUIRE_MESSAGE(parsed.has_value(), (parsed ? "" : parsed.error().message));
        auto started = Forwarder::start(
            std::move(*parsed),
            {*store, io, clock, keys, metrics, Forwarder::Background::kCaller,
             [this](const ForwardOptions&) { return std::make_unique<FakeSender>(target); }},
            limits);
        REQUIRE_MESSAGE(started.has_value(), (started ? "" : started.error().message));
        forwarder = std::move(*started);
        step();
    }
    void kill(uint64_t seed = 1) {
        io.crash_at(io.changes() + 1);
        forwarder.reset();
        StoreFixture::kill(seed);
    }
    void restart() {
        forwarder.reset();
        open();
        start();
    }
    void send(const std::vector<TestSpan>& spans) {
        REQUIRE(StoreFixture::send(batch_of(spans, clock.wall_ns())).has_value());
        REQUIRE(store->seal().has_value());
    }
    void step() {
        for (int i = 0; i < 100 && forwarder->step(); ++i) {
        }
    }
    void pass(uint64_t seconds) {
        for (uint64_t i = 0; i < seconds; ++i) {
            clock.advance(kSecond);
            step();
        }
    }
    TestSpan one(uint64_t trace, uint64_t number = 1, bool is_error = false) const {
        return {test_trace(trace), number,    number - 1, "shop", "call",
                clock.wall_ns(),   1'000'000, is_error,   {}};
    }
    // A trace of three spans.
    void send_trace(uint64_t trace, bool is_error) {
        send({one(trace), one(trace, 2, is_error), one(trace, 3)});
    }
    uint32_t times(uint64_t trace, uint64_t number = 1) const {
        const auto found = target.spans.find({test_trace(trace), test_span(number)});
        return found == target.spans.end() ? 0 : found->second.times;
    }
    const Received& received(uint64_t trace, uint64_t number = 1) const {
        return target.spans.at({test_trace(trace), test_span(number)});
    }
    ForwardState state() const { return forwarder->states().front(); }
    // Of each target and each part of a trace: "b sent errors 3".
    std::vector<std::string> why(uint64_t trace) const {
        const auto found = forwarder->explain(test_trace(trace));
        REQUIRE_MESSAGE(found.has_value(), (found ? "" : found.error().message));
        std::vector<std::string> lines;
        for (const Forwarding& one : *found)
            lines.push_back(fmt::format("{} {} {} {}{}", one.target, state_name(one),
                                        one.entry.rule.empty() ? "-" : one.entry.rule,
                                        one.entry.spans, one.entry.is_late ? " late" : ""));
        return lines;
    }
};
using Lines = std::vector<std::string>;

}  // namespace spanloom::sampling

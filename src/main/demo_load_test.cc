#include "main/demo_load.h"

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include <doctest/doctest.h>

#include "otlp/batch.h"

namespace spanloom {
namespace {

constexpr uint64_t kNowNs = 1'800'000'000'000'000'000;

// What a load of many requests holds, gathered by name.
struct Tally {
    size_t spans = 0;
    size_t rejected = 0;
    size_t errors = 0;
    size_t exceptions = 0;
    size_t links = 0;
    size_t known_user = 0;
    size_t slow_queries = 0;
    size_t orphans = 0;
    uint64_t latest_end_ns = 0;
    std::map<std::string, std::set<std::string>> pods;  // of a service
    std::unordered_map<TraceId, std::map<std::string, size_t>> names;

    size_t most_in_a_trace(const std::string& name) const {
        size_t most = 0;
        for (const auto& [id, counts] : names) {
            const auto found = counts.find(name);
            if (found != counts.end()) most = std::max(most, found->second);
        }
        return most;
    }
};

void count_span(const otlp::SpanView& span, Tally& tally) {
    ++tally.spans;
    ++tally.names[span.trace_id][std::string(span.name)];
    tally.errors += span.status == otlp::StatusCode::kError ? 1 : 0;
    tally.latest_end_ns = std::max(tally.latest_end_ns, span.end_ns);
    CHECK(span.end_ns >= span.start_ns);
    CHECK((span.flags & 0x103) == 0x103);
    bool is_query = false;
    for (const otlp::AttributeView attribute : span.attributes()) {
        tally.known_user += attribute.key == "user.id" && attribute.value.bytes == "4815" ? 1 : 0;
        is_query = is_query || attribute.key == "db.query.text";
    }
    tally.slow_queries += is_query && span.duration_ns() > 1'000'000'000 ? 1 : 0;
    for (const otlp::EventView event : span.events()) {
        CHECK(event.time_ns >= span.start_ns);
        tally.exceptions += event.name == "exception" ? 1 : 0;
    }
    for (const otlp::LinkView link : span.links()) {
        CHECK_FALSE(link.trace_id.is_zero());
        ++tally.links;
    }
}

void count_request(const std::string& bytes, Tally& tally) {
    const Batch batch = otlp::decode(Blob::copy_of(bytes)).value();
    tally.rejected += batch.spans_rejected;
    std::unordered_set<SpanId> known;
    for (const SpanRef& ref : batch.spans) {
        known.insert(ref.span_id);
        count_span(batch.span(ref), tally);
    }
    for (const SpanRef& ref : batch.spans) {
        const SpanId parent = batch.span(ref).parent_span_id;
        tally.orphans += !parent.is_zero() && !known.contains(parent) ? 1 : 0;
    }
    for (const ResourceRef& ref : batch.resources) {
        const otlp::ResourceView resource = batch.resource(ref);
        for (const otlp::AttributeView attribute : resource.attributes()) {
            if (attribute.key == "service.instance.id")
                tally.pods[std::string(resource.service_name())].emplace(attribute.value.bytes);
        }
    }
}

Tally tally_of(uint64_t now_ns, size_t requests) {
    SeededRandom random(1);
    DemoLoad load(random);
    Tally tally;
    for (size_t i = 0; i < requests; ++i)
        count_request(load.next_request(now_ns, 500), tally);
    return tally;
}

}  // namespace

TEST_CASE("the demo load is valid OTLP and holds each of its stories") {
    const Tally tally = tally_of(kNowNs, 40);
    CHECK(tally.rejected == 0);
    CHECK(tally.latest_end_ns <= kNowNs);
    CHECK(tally.pods.size() == 8);
    for (const auto& [service, pods] : tally.pods)
        CHECK(pods.size() == 3);
    CHECK(tally.errors > 20);
    CHECK(tally.exceptions > 10);
    CHECK(tally.known_user > 5);
    CHECK(tally.slow_queries > 0);
    CHECK(tally.links >= 5);
    CHECK(tally.orphans > 0);
    CHECK(tally.most_in_a_trace("SELECT products") >= 15);
    CHECK(tally.most_in_a_trace("process orders") == 1);
}

TEST_CASE("while the bank is in trouble the charges are tried again and again") {
    constexpr uint64_t kMinuteNs = 60'000'000'000;
    const uint64_t quiet_ns = kNowNs - kNowNs % (10 * kMinuteNs) + 3 * kMinuteNs;
    const Tally quiet = tally_of(quiet_ns, 10);
    const Tally trouble = tally_of(quiet_ns + 4 * kMinuteNs, 10);
    CHECK(trouble.most_in_a_trace("shop.PaymentService/Charge") == 12);  // both sides of six tries
    CHECK(trouble.exceptions > 3 * quiet.exceptions);
}

TEST_CASE("small requests add up to what was asked for") {
    SeededRandom random(2);
    DemoLoad load(random);
    Tally tally;
    bool was_one_empty = false;
    for (int i = 0; i < 1'000; ++i) {
        const std::string bytes = load.next_request(kNowNs, 3);
        was_one_empty = was_one_empty || bytes.empty();
        count_request(bytes, tally);
    }
    CHECK(was_one_empty);
    CHECK(tally.spans >= 3'000);
    CHECK(tally.spans < 3'100);
}

TEST_CASE("the same random numbers give the same load") {
    SeededRandom one(3);
    SeededRandom two(3);
    CHECK(DemoLoad(one).next_request(kNowNs, 300) == DemoLoad(two).next_request(kNowNs, 300));
}

}  // namespace spanloom

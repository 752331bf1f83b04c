#include "receive/span_limits.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/metrics.h"
#include "otlp/writer.h"
#include "receive/quota.h"

namespace spanloom {
namespace {

void write_attribute(otlp::WireWriter& out, uint32_t field, std::string_view key,
                     std::string_view text) {
    const size_t mark = out.begin(field);
    out.bytes_field(1, key);
    const size_t value = out.begin(2);
    out.bytes_field(1, text);
    out.end(value);
    out.end(mark);
}

// One span per service, with what `fill` adds.
Batch batch_of(const std::vector<std::string>& services,
               const std::function<void(otlp::WireWriter&)>& fill = {}, size_t spans = 1) {
    std::string bytes;
    otlp::WireWriter out(bytes);
    uint64_t number = 1;
    for (const std::string& service : services) {
        const size_t resource_spans = out.begin(1);
        const size_t resource = out.begin(1);
        write_attribute(out, 1, "service.name", service);
        out.end(resource);
        const size_t scope_spans = out.begin(2);
        for (size_t i = 0; i < spans; ++i) {
            const size_t span = out.begin(2);
            std::string id(8, '\1');
            id[0] = static_cast<char>(number++);
            out.bytes_field(1, "0123456789abcdef");
            out.bytes_field(2, id);
            out.bytes_field(5, "work");
            if (fill) fill(out);
            out.end(span);
        }
        out.end(scope_spans);
        out.end(resource_spans);
    }
    auto batch = otlp::decode(Blob::copy_of(bytes));
    REQUIRE(batch.has_value());
    return std::move(*batch);
}

Batch rewritten(const Batch& batch, const SpanLimits& limits, CutCounts& counts) {
    auto made = rewrite(batch, nullptr, limits, {}, counts);
    REQUIRE(made.has_value());
    return std::move(*made);
}

}  // namespace

TEST_CASE("attributes beyond the limit are dropped and counted in the span") {
    const Batch batch = batch_of({"shop"}, [](otlp::WireWriter& out) {
        for (int i = 0; i < 100; ++i)
            write_attribute(out, 9, "key" + std::to_string(i), "v");
        out.varint_field(10, 5);
        const size_t event = out.begin(11);
        out.bytes_field(2, "happened");
        for (int i = 0; i < 30; ++i)
            write_attribute(out, 3, "e" + std::to_string(i), "v");
        out.end(event);
    });
    SpanLimits limits;
    limits.attributes_max = 20;
    limits.value_bytes_max = 1'000;
    REQUIRE(exceeds(batch, limits));
    CutCounts counts;
    const Batch made = rewritten(batch, limits, counts);
    const otlp::SpanView span = made.span(made.spans.front());
    size_t kept = 0;
    for (const otlp::AttributeView& attribute : span.attributes())
        CHECK(attribute.key == "key" + std::to_string(kept++));
    CHECK(kept == 20);
    CHECK(span.dropped_attributes == 85);
    for (const otlp::EventView& event : span.events()) {
        CHECK(event.name == "happened");
        CHECK(event.dropped_attributes == 10);
    }
    CHECK(span.name == "work");
    CHECK(counts.attributes == 90);
    CHECK(counts.spans == 1);
    CHECK_FALSE(exceeds(made, limits));
}

TEST_CASE("long texts are cut between characters, other long values are dropped") {
    std::string text(99, 'x');
    text += "\xc3\xa4\xc3\xa4";  // two characters of two bytes: the limit is inside the first
    const Batch batch = batch_of({"shop"}, [&](otlp::WireWriter& out) {
        write_attribute(out, 9, "long", text);
        write_attribute(out, 9, std::string(500, 'k'), "v");
        const size_t mark = out.begin(9);
        out.bytes_field(1, "list");
        const size_t value = out.begin(2);
        const size_t list = out.begin(5);
        for (int i = 0; i < 100; ++i) {
            const size_t one = out.begin(1);
            out.bytes_field(1, "item");
            out.end(one);
        }
        out.end(list);
        out.end(value);
        out.end(mark);
        write_attribute(out, 9, "short", "v");
    });
    SpanLimits limits;
    limits.value_bytes_max = 100;
    limits.key_bytes_max = 200;
    REQUIRE(exceeds(batch, limits));
    CutCounts counts;
    const Batch made = rewritten(batch, limits, counts);
    const otlp::SpanView span = made.span(made.spans.front());
    std::vector<std::string> keys;
    for (const otlp::AttributeView& attribute : span.attributes()) {
        keys.emplace_back(attribute.key);
        if (attribute.key == "long") CHECK(attribute.value.bytes == std::string(99, 'x'));
    }
    CHECK(keys == std::vector<std::string>{"long", "short"});
    CHECK(span.dropped_attributes == 2);
    CHECK(counts.values == 1);
}

TEST_CASE("spans of usual size are left as they are") {
    CHECK_FALSE(exceeds(batch_of({"shop"}), SpanLimits{}));
}

TEST_CASE("quotas are read as people write them") {
    CHECK(parse_quota("checkout 5000 spans/s")->spans_per_s == 5000);
    CHECK(parse_quota("my shop 2MiB/s")->bytes_per_s == 2U << 20);
    CHECK(parse_quota("my shop 2MiB/s")->service == "my shop");
    for (const char* bad : {"", "checkout", "checkout 5", "checkout 0 spans/s", "5 spans/s",
                            "checkout x/s", "checkout -1 spans/s"})
        CHECK_FALSE(parse_quota(bad).has_value());
}

TEST_CASE("a service over its quota is refused until time has passed, others are not") {
    ManualClock clock(1);
    MetricsRegistry metrics;
    ServiceQuotas quotas({*parse_quota("noisy 10 spans/s")}, nullptr, clock, metrics);
    const Batch batch = batch_of({"noisy", "quiet"}, {}, 25);
    CHECK(quotas.judge(batch).spans == 0);  // a burst is let in once
    const auto second = quotas.judge(batch);
    CHECK(second.spans == 25);
    CHECK_FALSE(second.is_whole);
    CHECK(second.is_refused == std::vector<bool>{true, false});
    CHECK(second.reason.find("10 spans/s") != std::string::npos);
    CHECK(quotas.judge(batch_of({"noisy"})).is_whole);
    clock.advance(1'000'000'000);
    CHECK(quotas.judge(batch_of({"noisy"})).spans == 0);
    CHECK(metrics.total("quota_refused_spans_total") == 26);
}

TEST_CASE("under pressure who sends far more than the others waits, without it nobody does") {
    ManualClock clock(1);
    MetricsRegistry metrics;
    double pressure = 0;
    ServiceQuotas quotas({}, [&] { return pressure; }, clock, metrics);
    const auto a_while = [&] {
        uint64_t refused = 0;
        for (int i = 0; i < 60; ++i) {
            refused += quotas.judge(batch_of({"noisy"}, {}, 50)).spans;
            refused += quotas.judge(batch_of({"a", "b", "c"}, {}, 1)).spans;
            clock.advance(100'000'000);
        }
        return refused;
    };
    CHECK(a_while() == 0);
    pressure = 0.9;
    CHECK(a_while() > 1'000);
    CHECK(quotas.judge(batch_of({"a"})).spans == 0);
    pressure = 0;
    CHECK(a_while() == 0);
}

TEST_CASE("very many services are counted as one beyond a number") {
    ManualClock clock(1);
    MetricsRegistry metrics;
    ServiceQuotas quotas({*parse_quota("* 1 spans/s")}, nullptr, clock, metrics);
    for (int i = 0; i < 3'000; ++i) {
        const Batch batch = batch_of({"service-" + std::to_string(i)}, {}, 3);
        (void)quotas.judge(batch);
        (void)quotas.judge(batch);
    }
    const std::string text = metrics.render();
    size_t series = 0;
    for (size_t at = text.find("quota_refused_spans_total{"); at != std::string::npos;
         at = text.find("quota_refused_spans_total{", at + 1))
        ++series;
    CHECK(series <= 1'001);
}

}  // namespace spanloom

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "otlp/batch.h"
#include "spanloom/in_memory_exporter.h"
#include "spanloom/spanloom.h"

using namespace spanloom;
using namespace std::chrono_literals;

namespace {

// A provider that exports each span as it ends, into memory.
struct Fixture {
    std::shared_ptr<InMemoryExporter> exporter = std::make_shared<InMemoryExporter>();
    TracerProvider provider;
    Tracer tracer;

    explicit Fixture(ProviderOptions options = {}) {
        options.processors.push_back(make_simple_processor(exporter));
        options.resource = Resource({{"service.name", "shop"}});
        provider = TracerProvider::create(std::move(options));
        tracer = provider.get_tracer("test", "1.2");
    }
    ~Fixture() { provider.shutdown(1s); }
    FinishedSpan only() const {
        REQUIRE(exporter->spans().size() == 1);
        return exporter->spans()[0];
    }
};

}  // namespace

TEST_CASE("a span is recorded, encoded and exported as valid OTLP") {
    Fixture f;
    {
        Span span = f.tracer.start_span("checkout", SpanKind::kServer);
        CHECK(span.is_recording());
        CHECK(span.context().is_valid());
        CHECK(span.context().is_sampled());
        span.set_attribute("user.id", "4815").set_attribute("items", 3);
        span.set_attribute("price", 9.5).set_attribute("gift", false);
        span.add_event("paid", {{"method", "card"}});
        span.set_status(StatusCode::kError, "declined");
    }
    const FinishedSpan span = f.only();
    CHECK(span.name == "checkout");
    CHECK(span.kind == SpanKind::kServer);
    CHECK(span.attribute("user.id") == "\"4815\"");
    CHECK(span.attribute("items") == "3");
    CHECK(span.attribute("price") == "9.5");
    CHECK(span.attribute("gift") == "false");
    REQUIRE(span.events.size() == 1);
    CHECK(span.events[0].name == "paid");
    CHECK(span.status == StatusCode::kError);
    CHECK(span.status_description == "declined");
    CHECK(span.scope_name == "test");
    CHECK(span.scope_version == "1.2");
    CHECK(span.end_unix_ns >= span.start_unix_ns);
    CHECK(span.parent_span_id.empty());
    CHECK(span.flags == 0x103);  // sampled, random, and the parent is known not to be remote

    const auto batch = otlp::decode(Blob::copy_of(f.exporter->requests()[0]));
    REQUIRE(batch.has_value());
    CHECK(batch->spans.size() == 1);
    CHECK(batch->spans_rejected == 0);
    CHECK(batch->resource(batch->resources[0]).service_name() == "shop");
}

TEST_CASE("a child has its parent's trace; the scope decides who the parent is") {
    Fixture f;
    {
        ActiveSpan parent = f.tracer.start_active("parent");
        Span child = f.tracer.start_span("child");
        CHECK(child.context().trace_id() == parent.context().trace_id());
        current_span().set_attribute("from", "callee");
        parent.end();
        Span other = f.tracer.start_span("other");
        CHECK(other.context().trace_id() != parent.context().trace_id());
    }
    const auto spans = f.exporter->spans();
    REQUIRE(spans.size() == 3);
    CHECK(spans[0].name == "parent");
    CHECK(spans[0].attribute("from") == "\"callee\"");
    CHECK(spans[1].name == "other");
    CHECK(spans[2].parent_span_id == spans[0].span_id);
}

TEST_CASE("without an SDK everything is a no-op") {
    Tracer tracer = get_tracer("library");
    Span span = tracer.start_span("work");
    CHECK(!span.is_recording());
    CHECK(!span.context().is_valid());
    span.set_attribute("a", 1);
    span.end();
}

#include "spanloom/init.h"

#include <cstdlib>
#include <map>
#include <string>

#include <doctest/doctest.h>

#include "spanloom/carriers.h"
#include "spanloom/in_memory_exporter.h"
#include "spanloom/propagators.h"

using namespace spanloom;

namespace {

using Variables = std::map<std::string, std::string>;

// Variables of the environment, for the length of a test.
class EnvironmentScope {
  public:
    EnvironmentScope() = default;
    explicit EnvironmentScope(Variables variables) : variables_(std::move(variables)) {
        for (const auto& [name, value] : variables_)
            ::setenv(name.c_str(), value.c_str(), 1);
    }
    EnvironmentScope(const EnvironmentScope&) = delete;
    EnvironmentScope& operator=(const EnvironmentScope&) = delete;
    ~EnvironmentScope() {
        for (const auto& [name, value] : variables_)
            ::unsetenv(name.c_str());
        TracerProvider::set_global(TracerProvider());
    }

  private:
    Variables variables_;
};

}  // namespace

TEST_CASE("one call: a span of a service, sent when the scope ends") {
    const EnvironmentScope environment;
    auto exporter = std::make_shared<InMemoryExporter>();
    {
        InitOptions options;
        options.service_name = "shop";
        options.exporter = exporter;
        auto telemetry = init(options);
        CHECK(telemetry.problem().empty());
        auto span = get_tracer("test").start_span("checkout");
        span.set_attribute("mail", "ada@example.com");
    }
    REQUIRE(exporter->spans().size() == 1);
    CHECK(exporter->spans()[0].name == "checkout");
}

TEST_CASE("redaction, from the environment, before the exporter sees anything") {
    const EnvironmentScope environment(Variables{{"SPANLOOM_REDACTION", "true"}});
    auto exporter = std::make_shared<InMemoryExporter>();
    InitOptions options;
    options.exporter = exporter;
    auto telemetry = init(options);
    {
        auto span = get_tracer("test").start_span("mail to ada@example.com");
        span.set_attribute("user.id", "ada@example.com");
    }
    CHECK(telemetry.force_flush(Duration::from_ms(5'000)));
    REQUIRE(exporter->spans().size() == 1);
    CHECK(exporter->spans()[0].name == "mail to ****");
    CHECK(exporter->spans()[0].attribute("user.id") == "\"ada@example.com\"");
}

TEST_CASE("noise is turned down by what is configured, and what is reported reaches the callback") {
    const EnvironmentScope environment({{"SPANLOOM_DURATION_MIN", "60000"},
                                        {"SPANLOOM_TRACERS_OFF", "redis*"},
                                        {"SPANLOOM_BAGGAGE_ATTRIBUTES", "tenant"},
                                        {"SPANLOOM_TRACE_SPANS_MAX", "2"},
                                        {"OTEL_LOG_LEVEL", "debug"}});
    auto exporter = std::make_shared<InMemoryExporter>();
    std::string told;
    InitOptions options;
    options.exporter = exporter;
    options.diagnostic = [](std::string_view message, void* user) {
        *static_cast<std::string*>(user) += message;
    };
    options.diagnostic_user = &told;
    auto telemetry = init(options);
    {
        const Scope scope(
            Context::current().with_baggage(Baggage().set("tenant", "acme").set("other", "x")));
        const ActiveSpan request = get_tracer("test").start_active("request");
        const Span quick = get_tracer("test").start_span("too short");
        CHECK_FALSE(get_tracer("redis").start_span("off").is_recording());
        const Span third = get_tracer("test").start_span("too short");
        CHECK_FALSE(third.is_recording());
    }
    CHECK(telemetry.force_flush(Duration::from_ms(30'000)));
    REQUIRE(exporter->spans().size() == 1);
    CHECK(exporter->spans()[0].attribute("tenant") == "\"acme\"");
    CHECK(exporter->spans()[0].attributes.size() == 1);
    const ProviderStats stats = telemetry.provider().stats();
    CHECK(stats.filtered == 1);
    CHECK(stats.too_many == 1);
    CHECK(told.find("more than 2 spans") != std::string::npos);
}

TEST_CASE("a public edge is one variable away") {
    struct Restored {
        ~Restored() { set_incoming_context(IncomingContext::kContinue); }
    } restored;
    const EnvironmentScope environment(
        {{"SPANLOOM_INCOMING_CONTEXT", "restart"}, {"OTEL_LOG_LEVEL", "info"}});
    InitOptions options;
    options.exporter = std::make_shared<InMemoryExporter>();
    const auto telemetry = init(options);
    std::map<std::string, std::string> headers = {
        {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}};
    const HeaderList carrier(headers);
    const IncomingParent parent = extract_incoming(carrier);
    CHECK_FALSE(parent.context.span_context().is_valid());
    CHECK(parent.linked.is_valid());
    const IncomingParent trusted = extract_incoming(carrier, IncomingContext::kContinue);
    CHECK(trusted.context.span_context().is_valid());
    CHECK_FALSE(trusted.linked.is_valid());
}

TEST_CASE("ten percent are one variable away") {
    const EnvironmentScope environment(
        {{"OTEL_TRACES_SAMPLER", "parentbased_traceidratio"}, {"OTEL_TRACES_SAMPLER_ARG", "0.1"}});
    auto exporter = std::make_shared<InMemoryExporter>();
    InitOptions options;
    options.exporter = exporter;
    auto telemetry = init(options);
    const Tracer tracer = get_tracer("test");
    constexpr int kRoots = 10'000;
    for (int i = 0; i < kRoots; ++i) {
        const Span root = tracer.start_span("root");
        SpanOptions child;
        child.parent = Context().with_span(root);
        const Span span = tracer.start_span("child", child);
        CHECK(span.context().is_sampled() == root.context().is_sampled());
        const std::string_view state = root.context().trace_state().text();
        CHECK(state == (root.context().is_sampled() ? "ot=th:e666" : ""));
        CHECK(span.context().trace_state() == root.context().trace_state());
    }
    CHECK(telemetry.force_flush(Duration::from_ms(30'000)));
    // 6 sigma of 10,000 at 0.1: the ids are truly random here.
    const auto sampled = static_cast<int>(exporter->spans().size()) / 2;
    CHECK(std::abs(sampled - kRoots / 10) < 180);
}

TEST_CASE("disabled: no spans, but context travels") {
    const EnvironmentScope environment({{"OTEL_SDK_DISABLED", "true"}, {"OTEL_PROPAGATORS", "b3"}});
    auto telemetry = init({});
    CHECK(telemetry.provider().is_no_op());
    const std::map<std::string, std::string> headers = {
        {"b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1"}};
    const Context context = global_propagator().extract(Context::root(), HeaderList(headers));
    CHECK(context.span_context().is_sampled());
    set_global_propagator(
        make_composite_propagator({make_trace_context_propagator(), make_baggage_propagator()}));
}

TEST_CASE("a wrong configuration is told, and the program runs") {
    const EnvironmentScope environment(Variables{{"OTEL_CONFIG_FILE", "/does/not/exist.yaml"}});
    std::string told;
    InitOptions options;
    options.diagnostic = [](std::string_view message, void* user) {
        *static_cast<std::string*>(user) += message;
    };
    options.diagnostic_user = &told;
    auto telemetry = init(options);
    CHECK(telemetry.provider().is_no_op());
    CHECK(telemetry.problem().find("/does/not/exist.yaml") != std::string::npos);
    CHECK(told == telemetry.problem());
    const Span span = get_tracer("test").start_span("nothing");
    CHECK_FALSE(span.is_recording());
    set_global_propagator(
        make_composite_propagator({make_trace_context_propagator(), make_baggage_propagator()}));
}

TEST_CASE("the debug flag of B3 goes on to children") {
    const EnvironmentScope environment;
    InitOptions options;
    options.exporter = std::make_shared<InMemoryExporter>();
    auto telemetry = init(options);
    const auto b3 = make_b3_propagator();
    std::map<std::string, std::string> headers = {
        {"b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-d"}};
    SpanOptions child;
    child.parent = b3->extract(Context::root(), HeaderList(headers));
    const Span span = get_tracer("test").start_span("child", child);
    HeaderList carrier(headers);
    b3->inject(Context().with_span(span), carrier);
    CHECK(headers["b3"] ==
          "4bf92f3577b34da6a3ce929d0e0e4736-" + span.context().span_id().hex() + "-d");
}

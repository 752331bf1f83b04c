// Prints what it sees; the test reads the spans that came out.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <opentelemetry/context/propagation/text_map_propagator.h>
#include <opentelemetry/trace/propagation/http_trace_context.h>
#include <opentelemetry/trace/provider.h>
#include <spanloom/instrumentation/opentelemetry_cpp.h>
#include <spanloom/otlp_exporter.h>
#include <spanloom/processor.h>
#include <spanloom/tracer.h>

namespace api = opentelemetry::trace;
using opentelemetry::nostd::string_view;

namespace {

int failures = 0;

void check(bool is_right, const char* what) {
    if (is_right) return;
    std::printf("FAIL %s\n", what);
    ++failures;
}

class Carrier : public opentelemetry::context::propagation::TextMapCarrier {
  public:
    string_view Get(string_view key) const noexcept override {
        const auto found = headers.find({key.data(), key.size()});
        return found == headers.end() ? string_view() : string_view(found->second);
    }
    void Set(string_view key, string_view value) noexcept override {
        headers[{key.data(), key.size()}] = {value.data(), value.size()};
    }
    std::map<std::string, std::string> headers;
};

api::SpanContext remote_parent() {
    const uint8_t trace_id[16] = {0x0a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const uint8_t span_id[8] = {0xb7, 1, 2, 3, 4, 5, 6, 7};
    return {api::TraceId(trace_id), api::SpanId(span_id), api::TraceFlags(1), true,
            api::TraceState::FromHeader("vendor=value")};
}

void set_every_kind_of_value(api::Span& span) {
    const int64_t numbers[] = {-1, 2};
    const uint32_t unsigned_numbers[] = {4'000'000'000U, 1};
    const double fractions[] = {0.5};
    const bool truths[] = {true, false};
    const string_view texts[] = {"a", "b"};
    const uint8_t bytes[] = {1, 2, 255};
    span.SetAttribute("bool", true);
    span.SetAttribute("int", int32_t{-7});
    span.SetAttribute("uint64", uint64_t{18'000'000'000'000'000'000U});
    span.SetAttribute("double", 2.5);
    span.SetAttribute("c_string", "text");
    span.SetAttribute("string", string_view("view"));
    span.SetAttribute("ints", opentelemetry::nostd::span<const int64_t>(numbers));
    span.SetAttribute("uints", opentelemetry::nostd::span<const uint32_t>(unsigned_numbers));
    span.SetAttribute("doubles", opentelemetry::nostd::span<const double>(fractions));
    span.SetAttribute("bools", opentelemetry::nostd::span<const bool>(truths));
    span.SetAttribute("strings", opentelemetry::nostd::span<const string_view>(texts));
    span.SetAttribute("bytes", opentelemetry::nostd::span<const uint8_t>(bytes));
}

void work_like_an_instrumented_library() {
    const auto tracer = api::Provider::GetTracerProvider()->GetTracer("library", "2.0", "schema");
    api::StartSpanOptions options;
    options.kind = api::SpanKind::kServer;
    options.parent = remote_parent();
    const auto server = tracer->StartSpan("server", {{"given", "at start"}},
                                          {{remote_parent(), {{"why", "batch"}}}}, options);
    check(server->IsRecording(), "a started span records");
    check(server->GetContext().trace_id() == remote_parent().trace_id(),
          "it joins its parent's trace");
    const api::Scope scope(*const_cast<opentelemetry::nostd::shared_ptr<api::Span>*>(&server));
    check(api::Tracer::GetCurrentSpan()->GetContext() == server->GetContext(),
          "it is the current one");
    set_every_kind_of_value(*server);
    server->AddEvent("plain");
    server->AddEvent("with", {{"n", 1}});
    server->UpdateName("renamed");
    server->SetStatus(api::StatusCode::kError, "broken");
    {
        // spanloom's own API sees it, and the other way round.
        const auto native = spanloom::get_tracer("native").start_active("native");
        check(native.context().trace_id().hex().substr(0, 4) == "0a01", "native joins the trace");
        const auto seen = api::Tracer::GetCurrentSpan();
        check(seen->GetContext().IsValid() && seen->IsRecording(),
              "native is current for the library");
        seen->SetAttribute("set.by", "library");
        const auto below = tracer->StartSpan("below native");
        Carrier carrier;
        api::propagation::HttpTraceContext().Inject(
            carrier, opentelemetry::context::RuntimeContext::GetCurrent());
        check(carrier.headers["traceparent"].find(native.context().span_id().hex()) !=
                  std::string::npos,
              "injection takes the native span");
        check(carrier.headers["tracestate"] == "vendor=value", "and its tracestate");
        std::thread([below] { below->SetAttribute("thread", "other"); }).join();
        below->End();
        below->SetAttribute("late", true);
    }
    check(api::Tracer::GetCurrentSpan()->GetContext() == server->GetContext(),
          "back to the server span");
    auto child = tracer->StartSpan("child");
    {
        auto inner = tracer->WithActiveSpan(child);
        tracer->StartSpan("grandchild")->End();
    }
    api::StartSpanOptions root;
    root.parent = opentelemetry::context::Context{}.SetValue(api::kIsRootSpanKey, true);
    check(
        tracer->StartSpan("root", root)->GetContext().trace_id() != server->GetContext().trace_id(),
        "a root begins a new trace");
}

}  // namespace

int main(int count, char** values) {
    if (count != 2) return 2;
    spanloom::ProviderOptions options;
    options.processors = {
        spanloom::make_batch_processor(spanloom::make_otlp_file_exporter(values[1]))};
    auto provider = spanloom::TracerProvider::create(std::move(options));
    spanloom::TracerProvider::set_global(provider);
    spanloom::install_opentelemetry_cpp();
    work_like_an_instrumented_library();
    check(!api::Tracer::GetCurrentSpan()->GetContext().IsValid(), "nothing is left active");
    check(provider.shutdown(spanloom::Duration::from_ms(5'000)), "everything is written");
    return failures == 0 ? 0 : 1;
}

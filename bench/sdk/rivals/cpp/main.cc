// The scenarios of ./dev bench sdk with opentelemetry-cpp.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <opentelemetry/context/propagation/text_map_propagator.h>
#include <opentelemetry/sdk/trace/batch_span_processor.h>
#include <opentelemetry/sdk/trace/batch_span_processor_options.h>
#include <opentelemetry/sdk/trace/exporter.h>
#include <opentelemetry/sdk/trace/processor.h>
#include <opentelemetry/sdk/trace/samplers/always_off.h>
#include <opentelemetry/sdk/trace/samplers/always_on.h>
#include <opentelemetry/sdk/trace/span_data.h>
#include <opentelemetry/sdk/trace/tracer_provider.h>
#include <opentelemetry/trace/noop.h>
#include <opentelemetry/trace/propagation/http_trace_context.h>
#include <opentelemetry/trace/scope.h>
#ifdef HAS_OTLP
#include <opentelemetry/exporters/otlp/otlp_recordable.h>
#include <opentelemetry/exporters/otlp/otlp_recordable_utils.h>
// clang-format off: protobuf's macros are opened and closed around it
#include <opentelemetry/exporters/otlp/protobuf_include_prefix.h>
#include <google/protobuf/arena.h>
#include <opentelemetry/proto/collector/trace/v1/trace_service.pb.h>
#include <opentelemetry/exporters/otlp/protobuf_include_suffix.h>
// clang-format on
#endif

#include <time.h>

namespace api = opentelemetry::trace;
namespace sdk = opentelemetry::sdk::trace;
namespace nostd = opentelemetry::nostd;

namespace {

constexpr int kRepeats = 5;
constexpr uint64_t kSpans = 200'000;
constexpr uint64_t kPipelineSpans = 500'000;
constexpr uint64_t kPacedSpansPerSecond = 100'000;
constexpr uint64_t kPacedSeconds = 3;

std::atomic<bool> is_counting = false;
std::atomic<uint64_t> allocations = 0;

#ifdef HAS_OTLP
using Made = opentelemetry::exporter::otlp::OtlpRecordable;
#else
using Made = sdk::SpanData;
#endif

// Drops each span on the thread that ended it.
class DropAtOnce final : public sdk::SpanProcessor {
  public:
    std::unique_ptr<sdk::Recordable> MakeRecordable() noexcept override {
        return std::unique_ptr<sdk::Recordable>(new Made);
    }
    void OnStart(sdk::Recordable&, const api::SpanContext&) noexcept override {}
    void OnEnd(std::unique_ptr<sdk::Recordable>&&) noexcept override {}
    bool ForceFlush(std::chrono::microseconds) noexcept override { return true; }
    bool Shutdown(std::chrono::microseconds) noexcept override { return true; }
};

// Makes the request's bytes and throws them away.
class ToNowhere final : public sdk::SpanExporter {
  public:
    explicit ToNowhere(std::atomic<uint64_t>& exported) : exported_(exported) {}
    std::unique_ptr<sdk::Recordable> MakeRecordable() noexcept override {
        return std::unique_ptr<sdk::Recordable>(new Made);
    }
    opentelemetry::sdk::common::ExportResult Export(
        const nostd::span<std::unique_ptr<sdk::Recordable>>& spans) noexcept override {
        exported_ += spans.size();
#ifdef HAS_OTLP
        google::protobuf::Arena arena;
        auto* request = google::protobuf::Arena::CreateMessage<
            opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest>(&arena);
        opentelemetry::exporter::otlp::OtlpRecordableUtils::PopulateRequest(spans, request);
        std::string bytes;
        request->SerializeToString(&bytes);
#endif
        return opentelemetry::sdk::common::ExportResult::kSuccess;
    }
    bool ForceFlush(std::chrono::microseconds) noexcept override { return true; }
    bool Shutdown(std::chrono::microseconds) noexcept override { return true; }

  private:
    std::atomic<uint64_t>& exported_;
};

double cpu_ns(clockid_t clock) {
    timespec time = {};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

std::map<std::string, double> results;

template <typename Turn>
void measure(const char* key, Turn turn) {
    for (uint64_t i = 0; i < kSpans / 10; ++i)
        turn(i);
    std::vector<double> all;
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
        const double from = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
        for (uint64_t i = 0; i < kSpans; ++i)
            turn(i);
        all.push_back((cpu_ns(CLOCK_THREAD_CPUTIME_ID) - from) / kSpans);
    }
    std::sort(all.begin(), all.end());
    results[key] = all[kRepeats / 2];
}

struct Texts {
    std::string user, route, address, pod;
};

const std::vector<Texts>& texts() {
    static const std::vector<Texts> all = [] {
        std::vector<Texts> made;
        for (int i = 0; i < 1024; ++i) {
            const std::string n = std::to_string(i);
            made.push_back({"user-" + n, "/api/v1/items/" + n, "10.0.0." + n, "pod-" + n});
        }
        return made;
    }();
    return all;
}

void set_4(api::Span& span, uint64_t i) {
    const Texts& text = texts()[i & 1023];
    span.SetAttribute("user.id", text.user);
    span.SetAttribute("http.route", text.route);
    span.SetAttribute("http.response.status_code", static_cast<int64_t>(i));
    span.SetAttribute("server.address", text.address);
}

void set_10(api::Span& span, uint64_t i) {
    const Texts& text = texts()[i & 1023];
    set_4(span, i);
    span.SetAttribute("k8s.pod.name", text.pod);
    span.SetAttribute("db.namespace", text.user);
    span.SetAttribute("server.port", int64_t{5432});
    span.SetAttribute("app.ratio", static_cast<double>(i) * 0.5);
    span.SetAttribute("app.cached", (i & 1) == 0);
    span.SetAttribute("app.region", text.route);
}

class Carrier final : public opentelemetry::context::propagation::TextMapCarrier {
  public:
    nostd::string_view Get(nostd::string_view key) const noexcept override {
        const auto found = headers.find(std::string(key));
        return found == headers.end() ? nostd::string_view() : nostd::string_view(found->second);
    }
    void Set(nostd::string_view key, nostd::string_view value) noexcept override {
        headers[std::string(key)] = std::string(value);
    }
    std::map<std::string, std::string> headers;
};

void hot_path() {
    sdk::TracerProvider provider(std::unique_ptr<sdk::SpanProcessor>(new DropAtOnce));
    const auto tracer = provider.GetTracer("bench");
    const auto four = [&](uint64_t i) {
        const auto span = tracer->StartSpan("operation");
        set_4(*span, i);
        span->End();
    };
    measure("start_end", [&](uint64_t) { tracer->StartSpan("operation")->End(); });
    measure("attributes_4", four);
    measure("attributes_10_event", [&](uint64_t i) {
        const auto span = tracer->StartSpan("operation");
        set_10(*span, i);
        span->AddEvent("cache.miss", {{"cache.key", texts()[i & 1023].user}});
        span->End();
    });
    allocations = 0;
    is_counting = true;
    for (uint64_t i = 0; i < 10'000; ++i)
        four(i);
    is_counting = false;
    results["allocations"] = static_cast<double>(allocations) / 10'000;
    {
        auto parent = tracer->StartSpan("parent");
        const api::Scope scope(parent);
        measure("child_active", [&](uint64_t) {
            auto child = tracer->StartSpan("child");
            const api::Scope active(child);
            child->End();
        });
    }
    api::propagation::HttpTraceContext propagator;
    Carrier incoming;
    Carrier outgoing;
    incoming.headers["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    measure("extract_inject", [&](uint64_t) {
        opentelemetry::context::Context nothing;
        propagator.Inject(outgoing, propagator.Extract(incoming, nothing));
    });
}

void cold_path() {
    sdk::TracerProvider provider(std::unique_ptr<sdk::SpanProcessor>(new DropAtOnce),
                                 opentelemetry::sdk::resource::Resource::Create({}),
                                 std::unique_ptr<sdk::Sampler>(new sdk::AlwaysOffSampler));
    const auto tracer = provider.GetTracer("bench");
    measure("sampled_out", [&](uint64_t i) {
        const auto span = tracer->StartSpan("operation");
        set_4(*span, i);
        span->End();
    });
    api::NoopTracerProvider nothing;
    const auto no_op = nothing.GetTracer("bench");
    measure("unconfigured", [&](uint64_t) { no_op->StartSpan("operation")->End(); });
}

void pipeline() {
    std::atomic<uint64_t> exported = 0;
    sdk::BatchSpanProcessorOptions options;
    sdk::TracerProvider provider(std::unique_ptr<sdk::SpanProcessor>(new sdk::BatchSpanProcessor(
        std::unique_ptr<sdk::SpanExporter>(new ToNowhere(exported)), options)));
    const auto tracer = provider.GetTracer("bench");
    const auto four = [&](uint64_t i) {
        const auto span = tracer->StartSpan("operation");
        set_4(*span, i);
        span->End();
    };
    const auto run = [&](const std::string& prefix, uint64_t spans, auto turns) {
        const uint64_t seen = exported;
        const double from = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
        turns();
        provider.ForceFlush();
        results[prefix + "_cpu"] =
            (cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - from) / static_cast<double>(spans);
        results[prefix + "_dropped"] = static_cast<double>(spans - (exported - seen));
        results[prefix + "_spans"] = static_cast<double>(spans);
    };
    for (uint64_t i = 0; i < 10'000; ++i)
        four(i);
    provider.ForceFlush();
    run("pipeline", kPipelineSpans, [&] {
        for (uint64_t i = 0; i < kPipelineSpans; ++i)
            four(i);
    });
    run("pipeline_2_threads", kPipelineSpans, [&] {
        const auto half = [&] {
            for (uint64_t i = 0; i < kPipelineSpans / 2; ++i)
                four(i);
        };
        std::thread other(half);
        half();
        other.join();
    });
    results.erase("pipeline_2_threads_cpu");
    run("pipeline_paced", kPacedSpansPerSecond * kPacedSeconds, [&] {
        auto next = std::chrono::steady_clock::now();
        for (uint64_t tick = 0; tick < kPacedSeconds * 1'000; ++tick) {
            for (uint64_t i = 0; i < kPacedSpansPerSecond / 1'000; ++i)
                four(i);
            next += std::chrono::milliseconds(1);
            std::this_thread::sleep_until(next);
        }
    });
}

}  // namespace

void* operator new(size_t size) {
    if (is_counting.load(std::memory_order_relaxed)) ++allocations;
    if (void* made = std::malloc(size)) return made;
    throw std::bad_alloc();
}
void operator delete(void* pointer) noexcept {
    std::free(pointer);
}
void operator delete(void* pointer, size_t) noexcept {
    std::free(pointer);
}

int main() {
    hot_path();
    cold_path();
    pipeline();
    std::printf("{");
    const char* comma = "";
    for (const auto& [key, value] : results) {
        std::printf("%s\"%s\":%.2f", comma, key.c_str(), value);
        comma = ",";
    }
    std::printf("}\n");
    return 0;
}

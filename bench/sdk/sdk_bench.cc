// The scenarios of ./dev bench sdk with spanloom, through its public headers alone.
//
// usage: sdk_bench [NAME ...]     one JSON object: nanoseconds, spans, allocations by name
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>

#include <malloc.h>

#include "sdk/measure.h"
#include "spanloom/carriers.h"
#include "spanloom/propagators.h"
#include "spanloom/samplers.h"
#include "spanloom/spanloom.h"

using namespace spanloom;
using namespace std::chrono_literals;

namespace {

std::atomic<bool> is_counting = false;
std::atomic<uint64_t> allocations = 0;

void count_allocation() {
    if (is_counting.load(std::memory_order_relaxed)) ++allocations;
}

}  // namespace

// Whatever asks for memory, in any thread, comes by here: operator new, too.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void* malloc(size_t size) {
    count_allocation();
    return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
    count_allocation();
    return __libc_calloc(count, size);
}
void* realloc(void* block, size_t size) {
    count_allocation();
    return __libc_realloc(block, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
    count_allocation();
    return __libc_memalign(alignment, size);
}
}

namespace {

constexpr uint64_t kChildrenPerParent = 1'000;
constexpr uint64_t kFloodSpans = 2'000'000;
constexpr uint64_t kTicksPerSecond = 1'000;
constexpr uint64_t kPacedSeconds = 3;
constexpr auto kFlushTime = 30s;

const std::vector<bench::Texts> texts = bench::make_texts();

// Takes each span on the thread that ended it, encoded as it is, and keeps nothing.
class DropAtOnce final : public SpanProcessor {
  public:
    unsigned interests() const noexcept override { return kOnEnd; }
    void on_end(const ReadableSpan& span) noexcept override {
        std::string_view message = span.message();
        bench::consume(message);
    }
};

// Makes the bytes of the OTLP request and sends them nowhere.
class ToNowhere final : public SpanExporter {
  public:
    ExportResult export_spans(const SpanBatch& batch, Deadline) noexcept override {
        request_.clear();
        batch.append_request(request_);
        bench::consume(request_);
        return ExportResult::success();
    }

  private:
    std::string request_;
};

void set_4(Span& span, uint64_t i) {
    const bench::Texts& text = texts[i & 1023];
    span.set_attribute("user.id", text.user);
    span.set_attribute("http.route", text.route);
    span.set_attribute("http.response.status_code", i);
    span.set_attribute("server.address", text.address);
}

void set_10(Span& span, uint64_t i) {
    const bench::Texts& text = texts[i & 1023];
    set_4(span, i);
    span.set_attribute("k8s.pod.name", text.pod);
    span.set_attribute("db.namespace", text.user);
    span.set_attribute("server.port", 5432);
    span.set_attribute("app.ratio", static_cast<double>(i) * 0.5);
    span.set_attribute("app.cached", (i & 1) == 0);
    span.set_attribute("app.region", text.route);
}

void span_of_4(const Tracer& tracer, uint64_t i) {
    Span span = tracer.start_span("operation");
    set_4(span, i);
}

TracerProvider make_provider(std::shared_ptr<SpanProcessor> processor,
                             std::shared_ptr<Sampler> sampler = nullptr) {
    ProviderOptions options;
    options.processors.push_back(std::move(processor));
    options.sampler = std::move(sampler);
    return TracerProvider::create(std::move(options));
}

// Until the clock knows how fast the processor's counter runs, spans cost twice as much.
void settle() {
    TracerProvider provider = make_provider(make_batch_processor(make_null_exporter()));
    {
        const Span first = provider.get_tracer("bench").start_span("first");
    }
    std::this_thread::sleep_for(200ms);
    provider.shutdown(1s);
}

void recorded(bench::Report& report, const Tracer& tracer, const std::string& suffix) {
    report.time(("start_end" + suffix).c_str(),
                [&](uint64_t) { const Span span = tracer.start_span("operation"); });
    report.time(("attributes_4" + suffix).c_str(), [&](uint64_t i) { span_of_4(tracer, i); });
    report.time(("attributes_10_event" + suffix).c_str(), [&](uint64_t i) {
        Span span = tracer.start_span("operation");
        set_10(span, i);
        span.add_event("cache.miss", {{"cache.key", texts[i & 1023].user}});
    });
}

void hot_path(bench::Report& report) {
    TracerProvider provider = make_provider(std::make_shared<DropAtOnce>());
    const Tracer tracer = provider.get_tracer("bench");
    recorded(report, tracer, "");
    // A trace of ever more spans would be cut by the guard.
    std::optional<ActiveSpan> parent;
    report.time("child_active", [&](uint64_t i) {
        if (i % kChildrenPerParent == 0) {
            parent.reset();
            parent.emplace(tracer.start_active("parent", SpanKind::kServer));
        }
        const ActiveSpan child = tracer.start_active("child");
    });
}

// The same into the queue of a batch processor whose thread exports meanwhile: the caller's share.
void queued_path(bench::Report& report) {
    TracerProvider provider = make_provider(make_batch_processor(std::make_shared<ToNowhere>()));
    recorded(report, provider.get_tracer("bench"), "_queued");
    provider.shutdown(kFlushTime);
}

void cold_path(bench::Report& report) {
    const auto out = [&](const char* name, std::shared_ptr<Sampler> sampler) {
        TracerProvider provider = make_provider(std::make_shared<DropAtOnce>(), std::move(sampler));
        const Tracer tracer = provider.get_tracer("bench");
        report.time(name, [&](uint64_t i) {
            Span span = tracer.start_span("operation");
            set_4(span, i);
            bench::consume(span);
        });
    };
    out("sampled_out", make_always_off_sampler());
    out("sampled_out_ratio", make_parent_based_sampler({make_trace_id_ratio_sampler(1e-6)}));
}

// Only before anything else: as in a program whose libraries are instrumented and that never sets
// an SDK up.
void unconfigured(bench::Report& report) {
    const Tracer nothing = get_tracer("bench");
    report.time("unconfigured", [&](uint64_t) {
        Span span = nothing.start_span("operation");
        bench::consume(span);
    });
}

void propagation(bench::Report& report) {
    using Headers = std::vector<std::pair<std::string, std::string>>;
    const Headers incoming = {
        {"Host", "other-service:8080"},
        {"Accept", "*/*"},
        {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}};
    Headers outgoing;
    const auto both = [&](const char* name, const TextMapPropagator& propagator) {
        report.time(name, [&](uint64_t) {
            const HeaderList<const Headers> from(incoming);
            HeaderList<Headers> to(outgoing);
            propagator.inject(propagator.extract(Context::root(), from), to);
            bench::consume(outgoing);
        });
    };
    both("extract_inject", *make_trace_context_propagator());
    both("extract_inject_default", global_propagator());
}

// `spans_per_tick` spans of this thread every millisecond.
void pace(const Tracer& tracer, uint64_t spans_per_tick, uint64_t seconds) {
    auto next = std::chrono::steady_clock::now();
    for (uint64_t tick = 0; tick < seconds * kTicksPerSecond; ++tick) {
        for (uint64_t i = 0; i < spans_per_tick; ++i)
            span_of_4(tracer, i);
        next += 1ms;
        std::this_thread::sleep_until(next);
    }
}

// Runs `turns`, which makes that many spans, through the whole pipeline with its defaults.
template <typename Turns>
void run_pipeline(bench::Report& report, const std::string& name, uint64_t spans, Turns turns) {
    if (!report.wants(name)) return;
    TracerProvider provider = make_provider(make_batch_processor(std::make_shared<ToNowhere>()));
    const Tracer tracer = provider.get_tracer("bench");
    for (uint64_t i = 0; i < 10'000; ++i)
        span_of_4(tracer, i);
    provider.force_flush(kFlushTime);
    const uint64_t seen = provider.stats().processors.exported;
    const auto began = std::chrono::steady_clock::now();
    const double from = bench::cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
    turns(tracer);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    provider.force_flush(kFlushTime);
    const double cpu = bench::cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - from;
    report.set(name + "_cpu", cpu / static_cast<double>(spans));
    report.set(name + "_dropped",
               static_cast<double>(spans - (provider.stats().processors.exported - seen)));
    report.set(name + "_spans", static_cast<double>(spans));
    report.set(name + "_per_s", static_cast<double>(spans) / took.count());
    provider.shutdown(kFlushTime);
}

void pipeline(bench::Report& report) {
    run_pipeline(report, "pipeline", kFloodSpans, [](const Tracer& tracer) {
        for (uint64_t i = 0; i < kFloodSpans; ++i)
            span_of_4(tracer, i);
    });
    run_pipeline(report, "pipeline_2_threads", kFloodSpans, [](const Tracer& tracer) {
        const auto half = [&] {
            for (uint64_t i = 0; i < kFloodSpans / 2; ++i)
                span_of_4(tracer, i);
        };
        std::thread other(half);
        half();
        other.join();
    });
    const auto paced = [&](const std::string& name, uint64_t threads, uint64_t spans_per_s) {
        const uint64_t per_tick = spans_per_s / kTicksPerSecond / threads;
        run_pipeline(report, name, spans_per_s * kPacedSeconds, [&](const Tracer& tracer) {
            std::vector<std::thread> others;
            for (uint64_t t = 1; t < threads; ++t)
                others.emplace_back([&] { pace(tracer, per_tick, kPacedSeconds); });
            pace(tracer, per_tick, kPacedSeconds);
            for (std::thread& other : others)
                other.join();
        });
    };
    paced("pipeline_paced", 1, 100'000);
    paced("pipeline_1m", 2, 1'000'000);
    paced("pipeline_5m", 2, 5'000'000);
}

// Of the whole process, its exporting thread included, once everything has grown to its size.
void count_allocations(bench::Report& report) {
    if (!report.wants("allocations")) return;
    TracerProvider provider = make_provider(make_batch_processor(std::make_shared<ToNowhere>()));
    const Tracer tracer = provider.get_tracer("bench");
    pace(tracer, 100, 1);
    allocations = 0;
    is_counting = true;
    pace(tracer, 100, 1);
    is_counting = false;
    report.set("allocations", static_cast<double>(allocations) / 100'000);
    provider.shutdown(kFlushTime);
}

}  // namespace

int main(int argc, char** argv) {
    bench::Report report(argc, argv);
    unconfigured(report);
    settle();
    hot_path(report);
    queued_path(report);
    cold_path(report);
    propagation(report);
    pipeline(report);
    count_allocations(report);
    report.print();
    return 0;
}

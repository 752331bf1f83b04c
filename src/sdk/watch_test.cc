// What a provider notices about the program: debug mode, minimum durations, traces with too many
// spans, tracers that are switched off.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "sdk/diagnostics.h"
#include "sdk/live_spans.h"
#include "sdk/trace_guard.h"
#include "spanloom/baggage_processor.h"
#include "spanloom/in_memory_exporter.h"
#include "spanloom/spanloom.h"

using namespace spanloom;
using namespace std::chrono_literals;

namespace {

// Collects what the SDK tells.
class Told {
  public:
    static void tell(std::string_view message, void* user) {
        auto* told = static_cast<Told*>(user);
        const std::lock_guard lock(told->mutex_);
        told->messages_.emplace_back(message);
        told->changed_.notify_all();
    }
    std::vector<std::string> messages() const {
        const std::lock_guard lock(mutex_);
        return messages_;
    }
    bool is_told(std::string_view part) const {
        for (const std::string& message : messages())
            if (message.find(part) != std::string::npos) return true;
        return false;
    }
    void wait_for_one() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !messages_.empty(); });
    }

  private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::string> messages_;
};

struct Watched {
    Told told;
    std::shared_ptr<InMemoryExporter> exporter = std::make_shared<InMemoryExporter>();
    TracerProvider provider;
    Tracer tracer;

    explicit Watched(ProviderOptions options) {
        options.processors.push_back(make_simple_processor(exporter));
        options.diagnostic = &Told::tell;
        options.diagnostic_user = &told;
        provider = TracerProvider::create(std::move(options));
        tracer = provider.get_tracer("test");
    }
    ~Watched() { provider.shutdown(1s); }
    std::vector<std::string> names() const {
        std::vector<std::string> names;
        for (const FinishedSpan& span : exporter->spans())
            names.push_back(span.name);
        return names;
    }
};

ProviderOptions debug_options() {
    ProviderOptions options;
    options.debug.is_enabled = true;
    return options;
}

ProviderOptions short_options(Duration duration_min = 10ms) {
    ProviderOptions options;
    options.duration_min = duration_min;
    return options;
}

// Ends a span so many milliseconds after it began.
void end_after(Span& span, uint64_t start_ms, uint64_t ms) {
    span.end(Timestamp::from_unix_ns((start_ms + ms) * 1'000'000));
}

constexpr uint64_t kStartMs = 1'700'000'000'000;

Span started(const Tracer& tracer, std::string_view name, const Context& parent,
             SpanKind kind = SpanKind::kInternal) {
    SpanOptions options;
    options.kind = kind;
    options.parent = parent;
    options.start_time = Timestamp::from_unix_ns(kStartMs * 1'000'000);
    return tracer.start_span(name, options);
}

}  // namespace

TEST_CASE("debug: a span on a thread without a context, while a request is served, is told") {
    Watched w(debug_options());
    const ActiveSpan request = w.tracer.start_active("request", SpanKind::kServer);
    std::thread([&] { const Span lost = w.tracer.start_span("load user"); }).join();
    REQUIRE(w.told.messages().size() == 1);
    const std::string message = w.told.messages()[0];
    CHECK(message.find("'load user'") != std::string::npos);
    CHECK(message.find("watch_test.cc:") != std::string::npos);
    CHECK(message.find("1 server spans") != std::string::npos);
    CHECK(message.find("spanloom::bind") != std::string::npos);
}

TEST_CASE("debug: what is meant to begin a trace is not told") {
    Watched w(debug_options());
    {
        const Span before = w.tracer.start_span("no request yet");
    }
    const ActiveSpan request = w.tracer.start_active("request", SpanKind::kServer);
    const Span child = w.tracer.start_span("child");
    std::thread([&] {
        const Span other = w.tracer.start_span("other request", SpanKind::kServer);
        const Span meant = w.tracer.start_span("job", {.parent = Context::root()});
        const Span bound = w.tracer.start_span("bound", {.parent = Context().with_span(request)});
    }).join();
    CHECK(w.told.messages().empty());
}

TEST_CASE("debug: when the request is over, a root is no detached branch") {
    Watched w(debug_options());
    {
        const ActiveSpan request = w.tracer.start_active("request", SpanKind::kServer);
    }
    std::thread([&] { const Span job = w.tracer.start_span("job"); }).join();
    CHECK(w.told.messages().empty());
}

TEST_CASE("debug: a span that lives too long is told, with where it was started") {
    ProviderOptions options = debug_options();
    options.debug.span_alive_max = 1ms;
    Watched w(options);
    Span span = w.tracer.start_span("forgotten");
    w.told.wait_for_one();  // by the SDK's own thread
    const std::string message = w.told.messages()[0];
    CHECK(message.find("'forgotten'") != std::string::npos);
    CHECK(message.find("watch_test.cc:") != std::string::npos);
    CHECK(message.find(span.context().trace_id().hex()) != std::string::npos);
}

TEST_CASE("debug: what was never ended is told at the shutdown") {
    Watched w(debug_options());
    const Span one = w.tracer.start_span("never ended");
    const Span two = w.tracer.start_span("nor this");
    w.provider.shutdown(1s);
    CHECK(w.told.is_told("2 spans had not ended"));
    CHECK(w.told.is_told("'never ended'"));
}

TEST_CASE("live spans: the old ones are found once") {
    sdk::LiveSpans live;
    sdk::WatchedSpan old;
    sdk::WatchedSpan young;
    old.started_ns = 100;
    young.started_ns = 200;
    live.add(&old, "old");
    live.add(&young, "young");
    std::vector<std::string> found;
    const auto look = [&](uint64_t before) {
        live.find_older(before, 1'000,
                        [&](const sdk::LiveSpans::Found& one) { found.push_back(one.name); });
    };
    look(150);
    look(150);
    CHECK(found == std::vector<std::string>{"old"});
    look(300);
    CHECK(found == std::vector<std::string>{"old", "young"});
    live.remove(&old);
    live.remove(&old);
    CHECK(live.oldest(1'000)->name == "young");
    live.remove(&young);
    CHECK_FALSE(live.oldest(1'000).has_value());
}

TEST_CASE("diagnostics: one message a minute of a subject, ten in all, the rest is counted") {
    Told told;
    sdk::Diagnostics diagnostics(&Told::tell, &told);
    int wanted = 0;
    for (uint64_t subject = 0; subject < 20; ++subject)
        for (int again = 0; again < 3; ++again)
            wanted += diagnostics.wants(subject, 1'000) ? 1 : 0;
    CHECK(wanted == 10);
    CHECK(diagnostics.wants(3, 1'000 + 60'000'000'000));
    diagnostics.report("subject 3");
    CHECK(told.messages() ==
          std::vector<std::string>{"subject 3 (50 more reports were held back)"});
}

TEST_CASE("minimum duration: short spans are left out and counted, what begins the work is not") {
    Watched w(short_options());
    Span request = started(w.tracer, "request", Context::root(), SpanKind::kServer);
    const Context in_request = Context().with_span(request);
    Span quick = started(w.tracer, "short", in_request);
    Span slow = started(w.tracer, "long", in_request);
    end_after(quick, kStartMs, 9);
    end_after(slow, kStartMs, 10);
    end_after(request, kStartMs, 1);
    CHECK(w.names() == std::vector<std::string>{"long", "request"});
    const ProviderStats stats = w.provider.stats();
    CHECK(stats.filtered == 1);
    CHECK(stats.started == 3);
    CHECK(stats.ended == 3);
    CHECK(stats.processors.received == 2);
}

TEST_CASE("minimum duration: errors, and spans others know of, stay") {
    Watched w(short_options());
    const Span request = started(w.tracer, "request", Context::root());
    const Context in_request = Context().with_span(request);
    Span failed = started(w.tracer, "failed", in_request);
    failed.set_status(StatusCode::kError, "no route");
    end_after(failed, kStartMs, 1);
    Span call = started(w.tracer, "call", in_request, SpanKind::kClient);
    end_after(call, kStartMs, 1);
    Span sent = started(w.tracer, "send", in_request, SpanKind::kProducer);
    end_after(sent, kStartMs, 1);
    CHECK(w.names() == std::vector<std::string>{"failed", "call", "send"});
}

TEST_CASE("minimum duration: a trace stays connected") {
    Watched w(short_options());
    const Span request = started(w.tracer, "request", Context::root());
    SUBCASE("a short parent of a child that is kept is kept") {
        Span parent = started(w.tracer, "parent", Context().with_span(request));
        Span child = started(w.tracer, "child", Context().with_span(parent));
        child.set_status(StatusCode::kError);
        end_after(child, kStartMs, 1);
        end_after(parent, kStartMs, 2);
        CHECK(w.names() == std::vector<std::string>{"child", "parent"});
    }
    SUBCASE("a short parent whose children are left out is left out, too") {
        Span parent = started(w.tracer, "parent", Context().with_span(request));
        Span child = started(w.tracer, "child", Context().with_span(parent));
        end_after(child, kStartMs, 1);
        end_after(parent, kStartMs, 2);
        CHECK(w.names().empty());
        CHECK(w.provider.stats().filtered == 2);
    }
    SUBCASE("a short parent of a child that still lives is kept, for it may be kept") {
        Span parent = started(w.tracer, "parent", Context().with_span(request));
        Span child = started(w.tracer, "child", Context().with_span(parent));
        end_after(parent, kStartMs, 2);
        std::thread([&] { end_after(child, kStartMs, 100); }).join();
        CHECK(w.names() == std::vector<std::string>{"parent", "child"});
    }
}

TEST_CASE("tracers: by name, first match wins; a disabled one is its callers' context") {
    ProviderOptions options;
    options.tracers = {{"db.important", {}},
                       {"db.*", {.is_enabled = false, .duration_min = {}}},
                       {"cache-?", {.is_enabled = true, .duration_min = 10ms}}};
    Watched w(std::move(options));
    CHECK(w.provider.get_tracer("db.important").is_enabled());
    const Tracer off = w.provider.get_tracer("db.pool");
    CHECK_FALSE(off.is_enabled());
    const ActiveSpan request = w.tracer.start_active("request");
    {
        const ActiveSpan query = off.start_active("query");
        CHECK_FALSE(query.is_recording());
        CHECK(query.context() == request.context());
        const Span below = w.tracer.start_span("below");
        CHECK(below.context().trace_id() == request.context().trace_id());
    }
    const Tracer cache = w.provider.get_tracer("cache-1");
    Span hit = started(cache, "hit", Context::current());
    end_after(hit, kStartMs, 9);
    Span miss = started(cache, "miss", Context::current());
    end_after(miss, kStartMs, 90);
    CHECK(w.names() == std::vector<std::string>{"below", "miss"});
    CHECK(w.exporter->spans()[0].parent_span_id == request.context().span_id().hex());
    CHECK(w.provider.stats().filtered == 1);
}

TEST_CASE(
    "a trace with too many spans is told with the busy name, which is left out from then on") {
    ProviderOptions options;
    options.trace_spans_max = 100;
    Watched w(std::move(options));
    {
        const ActiveSpan request = w.tracer.start_active("request");
        for (int i = 0; i < 300; ++i)
            const Span row = w.tracer.start_span("read row");
        const ActiveSpan other = w.tracer.start_active("write answer");
        // A child of a span that was left out hangs on that one's parent.
        const ActiveSpan left_out = w.tracer.start_active("read row");
        CHECK_FALSE(left_out.is_recording());
        CHECK(w.tracer.start_span("inner").context().trace_id() == request.context().trace_id());
    }
    {
        const ActiveSpan next = w.tracer.start_active("request");
        const Span row = w.tracer.start_span("read row");
    }
    const auto names = w.names();
    CHECK(std::count(names.begin(), names.end(), "read row") == 100);
    CHECK(std::count(names.begin(), names.end(), "write answer") == 1);
    CHECK(std::count(names.begin(), names.end(), "request") == 2);
    const ProviderStats stats = w.provider.stats();
    CHECK(stats.too_many == 300 + 1 + 1 - 100);
    CHECK(stats.started == names.size());
    REQUIRE(w.told.messages().size() == 1);
    const std::string message = w.told.messages()[0];
    CHECK(message.find("more than 100 spans") != std::string::npos);
    CHECK(message.find("named 'read row' (tracer 'test', started at") != std::string::npos);
}

TEST_CASE("too many spans: by sampling, and from all threads together") {
    ProviderOptions options;
    options.trace_spans_max = 5'000;
    Watched w(std::move(options));
    const Span request = w.tracer.start_span("request");
    const Context context = Context().with_span(request);
    const auto loop = [&] {
        const Scope scope(context);
        for (int i = 0; i < 20'000; ++i)
            const Span row = w.tracer.start_span("read row");
    };
    std::thread other(loop);
    loop();
    other.join();
    const ProviderStats stats = w.provider.stats();
    CHECK(stats.started + stats.too_many == 40'001);
    CHECK(stats.started > 2'500);
    CHECK(stats.started < 10'000);
    CHECK(w.told.is_told("named 'read row'"));
}

TEST_CASE("too many spans: none where the limit is 0, and none in many small traces") {
    ProviderOptions options;
    options.trace_spans_max = 0;
    Watched unlimited(options);
    options.trace_spans_max = 20;
    Watched limited(options);
    for (Watched* w : {&unlimited, &limited}) {
        for (int trace = 0; trace < 50; ++trace) {
            const ActiveSpan request = w->tracer.start_active("request");
            for (int i = 0; i < 10; ++i)
                const Span row = w->tracer.start_span("read row");
        }
        CHECK(w->names().size() == 50 * 11);
        CHECK(w->told.messages().empty());
    }
}

TEST_CASE("trace guard: many different names are told, and none is left out") {
    sdk::TraceGuard guard(200);
    TraceId trace{{1}};
    auto kind = sdk::TraceGuard::Finding::Kind::kFine;
    for (int i = 0; i < 1'000 && kind == sdk::TraceGuard::Finding::Kind::kFine; ++i)
        kind = guard.count(trace, "GET /users/" + std::to_string(i), 1).kind;
    CHECK(kind == sdk::TraceGuard::Finding::Kind::kTooManyOfMany);
    CHECK_FALSE(guard.forget_idle());
}

TEST_CASE("trace guard: what nobody asks for any more is forgotten") {
    sdk::TraceGuard guard(10);
    const TraceId trace{{1}};
    for (int i = 0; i < 11; ++i)
        guard.count(trace, "row", 1);
    CHECK(guard.is_blocked(trace, "row"));
    CHECK_FALSE(guard.is_blocked(trace, "column"));
    CHECK_FALSE(guard.is_blocked(TraceId{{2}}, "row"));
    CHECK(guard.forget_idle());
    CHECK_FALSE(guard.forget_idle());
    CHECK_FALSE(guard.is_blocked(trace, "row"));
}

TEST_CASE("late calls: what is started after the shutdown, and said to a span that has ended") {
    Watched w(ProviderOptions{});
    SpanHandle handle;
    {
        const ActiveSpan span = w.tracer.start_active("span");
        handle = current_span();
        handle.set_attribute("in", "time");
    }
    handle.set_attribute("too", "late").add_event("too late");
    CHECK(w.provider.stats().late_calls == 2);
    CHECK(w.exporter->spans()[0].attribute("too").empty());
    CHECK(w.tracer.is_enabled());
    w.provider.shutdown(1s);
    CHECK_FALSE(w.tracer.is_enabled());
    const Span late = w.tracer.start_span("late");
    CHECK_FALSE(late.is_recording());
    CHECK(w.provider.stats().late_calls == 3);
}

TEST_CASE("what was lost is told at the shutdown") {
    class Failing final : public SpanExporter {
        ExportResult export_spans(const SpanBatch&, Deadline) noexcept override {
            return ExportResult::failure();
        }
    };
    Told told;
    ProviderOptions options;
    options.processors = {make_simple_processor(std::make_shared<Failing>())};
    options.diagnostic = &Told::tell;
    options.diagnostic_user = &told;
    TracerProvider provider = TracerProvider::create(std::move(options));
    {
        const Span span = provider.get_tracer("test").start_span("span");
    }
    provider.shutdown(1s);
    CHECK(told.is_told("1 of 1 spans were lost"));
    CHECK(told.is_told("1 could not be sent"));
}

TEST_CASE("a diagnostic callback that traces does not call itself") {
    struct Caller {
        Tracer tracer;
        int calls = 0;
        static void tell(std::string_view, void* user) {
            auto* caller = static_cast<Caller*>(user);
            ++caller->calls;
            const Span span = caller->tracer.start_span("from the callback");
            CHECK_FALSE(span.is_recording());
        }
    } caller;
    ProviderOptions options = debug_options();
    options.diagnostic = &Caller::tell;
    options.diagnostic_user = &caller;
    TracerProvider provider = TracerProvider::create(std::move(options));
    caller.tracer = provider.get_tracer("test");
    {
        const ActiveSpan request = caller.tracer.start_active("request", SpanKind::kServer);
        std::thread([&] { const Span lost = caller.tracer.start_span("lost"); }).join();
    }
    provider.shutdown(1s);
    CHECK(caller.calls == 1);
}

TEST_CASE("baggage becomes attributes, of the keys that are wanted") {
    ProviderOptions options;
    options.processors = {
        make_baggage_processor([](std::string_view key) { return key == "tenant"; }),
        make_baggage_processor(std::vector<std::string>{"app.*"})};
    Watched w(std::move(options));
    const Scope scope(Context::current().with_baggage(
        Baggage().set("tenant", "acme").set("app.user", "ann").set("secret", "x")));
    {
        const Span span = w.tracer.start_span("span", {{"own", 1}});
    }
    const FinishedSpan span = w.exporter->spans().at(0);
    CHECK(span.attribute("tenant") == "\"acme\"");
    CHECK(span.attribute("app.user") == "\"ann\"");
    CHECK(span.attribute("secret").empty());
    CHECK(span.attribute("own") == "1");
}

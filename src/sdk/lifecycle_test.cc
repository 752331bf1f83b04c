// Beginning, end and everything that can go wrong between: deadlines, floods, forks, signals,
// threads and programs that end.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "otlp/view.h"
#include "sdk/batch_drain.h"
#include "sdk/provider_core.h"
#include "sdk/system_source.h"
#include "sdk/tick_clock.h"
#include "spanloom/in_memory_exporter.h"
#include "spanloom/init.h"
#include "spanloom/otlp_exporter.h"
#include "spanloom/spanloom.h"

using namespace spanloom;
using namespace std::chrono_literals;

namespace {

using Steady = std::chrono::steady_clock;

// Stands in every call until it is opened, as an exporter does whose network is gone and whose
// author thought of no deadline.
class StuckExporter final : public SpanExporter {
  public:
    ExportResult export_spans(const SpanBatch&, Deadline) noexcept override {
        stand();
        return ExportResult::success();
    }
    bool force_flush(Deadline) noexcept override { return stand(); }
    bool shutdown(Deadline) noexcept override { return stand(); }

    void open() {
        const std::lock_guard lock(mutex_);
        is_open_ = true;
        opened_.notify_all();
    }
    void wait_for_call() {
        std::unique_lock lock(mutex_);
        called_.wait(lock, [&] { return calls_ != 0; });
    }

  private:
    bool stand() noexcept {
        std::unique_lock lock(mutex_);
        ++calls_;
        called_.notify_all();
        opened_.wait(lock, [&] { return is_open_; });
        return true;
    }

    std::mutex mutex_;
    std::condition_variable opened_;
    std::condition_variable called_;
    bool is_open_ = false;
    int calls_ = 0;
};

class StuckProcessor final : public SpanProcessor {
  public:
    explicit StuckProcessor(std::shared_ptr<StuckExporter> exporter)
        : exporter_(std::move(exporter)) {}
    bool force_flush(Deadline deadline) noexcept override {
        return exporter_->force_flush(deadline);
    }
    bool shutdown(Deadline deadline) noexcept override { return exporter_->shutdown(deadline); }

  private:
    std::shared_ptr<StuckExporter> exporter_;
};

// Silent: these tests lose spans on purpose.
ProviderOptions silent(std::vector<std::shared_ptr<SpanProcessor>> processors) {
    ProviderOptions options;
    options.processors = std::move(processors);
    options.diagnostic = [](std::string_view, void*) {};
    return options;
}

// Counts what it gets.
class CountingExporter final : public SpanExporter {
  public:
    ExportResult export_spans(const SpanBatch& batch, Deadline) noexcept override {
        const std::lock_guard lock(mutex_);
        sizes_.push_back(batch.span_count);
        total_ += batch.span_count;
        return ExportResult::success();
    }
    uint64_t total() const {
        const std::lock_guard lock(mutex_);
        return total_;
    }
    std::vector<size_t> sizes() const {
        const std::lock_guard lock(mutex_);
        return sizes_;
    }

  private:
    mutable std::mutex mutex_;
    std::vector<size_t> sizes_;
    uint64_t total_ = 0;
};

uint64_t dropped(const ProcessorStats& stats) {
    return stats.dropped_queue_full + stats.dropped_after_shutdown + stats.dropped_at_shutdown +
           stats.dropped_too_big;
}

}  // namespace

// ---- deadlines

TEST_CASE("shutdown and flush return by the deadline whatever an exporter does") {
    const auto exporter = std::make_shared<StuckExporter>();
    std::shared_ptr<SpanProcessor> processor;
    bool has_span = true;
    SUBCASE("a batch processor that exports") {
        processor = make_batch_processor(exporter);
    }
    SUBCASE("a batch processor that has seen no span") {
        processor = make_batch_processor(exporter);
        has_span = false;
    }
    SUBCASE("a simple processor") {
        processor = make_simple_processor(exporter);
        has_span = false;
    }
    SUBCASE("a processor of the program's own") {
        processor = std::make_shared<StuckProcessor>(exporter);
    }
    SUBCASE("a multi processor") {
        processor = make_multi_processor({make_batch_processor(exporter)});
    }
    const auto healthy = std::make_shared<CountingExporter>();
    TracerProvider provider =
        TracerProvider::create(silent({processor, make_batch_processor(healthy)}));
    if (has_span) provider.get_tracer("test").start_span("span").end();
    const auto begin = Steady::now();
    if (has_span) CHECK_FALSE(provider.force_flush(100ms));
    CHECK_FALSE(provider.shutdown(100ms));
    const auto took = Steady::now() - begin;
    CHECK(took >= (has_span ? 200ms : 100ms));
    CHECK(took < 5s);  // it returned; a busy machine may take a while to say so
    // The other one had all of the time.
    CHECK(healthy->total() == (has_span ? 1 : 0));
    exporter->open();
}

TEST_CASE("a simple processor whose exporter is stuck in an export is left at the deadline") {
    const auto exporter = std::make_shared<StuckExporter>();
    TracerProvider provider = TracerProvider::create(silent({make_simple_processor(exporter)}));
    std::thread caller([&] { const Span span = provider.get_tracer("test").start_span("span"); });
    exporter->wait_for_call();
    CHECK_FALSE(provider.force_flush(50ms));
    CHECK(provider.stats().processors.received == 1);
    CHECK_FALSE(provider.shutdown(50ms));
    exporter->open();
    caller.join();
}

TEST_CASE("what an abandoned export takes later does not count twice") {
    const auto exporter = std::make_shared<StuckExporter>();
    TracerProvider provider = TracerProvider::create(silent({make_batch_processor(exporter)}));
    for (int i = 0; i < 700; ++i)
        const Span span = provider.get_tracer("test").start_span("span");
    CHECK_FALSE(provider.shutdown(50ms));
    exporter->open();
    const ProcessorStats stats = provider.stats().processors;
    CHECK(stats.received == 700);
    CHECK(stats.dropped_at_shutdown == 700);
    CHECK(stats.exported == 0);
}

// ---- the batch processor's knobs, turn by turn

namespace {

struct Turns {
    std::shared_ptr<CountingExporter> exporter = std::make_shared<CountingExporter>();
    // Lives on, as every provider's core does: what looks after forks knows them all.
    detail::ProviderCore& provider = *new detail::ProviderCore(ProviderOptions{});
    detail::TracerCore tracer;
    std::shared_ptr<sdk::BatchDrain> drain;
    uint64_t now_ns = sdk::system_ns(CLOCK_MONOTONIC);

    explicit Turns(const BatchOptions& options)
        : drain(std::make_shared<sdk::BatchDrain>(exporter, options, false)) {
        tracer.provider = &provider;
        tracer.source.resource = &provider.options.resource;
    }
    void add(int count, size_t bytes = 100) {
        const std::string message(bytes, 'x');
        for (int i = 0; i < count; ++i)
            drain->add(&tracer, message);
    }
    sdk::BatchDrain::Nap turn() { return drain->turn(now_ns); }
};

}  // namespace

TEST_CASE("batch: what is there goes out when the delay is over, and not before") {
    Turns turns({.schedule_delay = 5s});
    turns.add(3);
    sdk::BatchDrain::Nap nap = turns.turn();
    CHECK(turns.exporter->sizes().empty());
    CHECK(nap.is_listening);
    while (turns.exporter->total() == 0 && nap.until_ns > turns.now_ns) {
        turns.now_ns = nap.until_ns;
        nap = turns.turn();
    }
    CHECK(turns.exporter->sizes() == std::vector<size_t>{3});
    const uint64_t waited_ns = turns.now_ns - sdk::system_ns(CLOCK_MONOTONIC);
    CHECK(waited_ns < 5'000'000'000);
    CHECK(waited_ns > 4'000'000'000);
}

TEST_CASE("batch: a full batch wakes the thread, and goes out at once") {
    Turns turns({.export_batch_max = 4});  // so few are told one by one
    turns.turn();
    turns.add(3);
    CHECK_FALSE(turns.drain->is_woken());
    turns.add(1);
    CHECK(turns.drain->is_woken());
    turns.add(3);
    turns.turn();
    CHECK(turns.exporter->sizes() == std::vector<size_t>{4});
}

TEST_CASE("batch: at half of the budget the thread is woken though it works") {
    Turns turns({.export_batch_max = 100'000, .queue_bytes_max = 1U << 20});
    turns.turn();
    turns.add(3'500, 112);  // 128 bytes each, in chunks of 32 KiB
    CHECK_FALSE(turns.drain->is_woken());
    turns.add(1'500, 112);
    CHECK(turns.drain->is_woken());
    turns.turn();
    CHECK(turns.exporter->total() == 5'000);  // though no batch was full
}

TEST_CASE("batch: beyond the budget in bytes spans are dropped and counted, one by one") {
    Turns turns({.export_batch_max = 100'000, .queue_bytes_max = 256U << 10});
    turns.add(5'000, 112);
    const ProcessorStats full = turns.drain->stats();
    CHECK(full.queue_bytes <= full.queue_bytes_max);
    CHECK(full.dropped_queue_full > 2'500);
    CHECK(full.received == 5'000);
    CHECK(full.queued + full.dropped_queue_full == 5'000);
    turns.turn();
    turns.turn();
    CHECK(turns.exporter->total() == full.queued);
    turns.add(100, 112);  // there is room again
    CHECK(turns.drain->stats().dropped_queue_full == full.dropped_queue_full);
}

TEST_CASE("batch: a limit in spans holds exactly, and a span beyond the whole budget is too big") {
    Turns turns({.export_batch_max = 512, .queue_spans_max = 50, .queue_bytes_max = 64U << 10});
    turns.add(80);
    turns.add(1, 100'000);
    const ProcessorStats stats = turns.drain->stats();
    CHECK(stats.queued == 50);
    CHECK(stats.dropped_queue_full + stats.dropped_too_big == 31);
    turns.turn();
    CHECK(turns.exporter->total() == 50);
    turns.add(1, 100'000);
    CHECK(turns.drain->stats().dropped_too_big == 1);
    turns.add(50);
    CHECK(turns.drain->stats().queued == 50);
}

// ---- counts

TEST_CASE("flooded: started = exported + dropped by reason, to the last span") {
    for (const int threads : {1, 4}) {
        CAPTURE(threads);
        class Slow final : public SpanExporter {
          public:
            ExportResult export_spans(const SpanBatch& batch, Deadline) noexcept override {
                std::unique_lock lock(mutex);
                total += batch.span_count;
                // One export outlasts the flood, whatever the machine: the queue gets full.
                if (++calls == 10) over.wait(lock, [&] { return is_over; });
                return calls % 5 == 0 ? ExportResult::failure() : ExportResult::success(1);
            }
            std::mutex mutex;
            std::condition_variable over;
            bool is_over = false;
            uint64_t total = 0;
            uint64_t calls = 0;
        };
        const auto exporter = std::make_shared<Slow>();
        TracerProvider provider = TracerProvider::create(silent({make_batch_processor(
            exporter, {.export_batch_max = 64, .queue_bytes_max = 256U << 10})}));
        const Tracer tracer = provider.get_tracer("test");
        constexpr int kSpans = 20'000;
        std::vector<std::thread> running;
        for (int t = 0; t < threads; ++t) {
            running.emplace_back([&] {
                for (int i = 0; i < kSpans; ++i)
                    const Span span =
                        tracer.start_span("flood", {{"i", i}, {"text", "some of it"}});
            });
        }
        for (std::thread& thread : running)
            thread.join();
        {
            const std::lock_guard lock(exporter->mutex);
            exporter->is_over = true;
            exporter->over.notify_all();
        }
        CHECK_FALSE(provider.shutdown(60s));  // some exports failed
        const ProviderStats stats = provider.stats();
        const ProcessorStats& p = stats.processors;
        CHECK(stats.started == static_cast<uint64_t>(threads) * kSpans);
        CHECK(stats.ended == stats.started);
        CHECK(stats.live == 0);
        CHECK(p.received == stats.ended);
        CHECK(p.received == p.exported + p.rejected + p.failed + dropped(p));
        CHECK(p.exported + p.rejected + p.failed == exporter->total);
        CHECK(p.dropped_queue_full > 0);
        CHECK(p.failed > 0);
        CHECK(p.queued == 0);
    }
}

TEST_CASE("threads that end leave nothing behind in their queues") {
    const auto exporter = std::make_shared<InMemoryExporter>();
    TracerProvider provider = TracerProvider::create(silent({make_batch_processor(exporter)}));
    const Tracer tracer = provider.get_tracer("test");
    for (int i = 0; i < 50; ++i)
        std::thread([&] { const Span span = tracer.start_span("of a short thread"); }).join();
    CHECK(provider.force_flush(10s));
    CHECK(exporter->spans().size() == 50);
    CHECK(provider.shutdown(10s));
}

TEST_CASE("the letter box: what other threads say to a span is in it when it ends") {
    const auto exporter = std::make_shared<InMemoryExporter>();
    TracerProvider provider = TracerProvider::create(silent({make_simple_processor(exporter)}));
    {
        const Span span = provider.get_tracer("test").start_span("span");
        const SpanHandle handle = span.handle();
        std::vector<std::thread> writers;
        for (int t = 0; t < 4; ++t) {
            writers.emplace_back([&, t] {
                for (int i = 0; i < 20; ++i)
                    handle.set_attribute("writer." + std::to_string(t), i).add_event("said");
            });
        }
        for (std::thread& writer : writers)
            writer.join();  // each has ended before the span reads its letters
    }
    const FinishedSpan span = exporter->spans().at(0);
    for (int t = 0; t < 4; ++t)
        CHECK(span.attribute("writer." + std::to_string(t)) == "19");
    CHECK(span.events.size() == 80);
    provider.shutdown(1s);
}

TEST_CASE("letters beyond what a box holds are dropped and counted") {
    const auto exporter = std::make_shared<InMemoryExporter>();
    ProviderOptions options = silent({make_simple_processor(exporter)});
    options.limits.events_max = 10'000;
    TracerProvider provider = TracerProvider::create(std::move(options));
    {
        const Span span = provider.get_tracer("test").start_span("span");
        const SpanHandle handle = span.handle();
        for (int i = 0; i < 1'500; ++i)
            handle.add_event("said");
    }
    CHECK(exporter->spans().at(0).events.size() == 1'024);
    CHECK(provider.stats().dropped_letters == 1'500 - 1'024);
    provider.shutdown(1s);
}

TEST_CASE("processors: a multi processor's counts are the sum of its parts'") {
    const auto first = std::make_shared<CountingExporter>();
    const auto second = std::make_shared<CountingExporter>();
    TracerProvider provider = TracerProvider::create(silent(
        {make_multi_processor({make_simple_processor(first), make_batch_processor(second)})}));
    for (int i = 0; i < 3; ++i)
        const Span span = provider.get_tracer("test").start_span("span");
    CHECK(provider.shutdown(10s));
    CHECK(first->total() == 3);
    CHECK(second->total() == 3);
    CHECK(provider.stats().processors.received == 6);
    CHECK(provider.stats().processors.exported == 6);
}

// ---- the process

// TSan stops a program that starts threads after a fork of several.
#if !defined(__SANITIZE_THREAD__)
namespace {

// Writes a line for each span to a pipe, so that another process can read it. Allocates nothing
// that another process might wait for.
class PipeExporter final : public SpanExporter {
  public:
    explicit PipeExporter(int descriptor) : descriptor_(descriptor) {}
    ExportResult export_spans(const SpanBatch& batch, Deadline) noexcept override {
        for (const SpanGroup& group : batch) {
            for (size_t i = 0; i < group.span_count; ++i) {
                const otlp::SpanView span = otlp::SpanView::parse(group.spans[i]);
                std::string line = std::to_string(::getpid());
                line += ' ' + span.span_id.hex() + ' ' + std::string(span.name);
                for (const otlp::AttributeView attribute :
                     otlp::ResourceView::parse(batch.resource).attributes()) {
                    if (attribute.key == "process.pid")
                        line += ' ' + std::to_string(attribute.value.integer);
                    if (attribute.key == "service.instance.id")
                        line += ' ' + std::string(attribute.value.bytes);
                }
                line += '\n';
                if (::write(descriptor_, line.data(), line.size()) < 0)
                    return ExportResult::failure();
            }
        }
        return ExportResult::success();
    }

  private:
    int descriptor_;
};

struct Line {
    std::string process;
    std::string span;
    std::string name;
    std::string process_of_resource;
    std::string instance;
};

std::vector<Line> read_lines(int descriptor) {
    std::string all;
    char buffer[4'096];
    for (ssize_t size = 0; (size = ::read(descriptor, buffer, sizeof buffer)) > 0;)
        all.append(buffer, static_cast<size_t>(size));
    std::vector<Line> lines;
    std::istringstream in(all);
    for (std::string text; std::getline(in, text);) {
        Line& line = lines.emplace_back();
        std::istringstream(text) >> line.process >> line.span >> line.name >>
            line.process_of_resource >> line.instance;
    }
    return lines;
}

struct Pipe {
    Pipe() { REQUIRE(::pipe(ends) == 0); }
    ~Pipe() {
        ::close(ends[0]);
        if (ends[1] >= 0) ::close(ends[1]);
    }
    void close_writer() {
        ::close(ends[1]);
        ends[1] = -1;
    }
    int ends[2] = {-1, -1};
};

Resource detected() {
    const sdk::SystemSource source = sdk::SystemSource::of_this_process();
    return sdk::detect_process(source).merge(sdk::detect_service(source));
}

// What a child did: its exit status, or the signal that ended it.
int wait_for(pid_t child) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

TEST_CASE("fork: parent and child both export, each under its own name, no span twice") {
    Pipe pipe;
    const auto exporter = std::make_shared<PipeExporter>(pipe.ends[1]);
    ProviderOptions options;
    SUBCASE("batch") {
        options = silent({make_batch_processor(exporter, {.schedule_delay = 1h})});
    }
    SUBCASE("simple") {
        options = silent({make_simple_processor(exporter)});
    }
    SUBCASE("multi") {
        options = silent({make_multi_processor({make_batch_processor(exporter)})});
    }
    options.resource = detected();
    TracerProvider provider = TracerProvider::create(std::move(options));
    const Tracer tracer = provider.get_tracer("test");
    {
        const Span span = tracer.start_span("before");
    }
    Span inherited = tracer.start_span("inherited");
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(30);  // instead of hanging for ever
        inherited.end();
        {
            const Span span = tracer.start_span("in_child");
        }
        const bool is_counted = provider.stats().started == 1 && provider.stats().live == 0;
        const bool is_sent = provider.shutdown(10s);
        ::_exit(is_sent && is_counted ? 0 : 1);
    }
    CHECK(wait_for(child) == 0);
    {
        const Span span = tracer.start_span("in_parent");
    }
    inherited.end();
    CHECK(provider.shutdown(10s));
    pipe.close_writer();
    const std::vector<Line> lines = read_lines(pipe.ends[0]);
    std::map<std::string, Line> by_name;
    std::set<std::string> ids;
    for (const Line& line : lines) {
        by_name[line.name] = line;
        ids.insert(line.span);
        CHECK(line.process == line.process_of_resource);
    }
    REQUIRE(lines.size() == 4);
    CHECK(ids.size() == 4);
    const std::string parent = std::to_string(::getpid());
    CHECK(by_name["before"].process == parent);
    CHECK(by_name["inherited"].process == parent);
    CHECK(by_name["in_parent"].process == parent);
    CHECK(by_name["in_child"].process == std::to_string(child));
    CHECK(by_name["in_child"].instance != by_name["in_parent"].instance);
    CHECK(by_name["before"].instance == by_name["in_parent"].instance);
}

TEST_CASE("fork: a service's instance that was given stays as it is") {
    Resource resource = detected();
    resource.set("service.instance.id", "given");
    const std::string before = resource.find("process.pid")->value;
    sdk::SystemSource source = sdk::SystemSource::of_this_process();
    source.process_id += 1;
    sdk::renew_identity(resource, source);
    CHECK(resource.find("service.instance.id")->text() == "given");
    CHECK(resource.find("process.pid")->value != before);
}

// ASan's own allocator has locks that a child of a busy program may find taken.
#if !defined(__SANITIZE_ADDRESS__)
TEST_CASE("fork: in the middle of everything, children find no lock taken") {
    TracerProvider provider = TracerProvider::create(
        silent({make_batch_processor(make_null_exporter(), {.schedule_delay = 1ms}),
                make_simple_processor(make_null_exporter())}));
    std::atomic<bool> is_over = false;
    std::vector<std::thread> busy;
    for (int t = 0; t < 2; ++t) {
        busy.emplace_back([&] {
            for (int i = 0; !is_over; ++i) {
                const Tracer tracer = provider.get_tracer("tracer " + std::to_string(i % 100));
                const ActiveSpan span = tracer.start_active("busy");
                TracerProvider::global().get_tracer("global " + std::to_string(i % 100));
                sdk::tick_clock.calibrate();
                (void)provider.stats();
            }
        });
    }
    for (int i = 0; i < 50; ++i) {
        const pid_t child = ::fork();
        if (child == 0) {
            ::alarm(30);  // instead of hanging for ever
            {
                const Span span = provider.get_tracer("child").start_span("in child");
            }
            TracerProvider::global().get_tracer("child");
            sdk::tick_clock.calibrate();
            ::_exit(provider.shutdown(10s) && provider.stats().processors.exported == 2 ? 0 : 1);
        }
        REQUIRE(wait_for(child) == 0);
    }
    is_over = true;
    for (std::thread& thread : busy)
        thread.join();
    provider.shutdown(10s);
}
#endif

namespace {

// Set up and used by children; destroyed after their main, as any global.
void use_global_telemetry(int descriptor, bool flush_on_signals) {
    static Telemetry telemetry;
    InitOptions options;
    options.exporter = std::make_shared<PipeExporter>(descriptor);
    options.batch = BatchOptions{.schedule_delay = 1h};
    options.flush_on_signals = flush_on_signals;
    telemetry = init(std::move(options));
    const Span span = get_tracer("test").start_span("last_words");
}

}  // namespace

TEST_CASE("static destruction: a global telemetry delivers after main") {
    Pipe pipe;
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(30);
        use_global_telemetry(pipe.ends[1], false);
        std::exit(0);
    }
    pipe.close_writer();
    const std::vector<Line> lines = read_lines(pipe.ends[0]);
    wait_for(child);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].name == "last_words");
}

TEST_CASE("a process that SIGTERM ends delivers, and dies of it; so does its forked child") {
    Pipe pipe;
    Pipe ready;
    const pid_t parent = ::fork();
    if (parent == 0) {
        ::alarm(30);
        std::signal(SIGTERM, SIG_DFL);  // the test framework's own
        use_global_telemetry(pipe.ends[1], true);
        const pid_t child = ::fork();
        if (child == 0) {
            ::alarm(30);
            const Span span = get_tracer("test").start_span("of_child");
            // While it has recorded nothing since the fork the signal would simply end it.
        }
        const std::string pid = std::to_string(::getpid()) + " s n\n";
        if (::write(ready.ends[1], pid.data(), pid.size()) < 0) ::_exit(1);
        if (child != 0) {
            int status = 0;
            ::waitpid(child, &status, 0);
            const bool is_child_terminated = WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
            // The child's signal is not the parent's: it lives on, and gets its own.
            if (!is_child_terminated) ::_exit(2);
            ::kill(::getpid(), SIGTERM);
        }
        for (;;)
            ::pause();
    }
    ready.close_writer();
    pipe.close_writer();
    char text[64] = "";
    std::string both;
    while (std::count(both.begin(), both.end(), '\n') < 2) {
        const ssize_t size = ::read(ready.ends[0], text, sizeof text);
        if (size <= 0) break;
        both.append(text, static_cast<size_t>(size));
    }
    std::istringstream in(both);
    std::string a;
    std::string skipped;
    std::string b;
    in >> a >> skipped >> skipped >> b;
    const pid_t child = std::stoi(a) == parent ? std::stoi(b) : std::stoi(a);
    ::kill(child, SIGTERM);
    CHECK(wait_for(parent) == -SIGTERM);
    std::multiset<std::string> names;
    for (const Line& line : read_lines(pipe.ends[0]))
        names.insert(line.process == std::to_string(parent) ? line.name : "child:" + line.name);
    CHECK(names == std::multiset<std::string>{"last_words", "child:of_child"});
}
#endif

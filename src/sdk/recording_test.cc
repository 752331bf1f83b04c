// What is recorded, byte by byte: limits, scopes in wrong order, random spans read back, memory.
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <unistd.h>

#include "base/json_writer.h"
#include "base/random.h"
#include "sdk/remote_sampler.h"
#include "send/test_server.h"
#include "spanloom/in_memory_exporter.h"
#include "spanloom/spanloom.h"
#include "test/sdk/recorded_spans.h"

using namespace spanloom;
using spanloom::test::RecordedSpans;

namespace {

struct Limited {
    std::shared_ptr<InMemoryExporter> exporter = std::make_shared<InMemoryExporter>();
    TracerProvider provider;
    Tracer tracer;

    explicit Limited(const SpanLimits& limits) {
        ProviderOptions options;
        options.limits = limits;
        options.processors = {make_simple_processor(exporter)};
        provider = TracerProvider::create(std::move(options));
        tracer = provider.get_tracer("test");
    }
    ~Limited() { provider.shutdown(Duration::from_ms(1'000)); }
    FinishedSpan only() const {
        REQUIRE(exporter->spans().size() == 1);
        return exporter->spans()[0];
    }
};

}  // namespace

// ---- limits

TEST_CASE("limits: attributes beyond the count are left out and counted; old keys can be changed") {
    Limited limited({.attributes_max = 3});
    {
        Span span = limited.tracer.start_span("span", {{"a", 1}, {"b", 2}});
        span.set_attribute("c", 3).set_attribute("d", 4).set_attribute("a", 5);
        span.set_attribute("e", "text");
    }
    const FinishedSpan span = limited.only();
    CHECK(span.attributes.size() == 3);
    CHECK(span.attribute("a") == "5");
    CHECK(span.attribute("d").empty());
    CHECK(span.dropped_attributes == 2);
}

TEST_CASE("limits: events and links beyond the count are left out and counted") {
    Limited limited({.events_max = 2, .links_max = 1});
    {
        Span span = limited.tracer.start_span("span");
        const Span other = limited.tracer.start_span("other", {.parent = Context::root()});
        for (const char* name : {"first", "second", "third"})
            span.add_event(name);
        for (int i = 0; i < 4; ++i)
            span.add_link(other.context());
        span.end();
        CHECK(limited.only().events.size() == 2);
        CHECK(limited.only().events[1].name == "second");
        CHECK(limited.only().dropped_events == 1);
        CHECK(limited.only().links.size() == 1);
        CHECK(limited.only().links[0].span_id == other.context().span_id().hex());
        CHECK(limited.only().dropped_links == 3);
    }
}

TEST_CASE("limits: attributes of events and links have their own counts") {
    Limited limited({.event_attributes_max = 1, .link_attributes_max = 2});
    {
        Span span = limited.tracer.start_span("span");
        span.add_event("event", {{"a", 1}, {"b", 2}, {"c", 3}});
        span.add_link(span.context(), {{"a", 1}, {"b", 2}, {"c", 3}});
    }
    const FinishedSpan span = limited.only();
    CHECK(span.events[0].attributes.size() == 1);
    CHECK(span.events[0].dropped_attributes == 2);
    CHECK(span.links[0].attributes.size() == 2);
    CHECK(span.links[0].dropped_attributes == 1);
}

TEST_CASE("limits: values are cut by characters, in arrays too, and never in the middle of one") {
    Limited limited({.value_characters_max = 4});
    {
        Span span = limited.tracer.start_span("a long name stays whole");
        span.set_attribute("text", "abcdefgh");
        span.set_attribute("fits", "abcd");
        span.set_attribute("umlauts", "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4");
        span.set_attribute("list", std::vector<std::string>{"abcdefgh", "x"});
        span.set_attribute("number", 123456789);
        span.add_event("event", {{"text", "abcdefgh"}});
    }
    const FinishedSpan span = limited.only();
    CHECK(span.name == "a long name stays whole");
    CHECK(span.attribute("text") == "\"abcd\"");
    CHECK(span.attribute("fits") == "\"abcd\"");
    CHECK(span.attribute("umlauts") == "\"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\"");
    CHECK(span.attribute("list") == "[\"abcd\",\"x\"]");
    CHECK(span.attribute("number") == "123456789");
    CHECK(span.events[0].attributes[0].second == "\"abcd\"");
}

TEST_CASE("limits: a span never grows beyond its bytes; what does not fit is counted") {
    Limited limited({.span_bytes_max = 4'096});
    {
        Span span = limited.tracer.start_span("span");
        span.set_attribute("too large", std::string(10'000, 'x'));
        for (int i = 0; i < 100; ++i)
            span.set_attribute("key " + std::to_string(i), std::string(100, 'x'));
        span.add_event(std::string(10'000, 'e'));
        span.set_attribute("small", 1);
    }
    const FinishedSpan span = limited.only();
    CHECK(span.message.size() < 4'096 + 64);
    CHECK(span.attributes.size() + span.dropped_attributes == 102);
    CHECK(span.dropped_attributes > 50);
    CHECK(span.dropped_events == 1);
    CHECK(span.attribute("too large").empty());
}

// ---- scopes

TEST_CASE("scopes that close in the wrong order leave the right context") {
    RecordedSpans spans;
    const auto current = [] { return Context::current().span_context().span_id(); };
    const Span a = spans.tracer.start_span("a");
    const Span b = spans.tracer.start_span("b");
    const Span c = spans.tracer.start_span("c");
    std::optional<Scope> in_a(a);
    std::optional<Scope> in_b(b);
    std::optional<Scope> in_c(c);
    in_a.reset();  // the outermost first
    CHECK(current() == c.context().span_id());
    in_c.reset();
    CHECK(current() == b.context().span_id());
    in_b.reset();
    CHECK(current().is_zero());
}

TEST_CASE("a scope may close twice, be moved, and close on another thread") {
    RecordedSpans spans;
    const auto current = [] { return Context::current().span_context().span_id(); };
    const Span a = spans.tracer.start_span("a");
    Scope scope(a);
    scope.close();
    scope.close();
    CHECK(current().is_zero());
    Scope again(a);
    Scope moved(std::move(again));
    CHECK(current() == a.context().span_id());
    std::thread([&] {
        CHECK(current().is_zero());
        moved.close();
        CHECK(current().is_zero());
    }).join();
    CHECK(current().is_zero());
}

TEST_CASE("a span that was moved from, or has ended, is a safe no-op") {
    RecordedSpans spans;
    Span first = spans.tracer.start_span("first");
    Span second = std::move(first);
    first.set_attribute("a", 1).add_event("x").update_name("y");  // NOLINT(bugprone-use-after-move)
    first.end();
    CHECK_FALSE(first.is_recording());
    second.end();
    second.end();
    second.set_attribute("late", 1).set_status(StatusCode::kError);
    CHECK(spans.all().size() == 1);
    CHECK(spans.last().attributes.empty());
    CHECK(spans.last().status == StatusCode::kUnset);
    CHECK(second.context().is_valid());
}

// ---- random spans come back equal

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// Makes random values and says what they are as JSON. Owns what the values point to.
class RandomValues {
  public:
    explicit RandomValues(uint64_t seed) : random_(seed) {}

    uint64_t below(uint64_t end) { return random_.next() % end; }
    std::string text(size_t max) {
        static constexpr const char* kPieces[] = {
            "a", "order", " ", "\xc3\xa4", "\xe2\x82\xac", "\"", "\xf0\x9f\x98\x80", "0"};
        std::string text;
        for (size_t left = below(max + 1); left != 0; --left)
            text += kPieces[below(std::size(kPieces))];
        return text;
    }
    std::string key() {
        return "key." + std::to_string(below(12)) + (below(3) == 0 ? text(20) : "");
    }
    // The value, and its JSON.
    std::pair<AttributeValue, std::string> value(int depth = 0) {
        std::string out;
        JsonWriter json(out);
        const AttributeValue value = write(json, depth);
        return {value, out};
    }

  private:
    template <typename T>
    T& keep(T object) {
        auto kept = std::make_shared<T>(std::move(object));
        kept_.push_back(kept);
        return *kept;
    }
    AttributeValue write(JsonWriter& json, int depth) {
        switch (below(depth < 2 ? 9 : 5)) {
            case 0: {
                const bool value = below(2) == 1;
                json.boolean(value);
                return value;
            }
            case 1: {
                const auto value = static_cast<int64_t>(random_.next() >> below(64));
                json.number(value);
                return value;
            }
            case 2: {
                const double value =
                    static_cast<double>(static_cast<int64_t>(random_.next())) / 1e6;
                json.number(value);
                return value;
            }
            case 3: {
                const std::string& value = keep(text(80));
                json.string(value);
                return value;
            }
            case 4: {
                const std::string& value = keep(text(3));
                json.string(value);
                return value;
            }
            case 5: {
                auto& values = keep(std::vector<std::string>());
                json.begin_array();
                for (size_t left = below(5); left != 0; --left)
                    json.string(values.emplace_back(text(10)));
                json.end_array();
                return values;
            }
            case 6: {
                auto& values = keep(std::vector<int64_t>());
                json.begin_array();
                for (size_t left = below(5); left != 0; --left)
                    json.number(values.emplace_back(static_cast<int64_t>(random_.next())));
                json.end_array();
                return values;
            }
            case 7: {
                auto& values = keep(std::vector<AttributeValue>());
                json.begin_array();
                for (size_t left = below(4); left != 0; --left)
                    values.push_back(write(json, depth + 1));
                json.end_array();
                return values;
            }
            default: {
                auto& entries = keep(std::vector<Attribute>());
                json.begin_object();
                for (size_t i = 0, count = below(4); i < count; ++i) {
                    const std::string& name = keep("entry" + std::to_string(i));
                    json.key(name);
                    entries.push_back({name, write(json, depth + 1)});
                }
                json.end_object();
                return entries;
            }
        }
    }

    SeededRandom random_;
    std::vector<std::shared_ptr<void>> kept_;
};

// What a span should hold: the last value of a key wins, and stands where it was set last.
void set_expected(Pairs& pairs, const std::string& key, const std::string& json) {
    std::erase_if(pairs, [&](const auto& pair) { return pair.first == key; });
    pairs.emplace_back(key, json);
}

// Random attributes without doubles.
Pairs random_list(RandomValues& random, std::vector<std::string>& keys,
                  std::vector<Attribute>& list) {
    Pairs expected;
    const size_t count = random.below(6);
    keys.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        const auto [value, json] = random.value();
        keys.push_back("of list " + std::to_string(i));
        list.push_back({keys.back(), value});
        expected.emplace_back(keys.back(), json);
    }
    return expected;
}

}  // namespace

TEST_CASE("random spans, encoded in place, read back equal") {
    for (uint64_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        RandomValues random(seed);
        RecordedSpans spans;
        Pairs attributes;
        std::vector<std::pair<std::string, Pairs>> events;
        std::vector<Pairs> links;
        std::string name = random.text(30);
        StatusCode status = StatusCode::kUnset;
        std::string description;
        {
            const Span other = spans.tracer.start_span("other");
            Span span = spans.tracer.start_span(name, SpanKind::kConsumer);
            for (size_t left = random.below(40); left != 0; --left) {
                std::vector<std::string> keys;
                std::vector<Attribute> list;
                switch (random.below(9)) {
                    case 0: {
                        const std::string event = random.text(20);
                        events.emplace_back(event, random_list(random, keys, list));
                        span.add_event(event, list);
                        break;
                    }
                    case 1:
                        links.push_back(random_list(random, keys, list));
                        span.add_link(other.context(), list);
                        break;
                    case 2:
                        name = random.text(60);
                        span.update_name(name);
                        break;
                    case 3:
                        description = random.text(40);
                        status = StatusCode::kError;
                        span.set_status(status, description);
                        break;
                    default: {
                        const std::string key = random.key();
                        const auto [value, json] = random.value();
                        span.set_attribute(key, value);
                        set_expected(attributes, key, json);
                        break;
                    }
                }
            }
            span.end();
        }
        const FinishedSpan span = spans.all().at(0);
        CHECK(span.name == name);
        CHECK(span.kind == SpanKind::kConsumer);
        CHECK(span.status == status);
        CHECK(span.status_description == description);
        CHECK(span.attributes == attributes);
        REQUIRE(span.events.size() == events.size());
        for (size_t i = 0; i < events.size(); ++i) {
            CHECK(span.events[i].name == events[i].first);
            CHECK(span.events[i].attributes == events[i].second);
        }
        REQUIRE(span.links.size() == links.size());
        for (size_t i = 0; i < links.size(); ++i)
            CHECK(span.links[i].attributes == links[i]);
        CHECK(span.dropped_attributes + span.dropped_events + span.dropped_links == 0);
    }
}

// ---- memory

// Counted by ASan's hooks, which see malloc and operator new alike; `./dev bench sdk` counts in the
// release build.
#if defined(__SANITIZE_ADDRESS__)
// sanitizer/allocator_interface.h, which gcc does not bring along.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*,
                                                                             size_t),
                                                         void (*free_hook)(const volatile void*));

namespace {

thread_local bool is_counting = false;
thread_local uint64_t allocations = 0;

void count_allocation(const volatile void*, size_t) {
    if (is_counting) ++allocations;
}
void ignore_free(const volatile void*) {}

}  // namespace

TEST_CASE("a recorded span allocates nothing, once its thread is warm") {
    static const bool is_installed =
        __sanitizer_install_malloc_and_free_hooks(&count_allocation, &ignore_free) != 0;
    REQUIRE(is_installed);
    uint64_t chunks_max = 0;
    ProviderOptions options;
    SUBCASE("up to the processor") {
        options.processors = {make_simple_processor(make_null_exporter())};
    }
    SUBCASE("with the queue, where a chunk of 32 KiB may be had anew after an idle time") {
        options.processors = {make_batch_processor(make_null_exporter())};
        chunks_max = 200 * 600 / (32U << 10) + 1;
    }
    TracerProvider provider = TracerProvider::create(std::move(options));
    const Tracer tracer = provider.get_tracer("test");
    const std::string text(40, 'x');
    const auto record = [&] {
        const ActiveSpan parent = tracer.start_active("parent", SpanKind::kServer);
        Span span = tracer.start_span("child", {{"user.id", text}, {"items", 3}});
        span.set_attribute("a", 1).set_attribute("b", 2.5).set_attribute("c", true);
        span.set_attribute("d", text).set_attribute("a", 2);
        span.add_event("event", {{"attempt", 1}, {"text", text}});
        span.set_status(StatusCode::kError, "no");
    };
    for (int i = 0; i < 1'000; ++i)
        record();
    provider.force_flush(Duration::from_ms(10'000));
    allocations = 0;
    is_counting = true;
    for (int i = 0; i < 200; ++i)
        record();
    is_counting = false;
    CHECK(allocations <= chunks_max);
    allocations = 0;
    is_counting = true;
    delete new int;
    is_counting = false;
    CHECK(allocations == 1);  // the count counts
    provider.shutdown(Duration::from_ms(10'000));
}
#endif

// ---- exporters and samplers against the real thing

TEST_CASE("console: a line of JSON for each span") {
    char path[] = "/tmp/spanloom_console_XXXXXX";
    const int file = ::mkstemp(path);
    REQUIRE(file >= 0);
    std::fflush(stdout);
    const int saved = ::dup(STDOUT_FILENO);
    ::dup2(file, STDOUT_FILENO);
    {
        ProviderOptions options;
        options.processors = {make_simple_processor(make_console_exporter())};
        TracerProvider provider = TracerProvider::create(std::move(options));
        const Tracer tracer = provider.get_tracer("shop");
        const ActiveSpan parent = tracer.start_active("parent", SpanKind::kServer);
        Span child = tracer.start_span("child", {{"user.id", "4815"}});
        child.add_event("paid", {{"method", "card"}});
        child.set_status(StatusCode::kError, "declined");
        child.end();
    }
    std::fflush(stdout);
    ::dup2(saved, STDOUT_FILENO);
    ::close(saved);
    std::string text(4'096, '\0');
    text.resize(static_cast<size_t>(::pread(file, text.data(), text.size(), 0)));
    ::close(file);
    ::unlink(path);
    const size_t end = text.find('\n');
    REQUIRE(end != std::string::npos);
    CHECK(std::count(text.begin(), text.end(), '\n') == 2);
    const std::string child = text.substr(0, end);
    CHECK(child.find(R"({"name":"child","trace_id":")") == 0);
    CHECK(child.find(R"("kind":"internal")") != std::string::npos);
    CHECK(child.find(R"("error":"declined","scope":"shop","attributes":{"user.id":"4815"})") !=
          std::string::npos);
    CHECK(child.find(R"("events":[{"name":"paid",)") != std::string::npos);
    CHECK(text.substr(end + 1).find(R"({"name":"parent")") == 0);
}

TEST_CASE(
    "Jaeger remote: the strategy comes from a real HTTP server, and a bad answer changes none") {
    std::string request;
    send::RawServer server([&, count = 0](int descriptor, const std::atomic<bool>&) mutable {
        char buffer[4'096];
        const ssize_t size = ::recv(descriptor, buffer, sizeof buffer, 0);
        request.assign(buffer, static_cast<size_t>(std::max<ssize_t>(size, 0)));
        const std::string body =
            R"({"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":1}})";
        send::RawServer::write(
            descriptor, ++count == 1
                            ? "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + body
                            : "HTTP/1.1 500 No\r\n\r\nno");
    });
    const SystemClock clock;
    RemoteSamplerOptions options;
    options.endpoint = server.url();
    options.service = "my shop";
    options.initial = make_always_off_sampler();
    sdk::RemoteSampler sampler(options, nullptr, clock, false);
    const Context root;
    const SamplingParameters parameters{
        root, TraceId{{1}}, "span", SpanKind::kServer, AttributeList(), LinkList(), "test"};
    CHECK(sampler.should_sample(parameters).decision == SamplingDecision::kDrop);
    REQUIRE(sampler.poll().has_value());
    CHECK(request.find("GET /sampling?service=my%20shop HTTP/1.") == 0);
    CHECK(sampler.should_sample(parameters).decision == SamplingDecision::kRecordAndSample);
    CHECK_FALSE(sampler.poll().has_value());
    CHECK(sampler.should_sample(parameters).decision == SamplingDecision::kRecordAndSample);
}

TEST_CASE("Jaeger remote: through the provider, polled by a thread that the first span starts") {
    send::RawServer server([](int descriptor, const std::atomic<bool>&) {
        char buffer[4'096];
        (void)::recv(descriptor, buffer, sizeof buffer, 0);
        send::RawServer::write(
            descriptor,
            "HTTP/1.1 200 OK\r\n\r\n"
            R"({"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":1}})");
    });
    ProviderOptions options;
    RemoteSamplerOptions remote;
    remote.endpoint = server.url();
    remote.service = "shop";
    remote.initial = make_always_off_sampler();
    options.sampler = make_jaeger_remote_sampler(remote);
    TracerProvider provider = TracerProvider::create(std::move(options));
    const Tracer tracer = provider.get_tracer("test");
    CHECK(server.connections == 0);
    while (!tracer.start_span("span").is_recording())
        std::this_thread::yield();  // until the answer is there
    CHECK(server.connections == 1);
    provider.shutdown(Duration::from_ms(1'000));
}

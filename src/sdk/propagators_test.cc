#include "spanloom/propagators.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "spanloom/carriers.h"

using namespace spanloom;

namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kSpan = "00f067aa0ba902b7";
const std::string kParent = "00-" + kTrace + "-" + kSpan + "-01";

Context extract(const TextMapPropagator& propagator, Headers headers) {
    const HeaderList carrier(headers);
    return propagator.extract(Context::root(), carrier);
}
Headers inject(const TextMapPropagator& propagator, const Context& context) {
    Headers headers;
    HeaderList carrier(headers);
    propagator.inject(context, carrier);
    return headers;
}
// "trace-span-flags tracestate"; "" where nothing came.
std::string shown(const Context& context) {
    const SpanContext& span = context.span_context();
    if (!span.is_valid()) return "";
    CHECK(span.is_remote());
    std::string text = span.trace_id().hex() + "-" + span.span_id().hex() + "-" +
                       (span.is_sampled() ? "s" : "") + (span.flags().is_random() ? "r" : "");
    if (!span.trace_state().empty()) text += " " + std::string(span.trace_state().text());
    return text;
}
std::string shown(const Baggage& baggage) {
    std::string text;
    baggage.for_each([&text](const Baggage::Entry& entry) {
        if (!text.empty()) text += "|";
        text += std::string(entry.key) + "=" + std::string(entry.value);
        if (!entry.metadata.empty()) text += ";" + std::string(entry.metadata);
    });
    return text;
}
std::string members(int count, const char* prefix = "k") {
    std::string text;
    for (int i = 0; i < count; ++i) {
        if (i > 0) text += ',';
        text += prefix + std::to_string(i) + "=v";
    }
    return text;
}

}  // namespace

TEST_CASE("W3C trace context: headers as they come") {
    const auto w3c = make_trace_context_propagator();
    const std::string plain = kTrace + "-" + kSpan + "-s";
    struct Case {
        const char* what;
        Headers headers;
        std::string expected;
    };
    const Case cases[] = {
        {"nothing", {}, ""},
        {"alone", {{"traceparent", kParent}}, plain},
        {"in any case", {{"TraceParent", kParent}, {"TRACESTATE", "a=1"}}, plain + " a=1"},
        {"twice", {{"traceparent", kParent}, {"traceparent", kParent}}, ""},
        {"twice, in two cases", {{"traceparent", kParent}, {"Traceparent", kParent}}, ""},
        {"wrong name", {{"trace-parent", kParent}}, ""},
        {"state alone", {{"tracestate", "a=1"}}, ""},
        {"bad parent, good state", {{"traceparent", "00-x"}, {"tracestate", "a=1"}}, ""},
        {"random",
         {{"traceparent", "00-" + kTrace + "-" + kSpan + "-02"}},
         kTrace + "-" + kSpan + "-r"},
        {"state in several headers",
         {{"traceparent", kParent}, {"tracestate", "a=1,b=2"}, {"tracestate", "c=3"}},
         plain + " a=1,b=2,c=3"},
        {"empty headers among them",
         {{"traceparent", kParent}, {"tracestate", ""}, {"tracestate", "a=1"}, {"tracestate", ""}},
         plain + " a=1"},
        {"blanks",
         {{"traceparent", kParent}, {"tracestate", " \ta=1 \t,\t b=2 ,,"}},
         plain + " a=1,b=2"},
        {"a bad member spoils the state, not the parent",
         {{"traceparent", kParent}, {"tracestate", "a=1,B=2"}},
         plain},
        {"32 members",
         {{"traceparent", kParent}, {"tracestate", members(32)}},
         plain + " " + members(32)},
        {"33 members", {{"traceparent", kParent}, {"tracestate", members(33)}}, plain},
        {"33 members over headers",
         {{"traceparent", kParent}, {"tracestate", members(32)}, {"tracestate", "x=1"}},
         plain},
        {"a value with '='", {{"traceparent", kParent}, {"tracestate", "a=b=c"}}, plain},
        {"an empty value", {{"traceparent", kParent}, {"tracestate", "a=,b=1"}}, plain},
        {"a key that starts with '@'",
         {{"traceparent", kParent}, {"tracestate", "@a=1,b=1"}},
         plain},
        {"keys with '@'",
         {{"traceparent", kParent}, {"tracestate", "a@=1,b@c@d=1,1e@f=2"}},
         plain + " a@=1,b@c@d=1,1e@f=2"},
        {"a key of 256",
         {{"traceparent", kParent}, {"tracestate", std::string(256, 'z') + "=1"}},
         plain + " " + std::string(256, 'z') + "=1"},
        {"a key of 257",
         {{"traceparent", kParent}, {"tracestate", "a=1," + std::string(257, 'z') + "=1"}},
         plain},
        {"a value of 256",
         {{"traceparent", kParent}, {"tracestate", "a=" + std::string(256, 'z')}},
         plain + " a=" + std::string(256, 'z')},
        {"a value of 257",
         {{"traceparent", kParent}, {"tracestate", "a=" + std::string(257, 'z')}},
         plain},
        {"a state without end",
         {{"traceparent", kParent},
          {"tracestate", "a=1"},
          {"tracestate", std::string(100'000, ',')}},
         plain},
    };
    for (const Case& c : cases) {
        CAPTURE(c.what);
        CHECK(shown(extract(*w3c, c.headers)) == c.expected);
    }
}

TEST_CASE("W3C trace context: what came goes out") {
    const auto w3c = make_trace_context_propagator();
    const Headers headers = {{"traceparent", "00-" + kTrace + "-" + kSpan + "-03"},
                             {"tracestate", "a=1,b=2"}};
    CHECK(inject(*w3c, extract(*w3c, headers)) == headers);
    CHECK(inject(*w3c, Context::root()).empty());
    CHECK(w3c->fields() == std::vector<std::string>{"traceparent", "tracestate"});
    // What was there is not lost to headers that are malformed.
    const Context before = extract(*w3c, headers);
    Headers bad = {{"traceparent", "00-x"}};
    CHECK(shown(w3c->extract(before, HeaderList(bad))) == shown(before));
}

TEST_CASE("baggage: headers as they come") {
    const auto w3c = make_baggage_propagator();
    struct Case {
        const char* what;
        Headers headers;
        std::string expected;
    };
    const Case cases[] = {
        {"nothing", {}, ""},
        {"one", {{"baggage", "user.id=4815"}}, "user.id=4815"},
        {"several, with blanks", {{"Baggage", " a = 1 ,\tb=2"}}, "a=1|b=2"},
        {"encoded", {{"baggage", "name=Ada%20Lovelace,e=%C3%A9"}}, "name=Ada Lovelace|e=\xc3\xa9"},
        {"not UTF-8", {{"baggage", "a=%ff"}}, "a=\xef\xbf\xbd"},
        {"'=' in a value", {{"baggage", "a=b=c=="}}, "a=b=c=="},
        {"a percent sign that escapes nothing", {{"baggage", "a=50%"}}, "a=50%"},
        {"properties are one text", {{"baggage", "a=1;p1;p2=x , b=2;q"}}, "a=1;p1;p2=x|b=2;q"},
        {"over several headers", {{"baggage", "a=1"}, {"baggage", "b=2"}}, "a=1|b=2"},
        {"the last of equal names", {{"baggage", "a=1,a=2"}}, "a=2"},
        {"an empty value", {{"baggage", "a="}}, "a="},
        {"empty members", {{"baggage", ",a=1,,"}}, "a=1"},
        {"no '='", {{"baggage", "a"}}, ""},
        {"one bad member spoils all", {{"baggage", "a=1,b c=2"}}, ""},
        {"a quote", {{"baggage", "a=\"1\""}}, ""},
        {"a control character", {{"baggage", "a=1\x01"}}, ""},
        {"no name", {{"baggage", "=1"}}, ""},
    };
    for (const Case& c : cases) {
        CAPTURE(c.what);
        CHECK(shown(extract(*w3c, c.headers).baggage()) == c.expected);
    }
}

TEST_CASE("baggage: limits hold for all headers together, and cut whole members") {
    const auto w3c = make_baggage_propagator();
    CHECK(extract(*w3c, {{"baggage", members(64)}}).baggage().size() == 64);
    CHECK(extract(*w3c, {{"baggage", members(181)}}).baggage().size() == 180);
    Headers many;
    for (int i = 0; i < 10; ++i)
        many.emplace_back("baggage", members(100, ("h" + std::to_string(i) + "k").c_str()));
    CHECK(extract(*w3c, many).baggage().size() == 180);

    const std::string half(4000, 'x');
    const Context big = extract(*w3c, {{"baggage", "a=" + half},
                                       {"baggage", "b=" + half},
                                       {"baggage", "c=" + half},
                                       {"baggage", "d=1"}});
    CHECK(big.baggage().size() == 2);
    CHECK(big.baggage().get("b") == half);
    // Just what must be passed on: 8192 bytes.
    CHECK(extract(*w3c, {{"baggage", "a=" + std::string(8190, 'x')}}).baggage().size() == 1);
    CHECK(extract(*w3c, {{"baggage", "a=" + std::string(8191, 'x')}}).baggage().empty());
}

TEST_CASE("baggage: what is written can be read again") {
    const auto w3c = make_baggage_propagator();
    const Baggage baggage = Baggage()
                                .set("plain", "1")
                                .set("text", "a, b; c \"d\" \\ 100% \xc3\xa9\n")
                                .set("meta", "x", "p=1;q")
                                .set("not a token", "left out");
    const Headers headers = inject(*w3c, Context().with_baggage(baggage));
    REQUIRE(headers.size() == 1);
    CHECK(headers[0].first == "baggage");
    CHECK(headers[0].second ==
          "plain=1,text=a%2C%20b%3B%20c%20%22d%22%20%5C%"
          "20100%25%20%C3%A9%0A,meta=x;p=1;q");
    CHECK(extract(*w3c, headers).baggage() == baggage.erase("not a token"));
    CHECK(inject(*w3c, Context::root()).empty());
    const Baggage big = Baggage().set("a", "1").set("b", std::string(9000, 'x')).set("c", "3");
    CHECK(inject(*w3c, Context().with_baggage(big))[0].second == "a=1,c=3");
}

TEST_CASE("B3: single before multiple, debug is kept, the parent is not sent") {
    const auto b3 = make_b3_propagator();
    const auto multi = make_b3_propagator(B3Format::kMultipleHeaders);
    const std::string other = "80f198ee56343ba864fe8b2a57d3eff7";
    const Headers both = {{"b3", kTrace + "-" + kSpan + "-1"},
                          {"X-B3-TraceId", other},
                          {"X-B3-SpanId", kSpan},
                          {"X-B3-Sampled", "1"}};
    CHECK(shown(extract(*b3, both)) == kTrace + "-" + kSpan + "-s");
    CHECK(shown(extract(*multi, both)) == kTrace + "-" + kSpan + "-s");
    CHECK(
        shown(extract(*b3, {{"b3", "broken"}, {"x-b3-traceid", other}, {"x-b3-spanid", kSpan}})) ==
        other + "-" + kSpan + "-");
    CHECK(shown(extract(*b3, {{"b3", "0"}})) == "");
    CHECK(shown(extract(*b3, {{"X-B3-Sampled", "1"}})) == "");

    const Headers debug = {{"b3", kTrace + "-" + kSpan + "-d"}};
    const Context debugged = extract(*b3, debug);
    CHECK(debugged.span_context().is_sampled());
    CHECK(inject(*b3, debugged) == debug);
    CHECK(inject(*multi, debugged) ==
          Headers{{"X-B3-TraceId", kTrace}, {"X-B3-SpanId", kSpan}, {"X-B3-Flags", "1"}});
    CHECK(inject(*multi, extract(*multi, both)) ==
          Headers{{"X-B3-TraceId", kTrace}, {"X-B3-SpanId", kSpan}, {"X-B3-Sampled", "1"}});
    // Other formats have no word for it.
    CHECK(inject(*make_trace_context_propagator(), debugged) == Headers{{"traceparent", kParent}});
    CHECK(b3->fields() == std::vector<std::string>{"b3"});
    CHECK(multi->fields().size() == 4);
}

TEST_CASE("Jaeger: trace and baggage") {
    const auto jaeger = make_jaeger_propagator();
    const Headers headers = {{"uber-trace-id", kTrace + ":" + kSpan + ":0:1"},
                             {"uberctx-user.id", "4815"},
                             {"UberCtx-name", "Ada%20L"},
                             {"uberctx-", "x"},
                             {"other", "y"}};
    const Context context = extract(*jaeger, headers);
    CHECK(shown(context) == kTrace + "-" + kSpan + "-s");
    CHECK(shown(context.baggage()) == "user.id=4815|name=Ada L");
    CHECK(inject(*jaeger, context) == Headers{{"uber-trace-id", kTrace + ":" + kSpan + ":0:1"},
                                              {"uberctx-user.id", "4815"},
                                              {"uberctx-name", "Ada%20L"}});
    CHECK(shown(extract(*jaeger, {{"uberctx-a", "1"}}).baggage()) == "a=1");
    Headers many;
    for (int i = 0; i < 1000; ++i)
        many.emplace_back("uberctx-k" + std::to_string(i), "v");
    CHECK(extract(*jaeger, many).baggage().size() <= 180);
}

TEST_CASE("composite: each in turn, the later one wins") {
    const auto both = make_composite_propagator(
        {make_b3_propagator(), make_trace_context_propagator(), make_baggage_propagator()});
    const std::string other = "80f198ee56343ba864fe8b2a57d3eff7";
    CHECK(shown(extract(*both, {{"b3", other + "-" + kSpan + "-1"}})) ==
          other + "-" + kSpan + "-s");
    CHECK(shown(extract(*both, {{"b3", other + "-" + kSpan + "-1"}, {"traceparent", kParent}})) ==
          kTrace + "-" + kSpan + "-s");
    const Context context = extract(*both, {{"traceparent", kParent}, {"baggage", "a=1"}});
    CHECK(inject(*both, context) == Headers{{"b3", kTrace + "-" + kSpan + "-1"},
                                            {"traceparent", kParent},
                                            {"baggage", "a=1"}});
    CHECK(both->fields() == std::vector<std::string>{"b3", "traceparent", "tracestate", "baggage"});
}

TEST_CASE("without being told otherwise, W3C trace context and baggage") {
    const Context context =
        extract(global_propagator(), {{"traceparent", kParent}, {"baggage", "a=1"}});
    CHECK(shown(context) == kTrace + "-" + kSpan + "-s");
    CHECK(shown(context.baggage()) == "a=1");
}

TEST_CASE("carriers of other shapes") {
    const auto w3c = make_trace_context_propagator();
    std::map<std::string, std::string> map = {{"traceparent", kParent}};
    HeaderList carrier(map);
    const Context context = w3c->extract(Context::root(), carrier);
    CHECK(shown(context) == kTrace + "-" + kSpan + "-s");
    map["traceparent"] = "old";
    w3c->inject(context, carrier);
    CHECK(map["traceparent"] == kParent);

    const std::multimap<std::string, std::string> fixed = {{"Traceparent", kParent}};
    CHECK(shown(w3c->extract(Context::root(), HeaderList(fixed))) == kTrace + "-" + kSpan + "-s");

    const auto getter = make_getter([&fixed](std::string_view name, auto visit) {
        for (const auto& [key, value] : fixed) {
            if (detail::same_name(key, name)) visit(value);
        }
    });
    CHECK(shown(w3c->extract(Context::root(), getter)) == kTrace + "-" + kSpan + "-s");
    std::string written;
    auto setter = make_setter([&written](std::string_view name, std::string_view value) {
        written += std::string(name) + ": " + std::string(value) + "\n";
    });
    w3c->inject(context, setter);
    CHECK(written == "traceparent: " + kParent + "\n");
}

TEST_CASE("the environment carries context to a child process") {
    const auto w3c = make_trace_context_propagator();
    Headers headers = {{"traceparent", kParent}, {"tracestate", "a=1"}};
    const Context context = w3c->extract(Context::root(), HeaderList(headers));
    ChildEnvironment child;
    w3c->inject(context, child);
    make_b3_propagator(B3Format::kMultipleHeaders)->inject(context, child);
    child.set("1st-name", "x");
    child.set("", "y");
    const auto has = [&child](const std::string& variable) {
        const auto& all = child.variables();
        return std::find(all.begin(), all.end(), variable) != all.end();
    };
    CHECK(has("TRACEPARENT=" + kParent));
    CHECK(has("TRACESTATE=a=1"));
    CHECK(has("X_B3_TRACEID=" + kTrace));
    CHECK(has("_1ST_NAME=x"));
    CHECK(has("_=y"));
    REQUIRE(child.data()[child.variables().size()] == nullptr);

    ::setenv("TRACEPARENT", kParent.c_str(), 1);
    ::setenv("traceparent", "not this one", 1);
    const EnvironmentGetter getter;
    CHECK(shown(w3c->extract(Context::root(), getter)) == kTrace + "-" + kSpan + "-s");
    bool is_normal = true;
    getter.for_each_name(
        [&is_normal](std::string_view name) { is_normal = is_normal && name != "traceparent"; });
    CHECK(is_normal);
    ::unsetenv("TRACEPARENT");
    CHECK(shown(w3c->extract(Context::root(), getter)) == "");
    ::unsetenv("traceparent");
}

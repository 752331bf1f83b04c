#include "store/predicate.h"

#include <algorithm>
#include <functional>

#include <doctest/doctest.h>

#include "store/search.h"
#include "store/test_spans.h"

using namespace spanloom;
using namespace spanloom::store;

namespace {

using Write = std::function<void(otlp::WireWriter&)>;

Write text(std::string value) {
    return [value](otlp::WireWriter& out) { out.bytes_field(1, value); };
}
Write boolean(bool value) {
    return [value](otlp::WireWriter& out) { out.varint_field(2, value ? 1 : 0); };
}
Write integer(int64_t value) {
    return [value](otlp::WireWriter& out) { out.varint_field(3, static_cast<uint64_t>(value)); };
}
Write real(double value) {
    return [value](otlp::WireWriter& out) { out.double_field(4, value); };
}
Write array(std::vector<Write> items) {
    return [items](otlp::WireWriter& out) {
        const size_t list = out.begin(5);
        for (const Write& item : items) {
            const size_t mark = out.begin(1);
            item(out);
            out.end(mark);
        }
        out.end(list);
    };
}
void attribute(otlp::WireWriter& out, uint32_t field, const std::string& key, const Write& value) {
    const size_t mark = out.begin(field);
    out.bytes_field(1, key);
    const size_t inner = out.begin(2);
    value(out);
    out.end(inner);
    out.end(mark);
}
Write event(std::string name, uint64_t time,
            std::vector<std::pair<std::string, Write>> attributes) {
    return [=](otlp::WireWriter& out) {
        const size_t mark = out.begin(11);
        out.fixed64_field(1, time);
        out.bytes_field(2, name);
        for (const auto& [key, value] : attributes)
            attribute(out, 3, key, value);
        out.end(mark);
    };
}
Write link_to(uint64_t trace, uint64_t span) {
    return [=](otlp::WireWriter& out) {
        const size_t mark = out.begin(13);
        out.bytes_field(1, test_trace_id(trace).view());
        out.bytes_field(2, test_span_id(span).view());
        out.end(mark);
    };
}
Write with(std::string key, Write value) {
    return [=](otlp::WireWriter& out) { attribute(out, 9, key, value); };
}
Write status(uint64_t code, std::string message) {
    return [=](otlp::WireWriter& out) {
        const size_t mark = out.begin(15);
        if (!message.empty()) out.bytes_field(2, message);
        out.varint_field(3, code);
        out.end(mark);
    };
}
Write parent(uint64_t span) {
    return [=](otlp::WireWriter& out) { out.bytes_field(4, test_span_id(span).view()); };
}

// Spans of two resources: 1 to 4 of "cart" (region and level on the resource), 5 to 8 of "db".
std::string request() {
    std::string bytes;
    otlp::WireWriter out(bytes);
    const auto span = [&](uint64_t number, std::string name, uint64_t kind, uint64_t duration,
                          std::vector<Write> parts) {
        const size_t mark = out.begin(2);
        out.bytes_field(1, test_trace_id(1).view());
        out.bytes_field(2, test_span_id(number).view());
        out.bytes_field(5, name);
        if (kind != 0) out.varint_field(6, kind);
        out.fixed64_field(7, 1000 + number);
        out.fixed64_field(8, 1000 + number + duration);
        for (const Write& part : parts)
            part(out);
        out.end(mark);
    };
    const size_t cart = out.begin(1);
    const size_t cart_resource = out.begin(1);
    attribute(out, 1, "service.name", text("cart"));
    attribute(out, 1, "region", text("eu"));
    attribute(out, 1, "level", integer(3));
    out.end(cart_resource);
    const size_t cart_scope = out.begin(2);
    const size_t lib = out.begin(1);
    out.bytes_field(1, "lib.grpc");
    out.bytes_field(2, "1.2");
    attribute(out, 3, "flavour", text("plain"));
    out.end(lib);
    span(1, "GET /", 2, 10,
         {with("code", integer(200)), with("user", text("anna")), status(2, "boom")});
    span(2, "query", 3, 20,
         {parent(1), with("code", real(200.5)), with("region", text("us")),
          event("exception", 1003, {{"type", text("Timeout")}}),
          event("retry", 1012, {{"type", text("Refused")}})});
    span(3, "", 1, 0, {parent(1), with("code", text("200")), with("flag", boolean(true))});
    span(4, "list", 0, 40,
         {parent(2), with("tags", array({text("red"), text("blue")})),
          with("sizes", array({integer(1), integer(2)})), with("none", array({}))});
    out.end(cart_scope);
    out.end(cart);
    const size_t db = out.begin(1);
    const size_t db_resource = out.begin(1);
    attribute(out, 1, "service.name", text("db"));
    out.end(db_resource);
    const size_t db_scope = out.begin(2);
    span(5, "SELECT", 2, 500, {with("big", integer(9007199254740993)), link_to(7, 70)});
    span(6, "SELECT", 2, 600,
         {with("big", integer(9007199254740992)), with("twice", text("old")),
          with("twice", text("new")), status(1, "")});
    span(7, "INSERT", 4, 700,
         {with("mixed", text("a")), with("mixed", integer(5)), with("user", text("Anna\nB"))});
    span(8, "INSERT", 5, 800,
         {with("mixed", integer(5)), with("mixed", text("a")), with("flavour", text("own")),
          event("exception", 2000, {{"type", text("Refused")}})});
    out.end(db_scope);
    out.end(db);
    return bytes;
}

std::shared_ptr<const Segment> segment_of(uint32_t group_rows) {
    auto batch = otlp::decode(Blob::copy_of(request()));
    SPANLOOM_ASSERT(batch.has_value());
    SegmentBuilder builder({.row_group_rows = group_rows, .zstd_level = 1, .rollup = {}});
    builder.add(*batch);
    auto image = builder.finish();
    SPANLOOM_ASSERT(image.has_value());
    auto segment = Segment::open(std::move(*image));
    SPANLOOM_ASSERT(segment.has_value());
    return *segment;
}

Field span_field(std::string key) {
    return {Scope::kSpan, Intrinsic::kNone, std::move(key)};
}
Field resource(std::string key) {
    return {Scope::kResource, Intrinsic::kNone, std::move(key)};
}
Field any(std::string key) {
    return {Scope::kAny, Intrinsic::kNone, std::move(key)};
}
Field on_event(std::string key) {
    return {Scope::kEvent, Intrinsic::kNone, std::move(key)};
}
Field the(Intrinsic intrinsic) {
    return {Scope::kIntrinsic, intrinsic, {}};
}
Value str(std::string value) {
    return Value::of_string(std::move(value));
}

constexpr auto kEq = Comparison::kEqual;
constexpr auto kNe = Comparison::kNotEqual;
constexpr auto kGt = Comparison::kGreater;
constexpr auto kGe = Comparison::kGreaterEqual;
constexpr auto kLt = Comparison::kLess;
constexpr auto kMatch = Comparison::kMatch;
constexpr auto kNotMatch = Comparison::kNotMatch;
constexpr auto kText = Comparison::kTextEqual;
constexpr auto kPart = Comparison::kTextContains;

Predicate is(Field field, Comparison comparison, Value value) {
    return Predicate::compare(std::move(field), comparison, std::move(value));
}
Predicate exists(Field field) {
    Predicate predicate = Predicate::compare(std::move(field), kEq, Value::nil());
    predicate.kind = Predicate::Kind::kExists;
    return predicate;
}
Predicate absent(Field field) {
    Predicate predicate = exists(std::move(field));
    predicate.kind = Predicate::Kind::kAbsent;
    return predicate;
}
Predicate both(Predicate a, Predicate b) {
    return Predicate::all_of({std::move(a), std::move(b)});
}
Predicate either(Predicate a, Predicate b) {
    return Predicate::any_of({std::move(a), std::move(b)});
}
Predicate no(Predicate a) {
    return Predicate::negation(std::move(a));
}
Predicate nothing() {
    Predicate predicate;
    predicate.kind = Predicate::Kind::kFalse;
    return predicate;
}

// The numbers of the spans found.
std::string found(const std::shared_ptr<const Segment>& segment, const Predicate& where) {
    SearchRequest request;
    request.where = where;
    request.spans_per_trace = 100;
    const std::vector<std::shared_ptr<const Segment>> segments = {segment};
    const auto answer = search(segments, request);
    if (!answer) return answer.error().message;
    std::string out;
    for (const TraceSummary& trace : answer->traces) {
        for (const MatchedSpan& span : trace.matched_spans) {
            out += static_cast<char>('0' + span.span_id.value() - 1);
        }
    }
    return out;
}

struct Case {
    std::string condition;
    Predicate where;
    std::string spans;
};

void check(const std::vector<Case>& cases) {
    for (const uint32_t group_rows : {1U, 3U, 4096U}) {
        const auto segment = segment_of(group_rows);
        for (const Case& one : cases) {
            CAPTURE(one.condition);
            CAPTURE(group_rows);
            CHECK(found(segment, one.where) == one.spans);
        }
    }
}

}  // namespace

TEST_CASE("numbers of all kinds compare with each other, exactly, and with nothing else") {
    check({
        {"span.code = 200", is(span_field("code"), kEq, Value::of_int(200)), "1"},
        {"span.code = 200.0", is(span_field("code"), kEq, Value::of_double(200)), "1"},
        {"span.code = 200ns", is(span_field("code"), kEq, Value::of_duration(200)), "1"},
        {"span.code > 200", is(span_field("code"), kGt, Value::of_int(200)), "2"},
        {"span.code >= 200", is(span_field("code"), kGe, Value::of_int(200)), "12"},
        {"span.code != 200", is(span_field("code"), kNe, Value::of_int(200)), "2"},
        {"span.code = \"200\"", is(span_field("code"), kEq, str("200")), "3"},
        {"span.code != \"x\"", is(span_field("code"), kNe, str("x")), "3"},
        {"span.code >= \"1\"", is(span_field("code"), kGe, str("1")), "3"},
        {"span.big = 2^53 as double", is(span_field("big"), kEq, Value::of_double(0x1p53)), "6"},
        {"span.big > 2^53 as double", is(span_field("big"), kGt, Value::of_double(0x1p53)), "5"},
        {"span.big = 2^53 + 1", is(span_field("big"), kEq, Value::of_int(9007199254740993)), "5"},
        {"span.code < 1e300", is(span_field("code"), kLt, Value::of_double(1e300)), "12"},
        {"span.code text 200", is(span_field("code"), kText, str("200")), "13"},
        {"span.code text 200.5", is(span_field("code"), kText, str("200.5")), "2"},
        {"span.code has 00", is(span_field("code"), kPart, str("00")), "123"},
        {"span.flag = true", is(span_field("flag"), kEq, Value::of_bool(true)), "3"},
        {"span.flag != false", is(span_field("flag"), kNe, Value::of_bool(false)), "3"},
        {"span.flag > false", is(span_field("flag"), kGt, Value::of_bool(false)), ""},
        {"span.flag = 1", is(span_field("flag"), kEq, Value::of_int(1)), ""},
        {"span.flag text true", is(span_field("flag"), kText, str("true")), "3"},
    });
}

TEST_CASE("intrinsics are compared by their own types") {
    check({
        {"duration > 499ns", is(the(Intrinsic::kDuration), kGt, Value::of_duration(499)), "5678"},
        {"duration = 0", is(the(Intrinsic::kDuration), kEq, Value::of_int(0)), "3"},
        {"duration < 15.5", is(the(Intrinsic::kDuration), kLt, Value::of_double(15.5)), "13"},
        {"duration > 1s", is(the(Intrinsic::kDuration), kGt, Value::of_duration(1'000'000'000)),
         ""},
        {"status = error",
         is(the(Intrinsic::kStatus), kEq, Value::of_status(otlp::StatusCode::kError)), "1"},
        {"status != error",
         is(the(Intrinsic::kStatus), kNe, Value::of_status(otlp::StatusCode::kError)), "2345678"},
        {"status = unset",
         is(the(Intrinsic::kStatus), kEq, Value::of_status(otlp::StatusCode::kUnset)), "234578"},
        {"status = 2", is(the(Intrinsic::kStatus), kEq, Value::of_int(2)), ""},
        {"status text error", is(the(Intrinsic::kStatus), kText, str("error")), "1"},
        {"kind = server", is(the(Intrinsic::kKind), kEq, Value::of_kind(otlp::SpanKind::kServer)),
         "156"},
        {"kind = unspecified",
         is(the(Intrinsic::kKind), kEq, Value::of_kind(otlp::SpanKind::kUnspecified)), "4"},
        {"statusMessage = boom", is(the(Intrinsic::kStatusMessage), kEq, str("boom")), "1"},
        {"statusMessage = empty", is(the(Intrinsic::kStatusMessage), kEq, str("")), "2345678"},
        {"statusMessage exists", exists(the(Intrinsic::kStatusMessage)), "1"},
        {"name = SELECT", is(the(Intrinsic::kName), kEq, str("SELECT")), "56"},
        {"name = empty", is(the(Intrinsic::kName), kEq, str("")), "3"},
        {"name =~ S.*|query", is(the(Intrinsic::kName), kMatch, str("S.*|query")), "256"},
        {"name =~ ELEC", is(the(Intrinsic::kName), kMatch, str("ELEC")), ""},
        {"name !~ .*E.*", is(the(Intrinsic::kName), kNotMatch, str(".*E.*")), "234"},
        {"name < M", is(the(Intrinsic::kName), kLt, str("M")), "1378"},
        {"name has select", is(the(Intrinsic::kName), kPart, str("select")), "56"},
        {"id = 4", is(the(Intrinsic::kSpanId), kEq, str(test_span_id(4).hex())), "4"},
        {"parentID = 1", is(the(Intrinsic::kParentId), kEq, str(test_span_id(1).hex())), "23"},
        {"parentID = empty", is(the(Intrinsic::kParentId), kEq, str("")), "15678"},
        {"parentID exists", exists(the(Intrinsic::kParentId)), "234"},
        {"trace:id = 1", is(the(Intrinsic::kTraceId), kEq, str(test_trace_id(1).hex())),
         "12345678"},
        {"trace:id = 2", is(the(Intrinsic::kTraceId), kEq, str(test_trace_id(2).hex())), ""},
        {"trace:id =~ a7.*", is(the(Intrinsic::kTraceId), kMatch, str("a7.*")), "12345678"},
        {"instrumentation:name =~ .*grpc",
         is(the(Intrinsic::kInstrumentationName), kMatch, str(".*grpc")), "1234"},
        {"instrumentation:version = 1.2",
         is(the(Intrinsic::kInstrumentationVersion), kEq, str("1.2")), "1234"},
        {"instrumentation:name = empty", is(the(Intrinsic::kInstrumentationName), kEq, str("")),
         "5678"},
    });
}

TEST_CASE("what is missing makes every comparison false, and a negation of it true") {
    check({
        {"span.user != x", is(span_field("user"), kNe, str("x")), "17"},
        {"!(span.user = x)", no(is(span_field("user"), kEq, str("x"))), "12345678"},
        {"span.user !~ a.*", is(span_field("user"), kNotMatch, str("a.*")), "7"},
        {"span.user =~ (?i)anna.*", is(span_field("user"), kMatch, str("(?i)anna.*")), "17"},
        {"span.user exists", exists(span_field("user")), "17"},
        {"span.user = nil", absent(span_field("user")), "234568"},
        {"span.nowhere exists", exists(span_field("nowhere")), ""},
        {"span.nowhere = nil", absent(span_field("nowhere")), "12345678"},
        {"span.nowhere != x", is(span_field("nowhere"), kNe, str("x")), ""},
        {"everything", Predicate::everything(), "12345678"},
        {"nothing", nothing(), ""},
        {"!nothing", no(nothing()), "12345678"},
        {"all of none", Predicate::all_of({}), "12345678"},
        {"any of none", Predicate::any_of({}), ""},
    });
}

TEST_CASE("without a scope the first place that has the key decides") {
    check({
        {".region = us", is(any("region"), kEq, str("us")), "2"},
        {".region = eu", is(any("region"), kEq, str("eu")), "134"},
        {".region != us", is(any("region"), kNe, str("us")), "134"},
        {"resource.region = eu", is(resource("region"), kEq, str("eu")), "1234"},
        {"span.region = eu", is(span_field("region"), kEq, str("eu")), ""},
        {".region exists", exists(any("region")), "1234"},
        {".region = nil", absent(any("region")), "5678"},
        {"resource.level >= 2.5", is(resource("level"), kGe, Value::of_double(2.5)), "1234"},
        {".flavour = plain", is(any("flavour"), kEq, str("plain")), "1234"},
        {".flavour = own", is(any("flavour"), kEq, str("own")), "8"},
        {".type = Timeout", is(any("type"), kEq, str("Timeout")), "2"},
        {".type = Refused", is(any("type"), kEq, str("Refused")), "28"},
        {".service.name = db", is(any("service.name"), kEq, str("db")), "5678"},
        {".nowhere = nil", absent(any("nowhere")), "12345678"},
    });
}

TEST_CASE("arrays hold where an element does, negations where none does") {
    check({
        {"span.tags = red", is(span_field("tags"), kEq, str("red")), "4"},
        {"span.tags = green", is(span_field("tags"), kEq, str("green")), ""},
        {"span.tags != red", is(span_field("tags"), kNe, str("red")), ""},
        {"span.tags != green", is(span_field("tags"), kNe, str("green")), "4"},
        {"span.tags =~ b.*", is(span_field("tags"), kMatch, str("b.*")), "4"},
        {"span.tags !~ r.*", is(span_field("tags"), kNotMatch, str("r.*")), ""},
        {"span.tags != 1", is(span_field("tags"), kNe, Value::of_int(1)), ""},
        {"span.sizes = 2.0", is(span_field("sizes"), kEq, Value::of_double(2)), "4"},
        {"span.sizes > 1", is(span_field("sizes"), kGt, Value::of_int(1)), ""},
        {"span.none != x", is(span_field("none"), kNe, str("x")), ""},
        {"span.tags text json", is(span_field("tags"), kText, str("[\"red\",\"blue\"]")), "4"},
        {"span.tags text red", is(span_field("tags"), kText, str("red")), "4"},
    });
}

TEST_CASE("of a key that comes twice the last value counts, whatever its type") {
    check({
        {"span.twice = old", is(span_field("twice"), kEq, str("old")), ""},
        {"span.twice = new", is(span_field("twice"), kEq, str("new")), "6"},
        {"span.mixed = a", is(span_field("mixed"), kEq, str("a")), "8"},
        {"span.mixed = 5", is(span_field("mixed"), kEq, Value::of_int(5)), "7"},
    });
}

TEST_CASE("conditions on events below one and hold for the same event") {
    const auto name = [](std::string value) {
        return is(the(Intrinsic::kEventName), kEq, str(std::move(value)));
    };
    const auto type = [](std::string value) {
        return is(on_event("type"), kEq, str(std::move(value)));
    };
    check({
        {"event:name = exception", name("exception"), "28"},
        {"event:name = exception && event.type = Refused", both(name("exception"), type("Refused")),
         "8"},
        {"event:name = exception && event.type = Timeout", both(name("exception"), type("Timeout")),
         "2"},
        {"(... && kind) && event.type",
         both(both(name("exception"), exists(span_field("code"))), type("Refused")), ""},
        {"event:name || event.type", either(name("retry"), type("Refused")), "28"},
        {"!(event:name = retry)", no(name("retry")), "1345678"},
        {"event:name = retry && !(event.type = Timeout)", both(name("retry"), no(type("Timeout"))),
         ""},
        {"event.type exists", exists(on_event("type")), "28"},
        {"event.type = nil", absent(on_event("type")), "134567"},
        {"event:timeSinceStart > 5ns",
         is(the(Intrinsic::kEventTimeSinceStart), kGt, Value::of_duration(5)), "28"},
        {"retry within 5ns",
         both(name("retry"), is(the(Intrinsic::kEventTimeSinceStart), kLt, Value::of_duration(5))),
         ""},
        {"link:traceID", is(the(Intrinsic::kLinkTraceId), kEq, str(test_trace_id(7).hex())), "5"},
        {"link:spanID", is(the(Intrinsic::kLinkSpanId), kEq, str(test_span_id(70).hex())), "5"},
    });
}

TEST_CASE("and, or, not combine as booleans do") {
    const auto cart = is(resource("service.name"), kEq, str("cart"));
    const auto slow = is(the(Intrinsic::kDuration), kGt, Value::of_duration(15));
    check({
        {"cart && slow", both(cart, slow), "24"},
        {"cart || slow", either(cart, slow), "12345678"},
        {"!cart && slow", both(no(cart), slow), "5678"},
        {"!(cart || slow)", no(either(cart, slow)), ""},
        {"!(cart && slow)", no(both(cart, slow)), "135678"},
        {"!!cart", no(no(cart)), "1234"},
        {"cart && nothing", both(cart, nothing()), ""},
        {"cart || everything", either(cart, Predicate::everything()), "12345678"},
    });
}

TEST_CASE("conditions that cannot be are refused with the reason") {
    const auto refuse = [](const Predicate& where) {
        const auto compiled = CompiledPredicate::compile(where);
        REQUIRE_FALSE(compiled.has_value());
        CHECK(compiled.error().code == ErrorCode::kInvalidArgument);
        return compiled.error().message;
    };
    CHECK(refuse(is(span_field("a"), kMatch, str("["))).find("\"[\" is not valid") !=
          std::string::npos);
    CHECK(refuse(is(span_field("a"), kMatch, Value::of_int(1))).find("must be a string") !=
          std::string::npos);
    CHECK(refuse(is(the(Intrinsic::kTraceDuration), kGt, Value::of_int(1))).find("whole traces") !=
          std::string::npos);
    Predicate deep = Predicate::everything();
    for (int i = 0; i < 300; ++i)
        deep = no(std::move(deep));
    CHECK(refuse(deep).find("nested more than") != std::string::npos);
}

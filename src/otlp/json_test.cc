#include "otlp/json.h"

#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include "otlp/writer.h"

namespace spanloom::otlp {
namespace {

constexpr std::string_view kIds =
    R"("traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174")";

Result<Batch> read(std::string_view json) {
    TRY_ASSIGN(Blob bytes, json_to_protobuf(json));
    return decode(std::move(bytes));
}

std::string request_of(std::string_view span_fields) {
    return R"({"resourceSpans":[{"scopeSpans":[{"spans":[{)" + std::string(kIds) + "," +
           std::string(span_fields) + "}]}]}]}";
}

std::string request_with_value(std::string_view value) {
    return request_of(R"("attributes":[{"key":"k","value":)" + std::string(value) + "}]");
}

SpanView only_span(const Batch& batch) {
    REQUIRE(batch.spans.size() == 1);
    return batch.span(batch.spans[0]);
}

std::string error_of(std::string_view json) {
    const auto bytes = json_to_protobuf(json);
    REQUIRE_FALSE(bytes.has_value());
    CHECK(bytes.error().code == ErrorCode::kInvalidArgument);
    return bytes.error().message;
}

// The value of the only attribute, written again.
std::string rewritten(std::string_view value, ValueForm form = ValueForm::kTagged) {
    const Batch batch = read(request_with_value(value)).value();
    std::string text;
    JsonWriter out(text);
    for (const AttributeView attribute : only_span(batch).attributes())
        append_value_json(out, attribute.value, form);
    return text;
}

}  // namespace

TEST_CASE("the example of the specification is read") {
    const Batch batch = read(R"({"resourceSpans":[{"resource":{"attributes":[
        {"key":"service.name","value":{"stringValue":"my.service"}}],"droppedAttributesCount":1},
        "schemaUrl":"https://r","scopeSpans":[{"scope":{"name":"my.library","version":"1.0.0",
        "attributes":[{"key":"a","value":{"stringValue":"b"}}]},"schemaUrl":"https://s","spans":[
        {"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174",
        "parentSpanId":"EEE19B7EC3C1B173","traceState":"a=b","flags":257,
        "name":"I'm a server span","startTimeUnixNano":"1544712660000000000",
        "endTimeUnixNano":1544712661000000000,"kind":2,"droppedAttributesCount":3,
        "attributes":[{"key":"my.span.attr","value":{"stringValue":"some value"}}],
        "events":[{"timeUnixNano":"1544712660300000000","name":"e","droppedAttributesCount":2}],
        "links":[{"traceId":"5b8efff798038103d269b633813fc60d","spanId":"eee19b7ec3c1b175",
        "traceState":"c=d","flags":1}],"status":{"code":2,"message":"no"}}]}]}]})")
                            .value();
    const SpanView span = only_span(batch);
    CHECK(span.trace_id.hex() == "5b8efff798038103d269b633813fc60c");
    CHECK(span.span_id.hex() == "eee19b7ec3c1b174");
    CHECK(span.parent_span_id.hex() == "eee19b7ec3c1b173");
    CHECK(span.trace_state == "a=b");
    CHECK(span.flags == 257);
    CHECK(span.name == "I'm a server span");
    CHECK(span.start_ns == 1'544'712'660'000'000'000U);
    CHECK(span.end_ns == 1'544'712'661'000'000'000U);
    CHECK(span.kind == SpanKind::kServer);
    CHECK(span.status == StatusCode::kError);
    CHECK(span.status_message == "no");
    CHECK(span.dropped_attributes == 3);
    CHECK(batch.resource(batch.resources[0]).service_name() == "my.service");
    CHECK(batch.at(batch.resources[0].schema_url) == "https://r");
    CHECK(batch.scope(batch.scopes[0]).name == "my.library");
    CHECK(batch.at(batch.scopes[0].schema_url) == "https://s");
    CHECK((*span.events().begin()).time_ns == 1'544'712'660'300'000'000U);
    CHECK((*span.links().begin()).trace_state == "c=d");
}

TEST_CASE("each kind of value goes there and back") {
    for (
        const std::string_view value :
        {R"({"stringValue":""})", R"({"boolValue":false})",
         R"({"intValue":"-9223372036854775808"})", R"({"doubleValue":0.5})",
         R"({"doubleValue":"NaN"})", R"({"doubleValue":"-Infinity"})", R"({"bytesValue":"/wA="})",
         "{}", R"({"arrayValue":{"values":[{"intValue":"1"},{},{"stringValue":"x"}]}})",
         R"({"kvlistValue":{"values":[{"key":"a","value":{"kvlistValue":{}}},{"key":"b","value":{"boolValue":true}}]}})"})
        CHECK(rewritten(value) == value);
    CHECK(rewritten(R"({"intValue":7})") == R"({"intValue":"7"})");
    CHECK(rewritten(R"({"intValue":1e3})") == R"({"intValue":"1000"})");
    CHECK(rewritten(R"({"doubleValue":"1.5"})") == R"({"doubleValue":1.5})");
    CHECK(rewritten("null") == "{}");
}

TEST_CASE("values in the plain form are ordinary JSON") {
    CHECK(rewritten(R"({"intValue":"7"})", ValueForm::kPlain) == "7");
    CHECK(rewritten("{}", ValueForm::kPlain) == "null");
    CHECK(rewritten(R"({"bytesValue":"/wA"})", ValueForm::kPlain) == R"("/wA=")");
    CHECK(
        rewritten(
            R"({"kvlistValue":{"values":[{"key":"a","value":{"arrayValue":{"values":[{"doubleValue":1.5},{"boolValue":true}]}}},{"key":"b","value":{"stringValue":"t"}}]}})",
            ValueForm::kPlain) == R"({"a":[1.5,true],"b":"t"})");
}

TEST_CASE(
    "senders' habits are forgiven: names of enumerations, snake case, nulls, unknown fields") {
    const std::string json = R"({"resource_spans":[{"scope_spans":[{"spans":[{
        "trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174",
        "parent_span_id":"","start_time_unix_nano":"5","kind":"SPAN_KIND_CLIENT","links":null,
        "status":{"code":"STATUS_CODE_OK"},"dropped_events_count":"2",
        "someday":{"a":[1,{"b":123456789012345678901234567890}]},
        "attributes":[{"key":"k","value":{"string_value":"v"}}]}]}]}]})";
    const Batch batch = read(json).value();
    const SpanView span = only_span(batch);
    CHECK(span.kind == SpanKind::kClient);
    CHECK(span.status == StatusCode::kOk);
    CHECK(span.start_ns == 5);
    CHECK(span.dropped_events == 2);
    CHECK(span.parent_span_id.is_zero());
    CHECK((*span.attributes().begin()).value.bytes == "v");
}

TEST_CASE("text that UTF-8 cannot hold becomes U+FFFD") {
    const auto name_of = [](std::string_view literal) {
        const Batch batch = read(request_of("\"name\":\"" + std::string(literal) + "\"")).value();
        return std::string(only_span(batch).name);
    };
    CHECK(name_of("a\\ud83dz") == "a\xef\xbf\xbdz");
    CHECK(name_of("\\uDE00\\ud83d") == "\xef\xbf\xbd\xef\xbf\xbd");
    CHECK(name_of("\\ud83d\\ude00") == "\xf0\x9f\x98\x80");
    CHECK(name_of("\\\\ud83d") == "\\ud83d");
    CHECK(name_of("\\ud83d\\n") == "\xef\xbf\xbd\n");
    CHECK(name_of("a\xff\xfe") == "a\xef\xbf\xbd\xef\xbf\xbd");
    CHECK(name_of("nul\\u0000nul") == std::string_view("nul\0nul", 7));
}

TEST_CASE("a request without spans is a success") {
    CHECK(read("").value().spans.empty());
    CHECK(read("{}").value().spans.empty());
    CHECK(read(R"({"resourceSpans":[]})").value().spans.empty());
    CHECK(read(R"({"resourceSpans":[null,{"scopeSpans":[null]}]})").value().spans.empty());
}

TEST_CASE("errors name the place") {
    CHECK(error_of(request_of(R"("kind":"SPAN_KIND_UNHEARD_OF")")) ==
          "malformed OTLP/JSON at resourceSpans[0].scopeSpans[0].spans[0].kind: "
          "\"SPAN_KIND_UNHEARD_OF\" is no name of this field");
    CHECK(error_of(request_with_value(R"({"intValue":"9223372036854775808"})"))
              .find("attributes[0].value: must be a whole number from -9223372036854775808") !=
          std::string::npos);
    CHECK(
        error_of(
            R"({"resourceSpans":[{"scopeSpans":[{"spans":[{},{"traceId":"W47/95gDgQPSabYz"}]}]}]})")
            .find("spans[1].traceId: is not hexadecimal") != std::string::npos);
    CHECK(error_of(request_with_value(R"({"doubleValue":1e400})")).find("64 bits") !=
          std::string::npos);
}

TEST_CASE("what is no OTLP/JSON is refused") {
    for (const std::string_view json :
         {"[]", "null", "5", "{", "{]", "nonsense", "{} {}", "{\"resourceSpans\":5}",
          "{\"resourceSpans\":[5]}", "{\"resourceSpans\":[{]}", "{\"resourceSpans\":\"",
          "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":5}]}]}]}",
          "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"startTimeUnixNano\":-1}]}]}]}",
          "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"startTimeUnixNano\":\"1.5\"}]}]}]}",
          "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"flags\":4294967296}]}]}]}"})
        error_of(json);
    for (const std::string_view value :
         {"5", R"({"intValue":1.5})", R"({"intValue":true})", R"({"boolValue":"true"})",
          R"({"bytesValue":"*"})", R"({"stringValue":5})", R"({"arrayValue":[]})",
          R"({"intValue":NaN})"})
        error_of(request_with_value(value));
}

TEST_CASE("each way of cutting JSON short is refused") {
    const std::string json =
        request_of(R"("name":"n","attributes":[{"key":"k","value":{"intValue":"5"}}])");
    for (size_t size = 1; size < json.size(); ++size)
        CHECK_FALSE(json_to_protobuf(std::string_view(json).substr(0, size)).has_value());
}

TEST_CASE("a span nested too deeply in JSON is rejected alone, however deep") {
    for (const size_t levels : {64U, 65U, 200'000U}) {
        std::string value;
        for (size_t i = 1; i < levels; ++i)
            value += R"({"arrayValue":{"values":[)";
        value += R"({"boolValue":true})";
        for (size_t i = 1; i < levels; ++i)
            value += "]}}";
        const Batch batch = read(request_with_value(value)).value();
        CHECK(batch.spans.size() == (levels == 64 ? 1 : 0));
        CHECK(batch.spans_rejected == (levels == 64 ? 0 : 1));
    }
}

TEST_CASE("ids of a wrong length are left to decode to reject") {
    const Batch batch =
        read(
            R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102","spanId":"eee19b7ec3c1b174"}]}]}]})")
            .value();
    CHECK(batch.rejection == "1 span rejected: trace_id of 2 bytes, must be 16");
}

TEST_CASE("traces are written in both forms") {
    const std::string json =
        R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]},"scopeSpans":[{"scope":{"name":"lib"},"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","parentSpanId":"0000000000000001","name":"n","kind":3,"startTimeUnixNano":"1","endTimeUnixNano":"2","droppedAttributesCount":4,"events":[{"timeUnixNano":"1","name":"e"}],"links":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"0000000000000002"}],"status":{"message":"m","code":2}}],"schemaUrl":"u"}]},{"resource":{},"scopeSpans":[{"scope":{},"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","status":{}},{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","status":{}}]}]}]})";
    const Batch batch = read(json).value();
    std::string text;
    JsonWriter otlp(text);
    write_traces_json(otlp, batch, JsonForm::kOtlp);
    CHECK(text == json);
    text.clear();
    JsonWriter proto3(text);
    write_traces_json(proto3, batch, JsonForm::kProto3);
    CHECK(text.find(R"("traceId":"W47/95gDgQPSabYzgT/GDA==","spanId":"7uGbfsPBsXQ=")") !=
          std::string::npos);
    CHECK(text.find(R"("kind":"SPAN_KIND_CLIENT")") != std::string::npos);
    CHECK(text.find(R"("code":"STATUS_CODE_ERROR")") != std::string::npos);
}

}  // namespace spanloom::otlp

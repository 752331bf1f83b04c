#include "receive/zipkin_receiver.h"

#include <map>

#include <doctest/doctest.h>

#include "receive/fakes_for_test.h"
#include "receive/once_per_sender.h"
#include "receive/zipkin_convert.h"

namespace spanloom {
namespace {

using namespace receive_test;
using otlp::AttributeView;
using otlp::SpanView;
using otlp::ValueType;

constexpr std::string_view kPath = "/api/v2/spans";

Batch decoded(Result<Blob> bytes) {
    REQUIRE(bytes.has_value());
    return otlp::decode(std::move(*bytes)).value();
}
Batch from_json(std::string_view json) {
    return decoded(zipkin_json_to_otlp(json, kArrivalNs));
}

SpanView only_span(const Batch& batch) {
    REQUIRE(batch.spans.size() == 1);
    return batch.span(batch.spans[0]);
}

// Attributes as text; booleans as "true", numbers in decimal.
std::map<std::string, std::string> attributes_of(const SpanView& span) {
    std::map<std::string, std::string> found;
    for (const AttributeView attribute : span.attributes()) {
        std::string text(attribute.value.bytes);
        if (attribute.value.type == ValueType::kInt) text = std::to_string(attribute.value.integer);
        if (attribute.value.type == ValueType::kBool)
            text = attribute.value.boolean ? "true" : "false";
        found[std::string(attribute.key)] = text;
    }
    return found;
}

std::string_view service_of(const Batch& batch, size_t span) {
    return batch.resource(batch.resources.at(batch.scopes.at(batch.spans.at(span).scope).resource))
        .service_name();
}

std::string json_span(std::string_view fields) {
    return R"([{"traceId":"0000000000000000463ac35c9f6413ad","id":"463ac35c9f6413ad")" +
           (fields.empty() ? "" : "," + std::string(fields)) + "}]";
}

std::string protobuf_list() {
    std::string list;
    otlp::WireWriter out(list);
    const size_t span = out.begin(1);
    out.bytes_field(1, "0123456789abcdef");
    out.bytes_field(2, "parentid");
    out.bytes_field(3, "spanspan");
    out.varint_field(4, 2);
    out.bytes_field(5, "get /");
    out.fixed64_field(6, 1'000'000);
    out.varint_field(7, 250);
    const size_t local = out.begin(8);
    out.bytes_field(1, "cart");
    out.bytes_field(2, "\x0a\x01\x02\x03");
    out.end(local);
    const size_t remote = out.begin(9);
    out.bytes_field(1, "web");
    out.bytes_field(3, std::string(15, '\0') + "\x01");
    out.varint_field(4, 8080);
    out.end(remote);
    const size_t annotation = out.begin(10);
    out.fixed64_field(1, 1'000'100);
    out.bytes_field(2, "wire send");
    out.end(annotation);
    const size_t tag = out.begin(11);
    out.bytes_field(1, "http.path");
    out.bytes_field(2, "/x");
    out.end(tag);
    out.varint_field(12, 1);
    out.varint_field(13, 1);
    out.end(span);
    return list;
}

}  // namespace

TEST_CASE("a Zipkin JSON span becomes an OTLP span with all it says") {
    const Batch batch = from_json(R"([{"traceId":"463AC35C9F6413AD48485A3953BB6124",
        "id":"a2fb4a1d1a96d312","parentId":"0020000000000001","name":"get /api","kind":"CLIENT",
        "timestamp":1556604172355737,"duration":1431,
        "localEndpoint":{"serviceName":"frontend","ipv4":"10.0.0.1","port":3306},
        "remoteEndpoint":{"serviceName":"backend","ipv6":"2001:db8::1","port":9000},
        "annotations":[{"timestamp":1556604172355800,"value":"ws"},
                       {"timestamp":1556604172356000,"value":"wr"}],
        "tags":{"http.method":"GET","ünï":"çödé 漢字"},"debug":true}])");
    const SpanView span = only_span(batch);
    CHECK(span.trace_id.hex() == "463ac35c9f6413ad48485a3953bb6124");
    CHECK(span.span_id.hex() == "a2fb4a1d1a96d312");
    CHECK(span.parent_span_id.hex() == "0020000000000001");
    CHECK(span.name == "get /api");
    CHECK(span.kind == otlp::SpanKind::kClient);
    CHECK(span.start_ns == 1'556'604'172'355'737'000U);
    CHECK(span.duration_ns() == 1'431'000);
    CHECK(span.status == otlp::StatusCode::kUnset);
    CHECK(service_of(batch, 0) == "frontend");
    auto attributes = attributes_of(span);
    CHECK(attributes["http.method"] == "GET");
    CHECK(attributes["ünï"] == "çödé 漢字");
    CHECK(attributes["peer.service"] == "backend");
    CHECK(attributes["server.address"] == "2001:db8::1");
    CHECK(attributes["server.port"] == "9000");
    CHECK(attributes["network.local.address"] == "10.0.0.1");
    CHECK(attributes["network.local.port"] == "3306");
    CHECK(attributes["zipkin.debug"] == "true");
    CHECK_FALSE(attributes.contains("zipkin.timestamp_missing"));
    std::string events;
    for (const otlp::EventView event : span.events())
        events += std::string(event.name) + "@" + std::to_string(event.time_ns) + " ";
    CHECK(events == "ws@1556604172355800000 wr@1556604172356000000 ");
}

TEST_CASE("the protobuf form says the same") {
    const Batch batch =
        decoded(zipkin_protobuf_to_otlp(Blob::copy_of(protobuf_list()), kArrivalNs));
    const SpanView span = only_span(batch);
    CHECK(span.trace_id.view() == "0123456789abcdef");
    CHECK(span.parent_span_id.view() == "parentid");
    CHECK(span.kind == otlp::SpanKind::kServer);
    CHECK(span.start_ns == 1'000'000'000);
    CHECK(span.end_ns == 1'000'250'000);
    CHECK(service_of(batch, 0) == "cart");
    auto attributes = attributes_of(span);
    CHECK(attributes["http.path"] == "/x");
    CHECK(attributes["peer.service"] == "web");
    CHECK(attributes["client.address"] == "::1");
    CHECK(attributes["client.port"] == "8080");
    CHECK(attributes["network.local.address"] == "10.1.2.3");
    CHECK(attributes["zipkin.shared"] == "true");
    CHECK((*span.events().begin()).name == "wire send");
}

TEST_CASE("each kind of Zipkin has its own in OTLP, none is internal") {
    const auto kind_of = [](std::string_view field) {
        const Batch batch = from_json(json_span(field));
        return only_span(batch).kind;
    };
    CHECK(kind_of(R"("kind":"SERVER")") == otlp::SpanKind::kServer);
    CHECK(kind_of(R"("kind":"PRODUCER")") == otlp::SpanKind::kProducer);
    CHECK(kind_of(R"("kind":"CONSUMER")") == otlp::SpanKind::kConsumer);
    CHECK(kind_of("") == otlp::SpanKind::kInternal);
    CHECK(kind_of(R"("kind":null)") == otlp::SpanKind::kInternal);
}

TEST_CASE("the error tag becomes the status, its text the message") {
    const auto status_of = [](std::string_view value) {
        const Batch batch =
            from_json(json_span(R"("tags":{"error":")" + std::string(value) + "\"}"));
        const SpanView span = only_span(batch);
        CHECK(span.status == otlp::StatusCode::kError);
        CHECK_FALSE(attributes_of(span).contains("error"));
        return std::string(span.status_message);
    };
    CHECK(status_of("timeout") == "timeout");
    CHECK(status_of("true").empty());
    CHECK(status_of("").empty());
}

TEST_CASE("a span without a timestamp gets its arrival time and says so") {
    const Batch batch = from_json(json_span(R"("duration":5)"));
    const SpanView span = only_span(batch);
    CHECK(span.start_ns == kArrivalNs);
    CHECK(span.end_ns == kArrivalNs + 5'000);
    CHECK(attributes_of(span)["zipkin.timestamp_missing"] == "true");
}

TEST_CASE("shared spans keep their id and are marked") {
    const Batch batch = from_json(R"([
        {"traceId":"1","id":"2","kind":"CLIENT","timestamp":1,"localEndpoint":{"serviceName":"a"}},
        {"traceId":"1","id":"2","kind":"SERVER","timestamp":2,"shared":true,"localEndpoint":{"serviceName":"b"}}])");
    REQUIRE(batch.spans.size() == 2);
    CHECK(batch.spans[0].span_id == batch.spans[1].span_id);
    CHECK(batch.spans[0].trace_id.hex() == "00000000000000000000000000000001");
    CHECK(service_of(batch, 0) == "a");
    CHECK(service_of(batch, 1) == "b");
    CHECK(attributes_of(batch.span(batch.spans[1]))["zipkin.shared"] == "true");
}

TEST_CASE("spans of one service in a row share a resource") {
    const std::string span =
        R"({"traceId":"1","id":"2","timestamp":1,"localEndpoint":{"serviceName":"a"}})";
    const std::string other = R"({"traceId":"1","id":"3","timestamp":1})";
    const Batch batch = from_json("[" + span + "," + span + "," + other + "]");
    CHECK(batch.spans.size() == 3);
    CHECK(batch.resources.size() == 2);
    CHECK(service_of(batch, 2).empty());
}

TEST_CASE("malformed Zipkin spans are refused with the place") {
    const auto error_of = [](std::string_view json) {
        const auto bytes = zipkin_json_to_otlp(json, kArrivalNs);
        REQUIRE_FALSE(bytes.has_value());
        CHECK(bytes.error().code == ErrorCode::kInvalidArgument);
        return bytes.error().message;
    };
    CHECK(error_of(R"([{"traceId":"1","id":"2"},{"traceId":"1"}])") ==
          "malformed Zipkin spans: span 1: id is missing or all zero");
    CHECK(error_of("{}") == "malformed Zipkin spans: must be a JSON list");
    for (const std::string& json :
         {std::string(""), std::string("["), std::string("[5]"), std::string("[{]"),
          std::string("[] []"), std::string(R"([{"traceId":"xyz","id":"2"}])"),
          std::string(R"([{"traceId":"1","id":"12345678901234567"}])"),
          json_span(R"("kind":"GUEST")"), json_span(R"("timestamp":-5)"),
          json_span(R"("timestamp":"soon")"), json_span(R"("tags":[])"),
          json_span(R"("tags":{"a":{}})"), json_span(R"("annotations":{})"),
          json_span(R"("shared":"yes")"), json_span(R"("name":5)")})
        error_of(json);
    for (const std::string_view bytes :
         {std::string_view("\x0a\x05xy"), std::string_view("\x0b"), std::string_view("\x0a\x00", 2),
          std::string_view("\x0a\x04\x0a\x02hi")})
        CHECK_FALSE(zipkin_protobuf_to_otlp(Blob::copy_of(bytes), kArrivalNs).has_value());
}

TEST_CASE("each way of cutting Zipkin spans short is refused or read, never read past its end") {
    const std::string list = protobuf_list();
    for (size_t size = 1; size < list.size(); ++size)
        CHECK_FALSE(
            zipkin_protobuf_to_otlp(Blob::copy_of(list.substr(0, size)), kArrivalNs).has_value());
}

TEST_CASE("numbers that senders write otherwise are read") {
    const Batch batch = from_json(json_span(
        R"("timestamp":1.5e15,"duration":"7","tags":{"n":5,"b":true,"t":"x"},"unknown":[{"a":1e999}])"));
    const SpanView span = only_span(batch);
    CHECK(span.start_ns == 1'500'000'000'000'000'000U);
    CHECK(span.duration_ns() == 7'000);
    auto attributes = attributes_of(span);
    CHECK(attributes["n"] == "5");
    CHECK(attributes["b"] == "true");
    CHECK(attributes["t"] == "x");
    CHECK(only_span(from_json(json_span(R"("timestamp":18446744073709551615,"duration":9)")))
              .end_ns == ~uint64_t{0});
}

TEST_CASE("Zipkin's senders get 202 when their spans are durable") {
    Bench bench;
    const auto handler = make_zipkin_handler(bench.parts(), {});
    const std::string json = json_span(R"("timestamp":5)");
    bench.sink.is_holding = true;
    auto responder = std::make_shared<FakeResponder>();
    handler(http_request(kPath, "application/json", json), responder);
    CHECK(responder->answers.empty());
    bench.sink.waiting.at(0)({});
    REQUIRE(responder->answers.size() == 1);
    CHECK(responder->answers[0].status == 202);
    CHECK(responder->answers[0].body.empty());
    CHECK(bench.sink.batches.at(0).arrival_ns == kArrivalNs);
    CHECK(bench.has_metric("spanloom_accepted_spans_total{protocol=\"zipkin-json\"} 1"));
}

TEST_CASE("Zipkin spans are taken compressed, without a content type, as protobuf and over gRPC") {
    Bench bench;
    const auto handler = make_zipkin_handler(bench.parts(), {});
    const std::string json = json_span("");
    const std::string list = protobuf_list();
    CHECK(bench.ask(handler, http_request(kPath, "", json)).status == 202);
    CHECK(bench.ask(handler, http_request(kPath, "", list)).status == 202);
    CHECK(bench.ask(handler, http_request(kPath, "application/x-protobuf", list)).status == 202);
    CHECK(
        bench.ask(handler, http_request(kPath, "application/json", gzipped(json), "gzip")).status ==
        202);
    const auto grpc = bench.ask(handler, grpc_request("/zipkin.proto3.SpanService/Report", list));
    CHECK(grpc.trailers.get("grpc-status") == "0");
    CHECK(bench.sink.batches.size() == 5);
    CHECK(bench.ask(handler, http_request(kPath, "application/json", "[]")).status == 202);
    CHECK(bench.sink.batches.size() == 5);
}

TEST_CASE("what the Zipkin receiver cannot take is answered in text") {
    Bench bench;
    const auto handler = make_zipkin_handler(bench.parts(), {});
    const auto malformed = bench.ask(handler, http_request(kPath, "application/json", "{"));
    CHECK(malformed.status == 400);
    CHECK(malformed.headers.get("content-type").starts_with("text/plain"));
    CHECK(malformed.body.find("malformed Zipkin spans") != std::string::npos);
    CHECK(bench.ask(handler, http_request(kPath, "application/x-thrift", "x")).status == 415);
    CHECK(bench.ask(handler, http_request("/api/v1/spans", "application/json", "[]")).status ==
          404);
    CHECK(bench.ask(handler, http_request(kPath, "application/json", "[]", "br")).status == 415);
    http::Request get = http_request(kPath, "", "");
    get.method = "GET";
    CHECK(bench.ask(handler, get).status == 405);
    bench.sink.result = fail(ErrorCode::kUnavailable, "disk full");
    const auto later = bench.ask(handler, http_request(kPath, "application/json", json_span("")));
    CHECK(later.status == 503);
    CHECK(later.headers.get("retry-after") == "1");
    bench.sink.batches.clear();
    CHECK(bench.budget.used_bytes() == 0);
}

TEST_CASE("requests that send spans are told from those that query") {
    http::Request request = http_request(kPath, "application/json", "[]");
    CHECK(is_zipkin_send(request));
    request.method = "GET";
    CHECK_FALSE(is_zipkin_send(request));
    CHECK_FALSE(is_zipkin_send(http_request("/api/v2/traces", "", "")));
    CHECK(is_zipkin_send(grpc_request("/zipkin.proto3.SpanService/Report", "")));
}

TEST_CASE(
    "a sender is told once, whatever port it connects from, and only so many are remembered") {
    OncePerSender told;
    CHECK(told.is_first("10.0.0.1:4000", "logs"));
    CHECK_FALSE(told.is_first("10.0.0.1:4001", "logs"));
    CHECK(told.is_first("10.0.0.1:4001", "metrics"));
    size_t first = 0;
    for (int i = 0; i < 5'000; ++i)
        first += told.is_first("10.1.0." + std::to_string(i) + ":1", "logs") ? 1 : 0;
    CHECK(first < 1'100);
}

}  // namespace spanloom

#include "receive/jaeger_receiver.h"

#include <future>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "otlp/json.h"
#include "receive/fakes_for_test.h"
#include "receive/jaeger_convert.h"
#include "receive/thrift_writer_for_test.h"

namespace spanloom {
namespace {

using namespace receive_test;

void write_tag(ThriftWriter& out, std::string_view key, std::string_view value) {
    out.begin_struct();
    out.text(1, key);
    out.i32(2, 0);
    out.text(3, value);
    out.end_struct();
}

void write_span(ThriftWriter& out) {
    out.begin_struct();
    out.i64(1, 0x0123456789abcdef);
    out.i64(2, -1);
    out.i64(3, 7);
    out.i64(4, 3);
    out.text(5, "GET /cart");
    out.list(6, ThriftType::kStruct, 2);
    for (const int32_t type : {0, 1}) {
        out.begin_struct();
        out.i32(1, type);
        out.i64(2, type == 0 ? 0x0123456789abcdef : 0x99);
        out.i64(3, type == 0 ? -1 : 0);
        out.i64(4, type == 0 ? 3 : 8);
        out.end_struct();
    }
    out.i32(7, 3);
    out.i64(8, 1'700'000'000'000'000);
    out.i64(9, 1'500);
    out.list(10, ThriftType::kStruct, 9);
    write_tag(out, "span.kind", "server");
    out.begin_struct();
    out.text(1, "error");
    out.i32(2, 2);
    out.boolean(5, true);
    out.end_struct();
    out.begin_struct();
    out.text(1, "http.status_code");
    out.i32(2, 3);
    out.i64(6, 503);
    out.end_struct();
    out.begin_struct();
    out.text(1, "ratio");
    out.i32(2, 1);
    out.number(4, 0.25);
    out.end_struct();
    out.begin_struct();
    out.text(1, "raw");
    out.i32(2, 4);
    out.text(7, "\x01\x02");
    out.end_struct();
    write_tag(out, "otel.status_description", "no stock");
    write_tag(out, "otel.scope.name", "shop");
    write_tag(out, "otel.scope.version", "1.2");
    write_tag(out, "w3c.tracestate", "a=b");
    out.list(11, ThriftType::kStruct, 1);
    out.begin_struct();
    out.i64(1, 1'700'000'000'000'100);
    out.list(2, ThriftType::kStruct, 2);
    write_tag(out, "event", "retry");
    write_tag(out, "why", "timeout");
    out.end_struct();
    out.end_struct();
}

void write_batch(ThriftWriter& out) {
    out.begin_struct();
    out.field(1, ThriftType::kStruct);
    out.begin_struct();
    out.text(1, "cart");
    out.list(2, ThriftType::kStruct, 3);
    write_tag(out, "hostname", "web-1");
    write_tag(out, "jaeger.version", "Python-4.8");
    write_tag(out, "ip", "10.0.0.1");
    out.end_struct();
    out.list(2, ThriftType::kStruct, 1);
    write_span(out);
    out.i64(3, 12);  // a field of later versions
    out.end_struct();
}

std::string batch() {
    ThriftWriter out(ThriftProtocol::kBinary);
    write_batch(out);
    return out.take();
}

std::string datagram(ThriftProtocol protocol, std::string_view name = "emitBatch") {
    ThriftWriter out(protocol);
    out.call(name);
    out.begin_struct();
    out.field(1, ThriftType::kStruct);
    write_batch(out);
    out.end_struct();
    return out.take();
}

std::string shown(const Result<Blob>& bytes) {
    REQUIRE(bytes.has_value());
    const auto decoded = otlp::decode(*bytes);
    REQUIRE(decoded.has_value());
    REQUIRE(decoded->spans_rejected == 0);
    std::string out;
    JsonWriter json(out);
    otlp::write_traces_json(json, *decoded, otlp::JsonForm::kOtlp);
    return out;
}

// What the translator of the Collector makes of it.
constexpr std::string_view kExpected =
    R"({"resourceSpans":[{"resource":{"attributes":[)"
    R"({"key":"service.name","value":{"stringValue":"cart"}},)"
    R"({"key":"host.name","value":{"stringValue":"web-1"}},)"
    R"({"key":"opencensus.exporterversion","value":{"stringValue":"Jaeger-Python-4.8"}},)"
    R"({"key":"ip","value":{"stringValue":"10.0.0.1"}}]},)"
    R"("scopeSpans":[{"scope":{"name":"shop","version":"1.2"},"spans":[{)"
    R"("traceId":"ffffffffffffffff0123456789abcdef","spanId":"0000000000000007",)"
    R"("traceState":"a=b","parentSpanId":"0000000000000003","flags":1,"name":"GET /cart","kind":2,)"
    R"("startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000001500000",)"
    R"("attributes":[{"key":"http.status_code","value":{"intValue":"503"}},)"
    R"({"key":"ratio","value":{"doubleValue":0.25}},)"
    R"({"key":"raw","value":{"bytesValue":"AQI="}}],)"
    R"("events":[{"timeUnixNano":"1700000000000100000","name":"retry",)"
    R"("attributes":[{"key":"why","value":{"stringValue":"timeout"}}]}],)"
    R"("links":[{"traceId":"00000000000000000000000000000099","spanId":"0000000000000008",)"
    R"("attributes":[{"key":"opentracing.ref_type","value":{"stringValue":"follows_from"}}]}],)"
    R"("status":{"message":"no stock","code":2}}]}]}]})";

TEST_CASE("a Jaeger batch becomes OTLP by the translator's rules, from every form of Thrift") {
    CHECK(shown(jaeger_thrift_to_otlp(Blob::copy_of(batch()))) == kExpected);
    CHECK(shown(jaeger_compact_call_to_otlp(Blob::copy_of(datagram(ThriftProtocol::kCompact)))) ==
          kExpected);
    CHECK(shown(jaeger_binary_call_to_otlp(Blob::copy_of(datagram(ThriftProtocol::kBinary)))) ==
          kExpected);
}

void write_proto_tag(otlp::WireWriter& out, uint32_t field, std::string_view key, uint64_t type,
                     const std::function<void()>& value) {
    const size_t tag = out.begin(field);
    out.bytes_field(1, key);
    if (type != 0) out.varint_field(2, type);
    value();
    out.end(tag);
}

std::string post_spans() {
    std::string bytes;
    otlp::WireWriter out(bytes);
    const auto text = [&](uint32_t field, std::string_view key, std::string_view value) {
        write_proto_tag(out, field, key, 0, [&] { out.bytes_field(3, value); });
    };
    const auto time = [&](uint32_t field, uint64_t seconds, uint64_t nanos) {
        const size_t mark = out.begin(field);
        if (seconds != 0) out.varint_field(1, seconds);
        out.varint_field(2, nanos);
        out.end(mark);
    };
    const std::string trace_id =
        std::string(8, '\xff') + std::string("\x01\x23\x45\x67\x89\xab\xcd\xef", 8);
    const size_t batch = out.begin(1);
    const size_t span = out.begin(1);
    out.bytes_field(1, trace_id);
    out.bytes_field(2, std::string(7, '\0') + "\7");
    out.bytes_field(3, "GET /cart");
    size_t reference = out.begin(4);
    out.bytes_field(1, trace_id);
    out.bytes_field(2, std::string(7, '\0') + "\3");
    out.end(reference);
    reference = out.begin(4);
    out.bytes_field(1, std::string(15, '\0') + "\x99");
    out.bytes_field(2, std::string(7, '\0') + "\x08");
    out.varint_field(3, 1);
    out.end(reference);
    out.varint_field(5, 3);
    time(6, 1'700'000'000, 0);
    time(7, 0, 1'500'000);
    text(8, "span.kind", "server");
    write_proto_tag(out, 8, "error", 1, [&] { out.varint_field(4, 1); });
    write_proto_tag(out, 8, "http.status_code", 2, [&] { out.varint_field(5, 503); });
    write_proto_tag(out, 8, "ratio", 3, [&] { out.double_field(6, 0.25); });
    write_proto_tag(out, 8, "raw", 4, [&] { out.bytes_field(7, "\x01\x02"); });
    text(8, "otel.status_description", "no stock");
    text(8, "otel.scope.name", "shop");
    text(8, "otel.scope.version", "1.2");
    text(8, "w3c.tracestate", "a=b");
    const size_t log = out.begin(9);
    time(1, 1'700'000'000, 100'000);
    text(2, "event", "retry");
    text(2, "why", "timeout");
    out.end(log);
    out.end(span);
    const size_t process = out.begin(2);
    out.bytes_field(1, "cart");
    text(2, "hostname", "web-1");
    text(2, "jaeger.version", "Python-4.8");
    text(2, "ip", "10.0.0.1");
    out.end(process);
    out.end(batch);
    return bytes;
}

TEST_CASE("Jaeger's protobuf becomes the same OTLP") {
    CHECK(shown(jaeger_protobuf_to_otlp(Blob::copy_of(post_spans()))) == kExpected);
}

JaegerTag tag(std::string_view key, std::string_view text) {
    JaegerTag tag;
    tag.key = key;
    tag.text = text;
    return tag;
}

TEST_CASE("Jaeger's status: explicit codes, and HTTP's where nothing else is said") {
    struct Case {
        std::vector<JaegerTag> tags;
        otlp::StatusCode code;
        std::string_view message;
    };
    JaegerTag not_found = tag("http.status_code", "");
    not_found.type = JaegerTag::Type::kInt;
    not_found.integer = 404;
    const std::vector<Case> cases = {
        {{}, otlp::StatusCode::kUnset, ""},
        {{tag("otel.status_code", "ok")}, otlp::StatusCode::kOk, ""},
        {{tag("otel.status_code", "ERROR"), tag("otel.status_description", "x")},
         otlp::StatusCode::kError,
         "x"},
        {{tag("error", "true")}, otlp::StatusCode::kUnset, ""},  // text is not the truth
        {{tag("span.kind", "client"), not_found, tag("http.status_message", "none")},
         otlp::StatusCode::kError,
         "none"},
        {{tag("span.kind", "server"), not_found}, otlp::StatusCode::kUnset, ""},
        {{tag("http.status_code", "200")}, otlp::StatusCode::kUnset, ""},
        {{tag("http.status_code", "many")}, otlp::StatusCode::kUnset, ""},
    };
    for (const Case& one : cases) {
        JaegerSpan span;
        span.trace_id.bytes[0] = span.span_id.bytes[0] = 1;
        span.tags = one.tags;
        JaegerToOtlp out;
        out.add(span);
        const Batch batch = otlp::decode(out.finish()).value();
        REQUIRE(batch.spans.size() == 1);
        const otlp::SpanView view = batch.span(batch.spans[0]);
        CHECK(view.status == one.code);
        CHECK(view.status_message == one.message);
    }
}

TEST_CASE("a Thrift message that is cut anywhere is refused, and never read past its end") {
    const std::string whole = batch();
    for (size_t size = 0; size < whole.size(); ++size)
        CHECK_FALSE(jaeger_thrift_to_otlp(Blob::copy_of(whole.substr(0, size))).has_value());
    const std::string call = datagram(ThriftProtocol::kCompact);
    for (size_t size = 0; size < call.size(); ++size)
        CHECK_FALSE(jaeger_compact_call_to_otlp(Blob::copy_of(call.substr(0, size))).has_value());
    CHECK_FALSE(jaeger_thrift_to_otlp(Blob::copy_of(whole + "x")).has_value());
}

TEST_CASE("hostile Thrift: deep nesting, lists without end, other calls") {
    std::string deep;
    for (int i = 0; i < 100'000; ++i)
        deep += std::string("\x0c\x00\x09", 3);
    auto result = jaeger_thrift_to_otlp(Blob::copy_of(deep));
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().message == "malformed Jaeger batch: it is nested too deep");
    std::string lists(1, '\x0f');
    lists += std::string("\x00\x09", 2);
    for (int i = 0; i < 50'000; ++i)
        lists += std::string("\x0f\x00\x00\x00\x01", 5);
    CHECK_FALSE(jaeger_thrift_to_otlp(Blob::copy_of(lists)).has_value());
    result =
        jaeger_thrift_to_otlp(Blob::copy_of(std::string("\x0f\x00\x02\x0c\x7f\xff\xff\xff", 8)));
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().message == "malformed Jaeger batch: a list is longer than the message");
    result = jaeger_compact_call_to_otlp(
        Blob::copy_of(datagram(ThriftProtocol::kCompact, "emitZipkinBatch")));
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == ErrorCode::kUnsupported);
}

TEST_CASE("Jaeger over HTTP: accepted when durable, refused with the reason as text") {
    Bench bench;
    const http::Handler handler = make_jaeger_handler(bench.parts(), {});
    http::Response response =
        bench.ask(handler, http_request("/api/traces", "application/x-thrift", batch()));
    CHECK(response.status == 202);
    REQUIRE(bench.sink.batches.size() == 1);
    CHECK(bench.sink.batches[0].tenant == "default");
    CHECK(bench.has_metric(R"(spanloom_accepted_spans_total{protocol="jaeger-thrift"} 1)"));
    response =
        bench.ask(handler, http_request("/api/traces", "application/vnd.apache.thrift.binary",
                                        gzipped(batch()), "gzip"));
    CHECK(response.status == 202);
    response = bench.ask(handler, http_request("/api/traces", "application/x-thrift", "\x01"));
    CHECK(response.status == 400);
    CHECK(response.body.find("malformed Jaeger batch") != std::string::npos);
    response = bench.ask(handler, http_request("/api/traces", "application/json", "{}"));
    CHECK(response.status == 415);
    response = bench.ask(handler, http_request("/else", "application/x-thrift", batch()));
    CHECK(response.status == 404);
    bench.sink.result = fail(ErrorCode::kUnavailable, "full");
    response = bench.ask(handler, http_request("/api/traces", "application/x-thrift", batch()));
    CHECK(response.status == 503);
    CHECK(response.headers.has("retry-after"));
}

TEST_CASE("Jaeger over gRPC") {
    Bench bench;
    const http::Handler handler = make_jaeger_handler(bench.parts(), {});
    http::Response response =
        bench.ask(handler, grpc_request("/jaeger.api_v2.CollectorService/PostSpans", post_spans()));
    CHECK(response.trailers.get("grpc-status") == "0");
    CHECK(bench.sink.batches.size() == 1);
    response =
        bench.ask(handler, grpc_request("/jaeger.api_v2.CollectorService/PostSpans", "\xff\xff"));
    CHECK(response.headers.get("grpc-status") == "3");
    response = bench.ask(handler, grpc_request("/jaeger.api_v2.Other/Call", post_spans()));
    CHECK(response.headers.get("grpc-status") == "12");
}

// Fulfils a promise with the first batch.
class PromisedSink final : public Sink {
  public:
    void accept(Batch batch, std::function<void(Result<void>)> done) override {
        done({});
        first.set_value(std::move(batch));
    }
    std::promise<Batch> first;
};

TEST_CASE("datagrams of Jaeger's client libraries arrive; garbage between them is counted") {
    Bench bench;
    PromisedSink sink;
    ReceiveParts parts{sink, bench.clock, bench.budget, bench.metrics, bench.executor};
    auto listener = JaegerDatagrams::listen("127.0.0.1", 0, JaegerDatagram::kCompact, parts, {});
    REQUIRE(listener.has_value());
    const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons((*listener)->port());
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (const std::string& bytes : {std::string("garbage"), datagram(ThriftProtocol::kCompact)}) {
        REQUIRE(::sendto(socket, bytes.data(), bytes.size(), 0,
                         reinterpret_cast<const sockaddr*>(&to),
                         sizeof to) == static_cast<ssize_t>(bytes.size()));
    }
    ::close(socket);
    const Batch batch = sink.first.get_future().get();
    CHECK(batch.spans.size() == 1);
    CHECK(batch.tenant == "default");
    listener->reset();
    CHECK(bench.has_metric(
        R"(spanloom_refused_requests_total{protocol="jaeger-compact",reason="malformed"} 1)"));
    CHECK(bench.has_metric(R"(spanloom_accepted_spans_total{protocol="jaeger-compact"} 1)"));
}

}  // namespace
}  // namespace spanloom

#include "receive/otlp_receiver.h"

#include <doctest/doctest.h>

#include "base/text.h"
#include "otlp/wire.h"
#include "receive/fakes_for_test.h"

namespace spanloom {
namespace {

using namespace receive_test;

constexpr std::string_view kGrpcPath =
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
constexpr std::string_view kProtobuf = "application/x-protobuf";
constexpr std::string_view kJson = "application/json";

http::Request otlp_http(std::string_view type, std::string_view body,
                        std::string_view encoding = {}) {
    return http_request("/v1/traces", type, body, encoding);
}

// The code of a google.rpc.Status in protobuf.
uint64_t status_code(std::string_view status) {
    otlp::WireReader reader(status);
    while (reader.next()) {
        if (reader.field() == 1) return reader.varint();
        reader.skip();
    }
    return 0;
}

// Whether a gRPC answer tells the client that a retry makes sense.
bool has_retry_info(const http::Response& response) {
    const auto details = parse_base64(response.headers.get("grpc-status-details-bin"));
    return details && details->find("google.rpc.RetryInfo") != std::string::npos;
}

std::string json_request(std::string_view fields) {
    return R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",)"
           R"("spanId":"eee19b7ec3c1b174",)" +
           std::string(fields) + "}]}]}]}";
}

std::string nested_span(uint32_t levels) {
    std::string value;
    for (uint32_t i = 1; i < levels; ++i) {
        std::string list;
        otlp::WireWriter(list).bytes_field(1, value);
        value.clear();
        otlp::WireWriter(value).bytes_field(5, list);
    }
    std::string attribute;
    otlp::WireWriter(attribute).bytes_field(2, value);
    std::string span;
    otlp::WireWriter out(span);
    out.bytes_field(1, "0123456789abcdef");
    out.bytes_field(2, "spanspan");
    out.bytes_field(9, attribute);
    std::string scope_spans;
    otlp::WireWriter(scope_spans).bytes_field(2, span);
    std::string resource_spans;
    otlp::WireWriter(resource_spans).bytes_field(2, scope_spans);
    std::string request;
    otlp::WireWriter(request).bytes_field(1, resource_spans);
    return request;
}

}  // namespace

TEST_CASE("spans over OTLP/HTTP protobuf reach the sink and are answered when they are durable") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    bench.sink.is_holding = true;
    auto responder = std::make_shared<FakeResponder>();
    handler(otlp_http(kProtobuf, otlp_request()), responder);
    CHECK(responder->answers.empty());
    REQUIRE(bench.sink.batches.size() == 1);
    const Batch& batch = bench.sink.batches[0];
    CHECK(batch.tenant == "default");
    CHECK(batch.arrival_ns == kArrivalNs);
    CHECK(batch.span(batch.spans.at(0)).name == "GET /cart");
    CHECK(bench.has_metric("spanloom_accepted_spans_total{protocol=\"otlp-http-protobuf\"} 0"));
    bench.sink.waiting.at(0)({});
    REQUIRE(responder->answers.size() == 1);
    CHECK(responder->answers[0].status == 200);
    CHECK(responder->answers[0].headers.get("content-type") == kProtobuf);
    CHECK(responder->answers[0].body.empty());
    CHECK(bench.has_metric("spanloom_accepted_spans_total{protocol=\"otlp-http-protobuf\"} 1"));
    CHECK(bench.has_metric("spanloom_received_requests_total{protocol=\"otlp-http-protobuf\"} 1"));
}

TEST_CASE("JSON is answered in JSON, gRPC in gRPC") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    const auto json = bench.ask(
        handler, otlp_http("application/json; charset=utf-8", json_request("\"name\":\"n\"")));
    CHECK(json.status == 200);
    CHECK(json.headers.get("content-type") == kJson);
    CHECK(json.body == "{}");
    const auto grpc = bench.ask(handler, grpc_request(kGrpcPath, otlp_request()));
    CHECK(grpc.trailers.get("grpc-status") == "0");
    CHECK(grpc.body == std::string(5, '\0'));
    CHECK(bench.sink.batches.size() == 2);
}

TEST_CASE("rejected spans are counted to the sender in each form, the good ones stored") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    const std::string mixed = otlp_request({"0123456789abcdef", "short", ""});
    const std::string text =
        "2 spans rejected: trace_id of 5 bytes, must be 16 (1); trace_id missing (1)";
    const auto protobuf = bench.ask(handler, otlp_http(kProtobuf, mixed));
    CHECK(protobuf.status == 200);
    CHECK(protobuf.body.find(text) != std::string::npos);
    otlp::WireReader outer(protobuf.body);
    REQUIRE(outer.next());
    otlp::WireReader partial(outer.bytes());
    REQUIRE(partial.next());
    CHECK(partial.field() == 1);
    CHECK(partial.varint() == 2);
    const auto grpc = bench.ask(handler, grpc_request(kGrpcPath, mixed));
    CHECK(grpc.trailers.get("grpc-status") == "0");
    CHECK(grpc.body.find(text) != std::string::npos);
    const auto json = bench.ask(
        handler, otlp_http(kJson, R"({"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]}]})"));
    CHECK(
        json.body ==
        R"({"partialSuccess":{"rejectedSpans":"1","errorMessage":"1 span rejected: trace_id missing"}})");
    REQUIRE(bench.sink.batches.size() == 2);
    CHECK(bench.sink.batches[0].spans.size() == 1);
    CHECK(bench.has_metric("spanloom_rejected_spans_total{protocol=\"otlp-http-protobuf\"} 2"));
}

TEST_CASE("gzip, deflate and zstd are inflated over HTTP and gRPC") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    const std::string plain = otlp_request();
    const std::vector<std::pair<std::string, std::string>> forms = {
        {"gzip", gzipped(plain)},
        {"deflate", deflated(plain, 15)},
        {"deflate", deflated(plain, -15)},
        {"zstd", zstd_compressed(plain)}};
    for (const auto& [name, bytes] : forms) {
        CHECK(bench.ask(handler, otlp_http(kProtobuf, bytes, name)).status == 200);
        CHECK(
            bench.ask(handler, grpc_request(kGrpcPath, bytes, name)).trailers.get("grpc-status") ==
            "0");
    }
    CHECK(bench.ask(handler, otlp_http(kProtobuf, plain, "identity")).status == 200);
    REQUIRE(bench.sink.batches.size() == 9);
    for (const Batch& batch : bench.sink.batches)
        CHECK(batch.bytes.view() == plain);
}

TEST_CASE("other encodings are refused with those that are taken") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    const auto http = bench.ask(handler, otlp_http(kProtobuf, otlp_request(), "snappy"));
    CHECK(http.status == 415);
    CHECK(http.headers.get("accept-encoding").find("zstd") != std::string::npos);
    const auto grpc = bench.ask(handler, grpc_request(kGrpcPath, otlp_request(), "snappy"));
    CHECK(grpc.headers.get("grpc-status") == "12");
    CHECK(grpc.headers.get("grpc-accept-encoding") == "identity, gzip, deflate, zstd");
}

TEST_CASE("a body that inflates past the limit is refused for good, over HTTP and gRPC") {
    Bench bench;
    ReceiveOptions options;
    options.inflated_bytes_max = 1U << 20;
    const auto handler = make_otlp_handler(bench.parts(), options);
    const std::string zeros((1U << 20) + 1, '\0');
    const std::vector<std::pair<std::string, std::string>> bombs = {
        {"gzip", gzipped(zeros)},
        {"deflate", deflated(zeros, 15)},
        {"zstd", zstd_compressed(zeros)}};
    for (const auto& [name, bytes] : bombs) {
        const auto http = bench.ask(handler, otlp_http(kProtobuf, bytes, name));
        CHECK(http.status == 413);
        CHECK_FALSE(http.headers.has("retry-after"));
        CHECK(status_code(http.body) == 8);
        const auto grpc = bench.ask(handler, grpc_request(kGrpcPath, bytes, name));
        CHECK(grpc.headers.get("grpc-status") == "8");
        CHECK_FALSE(has_retry_info(grpc));
    }
    CHECK(bench.ask(handler, otlp_http(kProtobuf, zeros)).status == 413);
    CHECK(bench.budget.used_bytes() == 0);
    CHECK(
        bench.has_metric("spanloom_refused_requests_total{protocol=\"otlp-http-protobuf\","
                         "reason=\"too_large\"} 4"));
}

TEST_CASE("text that shrinks far beyond the usual is inflated all the same") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    std::string big = otlp_request();
    otlp::WireWriter(big).bytes_field(99, std::string(4U << 20, 'x'));
    CHECK(bench.ask(handler, otlp_http(kProtobuf, gzipped(big), "gzip")).status == 200);
    CHECK(bench.sink.batches.at(0).bytes.size() == big.size());
}

TEST_CASE("damaged, truncated, nested and trailing compressed data are bad requests") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    const std::string good = gzipped(otlp_request());
    std::string flipped = good;
    flipped[flipped.size() - 6] ^= 1;
    for (const std::string& body : {good.substr(0, good.size() / 2), good + "garbage", flipped,
                                    std::string("not gzip at all"), gzipped(good)})
        CHECK(bench.ask(handler, otlp_http(kProtobuf, body, "gzip")).status == 400);
    CHECK(bench.ask(handler, otlp_http(kProtobuf, gzipped(good), "gzip, gzip")).status == 400);
    // A zstd frame that declares 4 GiB with a window of 2 GiB.
    const std::string huge("\x28\xb5\x2f\xfd\x80\xa8\xff\xff\xff\xff\x01\x00\x00", 13);
    const auto answer = bench.ask(handler, otlp_http(kProtobuf, huge, "zstd"));
    CHECK((answer.status == 400 || answer.status == 413));
    CHECK(bench.sink.batches.empty());
    CHECK(bench.budget.used_bytes() == 0);
}

TEST_CASE("what cannot be walked is a bad request, told in the request's own form") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    const auto protobuf = bench.ask(handler, otlp_http(kProtobuf, "\x0b\x0b\x0b"));
    CHECK(protobuf.status == 400);
    CHECK(protobuf.headers.get("content-type") == kProtobuf);
    CHECK(status_code(protobuf.body) == 3);
    const auto json = bench.ask(handler, otlp_http(kJson, "{\"resourceSpans\":5}"));
    CHECK(json.status == 400);
    CHECK(json.headers.get("content-type") == kJson);
    CHECK(json.body.find("\"code\":3") != std::string::npos);
    CHECK(json.body.find("resourceSpans: must be a list") != std::string::npos);
    const auto grpc = bench.ask(handler, grpc_request(kGrpcPath, "\x0a\xff"));
    CHECK(grpc.headers.get("grpc-status") == "3");
    CHECK_FALSE(has_retry_info(grpc));
    CHECK(bench.has_metric(
        "spanloom_refused_requests_total{protocol=\"otlp-grpc\",reason=\"malformed\"} 1"));
}

TEST_CASE("values nested far too deeply reject their span in protobuf and in JSON") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    const auto protobuf = bench.ask(handler, otlp_http(kProtobuf, nested_span(101)));
    CHECK(protobuf.status == 200);
    CHECK(protobuf.body.find("nested deeper than 64 levels") != std::string::npos);
    std::string value;
    for (int i = 0; i < 200'000; ++i)
        value += R"({"arrayValue":{"values":[)";
    const auto unclosed = bench.ask(
        handler,
        otlp_http(kJson, json_request(R"("attributes":[{"key":"k","value":)" + value + "}]")));
    CHECK(unclosed.status == 400);
    for (int i = 0; i < 200'000; ++i)
        value += "]}}";
    const auto json = bench.ask(
        handler,
        otlp_http(kJson, json_request(R"("attributes":[{"key":"k","value":)" + value + "}]")));
    CHECK(json.body.find("nested deeper than 64 levels") != std::string::npos);
    CHECK(bench.sink.batches.empty());
}

TEST_CASE("empty bodies are empty requests; missing and foreign content types are refused") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    CHECK(bench.ask(handler, otlp_http(kProtobuf, "")).status == 200);
    CHECK(bench.ask(handler, otlp_http(kJson, "")).body == "{}");
    CHECK(bench.ask(handler, grpc_request(kGrpcPath, "")).trailers.get("grpc-status") == "0");
    CHECK(bench.ask(handler, otlp_http("", otlp_request())).status == 415);
    CHECK(bench.ask(handler, otlp_http("text/plain", otlp_request())).status == 415);
    CHECK(bench.sink.batches.empty());
}

TEST_CASE("overload is passed on with a time to come back, failures without") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    bench.sink.result = fail(ErrorCode::kUnavailable, "disk full");
    const auto http = bench.ask(handler, otlp_http(kProtobuf, otlp_request()));
    CHECK(http.status == 503);
    CHECK(http.headers.get("retry-after") == "1");
    CHECK(status_code(http.body) == 14);
    const auto grpc = bench.ask(handler, grpc_request(kGrpcPath, otlp_request()));
    CHECK(grpc.headers.get("grpc-status") == "14");
    CHECK(has_retry_info(grpc));
    bench.sink.result =
        tl::unexpected<Error>(Error{ErrorCode::kResourceExhausted, "too many spans a second", 7});
    const auto limited = bench.ask(handler, otlp_http(kProtobuf, otlp_request()));
    CHECK(limited.status == 429);
    CHECK(limited.headers.get("retry-after") == "7");
    const auto limited_grpc = bench.ask(handler, grpc_request(kGrpcPath, otlp_request()));
    CHECK(limited_grpc.headers.get("grpc-status") == "8");
    CHECK(has_retry_info(limited_grpc));
    bench.sink.result = fail(ErrorCode::kInternal, "a fault");
    const auto failed = bench.ask(handler, otlp_http(kProtobuf, otlp_request()));
    CHECK(failed.status == 500);
    CHECK_FALSE(failed.headers.has("retry-after"));
    CHECK(
        bench.has_metric("spanloom_refused_requests_total{protocol=\"otlp-http-protobuf\","
                         "reason=\"overloaded\"} 2"));
}

TEST_CASE("a full budget says later; a request larger than the whole budget says never") {
    Bench bench(256U << 10);
    const auto handler = make_otlp_handler(bench.parts(), {});
    {
        const Reservation others = Reservation::of(bench.budget, 255U << 10);
        const auto http = bench.ask(handler, otlp_http(kProtobuf, gzipped(otlp_request()), "gzip"));
        CHECK(http.status == 503);
        CHECK(http.headers.has("retry-after"));
        const auto grpc =
            bench.ask(handler, grpc_request(kGrpcPath, gzipped(otlp_request()), "gzip"));
        CHECK(grpc.headers.get("grpc-status") == "14");
        CHECK(has_retry_info(grpc));
    }
    std::string big = otlp_request();
    otlp::WireWriter(big).bytes_field(99, std::string(1U << 20, 'x'));
    CHECK(bench.ask(handler, otlp_http(kProtobuf, gzipped(big), "gzip")).status == 413);
    CHECK(bench.budget.used_bytes() == 0);
}

TEST_CASE("the batch holds its memory, inflated and with tables, until it goes") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    const std::string plain = otlp_request();
    CHECK(bench.ask(handler, otlp_http(kProtobuf, gzipped(plain), "gzip")).status == 200);
    REQUIRE(bench.sink.batches.at(0).memory != nullptr);
    CHECK(bench.budget.used_bytes() >= plain.size() + sizeof(SpanRef));
    bench.sink.batches.clear();
    CHECK(bench.budget.used_bytes() == 0);
}

TEST_CASE("large bodies are read by the workers, not where they arrive") {
    Bench bench;
    HeldExecutor workers;
    const auto handler =
        make_otlp_handler({bench.sink, bench.clock, bench.budget, bench.metrics, workers}, {});
    std::string big = otlp_request();
    otlp::WireWriter(big).bytes_field(99, std::string(1U << 20, 'x'));
    auto responder = std::make_shared<FakeResponder>();
    handler(otlp_http(kProtobuf, big), responder);
    CHECK(responder->answers.empty());
    workers.run();
    REQUIRE(responder->answers.size() == 1);
    CHECK(responder->answers[0].status == 200);
}

TEST_CASE("logs, metrics and profiles are answered clearly") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    for (const std::string_view path : {"/v1/logs", "/v1/metrics", "/v1development/profiles"}) {
        const auto answer = bench.ask(handler, http_request(path, kProtobuf, ""));
        CHECK(answer.status == 404);
        CHECK(answer.body.find("traces only") != std::string::npos);
    }
    for (const std::string_view path :
         {"/opentelemetry.proto.collector.logs.v1.LogsService/Export",
          "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"})
        CHECK(bench.ask(handler, grpc_request(path, "")).headers.get("grpc-status") == "12");
    CHECK(bench.has_metric(
        "spanloom_refused_requests_total{protocol=\"otlp-grpc\",reason=\"signal\"} 2"));
}

TEST_CASE("everything else a port may be asked is answered") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    http::Request get = http_request("/", "", "");
    get.method = "GET";
    CHECK(bench.ask(handler, get).body.find("/v1/traces") != std::string::npos);
    get.path = "/v1/traces";
    const auto wrong_method = bench.ask(handler, get);
    CHECK(wrong_method.status == 405);
    CHECK(wrong_method.headers.get("allow") == "POST, OPTIONS");
    CHECK(bench.ask(handler, http_request("/v1/trace", kProtobuf, "")).status == 404);
    CHECK(bench.ask(handler, http_request("/", kProtobuf, "")).status == 404);
    CHECK(bench.ask(handler, grpc_request("/x.Y/Z", "")).headers.get("grpc-status") == "12");
    http::Request old_http = grpc_request(kGrpcPath, "");
    old_http.is_http2 = false;
    CHECK(bench.ask(handler, old_http).status == 400);
    http::Request web = grpc_request(kGrpcPath, "");
    web.headers = {};
    web.headers.add("content-type", "application/grpc-web");
    CHECK(bench.ask(handler, web).headers.get("grpc-status") == "12");
}

TEST_CASE("gRPC frames that lie are refused") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    http::Request short_prefix = grpc_request(kGrpcPath, otlp_request());
    short_prefix.body = Blob::copy_of("abc");
    CHECK(bench.ask(handler, short_prefix).headers.get("grpc-status") == "3");
    http::Request long_prefix = grpc_request(kGrpcPath, otlp_request());
    long_prefix.body = Blob::copy_of(std::string_view("\0\0\0\1\0x", 6));
    CHECK(bench.ask(handler, long_prefix).headers.get("grpc-status") == "3");
    http::Request flag = grpc_request(kGrpcPath, otlp_request(), "gzip");
    flag.headers = {};
    flag.headers.add("content-type", "application/grpc");
    CHECK(bench.ask(handler, flag).headers.get("grpc-status") == "13");
    CHECK(bench.sink.batches.empty());
}

TEST_CASE("only pages of configured origins may send") {
    Bench bench;
    ReceiveOptions options;
    options.cors_origins = {"https://shop.example", "https://*.dev.example"};
    const auto handler = make_otlp_handler(bench.parts(), options);
    const auto preflight = [&](std::string_view origin) {
        http::Request request = http_request("/v1/traces", "", "");
        request.method = "OPTIONS";
        request.headers.add("origin", std::string(origin));
        request.headers.add("access-control-request-method", "POST");
        request.headers.add("access-control-request-headers", "content-type,x-team");
        return bench.ask(handler, request);
    };
    const auto allowed = preflight("https://shop.example");
    CHECK(allowed.status == 204);
    CHECK(allowed.headers.get("access-control-allow-origin") == "https://shop.example");
    CHECK(allowed.headers.get("access-control-allow-headers") == "content-type,x-team");
    CHECK(preflight("https://a.dev.example").status == 204);
    CHECK(preflight("https://evil.example").status == 403);
    CHECK(preflight("https://shop.example.evil.example").status == 403);
    http::Request send = otlp_http(kJson, "{}");
    send.headers.add("origin", "https://shop.example");
    CHECK(bench.ask(handler, send).headers.get("access-control-allow-origin") ==
          "https://shop.example");
    http::Request foreign = otlp_http(kJson, "{}");
    foreign.headers.add("origin", "https://evil.example");
    CHECK_FALSE(bench.ask(handler, foreign).headers.has("access-control-allow-origin"));
}

TEST_CASE("the tenant comes from the configured header and must be a plain name") {
    Bench bench;
    ReceiveOptions options;
    options.tenant_header = "x-scope-orgid";
    const auto handler = make_otlp_handler(bench.parts(), options);
    const auto send = [&](std::string_view tenant) {
        http::Request request = otlp_http(kProtobuf, otlp_request());
        if (!tenant.empty()) request.headers.add("x-scope-orgid", std::string(tenant));
        return bench.ask(handler, request).status;
    };
    CHECK(send("") == 200);
    CHECK(send("team-a") == 200);
    CHECK(bench.sink.batches.at(0).tenant == "default");
    CHECK(bench.sink.batches.at(1).tenant == "team-a");
    for (const std::string_view bad : {"../etc", "a/b", "a b", ".", "t\n"})
        CHECK(send(bad) == 400);
    CHECK(send(std::string(65, 'a')) == 400);
    CHECK(bench.sink.batches.size() == 2);
}

TEST_CASE("hostile requests sent again and again leave an honest sender undisturbed") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    const std::vector<std::string> poisons = {
        std::string(100'000, '\x0b'), std::string("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        nested_span(5'000),           otlp_request({std::string(15, 'x')}),
        std::string(1'000, '\xff'),   std::string(1'000, '\0')};
    for (int round = 0; round < 50; ++round) {
        for (const std::string& poison : poisons) {
            bench.ask(handler, otlp_http(kProtobuf, poison));
            bench.ask(handler, otlp_http(kJson, poison));
            bench.ask(handler, otlp_http(kProtobuf, poison, "gzip"));
            bench.ask(handler, grpc_request(kGrpcPath, poison));
            bench.ask(handler, grpc_request(kGrpcPath, poison, "zstd"));
        }
        CHECK(bench.ask(handler, otlp_http(kProtobuf, otlp_request())).status == 200);
    }
    CHECK(bench.sink.batches.size() == 50);
    bench.sink.batches.clear();
    CHECK(bench.budget.used_bytes() == 0);
}

TEST_CASE("names of services are data: no path, no line of the log is made of them") {
    Bench bench;
    const auto handler = make_otlp_handler(bench.parts(), {});
    for (const std::string& name :
         {std::string("../../etc/x"), std::string("a\nb"), std::string("%2e%2e"),
          std::string(65'536, 'x'), std::string("con")}) {
        std::string bytes = otlp_request();
        std::string value;
        otlp::WireWriter(value).bytes_field(1, name);
        std::string attribute;
        otlp::WireWriter writer(attribute);
        writer.bytes_field(1, "service.name");
        writer.bytes_field(2, value);
        std::string resource;
        otlp::WireWriter(resource).bytes_field(1, attribute);
        std::string scope_spans;
        otlp::WireReader outer(bytes);
        outer.next();
        std::string resource_spans(outer.bytes());
        otlp::WireWriter(resource_spans).bytes_field(1, resource);
        std::string request;
        otlp::WireWriter(request).bytes_field(1, resource_spans);
        CHECK(bench.ask(handler, otlp_http(kProtobuf, request)).status == 200);
        const Batch& batch = bench.sink.batches.back();
        CHECK(batch.resource(batch.resources.at(0)).service_name() == name);
    }
}

}  // namespace spanloom

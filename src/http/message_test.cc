#include "http/message.h"

#include <doctest/doctest.h>

#include "base/text.h"
#include "http/http2_flood.h"
#include "http/http2_stream.h"

using namespace spanloom;
using namespace spanloom::http;

TEST_CASE("a query string is decoded in order, with repeated and empty names") {
    const Query query = Query::parse("a=1&b=x+y%2Bz&a=2&flag&=v&&c=%zz");
    CHECK(query.get("a") == "1");
    CHECK(query.all("a") == std::vector<std::string_view>{"1", "2"});
    CHECK(query.get("b") == "x y+z");
    CHECK(query.has("flag"));
    CHECK(query.get("flag").empty());
    CHECK(query.get("c") == "%zz");
    CHECK(!query.has("d"));
}

TEST_CASE("a query of a million parameters costs a bounded number") {
    std::string text;
    for (int i = 0; i < 100'000; ++i)
        text += "a=1&";
    CHECK(Query::parse(text).all("a").size() == 1'000);
}

TEST_CASE("one gRPC message is taken out of its frame without a copy") {
    const Blob body =
        Blob::copy_of(std::string_view("\x01\x00\x00\x00\x03"
                                       "abc",
                                       8));
    auto message = parse_grpc_body(body);
    REQUIRE(message);
    CHECK(message->compressed);
    CHECK(message->message.view() == "abc");
    CHECK(message->message.data() == body.data() + 5);
}

TEST_CASE("a gRPC body that is not exactly one message is refused") {
    using namespace std::string_view_literals;
    for (const std::string_view bytes : {""sv, "\x00\x00\x00\x00"sv,
                                         "\x00\x00\x00\x00\x04"
                                         "abc"sv,
                                         "\x00\x00\x00\x00\x02"
                                         "abc"sv,
                                         "\x00\xff\xff\xff\xff"
                                         "abc"sv,
                                         "\x02\x00\x00\x00\x03"
                                         "abc"sv}) {
        auto message = parse_grpc_body(Blob::copy_of(bytes));
        REQUIRE(!message);
        CHECK(message.error().code == ErrorCode::kInvalidArgument);
    }
}

TEST_CASE("gRPC replies carry their status where clients look for it") {
    const Response good = grpc_reply("xy");
    CHECK(good.body == std::string("\0\0\0\0\x02xy", 7));
    CHECK(good.trailers.get("grpc-status") == "0");
    const Response bad = grpc_error(3, "100 % wröng\n");
    CHECK(bad.body.empty());
    CHECK(bad.headers.get("grpc-status") == "3");
    CHECK(bad.headers.get("grpc-message") == "100 %25 wr%C3%B6ng%0A");
    CHECK(!bad.headers.has("grpc-status-details-bin"));
}

TEST_CASE("a refusal says when to try again in the form of the request") {
    const Refusal refusal = {503, 14, "full", 7};
    const Response text = error_reply(refusal, "text/plain");
    CHECK(text.status == 503);
    CHECK(text.headers.get("retry-after") == "7");
    CHECK(text.body == "full\n");
    CHECK(error_reply(refusal, "application/json").body == R"({"code":14,"message":"full"})");
    const std::string status = error_reply(refusal, "application/x-protobuf").body;
    CHECK(
        status.starts_with(std::string("\x08\x0e\x12\x04"
                                       "full",
                                       8)));
    const Response grpc = error_reply(refusal, "application/grpc+proto");
    CHECK(grpc.status == 200);
    CHECK(grpc.headers.get("grpc-status") == "14");
    const auto details = parse_base64(grpc.headers.get("grpc-status-details-bin"));
    REQUIRE(details);
    CHECK(*details == encode_rpc_status(14, "full", 7));
    CHECK(details->find("type.googleapis.com/google.rpc.RetryInfo") != std::string::npos);
    CHECK(!error_reply({413, 8, "big"}, "application/grpc").headers.has("grpc-status-details-bin"));
}

TEST_CASE("control frames without work run out, with work they do not") {
    Http2Flood idle(0);
    int allowed = 0;
    while (idle.control_frame(0))
        ++allowed;
    CHECK(allowed == 2'000);
    CHECK(idle.control_frame(1'000'000'000));
    Http2Flood busy(0);
    for (int i = 0; i < 100'000; ++i) {
        REQUIRE(busy.control_frame(0));
        busy.request_done();
    }
    Http2Flood resets(0);
    allowed = 0;
    while (resets.reset_stream(0))
        ++allowed;
    CHECK(allowed == 1'000);
}

TEST_CASE("stream ids that were passed over are remembered") {
    SkippedStreamIds ids;
    ids.opened(1);
    ids.opened(3);
    ids.opened(9);
    CHECK(!ids.contains(1));
    CHECK(!ids.contains(3));
    CHECK(ids.contains(5));
    CHECK(ids.contains(7));
    CHECK(!ids.contains(9));
    for (int32_t id = 13; id < 2'000; id += 4)
        ids.opened(id);
    CHECK(ids.contains(1'991));
}

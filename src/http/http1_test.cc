#include <atomic>
#include <future>

#include "http/test_server.h"

using namespace spanloom;
using namespace spanloom::http;

namespace {

const std::string kGet = "GET /x?y=1 HTTP/1.1\r\nhost: a\r\n\r\n";
const std::string kGetClose = "GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

int status_of(const std::string& answer) {
    return answer.starts_with("HTTP/1.1 ") ? std::stoi(answer.substr(9, 3)) : 0;
}

}  // namespace

TEST_CASE("requests share a connection, pipelined ones too") {
    TestServer server;
    RawClient client(server.port);
    client.send(kGet);
    CHECK(client.receive_until("GET /x ").find("HTTP/1.1 200 OK") == 0);
    const std::string answers = client.ask(
        kGet + "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello" + kGetClose);
    CHECK(answers.find("POST /p hello") != std::string::npos);
    CHECK(answers.find("connection: close") != std::string::npos);
    CHECK(
        server.counted(R"(http_requests_total{endpoint="test",protocol="http1",class="2xx"})", 4));
}

TEST_CASE("bodies come whole, by length, in chunks and byte by byte") {
    TestServer server;
    const std::string body(300'000, 'b');
    {
        RawClient client(server.port);
        const std::string answer = client.ask(
            "POST /l HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
            "content-length: 300000\r\n\r\n" +
            body);
        CHECK(answer.ends_with("POST /l " + body));
    }
    {
        RawClient client(server.port);
        client.send(
            "POST /c HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
            "transfer-encoding: chunked\r\n\r\n");
        for (int i = 0; i < 3; ++i)
            client.send("186a0;ext=1\r\n" + body.substr(0, 100'000) + "\r\n");
        CHECK(client.ask("0\r\ntrailer: t\r\n\r\n").ends_with("POST /c " + body));
    }
    {
        RawClient client(server.port);
        const std::string request =
            "POST /s HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc";
        for (char c : request)
            client.send(std::string_view(&c, 1));
        CHECK(client.receive_all().ends_with("POST /s abc"));
    }
    CHECK(server.budget.used_bytes() == 0);
}

TEST_CASE("HEAD has the header of GET and no body") {
    TestServer server;
    RawClient client(server.port);
    const std::string answer =
        client.ask("HEAD /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    CHECK(status_of(answer) == 200);
    CHECK(answer.find("content-length: 8\r\n") != std::string::npos);
    CHECK(answer.ends_with("\r\n\r\n"));
}

TEST_CASE("what could be read in two ways is refused and the connection closed") {
    TestServer server;
    const std::string post = "POST / HTTP/1.1\r\nhost: a\r\n";
    for (const std::string& request : {
             post + "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
             post + "transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
             post + "content-length: 4\r\ncontent-length: 4\r\n\r\nabcd",
             post + "content-length: 4, 4\r\n\r\nabcd",
             post + "content-length: +4\r\n\r\nabcd",
             post + "content-length: -1\r\n\r\nabcd",
             post + "content-length: 99999999999999999999\r\n\r\n",
             post + "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
             post + "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
             post + "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
             post + "transfer-encoding: chunked\r\n\r\n5;" + std::string(1 << 20, 'e') +
                 "\r\nabcde\r\n0\r\n\r\n",
             post + "transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
             post + "transfer-encoding: chunked\r\n\r\nzz\r\n",
             post + "content-length : 4\r\n\r\nabcd",
             std::string("GET / HTTP/1.1\nhost: a\n\n"),
             std::string("GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n"),
             std::string("GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n"),
             std::string("GET x HTTP/1.1\r\nhost: a\r\n\r\n"),
             std::string("GET / HTTP/1.1\r\n\r\n"),
             std::string("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
             std::string("GET / HTTP/2.7\r\nhost: a\r\n\r\n"),
             std::string("GET / HTTP/1.1\r\nhost: a\r\nx: \x01\r\n\r\n"),
             std::string("POST / HTTP/1.1\r\nhost: a\r\nexpect: miracles\r\n\r\n"),
         }) {
        CAPTURE(request.substr(0, 200));
        RawClient client(server.port);
        const std::string answer = client.ask(request);
        CHECK(status_of(answer) == 400);
        CHECK(answer.find("connection: close") != std::string::npos);
        CHECK(answer.find("content-type: text/plain") != std::string::npos);
    }
    RawClient honest(server.port);
    CHECK(status_of(honest.ask(kGetClose)) == 200);
}

TEST_CASE("bytes of another protocol are closed without an answer") {
    TestServer server;
    RawClient client(server.port);
    CHECK(client.ask("\x16\x03\x01\x02 not HTTP\r\n\r\n").empty());
    CHECK(server.refused("bad_request"));
}

TEST_CASE("an upgrade to h2c is answered as HTTP/1.1") {
    TestServer server;
    RawClient client(server.port);
    client.send(
        "GET /u HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
        "http2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n");
    CHECK(status_of(client.receive_until("GET /u")) == 200);
}

TEST_CASE("a client that asks before sending its body is told to go on") {
    TestServer server;
    RawClient client(server.port);
    client.send("POST /e HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    CHECK(client.receive() == "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("ok");
    CHECK(client.receive_until("POST /e ok").find("HTTP/1.1 200") == 0);
}

TEST_CASE("too long a body is refused before it is read, by length and in chunks") {
    ServerLimits limits;
    limits.body_bytes_max = 1'000;
    TestServer server(limits);
    RawClient by_length(server.port);
    CHECK(status_of(by_length.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1001\r\n\r\n")) ==
          413);
    RawClient in_chunks(server.port);
    const std::string chunk = "190\r\n" + std::string(400, 'c') + "\r\n";
    CHECK(
        status_of(in_chunks.ask("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" +
                                chunk + chunk + chunk)) == 413);
    RawClient whole(server.port);
    CHECK(status_of(whole.ask("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                              "content-length: 1000\r\n\r\n" +
                              std::string(1'000, 'x'))) == 200);
    CHECK(server.refused("body_too_large", 2));
    CHECK(server.budget.used_bytes() == 0);
}

TEST_CASE("without memory the answer is 503 with Retry-After, and the connection lives") {
    TestServer server({}, echo, {}, 100'000);
    RawClient client(server.port);
    const std::string large = "POST /big HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n" +
                              std::string(200'000, 'x');
    client.send(large);
    const std::string refused = client.receive_until("try again\n");
    CHECK(status_of(refused) == 503);
    CHECK(refused.find("retry-after: 1\r\n") != std::string::npos);
    client.send("POST /chunks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n30d40\r\n" +
                std::string(200'000, 'x') + "\r\n0\r\n\r\n");
    CHECK(status_of(client.receive_until("try again\n")) == 503);
    CHECK(status_of(client.ask(kGetClose)) == 200);
    CHECK(server.budget.used_bytes() == 0);
    CHECK(server.refused("no_memory", 2));
}

TEST_CASE("too long a header is refused") {
    ServerLimits limits;
    limits.header_bytes_max = 4'096;
    TestServer server(limits);
    for (const std::string& header :
         {"x: " + std::string(8'000, 'h') + "\r\n\r\n", "x: " + std::string(1 << 20, 'h')}) {
        RawClient client(server.port);
        CHECK(status_of(client.ask("GET / HTTP/1.1\r\nhost: a\r\n" + header)) == 431);
    }
    std::string many;
    for (int i = 0; i < 500; ++i)
        many += "a:b\r\n";
    RawClient client(server.port);
    CHECK(status_of(client.ask("GET / HTTP/1.1\r\nhost: a\r\n" + many + "\r\n")) == 400);
}

TEST_CASE("slow headers, slow bodies and idle connections are ended") {
    ServerLimits limits;
    limits.header_timeout_ms = limits.body_timeout_ms = limits.idle_timeout_ms = 60;
    TestServer server(limits);
    RawClient silent(server.port);
    RawClient header(server.port);
    RawClient body(server.port);
    RawClient idle(server.port);
    header.send("GET / HTTP/1.1\r\nhos");
    body.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nab");
    idle.send(kGet);
    CHECK(status_of(header.receive_all()) == 408);
    CHECK(status_of(body.receive_all()) == 408);
    CHECK(status_of(idle.receive_all()) == 200);
    CHECK(silent.receive_all().empty());
    CHECK(server.refused("header_timeout", 2));
    CHECK(server.refused("body_timeout"));
}

TEST_CASE("a client that reads nothing is ended") {
    ServerLimits limits;
    limits.write_timeout_ms = 60;
    std::atomic<bool> was_cancelled = false;
    std::promise<void> ended;
    TestServer server(limits, [&](Request request, const std::shared_ptr<Responder>& responder) {
        std::thread([&, request = std::move(request), responder] {
            responder->begin({});
            while (responder->write(std::string(100'000, 'x'))) {
            }
            was_cancelled = request.cancelled.stop_requested();
            ended.set_value();
        }).detach();
    });
    RawClient client(server.port);
    client.send(kGet);
    REQUIRE(ended.get_future().wait_for(std::chrono::seconds(5)) == std::future_status::ready);
    CHECK(was_cancelled);
    CHECK(server.refused("write_timeout"));
}

TEST_CASE("a streamed answer arrives in order, in chunks, or until the end for HTTP/1.0") {
    TestServer server({}, [](Request, const std::shared_ptr<Responder>& responder) {
        std::thread([responder] {
            Response response;
            response.body = "first,";
            responder->begin(std::move(response));
            CHECK(responder->write("second,"));
            CHECK(responder->write(std::string(10'000, 'x')));
            responder->finish();
        }).detach();
    });
    RawClient client(server.port);
    const std::string chunked = client.ask(kGetClose);
    CHECK(chunked.find("transfer-encoding: chunked") != std::string::npos);
    CHECK(chunked.find("\r\n\r\n6\r\nfirst,\r\n7\r\nsecond,\r\n2710\r\nxxx") != std::string::npos);
    CHECK(chunked.ends_with("\r\n0\r\n\r\n"));
    RawClient old(server.port);
    const std::string plain = old.ask("GET / HTTP/1.0\r\n\r\n");
    CHECK(plain.ends_with("\r\n\r\nfirst,second," + std::string(10'000, 'x')));
}

TEST_CASE("a request is cancelled when its client goes") {
    std::promise<std::stop_token> token;
    std::shared_ptr<Responder> kept;
    TestServer server({}, [&](Request request, const std::shared_ptr<Responder>& responder) {
        kept = responder;
        token.set_value(request.cancelled);
    });
    RawClient client(server.port);
    client.send(kGet);
    const std::stop_token cancelled = token.get_future().get();
    CHECK(!cancelled.stop_requested());
    std::promise<void> gone;
    std::stop_callback callback(cancelled, [&] { gone.set_value(); });
    client.close();
    CHECK(gone.get_future().wait_for(std::chrono::seconds(5)) == std::future_status::ready);
    kept->send({});
}

TEST_CASE("a client that closes its half still gets the answer") {
    TestServer server;
    RawClient client(server.port);
    client.send(kGet);
    client.end_sending();
    CHECK(status_of(client.receive_all()) == 200);
}

TEST_CASE("a handler that forgets its responder answers 500") {
    TestServer server({}, [](Request, const std::shared_ptr<Responder>&) {});
    RawClient client(server.port);
    client.send(kGet);
    CHECK(status_of(client.receive_until("\n\r\n")) == 500);
}

TEST_CASE("a value with a line break cannot split the answer") {
    TestServer server({}, [](Request, const std::shared_ptr<Responder>& responder) {
        Response response;
        response.headers.add("x-bad", "a\r\nset-cookie: evil");
        response.headers.add("x-good", "b");
        responder->send(std::move(response));
    });
    RawClient client(server.port);
    const std::string answer = client.ask(kGetClose);
    CHECK(answer.find("evil") == std::string::npos);
    CHECK(answer.find("x-good: b") != std::string::npos);
}

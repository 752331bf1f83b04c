#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <thread>
#include <vector>

#include <nghttp2/nghttp2.h>

#include "http/test_server.h"

using namespace spanloom;
using namespace spanloom::http;

namespace {

const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
    std::string out;
    for (int shift = 16; shift >= 0; shift -= 8)
        out += static_cast<char>(payload.size() >> shift);
    out += static_cast<char>(type);
    out += static_cast<char>(flags);
    for (int shift = 24; shift >= 0; shift -= 8)
        out += static_cast<char>(stream >> shift);
    return out + payload;
}

const std::string kSettings = frame(NGHTTP2_SETTINGS, 0, 0, "");
// GET / with scheme http and authority "a", from HPACK's static table.
const std::string kGetBlock = std::string(
    "\x82\x86\x84\x41\x01"
    "a",
    6);

// The error code of the first GOAWAY among the frames; -1 where there is none.
int goaway_code(const std::string& bytes) {
    for (size_t at = 0; at + 9 <= bytes.size();) {
        const auto* head = reinterpret_cast<const uint8_t*>(bytes.data()) + at;
        const size_t size =
            static_cast<size_t>(head[0]) << 16 | static_cast<size_t>(head[1]) << 8 | head[2];
        if (head[3] == NGHTTP2_GOAWAY && at + 17 <= bytes.size()) return head[9 + 7];
        at += 9 + size;
    }
    return -1;
}

struct Answer {
    std::map<std::string, std::string> headers;
    std::string body;
    uint32_t reset = 0;
    bool is_closed = false;
};

// An nghttp2 client on a blocking socket.
class Http2Client {
  public:
    explicit Http2Client(uint16_t port, uint32_t window = 65'535) : raw_(port) {
        nghttp2_session_callbacks* callbacks = nullptr;
        nghttp2_session_callbacks_new(&callbacks);
        nghttp2_session_callbacks_set_on_header_callback(
            callbacks,
            [](nghttp2_session*, const nghttp2_frame* f, const uint8_t* name, size_t name_size,
               const uint8_t* value, size_t value_size, uint8_t, void* user) {
                static_cast<Http2Client*>(user)
                    ->answers_[f->hd.stream_id]
                    .headers[std::string(reinterpret_cast<const char*>(name), name_size)] =
                    std::string(reinterpret_cast<const char*>(value), value_size);
                return 0;
            });
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
            callbacks, [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size,
                          void* user) {
                static_cast<Http2Client*>(user)->answers_[id].body.append(
                    reinterpret_cast<const char*>(data), size);
                return 0;
            });
        nghttp2_session_callbacks_set_on_stream_close_callback(
            callbacks, [](nghttp2_session*, int32_t id, uint32_t code, void* user) {
                Answer& answer = static_cast<Http2Client*>(user)->answers_[id];
                answer.is_closed = true;
                answer.reset = code;
                return 0;
            });
        nghttp2_session_client_new(&session_, callbacks, this);
        nghttp2_session_callbacks_del(callbacks);
        const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
        nghttp2_submit_settings(session_, 0, &entry, 1);
    }
    ~Http2Client() { nghttp2_session_del(session_); }
    Http2Client(const Http2Client&) = delete;
    Http2Client& operator=(const Http2Client&) = delete;

    int32_t submit(const std::vector<std::pair<std::string, std::string>>& headers,
                   std::string body = {}) {
        std::vector<nghttp2_nv> fields;
        for (const auto& [name, value] : headers) {
            fields.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                              reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())),
                              name.size(), value.size(), 0});
        }
        auto& kept = bodies_.emplace_back(std::make_unique<Body>(Body{std::move(body), 0}));
        nghttp2_data_provider provider = {};
        provider.source.ptr = kept.get();
        provider.read_callback = [](nghttp2_session*, int32_t, uint8_t* to, size_t size,
                                    uint32_t* flags, nghttp2_data_source* source, void*) {
            auto& from = *static_cast<Body*>(source->ptr);
            const size_t n = std::min(size, from.text.size() - from.sent);
            std::copy_n(from.text.data() + from.sent, n, to);
            from.sent += n;
            if (from.sent == from.text.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
            return static_cast<ssize_t>(n);
        };
        return nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(),
                                      kept->text.empty() ? nullptr : &provider, nullptr);
    }
    int32_t grpc(const std::string& message, const std::string& path = "/s/m") {
        std::string body(1, '\0');
        for (int shift = 24; shift >= 0; shift -= 8)
            body += static_cast<char>(message.size() >> shift);
        return submit({{":method", "POST"},
                       {":scheme", "http"},
                       {":path", path},
                       {":authority", "a"},
                       {"te", "trailers"},
                       {"content-type", "application/grpc"}},
                      body + message);
    }
    int32_t get(const std::string& path, const std::string& method = "GET") {
        return submit(
            {{":method", method}, {":scheme", "http"}, {":path", path}, {":authority", "a"}});
    }
    bool push() {
        for (;;) {
            const uint8_t* data = nullptr;
            const ssize_t size = nghttp2_session_mem_send(session_, &data);
            if (size <= 0) return true;
            if (!raw_.send({reinterpret_cast<const char*>(data), static_cast<size_t>(size)}))
                return false;
        }
    }
    // False at the end of the connection.
    bool step() {
        push();
        const std::string bytes = raw_.receive();
        if (bytes.empty()) return false;
        return nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()),
                                        bytes.size()) >= 0;
    }
    Answer& wait(int32_t id) {
        while (!answers_[id].is_closed && step()) {
        }
        push();
        return answers_[id];
    }
    Answer& answer(int32_t id) { return answers_[id]; }
    nghttp2_session* session() { return session_; }
    RawClient& raw() { return raw_; }

  private:
    struct Body {
        std::string text;
        size_t sent;
    };
    RawClient raw_;
    nghttp2_session* session_ = nullptr;
    std::vector<std::unique_ptr<Body>> bodies_;
    std::map<int32_t, Answer> answers_;
};

}  // namespace

TEST_CASE("HTTP/2 answers many streams of one connection") {
    TestServer server;
    Http2Client client(server.port);
    std::vector<int32_t> ids;
    for (int i = 0; i < 200; ++i)
        ids.push_back(client.get("/" + std::to_string(i)));
    for (int i = 0; i < 200; ++i) {
        Answer& answer = client.wait(ids[static_cast<size_t>(i)]);
        CHECK(answer.headers[":status"] == "200");
        CHECK(answer.body == "GET /" + std::to_string(i) + " ");
        CHECK(answer.headers["content-length"] == std::to_string(answer.body.size()));
    }
    Answer& head = client.wait(client.get("/h", "HEAD"));
    CHECK(head.headers["content-length"] == "8");
    CHECK(head.body.empty());
    CHECK(server.counted(R"(http_requests_total{endpoint="test",protocol="http2",class="2xx"})",
                         201));
}

TEST_CASE("gRPC requests of every size arrive whole and are answered with trailers") {
    TestServer server;
    Http2Client client(server.port);
    for (const size_t size : {0UL, 1UL, 10UL, 16'379UL, 250'000UL, 3'000'000UL}) {
        Answer& answer = client.wait(client.grpc(std::string(size, 'm')));
        CHECK(answer.headers[":status"] == "200");
        CHECK(answer.headers["grpc-status"] == "0");
        CHECK(answer.body.substr(5) == std::to_string(size));
    }
    CHECK(server.budget.used_bytes() == 0);
    CHECK(server.counted(R"(http_requests_total{endpoint="test",protocol="grpc",class="2xx"})", 6));
}

TEST_CASE("a gRPC prefix in pieces of one byte is understood") {
    TestServer server;
    RawClient client(server.port);
    client.send(kPreface + kSettings);
    // POST with content-type application/grpc as a literal field.
    const std::string block = std::string(
                                  "\x83\x86\x44\x02/m\x41\x01"
                                  "a\x5f\x10",
                                  11) +
                              "application/grpc";
    client.send(frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, block));
    const std::string body(
        "\0\0\0\0\x03"
        "abc",
        8);
    for (size_t i = 0; i < body.size(); ++i) {
        client.send(frame(NGHTTP2_DATA, i + 1 == body.size() ? NGHTTP2_FLAG_END_STREAM : 0, 1,
                          body.substr(i, 1)));
    }
    const std::string reply(
        "\0\0\0\0\x01"
        "3",
        6);
    CHECK(client.receive_until(reply).find(reply) != std::string::npos);
}

TEST_CASE("gRPC that is too large is refused for good, without memory for a while") {
    ServerLimits limits;
    limits.body_bytes_max = 500'000;
    TestServer server(limits, echo, {}, 300'000);
    Http2Client client(server.port);
    Answer& large = client.wait(client.grpc(std::string(500'000, 'm')));
    CHECK(large.headers["grpc-status"] == "8");
    CHECK(!large.headers.contains("grpc-status-details-bin"));
    Answer& full = client.wait(client.grpc(std::string(400'000, 'm')));
    CHECK(full.headers["grpc-status"] == "14");
    CHECK(full.headers.contains("grpc-status-details-bin"));
    Answer& plain = client.wait(client.submit({{":method", "POST"},
                                               {":scheme", "http"},
                                               {":path", "/p"},
                                               {":authority", "a"},
                                               {"content-length", "600000"}},
                                              std::string(600'000, 'x')));
    CHECK(plain.headers[":status"] == "413");
    CHECK(client.wait(client.grpc(std::string(100'000, 'm'))).headers["grpc-status"] == "0");
    CHECK(server.budget.used_bytes() == 0);
    CHECK(server.refused("body_too_large", 2));
    CHECK(server.refused("no_memory"));
}

TEST_CASE("malformed gRPC gets a status") {
    TestServer server;
    Http2Client client(server.port);
    const std::vector<std::pair<std::string, std::string>> headers = {
        {":method", "POST"},
        {":scheme", "http"},
        {":path", "/s/m"},
        {":authority", "a"},
        {"content-type", "application/grpc"},
        {"x-odd-bin", "!!not base64!!"}};
    for (const std::string& body : {std::string("\0\0\0", 3),
                                    std::string("\0\0\0\0\x09"
                                                "abc",
                                                8),
                                    std::string("\x07\0\0\0\x03"
                                                "abc",
                                                8)}) {
        CHECK(client.wait(client.submit(headers, body)).headers["grpc-status"] == "3");
    }
    Answer& lying = client.wait(client.submit(headers, std::string("\0\xff\xff\xff\xff"
                                                                   "abc",
                                                                   8)));
    CHECK(lying.headers["grpc-status"] == "8");
}

TEST_CASE("odd header fields end one stream, never the server") {
    TestServer server;
    Http2Client client(server.port);
    nghttp2_session_get_root_stream(client.session());
    const std::string get("\x82", 1);
    const auto ask = [&](const std::string& block) {
        RawClient raw(server.port);
        raw.send(
            kPreface + kSettings +
            frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block) +
            frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 3,
                  kGetBlock));
        return raw.receive_until("GET / ");
    };
    // te: x; :path without a slash under an odd scheme; no :path; upper case name.
    for (const std::string& block : {kGetBlock + std::string("\x00\x02te\x01x", 6),
                                     std::string("\x82\x46\x01x\x44\x01x\x41\x01"
                                                 "a",
                                                 10),
                                     std::string("\x82\x86\x41\x01"
                                                 "a",
                                                 5),
                                     kGetBlock + std::string("\x00\x02Xy\x01x", 6)}) {
        CHECK(ask(block).find("GET / ") != std::string::npos);
    }
    CHECK(client.wait(client.get("/ok")).headers[":status"] == "200");
}

TEST_CASE("floods of frames without work are ended with ENHANCE_YOUR_CALM") {
    TestServer server;
    std::vector<std::string> floods = {
        frame(NGHTTP2_PING, 0, 0, "12345678"),
        frame(NGHTTP2_SETTINGS, 0, 0, ""),
        frame(NGHTTP2_WINDOW_UPDATE, 0, 0, std::string("\0\0\0\x01", 4)),
        frame(NGHTTP2_PRIORITY, 0, 1, std::string("\0\0\0\0\x01", 5)),
        frame(0xbb, 0, 0, "unknown"),
    };
    uint64_t ended = 0;
    for (const std::string& one : floods) {
        CAPTURE(static_cast<int>(one[3]));
        RawClient client(server.port);
        client.send(kPreface + kSettings);
        std::string many;
        for (int i = 0; i < 1'000; ++i)
            many += one;
        std::thread sender([&] {
            for (int i = 0; i < 100 && client.send(many); ++i) {
            }
        });
        CHECK(goaway_code(client.receive_all()) == NGHTTP2_ENHANCE_YOUR_CALM);
        client.end_sending();
        sender.join();
        ++ended;
    }
    CHECK(server.refused("flood", ended));
    Http2Client honest(server.port);
    CHECK(honest.wait(honest.get("/ok")).headers[":status"] == "200");
}

TEST_CASE("empty DATA frames and frames of padding are a flood too") {
    TestServer server;
    for (const std::string& one :
         {frame(NGHTTP2_DATA, 0, 1, ""),
          frame(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, std::string("\x03\0\0\0", 4))}) {
        RawClient client(server.port);
        client.send(kPreface + kSettings);
        client.send(
            frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, "\x83" + kGetBlock.substr(1)));
        std::string many;
        for (int i = 0; i < 3'000; ++i)
            many += one;
        client.send(many);
        CHECK(goaway_code(client.receive_all()) == NGHTTP2_ENHANCE_YOUR_CALM);
    }
}

TEST_CASE("rapid resets end the connection after a bounded number of requests") {
    std::atomic<int> handled = 0;
    TestServer server({}, [&](Request request, const std::shared_ptr<Responder>& responder) {
        ++handled;
        echo(std::move(request), responder);
    });
    RawClient client(server.port);
    client.send(kPreface + kSettings);
    std::thread sender([&] {
        for (uint32_t id = 1; id < 100'001; id += 2) {
            const std::string pair =
                frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id,
                      kGetBlock) +
                frame(NGHTTP2_RST_STREAM, 0, id, std::string("\0\0\0\x08", 4));
            if (!client.send(pair)) return;
        }
    });
    CHECK(goaway_code(client.receive_all()) == NGHTTP2_ENHANCE_YOUR_CALM);
    client.end_sending();
    sender.join();
    CHECK(handled < 10'000);
    CHECK(server.refused("flood"));
}

TEST_CASE("CONTINUATION floods and huge header lists are bounded") {
    ServerLimits limits;
    limits.header_bytes_max = 16'384;
    TestServer server(limits);
    {
        RawClient client(server.port);
        client.send(kPreface + kSettings + frame(NGHTTP2_HEADERS, 0, 1, kGetBlock));
        std::string many;
        for (int i = 0; i < 100; ++i)
            many += frame(NGHTTP2_CONTINUATION, 0, 1, std::string("\x00\x01x\x01y", 5));
        client.send(many);
        CHECK(goaway_code(client.receive_all()) > 0);
    }
    {
        // One literal of 4,000 bytes put into the table, then named a million times.
        RawClient client(server.port);
        std::string block =
            kGetBlock + std::string("\x40\x01x\x7f\xa1\x1e", 6) + std::string(4'000, 'v');
        block += std::string(10'000, '\xbe');
        client.send(kPreface + kSettings +
                    frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, block));
        CHECK(goaway_code(client.receive_all()) == NGHTTP2_ENHANCE_YOUR_CALM);
    }
    {
        // A little too long is the mistake of an honest client, which is told.
        Http2Client client(server.port);
        const int32_t id = client.submit({{":method", "GET"},
                                          {":scheme", "http"},
                                          {":path", "/"},
                                          {":authority", "a"},
                                          {"x-a", std::string(10'000, 'a')},
                                          {"x-b", std::string(10'000, 'b')}});
        CHECK(client.wait(id).headers[":status"] == "431");
        CHECK(client.wait(client.get("/ok")).headers[":status"] == "200");
    }
}

TEST_CASE("a header on a stream id that was passed over is a connection error") {
    TestServer server;
    RawClient client(server.port);
    const uint8_t flags = NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM;
    client.send(kPreface + kSettings + frame(NGHTTP2_HEADERS, flags, 5, kGetBlock) +
                frame(NGHTTP2_HEADERS, flags, 3, kGetBlock));
    CHECK(goaway_code(client.receive_all()) == NGHTTP2_PROTOCOL_ERROR);
}

TEST_CASE("slow headers, slow bodies and idle connections of HTTP/2 are ended") {
    ServerLimits limits;
    limits.header_timeout_ms = limits.body_timeout_ms = 60;
    limits.idle_timeout_ms = 200;
    TestServer server(limits);
    RawClient preface(server.port);
    preface.send("PRI * HTTP/2.0\r\n\r\n");
    RawClient header(server.port);
    header.send(kPreface + kSettings + frame(NGHTTP2_HEADERS, 0, 1, kGetBlock));
    RawClient idle(server.port);
    idle.send(kPreface + kSettings);
    RawClient body(server.port);
    body.send(kPreface + kSettings +
              frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, "\x83" + kGetBlock.substr(1)));
    CHECK(body.receive_until("took longer").find("request body took longer") != std::string::npos);
    preface.receive_all();
    header.receive_all();
    CHECK(goaway_code(idle.receive_all()) == NGHTTP2_NO_ERROR);
    CHECK(server.refused("header_timeout", 2));
    CHECK(server.refused("body_timeout"));
}

TEST_CASE("a reader that opens no window is cut off, writers wait for readers") {
    ServerLimits limits;
    limits.write_timeout_ms = 60;
    limits.write_bytes_max = 50'000;
    std::promise<size_t> written;
    TestServer server(limits, [&](Request, const std::shared_ptr<Responder>& responder) {
        std::thread([&, responder] {
            responder->begin({});
            size_t parts = 0;
            while (responder->write(std::string(10'000, 'x')))
                ++parts;
            written.set_value(parts);
        }).detach();
    });
    Http2Client client(server.port, 0);
    const int32_t id = client.get("/stream");
    Answer& answer = client.wait(id);
    CHECK(answer.reset == NGHTTP2_CANCEL);
    auto parts = written.get_future();
    REQUIRE(parts.wait_for(std::chrono::seconds(5)) == std::future_status::ready);
    CHECK(parts.get() <= 6);
    CHECK(server.refused("write_timeout"));
}

TEST_CASE("a request is cancelled by a reset of its stream and by the end of its connection") {
    for (const bool by_reset : {true, false}) {
        std::promise<std::stop_token> token;
        std::shared_ptr<Responder> kept;
        TestServer server({}, [&](Request request, const std::shared_ptr<Responder>& responder) {
            kept = responder;
            token.set_value(request.cancelled);
        });
        Http2Client client(server.port);
        const int32_t id = client.get("/wait");
        client.push();
        const std::stop_token cancelled = token.get_future().get();
        std::promise<void> gone;
        std::stop_callback callback(cancelled, [&] { gone.set_value(); });
        if (by_reset) {
            nghttp2_submit_rst_stream(client.session(), 0, id, NGHTTP2_CANCEL);
            client.push();
        } else {
            client.raw().close();
        }
        CHECK(gone.get_future().wait_for(std::chrono::seconds(5)) == std::future_status::ready);
        kept->send({});
    }
}

TEST_CASE("a streamed HTTP/2 answer arrives whole, with trailers") {
    TestServer server({}, [](Request, const std::shared_ptr<Responder>& responder) {
        std::thread([responder] {
            responder->begin({});
            for (int i = 0; i < 500; ++i)
                CHECK(responder->write(std::string(10'000, 'x')));
            Headers trailers;
            trailers.add("grpc-status", "0");
            responder->finish(std::move(trailers));
        }).detach();
    });
    Http2Client client(server.port);
    Answer& answer = client.wait(client.get("/stream"));
    CHECK(answer.body.size() == 5'000'000);
    CHECK(answer.headers["grpc-status"] == "0");
}

TEST_CASE("replies from many threads reach their own requests") {
    TestServer server({}, [](Request request, const std::shared_ptr<Responder>& responder) {
        std::thread([path = request.path, responder] {
            Response response;
            response.body = path;
            responder->send(std::move(response));
        }).detach();
    });
    Http2Client client(server.port);
    std::map<int32_t, std::string> asked;
    for (int i = 0; i < 100; ++i) {
        const std::string path = "/" + std::to_string(i);
        asked[client.get(path)] = path;
    }
    for (const auto& [id, path] : asked)
        CHECK(client.wait(id).body == path);
}

TEST_CASE("stop lets requests in flight finish and says so with GOAWAY") {
    std::promise<std::shared_ptr<Responder>> held;
    TestServer server({}, [&](Request, const std::shared_ptr<Responder>& responder) {
        held.set_value(responder);
    });
    Http2Client client(server.port);
    const int32_t id = client.get("/slow");
    client.push();
    std::shared_ptr<Responder> responder = held.get_future().get();
    std::thread stopper([&] { server.server->stop(5'000); });
    while (nghttp2_session_check_request_allowed(client.session()) != 0 && client.step()) {
    }
    CHECK(nghttp2_session_check_request_allowed(client.session()) == 0);
    Response response;
    response.body = "late";
    responder->send(std::move(response));
    CHECK(client.wait(id).body == "late");
    client.raw().close();
    stopper.join();
}

TEST_CASE("stop closes what does not finish in its grace") {
    std::promise<std::shared_ptr<Responder>> held;
    TestServer server({}, [&](Request, const std::shared_ptr<Responder>& responder) {
        held.set_value(responder);
    });
    Http2Client client(server.port);
    client.get("/never");
    client.push();
    std::shared_ptr<Responder> responder = held.get_future().get();
    server.server->stop(20);
    while (client.step()) {
    }
    responder->send({});
    server.server->stop(20);
}

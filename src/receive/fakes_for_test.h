#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <zlib.h>
#include <zstd.h>

#include "otlp/writer.h"
#include "receive/otlp_receiver.h"

// Stand-ins around a receiver: who sent the request, and what comes after it.
namespace spanloom::receive_test {

constexpr uint64_t kArrivalNs = 1'800'000'000'000'000'000;

class FakeResponder final : public http::Responder {
  public:
    void send(http::Response response) override { answers.push_back(std::move(response)); }
    void begin(http::Response) override {}
    bool write(std::string) override { return false; }
    void finish(http::Headers) override {}

    std::vector<http::Response> answers;
};

// Keeps the batches; answers at once with `result`, or later where `is_holding`.
class FakeSink final : public Sink {
  public:
    void accept(Batch batch, std::function<void(Result<void>)> done) override {
        batches.push_back(std::move(batch));
        if (is_holding) {
            waiting.push_back(std::move(done));
        } else {
            done(result);
        }
    }

    std::vector<Batch> batches;
    std::vector<std::function<void(Result<void>)>> waiting;
    bool is_holding = false;
    Result<void> result;
};

// Collects posted work until told to run it.
class HeldExecutor final : public Executor {
  public:
    void post(std::function<void()> work) override { queue.push_back(std::move(work)); }
    void run() {
        for (auto& work : std::exchange(queue, {}))
            work();
    }
    std::vector<std::function<void()>> queue;
};

// A receiver with everything around it.
struct Bench {
    explicit Bench(size_t budget_bytes = 1U << 30) : budget(budget_bytes) {}

    ReceiveParts parts() { return {sink, clock, budget, metrics, executor}; }
    // The one answer to a request.
    http::Response ask(const http::Handler& handler, http::Request request) {
        auto responder = std::make_shared<FakeResponder>();
        handler(std::move(request), responder);
        REQUIRE(responder->answers.size() == 1);
        return responder->answers[0];
    }
    bool has_metric(std::string_view line) const {
        return metrics.render().find(std::string(line) + "\n") != std::string::npos;
    }

    FakeSink sink;
    ManualClock clock{kArrivalNs};
    MemoryBudget budget;
    MetricsRegistry metrics;
    InlineExecutor executor;
};

inline http::Request http_request(std::string_view path, std::string_view content_type,
                                  std::string_view body, std::string_view encoding = {}) {
    http::Request request;
    request.method = "POST";
    request.path = path;
    if (!content_type.empty()) request.headers.add("content-type", std::string(content_type));
    if (!encoding.empty()) request.headers.add("content-encoding", std::string(encoding));
    request.body = Blob::copy_of(body);
    request.peer = "127.0.0.1:50001";
    return request;
}

inline http::Request grpc_request(std::string_view path, std::string_view message,
                                  std::string_view encoding = {}) {
    std::string frame(1, encoding.empty() ? '\0' : '\1');
    for (int shift = 24; shift >= 0; shift -= 8)
        frame += static_cast<char>(message.size() >> shift);
    frame += message;
    http::Request request = http_request(path, "application/grpc", frame);
    if (!encoding.empty()) request.headers.add("grpc-encoding", std::string(encoding));
    request.is_http2 = true;
    return request;
}

inline std::string deflated(std::string_view bytes, int window_bits) {
    z_stream stream{};
    REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string out(deflateBound(&stream, bytes.size()) + 32, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}
inline std::string gzipped(std::string_view bytes) {
    return deflated(bytes, 15 + 16);
}

inline std::string zstd_compressed(std::string_view bytes) {
    std::string out(ZSTD_compressBound(bytes.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 1));
    return out;
}

// A request of spans of service "cart", one for each trace id given (16 bytes is right).
inline std::string otlp_request(const std::vector<std::string>& trace_ids = {"0123456789abcdef"}) {
    std::string bytes;
    otlp::WireWriter out(bytes);
    const size_t resource_spans = out.begin(1);
    const size_t scope_spans = out.begin(2);
    for (const std::string& id : trace_ids) {
        const size_t span = out.begin(2);
        out.bytes_field(1, id);
        out.bytes_field(2, "spanspan");
        out.bytes_field(5, "GET /cart");
        out.end(span);
    }
    out.end(scope_spans);
    out.end(resource_spans);
    return bytes;
}

}  // namespace spanloom::receive_test

#include "api/remote_write.h"

#include <algorithm>
#include <cstring>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <snappy-c.h>

#include "send/proto_reader.h"

// Samples as a remote-write receiver gets them.
namespace spanloom::api {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

std::string inflated(std::string_view body) {
    size_t size = 0;
    REQUIRE(snappy_uncompressed_length(body.data(), body.size(), &size) == SNAPPY_OK);
    std::string out(size, '\0');
    REQUIRE(snappy_uncompress(body.data(), body.size(), out.data(), &size) == SNAPPY_OK);
    return out;
}

double double_of(uint64_t bits) {
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

std::string exemplar_text(std::string_view exemplar) {
    std::string out = "exemplar";
    for (send::ProtoReader one(exemplar); one.next();) {
        if (one.field() == 1) {
            for (send::ProtoReader label(one.bytes()); label.next();)
                out += (label.field() == 1 ? " " : "=") + std::string(label.bytes());
        } else if (one.field() == 2) {
            out += fmt::format(" {}", double_of(one.number()));
        } else {
            out += fmt::format(" @{}\n", one.number());
        }
    }
    return out;
}

// A WriteRequest as text: "name=value ... @time value" a line.
std::string text_of(std::string_view request) {
    std::string out;
    for (send::ProtoReader all(request); all.next();) {
        REQUIRE(all.field() == 1);
        for (send::ProtoReader series(all.bytes()); series.next();) {
            std::string parts[2];
            uint64_t time = 0;
            double value = 0;
            if (series.field() == 3) {
                out += exemplar_text(series.bytes());
                continue;
            }
            for (send::ProtoReader one(series.bytes()); one.next();) {
                if (series.field() == 1) {
                    parts[one.field() - 1] = one.bytes();
                } else if (one.field() == 1) {
                    value = double_of(one.number());
                } else {
                    time = one.number();
                }
            }
            out += series.field() == 1 ? fmt::format("{}={} ", parts[0], parts[1])
                                       : fmt::format("@{} {}\n", time, value);
        }
    }
    return out;
}

struct FakeSender final : RemoteWriteSender {
    struct State {
        std::vector<std::string> bodies;
        std::vector<int> statuses;  // of the next calls; 0: no answer; none left: 200
        uint64_t wait_ms = 0;
    };
    explicit FakeSender(State& given) : state(given) {}

    Result<Answer> post(std::string_view body, uint64_t) override {
        int status = 200;
        if (!state.statuses.empty()) {
            status = state.statuses.front();
            state.statuses.erase(state.statuses.begin());
        }
        if (status == 0) return fail(ErrorCode::kUnavailable, "nobody is there");
        state.bodies.push_back(std::string(body));
        return Answer{status, state.wait_ms, status == 200 ? "" : "no"};
    }

    State& state;
};

struct Writing {
    ManualClock clock{1'700'000'000 * kSecond};
    MetricsRegistry metrics;
    FakeSender::State server;
    uint64_t scrapes = 0;
    std::string error;
    std::unique_ptr<RemoteWriter> writer;

    explicit Writing(size_t queue_bytes_max = RemoteWriter::kQueueBytesMax) {
        const auto scrape = [this]() -> Result<std::string> {
            ++scrapes;
            if (!error.empty()) return fail(ErrorCode::kInternal, "{}", error);
            return fmt::format("calls {}\n", scrapes);
        };
        writer = std::make_unique<RemoteWriter>(
            RemoteWriteTarget{"http://x/write", {}, 15'000}, std::make_unique<FakeSender>(server),
            scrape, clock, std::make_unique<SeededRandom>(1), metrics, queue_bytes_max);
    }
    void run(uint64_t seconds) {
        for (uint64_t i = 0; i < 4 * seconds; ++i) {
            writer->step();
            clock.advance(kSecond / 4);
        }
    }
    std::vector<std::string> arrived() const {
        std::vector<std::string> all;
        for (const std::string& body : server.bodies)
            all.push_back(text_of(inflated(body)));
        return all;
    }
};

std::string error_of(std::string_view json) {
    const auto targets = parse_remote_write(json);
    REQUIRE_FALSE(targets.has_value());
    return targets.error().message;
}

}  // namespace

TEST_CASE("exemplars go along with the samples that have them") {
    const auto requests = encode_write_requests(
        "# TYPE latency histogram\n"
        "latency_bucket{le=\"2\"} 7 # {trace_id=\"ab\",span_id=\"c\"} 1.5 1700000000.25\n"
        "latency_bucket{le=\"4\"} 7 # {broken\n"
        "latency_count 7\n# EOF\n",
        1000, 1 << 20);
    REQUIRE(requests.size() == 1);
    CHECK(text_of(requests[0]) ==
          "__name__=latency_bucket le=2 @1000 7\n"
          "exemplar trace_id=ab span_id=c 1.5 @1700000000250\n"
          "__name__=latency_bucket le=4 @1000 7\n"
          "__name__=latency_count @1000 7\n");
}

TEST_CASE("an exposition becomes requests, series by series") {
    const char* const exposition =
        "# HELP calls_total Spans.\n"
        "# TYPE calls_total counter\n"
        "calls_total{service=\"shop\",span_name=\"say \\\"hi\\\"\\nand, go}\",Zone=\"x\"} 12.5\n"
        "up 1\n"
        "b{le=\"+Inf\"} 1e+06\n"
        "no value\n"
        "open{a=\"b\n"
        "\n";
    const auto requests = encode_write_requests(exposition, 1'700'000'000'123, 1U << 20);
    REQUIRE(requests.size() == 1);
    CHECK(text_of(requests[0]) ==
          "Zone=x __name__=calls_total service=shop span_name=say \"hi\"\nand, go} "
          "@1700000000123 12.5\n"
          "__name__=up @1700000000123 1\n"
          "__name__=b le=+Inf @1700000000123 1000000\n");
    std::string many;
    for (int i = 0; i < 100; ++i)
        many += fmt::format("calls{{n=\"{}\"}} {}\n", i, i);
    size_t series = 0;
    const auto parts = encode_write_requests(many, 1, 1000);
    CHECK(parts.size() > 3);
    for (const std::string& part : parts) {
        CHECK(part.size() < 1100);
        const std::string text = text_of(part);
        series += static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
    }
    CHECK(series == 100);
}

TEST_CASE("samples are sent at intervals") {
    Writing w;
    w.run(46);
    CHECK(w.scrapes == 4);
    REQUIRE(w.arrived().size() == 4);
    CHECK(w.arrived()[0] == "__name__=calls @1700000000000 1\n");
    CHECK(w.arrived()[3] == "__name__=calls @1700000045000 4\n");
    CHECK(w.metrics.total("remote_write_requests_total") == 4);
    w.error = "busy";
    w.run(15);
    CHECK(w.metrics.total("remote_write_scrape_failures_total") == 1);
}

TEST_CASE("what was not taken is sent again in order, what was refused is not") {
    Writing w;
    w.server.statuses = {0, 503, 500, 429};
    w.run(46);
    const auto arrived = w.arrived();
    // Three of them were answered, and not taken.
    REQUIRE(arrived.size() == 7);
    for (size_t i = 0; i < 4; ++i)
        CHECK(arrived[i] == "__name__=calls @1700000000000 1\n");
    CHECK(arrived[6] == "__name__=calls @1700000045000 4\n");
    CHECK(w.metrics.total("remote_write_retries_total") == 4);
    CHECK(w.metrics.total("remote_write_requests_total") == 4);
    w.server.statuses = {400, 422};
    w.run(30);
    CHECK(w.metrics.total("remote_write_refused_total") == 2);
    CHECK(w.metrics.total("remote_write_requests_total") == 4);
    // Pauses grow, and a server may ask for more.
    w.server.statuses = {429};
    w.server.wait_ms = 20'000;
    const size_t before = w.server.bodies.size();
    w.run(15);
    CHECK(w.server.bodies.size() == before + 1);
    w.run(20);
    CHECK(w.server.bodies.size() > before + 1);
}

TEST_CASE("while nobody takes them the newest samples are kept, up to a limit") {
    Writing w(60);
    w.server.statuses.assign(1000, 0);
    w.run(150);
    w.server.statuses.clear();
    w.run(31);
    const auto arrived = w.arrived();
    CHECK(w.metrics.total("remote_write_dropped_total") > 5);
    CHECK(arrived.size() >= 2);
    CHECK(w.metrics.total("remote_write_dropped_total") + arrived.size() == w.scrapes);
    CHECK(arrived.back() == fmt::format("__name__=calls @{} {}\n",
                                        1'700'000'000'000 + 15'000 * (w.scrapes - 1), w.scrapes));
}

TEST_CASE("targets are read, and their secrets not shown") {
    const char* const json =
        R"([{"url": "https://mimir.example/api/v1/push", "headers": {"X-Scope-OrgID": "7"},
             "every": "30s"}, {"url": "http://127.0.0.1:9090/api/v1/write"}])";
    const auto targets = parse_remote_write(json);
    REQUIRE_MESSAGE(targets.has_value(), (targets ? "" : targets.error().message));
    CHECK((*targets)[0].every_ms == 30'000);
    CHECK((*targets)[1].every_ms == 15'000);
    const std::string printed = print_remote_write(*targets, HeaderValues::kShown);
    CHECK(print_remote_write(*parse_remote_write(printed), HeaderValues::kShown) == printed);
    CHECK(print_remote_write(*targets, HeaderValues::kHidden).find("\"7\"") == std::string::npos);
    CHECK(error_of("{}") == "must be a list of at most 8 targets");
    CHECK(error_of("[{}]") == "[0]: needs url");
    CHECK(error_of(R"([{"url": "prometheus"}])").starts_with("[0]: url: must be one like"));
    CHECK(error_of(R"([{"url": "http://a/", "headers": {"a": "b\nc"}}])") ==
          "[0]: headers: 'a' is no header with a text");
    CHECK(error_of(R"([{"url": "http://a/", "every": "1ms"}])") ==
          "[0]: every: must be a duration from 1s to 1h");
    CHECK(error_of(R"([{"uri": "http://a/"}])") ==
          "[0]: there is no setting 'uri': url, headers, every");
}

}  // namespace spanloom::api

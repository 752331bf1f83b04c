#include "api/head_sampling.h"

#include <doctest/doctest.h>

#include "api/test_server.h"
#include "sampling/head_sampler.h"

// Strategies as clients and as people ask for them.
namespace spanloom::api {
namespace {

const char* const kStrategies = R"({"service_strategies": [
    {"service": "limited", "type": "ratelimiting", "param": 5},
    {"service": "plain", "type": "probabilistic", "param": 0.8},
    {"service": "learns", "type": "adaptive", "param": 1}],
  "default_strategy": {"type": "probabilistic", "param": 0.5}})";

struct SamplingServer {
    TestServer server{{}};
    ManualClock clock{1'700'000'000'000'000'000};
    std::vector<sampling::RootCount> counts;
    std::unique_ptr<sampling::HeadSampler> sampler;

    explicit SamplingServer(Face face = Face::kAll) {
        auto strategies = sampling::parse_head_strategies(kStrategies);
        REQUIRE(strategies.has_value());
        sampler = *sampling::HeadSampler::start(
            server.store.documents(), clock, server.metrics, std::move(*strategies),
            [this](store::TimeRange) -> Result<std::vector<sampling::RootCount>> {
                return counts;
            });
        ApiOptions options{.store = server.store,
                           .queries = server.inline_executor,
                           .metrics = server.metrics,
                           .clock = server.clock};
        options.face = face;
        options.head_sampler = sampler.get();
        server.handler = make_api(std::move(options));
    }
    Reply change(const std::string& method, std::string_view body, const std::string& version) {
        TestServer::Fields fields = {{"content-type", "application/json"}};
        if (version == "new") fields.emplace_back("if-none-match", "*");
        if (version != "new" && !version.empty())
            fields.emplace_back("if-match", "\"" + version + "\"");
        return server.ask(method, "/api/head-sampling", fields, body);
    }
    void learn() {
        server.get("/api/sampling?service=learns");
        counts = {{"learns", "GET /", 0, 0, 400}};
        clock.advance(120'000'000'000);
        sampler->tick();
    }
};

const char* const kLearned =
    R"({"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.1},)"
    R"("operationSampling":{"defaultSamplingProbability":0.1,)"
    R"("defaultLowerBoundTracesPerSecond":0.016666666666666666,"perOperationStrategies":[)"
    R"({"operation":"GET /","probabilisticSampling":{"samplingRate":0.01}}],)"
    R"("defaultUpperBoundTracesPerSecond":0}})";

}  // namespace

TEST_CASE("strategies are told in Jaeger's JSON at all its addresses") {
    SamplingServer s(Face::kSampling);
    const std::string plain =
        R"({"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.8}})";
    for (const char* const path : {"/sampling", "/api/sampling", "/", "/any", "/any/where"}) {
        CAPTURE(path);
        const Reply reply = s.server.get(std::string(path) + "?service=plain");
        CHECK(reply.status == 200);
        CHECK(reply.headers.get("content-type") == "application/json");
        CHECK(reply.body == plain);
    }
    CHECK(s.server.get("/sampling?service=limited").body ==
          R"({"strategyType":"RATE_LIMITING","rateLimitingSampling":{"maxTracesPerSecond":5}})");
    CHECK(s.server.get("/sampling?service=un%20known").has("\"samplingRate\":0.5"));
    for (const char* const bad : {"", "?service=", "?service=a&service=b", "?name=a"}) {
        const Reply reply = s.server.get(std::string("/sampling") + bad);
        CHECK(reply.status == 400);
        CHECK(reply.has("'service' parameter must be provided once"));
    }
    s.learn();
    CHECK(s.server.get("/sampling?service=learns").body == kLearned);
    // Nothing else is on that port but its own state.
    CHECK(s.server.get("/healthz").body == "ok\n");
    CHECK(s.server.ask("POST", "/sampling?service=plain", {}, "").status == 405);
    CHECK(s.server.get("/api/head-sampling").status == 400);
}

TEST_CASE("the main port tells strategies where nothing else is") {
    SamplingServer s;
    // The page of that name.
    CHECK_FALSE(s.server.get("/sampling?service=plain").has("samplingRate"));
    CHECK(s.server.get("/api/sampling?service=plain").has("\"samplingRate\":0.8"));
    CHECK(s.server.get("/any/where?service=plain").status == 404);
    http::Request request;
    request.path = "/api/sampling";
    CHECK(is_sampling_question(request));
    request.path = "/api/traces";
    CHECK_FALSE(is_sampling_question(request));
}

TEST_CASE("strategies are told over gRPC") {
    SamplingServer s(Face::kSampling);
    const auto ask = [&](std::string_view message) {
        return s.server.call("jaeger.api_v2.SamplingManager/GetSamplingStrategy", message);
    };
    const auto hex = [](std::string_view bytes) {
        std::string out;
        append_hex(out, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
        return out;
    };
    // Lengths are padded to five bytes, which every parser reads.
    const auto plain = ask("\x0a\x05plain");
    REQUIRE(plain.messages.size() == 1);
    CHECK(hex(plain.messages[0]) == "128980808000099a9999999999e93f");
    const auto limited = ask("\x0a\x07limited");
    REQUIRE(limited.messages.size() == 1);
    CHECK(hex(limited.messages[0]) == "08011a82808080000805");
    s.learn();
    const auto learned = ask("\x0a\x06learns");
    REQUIRE(learned.messages.size() == 1);
    CHECK(hex(learned.messages[0]) ==
          "128980808000099a9999999999b93f"    // share
          "22ae80808000099a9999999999b93f"    // operations: default,
          "11111111111111913f"                // at least,
          "1a9680808000"                      // one of them:
          "0a05474554202f"                    // "GET /"
          "128980808000097b14ae47e17a843f");  // its share
    CHECK(ask("\xff").status == "3");
}

TEST_CASE("strategies are read, replaced by who knows their version, and given up again") {
    SamplingServer s;
    s.learn();
    const Reply shown = s.server.get("/api/head-sampling");
    REQUIRE(shown.status == 200);
    CHECK(shown.headers.get("etag") == "\"0\"");
    CHECK(shown.has(R"("source":"file","version":0,"changed":null)"));
    CHECK(shown.has(R"({"service":"learns","asked":"1700000000000000000","type":"adaptive",)"
                    R"("param":1,"share":0.1,"operations":[{"operation":"GET /","share":0.01,)"
                    R"("traces_per_second":100,"received_per_second":10,)"
                    R"("seen":"1700000120000000000"}]})"));
    const char* const other = R"({"default_strategy": {"type": "probabilistic", "param": 0.25}})";
    CHECK(s.change("PUT", other, "").status == 400);
    CHECK(s.change("PUT", other, "7").status == 412);
    const Reply bad = s.change("PUT", R"({"default_strategy": {"type": "adaptive"}})", "new");
    CHECK(bad.status == 400);
    CHECK(bad.has("default_strategy: needs type"));
    const Reply set = s.change("PUT", other, "new");
    CHECK(set.status == 200);
    CHECK(set.has(R"("source":"api","version":1)"));
    CHECK(s.server.get("/api/sampling?service=plain").has("\"samplingRate\":0.25"));
    CHECK(s.change("PUT", other, "new").status == 412);
    CHECK(s.change("DELETE", "", "1").has(R"("source":"file","version":0)"));
    CHECK(s.server.get("/api/sampling?service=plain").has("\"samplingRate\":0.8"));
    CHECK(s.server.ask("PUT", "/api/head-sampling", {}, other).status == 400);
}

}  // namespace spanloom::api

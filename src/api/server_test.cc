#include <doctest/doctest.h>

#include "api/test_server.h"
#include "http/compression.h"

using namespace spanloom;
using namespace spanloom::api;

TEST_CASE("addresses outside the tables are 404, never the page") {
    TestServer server({});
    for (const char* path :
         {"/api/nothing", "/api", "/api/ui/v1/nothing", "/api/v3/nothing", "/jaeger", "/nothing",
          "/index.htm", "/../../etc/passwd", "/assets/../index.html",
          "/assets/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/searchx", "//",
          "/tempo/api/services", "/jaeger/api/echo", "/trace%00"}) {
        CAPTURE(path);
        const Reply reply = server.get(path);
        CHECK(reply.status == 404);
        CHECK(!reply.has("<!doctype"));
    }
    CHECK(server.get("/api/ui/v1/nothing").has(R"({"code":"not_found")"));
    CHECK(server.get("/api/v3/nothing").has(R"({"error":{"httpCode":404)"));
}

TEST_CASE("every page's address gives the page under a strict policy") {
    TestServer server({});
    for (const char* path :
         {"/", "/search", "/trace/abc", "/welcome", "/search?q=%7B%7D", "/service/a%20b", "/errors",
          "/databases", "/file", "/sampling", "/settings", "/compare", "/live", "/map"}) {
        CAPTURE(path);
        const Reply reply = server.get(path);
        CHECK(reply.status == 200);
        CHECK(reply.headers.get("content-type") == "text/html; charset=utf-8");
        CHECK(reply.headers.get("content-security-policy") ==
              "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
              "frame-ancestors "
              "'none'; form-action 'self'");
        CHECK(reply.headers.get("x-content-type-options") == "nosniff");
        CHECK(reply.headers.get("referrer-policy") == "no-referrer");
    }
    const std::string tag(server.get("/").headers.get("etag"));
    CHECK(server.get("/", {{"if-none-match", tag}}).status == 304);
}

TEST_CASE("files go out in the coding that the browser takes; hashed names are kept for ever") {
    const StaticFile files[] = {
        {"/index.html", "text/html", "page", {}, {}, "1", false},
        {"/assets/a-1.js", "text/javascript", "plain", "gzipped", "brotlied", "2", true}};
    const StaticFiles table(files);
    const auto ask = [&](std::string coding) {
        http::Request request;
        request.path = "/assets/a-1.js";
        request.headers.add("accept-encoding", coding);
        const auto reply = table.answer(request);
        REQUIRE(reply.has_value());
        CHECK(reply->headers.get("cache-control") == "public, max-age=31536000, immutable");
        return std::string(reply->shared_body.view());
    };
    CHECK(ask("gzip, deflate, br") == "brotlied");
    CHECK(ask("gzip") == "gzipped");
    CHECK(ask("br;q=0, gzip;q=0.5") == "gzipped");
    CHECK(ask("") == "plain");
    CHECK(ask("identity") == "plain");
    CHECK(ask("brx") == "plain");
}

TEST_CASE("wrong methods name the right ones; HEAD is GET") {
    TestServer server({kShopTrace});
    const Reply wrong = server.post("/api/services", "");
    CHECK(wrong.status == 405);
    CHECK(wrong.headers.get("allow") == "GET, HEAD");
    CHECK(server.get("/api/ui/v1/search").status == 405);
    CHECK(server.get("/api/ui/v1/search").headers.get("allow") == "POST");
    CHECK(server.ask("HEAD", "/api/services", {}, "").status == 200);
    CHECK(server.ask("DELETE", "/", {}, "").status == 404);
}

TEST_CASE("this server's own state is told") {
    TestServer server({kShopTrace});
    CHECK(server.get("/healthz").body == "ok\n");
    CHECK(server.get("/readyz").status == 200);
    const Reply metrics = server.get("/metrics");
    CHECK(metrics.headers.get("content-type") == "text/plain; version=0.0.4; charset=utf-8");
    CHECK(metrics.has("spanloom_queries_total"));
    ApiOptions options{.store = server.store,
                       .queries = server.inline_executor,
                       .metrics = server.metrics,
                       .clock = server.clock};
    options.readiness = [] { return fail(ErrorCode::kUnavailable, "the disk is full"); };
    server.handler = make_api(std::move(options));
    CHECK(server.get("/readyz").status == 503);
    CHECK(server.get("/readyz").body == "the disk is full\n");
}

TEST_CASE("pages of other origins cannot post") {
    TestServer server({kShopTrace});
    const auto post = [&](TestServer::Fields fields) {
        return server.post("/api/ui/v1/parse", R"({"q":"{ }"})", std::move(fields)).status;
    };
    CHECK(post({}) == 200);
    CHECK(post({{"host", "127.0.0.1:16686"}, {"origin", "http://127.0.0.1:16686"}}) == 200);
    CHECK(post({{"host", "localhost:16686"},
                {"origin", "http://localhost:16686"},
                {"sec-fetch-site", "same-origin"}}) == 200);
    CHECK(post({{"host", "[::1]:16686"}, {"origin", "http://[::1]:16686"}}) == 200);
    CHECK(post({{"host", "127.0.0.1:16686"}, {"origin", "http://evil.example"}}) == 403);
    CHECK(post({{"host", "127.0.0.1:16686"}, {"origin", "null"}}) == 403);
    CHECK(post({{"host", "127.0.0.1:16686"}, {"sec-fetch-site", "cross-site"}}) == 403);
    CHECK(server
              .post("/api/archive/00000000000000000000000000000abc", "",
                    {{"host", "127.0.0.1:16686"}, {"origin", "http://127.0.0.1:8080"}})
              .has("a proxy that serves the page has to pass on the Host"));
    // A name that was made to point at this machine.
    CHECK(post({{"host", "evil.example:16686"}, {"origin", "http://evil.example:16686"}}) == 403);
}

TEST_CASE("questions beyond the limit are told to come back") {
    FixedStore store;
    WaitingExecutor executor;
    MetricsRegistry metrics;
    ManualClock clock{1};
    ApiOptions options{.store = store, .queries = executor, .metrics = metrics, .clock = clock};
    options.limits.waiting_max = 2;
    http::Handler handler = make_api(std::move(options));
    std::vector<std::shared_ptr<KeepingResponder>> asked;
    for (int i = 0; i < 4; ++i) {
        http::Request request;
        request.method = "GET";
        request.path = "/api/services";
        asked.push_back(std::make_shared<KeepingResponder>());
        handler(std::move(request), asked.back());
    }
    CHECK(executor.waiting.size() == 2);
    CHECK(asked[0]->sent == 0);
    CHECK(asked[3]->last.status == 429);
    CHECK(asked[3]->last.headers.get("retry-after") == "1");
    for (auto& work : executor.waiting)
        work();
    CHECK(asked[0]->last.status == 200);
    CHECK(asked[1]->last.status == 200);
}

TEST_CASE("a question whose client has gone is not answered") {
    FixedStore store;
    WaitingExecutor executor;
    MetricsRegistry metrics;
    ManualClock clock{1};
    http::Handler handler =
        make_api({.store = store, .queries = executor, .metrics = metrics, .clock = clock});
    std::stop_source gone;
    http::Request request;
    request.method = "GET";
    request.path = "/api/services";
    request.cancelled = gone.get_token();
    auto responder = std::make_shared<KeepingResponder>();
    handler(std::move(request), responder);
    gone.request_stop();
    executor.waiting[0]();
    CHECK(responder->sent == 0);
}

TEST_CASE("large answers are compressed where that is accepted") {
    TestServer server({kShopTrace});
    const Reply plain = server.get("/api/v3/traces/abc");
    const Reply packed = server.get("/api/v3/traces/abc", {{"accept-encoding", "gzip"}});
    CHECK(packed.headers.get("content-encoding") == "gzip");
    const auto inflated = http::inflate(http::Encoding::kGzip, Blob::copy_of(packed.body), 1 << 20);
    REQUIRE(inflated.has_value());
    CHECK(inflated->view() == plain.body);
}

#include "api/jaeger_ui.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "api/test_server.h"
#include "http/compression.h"

using namespace spanloom;
using namespace spanloom::api;

namespace {

// What builds of all ages have in their page, made up.
constexpr std::string_view kPage = R"(<!doctype html>
<html><head>
<!-- <script>not a script</script> -->
<base href="/" data-inject-target="BASE_URL" />
<script>
first();
</script>
<script type="module" crossorigin src="./static/index-1a.js"></script>
<script id="late" data-src="./static/late-2b.js">const a = 1;</script>
<SCRIPT>
const DEFAULT_CONFIG = null;
const JAEGER_CONFIG = DEFAULT_CONFIG;
const JAEGER_VERSION = DEFAULT_VERSION;
const JAEGER_BACKEND_CAPABILITIES = DEFAULT_BACKEND_CAPABILITIES;
const JAEGER_STORAGE_CAPABILITIES=DEFAULT_STORAGE_CAPABILITIES;
const other = '<base href="' + safe + '" data-inject-target="BASE_URL" />';
</SCRIPT>
<script type="module">import'data:text/javascript,if(!import.meta.resolve)throw 1';go();</script>
</head><body><div id="jaeger-ui-root"></div></body></html>
)";

// A directory with a build in it.
struct Build {
    Build() {
        char name[] = "/tmp/spanloom-jaeger-ui-XXXXXX";
        path = mkdtemp(name);
        write("index.html", kPage);
        write("favicon.ico", "icon");
        write("static/index-1a.js", "let x = 1;");
        write("static/fonts/deep/text.woff2", "font");
        write("static/unknown.xyz", "?");
        write("static/large.css", std::string(5000, 'c'));
    }
    ~Build() { std::filesystem::remove_all(path); }

    void write(const std::string& name, std::string_view bytes) const {
        const std::filesystem::path file = std::filesystem::path(path) / name;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file, std::ios::binary) << bytes;
    }
    void remove(const std::string& name) const {
        std::filesystem::remove_all(std::filesystem::path(path) / name);
    }
    std::string error(JaegerUiLimits limits = {}) const {
        const auto ui = JaegerUi::read(path, "1.2.3", limits);
        return ui ? std::string("read") : ui.error().message;
    }

    std::string path;
};

struct Served {
    explicit Served(Face face = Face::kAll, std::string_view version = "1.2.3") {
        auto ui = JaegerUi::read(build.path, version);
        REQUIRE_MESSAGE(ui.has_value(), (ui ? "" : ui.error().message));
        ApiOptions options{.store = server.store,
                           .queries = server.inline_executor,
                           .metrics = server.metrics,
                           .clock = server.clock,
                           .jaeger_ui = *ui,
                           .face = face};
        server.handler = make_api(std::move(options));
    }
    Reply get(std::string path, TestServer::Fields fields = {}) {
        return server.get(std::move(path), std::move(fields));
    }

    Build build;
    TestServer server{{kShopTrace}};
};

constexpr std::string_view kOwnPolicy =
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'";

// Of scripts: a worker has its own policy, not that of the page.
constexpr std::string_view kScriptPolicy =
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

bool has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("the page of Jaeger's UI has what Jaeger's server writes into it") {
    Served served;
    const Reply page = served.get("/jaeger/");
    CHECK(page.status == 200);
    CHECK(page.headers.get("content-type") == "text/html; charset=utf-8");
    CHECK(page.headers.get("cache-control") == "no-cache");
    CHECK(page.has("\n<base href=\"/jaeger/\" data-inject-target=\"BASE_URL\" />\n"));
    CHECK(page.has("'<base href=\"' + safe + '\" data-inject-target=\"BASE_URL\" />'"));
    CHECK(page.has("const DEFAULT_CONFIG = null;\n"));
    CHECK(page.has(R"(const JAEGER_CONFIG = {"archiveEnabled":true};)"));
    CHECK(
        page.has("const JAEGER_VERSION = "
                 R"({"gitCommit":"","gitVersion":"spanloom-1.2.3","buildDate":""};)"));
    CHECK(
        page.has("const JAEGER_BACKEND_CAPABILITIES = {\"archiveStorage\":true,"
                 "\"metricsStorage\":true,\"searchWithoutServiceName\":true,"
                 "\"aiAssistant\":false};"));
    CHECK(
        page.has("const JAEGER_STORAGE_CAPABILITIES = "
                 "{\"archiveStorage\":true,\"metricsStorage\":true};"));
    CHECK(page.has(R"(<script type="module">go();</script>)"));
    CHECK(served.server.get("/metrics").has("spanloom_jaeger_ui_bytes"));
}

TEST_CASE("a page that finds out by a script where it is served is told before its first file") {
    Build build;
    build.write("index.html",
                "<!doctype html>\n<HTML><Head lang=\"en\">\n"
                "<link href=\"./static/large.css\" />\n"
                "<script>s.after('<base href=\"' + path + '\" data-inject-target=\"BASE_URL\" />');"
                "</script></head><body><header></header></body></html>\n");
    const auto ui = JaegerUi::read(build.path, "1");
    REQUIRE_MESSAGE(ui.has_value(), (ui ? "" : ui.error().message));
    http::Request request;
    request.path = "/jaeger/trace/00000000000000000000000000000abc";
    const auto page = (*ui)->answer(request);
    REQUIRE(page.has_value());
    const std::string_view text = page->shared_body.view();
    CHECK(has(text,
              "<Head lang=\"en\"><base href=\"/jaeger/\" data-inject-target=\"BASE_URL\" />\n"
              "<link "));
    CHECK(has(text, "<body><header></header></body>"));
}

TEST_CASE("what is written into the page cannot end its script") {
    Served served(Face::kAll, R"(</script><b>\1 "x")");
    const Reply page = served.get("/jaeger/");
    CHECK(page.has(R"("gitVersion":"spanloom-\u003c/script\u003e\u003cb\u003e\\1 \"x\"")"));
}

TEST_CASE("every address of Jaeger's UI gives its page") {
    Served served;
    const std::string page = served.get("/jaeger/").body;
    for (const char* path :
         {"/jaeger/index.html", "/jaeger/search", "/jaeger/search?service=front&limit=20",
          "/jaeger/trace/00000000000000000000000000000abc", "/jaeger/trace/a...b?uiFind=%2e%2e",
          "/jaeger/dependencies", "/jaeger/monitor", "/jaeger/deep-dependencies", "/jaeger/apiary",
          "/jaeger/trace/with%20blank"}) {
        CAPTURE(path);
        const Reply reply = served.get(path);
        CHECK(reply.status == 200);
        CHECK(reply.body == page);
    }
    const Reply bare = served.get("/jaeger");
    CHECK(bare.status == 308);
    CHECK(bare.headers.get("location") == "/jaeger/");
    CHECK(served.server.ask("HEAD", "/jaeger/search", {}, "").status == 200);
    CHECK(served.server.post("/jaeger/search", "").status == 404);
}

TEST_CASE("files of Jaeger's UI are served with their types") {
    Served served;
    const auto check = [&](const char* path, std::string_view type, std::string_view body) {
        CAPTURE(path);
        const std::string_view policy = has(type, "javascript") ? kScriptPolicy : kOwnPolicy;
        const Reply reply = served.get(path);
        CHECK(reply.status == 200);
        CHECK(reply.headers.get("content-type") == type);
        CHECK(reply.headers.get("x-content-type-options") == "nosniff");
        CHECK(reply.headers.get("content-security-policy") == policy);
        CHECK(reply.body == body);
        const std::string tag(reply.headers.get("etag"));
        const Reply known = served.get(path, {{"if-none-match", tag}});
        CHECK(known.status == 304);
        CHECK(known.headers.get("content-security-policy") == policy);
    };
    check("/jaeger/static/index-1a.js", "text/javascript; charset=utf-8", "let x = 1;");
    check("/jaeger/static/fonts/deep/text.woff2", "font/woff2", "font");
    check("/jaeger/static/unknown.xyz", "application/octet-stream", "?");
    check("/jaeger/favicon.ico", "image/x-icon", "icon");
    check("/jaeger/static/%69ndex-1a.js", "text/javascript; charset=utf-8", "let x = 1;");
    const Reply packed = served.get("/jaeger/static/large.css", {{"accept-encoding", "gzip"}});
    CHECK(packed.headers.get("content-encoding") == "gzip");
    const auto inflated = http::inflate(http::Encoding::kGzip, Blob::copy_of(packed.body), 1 << 20);
    REQUIRE(inflated.has_value());
    CHECK(inflated->view() == std::string(5000, 'c'));
    CHECK(served.get("/jaeger/static/large.css").body == std::string(5000, 'c'));
}

TEST_CASE("a file of Jaeger's UI outlives the server that sends it") {
    http::Response sent;
    {
        Build build;
        http::Request request;
        request.path = "/jaeger/static/large.css";
        const auto ui = JaegerUi::read(build.path, "1");
        REQUIRE(ui.has_value());
        auto reply = (*ui)->answer(request);
        REQUIRE(reply.has_value());
        sent = std::move(*reply);
    }
    CHECK(sent.shared_body.view() == std::string(5000, 'c'));
}

TEST_CASE("neither unknown addresses of the API nor missing files give the page") {
    Served served;
    for (const char* path :
         {"/jaeger/analytics/v1/dependencies", "/jaeger/api/nothing", "/jaeger/api", "/jaeger/api/",
          "/jaeger/api/v3/nothing", "/jaeger/%61pi/nothing", "/jaeger/api%2Fnothing",
          "/jaeger/static/gone.js", "/jaeger/static", "/jaeger/static/",
          "/jaeger/trace/1/static/gone.js", "/jaeger/static/../index.html",
          "/jaeger/../../etc/passwd", "/jaeger/%2e%2e/%2e%2e/etc/passwd",
          "/jaeger/static/..%2findex.html", "/jaeger/..", "/jaegers/", "/jaeger.html",
          "/tempo/jaeger/"}) {
        CAPTURE(path);
        const Reply reply = served.get(path);
        CHECK(reply.status == 404);
        CHECK(!reply.has("<!doctype"));
        CHECK(reply.headers.get("content-security-policy") == kOwnPolicy);
    }
    CHECK(served.get("/jaeger/api/nothing").has(R"("errors":[{"code":404)"));
    CHECK(served.get("/jaeger/api/services").has(R"("front")"));
    CHECK(served.server.post("/jaeger/api/services", "").status == 405);
}

TEST_CASE("the page of Jaeger's UI has a policy of its own, of the scripts in it") {
    Served served;
    const Reply page = served.get("/jaeger/trace/abc");
    const std::string policy(page.headers.get("content-security-policy"));
    size_t policies = 0;
    for (const auto& [name, value] : page.headers)
        policies += name == "content-security-policy";
    CHECK(policies == 1);
    // By another program, of "\nfirst();\n" and of "const a = 1;".
    CHECK(has(policy,
              "script-src 'self' 'wasm-unsafe-eval' "
              "'sha256-on4NmDchKxL8BCVs5/BELTszwxaApzvAgmXbLhbEHtA=' "
              "'sha256-zv0N0Hv6Zw9+C4JbNy52ozAX+zm+quOk2wp0IZa7md8=' 'sha256-"));
    size_t hashes = 0;
    for (size_t at = policy.find("'sha256-"); at != std::string::npos;
         at = policy.find("'sha256-", at + 1))
        ++hashes;
    CHECK(hashes == 4);
    const size_t scripts = policy.find("script-src");
    CHECK(!has(policy.substr(scripts, policy.find(';', scripts) - scripts), "unsafe-inline"));
    CHECK(!has(policy, "script-src 'self' data:"));
    CHECK(has(policy, "; base-uri 'self'; frame-ancestors 'none'; "));
    const std::string tag(page.headers.get("etag"));
    const Reply known = served.get("/jaeger/", {{"if-none-match", tag}});
    CHECK(known.status == 304);
    CHECK(known.headers.get("content-security-policy") == policy);
    for (const char* path : {"/", "/search", "/trace/abc", "/api/services", "/jaeger/api/services",
                             "/jaeger", "/nothing"}) {
        CAPTURE(path);
        CHECK(served.get(path).headers.get("content-security-policy") == kOwnPolicy);
    }
}

TEST_CASE("scripts are hashed as browsers read them, with one character at the end of a line") {
    Build build;
    std::string page(kPage);
    for (size_t at = page.find('\n'); at != std::string::npos; at = page.find('\n', at + 2))
        page.replace(at, 1, "\r\n");
    build.write("index.html", page);
    const auto ui = JaegerUi::read(build.path, "1");
    REQUIRE(ui.has_value());
    http::Request request;
    request.path = "/jaeger/";
    const auto reply = (*ui)->answer(request);
    REQUIRE(reply.has_value());
    CHECK(has(reply->headers.get("content-security-policy"),
              "'sha256-on4NmDchKxL8BCVs5/BELTszwxaApzvAgmXbLhbEHtA='"));
}

TEST_CASE("ports of one API alone have no pages of Jaeger's UI") {
    for (const Face face : {Face::kTempo, Face::kZipkin, Face::kSampling}) {
        Served served(face);
        CHECK(served.get("/jaeger/").status == 404);
        CHECK(served.get("/jaeger/static/index-1a.js").status == 404);
    }
}

TEST_CASE("a directory that holds no build of Jaeger's UI is refused with the reason") {
    Build build;
    CHECK(build.error() == "read");
    CHECK(has(build.error({.entries_max = 5}), "holds more than 5 files"));
    CHECK(has(build.error({.bytes_max = 5000}), "larger than a build of Jaeger's UI can be"));
    std::filesystem::create_symlink("/etc/passwd", build.path + "/static/link.txt");
    CHECK(has(build.error(), "/static/link.txt is neither a file nor a directory"));
    build.remove("static/link.txt");
    std::filesystem::create_directory_symlink("/etc", build.path + "/static/etc");
    CHECK(has(build.error(), "/static/etc is neither a file nor a directory"));
    build.remove("static/etc");
    REQUIRE(mkfifo((build.path + "/static/pipe").c_str(), 0600) == 0);
    CHECK(has(build.error(), "/static/pipe is neither a file nor a directory"));
    build.remove("static/pipe");
    CHECK(build.error() == "read");

    std::string page = "<script>" + std::string("a</script><script>");
    for (int i = 0; i < 7; ++i)
        page += page;
    build.write("index.html", std::string(kPage) + page);
    CHECK(has(build.error(), "index.html has more than 64 scripts"));
    build.write("index.html", "<html>another page</html>");
    CHECK(has(build.error(), "/index.html is not the page of Jaeger's UI"));
    build.write("index.html", kPage);
    build.remove("static");
    CHECK(has(build.error(), "holds no files below static: it has to be a build"));
    build.remove("index.html");
    CHECK(has(build.error(), "holds no index.html"));
    build.remove("");
    CHECK(has(build.error(), "cannot read the directory " + build.path));
    build.path += "-never";
    CHECK(has(build.error(), "No such file or directory"));
}

#include "instrumentation/http_parts.h"

#include <doctest/doctest.h>

#include "spanloom/instrumentation/http.h"

using namespace spanloom;
using namespace spanloom::instrumentation;

namespace {

struct Headers : TextMapGetter {
    std::vector<std::pair<std::string_view, std::string_view>> list;
    Headers() = default;
    Headers(std::initializer_list<std::pair<std::string_view, std::string_view>> headers)
        : list(headers) {}
    std::optional<std::string_view> get(std::string_view name) const noexcept override {
        for (const auto& [key, value] : list) {
            if (key == name) {
                return value;
            }
        }
        return std::nullopt;
    }
    void for_each_name(FunctionRef<void(std::string_view)> visit) const noexcept override {
        for (const auto& header : list) {
            visit(header.first);
        }
    }
};

}  // namespace

TEST_CASE("http: credentials and signatures leave the URL") {
    CHECK(redact_url("https://ann:secret@example.com/a?b=c#d") ==
          "https://REDACTED:REDACTED@example.com/a?b=c#d");
    CHECK(redact_url("https://ann@example.com") == "https://REDACTED@example.com");
    CHECK(redact_url("https://a:p@ss@example.com/@x") ==
          "https://REDACTED:REDACTED@example.com/@x");
    CHECK(redact_url("https://example.com/@user?mail=a@b") == "https://example.com/@user?mail=a@b");
    CHECK(redact_query("q=OpenTelemetry&sig=abc") == "q=OpenTelemetry&sig=REDACTED");
    CHECK(redact_query("AWSAccessKeyId=a&Signature=b&X-Goog-Signature=c&X-Amz-Security-Token=d") ==
          "AWSAccessKeyId=REDACTED&Signature=REDACTED&X-Goog-Signature=REDACTED&X-Amz-Security-"
          "Token=REDACTED");
    CHECK(redact_query("access_token=a&client_secret=b&PASSWORD=c&id=7&&x") ==
          "access_token=REDACTED&client_secret=REDACTED&PASSWORD=REDACTED&id=7&&x");
    CHECK(redact_query("signal=green&design=1") == "signal=green&design=1");
    CHECK(redact_query("sig") == "sig");
    CHECK(redact_url("") == "");
    CHECK(redact_url("/relative?token=x") == "/relative?token=REDACTED");
    CHECK(redact_url("http://e.com/" + std::string(100'000, 'a')).size() <= 2048);
}

TEST_CASE("http: host and port of an authority") {
    CHECK(parse_authority("example.com:8080").host == "example.com");
    CHECK(parse_authority("example.com:8080").port == 8080);
    CHECK(parse_authority("example.com").port == 0);
    CHECK(parse_authority("[::1]:80").host == "::1");
    CHECK(parse_authority("[::1]:80").port == 80);
    CHECK(parse_authority("host:99999").port == 0);
    CHECK(parse_authority("host:1x").port == 0);
    CHECK(parse_authority("").host == "");
    CHECK(parse_url("https://a:b@example.com:1/x").authority == "example.com:1");
    CHECK(parse_url("https://example.com?x").authority == "example.com");
}

TEST_CASE("http: only known methods are named") {
    CHECK(known_method("GET") == "GET");
    CHECK(known_method("get") == "_OTHER");
    CHECK(known_method("BREW") == "_OTHER");
    CHECK(parse_known_methods("GET, BREW,") == std::vector<std::string>{"GET", "BREW"});
    CHECK(parse_known_methods(nullptr).size() == 10);
    CHECK(parse_known_methods("").size() == 10);
}

TEST_CASE("http: what proxies say of the original request") {
    const Headers by_standard{
        {"forwarded", "for=\"[2001:db8::1]:4711\";Proto=https;host=shop.example, for=10.0.0.1"},
        {"host", "inner"}};
    auto seen = read_forwarded(by_standard);
    CHECK(seen.client == "2001:db8::1");
    CHECK(seen.scheme == "https");
    CHECK(seen.host == "shop.example");
    const Headers by_habit{{"x-forwarded-for", "1.2.3.4, 10.0.0.1"},
                           {"x-forwarded-proto", "https"},
                           {"host", "inner:81"}};
    seen = read_forwarded(by_habit);
    CHECK(seen.client == "1.2.3.4");
    CHECK(seen.scheme == "https");
    CHECK(seen.host == "inner:81");
    CHECK(read_forwarded(Headers{}).host == "");
    CHECK(read_forwarded(Headers{{"forwarded", ";;=;for"}}).client == "");
}

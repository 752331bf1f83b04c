#include "privacy/detectors.h"

#include <chrono>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace spanloom::privacy;

namespace {

// "detector:text detector:text", in order.
std::string found(const std::string& text, const std::string& context = "",
                  DetectorSet detectors = DetectorSet::all()) {
    std::vector<Finding> findings;
    find_personal_data(text, context, detectors, findings);
    std::string out;
    for (const Finding& finding : findings) {
        if (!out.empty()) out += ' ';
        out += std::string(detector_name(finding.detector)) + ":" +
               text.substr(finding.begin, finding.end - finding.begin);
    }
    return out;
}

const std::string kJwt =
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

}  // namespace

TEST_CASE("what looks like personal data, and what only nearly does") {
    struct Case {
        std::string text;
        std::string expected;
    };
    const Case cases[] = {
        // e-mail
        {"ada@example.com", "email:ada@example.com"},
        {"mail ada.l+news@mail.example.co.uk, please", "email:ada.l+news@mail.example.co.uk"},
        {"<ada@example.com>.", "email:ada@example.com"},
        {"/users/ada%40example.com/cart", "email:ada%40example.com"},
        {"12345@example.com", "email:12345@example.com"},
        {"a@b.c", ""},
        {"@example.com", ""},
        {"ada@localhost", ""},
        {"git@github", ""},
        {"a@@b.example", ""},
        {"x@y..example", ""},
        {"50%40 of", ""},
        // cards
        {"4111111111111111", "card:4111111111111111"},
        {"4111 1111 1111 1111", "card:4111 1111 1111 1111"},
        {"card 4111-1111-1111-1111 12/27", "card:4111-1111-1111-1111"},
        {"4111 1111 1111 1111 12 27", "card:4111 1111 1111 1111"},
        {"378282246310005", "card:378282246310005"},
        {"5555555555554444,6011111111111117", "card:5555555555554444 card:6011111111111117"},
        {"4111111111111112", ""},
        {"9111111111111111", ""},
        {"a4111111111111111", ""},
        {"41111111111111110000", ""},
        {"1732549200123456789", ""},
        {"id-4111111111111111", "card:4111111111111111"},
        // IBAN
        {"DE89370400440532013000", "iban:DE89370400440532013000"},
        {"to GB29 NWBK 6016 1331 9268 19 now", "iban:GB29 NWBK 6016 1331 9268 19"},
        {"DE89370400440532013001", ""},
        {"XX89370400440532013000", ""},
        {"DE8937040044053201300", ""},
        // social security number
        {"123-45-6789", "ssn:123-45-6789"},
        {"000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000", ""},
        {"123-45-67890", ""},
        {"123-45-6789-1", ""},
        // tokens
        {"token=" + kJwt + ";", "jwt:" + kJwt},
        {"eyJhbGciOiJIUzI1NiJ9.only", ""},
        {"Authorization: Bearer abc123def456", "credential:abc123def456"},
        {"bearer%20abc123def456", "credential:abc123def456"},
        {"basic YWRhOnNlY3JldA==", "credential:YWRhOnNlY3JldA=="},
        {"Basic authentication failed", ""},
        {"bearer authentication is used", ""},
        {"AKIAIOSFODNN7EXAMPLE", "aws_key:AKIAIOSFODNN7EXAMPLE"},
        {"AKIAIOSFODNN7EXAMPL", ""},
        {"AKIAIOSFODNN7EXAMPLEX", ""},
        {"ghp_0123456789abcdefghijABCDEFGHIJ012345",
         "github_token:ghp_0123456789abcdefghijABCDEFGHIJ012345"},
        {"ghx_0123456789abcdefghijABCDEFGHIJ012345", ""},
        {"xoxb-123456789012-abcdefghij", "slack_token:xoxb-123456789012-abcdefghij"},
        {"xoxo-kiss", ""},
        {"key:\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nend",
         "private_key:-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"},
        {"-----BEGIN PRIVATE KEY-----\ncut", "private_key:-----BEGIN PRIVATE KEY-----\ncut"},
        {"-----BEGIN CERTIFICATE-----\nMIIE", ""},
        // phones need a word or a country
        {"phone: (415) 555-2671", "phone:(415) 555-2671"},
        {"tel 415.555.2671", "phone:415.555.2671"},
        {"+49 30 901820", "phone:+49 30 901820"},
        {"call +14155552671 now", "phone:+14155552671"},
        {"order 4155552671", ""},
        {"a+12345678", ""},
        {"hotel 4155552671", ""},
        // addresses
        {"from 192.168.1.20:8080", "ipv4:192.168.1.20"},
        {"256.1.1.1 and 1.2.3 and 1.2.3.4.5", ""},
        {"[2001:db8::8a2e:370:7334]:443", "ipv6:2001:db8::8a2e:370:7334"},
        {"fe80::1", "ipv6:fe80::1"},
        {"::1", "ipv6:::1"},
        {"2001:0db8:0000:0000:0000:ff00:0042:8329", "ipv6:2001:0db8:0000:0000:0000:ff00:0042:8329"},
        {"at 12:34:56", ""},
        {"std::string and a::b::c", ""},
        // ordinary telemetry
        {"4bf92f3577b34da6a3ce929d0e0e4736", ""},
        {"550e8400-e29b-41d4-a716-446655440000", ""},
        {"2026-11-25T19:10:00.123456789Z", ""},
        {"GET /api/v1/orders/{id} 200 in 12.5ms", ""},
        {"", ""},
    };
    for (const Case& c : cases) {
        CAPTURE(c.text);
        CHECK(found(c.text) == c.expected);
    }
}

TEST_CASE("an attribute's name may say that a number is a phone's") {
    CHECK(found("4155552671", "customer.phone") == "phone:4155552671");
    CHECK(found("4155552671", "customerPhone") == "");
    CHECK(found("4155552671", "customer.id") == "");
}

TEST_CASE("only what is asked for is looked for") {
    const std::string text = "ada@example.com from 10.0.0.1";
    CHECK(found(text, "", DetectorSet::defaults()) == "email:ada@example.com");
    CHECK(found(text, "", {Detector::kIpv4}) == "ipv4:10.0.0.1");
    CHECK(found(text, "", {}) == "");
}

TEST_CASE("several findings in one text do not overlap") {
    CHECK(found("ada@example.com,bob@example.org 4111111111111111@example.com") ==
          "email:ada@example.com email:bob@example.org email:4111111111111111@example.com");
}

TEST_CASE("hostile text takes time in proportion to its length") {
    constexpr size_t kBytes = 1 << 20;
    for (const std::string unit : {"a@",
                                   "eyJ",
                                   "eyJhbGciOiJIUzI1NiJ9.",
                                   "1 ",
                                   "1-",
                                   "12345678901234567",
                                   "basic+",
                                   "Basic a",
                                   "xoxb-",
                                   "ghp_",
                                   "-----BEGIN PRIVATE KEY",
                                   "::",
                                   "1:",
                                   "1.",
                                   "+1",
                                   "tel 1",
                                   "DE89",
                                   "%40",
                                   "a.",
                                   "@a."}) {
        std::string text;
        while (text.size() < kBytes)
            text += unit;
        std::vector<Finding> findings;
        const auto begin = std::chrono::steady_clock::now();
        find_personal_data(text, "phone", DetectorSet::all(), findings);
        const auto took = std::chrono::steady_clock::now() - begin;
        CAPTURE(unit);
        // Some hundred steps a byte, also under a sanitizer; quadratic would take hours.
        CHECK(took < std::chrono::seconds(20));
    }
}

TEST_CASE("names that say that their value is secret") {
    for (const char* name :
         {"password", "db.password", "DB_PASSWORD", "userPassword",
          "http.request.header.authorization", "http.request.header.set-cookie", "Cookie",
          "x-api-key", "api_key", "apiKey", "apikey", "access_token", "refreshToken",
          "client_secret", "session.id", "session_id", "passwd", "aws.secret.access.key"}) {
        CAPTURE(name);
        CHECK(is_secret_name(name));
    }
    for (const char* name :
         {"user.id", "http.route", "key", "primary_key", "messaging.message.id", "tokens",
          "gen_ai.usage.input_tokens", "passenger.count", "author", "obsession", "secretary",
          "db.query.text", "", "..", "authorizationcode"}) {
        CAPTURE(name);
        CHECK_FALSE(is_secret_name(name));
    }
}

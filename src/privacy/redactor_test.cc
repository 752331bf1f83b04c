#include "privacy/redactor.h"

#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "otlp/view.h"
#include "otlp/writer.h"
#include "privacy/redact_otlp.h"

using namespace spanloom;
using namespace spanloom::privacy;
using otlp::WireWriter;

namespace {

std::string urls(std::string_view text) {
    std::string out;
    const bool changed = sanitize_urls(text, default_url_query_keys(), out);
    CHECK(changed == (out != text));
    return out;
}
std::string query(std::string_view text) {
    std::string out;
    sanitize_url_query(text, default_url_query_keys(), out);
    return out;
}
std::string sql(std::string_view text) {
    return sanitize_statement(text, StatementKind::kSql);
}
std::string redis(std::string_view text) {
    return sanitize_statement(text, StatementKind::kRedis);
}

// The text as it goes out.
std::string shown(const Redactor& redactor, std::string_view key, std::string_view text) {
    std::string out;
    return redactor.redact_text(key, text, StatementKind::kSql, out) ? out : std::string(text);
}

std::string text_value(std::string_view text) {
    std::string out;
    WireWriter(out).bytes_field(1, text);
    return out;
}
void add_attribute(std::string& message, uint32_t field, std::string_view key,
                   std::string_view value) {
    WireWriter writer(message);
    const size_t mark = writer.begin(field);
    writer.bytes_field(1, key);
    writer.bytes_field(2, value);
    writer.end(mark);
}
// An ArrayValue or KeyValueList as an AnyValue of field 5 or 6.
std::string nested_value(uint32_t field, std::string_view inner) {
    std::string out;
    WireWriter(out).bytes_field(field, inner);
    return out;
}

constexpr std::string_view kMail = "ada@example.com";

}  // namespace

TEST_CASE("URLs lose what signs and authorises them") {
    CHECK(urls("https://user:pass@example.com/a") == "https://REDACTED:REDACTED@example.com/a");
    CHECK(urls("https://user@example.com/") == "https://REDACTED@example.com/");
    CHECK(urls("https://u:p@ss@example.com/") == "https://REDACTED:REDACTED@example.com/");
    CHECK(urls("https://REDACTED:REDACTED@example.com/") ==
          "https://REDACTED:REDACTED@example.com/");
    CHECK(urls("https://e.com/?X-Amz-Signature=abc&a=1") ==
          "https://e.com/?X-Amz-Signature=REDACTED&a=1");
    CHECK(urls("https://e.com/?sig=abc#part?sig=1") == "https://e.com/?sig=REDACTED#part?sig=1");
    CHECK(urls("https://e.com/?Sig=abc") == "https://e.com/?Sig=abc");
    CHECK(urls("https://e.com/?access_token=abc&user.id=7") ==
          "https://e.com/?access_token=REDACTED&user.id=7");
    CHECK(urls("https://e.com/?sig=&a") == "https://e.com/?sig=&a");
    CHECK(urls("cannot GET \"postgres://app:hunter2@db:5432/x\": refused") ==
          "cannot GET \"postgres://REDACTED:REDACTED@db:5432/x\": refused");
    CHECK(urls("https://example.com/@ada/") == "https://example.com/@ada/");
    CHECK(urls("no url: a//b") == "no url: a//b");
    CHECK(urls("://://@") == "://://@");
    CHECK(query("a=1&sig=2&token=3;b=4") == "a=1&sig=REDACTED&token=REDACTED;b=4");
    CHECK(query("/pay?sig=2") == "/pay?sig=REDACTED");
    CHECK(query("?sig=2") == "?sig=REDACTED");
}

TEST_CASE("SQL keeps its shape and loses its data") {
    CHECK(sql("SELECT * FROM users WHERE name = 'O''Brien' AND age > 42") ==
          "SELECT * FROM users WHERE name = ? AND age > ?");
    CHECK(sql("SELECT t1.a2 FROM t1 WHERE x=1.5e-3 OR y=-7 OR z = .5") ==
          "SELECT t1.a2 FROM t1 WHERE x=? OR y=? OR z = ?");
    CHECK(sql("SELECT a-1, a - 1 FROM t") == "SELECT a-?, a - ? FROM t");
    CHECK(sql("INSERT INTO t VALUES ('a', 2, 0x1F, NULL)") == "INSERT INTO t VALUES (?, NULL)");
    CHECK(sql("SELECT 1 WHERE id IN (1, 2, 3)") == "SELECT ? WHERE id IN (?)");
    CHECK(sql("SELECT $1, :name, @p FROM t LIMIT 10") == "SELECT $1, :name, @p FROM t LIMIT ?");
    CHECK(sql("SELECT $$it's$$, $t$a$$b$t$ FROM t") == "SELECT ? FROM t");
    CHECK(sql("SELECT E'a\\'b', N'c', X'ff' FROM t") == "SELECT ? FROM t");
    CHECK(sql("SELECT 'a\\' FROM t") == "SELECT ? FROM t");
    CHECK(sql("SELECT \"Name 1\" FROM `t 2`") == "SELECT \"Name 1\" FROM `t 2`");
    CHECK(sql("SELECT a -- for ada@example.com\nFROM t /* ssn 123-45-6789 */ WHERE b") ==
          "SELECT a FROM t WHERE b");
    CHECK(sql("SELECT a::int, ARRAY['x', 'y'] FROM t") == "SELECT a::int, ARRAY[?] FROM t");
    CHECK(sql("SELECT 'open") == "SELECT ?");
    CHECK(sql("SELECT \"open") == "SELECT ?");
    CHECK(sql("SELECT /* open") == "SELECT");
    CHECK(sql("SELECT\n\t  a\n FROM t  ") == "SELECT a FROM t");
    CHECK(sql("") == "");
    CHECK(sanitize_statement("SELECT \"a\\\"b\", 'it\\'s' # x\nFROM `t`",
                             StatementKind::kSqlMysql) == "SELECT ? FROM `t`");
    // A statement that is sanitised already stays as it is.
    for (const char* text :
         {"SELECT * FROM users WHERE name = ? AND id IN (?)", "SELECT $1 FROM t"})
        CHECK(sql(text) == text);
}

TEST_CASE("Redis commands keep their keys") {
    CHECK(redis("SET user:1 secret EX 60") == "SET user:1 ? ? ?");
    CHECK(redis("get user:1") == "get user:1");
    CHECK(redis("HMSET h field1 \"a b\" field2 2") == "HMSET h field1 ? field2 ?");
    CHECK(redis("MSET a 1 b 2") == "MSET a ? b ?");
    CHECK(redis("AUTH hunter2") == "AUTH ?");
    CHECK(redis("EVAL \"return 1\" 0") == "EVAL ? ?");
    CHECK(redis("MULTI\nSET k v\nEXEC") == "MULTI\nSET k ?\nEXEC");
    CHECK(redis("") == "");
    CHECK(redis("SET k \"open") == "SET k ?");
    CHECK(redis("SET k \"open\\") == "SET k ?");
}

TEST_CASE("rules by name come before what a value looks like") {
    Rules rules;
    rules.blocked_keys = {"customer.*"};
    rules.removed_keys = {"debug.*"};
    const Redactor redactor(rules);
    using Verdict = Redactor::Verdict;
    CHECK(redactor.judge_key("customer.name") == Verdict::kChange);
    CHECK(redactor.judge_key("debug.dump") == Verdict::kRemove);
    CHECK(redactor.judge_key("http.request.header.authorization") == Verdict::kChange);
    CHECK(redactor.judge_key("http.route") == Verdict::kKeep);
    CHECK(redactor.counts().values_replaced == 2);
    CHECK(redactor.counts().attributes_removed == 1);

    Rules closed;
    closed.allowed_keys = {"http.*", "user.id"};
    const Redactor strict(closed);
    CHECK(strict.judge_key("http.route") == Verdict::kKeep);
    CHECK(strict.judge_key("anything.else") == Verdict::kRemove);
}

TEST_CASE("user.id stays findable unless it is listed") {
    CHECK(shown(Redactor({}), "user.id", kMail) == kMail);
    CHECK(shown(Redactor({}), "user.email", kMail) == "****");
    Rules rules;
    rules.blocked_keys = {"user.id"};
    CHECK(Redactor(rules).judge_key("user.id") == Redactor::Verdict::kChange);
    rules = Rules();
    rules.exempt_keys.clear();
    CHECK(shown(Redactor(rules), "user.id", kMail) == "****");
}

TEST_CASE("a text may be changed for several reasons at once") {
    const Redactor redactor({});
    CHECK(shown(redactor, "exception.message",
                "ada@example.com cannot open https://u:p@h/?sig=1 with 4111111111111111") ==
          "**** cannot open https://REDACTED:REDACTED@h/?sig=REDACTED with ****");
    CHECK(shown(redactor, "db.query.text", "SELECT 1 FROM t") == "SELECT ? FROM t");
    CHECK(shown(redactor, "url.query", "sig=1&mail=ada%40example.com") == "sig=REDACTED&mail=****");
    CHECK(shown(redactor, "http.route", "/orders/{id}") == "/orders/{id}");
    const RedactionCounts counts = redactor.counts();
    CHECK(counts.urls == 2);
    CHECK(counts.statements == 1);
    CHECK(counts.findings[static_cast<size_t>(Detector::kEmail)] == 2);
    CHECK(counts.findings[static_cast<size_t>(Detector::kCard)] == 1);
}

TEST_CASE("a hash keeps equal values equal") {
    Rules rules;
    rules.replacement = Replacement::kHash;
    rules.hash_key = "k";
    const Redactor redactor(rules);
    const std::string one = shown(redactor, "a", "mail to ada@example.com");
    CHECK(one == shown(redactor, "b", "mail to ada@example.com"));
    CHECK(one.find("ada") == std::string::npos);
    CHECK(one.size() == 8 + 32);
}

TEST_CASE("every surface of a span is covered") {
    const std::string mail = text_value(kMail);
    std::string span;
    WireWriter writer(span);
    writer.bytes_field(1, std::string(16, 'T'));
    writer.fixed64_field(7, 123);
    writer.varint_field(6, 2);
    writer.bytes_field(3, "vendor=ada@example.com");
    writer.bytes_field(5, "lookup ada@example.com");
    add_attribute(span, 9, "user.email", mail);
    add_attribute(span, 9, "mail ada@example.com", text_value("key"));
    add_attribute(span, 9, "raw", nested_value(7, kMail));
    add_attribute(span, 9, "list", nested_value(5, nested_value(1, mail)));
    std::string map;
    add_attribute(map, 1, "inner", mail);
    add_attribute(map, 1, "password", text_value("hunter2"));
    add_attribute(span, 9, "map", nested_value(6, map));
    std::string card;
    WireWriter(card).varint_field(3, 4111111111111111);
    add_attribute(span, 9, "number", card);
    std::string event;
    WireWriter(event).bytes_field(2, "sent to ada@example.com");
    add_attribute(event, 3, "exception.stacktrace", mail);
    writer.bytes_field(11, event);
    std::string link;
    add_attribute(link, 4, "peer", mail);
    writer.bytes_field(13, link);
    std::string status;
    WireWriter(status).bytes_field(2, "no user ada@example.com");
    WireWriter(status).varint_field(3, 2);
    writer.bytes_field(15, status);

    const Redactor redactor({});
    std::string out;
    REQUIRE(redact_span(span, redactor, out));
    CHECK(out.find("ada") == std::string::npos);
    CHECK(out.find("hunter2") == std::string::npos);
    CHECK(redactor.counts().findings[static_cast<size_t>(Detector::kEmail)] == 11);
    CHECK(redactor.counts().findings[static_cast<size_t>(Detector::kCard)] == 1);
    // What was not data is what it was.
    const otlp::SpanView view = otlp::SpanView::parse(out);
    CHECK(view.name == "lookup ****");
    CHECK(view.trace_id.view() == std::string(16, 'T'));
    CHECK(view.start_ns == 123);
    CHECK(view.status_message == "no user ****");

    // Nothing is left to be done.
    std::string again;
    std::string third = out;
    Rules by_look_only;
    by_look_only.hides_secret_names = false;
    CHECK_FALSE(redact_span(third, Redactor(by_look_only), again));
    CHECK(again.empty());
}

TEST_CASE("a span with nothing to hide is not copied") {
    std::string span;
    WireWriter(span).bytes_field(5, "GET /orders");
    add_attribute(span, 9, "user.id", text_value("4815"));
    std::string out = "before";
    CHECK_FALSE(redact_span(span, Redactor({}), out));
    CHECK(out == "before");
}

TEST_CASE("a statement is sanitised as its database writes it, also where it is the name") {
    std::string span;
    WireWriter(span).bytes_field(5, "SELECT \"a\" FROM t WHERE b = 1");
    add_attribute(span, 9, "db.system.name", text_value("mysql"));
    add_attribute(span, 9, "db.query.text", text_value("SELECT \"a\" FROM t WHERE b = 1"));
    std::string out;
    REQUIRE(redact_span(span, Redactor({}), out));
    CHECK(otlp::SpanView::parse(out).name == "SELECT ? FROM t WHERE b = ?");
    CHECK(out.find("\"a\"") == std::string::npos);

    std::string plain;
    WireWriter(plain).bytes_field(5, "SELECT 2 seats");
    CHECK_FALSE(redact_span(plain, Redactor({}), out));
}

TEST_CASE("scope and resource are covered too") {
    std::string scope;
    WireWriter(scope).bytes_field(1, "lib of ada@example.com");
    add_attribute(scope, 3, "owner", text_value(kMail));
    std::string out;
    REQUIRE(redact_scope(scope, Redactor({}), out));
    CHECK(out.find("ada") == std::string::npos);

    std::string resource;
    add_attribute(resource, 1, "process.command_line", text_value("app --mail=ada@example.com"));
    add_attribute(resource, 1, "service.name", text_value("shop"));
    std::string changed;
    REQUIRE(redact_resource(resource, Redactor({}), changed));
    CHECK(changed.find("ada") == std::string::npos);
    CHECK(changed.find("shop") != std::string::npos);
}

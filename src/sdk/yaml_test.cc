#include "sdk/yaml.h"

#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include "sdk/substitution.h"

using namespace spanloom;
using namespace spanloom::sdk;

namespace {

// The document as JSON-like text: plain scalars as they are, quoted ones in
// quotes.
std::string shown(const YamlNode& node) {
    std::string text;
    switch (node.kind) {
        case YamlNode::Kind::kScalar:
            return node.is_quoted ? '"' + node.text + '"' : node.text.empty() ? "~" : node.text;
        case YamlNode::Kind::kList:
            for (const YamlNode& item : node.items)
                text += (text.empty() ? "" : ",") + shown(item);
            return "[" + text + "]";
        default:
            for (const auto& [key, value] : node.entries)
                text += (text.empty() ? "" : ",") + key + ":" + shown(value);
            return "{" + text + "}";
    }
}
std::string parsed(const std::string& text) {
    const auto node = parse_yaml(text);
    return node ? shown(*node) : "error: " + node.error().message;
}
bool is_refused(const std::string& text) {
    return parsed(text).rfind("error: line ", 0) == 0;
}

// The specification's variables (configuration/data-model.md).
std::optional<std::string> variable(std::string_view name) {
    static const std::pair<std::string_view, std::string_view> kVariables[] = {
        {"STRING_VALUE", "value"},
        {"BOOL_VALUE", "true"},
        {"INT_VALUE", "1"},
        {"FLOAT_VALUE", "1.1"},
        {"HEX_VALUE", "0xdeadbeef"},
        {"INVALID_MAP_VALUE", "value\nkey:value"},
        {"DO_NOT_REPLACE_ME", "Never use this value"},
        {"REPLACE_ME", "${DO_NOT_REPLACE_ME}"},
        {"VALUE_WITH_ESCAPE", "value$$"},
        {"EMPTY", ""},
        {"env", "named env"},
    };
    for (const auto& [known, value] : kVariables) {
        if (known == name) return std::string(value);
    }
    return std::nullopt;
}

// "type value" of the one key.
std::string resolved(const std::string& text) {
    auto node = parse_yaml(text);
    if (!node || !substitute_variables(*node, variable)) return "error";
    const auto& [key, value] = node->entries.front();
    const std::string at = key == "key" ? "" : key + ": ";
    if (value.is_null()) return at + "null";
    if (value.boolean()) return at + "bool " + value.text;
    if (const auto whole = value.integer()) return at + "int " + std::to_string(*whole);
    if (value.number()) return at + "float " + value.text;
    return at + "str " + value.text;
}

}  // namespace

TEST_CASE("what configuration files are written in") {
    CHECK(parsed("") == "~");
    CHECK(parsed("# nothing\n\n---\n") == "~");
    CHECK(parsed("a: 1\nb: two words # comment\nc: 'it''s'\nd: "
                 "\"x\\ty\\u00e9\\U0001F600\"\n") ==
          "{a:1,b:two words,c:\"it's\",d:\"x\ty\xc3\xa9\xf0\x9f\x98\x80\"}");
    CHECK(parsed("---\na:\n  b:\n    c: 1\n  d: 2\ne:\n") == "{a:{b:{c:1},d:2},e:~}");
    CHECK(parsed("list:\n  - a\n  - b: 1\n    c: 2\n  -\n    d: 3\n  - - x\n    "
                 "- y\n") == "{list:[a,{b:1,c:2},{d:3},[x,y]]}");
    CHECK(parsed("list:\n- a\n- b\nnext: 1") == "{list:[a,b],next:1}");
    CHECK(parsed("composite:\n  - tracecontext:\n  - baggage:\n") ==
          "{composite:[{tracecontext:~},{baggage:~}]}");
    CHECK(parsed("- batch:\n    exporter:\n      otlp_http:\n        endpoint: "
                 "http://localhost:4318/v1/traces\n") ==
          "[{batch:{exporter:{otlp_http:{endpoint:http://localhost:4318/v1/"
          "traces}}}}]");
    CHECK(parsed("a: [1, \"2\", [x], {b: c, d: , e}]\nb: {}\nc: []") ==
          "{a:[1,\"2\",[x],{b:c,d:~,e:~}],b:{},c:[]}");
    CHECK(parsed("a: [\n  1, # one\n  2,\n]\nb: 3") == "{a:[1,2],b:3}");
    CHECK(parsed("\"quoted key\": 1\n'other': 2\nwith space: 3\na#b: c#d\n") ==
          "{quoted key:1,other:2,with space:3,a#b:c#d}");
    CHECK(parsed("a: 1\r\nb: 2\r\n") == "{a:1,b:2}");
    CHECK(parsed("\xef\xbb\xbfk: v") == "{k:v}");
    CHECK(parsed("just text") == "just text");
    CHECK(parsed("time: 12:30\nneg: -1\ndash: -x") == "{time:12:30,neg:-1,dash:-x}");
    CHECK(parsed("url: http://[::1]:4317 # v6") == "{url:http://[::1]:4317}");
}

TEST_CASE("JSON is read too") {
    CHECK(parsed(R"({"a":1,"b":[true,null,"x\"\/\ud83d\ude00"],"c":{"d":-1.5e3}})") ==
          "{a:1,b:[true,null,\"x\"/\xf0\x9f\x98\x80\"],c:{d:-1.5e3}}");
    CHECK(parsed("{\n  \"strategyType\" : \"PROBABILISTIC\",\n  \"x\": { }\n}\n") ==
          "{strategyType:\"PROBABILISTIC\",x:{}}");
}

TEST_CASE("what is not supported is refused, with its line") {
    for (const char* text : {"a: &x 1",
                             "a: *x",
                             "a: !!str 1",
                             "a: |\n  text",
                             "a: >\n  text",
                             "? a\n: b",
                             "%YAML 1.2\n---\na: 1",
                             "a: 1\n---\nb: 2",
                             "a: 1\n...\n",
                             "a:\n\t- b",
                             "a: 'open",
                             "a: \"open\n\"",
                             "a: [1, 2",
                             "a: {b: 1",
                             "a: [1 2: ]x",
                             "a: 1\na: 2",
                             "{a: 1, a: 2}",
                             "a: b: c",
                             "a: 1\n  b: 2",
                             "  a: 1\nb: 2",
                             "a: \"\\q\"",
                             "a: \"\\u12\"",
                             "a: \"\\ud800\"",
                             "a: \"x\" y",
                             "a: [,]",
                             "a: ]",
                             "a: @x",
                             "a: `x`",
                             "- a\nb: 1",
                             "a: 1\n- b",
                             "{: 1}"}) {
        CAPTURE(std::string(text));
        CHECK(is_refused(text));
    }
    CHECK(parsed("a: 1\nb: *x") == "error: line 2: anchors and aliases are not supported");
}

TEST_CASE("hostile documents are bounded") {
    CHECK(is_refused(std::string(100'000, '[')));
    CHECK(is_refused(std::string(2 << 20, 'a')));
    std::string deep;
    for (int i = 0; i < 100; ++i)
        deep += std::string(static_cast<size_t>(i), ' ') + "a:\n";
    CHECK(is_refused(deep));
    std::string dashes;
    for (int i = 0; i < 1000; ++i)
        dashes += "- ";
    CHECK(is_refused(dashes + "x"));
    std::string wide = "[";
    for (int i = 0; i < 200'000; ++i)
        wide += "a,";
    CHECK(is_refused(wide + "]"));
}

TEST_CASE("plain scalars have the core schema's types") {
    const auto scalar = [](const char* text) {
        YamlNode node;
        node.text = text;
        return node;
    };
    CHECK(scalar("null").is_null());
    CHECK(scalar("~").is_null());
    CHECK_FALSE(scalar("nil").is_null());
    CHECK(scalar("True").boolean() == true);
    CHECK(scalar("FALSE").boolean() == false);
    CHECK_FALSE(scalar("yes").boolean());
    CHECK(scalar("+12").integer() == 12);
    CHECK(scalar("-12").integer() == -12);
    CHECK(scalar("0o17").integer() == 15);
    CHECK(scalar("0xFF").integer() == 255);
    CHECK_FALSE(scalar("0x").integer());
    CHECK_FALSE(scalar("1.0").integer());
    CHECK_FALSE(scalar("+-1").integer());
    CHECK_FALSE(scalar("99999999999999999999").integer());
    CHECK(scalar("1e3").number() == 1000);
    CHECK(scalar("-.5").number() == -0.5);
    CHECK(scalar(".inf").number() == INFINITY);
    CHECK(scalar("-.inf").number() == -INFINITY);
    CHECK(std::isnan(*scalar(".nan").number()));
    CHECK_FALSE(scalar("inf").number());
    CHECK_FALSE(scalar("nan").number());
    CHECK_FALSE(scalar("0x1p3").number());
    CHECK_FALSE(scalar("1.2.3").number());
}

TEST_CASE("the specification's table of substitutions") {
    const std::pair<const char*, const char*> table[] = {
        {"key: ${STRING_VALUE}", "str value"},
        {"key: ${BOOL_VALUE}", "bool true"},
        {"key: ${INT_VALUE}", "int 1"},
        {"key: ${FLOAT_VALUE}", "float 1.1"},
        {"key: ${HEX_VALUE}", "int 3735928559"},
        {"key: \"${STRING_VALUE}\"", "str value"},
        {"key: \"${BOOL_VALUE}\"", "str true"},
        {"key: \"${INT_VALUE}\"", "str 1"},
        {"key: \"${FLOAT_VALUE}\"", "str 1.1"},
        {"key: \"${HEX_VALUE}\"", "str 0xdeadbeef"},
        {"key: ${env:STRING_VALUE}", "str value"},
        {"key: ${INVALID_MAP_VALUE}", "str value\nkey:value"},
        {"key: foo ${STRING_VALUE} ${FLOAT_VALUE}", "str foo value 1.1"},
        {"key: ${UNDEFINED_KEY}", "null"},
        {"key: ${UNDEFINED_KEY:-fallback}", "str fallback"},
        {"${STRING_VALUE}: value", "${STRING_VALUE}: str value"},
        {"key: ${REPLACE_ME}", "str ${DO_NOT_REPLACE_ME}"},
        {"key: ${UNDEFINED_KEY:-${STRING_VALUE}}", "str ${STRING_VALUE}"},
        {"key: ${STRING_VALUE:?error}", "error"},
        {"key: $${STRING_VALUE}", "str ${STRING_VALUE}"},
        {"key: $$${STRING_VALUE}", "str $value"},
        {"key: $$$${STRING_VALUE}", "str $${STRING_VALUE}"},
        {"key: $${STRING_VALUE:-fallback}", "str ${STRING_VALUE:-fallback}"},
        {"key: $${STRING_VALUE:-${STRING_VALUE}}", "str ${STRING_VALUE:-value}"},
        {"key: ${UNDEFINED_KEY:-$${UNDEFINED_KEY}}", "str ${UNDEFINED_KEY:-${UNDEFINED_KEY}}"},
        {"key: ${VALUE_WITH_ESCAPE}", "str value$$"},
        {"key: a $$ b", "str a $ b"},
        {"key: a $ b", "str a $ b"},
        // Beyond the table.
        {"key: ${EMPTY:-fallback}", "str fallback"},
        {"key: ${env:UNDEFINED_KEY:-fallback}", "str fallback"},
        {"key: ${env:-fallback}", "str named env"},
        {"key: ${UNDEFINED_KEY:-}", "null"},
        {"key: \"${UNDEFINED_KEY}\"", "str "},
        {"key: ${1API_KEY}", "error"},
        {"key: ${API_$KEY}", "error"},
        {"key: ${sys:STRING_VALUE}", "error"},
        {"key: ${STRING_VALUE }", "error"},
        {"key: ${STRING_VALUE", "str ${STRING_VALUE"},
        {"key: ${}", "str ${}"},
        {"key: $$${FOO} ${STRING_VALUE} $${BAZ}", "str $ value ${BAZ}"},
    };
    for (const auto& [text, expected] : table) {
        CAPTURE(std::string(text));
        CHECK(resolved(text) == expected);
    }
}

TEST_CASE("an invalid reference fails the whole document and names its line") {
    auto node = parse_yaml("a: 1\nb:\n  - ${OK}\n  - ${NOT-OK}\n");
    REQUIRE(node);
    const auto result = substitute_variables(*node, variable);
    REQUIRE_FALSE(result);
    CHECK(result.error().message.rfind("line 4: '${NOT-OK}'", 0) == 0);
}

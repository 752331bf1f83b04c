#include "base/text.h"

#include <doctest/doctest.h>

#include "base/json_writer.h"

namespace spanloom {

TEST_CASE("durations are read as Go writes them") {
    CHECK(parse_duration_ns("1m30s").value() == 90'000'000'000);
    CHECK(parse_duration_ns("1.5s").value() == 1'500'000'000);
    CHECK(parse_duration_ns("250µs").value() == 250'000);
    CHECK(parse_duration_ns("2d").value() == 172'800'000'000'000);
    CHECK(parse_duration_ns("-5ms").value() == -5'000'000);
    for (const char* bad : {"", "soon", "5", "ms", "1.2.3s", "1e400h", "9999999999h"})
        CHECK_FALSE(parse_duration_ns(bad).has_value());
}

TEST_CASE("sizes are read with binary and decimal units") {
    CHECK(parse_bytes("64MiB").value() == 67'108'864);
    CHECK(parse_bytes("1.5 GB").value() == 1'500'000'000);
    CHECK(parse_bytes("1024").value() == 1024);
    for (const char* bad : {"", "MiB", "12 parsecs", "-1", "99999999999TiB"})
        CHECK_FALSE(parse_bytes(bad).has_value());
}

TEST_CASE("times of RFC 3339, with the blank that a decoded plus leaves") {
    CHECK(parse_rfc3339_ns("2026-11-22T15:00:00Z").value() == 1'795'359'600'000'000'000U);
    CHECK(parse_rfc3339_ns("2026-11-22T17:00:00.25+02:00").value() == 1'795'359'600'250'000'000U);
    CHECK(parse_rfc3339_ns("2026-11-22T17:00:00 02:00").value() == 1'795'359'600'000'000'000U);
    CHECK(format_rfc3339_ns(1'795'359'600'250'000'001U) == "2026-11-22T15:00:00.250000001Z");
    for (const char* bad :
         {"", "yesterday", "2026-13-01T00:00:00Z", "2026-11-22T15:00:00", "2026-11-22T15:00:00.Z",
          "1955-11-22T15:00:00Z", "2026-11-22T15:00:00Zx"})
        CHECK_FALSE(parse_rfc3339_ns(bad).has_value());
}

TEST_CASE("UTF-8: each maximal invalid part becomes one replacement character") {
    CHECK(is_valid_utf8("plain ascii, long enough for a word"));
    CHECK(is_valid_utf8("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"));
    for (const char* bad : {"\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "abc\xe2\x82", "\x80"})
        CHECK_FALSE(is_valid_utf8(bad));
    CHECK(replace_invalid_utf8("a\xe2\x82z\xff") == "a\xef\xbf\xbdz\xef\xbf\xbd");
}

TEST_CASE("base64 takes both alphabets, padded or not") {
    std::string out;
    append_base64(out, std::string_view("\xff\xfe\xfd\x00", 4));
    CHECK(out == "//79AA==");
    CHECK(parse_base64("//79AA==").value() == std::string("\xff\xfe\xfd\x00", 4));
    CHECK(parse_base64("__79AA").value() == std::string("\xff\xfe\xfd\x00", 4));
    CHECK_FALSE(parse_base64("a").has_value());
    CHECK_FALSE(parse_base64("a b=").has_value());
}

TEST_CASE("percent decoding leaves malformed escapes as they are") {
    CHECK(decode_percent("a%20b+c", true) == "a b c");
    CHECK(decode_percent("a%2", false) == "a%2");
    CHECK(decode_percent("%zz%41", false) == "%zzA");
    CHECK(decode_percent("%41", false) == "A");
}

TEST_CASE("JSON text is safe inside a page and stays valid") {
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("a", "x\n\"</script>").key("n").begin_array();
    json.number(1).number(-2.5).quoted(uint64_t{18446744073709551615U}).boolean(true).null();
    json.end_array().field("bad", std::string_view("\xff")).end_object();
    CHECK(out ==
          R"({"a":"x\n\"\u003c/script\u003e","n":[1,-2.5,"18446744073709551615",true,null],"bad":")"
          "\xef\xbf\xbd\"}");
}

}  // namespace spanloom

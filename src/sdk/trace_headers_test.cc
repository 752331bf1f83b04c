#include "sdk/trace_headers.h"

#include <string>

#include <doctest/doctest.h>

using namespace spanloom;
using namespace spanloom::sdk;

namespace {

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kSpan = "00f067aa0ba902b7";

// "trace span flags", or "refused".
std::string shown(bool good, const TraceHeader& header) {
    if (!good) return "refused";
    std::string text = header.trace_id.hex() + " " + header.span_id.hex() + " ";
    if ((header.flags & kFlagSampled) != 0) text += 's';
    if ((header.flags & kFlagRandom) != 0) text += 'r';
    if ((header.flags & kFlagDebug) != 0) text += 'd';
    return text;
}

std::string traceparent(const std::string& value) {
    TraceHeader header;
    const bool good = parse_traceparent(value, header);
    return shown(good, header);
}
std::string b3(const std::string& value) {
    TraceHeader header;
    const bool good = parse_b3(value, header);
    return shown(good, header);
}
std::string uber(const std::string& value) {
    TraceHeader header;
    const bool good = parse_uber_trace_id(value, header);
    return shown(good, header);
}

}  // namespace

TEST_CASE("a traceparent is read by the rules of level 2") {
    const std::string ids = kTrace + "-" + kSpan;
    const std::string read = kTrace + " " + kSpan + " ";
    struct Case {
        const char* what;
        std::string value;
        std::string expected;
    };
    const Case cases[] = {
        {"sampled", "00-" + ids + "-01", read + "s"},
        {"not sampled", "00-" + ids + "-00", read},
        {"the random flag is level 2's", "00-" + ids + "-03", read + "sr"},
        {"flags nobody knows are dropped", "00-" + ids + "-ff", read + "sr"},
        {"blanks around it", " \t00-" + ids + "-01\t ", read + "s"},
        {"a later version", "cc-" + ids + "-01", read + "s"},
        {"a later version with more", "cc-" + ids + "-01-what-the-future-will-be-like", read + "s"},
        {"more without its dash", "cc-" + ids + "-01.what", "refused"},
        {"version 00 with more", "00-" + ids + "-01-more", "refused"},
        {"version 00 with one more", "00-" + ids + "-01.", "refused"},
        {"version ff", "ff-" + ids + "-01", "refused"},
        {"version in upper case", "CC-" + ids + "-01", "refused"},
        {"no version", ids + "-01", "refused"},
        {"version of one digit", "0-" + ids + "-01", "refused"},
        {"version of three digits", "000-" + ids + "-01", "refused"},
        {"version of no digits", ".0-" + ids + "-01", "refused"},
        {"upper case", "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + kSpan + "-01", "refused"},
        {"upper case span", "00-" + kTrace + "-00F067AA0BA902B7-01", "refused"},
        {"trace id of zeros", "00-00000000000000000000000000000000-" + kSpan + "-01", "refused"},
        {"span id of zeros", "00-" + kTrace + "-0000000000000000-01", "refused"},
        {"trace id with a dot first", "00-.bf92f3577b34da6a3ce929d0e0e4736-" + kSpan + "-01",
         "refused"},
        {"trace id with a g", "00-gbf92f3577b34da6a3ce929d0e0e4736-" + kSpan + "-01", "refused"},
        {"trace id with a slash", "00-/bf92f3577b34da6a3ce929d0e0e4736-" + kSpan + "-01",
         "refused"},
        {"trace id with a colon", "00-4bf92f3577b34da6a3ce929d0e0e473:-" + kSpan + "-01",
         "refused"},
        {"trace id with a backquote", "00-4bf92f3577b34da6a3ce929d0e0e473`-" + kSpan + "-01",
         "refused"},
        {"a byte above ASCII", "00-4bf92f3577b34da6a3ce929d0e0e473\xb0-" + kSpan + "-01",
         "refused"},
        {"trace id too short", "00-4bf92f3577b34da6a3ce929d0e0e473-" + kSpan + "-01", "refused"},
        {"trace id too long", "00-" + kTrace + "0-" + kSpan + "-01", "refused"},
        {"span id with a dot last", "00-" + kTrace + "-00f067aa0ba902b.-01", "refused"},
        {"span id too long", "00-" + kTrace + "-" + kSpan + "0-01", "refused"},
        {"flags of one digit", "00-" + ids + "-1", "refused"},
        {"flags of three digits", "00-" + ids + "-001", "refused"},
        {"flags that are no digits", "00-" + ids + "-0.", "refused"},
        {"no dash after the trace", "00-" + kTrace + "x" + kSpan + "-01", "refused"},
        {"nothing", "", "refused"},
        {"blanks", "   ", "refused"},
    };
    for (const Case& c : cases) {
        CAPTURE(c.what);
        CHECK(traceparent(c.value) == c.expected);
    }
}

TEST_CASE(
    "a traceparent is written as version 00, and only with the flags "
    "that exist") {
    TraceHeader header;
    REQUIRE(parse_traceparent("cc-" + kTrace + "-" + kSpan + "-03-more", header));
    header.flags |= kFlagDebug;
    char text[kTraceparentBytes];
    format_traceparent(header, text);
    CHECK(std::string(text, sizeof text) == "00-" + kTrace + "-" + kSpan + "-03");
}

TEST_CASE("every byte survives hexadecimal") {
    for (int value = 1; value < 256; ++value) {
        TraceHeader header;
        for (size_t i = 0; i < 16; ++i)
            header.trace_id.bytes[i] = static_cast<uint8_t>(value + static_cast<int>(i) * 7);
        header.span_id.bytes.fill(static_cast<uint8_t>(value));
        char text[kTraceparentBytes];
        format_traceparent(header, text);
        TraceHeader read;
        REQUIRE(parse_traceparent({text, sizeof text}, read));
        CHECK(read.trace_id == header.trace_id);
        CHECK(read.span_id == header.span_id);
        CHECK(std::string(text + 3, 32) == header.trace_id.hex());
    }
}

TEST_CASE("B3 in one header") {
    const std::string ids = kTrace + "-" + kSpan;
    const std::string read = kTrace + " " + kSpan + " ";
    CHECK(b3(ids + "-1") == read + "s");
    CHECK(b3(ids + "-0") == read);
    CHECK(b3(ids + "-d") == read + "sd");
    CHECK(b3(ids + "-true") == read + "s");
    CHECK(b3(ids) == read);
    CHECK(b3(ids + "-1-05e3ac9a4f6e3b90") == read + "s");
    CHECK(b3(" " + ids + "-1 ") == read + "s");
    CHECK(b3("a3ce929d0e0e4736-" + kSpan + "-1") ==
          "0000000000000000a3ce929d0e0e4736 " + kSpan + " s");
    CHECK(b3("A3CE929D0E0E4736-" + kSpan + "-1") ==
          "0000000000000000a3ce929d0e0e4736 " + kSpan + " s");
    for (const char* lone : {"0", "1", "d", "", "-", "--", "---1"})
        CHECK(b3(lone) == "refused");
    CHECK(b3(ids + "-2") == "refused");
    CHECK(b3(ids + "-1-05e3") == "refused");
    CHECK(b3(kTrace.substr(1) + "-" + kSpan + "-1") == "refused");
    CHECK(b3(kTrace + "-0000000000000000-1") == "refused");

    TraceHeader header;
    for (const char* state : {"-0", "-1", "-d"}) {
        REQUIRE(parse_b3(ids + state, header));
        char text[kB3Bytes];
        format_b3(header, text);
        CHECK(std::string(text, sizeof text) == ids + state);
    }
}

TEST_CASE("B3 in several headers") {
    const auto multi = [](const std::string& trace, const std::string& span,
                          const std::string& sampled, const std::string& flags) {
        TraceHeader header;
        const bool good = parse_b3_multi(trace, span, sampled, flags, header);
        return shown(good, header);
    };
    const std::string read = kTrace + " " + kSpan + " ";
    CHECK(multi(kTrace, kSpan, "1", "") == read + "s");
    CHECK(multi(kTrace, kSpan, "true", "") == read + "s");
    CHECK(multi(kTrace, kSpan, "0", "") == read);
    CHECK(multi(kTrace, kSpan, "false", "") == read);
    CHECK(multi(kTrace, kSpan, "", "") == read);
    CHECK(multi(kTrace, kSpan, "0", "1") == read + "sd");
    CHECK(multi(kTrace, kSpan, "", "1") == read + "sd");
    CHECK(multi(kTrace, "", "1", "") == "refused");
    CHECK(multi("", kSpan, "1", "") == "refused");
    CHECK(multi(kTrace, kSpan, "yes", "") == "refused");
}

TEST_CASE("Jaeger's header") {
    const std::string read = kTrace + " " + kSpan + " ";
    CHECK(uber(kTrace + ":" + kSpan + ":0:1") == read + "s");
    CHECK(uber(kTrace + ":" + kSpan + ":0:0") == read);
    CHECK(uber(kTrace + ":" + kSpan + ":0:3") == read + "sd");
    CHECK(uber(kTrace + ":" + kSpan + ":0:02") == read + "sd");
    CHECK(uber(kTrace + ":" + kSpan + ":0:9") == read + "s");
    CHECK(uber(kTrace + ":" + kSpan + ":05e3ac9a4f6e3b90:1") == read + "s");
    CHECK(uber(kTrace + "%3A" + kSpan + "%3A0%3A1") == read + "s");
    CHECK(uber(kTrace + "%3a" + kSpan + "%3a0%3a1") == read + "s");
    CHECK(uber("1f:2:0:1") == "0000000000000000000000000000001f 0000000000000002 s");
    CHECK(uber("0:2:0:1") == "refused");
    CHECK(uber("1:0:0:1") == "refused");
    CHECK(uber("1:2:0") == "refused");
    CHECK(uber("1:2:0:") == "refused");
    CHECK(uber("1:2:0:100") == "refused");
    CHECK(uber("1:2:0:x") == "refused");
    CHECK(uber("1:2:0:1:1") == "refused");
    CHECK(uber("0" + kTrace + ":2:0:1") == "refused");
    CHECK(uber("") == "refused");

    TraceHeader header;
    for (const char* flags : {"0", "1", "3"}) {
        REQUIRE(parse_uber_trace_id(kTrace + ":" + kSpan + ":0:" + flags, header));
        char text[kUberTraceIdBytes];
        format_uber_trace_id(header, text);
        CHECK(std::string(text, sizeof text) == kTrace + ":" + kSpan + ":0:" + flags);
    }
}

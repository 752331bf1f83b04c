#include "store/column.h"

#include <bit>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "base/random.h"

namespace spanloom::store {
namespace {

// Some of the values, by their places, and what is refused.
void check_places(const std::string& body, const std::vector<int64_t>& values) {
    for (const uint32_t step : {1U, 3U, 64U}) {
        std::vector<uint32_t> places;
        std::vector<int64_t> expected;
        for (uint32_t at = step / 2; at < values.size(); at += step) {
            places.push_back(at);
            expected.push_back(values[at]);
        }
        std::vector<int64_t> some = {7};
        REQUIRE(decode_integers_at(body, values.size(), places, some).has_value());
        REQUIRE(some == expected);
        const std::string_view cut = std::string_view(body).substr(0, body.size() - 1);
        CHECK(!decode_integers_at(cut, values.size(), places, some).has_value());
        CHECK(!decode_integers_at(body + "x", values.size(), places, some).has_value());
        places.push_back(static_cast<uint32_t>(values.size()));
        CHECK(!decode_integers_at(body, values.size(), places, some).has_value());
    }
}

// The same of texts in any form.
void check_text_places(const std::string& body, const std::vector<std::string_view>& texts) {
    for (const size_t step : {size_t{1}, size_t{7}, texts.size()}) {
        std::vector<uint32_t> places;
        std::vector<std::string_view> expected;
        for (size_t at = step / 2; at < texts.size(); at += step) {
            places.push_back(static_cast<uint32_t>(at));
            expected.push_back(texts[at]);
        }
        const auto some = decode_texts_at(body, texts.size(), places, {}, {});
        REQUIRE_MESSAGE(some.has_value(), (some ? "" : some.error().message));
        REQUIRE(some->texts == expected);
        CHECK(some->codes.empty());
        CHECK(!decode_texts_at(body, texts.size() + 64, places, {}, {}).has_value());
        CHECK(!decode_texts_at(body + "x", texts.size(), places, {}, {}).has_value());
        const std::string_view cut = std::string_view(body).substr(0, body.size() - 1);
        CHECK(!decode_texts_at(cut, texts.size(), places, {}, {}).has_value());
        places.push_back(static_cast<uint32_t>(texts.size()));
        CHECK(!decode_texts_at(body, texts.size(), places, {}, {}).has_value());
    }
}

void check_integers(const std::vector<int64_t>& values) {
    for (const int level : {0, 1, 3}) {
        std::string body;
        encode_integers(values, level, body);
        std::vector<int64_t> back;
        const auto done = decode_integers(body, values.size(), back);
        REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().message));
        REQUIRE(back == values);
        if (values.empty()) continue;
        check_places(body, values);
        // More packed values than there are, or one byte less or more: refused.
        if (body[0] == 1) CHECK(!decode_integers(body, values.size() + 64, back).has_value());
        CHECK(
            !decode_integers(std::string_view(body).substr(0, body.size() - 1), values.size(), back)
                 .has_value());
        CHECK(!decode_integers(body + "x", values.size(), back).has_value());
    }
}

}  // namespace

TEST_CASE("integers of every width and shape come back") {
    SeededRandom random(1);
    check_integers({});
    check_integers({0});
    check_integers({INT64_MIN, INT64_MAX, 0, -1, 1});
    check_integers(std::vector<int64_t>(1000, -7));
    for (uint32_t width = 1; width <= 64; ++width) {
        for (const size_t count : {1U, 2U, 3U, 17U, 64U, 1000U}) {
            std::vector<int64_t> values;
            for (size_t i = 0; i < count; ++i)
                values.push_back(static_cast<int64_t>(random.next() >> (64 - width)));
            check_integers(values);
        }
    }
    std::vector<int64_t> rising;
    std::vector<int64_t> few;
    for (int64_t i = 0; i < 3000; ++i) {
        rising.push_back(1'000'000'000'000 + i * 1000 + static_cast<int64_t>(random.below(3)));
        few.push_back(static_cast<int64_t>(random.below(3)) * 1'000'000'007);
    }
    check_integers(rising);
    check_integers(few);
}

TEST_CASE("times in ticks and values of many magnitudes come back and take little space") {
    SeededRandom random(7);
    std::vector<int64_t> ticks;
    std::vector<int64_t> magnitudes;
    for (int i = 0; i < 4096; ++i) {
        ticks.push_back(-5'000 + static_cast<int64_t>(random.below(1000)) * 1000);
        magnitudes.push_back(static_cast<int64_t>(random.next() >> (20 + random.below(40))));
    }
    check_integers(ticks);
    check_integers(magnitudes);
    magnitudes.push_back(INT64_MIN);
    magnitudes.push_back(INT64_MAX);
    check_integers(magnitudes);
    magnitudes.resize(4096);
    std::string body;
    encode_integers(ticks, 1, body);
    CHECK(body.size() < 4096 * 10 / 8 + 64);
    body.clear();
    encode_integers(magnitudes, 1, body);
    // About 23 bits below the highest one, and 5 that say where this is; packed they are 44.
    CHECK(body.size() < 4096 * 29 / 8);
}

TEST_CASE("regular integers take little space") {
    std::vector<int64_t> rising;
    std::vector<int64_t> few;
    SeededRandom random(2);
    for (int64_t i = 0; i < 4096; ++i) {
        rising.push_back(5'000'000 + i * 3);
        few.push_back(random.below(4) == 0 ? 50051 : 8080);
    }
    std::string body;
    encode_integers(rising, 0, body);
    CHECK(body.size() < 16);
    body.clear();
    encode_integers(few, 0, body);
    CHECK(body.size() < 530);
}

TEST_CASE("doubles keep every bit") {
    const auto check = [](const std::vector<double>& values) {
        for (const int level : {0, 1}) {
            std::string body;
            encode_doubles(values, level, body);
            std::vector<double> back;
            const auto done = decode_doubles(body, values.size(), back);
            REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().message));
            REQUIRE(back.size() == values.size());
            for (size_t i = 0; i < values.size(); ++i)
                REQUIRE(std::bit_cast<uint64_t>(back[i]) == std::bit_cast<uint64_t>(values[i]));
            if (values.empty()) continue;
            const std::vector<uint32_t> last = {static_cast<uint32_t>(values.size() - 1)};
            std::vector<double> some;
            REQUIRE(decode_doubles_at(body, values.size(), last, some).has_value());
            REQUIRE(some.size() == 1);
            CHECK(std::bit_cast<uint64_t>(some[0]) == std::bit_cast<uint64_t>(values.back()));
            CHECK(!decode_doubles_at("\x02" + body, values.size(), last, some).has_value());
        }
    };
    check({});
    check({0.1, 12.34, 999.99, -5.0, 1e6});
    check({0.0, -0.0});
    check({std::bit_cast<double>(uint64_t{0x7ff8dead0000beef}), INFINITY, -INFINITY,
           std::numeric_limits<double>::denorm_min(), 1e308});
    SeededRandom random(3);
    std::vector<double> odd;
    std::vector<double> prices;
    for (int i = 0; i < 2000; ++i) {
        odd.push_back(std::bit_cast<double>(random.next()));
        prices.push_back(static_cast<double>(random.below(100'000)) / 100);
    }
    check(odd);
    check(prices);
    std::string body;
    encode_doubles(prices, 0, body);
    CHECK(body.size() < 2000 * 17 / 8 + 16);
}

TEST_CASE("texts come back, and a wrong count does not") {
    SeededRandom random(4);
    std::vector<std::string> texts = {"", "a", std::string(100'000, 'x'), "\n",
                                      std::string("\0", 1)};
    for (int i = 0; i < 500; ++i)
        texts.push_back("https://example.test/" + std::to_string(random.next()));
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    for (const int level : {0, 1}) {
        std::string body;
        encode_texts(views, level, body);
        const auto back = decode_texts(body, views.size());
        REQUIRE(back.has_value());
        CHECK(back->texts == views);
        check_text_places(body, views);
        CHECK(!decode_texts(body, views.size() - 1).has_value());
        CHECK(!decode_texts(body, views.size() + 64).has_value());
    }
}

TEST_CASE("lengths of texts that are out of range are refused wherever they are") {
    const std::vector<uint32_t> places = {1};
    for (const std::vector<int64_t>& lengths :
         std::vector<std::vector<int64_t>>{{3, 2, 4},
                                           {-1, 2, 8},
                                           {3, -2, 8},
                                           {3, 2, -5},
                                           {INT64_MAX, 2, INT64_MIN + 8},
                                           {9, 1, 0}}) {
        std::string packed;
        encode_integers(lengths, 0, packed);
        std::string body(1, '\0');
        body += static_cast<char>(packed.size());
        body += packed;
        body += std::string(1, '\0') + "\x09" + "abcdefghi";
        const auto some = decode_texts_at(body, 3, places, {}, {});
        CHECK(some.has_value() == (lengths[2] == 4));
        CHECK(some.has_value() == decode_texts(body, 3).has_value());
        if (some) CHECK(some->texts.at(0) == "de");
    }
}

TEST_CASE("texts with ids, numbers and addresses in them come back and take little space") {
    SeededRandom random(6);
    const auto hex = [&](size_t digits) {
        std::string out;
        for (size_t i = 0; i < digits; ++i)
            out += "0123456789abcdef"[random.below(16)];
        return out;
    };
    const auto uuid = [&] {
        return hex(8) + "-" + hex(4) + "-" + hex(4) + "-" + hex(4) + "-" + hex(12);
    };
    const auto check = [](const std::vector<std::string>& texts) {
        const std::vector<std::string_view> views(texts.begin(), texts.end());
        std::string body;
        encode_texts(views, 1, body);
        const auto back = decode_texts(body, views.size());
        REQUIRE_MESSAGE(back.has_value(), (back ? "" : back.error().message));
        REQUIRE(back->texts.size() == texts.size());
        for (size_t i = 0; i < texts.size(); ++i)
            REQUIRE(back->texts[i] == texts[i]);
        check_text_places(body, views);
        for (size_t cut = 0; cut < body.size(); cut += 97)
            CHECK(!decode_texts(std::string_view(body).substr(0, cut), views.size()).has_value());
        return body.size();
    };
    std::vector<std::string> uuids;
    std::vector<std::string> commands;
    std::vector<std::string> addresses;
    std::vector<std::string> odd;
    for (int i = 0; i < 1000; ++i) {
        uuids.push_back(uuid());
        commands.push_back("GET cart:" + hex(16) + " ?");
        addresses.push_back("10." + std::to_string(random.below(4)) + "." +
                            std::to_string(random.below(32)) + "." +
                            std::to_string(random.below(250)));
        switch (random.below(9)) {
            case 0:
                odd.push_back("00" + std::to_string(random.next()));
                break;
            case 1:
                odd.push_back(hex(random.below(400)));
                break;
            case 2:
                odd.push_back(std::to_string(random.next()));
                break;
            case 3:
                odd.push_back("x" + uuid() + hex(3));
                break;
            case 4:
                odd.push_back(uuid().substr(0, 35));
                break;
            case 5:
                odd.push_back("0");
                break;
            case 6:
                odd.push_back("DEADBEEF" + std::to_string(random.below(100)));
                break;
            case 7:
                odd.push_back("");
                break;
            default:
                odd.push_back("face" + std::to_string(random.below(1000)) + "cafe");
                break;
        }
    }
    // Any digits: few are of version 4.
    CHECK(check(uuids) < 16'200);
    std::vector<std::string> random_uuids = uuids;
    for (std::string& text : random_uuids) {
        text[14] = '4';
        text[19] = "89ab"[random.below(4)];
    }
    CHECK(check(random_uuids) < 15'400);
    CHECK(check(commands) < 8'100);
    CHECK(check(addresses) < 2'100);
    check(odd);
    odd.push_back(
        "a\x01"
        "b");
    check(odd);
}

}  // namespace spanloom::store

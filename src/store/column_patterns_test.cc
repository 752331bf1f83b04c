#include "store/column_patterns.h"

#include <doctest/doctest.h>

#include "base/random.h"
#include "store/segment_bytes.h"

namespace spanloom::store {
namespace {

std::vector<std::string> commands(uint64_t seed, size_t count) {
    SeededRandom random(seed);
    std::vector<std::string> texts;
    for (size_t i = 0; i < count; ++i) {
        if (random.below(3) == 0) {
            texts.emplace_back("SELECT name FROM products WHERE rank > $");
            continue;
        }
        texts.push_back((random.below(2) == 0 ? "GET cart:" : "SET quote:") +
                        std::to_string(random.below(1'000'000)) + ":00ff" +
                        std::to_string(1'000'000'000 + random.below(1'000'000'000)));
    }
    return texts;
}

}  // namespace

TEST_CASE("blocks of a column share patterns, and texts that are all pattern are there once") {
    TextPatterns patterns;
    std::vector<std::string> bodies;
    const auto write = [](std::span<const int64_t> codes, std::string& out) {
        encode_integers(codes, 1, out);
    };
    for (uint64_t seed = 1; seed < 4; ++seed) {
        TakenTexts taken;
        for (const std::string& text : commands(seed, 500))
            REQUIRE(taken.add(text, patterns));
        CHECK(taken.pays());
        std::string& body = bodies.emplace_back(1, static_cast<char>(ListForm::kColumnPatterns));
        taken.encode(taken.all(), patterns, write, 1, body);
        CHECK(body.size() < 500 * 9);
    }
    REQUIRE(patterns.size() == 3);
    auto list = std::make_shared<TextList>();
    for (uint32_t i = 0; i < patterns.size(); ++i)
        list->texts.push_back(patterns.text(i));
    PatternSource source;
    source.patterns = [&] { return Result<std::shared_ptr<const TextList>>(list); };
    source.codes = [](std::string_view body, std::vector<int64_t>& codes) {
        return decode_integers(body, 500, codes);
    };
    for (uint64_t seed = 1; seed < 4; ++seed) {
        const auto wanted = commands(seed, 500);
        const auto read = decode_texts(bodies[seed - 1], 500, {}, &source);
        REQUIRE_MESSAGE(read.has_value(), (read ? "" : read.error().message));
        CHECK(std::vector<std::string>(read->texts.begin(), read->texts.end()) == wanted);
        const auto coded = decode_coded_texts(bodies[seed - 1], 500, {}, &source);
        REQUIRE(coded.has_value());
        CHECK(coded->texts.size() < 400);
        CHECK(coded->codes.size() == 500);
        // Without the column's patterns there is nothing to be read.
        CHECK_FALSE(decode_texts(bodies[seed - 1], 500));
    }
}

TEST_CASE("a text that cannot be kept by patterns leaves nothing behind") {
    TextPatterns patterns;
    TakenTexts taken;
    REQUIRE(taken.add("x1", patterns));
    CHECK_FALSE(taken.add("x2\x03", patterns));
    REQUIRE(taken.add("x3", patterns));
    CHECK(taken.size() == 2);
    CHECK(patterns.size() == 1);
    for (uint32_t i = 0; i < kPatternsMax + 5; ++i)
        taken.add(std::string(i + 1, 'x'), patterns);
    CHECK(patterns.size() == kPatternsMax);
}

TEST_CASE("damaged lists of patterns are refused or give as many texts") {
    TextPatterns patterns;
    TakenTexts taken;
    for (const std::string& text : commands(9, 200))
        REQUIRE(taken.add(text, patterns));
    std::string body(1, static_cast<char>(ListForm::kColumnPatterns));
    taken.encode(
        taken.all(), patterns,
        [](std::span<const int64_t> codes, std::string& out) { encode_integers(codes, 1, out); }, 1,
        body);
    auto list = std::make_shared<TextList>();
    for (uint32_t i = 0; i < patterns.size(); ++i)
        list->texts.push_back(patterns.text(i));
    PatternSource source;
    source.patterns = [&] { return Result<std::shared_ptr<const TextList>>(list); };
    source.codes = [](std::string_view bytes, std::vector<int64_t>& codes) {
        return decode_integers(bytes, 200, codes);
    };
    SeededRandom random(3);
    for (int round = 0; round < 3000; ++round) {
        std::string bytes = body;
        bytes[1 + random.below(bytes.size() - 1)] = static_cast<char>(random.next());
        if (random.below(4) == 0) bytes.resize(1 + random.below(bytes.size()));
        const auto read = decode_texts(bytes, 200, {}, &source);
        if (read) CHECK(read->texts.size() == 200);
    }
}

}  // namespace spanloom::store

#include "base/glob.h"

#include <string>

#include <doctest/doctest.h>

using spanloom::glob_match;

TEST_CASE("a pattern fits the whole text or not at all") {
    CHECK(glob_match("http.*", "http.route"));
    CHECK(glob_match("http.*", "http."));
    CHECK_FALSE(glob_match("http.*", "http"));
    CHECK(glob_match("*", ""));
    CHECK(glob_match("*token*", "x-auth-token-value"));
    CHECK(glob_match("4??", "404"));
    CHECK_FALSE(glob_match("4??", "4040"));
    CHECK(glob_match("a*b*c", "a-b-b-c"));
    CHECK_FALSE(glob_match("a*b*c", "a-b-b-d"));
    CHECK(glob_match("", ""));
    CHECK_FALSE(glob_match("", "a"));
    CHECK_FALSE(glob_match("User.ID", "user.id"));
}

TEST_CASE("a hostile pattern takes no exponential time") {
    std::string pattern;
    for (int i = 0; i < 100; ++i)
        pattern += "*a";
    CHECK_FALSE(glob_match(pattern + "b", std::string(10'000, 'a')));
}

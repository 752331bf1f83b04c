#include "privacy/keyed_hash.h"

#include <string>

#include <doctest/doctest.h>

#include "base/text.h"

using namespace spanloom;

namespace {

std::string hex(std::string_view key, std::string_view text) {
    std::string out;
    append_hex(out, privacy::hmac_sha256(key, text));
    return out;
}

}  // namespace

TEST_CASE("SHA-256 as FIPS 180-4's examples have it") {
    const auto hash = [](std::string_view text) {
        std::string out;
        append_hex(out, privacy::sha256(text));
        return out;
    };
    CHECK(hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST_CASE("HMAC-SHA256 as RFC 4231 has it") {
    CHECK(hex(std::string(20, '\x0b'), "Hi There") ==
          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    CHECK(hex("Jefe", "what do ya want for nothing?") ==
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    CHECK(hex(std::string(20, '\xaa'), std::string(50, '\xdd')) ==
          "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    CHECK(hex(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First") ==
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST_CASE("equal values stay equal, and only with the same key") {
    CHECK(privacy::keyed_hash("k", "ada@example.com") ==
          privacy::keyed_hash("k", "ada@example.com"));
    CHECK(privacy::keyed_hash("k", "ada@example.com") !=
          privacy::keyed_hash("l", "ada@example.com"));
    CHECK(privacy::keyed_hash("k", "ada@example.com").size() == 32);
}

#include "privacy/keyed_hash.h"

#include <array>
#include <cstdint>
#include <cstring>

#include "base/text.h"

// Our own, since a program that sends in plain text need not link OpenSSL for a hash.
namespace spanloom::privacy {
namespace {

constexpr size_t kBlockBytes = 64;
constexpr size_t kDigestBytes = 32;

constexpr std::array<uint32_t, 64> kRounds = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t rotate_right(uint32_t word, int bits) {
    return word >> bits | word << (32 - bits);
}

// FIPS 180-4.
class Sha256 {
  public:
    void update(std::string_view bytes) {
        total_ += bytes.size();
        for (const char c : bytes) {
            block_[filled_++] = static_cast<uint8_t>(c);
            if (filled_ == kBlockBytes) compress();
        }
    }
    std::array<uint8_t, kDigestBytes> finish() {
        const uint64_t bits = total_ * 8;
        constexpr size_t kLengthAt = kBlockBytes - 8;
        update(std::string_view("\x80", 1));
        while (filled_ != kLengthAt)
            update(std::string_view("\0", 1));
        for (size_t i = 0; i < 8; ++i)
            block_[kLengthAt + i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
        compress();
        std::array<uint8_t, kDigestBytes> digest;
        for (size_t i = 0; i < digest.size(); ++i)
            digest[i] = static_cast<uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
        return digest;
    }

  private:
    void compress() {
        std::array<uint32_t, 64> w;
        for (size_t i = 0; i < 16; ++i) {
            w[i] = static_cast<uint32_t>(block_[4 * i]) << 24 |
                   static_cast<uint32_t>(block_[4 * i + 1]) << 16 |
                   static_cast<uint32_t>(block_[4 * i + 2]) << 8 | block_[4 * i + 3];
        }
        for (size_t i = 16; i < 64; ++i) {
            const uint32_t a = w[i - 15];
            const uint32_t b = w[i - 2];
            w[i] = w[i - 16] + (rotate_right(a, 7) ^ rotate_right(a, 18) ^ a >> 3) + w[i - 7] +
                   (rotate_right(b, 17) ^ rotate_right(b, 19) ^ b >> 10);
        }
        auto [a, b, c, d, e, f, g, h] = state_;
        for (size_t i = 0; i < 64; ++i) {
            const uint32_t one = h +
                                 (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) +
                                 ((e & f) ^ (~e & g)) + kRounds[i] + w[i];
            const uint32_t two = (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) +
                                 ((a & b) ^ (a & c) ^ (b & c));
            h = g;
            g = f;
            f = e;
            e = d + one;
            d = c;
            c = b;
            b = a;
            a = one + two;
        }
        const std::array<uint32_t, 8> added = {a, b, c, d, e, f, g, h};
        for (size_t i = 0; i < state_.size(); ++i)
            state_[i] += added[i];
        filled_ = 0;
    }

    std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<uint8_t, kBlockBytes> block_{};
    size_t filled_ = 0;
    uint64_t total_ = 0;
};

std::string_view view(const uint8_t* bytes, size_t size) {
    return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

std::array<uint8_t, 32> sha256(std::string_view text) {
    Sha256 hash;
    hash.update(text);
    return hash.finish();
}

// RFC 2104.
std::array<uint8_t, 32> hmac_sha256(std::string_view key, std::string_view text) {
    std::array<uint8_t, kDigestBytes> digest;
    if (key.size() > kBlockBytes) {
        Sha256 hash;
        hash.update(key);
        digest = hash.finish();
        key = view(digest.data(), digest.size());
    }
    std::array<uint8_t, kBlockBytes> inner_pad;
    std::array<uint8_t, kBlockBytes> outer_pad;
    for (size_t i = 0; i < kBlockBytes; ++i) {
        const uint8_t byte = i < key.size() ? static_cast<uint8_t>(key[i]) : uint8_t{0};
        inner_pad[i] = byte ^ 0x36;
        outer_pad[i] = byte ^ 0x5c;
    }
    Sha256 inner;
    inner.update(view(inner_pad.data(), kBlockBytes));
    inner.update(text);
    const auto inner_digest = inner.finish();
    Sha256 outer;
    outer.update(view(outer_pad.data(), kBlockBytes));
    outer.update(view(inner_digest.data(), kDigestBytes));
    return outer.finish();
}

std::string keyed_hash(std::string_view key, std::string_view text) {
    constexpr size_t kShownBytes = 16;
    const auto digest = hmac_sha256(key, text);
    std::string out;
    append_hex(out, digest.data(), kShownBytes);
    return out;
}

}  // namespace spanloom::privacy

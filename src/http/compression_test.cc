#include "http/compression.h"

#include <string>

#include <doctest/doctest.h>
#include <zlib.h>
#include <zstd.h>

using namespace spanloom;
using namespace spanloom::http;

namespace {

constexpr size_t kMiB = 1U << 20;

std::string deflate_with(const std::string& text, int window_bits) {
    z_stream stream = {};
    REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string out(deflateBound(&stream, text.size()) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

std::string zstd_stream_with(const std::string& text, int window_log) {
    ZSTD_CCtx* context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    std::string out(ZSTD_compressBound(text.size()) + 64, '\0');
    ZSTD_inBuffer in = {text.data(), text.size(), 0};
    ZSTD_outBuffer to = {out.data(), out.size(), 0};
    while (ZSTD_compressStream2(context, &to, &in, ZSTD_e_end) != 0) {
    }
    out.resize(to.pos);
    ZSTD_freeCCtx(context);
    return out;
}

std::string zstd_of(const std::string& text) {
    std::string out(ZSTD_compressBound(text.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
    return out;
}

std::string sample(size_t bytes) {
    std::string text;
    for (size_t i = 0; text.size() < bytes; ++i)
        text += "span " + std::to_string(i * 7919) + ";";
    text.resize(bytes);
    return text;
}

Result<Blob> inflate_text(Encoding encoding, const std::string& bytes, size_t bytes_max) {
    return inflate(encoding, Blob::copy_of(bytes), bytes_max);
}

}  // namespace

TEST_CASE("every encoding gives back what was compressed") {
    for (const size_t size : {size_t{0}, size_t{1}, size_t{100'000}, 3 * kMiB}) {
        const std::string text = sample(size);
        const auto check = [&](Encoding encoding, const std::string& bytes) {
            auto out = inflate_text(encoding, bytes, 4 * kMiB);
            REQUIRE(out);
            CHECK(out->view() == text);
        };
        check(Encoding::kGzip, *compress_gzip(text));
        check(Encoding::kGzip, deflate_with(text, 31));
        check(Encoding::kDeflate, deflate_with(text, 15));
        check(Encoding::kDeflate, deflate_with(text, -15));
        check(Encoding::kZstd, zstd_of(text));
        check(Encoding::kZstd, zstd_stream_with(text, 17));
        check(Encoding::kIdentity, text);
    }
}

TEST_CASE("gzip in several members and zstd in several frames are one body") {
    CHECK(inflate_text(Encoding::kGzip, *compress_gzip("one ") + *compress_gzip("two"), 100)
              ->view() == "one two");
    CHECK(inflate_text(Encoding::kZstd, zstd_of("one ") + zstd_of("two"), 100)->view() ==
          "one two");
}

TEST_CASE("the limit is exact") {
    const std::string text = sample(200'000);
    for (const auto& [encoding, bytes] : {std::pair{Encoding::kGzip, *compress_gzip(text)},
                                          std::pair{Encoding::kDeflate, deflate_with(text, 15)},
                                          std::pair{Encoding::kZstd, zstd_of(text)},
                                          std::pair{Encoding::kZstd, zstd_stream_with(text, 17)},
                                          std::pair{Encoding::kIdentity, text}}) {
        CHECK(inflate_text(encoding, bytes, text.size()));
        auto over = inflate_text(encoding, bytes, text.size() - 1);
        REQUIRE(!over);
        CHECK(over.error().code == ErrorCode::kResourceExhausted);
    }
}

TEST_CASE("a bomb is stopped at the limit") {
    const std::string zeros(16 * kMiB + 1, '\0');
    for (const auto& [encoding, bytes] :
         {std::pair{Encoding::kGzip, *compress_gzip(zeros, 9)},
          std::pair{Encoding::kDeflate, deflate_with(zeros, 15)},
          std::pair{Encoding::kZstd, zstd_of(zeros)},
          std::pair{Encoding::kZstd, zstd_stream_with(zeros, 20)}}) {
        CHECK(bytes.size() < 100'000);
        auto out = inflate_text(encoding, bytes, 16 * kMiB);
        REQUIRE(!out);
        CHECK(out.error().code == ErrorCode::kResourceExhausted);
    }
}

TEST_CASE("a gzip trailer that lies about the size does not decide") {
    std::string bytes = *compress_gzip(sample(1'000));
    bytes[bytes.size() - 1] = '\x7f';  // claims 2 GiB
    auto out = inflate_text(Encoding::kGzip, bytes, 4 * kMiB);
    REQUIRE(!out);
    CHECK(out.error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("zstd windows and sizes are refused before memory is taken") {
    // Window descriptor for 2^41 bytes, no content size.
    const std::string huge_window("\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00", 9);
    auto window = inflate_text(Encoding::kZstd, huge_window, 4 * kMiB);
    REQUIRE(!window);
    CHECK(window.error().code == ErrorCode::kInvalidArgument);
    // Single segment with a declared size of 2^62.
    const std::string huge_size("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x00\x40\x01\x00\x00",
                                16);
    auto size = inflate_text(Encoding::kZstd, huge_size, 4 * kMiB);
    REQUIRE(!size);
    CHECK(size.error().code == ErrorCode::kResourceExhausted);
}

TEST_CASE("truncated streams and trailing garbage are damage") {
    const std::string text = sample(50'000);
    for (const auto& [encoding, bytes] : {std::pair{Encoding::kGzip, *compress_gzip(text)},
                                          std::pair{Encoding::kDeflate, deflate_with(text, 15)},
                                          std::pair{Encoding::kDeflate, deflate_with(text, -15)},
                                          std::pair{Encoding::kZstd, zstd_of(text)},
                                          std::pair{Encoding::kZstd, zstd_stream_with(text, 17)}}) {
        for (const size_t size :
             {size_t{0}, size_t{1}, size_t{3}, bytes.size() / 2, bytes.size() - 1}) {
            auto cut = inflate_text(encoding, bytes.substr(0, size), kMiB);
            REQUIRE(!cut);
            CHECK(cut.error().code == ErrorCode::kInvalidArgument);
        }
        auto more = inflate_text(encoding, bytes + "garbage", kMiB);
        REQUIRE(!more);
        CHECK(more.error().code == ErrorCode::kInvalidArgument);
    }
}

TEST_CASE("encodings are known by name, lists and others are not") {
    CHECK(*parse_encoding("GZIP") == Encoding::kGzip);
    CHECK(*parse_encoding("") == Encoding::kIdentity);
    CHECK(*parse_encoding("identity") == Encoding::kIdentity);
    CHECK(*parse_encoding("deflate") == Encoding::kDeflate);
    CHECK(*parse_encoding("zstd") == Encoding::kZstd);
    for (const char* name : {"gzip, gzip", "snappy", "br", "gzip,"}) {
        auto encoding = parse_encoding(name);
        REQUIRE(!encoding);
        CHECK(encoding.error().code == ErrorCode::kUnsupported);
    }
}

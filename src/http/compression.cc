#include "http/compression.h"

#include <algorithm>
#include <cctype>
#include <memory>

#include <libdeflate.h>
#include <zlib.h>
#include <zstd.h>

namespace spanloom::http {
namespace {

// Deflate cannot shrink further than this, so a longer claim in a gzip trailer is a lie.
constexpr size_t kDeflateRatioMax = 1032;
constexpr size_t kFirstStepBytes = 64U << 10;
// What RFC 8878 asks a decoder to support (8 MiB); a larger window is memory a sender chooses.
constexpr int kZstdWindowLogMax = 23;

tl::unexpected<Error> too_large(size_t bytes_max) {
    return fail(ErrorCode::kResourceExhausted,
                "compressed body inflates to more than {} bytes, the limit; send smaller requests",
                bytes_max);
}

tl::unexpected<Error> damaged(std::string_view name, std::string_view why) {
    return fail(ErrorCode::kInvalidArgument, "{} body is damaged: {}", name, why);
}

// Output that doubles up to a limit, and one byte past it so that an overrun shows.
class GrowingOutput {
  public:
    GrowingOutput(size_t hint, size_t bytes_max)
        : bytes_max_(bytes_max),
          blob_(Blob::allocate(std::min(std::max(hint, kFirstStepBytes), bytes_max + 1))) {}

    uint8_t* space() { return blob_.mutable_data() + used_; }
    size_t space_size() const { return blob_.size() - used_; }
    void advance(size_t bytes) { used_ += bytes; }
    bool is_over() const { return used_ > bytes_max_; }
    void grow() {
        Blob larger = Blob::allocate(std::min(blob_.size() * 2, bytes_max_ + 1));
        std::memcpy(larger.mutable_data(), blob_.data(), used_);
        blob_ = std::move(larger);
    }
    Blob take() {
        blob_.shrink(used_);
        return std::move(blob_);
    }

  private:
    size_t bytes_max_;
    size_t used_ = 0;
    Blob blob_;
};

class ZlibStream {
  public:
    explicit ZlibStream(int window_bits) { ready_ = inflateInit2(&stream_, window_bits) == Z_OK; }
    ~ZlibStream() {
        if (ready_) inflateEnd(&stream_);
    }
    ZlibStream(const ZlibStream&) = delete;
    ZlibStream& operator=(const ZlibStream&) = delete;
    bool is_ready() const { return ready_; }
    z_stream& get() { return stream_; }

  private:
    z_stream stream_{};
    bool ready_ = false;
};

// zlib's stream decoder: for what says no size, and for gzip in several members.
Result<Blob> inflate_stream(const Blob& bytes, size_t bytes_max, int window_bits,
                            std::string_view name) {
    ZlibStream zlib(window_bits);
    if (!zlib.is_ready()) return fail(ErrorCode::kInternal, "cannot start the {} decoder", name);
    z_stream& stream = zlib.get();
    stream.next_in = const_cast<uint8_t*>(bytes.data());
    size_t unread = bytes.size();
    GrowingOutput output(std::min(bytes.size() * 4, bytes_max), bytes_max);
    for (;;) {
        const auto in = static_cast<uInt>(std::min<size_t>(unread, 1U << 30));
        const auto space = static_cast<uInt>(std::min<size_t>(output.space_size(), 1U << 30));
        stream.avail_in = in;
        stream.next_out = output.space();
        stream.avail_out = space;
        const int result = ::inflate(&stream, Z_NO_FLUSH);
        unread -= in - stream.avail_in;
        output.advance(space - stream.avail_out);
        if (output.is_over()) return too_large(bytes_max);
        if (result == Z_STREAM_END) {
            if (unread == 0) return output.take();
            // A gzip body may have several members; anything else after the end is garbage.
            const bool is_member = window_bits > 15 && unread >= 2 && stream.next_in[0] == 0x1f &&
                                   stream.next_in[1] == 0x8b;
            if (!is_member) return damaged(name, "bytes follow its end");
            if (inflateReset(&stream) != Z_OK) return damaged(name, "cannot read its next member");
            continue;
        }
        if (result != Z_OK && result != Z_BUF_ERROR) return damaged(name, "not a valid stream");
        if (output.space_size() == 0) {
            output.grow();
        } else if (unread == 0) {
            return damaged(name, "it ends too early");
        }
    }
}

struct FreeDecompressor {
    void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
};

// The whole in one call, into a buffer of the size the trailer names.
Result<Blob> inflate_gzip(const Blob& bytes, size_t bytes_max) {
    if (bytes.size() < 18) return damaged("gzip", "it ends too early");
    const uint8_t* trailer = bytes.data() + bytes.size() - 4;
    const size_t claimed = static_cast<size_t>(trailer[0]) | static_cast<size_t>(trailer[1]) << 8 |
                           static_cast<size_t>(trailer[2]) << 16 |
                           static_cast<size_t>(trailer[3]) << 24;
    if (claimed > bytes_max || claimed > bytes.size() * kDeflateRatioMax) {
        return inflate_stream(bytes, bytes_max, 16 + MAX_WBITS, "gzip");
    }
    thread_local std::unique_ptr<libdeflate_decompressor, FreeDecompressor> decompressor(
        libdeflate_alloc_decompressor());
    if (decompressor == nullptr) return fail(ErrorCode::kInternal, "no memory to inflate gzip");
    Blob output = Blob::allocate(claimed);
    size_t read = 0;
    size_t written = 0;
    const libdeflate_result result =
        libdeflate_gzip_decompress_ex(decompressor.get(), bytes.data(), bytes.size(),
                                      output.mutable_data(), claimed, &read, &written);
    if (result == LIBDEFLATE_SUCCESS && read == bytes.size()) {
        output.shrink(written);
        return output;
    }
    // Several members, or damage: the stream decoder tells which, under the same limit.
    return inflate_stream(bytes, bytes_max, 16 + MAX_WBITS, "gzip");
}

Result<Blob> inflate_deflate(const Blob& bytes, size_t bytes_max) {
    if (bytes.size() < 2) return damaged("deflate", "it ends too early");
    // zlib's header: method 8, and a multiple of 31. Senders of both kinds exist.
    const bool is_zlib =
        (bytes.data()[0] & 15) == 8 && (bytes.data()[0] << 8 | bytes.data()[1]) % 31 == 0;
    return inflate_stream(bytes, bytes_max, is_zlib ? MAX_WBITS : -MAX_WBITS, "deflate");
}

struct FreeZstd {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

Result<Blob> inflate_zstd_stream(const Blob& bytes, size_t bytes_max) {
    std::unique_ptr<ZSTD_DCtx, FreeZstd> context(ZSTD_createDCtx());
    if (context == nullptr) return fail(ErrorCode::kInternal, "no memory to inflate zstd");
    ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kZstdWindowLogMax);
    ZSTD_inBuffer in = {bytes.data(), bytes.size(), 0};
    GrowingOutput output(std::min(bytes.size() * 4, bytes_max), bytes_max);
    for (;;) {
        ZSTD_outBuffer out = {output.space(), output.space_size(), 0};
        const size_t hint = ZSTD_decompressStream(context.get(), &out, &in);
        if (ZSTD_isError(hint) != 0) return damaged("zstd", ZSTD_getErrorName(hint));
        output.advance(out.pos);
        if (output.is_over()) return too_large(bytes_max);
        if (in.pos == in.size && hint == 0) return output.take();
        if (output.space_size() == 0) {
            output.grow();
        } else if (in.pos == in.size) {
            return damaged("zstd", "it ends too early");
        }
    }
}

Result<Blob> inflate_zstd(const Blob& bytes, size_t bytes_max) {
    const unsigned long long claimed = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
    if (claimed == ZSTD_CONTENTSIZE_ERROR) return damaged("zstd", "it has no valid header");
    if (claimed == ZSTD_CONTENTSIZE_UNKNOWN) return inflate_zstd_stream(bytes, bytes_max);
    if (claimed > bytes_max) return too_large(bytes_max);
    const size_t frame = ZSTD_findFrameCompressedSize(bytes.data(), bytes.size());
    if (ZSTD_isError(frame) != 0) return damaged("zstd", "it ends too early");
    if (frame != bytes.size()) return inflate_zstd_stream(bytes, bytes_max);
    thread_local std::unique_ptr<ZSTD_DCtx, FreeZstd> context(ZSTD_createDCtx());
    if (context == nullptr) return fail(ErrorCode::kInternal, "no memory to inflate zstd");
    // The output is the window, so a large one costs nothing here.
    Blob output = Blob::allocate(claimed);
    const size_t written = ZSTD_decompressDCtx(context.get(), output.mutable_data(), output.size(),
                                               bytes.data(), bytes.size());
    if (ZSTD_isError(written) != 0) return damaged("zstd", ZSTD_getErrorName(written));
    output.shrink(written);
    return output;
}

}  // namespace

Result<Encoding> parse_encoding(std::string_view name) {
    std::string lower(name);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (lower.empty() || lower == "identity" || lower == "none") return Encoding::kIdentity;
    if (lower == "gzip" || lower == "x-gzip") return Encoding::kGzip;
    if (lower == "deflate" || lower == "zlib") return Encoding::kDeflate;
    if (lower == "zstd") return Encoding::kZstd;
    return fail(ErrorCode::kUnsupported,
                "encoding '{}' is not supported; send identity, gzip, deflate or zstd",
                name.substr(0, 40));
}

Result<Blob> inflate(Encoding encoding, const Blob& bytes, size_t bytes_max) {
    switch (encoding) {
        case Encoding::kIdentity:
            if (bytes.size() > bytes_max) return too_large(bytes_max);
            return bytes;
        case Encoding::kGzip:
            return inflate_gzip(bytes, bytes_max);
        case Encoding::kDeflate:
            return inflate_deflate(bytes, bytes_max);
        case Encoding::kZstd:
            return inflate_zstd(bytes, bytes_max);
    }
    return fail(ErrorCode::kInternal, "no such encoding");
}

Result<std::string> compress_gzip(std::string_view bytes, int level) {
    struct Free {
        void operator()(libdeflate_compressor* c) const { libdeflate_free_compressor(c); }
    };
    std::unique_ptr<libdeflate_compressor, Free> compressor(libdeflate_alloc_compressor(level));
    if (compressor == nullptr) return fail(ErrorCode::kInternal, "cannot start gzip {}", level);
    std::string out(libdeflate_gzip_compress_bound(compressor.get(), bytes.size()), '\0');
    const size_t size = libdeflate_gzip_compress(compressor.get(), bytes.data(), bytes.size(),
                                                 out.data(), out.size());
    if (size == 0) return fail(ErrorCode::kInternal, "gzip failed on {} bytes", bytes.size());
    out.resize(size);
    return out;
}

}  // namespace spanloom::http

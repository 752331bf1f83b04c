#include "send/gzip.h"

#include <algorithm>
#include <memory>

#include <zlib.h>

namespace spanloom::send {
namespace {

constexpr int kGzipWindow = 15 + 16;
constexpr int kMemoryLevel = 8;
// Repetition is what spans are made of; higher levels find little more and take twice the time.
constexpr int kLevel = 1;

struct EndDeflate {
    void operator()(z_stream* stream) const { deflateEnd(stream); }
};

struct EndInflate {
    void operator()(z_stream* stream) const { inflateEnd(stream); }
};

}  // namespace

Result<std::string> compress_gzip(const Pieces& pieces) {
    z_stream stream = {};
    const int started =
        deflateInit2(&stream, kLevel, Z_DEFLATED, kGzipWindow, kMemoryLevel, Z_DEFAULT_STRATEGY);
    if (started != Z_OK)
        return fail(ErrorCode::kInternal, "cannot start gzip: {}", zError(started));
    const std::unique_ptr<z_stream, EndDeflate> ended(&stream);
    std::string out(deflateBound(&stream, pieces.size()), '\0');
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    for (const std::string_view part : pieces.parts()) {
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(part.data()));
        stream.avail_in = static_cast<uInt>(part.size());
        deflate(&stream, Z_NO_FLUSH);
    }
    const int finished = deflate(&stream, Z_FINISH);
    if (finished != Z_STREAM_END) {
        return fail(ErrorCode::kInternal, "gzip failed on {} bytes: {}", pieces.size(),
                    zError(finished));
    }
    out.resize(stream.total_out);
    return out;
}

Result<std::string> inflate_gzip(std::string_view bytes, size_t bytes_max) {
    constexpr size_t kPartBytes = 4'096;
    z_stream stream = {};
    if (inflateInit2(&stream, kGzipWindow) != Z_OK) {
        return fail(ErrorCode::kInternal, "cannot start gzip");
    }
    const std::unique_ptr<z_stream, EndInflate> ended(&stream);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    std::string out;
    for (;;) {
        const size_t from = out.size();
        if (from > bytes_max) {
            return fail(ErrorCode::kResourceExhausted, "more than {} bytes", bytes_max);
        }
        out.resize(from + kPartBytes);
        stream.next_out = reinterpret_cast<Bytef*>(out.data() + from);
        stream.avail_out = kPartBytes;
        const int result = inflate(&stream, Z_NO_FLUSH);
        out.resize(from + kPartBytes - stream.avail_out);
        if (result == Z_STREAM_END) return out;
        if (result != Z_OK) return fail(ErrorCode::kInternal, "not gzip: {}", zError(result));
    }
}

}  // namespace spanloom::send

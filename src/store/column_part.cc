#include "store/column_part.h"

#include <cstring>

#include <zstd.h>

#include "store/column.h"

namespace spanloom::store {
namespace {

enum PartForm : uint8_t { kRaw, kRepeated, kCompressed };

tl::unexpected<Error> damaged(std::string_view what) {
    return fail(ErrorCode::kDataLoss, "{}", what);
}

// zstd contexts are large and slow to make; one per thread, kept.
ZSTD_CCtx* compressor() {
    struct Owner {
        ZSTD_CCtx* context = ZSTD_createCCtx();
        ~Owner() { ZSTD_freeCCtx(context); }
    };
    thread_local Owner owner;
    return owner.context;
}
ZSTD_DCtx* decompressor() {
    struct Owner {
        ZSTD_DCtx* context = ZSTD_createDCtx();
        ~Owner() { ZSTD_freeDCtx(context); }
    };
    thread_local Owner owner;
    return owner.context;
}

void write_raw_part(std::string_view bytes, std::string& out) {
    ByteWriter writer(out);
    writer.u8(kRaw);
    writer.varint(bytes.size());
    out.append(bytes);
}

}  // namespace

// form, raw size, then the bytes (kRaw), one byte (kRepeated), or size and frame (kCompressed).
void write_part(std::string_view bytes, int zstd_level, std::string& out) {
    ByteWriter writer(out);
    const bool repeated =
        bytes.size() > 1 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
    if (repeated && bytes.size() <= kExpansionMax) {
        writer.u8(kRepeated);
        writer.varint(bytes.size());
        out += bytes[0];
        return;
    }
    if (zstd_level <= 0 || bytes.size() < kCompressBytesMin) return write_raw_part(bytes, out);
    thread_local std::string frame;
    frame.resize(ZSTD_compressBound(bytes.size()));
    ZSTD_CCtx_reset(compressor(), ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(compressor(), ZSTD_c_compressionLevel, zstd_level);
    ZSTD_CCtx_setParameter(compressor(), ZSTD_c_contentSizeFlag, 0);
    const size_t size =
        ZSTD_compress2(compressor(), frame.data(), frame.size(), bytes.data(), bytes.size());
    if (ZSTD_isError(size) != 0 || size + bytes.size() / 32 + 4 >= bytes.size() ||
        bytes.size() / size >= kExpansionMax)
        return write_raw_part(bytes, out);
    writer.u8(kCompressed);
    writer.varint(bytes.size());
    writer.varint(size);
    out.append(frame.data(), size);
}

Result<Part> read_part(ByteReader& reader) {
    const uint8_t form = reader.u8();
    const uint64_t size = reader.varint_max(kBlockBytesMax);
    if (!reader.ok()) return damaged("a part ends early");
    if (form == kRaw) {
        Part part{reader.bytes(size), {}};
        if (!reader.ok()) return damaged("a part ends early");
        return part;
    }
    if (form == kRepeated) {
        const uint8_t byte = reader.u8();
        if (!reader.ok() || size > kExpansionMax) return damaged("a repeated part is too long");
        Part part{{}, Blob::allocate(size)};
        std::memset(part.owner.mutable_data(), byte, size);
        part.bytes = part.owner.view();
        return part;
    }
    if (form != kCompressed) return damaged("a part has an unknown form");
    const std::string_view frame = reader.text();
    if (!reader.ok() || frame.empty()) return damaged("a part ends early");
    if (size / frame.size() >= kExpansionMax) return damaged("a compressed part is too long");
    Part part{{}, Blob::allocate(size)};
    const size_t made = ZSTD_decompressDCtx(decompressor(), part.owner.mutable_data(), size,
                                            frame.data(), frame.size());
    if (ZSTD_isError(made) != 0 || made != size) return damaged("a compressed part is broken");
    part.bytes = part.owner.view();
    return part;
}

void encode_bytes(std::string_view bytes, int zstd_level, std::string& out) {
    write_part(bytes, zstd_level, out);
}

namespace {

Result<Part> read_only_part(std::string_view body) {
    ByteReader reader(body);
    TRY_ASSIGN(Part part, read_part(reader));
    if (!reader.at_end()) return damaged("bytes are followed by something else");
    return part;
}

}  // namespace

Result<Blob> decode_bytes_in_place(const Blob& body) {
    TRY_ASSIGN(const Part part, read_only_part(body.view()));
    if (!part.owner.empty() || part.bytes.empty()) return part.owner;
    return body.slice(static_cast<size_t>(part.bytes.data() - body.view().data()),
                      part.bytes.size());
}

Result<Blob> decode_bytes(std::string_view body) {
    TRY_ASSIGN(const Part part, read_only_part(body));
    return part.owner.empty() ? Blob::copy_of(part.bytes) : part.owner;
}

}  // namespace spanloom::store

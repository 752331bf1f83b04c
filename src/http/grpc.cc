#include <cstring>

#include "base/text.h"
#include "http/grpc_frame.h"
#include "http/message.h"

namespace spanloom::http {
namespace {

constexpr size_t kPrefixBytes = 5;
// grpc-message travels in a header field, and clients limit those.
constexpr size_t kMessageBytesMax = 1024;

void append_varint(std::string& out, uint64_t value) {
    while (value >= 0x80) {
        out += static_cast<char>((value & 0x7f) | 0x80);
        value >>= 7;
    }
    out += static_cast<char>(value);
}

void append_varint_field(std::string& out, uint32_t field, uint64_t value) {
    append_varint(out, field << 3);
    append_varint(out, value);
}

void append_bytes_field(std::string& out, uint32_t field, std::string_view bytes) {
    append_varint(out, field << 3 | 2);
    append_varint(out, bytes.size());
    out += bytes;
}

// PROTOCOL-HTTP2: everything but printable ASCII, and '%' itself, as %XX.
std::string percent_encode_message(std::string_view text) {
    static constexpr char kDigits[] = "0123456789ABCDEF";
    std::string out;
    for (char c : text.substr(0, kMessageBytesMax)) {
        const auto byte = static_cast<uint8_t>(c);
        if (byte >= 0x20 && byte <= 0x7e && c != '%') {
            out += c;
        } else {
            out += '%';
            out += kDigits[byte >> 4];
            out += kDigits[byte & 15];
        }
    }
    return out;
}

}  // namespace

Result<GrpcMessage> parse_grpc_body(const Blob& body) {
    if (body.size() < kPrefixBytes) {
        return fail(ErrorCode::kInvalidArgument,
                    "grpc request is {} bytes long, shorter than the 5-byte message prefix",
                    body.size());
    }
    const uint8_t* bytes = body.data();
    if (bytes[0] > 1) {
        return fail(ErrorCode::kInvalidArgument,
                    "grpc message has compressed flag {}, which must be 0 or 1", bytes[0]);
    }
    const size_t size = static_cast<size_t>(bytes[1]) << 24 | static_cast<size_t>(bytes[2]) << 16 |
                        static_cast<size_t>(bytes[3]) << 8 | bytes[4];
    if (size != body.size() - kPrefixBytes) {
        return fail(ErrorCode::kInvalidArgument,
                    "grpc message prefix says {} bytes, but {} came; a unary call has exactly one "
                    "message",
                    size, body.size() - kPrefixBytes);
    }
    return GrpcMessage{bytes[0] == 1, body.slice(kPrefixBytes, size)};
}

std::string grpc_frame(std::string_view message) {
    std::string frame;
    frame.reserve(kPrefixBytes + message.size());
    frame += '\0';
    for (int shift = 24; shift >= 0; shift -= 8) {
        frame += static_cast<char>(message.size() >> shift);
    }
    frame += message;
    return frame;
}

Response grpc_reply(std::string_view message) {
    Response response;
    response.headers.add("content-type", "application/grpc");
    response.body = grpc_frame(message);
    response.trailers.add("grpc-status", "0");
    return response;
}

Response grpc_error(int grpc_status, std::string_view text, std::string_view details) {
    Response response;
    response.headers.add("content-type", "application/grpc");
    response.headers.add("grpc-status", std::to_string(grpc_status));
    if (!text.empty()) response.headers.add("grpc-message", percent_encode_message(text));
    if (!details.empty()) {
        std::string encoded;
        append_base64(encoded, details);
        while (encoded.ends_with('='))
            encoded.pop_back();  // binary headers go unpadded
        response.headers.add("grpc-status-details-bin", std::move(encoded));
    }
    return response;
}

std::string encode_rpc_status(int grpc_status, std::string_view text, uint32_t retry_after_s) {
    std::string status;
    append_varint_field(status, 1, static_cast<uint64_t>(grpc_status));
    append_bytes_field(status, 2, text);
    if (retry_after_s == 0) return status;
    std::string duration;
    append_varint_field(duration, 1, retry_after_s);
    std::string retry_info;
    append_bytes_field(retry_info, 1, duration);
    std::string any;
    append_bytes_field(any, 1, "type.googleapis.com/google.rpc.RetryInfo");
    append_bytes_field(any, 2, retry_info);
    append_bytes_field(status, 3, any);
    return status;
}

}  // namespace spanloom::http

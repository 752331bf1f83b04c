#include "main/http_get.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "main/config.h"

namespace spanloom {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;

constexpr uint64_t kReplyBytesMax = 256U << 20;
constexpr uint32_t kTimeout_s = 30;

Result<HostPort> parse_server(const std::string& server) {
    constexpr std::string_view kScheme = "http://";
    std::string_view rest = server;
    if (rest.starts_with(kScheme)) rest.remove_prefix(kScheme.size());
    while (rest.ends_with('/'))
        rest.remove_suffix(1);
    return parse_host_port(rest);
}

using Request = beast::http::request<beast::http::string_body>;
using Parser = beast::http::response_parser<beast::http::string_body>;

// Beast's blocking calls have no deadline; its asynchronous ones on tcp_stream do.
beast::error_code exchange(const HostPort& at, const Request& request, uint32_t timeout_s,
                           Parser& parser) {
    asio::io_context context(1);
    beast::error_code failure;
    asio::ip::tcp::resolver resolver(context);
    const auto found = resolver.resolve(at.host, std::to_string(at.port), failure);
    if (failure) return failure;
    beast::tcp_stream stream(context);
    beast::flat_buffer buffer;
    stream.expires_after(std::chrono::seconds(timeout_s));
    stream.async_connect(found, [&](beast::error_code connected, const auto&) {
        failure = connected;
        if (connected) return;
        beast::http::async_write(stream, request, [&](beast::error_code written, size_t) {
            failure = written;
            if (written) return;
            beast::http::async_read(stream, buffer, parser,
                                    [&](beast::error_code read, size_t) { failure = read; });
        });
    });
    context.run();
    return failure;
}

Result<HttpReply> send(const std::string& server, Request request, uint32_t timeout_s) {
    TRY_ASSIGN(const HostPort at, parse_server(server));
    request.set(beast::http::field::host, at.host + ":" + std::to_string(at.port));
    request.set(beast::http::field::connection, "close");
    request.prepare_payload();
    Parser parser;
    parser.body_limit(kReplyBytesMax);
    if (const beast::error_code failure = exchange(at, request, timeout_s, parser); failure)
        return fail(ErrorCode::kUnavailable,
                    "cannot reach spanloom at {}: {}; is `spanloom serve` running there? "
                    "(--server says where)",
                    server, failure.message());
    HttpReply reply{static_cast<int>(parser.get().result_int()), {}, {}};
    for (const auto& field : parser.get()) {
        std::string name(field.name_string());
        for (char& c : name)
            c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        reply.fields.emplace_back(std::move(name), field.value());
    }
    reply.body = std::move(parser.get().body());
    return reply;
}

}  // namespace

Result<HttpReply> http_get(const std::string& server, const std::string& target,
                           const std::string& accept) {
    Request request(beast::http::verb::get, target, 11);
    request.set(beast::http::field::accept, accept);
    return send(server, std::move(request), kTimeout_s);
}

Result<HttpReply> http_json(const std::string& server, const std::string& method,
                            const std::string& target, const std::string& body,
                            uint32_t timeout_s) {
    Request request(beast::http::string_to_verb(method), target, 11);
    request.set(beast::http::field::content_type, "application/json");
    request.body() = body;
    return send(server, std::move(request), timeout_s);
}

Result<HttpReply> http_post_json(const std::string& server, const std::string& target,
                                 const std::string& body, uint32_t timeout_s) {
    return http_json(server, "POST", target, body, timeout_s);
}

}  // namespace spanloom

#include <fmt/format.h>

#include "base/json_writer.h"
#include "http/message.h"

namespace spanloom::http {

Refusal Refusal::of(const Error& error) {
    return {spanloom::http_status(error.code), spanloom::grpc_status(error.code), error.message,
            error.retry_after_s};
}

std::string_view status_phrase(int http_status) {
    switch (http_status) {
        case 100:
            return "Continue";
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 202:
            return "Accepted";
        case 204:
            return "No Content";
        case 206:
            return "Partial Content";
        case 301:
            return "Moved Permanently";
        case 302:
            return "Found";
        case 303:
            return "See Other";
        case 304:
            return "Not Modified";
        case 307:
            return "Temporary Redirect";
        case 308:
            return "Permanent Redirect";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 406:
            return "Not Acceptable";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 410:
            return "Gone";
        case 411:
            return "Length Required";
        case 412:
            return "Precondition Failed";
        case 413:
            return "Content Too Large";
        case 414:
            return "URI Too Long";
        case 415:
            return "Unsupported Media Type";
        case 417:
            return "Expectation Failed";
        case 422:
            return "Unprocessable Content";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 499:
            return "Client Closed Request";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Not Implemented";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        case 505:
            return "HTTP Version Not Supported";
        default:
            return "Unknown";
    }
}

Response error_reply(const Refusal& refusal, std::string_view request_content_type) {
    if (request_content_type.starts_with("application/grpc")) {
        std::string details;
        if (refusal.retry_after_s > 0) {
            details = encode_rpc_status(refusal.grpc_status, refusal.text, refusal.retry_after_s);
        }
        return grpc_error(refusal.grpc_status, refusal.text, details);
    }
    Response response;
    response.status = refusal.http_status;
    if (refusal.retry_after_s > 0) {
        response.headers.add("retry-after", std::to_string(refusal.retry_after_s));
    }
    if (request_content_type.starts_with("application/x-protobuf")) {
        response.headers.add("content-type", "application/x-protobuf");
        response.body = encode_rpc_status(refusal.grpc_status, refusal.text, refusal.retry_after_s);
    } else if (request_content_type.starts_with("application/json")) {
        response.headers.add("content-type", "application/json");
        JsonWriter json(response.body);
        json.begin_object();
        json.field("code", refusal.grpc_status);
        json.key("message").string(refusal.text);
        json.end_object();
    } else {
        response.headers.add("content-type", "text/plain; charset=utf-8");
        response.headers.add("x-content-type-options", "nosniff");
        response.body = refusal.text + "\n";
    }
    return response;
}

Response error_reply(const Error& error, std::string_view request_content_type) {
    return error_reply(Refusal::of(error), request_content_type);
}

}  // namespace spanloom::http

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/memory_budget.h"
#include "base/result.h"

namespace spanloom::http {

// Header fields in order; names are lower case.
class Headers {
  public:
    void add(std::string name, std::string value) {
        fields_.emplace_back(std::move(name), std::move(value));
    }
    // The first value; "" where absent.
    std::string_view get(std::string_view name) const {
        for (const auto& [key, value] : fields_) {
            if (key == name) return value;
        }
        return {};
    }
    bool has(std::string_view name) const {
        for (const auto& [key, value] : fields_) {
            if (key == name) return true;
        }
        return false;
    }
    auto begin() const { return fields_.begin(); }
    auto end() const { return fields_.end(); }
    size_t size() const { return fields_.size(); }

  private:
    std::vector<std::pair<std::string, std::string>> fields_;
};

// Parameters of a query string, decoded, in order; a name may occur several times.
class Query {
  public:
    static Query parse(std::string_view text);
    // The first value; "" where absent.
    std::string_view get(std::string_view name) const;
    bool has(std::string_view name) const;
    std::vector<std::string_view> all(std::string_view name) const;

  private:
    std::vector<std::pair<std::string, std::string>> parameters_;
};

// One whole request. The body is as sent: still compressed where content-encoding says so, and with
// its gRPC frame.
struct Request {
    std::string method;
    std::string path;       // still percent-encoded; always begins with '/'
    std::string raw_query;  // what follows '?'
    Headers headers;
    Blob body;
    std::shared_ptr<Reservation> memory;  // what the body counts for; hand it on with the body
    std::string peer;                     // "127.0.0.1:51234"
    bool is_http2 = false;
    std::stop_token cancelled;  // the client has gone

    bool is_grpc() const { return headers.get("content-type").starts_with("application/grpc"); }
    Query query() const { return Query::parse(raw_query); }
};

struct Response {
    int status = 200;
    Headers headers;
    std::string body;
    // Bytes that live elsewhere (embedded files, a stored Blob), sent instead of `body` where set.
    Blob shared_body;
    Headers trailers;  // gRPC's status; HTTP/2 only
};

// Answers one request: exactly one `send`, or `begin`, any number of `write`, and `finish`. From
// any thread. Destroyed unanswered, it answers 500. After the client has gone it does nothing.
class Responder {
  public:
    virtual ~Responder() = default;
    virtual void send(Response response) = 0;
    // Streaming. The status and headers go out now; response.body, if any, is the first part.
    virtual void begin(Response response) = 0;
    // False: the client has gone, stop. Blocks while more than the connection's write limit waits
    // to be sent, so never call it on an io thread.
    virtual bool write(std::string part) = 0;
    virtual void finish(Headers trailers = {}) = 0;
};

// Called on an io thread; must not block. Long work moves to an Executor, taking the Responder.
using Handler = std::function<void(Request, std::shared_ptr<Responder>)>;

// ---- gRPC over HTTP (PROTOCOL-HTTP2.md)

struct GrpcMessage {
    bool compressed = false;
    Blob message;
};
// Takes a unary call's single length-prefixed message apart, sharing the body's bytes.
Result<GrpcMessage> parse_grpc_body(const Blob& body);
// A unary reply: one message and grpc-status 0.
Response grpc_reply(std::string_view message);
// Trailers-only. `details`: a serialised google.rpc.Status for grpc-status-details-bin, or "".
Response grpc_error(int grpc_status, std::string_view text, std::string_view details = {});
// google.rpc.Status {code, message} as protobuf; with google.rpc.RetryInfo where retry_after_s > 0.
std::string encode_rpc_status(int grpc_status, std::string_view text, uint32_t retry_after_s = 0);

// ---- refusals

// What a refused request is told, in both protocols' terms.
struct Refusal {
    int http_status = 500;
    int grpc_status = 13;
    std::string text;
    uint32_t retry_after_s = 0;  // 0: says nothing about retrying

    static Refusal of(const Error& error);
};
// In the form the request's content type asks for: a gRPC status, google.rpc.Status as protobuf or
// JSON (as OTLP/HTTP wants it), or a short text.
Response error_reply(const Refusal& refusal, std::string_view request_content_type);
Response error_reply(const Error& error, std::string_view request_content_type);
// The standard phrase of an HTTP status ("Not Found"); "Unknown" for others.
std::string_view status_phrase(int http_status);

}  // namespace spanloom::http

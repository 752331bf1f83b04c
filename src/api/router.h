#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/call.h"
#include "api/grpc_stream.h"

namespace spanloom::api {

// Whose API a route belongs to; decides the prefix it may have and how its errors look.
enum class Family : uint8_t {
    kOwn,         // /healthz and the like: errors as text
    kUi,          // {"code","message",...}
    kJaeger,      // v1 envelope
    kJaeger3,     // {"error":{...}}
    kTempo,       // text
    kZipkin,      // text
    kPrometheus,  // {"status":"error",...}
    kMcp,         // JSON-RPC
    kSampling,    // Jaeger's remote sampling: errors as text
    kGrpc,        // a status in trailers; all of these are streams
};

// Where a route's function runs.
enum class Place : uint8_t { kQueries, kIoThread };

using Answer = std::function<Result<http::Response>(Call&)>;
// A gRPC call: the request's message in, any number of messages out. What it returns is the status.
using StreamAnswer =
    std::function<Result<void>(Call&, std::string_view message, GrpcStream& stream)>;

struct Route {
    std::string method;
    std::string pattern;
    std::vector<std::string> parts;
    Family family = Family::kOwn;
    Place place = Place::kQueries;
    bool only_with_prefix = false;  // another family has the bare address
    Answer answer;
    StreamAnswer stream;  // kGrpc
};

// Finds the route of a path. Patterns are literal parts and {} for one part of any content. The
// prefixes /jaeger, /tempo, /zipkin and /prometheus narrow the search to that family. Immutable
// once built.
class Router {
  public:
    Route& add(Family family, std::string method, std::string pattern, Answer answer);

    // "tempopb.StreamingQuerier", "Search"
    void add_grpc(std::string_view service, std::string_view method, StreamAnswer answer);

    struct Match {
        const Route* route = nullptr;
        std::vector<std::string> captures;
        std::string methods;  // with no route: those that the address has, "" where it is unknown
        Family family = Family::kOwn;  // with no route: whose error form fits
    };
    Match find(const http::Request& request, Face face) const;

  private:
    std::vector<Route> routes_;
};

// An error in the form of the family's clients. The HTTP status follows from its code unless given.
http::Response error_reply(Family family, const Error& error, uint64_t request_id, int status = 0);

}  // namespace spanloom::api

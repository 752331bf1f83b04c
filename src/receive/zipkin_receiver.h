#pragma once

#include "http/message.h"
#include "receive/otlp_receiver.h"

namespace spanloom {

// Whether a request on a port that also answers queries is one for the Zipkin receiver.
bool is_zipkin_send(const http::Request& request);

// Takes Zipkin v2 spans: POST /api/v2/spans (JSON or protobuf), and gRPC's
// zipkin.proto3.SpanService/Report. Answers once the sink says that the spans are durable. Any
// number of threads may call the handler.
http::Handler make_zipkin_handler(ReceiveParts parts, ReceiveOptions options);

}  // namespace spanloom

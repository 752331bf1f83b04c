#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "http/message.h"
#include "receive/otlp_receiver.h"

namespace spanloom {

// Whether a request on a port that also takes other protocols is one for the Jaeger receiver.
bool is_jaeger_send(const http::Request& request);

// Takes Jaeger's spans as its clients and agents sent them: POST /api/traces (a Thrift batch in the
// binary protocol) and gRPC's jaeger.api_v2.CollectorService/PostSpans. Answers once the sink says
// that the spans are durable. Any number of threads may call the handler.
http::Handler make_jaeger_handler(ReceiveParts parts, ReceiveOptions options);

enum class JaegerDatagram : uint8_t { kCompact, kBinary };

// Takes the datagrams that Jaeger's client libraries send to an agent. Nobody is told what became
// of a datagram; what is refused, and what the kernel dropped because we were too slow, is counted.
// Owns its thread; the destructor ends it.
class JaegerDatagrams {
  public:
    // An address; port 0 takes a free one.
    static Result<std::unique_ptr<JaegerDatagrams>> listen(const std::string& host, uint16_t port,
                                                           JaegerDatagram protocol,
                                                           ReceiveParts parts,
                                                           ReceiveOptions options);
    virtual ~JaegerDatagrams() = default;
    virtual uint16_t port() const = 0;
};

}  // namespace spanloom

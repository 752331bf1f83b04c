#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "http/message.h"
#include "http/output_queue.h"
#include "http/server.h"

namespace spanloom::http {

// Why a connection or a request was refused or ended; the label of http_refused_total.
enum class RefusalReason : uint8_t {
    kConnectionLimit,
    kHeaderTooLarge,
    kBodyTooLarge,
    kNoMemory,
    kBadRequest,
    kHeaderTimeout,
    kBodyTimeout,
    kWriteTimeout,
    kFlood,
    kTlsHandshake,
    kAcceptFailed,
};
constexpr size_t kRefusalReasons = 11;

// What a session asks of the connection around it. Called on the connection's io thread.
class SessionHost {
  public:
    virtual ~SessionHost() = default;
    // A whole request; its answer comes through Session::reply with the same id.
    virtual void handle(Request request, int32_t request_id) = 0;
    // For counting; `response` has not been sent yet.
    virtual void answered(const Request& request, const Response& response) = 0;
    virtual void refused(RefusalReason reason) = 0;
    // Bytes given to a streaming reply have left its queue.
    virtual void released(size_t bytes) = 0;
    virtual uint64_t now_ns() = 0;
    virtual std::string_view http_date() = 0;
    virtual const ServerLimits& limits() = 0;
    virtual MemoryBudget& budget() = 0;
};

// One step of an answer.
struct Reply {
    enum class Kind : uint8_t { kSend, kBegin, kPart, kFinish, kAbandoned };
    Kind kind = Kind::kSend;
    Response response;  // kSend, kBegin
    std::string part;   // kPart
    Headers trailers;   // kFinish
};

// The protocol on one connection, without its socket: bytes in, requests out; replies in, bytes
// out. Lives on the connection's io thread.
class Session {
  public:
    virtual ~Session() = default;

    virtual void receive(std::string_view bytes) = 0;
    // Where the next bytes are to be read straight into; empty: anywhere, then `receive`.
    virtual std::span<uint8_t> body_space() { return {}; }
    virtual void received_body(size_t bytes) { (void)bytes; }
    // Most bytes to read next; 0: none for now.
    virtual size_t read_bytes_max() const = 0;
    // The client will send nothing more.
    virtual void receive_end() = 0;

    virtual void reply(int32_t request_id, Reply reply) = 0;
    // Moves what may be sent to `out`, up to a bounded amount; called again when it has drained.
    virtual void produce(OutputQueue& out) = 0;
    // Nothing more will come from here once the output is sent.
    virtual bool wants_close() const = 0;
    // Requests not yet answered whole.
    virtual size_t in_flight() const = 0;

    // No new requests; those in flight are finished.
    virtual void shut_down() = 0;
    // Acts on timeouts; false: close the connection at once.
    virtual bool check_deadlines() = 0;
    // The connection is gone: cancels what is in flight.
    virtual void abandon() = 0;
};

// Unsent bytes a session moves into the output at a time; more waits in the session.
constexpr size_t kOutputBytesMax = 256U << 10;

}  // namespace spanloom::http

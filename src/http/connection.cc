#include "http/connection.h"

#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "http/http1_session.h"
#include "http/http2_session.h"

namespace spanloom::http {
namespace {

constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// Small, so that the body of a first HTTP/1.1 request is read into place.
constexpr size_t kFirstReadBytes = 8U << 10;
// Reads of one connection before the others have their turn.
constexpr int kReadsPerTurn = 4;
// How long a client may take to read the last answer and go.
constexpr uint64_t kLingerNs = 2'000'000'000;
constexpr uint64_t kLingerStoppingNs = 200'000'000;

using boost::asio::ip::tcp;

std::string describe(const tcp::socket& socket) {
    boost::system::error_code error;
    const tcp::endpoint peer = socket.remote_endpoint(error);
    if (error) return "unknown";
    const std::string address = peer.address().to_string();
    return peer.address().is_v6() ? fmt::format("[{}]:{}", address, peer.port())
                                  : fmt::format("{}:{}", address, peer.port());
}

}  // namespace

Connection::Connection(IoThread& thread, EndpointState& endpoint, tcp::socket socket)
    : thread_(thread),
      endpoint_(endpoint),
      socket_(std::move(socket)),
      gate_(std::make_shared<WriteGate>(thread.state().limits.write_bytes_max)) {
    endpoint_.metrics->opened();
}

Connection::~Connection() {
    if (phase_ == Phase::kClosed) return;
    // Never started: the server stopped first.
    endpoint_.metrics->closed();
    thread_.state().connections.remove();
}

void Connection::start() {
    phase_ns_ = thread_.refresh_now();
    boost::system::error_code error;
    socket_.non_blocking(true, error);
    if (!error) socket_.set_option(tcp::no_delay(true), error);
    peer_ = describe(socket_);
    const int handle = socket_.native_handle();
    transport_ = endpoint_.tls != nullptr ? make_tls_transport(handle, endpoint_.tls.get())
                                          : make_plain_transport(handle);
    thread_.add(shared_from_this());
    if (error || thread_.is_stopping()) {
        close();
        return;
    }
    on_readable();
}

// ---- reading

void Connection::on_readable() {
    if (phase_ == Phase::kClosed) return;
    thread_.refresh_now();
    if (phase_ == Phase::kHandshake && !shake_hands()) return;
    read_available();
    // Replies that handlers gave at once go out with this turn.
    thread_.deliver();
    flush();
}

bool Connection::shake_hands() {
    switch (transport_->handshake()) {
        case IoStatus::kDone:
            phase_ = Phase::kDetecting;
            return true;
        case IoStatus::kWantRead:
            arm_read();
            return false;
        case IoStatus::kWantWrite:
            arm_write();
            return false;
        default:
            refused(RefusalReason::kTlsHandshake);
            close();
            return false;
    }
}

void Connection::read_available() {
    for (int turn = 0; turn < kReadsPerTurn; ++turn) {
        if (phase_ == Phase::kClosed || has_ended_) return;
        const size_t size_max = session_ == nullptr           ? kFirstReadBytes
                                : phase_ == Phase::kLingering ? thread_.scratch().size()
                                                              : session_->read_bytes_max();
        if (size_max == 0) return;
        std::span<uint8_t> target;
        if (phase_ == Phase::kServing) target = session_->body_space();
        const bool is_direct = !target.empty();
        if (!is_direct) {
            target = thread_.scratch();
            target = target.first(std::min(size_max, target.size()));
        }
        const IoResult result = transport_->read(target.data(), target.size());
        may_hold_input_ = transport_->buffers_input() && result.status == IoStatus::kDone;
        switch (result.status) {
            case IoStatus::kDone:
                break;
            case IoStatus::kWantRead:
                return;
            case IoStatus::kWantWrite:
                arm_write();
                return;
            case IoStatus::kEnd:
                on_end();
                return;
            case IoStatus::kBroken:
                close();
                return;
        }
        endpoint_.metrics->received(result.bytes);
        if (is_direct) {
            session_->received_body(result.bytes);
        } else if (phase_ != Phase::kLingering) {
            const std::string_view bytes(reinterpret_cast<const char*>(target.data()),
                                         result.bytes);
            if (session_ == nullptr) {
                detect(bytes);
            } else {
                session_->receive(bytes);
            }
        }
        if (result.bytes < target.size() && !transport_->buffers_input()) return;
    }
}

void Connection::detect(std::string_view bytes) {
    first_bytes_.append(bytes);
    const size_t shared = std::min(first_bytes_.size(), kHttp2Preface.size());
    const bool may_be_http2 = first_bytes_.substr(0, shared) == kHttp2Preface.substr(0, shared);
    if (may_be_http2 && shared < kHttp2Preface.size()) return;
    session_ = may_be_http2 ? make_http2_session(*this, peer_) : make_http1_session(*this, peer_);
    phase_ = Phase::kServing;
    const std::string first = std::exchange(first_bytes_, {});
    session_->receive(first);
}

void Connection::on_end() {
    has_ended_ = true;
    if (phase_ != Phase::kServing) {
        close();
        return;
    }
    session_->receive_end();
}

void Connection::arm_read() {
    if (is_reading_ || has_ended_ || phase_ == Phase::kClosed) return;
    if (phase_ == Phase::kServing && session_->read_bytes_max() == 0) return;
    is_reading_ = true;
    if (may_hold_input_) {
        may_hold_input_ = false;
        boost::asio::post(thread_.context(), [self = shared_from_this()] {
            self->is_reading_ = false;
            self->on_readable();
        });
        return;
    }
    socket_.async_wait(tcp::socket::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& error) {
                           self->is_reading_ = false;
                           if (!error) self->on_readable();
                       });
}

// ---- requests and replies

void Connection::handle(Request request, int32_t request_id) {
    std::stop_token gone = request.cancelled;
    endpoint_.handler(std::move(request), make_responder(thread_.mailbox(), gate_, weak_from_this(),
                                                         request_id, std::move(gone)));
}

void Connection::answered(const Request& request, const Response& response) {
    const Protocol protocol = !request.is_http2   ? Protocol::kHttp1
                              : request.is_grpc() ? Protocol::kGrpc
                                                  : Protocol::kHttp2;
    endpoint_.metrics->answered(protocol, response);
}

void Connection::reply(int32_t request_id, Reply reply) {
    if (phase_ == Phase::kServing) session_->reply(request_id, std::move(reply));
}

void Connection::flush_touched() {
    is_touched_ = false;
    flush();
}

// ---- writing

void Connection::flush() {
    if (phase_ == Phase::kClosed) return;
    while (!is_writing_) {
        if (phase_ == Phase::kServing && output_.bytes() < kOutputBytesMax) {
            if (output_.empty()) write_progress_ns_ = now_ns();
            session_->produce(output_);
        }
        if (output_.empty()) break;
        const IoResult result = transport_->write(output_);
        endpoint_.metrics->sent(result.bytes);
        if (result.bytes > 0) write_progress_ns_ = now_ns();
        if (result.status == IoStatus::kDone) continue;
        if (result.status == IoStatus::kWantWrite) {
            arm_write();
        } else if (result.status != IoStatus::kWantRead) {
            close();
            return;
        }
        break;
    }
    if (phase_ == Phase::kServing && output_.empty() && session_->wants_close()) linger();
    arm_read();
}

void Connection::arm_write() {
    if (is_writing_) return;
    is_writing_ = true;
    socket_.async_wait(tcp::socket::wait_write,
                       [self = shared_from_this()](const boost::system::error_code& error) {
                           self->is_writing_ = false;
                           if (!error) self->on_readable();
                       });
}

// A socket closed with input unread sends a reset, which can destroy the answer on its way.
void Connection::linger() {
    transport_->close_write();
    session_->abandon();
    if (has_ended_) {
        close();
        return;
    }
    phase_ = Phase::kLingering;
    phase_ns_ = now_ns();
}

// ---- life

void Connection::shut_down() {
    if (phase_ == Phase::kClosed) return;
    if (session_ == nullptr) {
        close();
        return;
    }
    session_->shut_down();
    flush();
}

uint64_t Connection::linger_ns() {
    if (thread_.is_stopping()) return kLingerStoppingNs;
    return std::min<uint64_t>(kLingerNs, limits().idle_timeout_ms * 1'000'000ULL);
}

void Connection::check_deadlines() {
    const ServerLimits& limits = this->limits();
    const uint64_t now = now_ns();
    switch (phase_) {
        case Phase::kClosed:
            return;
        case Phase::kHandshake:
        case Phase::kDetecting:
            if (now - phase_ns_ <= limits.header_timeout_ms * 1'000'000ULL) return;
            refused(RefusalReason::kHeaderTimeout);
            close();
            return;
        case Phase::kLingering:
            if (now - phase_ns_ > linger_ns()) close();
            return;
        case Phase::kServing:
            break;
    }
    if (!output_.empty() && now - write_progress_ns_ > limits.write_timeout_ms * 1'000'000ULL) {
        refused(RefusalReason::kWriteTimeout);
        close();
        return;
    }
    if (!session_->check_deadlines()) {
        close();
        return;
    }
    flush();
}

void Connection::close() {
    if (phase_ == Phase::kClosed) return;
    const std::shared_ptr<Connection> self = shared_from_this();
    phase_ = Phase::kClosed;
    if (session_ != nullptr) session_->abandon();
    boost::system::error_code ignored;
    socket_.close(ignored);
    endpoint_.metrics->closed();
    thread_.remove(*this);
    thread_.state().connections.remove();
}

}  // namespace spanloom::http

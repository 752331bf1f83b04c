#pragma once

#include <memory>
#include <string>

#include <boost/asio/ip/tcp.hpp>

#include "http/io_thread.h"
#include "http/session.h"
#include "http/transport.h"

namespace spanloom::http {

// One accepted socket: reads, finds out the protocol, feeds its session, writes what that produces.
// Lives on one io thread, which owns it until it is closed.
class Connection final : public SessionHost, public std::enable_shared_from_this<Connection> {
  public:
    // The connection has been counted in; it counts itself out.
    Connection(IoThread& thread, EndpointState& endpoint, boost::asio::ip::tcp::socket socket);
    ~Connection() override;

    void start();
    void reply(int32_t request_id, Reply reply);
    // True where it was marked already.
    bool mark_touched() { return std::exchange(is_touched_, true); }
    void flush_touched();
    void shut_down();
    void check_deadlines();
    void close();

    void handle(Request request, int32_t request_id) override;
    void answered(const Request& request, const Response& response) override;
    void refused(RefusalReason reason) override { endpoint_.metrics->refused(reason); }
    void released(size_t bytes) override { gate_->release(bytes); }
    uint64_t now_ns() override { return thread_.now_ns(); }
    std::string_view http_date() override { return thread_.http_date(); }
    const ServerLimits& limits() override { return thread_.state().limits; }
    MemoryBudget& budget() override { return thread_.state().budget; }

  private:
    enum class Phase : uint8_t { kHandshake, kDetecting, kServing, kLingering, kClosed };

    void on_readable();
    bool shake_hands();
    void read_available();
    bool take(std::span<uint8_t> bytes);
    void detect(std::string_view bytes);
    void on_end();
    void flush();
    void linger();
    uint64_t linger_ns();
    void arm_read();
    void arm_write();

    IoThread& thread_;
    EndpointState& endpoint_;
    boost::asio::ip::tcp::socket socket_;
    std::unique_ptr<Transport> transport_;
    std::string peer_;
    std::string first_bytes_;  // until the protocol is known
    std::unique_ptr<Session> session_;
    std::shared_ptr<WriteGate> gate_;
    OutputQueue output_;
    Phase phase_ = Phase::kHandshake;
    uint64_t phase_ns_ = 0;  // set by `start`: the constructor runs on the accepting thread
    uint64_t write_progress_ns_ = 0;
    bool is_reading_ = false;      // a wait for input is under way
    bool is_writing_ = false;      // a wait for output is under way
    bool may_hold_input_ = false;  // input may lie inside the transport
    bool has_ended_ = false;       // the client closed its half
    bool is_touched_ = false;
};

}  // namespace spanloom::http

#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "http/responder.h"
#include "http/server_metrics.h"
#include "http/tls.h"

namespace spanloom::http {

class Connection;

// What all connections of one endpoint share. Lives as long as the server.
struct EndpointState {
    std::string name;
    Handler handler;
    SslContext tls;  // null: plaintext
    std::unique_ptr<EndpointMetrics> metrics;
};

// Connections open on all endpoints; `stop` waits for none.
class ConnectionCount {
  public:
    bool try_add(size_t connections_max);
    void remove();
    // False where some were left at the deadline.
    bool wait_for_none(uint32_t timeout_ms);

  private:
    std::mutex mutex_;
    std::condition_variable none_;
    size_t open_ = 0;
};

struct ServerState {
    ServerLimits limits;
    MemoryBudget& budget;
    ConnectionCount connections;
};

// One thread with its own event loop and connections, which never move to another. All members but
// `post`-like ones are used on that thread (or before it runs, or after it has ended).
class IoThread {
  public:
    IoThread(ServerState& state, size_t number);
    ~IoThread();

    void start();
    // Ends the loop after closing every connection, and waits.
    void finish();
    void request_shut_down();

    void add(std::shared_ptr<Connection> connection);
    void remove(Connection& connection);
    // Hands out the replies that have come.
    void deliver();

    boost::asio::io_context& context() { return context_; }
    const std::shared_ptr<Mailbox>& mailbox() { return mailbox_; }
    // Bytes read from any connection, until the next read.
    std::span<uint8_t> scratch();
    ServerState& state() { return state_; }
    uint64_t now_ns() const { return now_ns_; }
    uint64_t refresh_now();
    std::string_view http_date();
    bool is_stopping() const { return is_stopping_; }

  private:
    static constexpr size_t kScratchBytes = 256U << 10;

    void arm_tick();
    void tick();

    ServerState& state_;
    const size_t number_;
    boost::asio::io_context context_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    boost::asio::steady_timer timer_;
    std::shared_ptr<Mailbox> mailbox_;
    std::vector<Mailbox::Letter> letters_;
    std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
    std::unique_ptr<std::array<uint8_t, kScratchBytes>> scratch_;
    std::string date_;
    uint64_t date_s_ = 0;
    uint64_t now_ns_ = 0;
    uint64_t tick_ms_;
    bool is_ticking_ = false;
    bool is_stopping_ = false;
    std::thread thread_;
};

}  // namespace spanloom::http

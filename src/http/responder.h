#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "http/session.h"

namespace spanloom::http {

class Connection;

// Replies on their way to one io thread. Any thread posts; many posts wake the thread once.
class Mailbox {
  public:
    struct Letter {
        std::weak_ptr<Connection> connection;
        int32_t request_id = 0;
        Reply reply;
    };

    explicit Mailbox(boost::asio::io_context& context) : context_(&context) {}
    void post(Letter letter);
    // On the io thread: swaps what has come into `letters`, which is empty.
    void take(std::vector<Letter>& letters);
    // What runs on the io thread after a post.
    void set_wake(std::function<void()> wake) { wake_ = std::move(wake); }
    // The io thread has ended: letters are dropped from now on.
    void close();

  private:
    std::mutex mutex_;
    std::vector<Letter> letters_;
    bool is_waking_ = false;
    boost::asio::io_context* context_;  // null once closed
    std::function<void()> wake_;
};

// Bytes given to streaming replies of one connection and not yet moved on. Writers block on it.
class WriteGate {
  public:
    explicit WriteGate(size_t bytes_max) : bytes_max_(bytes_max) {}
    // Waits for room; false where the client has gone.
    bool enter(size_t bytes, const std::stop_token& gone);
    void add(size_t bytes);
    void release(size_t bytes);

  private:
    const size_t bytes_max_;
    std::mutex mutex_;
    std::condition_variable_any room_;
    size_t bytes_ = 0;
};

std::shared_ptr<Responder> make_responder(std::shared_ptr<Mailbox> mailbox,
                                          std::shared_ptr<WriteGate> gate,
                                          std::weak_ptr<Connection> connection, int32_t request_id,
                                          std::stop_token gone);

}  // namespace spanloom::http

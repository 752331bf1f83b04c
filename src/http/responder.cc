#include "http/responder.h"

#include <utility>

#include <boost/asio/post.hpp>

namespace spanloom::http {
namespace {

class ResponderImpl final : public Responder {
  public:
    ResponderImpl(std::shared_ptr<Mailbox> mailbox, std::shared_ptr<WriteGate> gate,
                  std::weak_ptr<Connection> connection, int32_t request_id, std::stop_token gone)
        : mailbox_(std::move(mailbox)),
          gate_(std::move(gate)),
          connection_(std::move(connection)),
          request_id_(request_id),
          gone_(std::move(gone)) {}
    ~ResponderImpl() override {
        if (state_ != State::kFinished) post({Reply::Kind::kAbandoned, {}, {}, {}});
    }

    void send(Response response) override {
        if (state_ != State::kUnanswered) return;
        state_ = State::kFinished;
        post({Reply::Kind::kSend, std::move(response), {}, {}});
    }
    void begin(Response response) override {
        if (state_ != State::kUnanswered) return;
        state_ = State::kStreaming;
        gate_->add(response.shared_body.empty() ? response.body.size()
                                                : response.shared_body.size());
        post({Reply::Kind::kBegin, std::move(response), {}, {}});
    }
    bool write(std::string part) override {
        if (state_ != State::kStreaming) return false;
        if (part.empty()) return !gone_.stop_requested();
        if (!gate_->enter(part.size(), gone_)) return false;
        post({Reply::Kind::kPart, {}, std::move(part), {}});
        return true;
    }
    void finish(Headers trailers) override {
        if (state_ != State::kStreaming) return;
        state_ = State::kFinished;
        post({Reply::Kind::kFinish, {}, {}, std::move(trailers)});
    }

  private:
    enum class State : uint8_t { kUnanswered, kStreaming, kFinished };

    void post(Reply reply) { mailbox_->post({connection_, request_id_, std::move(reply)}); }

    std::shared_ptr<Mailbox> mailbox_;
    std::shared_ptr<WriteGate> gate_;
    std::weak_ptr<Connection> connection_;
    const int32_t request_id_;
    std::stop_token gone_;
    State state_ = State::kUnanswered;
};

}  // namespace

void Mailbox::post(Letter letter) {
    std::lock_guard lock(mutex_);
    if (context_ == nullptr) return;
    letters_.push_back(std::move(letter));
    if (std::exchange(is_waking_, true)) return;
    boost::asio::post(*context_, wake_);
}

void Mailbox::take(std::vector<Letter>& letters) {
    std::lock_guard lock(mutex_);
    letters.swap(letters_);
    is_waking_ = false;
}

void Mailbox::close() {
    std::vector<Letter> dropped;
    std::lock_guard lock(mutex_);
    context_ = nullptr;
    dropped.swap(letters_);
}

bool WriteGate::enter(size_t bytes, const std::stop_token& gone) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, gone, [&] { return bytes_ < bytes_max_; });
    if (gone.stop_requested()) return false;
    bytes_ += bytes;
    return true;
}

void WriteGate::add(size_t bytes) {
    std::lock_guard lock(mutex_);
    bytes_ += bytes;
}

void WriteGate::release(size_t bytes) {
    std::lock_guard lock(mutex_);
    bytes_ -= std::min(bytes, bytes_);
    room_.notify_all();
}

std::shared_ptr<Responder> make_responder(std::shared_ptr<Mailbox> mailbox,
                                          std::shared_ptr<WriteGate> gate,
                                          std::weak_ptr<Connection> connection, int32_t request_id,
                                          std::stop_token gone) {
    return std::make_shared<ResponderImpl>(std::move(mailbox), std::move(gate),
                                           std::move(connection), request_id, std::move(gone));
}

}  // namespace spanloom::http

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <pthread.h>

#include "sampling/forwarder.h"

namespace spanloom::sampling {
namespace {

class OtlpSender final : public ForwardSender {
  public:
    OtlpSender(std::unique_ptr<SeededRandom> random, std::unique_ptr<send::OtlpClient> client,
               std::function<void()> done)
        : random_(std::move(random)),
          client_(std::move(client)),
          done_(std::move(done)),
          thread_([this] { run(); }) {}

    ~OtlpSender() override {
        {
            const std::lock_guard lock(mutex_);
            stops_ = true;
        }
        client_->interrupt();
        wake_.notify_all();
        thread_.join();
    }

    void begin(std::string request) override {
        {
            const std::lock_guard lock(mutex_);
            request_ = std::move(request);
        }
        wake_.notify_all();
    }
    std::optional<send::Attempt> result() override {
        const std::lock_guard lock(mutex_);
        return std::exchange(attempt_, std::nullopt);
    }

  private:
    void run() {
        pthread_setname_np(pthread_self(), "forward send");
        while (true) {
            std::string request;
            {
                std::unique_lock lock(mutex_);
                wake_.wait(lock, [&] { return stops_ || request_.has_value(); });
                if (stops_) return;
                request = std::move(*request_);
                request_.reset();
            }
            send::Attempt attempt = client_->try_export(send::Pieces(request), UINT64_MAX);
            {
                const std::lock_guard lock(mutex_);
                attempt_ = std::move(attempt);
            }
            done_();
        }
    }

    const std::unique_ptr<SeededRandom> random_;
    const std::unique_ptr<send::OtlpClient> client_;
    const std::function<void()> done_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::optional<std::string> request_;
    std::optional<send::Attempt> attempt_;
    bool stops_ = false;
    std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<ForwardSender>> make_otlp_sender(const ForwardOptions& options,
                                                        const Clock& clock,
                                                        std::function<void()> done,
                                                        uint32_t timeout_ms) {
    send::OtlpClientOptions client;
    client.endpoint = options.endpoint;
    client.protocol = options.protocol;
    client.timeout_ms = timeout_ms;
    client.gzip = options.gzip;
    client.headers = options.headers;
    client.tls = options.tls;
    client.user_agent = "spanloom-forward";
    auto random = std::make_unique<SeededRandom>(random_seed());
    TRY_ASSIGN(auto made, send::OtlpClient::create(std::move(client), clock, *random));
    return std::unique_ptr<ForwardSender>(
        std::make_unique<OtlpSender>(std::move(random), std::move(made), std::move(done)));
}

}  // namespace spanloom::sampling

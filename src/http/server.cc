#include "http/server.h"

#include <chrono>
#include <mutex>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <errno.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include "base/log.h"
#include "http/connection.h"
#include "http/io_thread.h"

namespace spanloom::http {
namespace {

using boost::asio::ip::tcp;

constexpr int kBacklog = 4'096;
// After the system refused a descriptor: time for connections to end.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

// One listening socket. Used on the first io thread.
class Listener : public std::enable_shared_from_this<Listener> {
  public:
    Listener(ServerState& state, std::vector<std::unique_ptr<IoThread>>& threads,
             tcp::acceptor acceptor, EndpointState& endpoint)
        : state_(state),
          threads_(threads),
          acceptor_(std::move(acceptor)),
          pause_(acceptor_.get_executor()),
          endpoint_(endpoint) {}

    void accept() {
        if (!acceptor_.is_open()) return;
        IoThread& thread = *threads_[next_thread_++ % threads_.size()];
        acceptor_.async_accept(thread.context(),
                               [self = shared_from_this(), &thread](
                                   const boost::system::error_code& error, tcp::socket socket) {
                                   self->accepted(thread, error, std::move(socket));
                               });
    }
    void close() {
        boost::system::error_code ignored;
        acceptor_.close(ignored);
        pause_.cancel();
    }

  private:
    void accepted(IoThread& thread, const boost::system::error_code& error, tcp::socket socket) {
        if (!acceptor_.is_open()) return;
        if (error) {
            // Out of descriptors or memory; asking again at once would spin.
            endpoint_.metrics->refused(RefusalReason::kAcceptFailed);
            log::warning("endpoint {}: cannot accept a connection: {}", endpoint_.name,
                         error.message());
            pause_.expires_after(kAcceptPause);
            pause_.async_wait([self = shared_from_this()](const boost::system::error_code& failed) {
                if (!failed) self->accept();
            });
            return;
        }
        if (state_.connections.try_add(state_.limits.connections_max)) {
            auto connection = std::make_shared<Connection>(thread, endpoint_, std::move(socket));
            boost::asio::post(thread.context(), [connection] { connection->start(); });
        } else {
            endpoint_.metrics->refused(RefusalReason::kConnectionLimit);
            boost::system::error_code ignored;
            socket.close(ignored);
        }
        accept();
    }

    ServerState& state_;
    std::vector<std::unique_ptr<IoThread>>& threads_;
    tcp::acceptor acceptor_;
    boost::asio::steady_timer pause_;
    EndpointState& endpoint_;
    size_t next_thread_ = 0;
};

class ServerImpl final : public Server {
  public:
    ServerImpl(ServerLimits limits, size_t io_threads, MemoryBudget& budget,
               MetricsRegistry& metrics)
        : state_{limits, budget, {}}, metrics_(metrics) {
        for (size_t i = 0; i < std::max<size_t>(io_threads, 1); ++i) {
            threads_.push_back(std::make_unique<IoThread>(state_, i));
        }
    }
    ~ServerImpl() override { stop(0); }

    Result<uint16_t> listen(Endpoint endpoint) override;
    void start() override;
    void stop(uint32_t grace_ms) override;

  private:
    enum class Phase : uint8_t { kNew, kRunning, kStopped };

    ServerState state_;
    MetricsRegistry& metrics_;
    std::vector<std::unique_ptr<EndpointState>> endpoints_;  // outlive the connections
    std::vector<std::unique_ptr<IoThread>> threads_;
    std::vector<std::shared_ptr<Listener>> listeners_;
    std::mutex mutex_;  // of phase_
    Phase phase_ = Phase::kNew;
};

Result<uint16_t> ServerImpl::listen(Endpoint endpoint) {
    boost::system::error_code error;
    std::string host = endpoint.host == "localhost" ? "127.0.0.1" : endpoint.host;
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    const auto address = boost::asio::ip::make_address(host, error);
    if (error) {
        return fail(ErrorCode::kInvalidArgument,
                    "endpoint {}: '{}' is not an IP address; give one, or localhost", endpoint.name,
                    endpoint.host);
    }
    auto state = std::make_unique<EndpointState>();
    if (!endpoint.tls.certificate.empty() || !endpoint.tls.key.empty()) {
        TRY_ASSIGN(state->tls, make_server_tls(endpoint.tls));
    } else if (!endpoint.tls.client_ca.empty()) {
        return fail(ErrorCode::kInvalidArgument,
                    "endpoint {}: a client CA needs a certificate and a key too", endpoint.name);
    }
    const tcp::endpoint at(address, endpoint.port);
    tcp::acceptor acceptor(threads_.front()->context());
    acceptor.open(at.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(at, error);
    if (!error) acceptor.listen(kBacklog, error);
    const tcp::endpoint bound = error ? at : acceptor.local_endpoint(error);
    if (error) {
        return fail(error == boost::asio::error::address_in_use ? ErrorCode::kAlreadyExists
                                                                : ErrorCode::kUnavailable,
                    "endpoint {}: cannot listen on {}:{}: {}; choose another port, or stop what "
                    "uses it",
                    endpoint.name, host, endpoint.port, error.message());
    }
    state->metrics = std::make_unique<EndpointMetrics>(metrics_, endpoint.name);
    state->name = std::move(endpoint.name);
    state->handler = std::move(endpoint.handler);
    endpoints_.push_back(std::move(state));
    auto listener =
        std::make_shared<Listener>(state_, threads_, std::move(acceptor), *endpoints_.back());
    listeners_.push_back(listener);
    std::lock_guard lock(mutex_);
    if (phase_ == Phase::kRunning) {
        boost::asio::post(threads_.front()->context(), [listener] { listener->accept(); });
    }
    return bound.port();
}

void ServerImpl::start() {
    std::lock_guard lock(mutex_);
    if (phase_ != Phase::kNew) return;
    phase_ = Phase::kRunning;
    for (const auto& listener : listeners_)
        listener->accept();
    for (const auto& thread : threads_)
        thread->start();
}

void ServerImpl::stop(uint32_t grace_ms) {
    std::lock_guard lock(mutex_);
    if (std::exchange(phase_, Phase::kStopped) != Phase::kRunning) {
        for (const auto& listener : listeners_)
            listener->close();
        return;
    }
    boost::asio::post(threads_.front()->context(), [this] {
        for (const auto& listener : listeners_)
            listener->close();
    });
    for (const auto& thread : threads_)
        thread->request_shut_down();
    state_.connections.wait_for_none(grace_ms);
    for (const auto& thread : threads_)
        thread->finish();
}

}  // namespace

Result<std::unique_ptr<Server>> Server::create(ServerLimits limits, size_t io_threads,
                                               MemoryBudget& budget, MetricsRegistry& metrics) {
    return std::unique_ptr<Server>(
        std::make_unique<ServerImpl>(limits, io_threads, budget, metrics));
}

}  // namespace spanloom::http

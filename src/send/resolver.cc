#include "send/resolver.h"

#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

namespace spanloom::send {
namespace {

struct FreeAddresses {
    void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

Result<std::vector<Address>> get_addresses(const Endpoint& endpoint, int flags) {
    addrinfo hints = {};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    addrinfo* found = nullptr;
    const std::string port = std::to_string(endpoint.port);
    const int failed = getaddrinfo(endpoint.host.c_str(), port.c_str(), &hints, &found);
    if (failed != 0) {
        return fail(ErrorCode::kUnavailable, "cannot resolve {}: {}", endpoint.host,
                    gai_strerror(failed));
    }
    const std::unique_ptr<addrinfo, FreeAddresses> list(found);
    std::vector<Address> addresses;
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
        addresses.push_back({at->ai_family, std::string(reinterpret_cast<const char*>(at->ai_addr),
                                                        at->ai_addrlen)});
    }
    return addresses;
}

// Signals are for the program's own threads.
class BlockedSignals {
  public:
    BlockedSignals() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    BlockedSignals(const BlockedSignals&) = delete;
    BlockedSignals& operator=(const BlockedSignals&) = delete;

  private:
    sigset_t before_;
};

}  // namespace

// Shared with the looking thread, which may outlive the resolver.
struct Resolver::Pending {
    Interrupt done;
    std::mutex mutex;
    std::optional<Result<std::vector<Address>>> result;
};

Result<std::vector<Address>> Resolver::look_up(const Endpoint& endpoint) {
    return get_addresses(endpoint, 0);
}

Result<std::vector<Address>> Resolver::resolve(const Endpoint& endpoint, uint64_t deadline_ns,
                                               const Clock& clock, const Interrupt& interrupt) {
    Result<std::vector<Address>> numeric = get_addresses(endpoint, AI_NUMERICHOST);
    if (numeric) return numeric;
    if (pending_ == nullptr) {
        pending_ = std::make_shared<Pending>();
        const BlockedSignals blocked;
        try {
            std::thread([pending = pending_, lookup = lookup_, endpoint] {
                Result<std::vector<Address>> result = lookup(endpoint);
                const std::lock_guard lock(pending->mutex);
                pending->result = std::move(result);
                pending->done.trigger();
            }).detach();
        } catch (const std::system_error& error) {
            pending_.reset();
            return fail(ErrorCode::kUnavailable, "cannot resolve {}: no thread to ask: {}",
                        endpoint.host, error.what());
        }
    }
    while (!pending_->done.is_triggered()) {
        if (interrupt.is_triggered()) {
            return fail(ErrorCode::kCancelled, "resolving {} was interrupted", endpoint.host);
        }
        const uint64_t now_ns = clock.monotonic_ns();
        if (now_ns >= deadline_ns) {
            return fail(ErrorCode::kDeadlineExceeded, "cannot resolve {}: no answer in time",
                        endpoint.host);
        }
        pollfd waited[2] = {{pending_->done.descriptor(), POLLIN, 0},
                            {interrupt.descriptor(), POLLIN, 0}};
        ::poll(waited, 2, poll_ms(now_ns, deadline_ns));
    }
    const std::shared_ptr<Pending> finished = std::move(pending_);
    const std::lock_guard lock(finished->mutex);
    return std::move(*finished->result);
}

}  // namespace spanloom::send

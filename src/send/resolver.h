#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "send/endpoint.h"
#include "send/interrupt.h"

namespace spanloom::send {

// A socket address, as the system calls want it.
struct Address {
    int family = 0;
    std::string bytes;  // a sockaddr
};

// Finds the addresses of one host. The system's resolver cannot be told when to stop, so it runs on
// a thread of its own that is left behind when the deadline comes; a later call waits for that one
// instead of starting another. One thread.
class Resolver {
  public:
    using Lookup = Result<std::vector<Address>> (*)(const Endpoint& endpoint);

    explicit Resolver(Lookup lookup = look_up) : lookup_(lookup) {}

    Result<std::vector<Address>> resolve(const Endpoint& endpoint, uint64_t deadline_ns,
                                         const Clock& clock, const Interrupt& interrupt);
    // In a forked child, where the thread is gone.
    void forget() { pending_.reset(); }

    // Blocks for as long as the system likes.
    static Result<std::vector<Address>> look_up(const Endpoint& endpoint);

  private:
    struct Pending;

    Lookup lookup_;
    std::shared_ptr<Pending> pending_;
};

}  // namespace spanloom::send

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "receive/intake.h"
#include "receive/jaeger_convert.h"
#include "receive/jaeger_receiver.h"

namespace spanloom {
namespace {

// No datagram is larger.
constexpr size_t kDatagramBytesMax = 65'536;
// What the kernel keeps while we are busy: some hundred datagrams.
constexpr int kReceiveBufferBytes = 4 << 20;
constexpr size_t kScratchPerByte = 16;

Result<Blob> from_compact(const Blob& sent, const otlp::DecodeLimits&, uint64_t) {
    return jaeger_compact_call_to_otlp(sent);
}

Result<Blob> from_binary(const Blob& sent, const otlp::DecodeLimits&, uint64_t) {
    return jaeger_binary_call_to_otlp(sent);
}

constexpr IntakeForm kCompact = {.protocol = Protocol::kJaegerCompact,
                                 .convert = from_compact,
                                 .scratch_per_byte = kScratchPerByte};
constexpr IntakeForm kBinary = {.protocol = Protocol::kJaegerBinary,
                                .convert = from_binary,
                                .scratch_per_byte = kScratchPerByte};

// Closes its descriptor.
class Descriptor {
  public:
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&&) = delete;
    ~Descriptor() {
        if (number_ >= 0) ::close(number_);
    }
    int number() const { return number_; }

  private:
    int number_;
};

Result<Descriptor> bind_socket(const std::string& host, uint16_t port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_DGRAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const std::string service = std::to_string(port);
    if (const int code = getaddrinfo(host.c_str(), service.c_str(), &hints, &found); code != 0)
        return fail(ErrorCode::kInvalidArgument, "cannot listen for datagrams on {}:{}: {}", host,
                    port, gai_strerror(code));
    Descriptor socket(
        ::socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, found->ai_protocol));
    const int yes = 1;
    if (socket.number() >= 0) {
        setsockopt(socket.number(), SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes,
                   sizeof kReceiveBufferBytes);
        setsockopt(socket.number(), SOL_SOCKET, SO_RXQ_OVFL, &yes, sizeof yes);
    }
    const bool is_bound =
        socket.number() >= 0 && ::bind(socket.number(), found->ai_addr, found->ai_addrlen) == 0;
    const int code = errno;
    freeaddrinfo(found);
    if (!is_bound)
        return fail(ErrorCode::kUnavailable,
                    "cannot listen for datagrams on {}:{}: {}; is another program there?", host,
                    port, std::strerror(code));
    return socket;
}

uint16_t port_of(int socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
    return ntohs(address.ss_family == AF_INET6
                     ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                     : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

class Listener final : public JaegerDatagrams {
  public:
    Listener(Descriptor socket, const IntakeForm& form, ReceiveParts parts, ReceiveOptions options)
        : socket_(std::move(socket)),
          end_(eventfd(0, EFD_CLOEXEC)),
          port_(port_of(socket_.number())),
          form_(form),
          intake_(std::make_shared<Intake>(parts, std::move(options))),
          dropped_(parts.metrics.counter("datagrams_dropped_total",
                                         "Datagrams of Jaeger clients that the kernel dropped "
                                         "because they came faster than they were read.",
                                         {{"port", std::to_string(port_)}})),
          thread_([this] { run(); }) {}
    ~Listener() override {
        const uint64_t one = 1;
        // The counter is far from full: writing to it cannot fail.
        [[maybe_unused]] const ssize_t written = ::write(end_.number(), &one, sizeof one);
    }
    uint16_t port() const override { return port_; }

  private:
    void run() {
        pthread_setname_np(pthread_self(), "datagrams");
        std::array<pollfd, 2> waited = {
            {{socket_.number(), POLLIN, 0}, {end_.number(), POLLIN, 0}}};
        while (true) {
            if (::poll(waited.data(), waited.size(), -1) < 0 && errno != EINTR) return;
            if ((waited[1].revents & POLLIN) != 0) return;
            if ((waited[0].revents & POLLIN) != 0) receive_one();
        }
    }

    void receive_one() {
        iovec part{buffer_.data(), buffer_.size()};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(uint32_t))> control{};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t size = ::recvmsg(socket_.number(), &message, MSG_DONTWAIT);
        if (size <= 0) return;
        count_dropped(message);
        intake_->take_datagram({buffer_.data(), static_cast<size_t>(size)}, form_);
    }

    // The kernel's count is a total.
    void count_dropped(msghdr& message) {
        for (cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr; at = CMSG_NXTHDR(&message, at)) {
            if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SO_RXQ_OVFL) continue;
            uint32_t total = 0;
            std::memcpy(&total, CMSG_DATA(at), sizeof total);
            dropped_.add(total - dropped_before_);
            dropped_before_ = total;
        }
    }

    const Descriptor socket_;
    const Descriptor end_;
    const uint16_t port_;
    const IntakeForm& form_;
    const std::shared_ptr<Intake> intake_;
    Counter& dropped_;
    uint32_t dropped_before_ = 0;
    std::vector<char> buffer_ = std::vector<char>(kDatagramBytesMax);
    std::jthread thread_;  // last: it uses all of the above
};

}  // namespace

Result<std::unique_ptr<JaegerDatagrams>> JaegerDatagrams::listen(const std::string& host,
                                                                 uint16_t port,
                                                                 JaegerDatagram protocol,
                                                                 ReceiveParts parts,
                                                                 ReceiveOptions options) {
    TRY_ASSIGN(Descriptor socket, bind_socket(host, port));
    const IntakeForm& form = protocol == JaegerDatagram::kCompact ? kCompact : kBinary;
    return std::make_unique<Listener>(std::move(socket), form, parts, std::move(options));
}

}  // namespace spanloom

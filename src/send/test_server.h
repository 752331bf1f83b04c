#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace spanloom::send {

inline void need(bool is_given) {
    if (!is_given) throw std::runtime_error("the test's own server cannot be set up");
}

// A server that does to each connection, one after the other, whatever the test wants.
class RawServer {
  public:
    using Talk = std::function<void(int descriptor, const std::atomic<bool>& stopping)>;

    explicit RawServer(Talk talk) : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address = {};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        need(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
        need(::listen(listener_, 16) == 0);
        need(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
        port = ntohs(address.sin_port);
        thread_ = std::thread([this, talk = std::move(talk)] { serve(talk); });
    }
    ~RawServer() {
        stopping_ = true;
        ::shutdown(listener_, SHUT_RDWR);
        thread_.join();
        ::close(listener_);
    }
    RawServer(const RawServer&) = delete;
    RawServer& operator=(const RawServer&) = delete;

    static void write(int descriptor, std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t n = ::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n <= 0) return;
            bytes.remove_prefix(static_cast<size_t>(n));
        }
    }
    // Until the client has gone or the test is over.
    static void swallow(int descriptor, const std::atomic<bool>& stopping) {
        char buffer[4'096];
        while (!stopping) {
            pollfd waited = {descriptor, POLLIN, 0};
            if (::poll(&waited, 1, 5) > 0 && ::recv(descriptor, buffer, sizeof buffer, 0) <= 0) {
                return;
            }
        }
    }
    std::string url(const std::string& scheme = "http") const {
        return scheme + "://127.0.0.1:" + std::to_string(port);
    }

    uint16_t port = 0;
    std::atomic<int> connections = 0;

  private:
    void serve(const Talk& talk) {
        while (!stopping_) {
            const int descriptor = ::accept(listener_, nullptr, nullptr);
            if (descriptor < 0) return;
            ++connections;
            talk(descriptor, stopping_);
            ::close(descriptor);
        }
    }

    int listener_;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

// A self-signed certificate and its key, as files below a directory of their own.
class Certificate {
  public:
    // `name`: as openssl writes it, such as "IP:127.0.0.1" or "DNS:elsewhere.example".
    explicit Certificate(const std::string& name, int valid_days = 1) {
        char directory[] = "/tmp/spanloom_send_XXXXXX";
        need(mkdtemp(directory) != nullptr);
        directory_ = directory;
        const std::string request = directory_ + "/request.pem";
        run("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test"
            " -addext subjectAltName=" +
            name + " -keyout " + key() + " -out " + request);
        run("openssl x509 -req -copy_extensions copy -days " + std::to_string(valid_days) +
            " -in " + request + " -signkey " + key() + " -out " + certificate());
        std::remove(request.c_str());
    }
    ~Certificate() {
        std::remove(certificate().c_str());
        std::remove(key().c_str());
        std::remove(directory_.c_str());
    }
    Certificate(const Certificate&) = delete;
    Certificate& operator=(const Certificate&) = delete;

    std::string certificate() const { return directory_ + "/certificate.pem"; }
    std::string key() const { return directory_ + "/key.pem"; }

  private:
    static void run(const std::string& command) {
        need(std::system((command + " >/dev/null 2>&1").c_str()) == 0);
    }

    std::string directory_;
};

}  // namespace spanloom::send

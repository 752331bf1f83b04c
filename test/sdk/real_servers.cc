#include "test/sdk/real_servers.h"

#include <chrono>
#include <cstdlib>
#include <stdexcept>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace spanloom::test {
namespace {

using Clock = std::chrono::steady_clock;

// A port that was free a moment ago; the server is started again where somebody else was faster.
uint16_t free_port() {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    bind(listener, reinterpret_cast<sockaddr*>(&address), size);
    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
    close(listener);
    return ntohs(address.sin_port);
}

int run(const std::string& command) {
    return std::system(command.c_str());
}  // NOLINT

// In a group of its own, so that its children end with it.
int spawn(const std::string& command) {
    const int pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        execl("/bin/sh", "sh", "-c", ("exec " + command).c_str(), nullptr);
        _exit(127);
    }
    return pid;
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
        text.replace(at, what.size(), by);
    }
    return text;
}

}  // namespace

ServerProcess::ServerProcess(const char* name) {
    std::string pattern = std::string("/tmp/spanloom-") + name + "-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) {
        throw std::runtime_error("no directory for " + pattern);
    }
    directory_ = pattern;
}

ServerProcess::~ServerProcess() {
    stop();
    run("rm -rf " + directory_);
}

void ServerProcess::stop() {
    if (pid_ > 0) {
        kill(-pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }
}

bool ServerProcess::start(const std::string& command, const std::string& probe) {
    for (int attempt = 0; attempt < 5; ++attempt) {
        port_ = free_port();
        const std::string port = std::to_string(port_);
        pid_ = spawn(replaced(command, "PORT", port));
        const auto deadline = Clock::now() + std::chrono::seconds(30);
        // Neither server tells anybody that it is ready.
        while (waitpid(pid_, nullptr, WNOHANG) == 0 && Clock::now() < deadline) {
            if (run(replaced(probe, "PORT", port) + " >/dev/null 2>&1") == 0) {
                return true;
            }
            poll(nullptr, 0, 20);
        }
        stop();
    }
    return false;
}

PostgresServer::PostgresServer() : ServerProcess("postgres") {
    const std::string binaries = "$(ls -d /usr/lib/postgresql/*/bin | tail -1)/";
    // It refuses to run as root.
    const std::string as_user =
        getuid() == 0 ? "setpriv --reuid=postgres --regid=postgres --clear-groups " : "";
    if (getuid() == 0) {
        run("chown postgres " + directory_);
    }
    if (run("cd " + directory_ + " && " + as_user + binaries +
            "initdb -D data -U postgres -A trust -E UTF8 --no-sync >initdb.log 2>&1") != 0) {
        throw std::runtime_error("initdb failed: install postgresql");
    }
    const std::string server =
        as_user + binaries + "postgres -D " + directory_ + "/data -p PORT -k " + directory_ +
        " -c listen_addresses=127.0.0.1 -c fsync=off >" + directory_ + "/server.log 2>&1";
    if (!start(server, binaries + "pg_isready -q -h 127.0.0.1 -p PORT -U postgres")) {
        throw std::runtime_error("postgres did not start");
    }
}

std::string PostgresServer::connection_string() const {
    return "host=127.0.0.1 dbname=postgres user=postgres port=" + std::to_string(port_);
}

RedisServer::RedisServer() : ServerProcess("redis") {
    if (!start("redis-server --bind 127.0.0.1 --port PORT --save '' --appendonly no --dir " +
                   directory_ + " >" + directory_ + "/server.log 2>&1",
               "redis-cli -h 127.0.0.1 -p PORT ping 2>/dev/null | grep -q PONG")) {
        throw std::runtime_error("redis-server did not start: install redis-server");
    }
}

}  // namespace spanloom::test

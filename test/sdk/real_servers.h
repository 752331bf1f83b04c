#pragma once

#include <cstdint>
#include <string>

namespace spanloom::test {

// A program that runs while this lives, with a directory of its own.
class ServerProcess {
  public:
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;

    uint16_t port() const { return port_; }
    const std::string& directory() const { return directory_; }
    void stop();

  protected:
    explicit ServerProcess(const char* name);
    ~ServerProcess();
    // Starts it on ports it is told, until it has one for itself. False where it ends each time.
    bool start(const std::string& command, const std::string& probe);

    std::string directory_;
    uint16_t port_ = 0;
    int pid_ = 0;
};

// PostgreSQL of the system, on 127.0.0.1 and an empty database "postgres" of user "postgres".
class PostgresServer : public ServerProcess {
  public:
    PostgresServer();
    std::string connection_string() const;
};

// Redis of the system, on 127.0.0.1, without persistence.
class RedisServer : public ServerProcess {
  public:
    RedisServer();
};

}  // namespace spanloom::test

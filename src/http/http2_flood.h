#pragma once

#include <cstdint>

namespace spanloom::http {

// Tells an HTTP/2 client that keeps us busy for nothing from one that works: frames that carry no
// payload, and streams reset before their answer, take from two buckets that fill with time and
// with useful traffic. One connection, one thread.
class Http2Flood {
  public:
    explicit Http2Flood(uint64_t now_ns) : last_ns_(now_ns) {}

    // False: too many. PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, unknown types.
    bool control_frame(uint64_t now_ns);
    // False: too many (CVE-2023-44487, Rapid Reset).
    bool reset_stream(uint64_t now_ns);
    void request_done();
    void sent(uint64_t bytes);

  private:
    void refill(uint64_t now_ns);

    uint64_t last_ns_;
    double control_tokens_ = kControlBurst;
    double reset_tokens_ = kResetBurst;

    static constexpr double kControlBurst = 2'000;
    static constexpr double kControlPerSecond = 200;
    static constexpr double kControlPerRequest = 8;
    // A client gives credit for what it reads, at worst frame by frame.
    static constexpr double kControlPerSentByte = 1.0 / 4'096;
    static constexpr double kResetBurst = 1'000;
    static constexpr double kResetPerSecond = 33;
};

}  // namespace spanloom::http

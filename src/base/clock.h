#pragma once

#include <atomic>
#include <cstdint>

namespace spanloom {

// Time, handed in wherever it is needed so that tests own it. Thread-safe.
class Clock {
  public:
    virtual ~Clock() = default;
    virtual uint64_t wall_ns() const = 0;       // since 1970, UTC; may jump
    virtual uint64_t monotonic_ns() const = 0;  // never goes back; for durations and deadlines
};

class SystemClock final : public Clock {
  public:
    uint64_t wall_ns() const override;
    uint64_t monotonic_ns() const override;
};

// Stands still until it is told otherwise.
class ManualClock final : public Clock {
  public:
    explicit ManualClock(uint64_t wall_ns) : wall_ns_(wall_ns), monotonic_ns_(1'000'000'000) {}
    uint64_t wall_ns() const override { return wall_ns_; }
    uint64_t monotonic_ns() const override { return monotonic_ns_; }
    void advance(uint64_t ns) {
        wall_ns_ += ns;
        monotonic_ns_ += ns;
    }
    void set_wall(uint64_t ns) { wall_ns_ = ns; }

  private:
    std::atomic<uint64_t> wall_ns_;
    std::atomic<uint64_t> monotonic_ns_;
};

}  // namespace spanloom

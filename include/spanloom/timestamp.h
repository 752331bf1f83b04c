#pragma once

#include <cstdint>
#include <type_traits>

// Times in nanoseconds, without <chrono> (half a second of compile time in C++20): each type is
// made from any std::chrono duration or time_point where one is handed in.
namespace spanloom {

// A length of time. Never negative.
struct Duration {
    uint64_t ns = 0;

    constexpr Duration() noexcept = default;
    // Any std::chrono::duration: `provider.force_flush(2s)`.
    template <typename D, typename = typename D::period, typename = typename D::rep>
    constexpr Duration(const D& duration) noexcept : ns(convert(duration)) {}
    static constexpr Duration from_ns(uint64_t ns) noexcept {
        Duration duration;
        duration.ns = ns;
        return duration;
    }
    static constexpr Duration from_ms(uint64_t ms) noexcept { return from_ns(ms * 1'000'000); }

  private:
    template <typename D>
    static constexpr uint64_t convert(const D& duration) noexcept {
        constexpr auto per_second = static_cast<uint64_t>(D::period::den);
        constexpr uint64_t ns_numerator = 1'000'000'000U * static_cast<uint64_t>(D::period::num);
        if (duration.count() <= 0) return 0;
        if constexpr (std::is_integral<typename D::rep>::value && ns_numerator % per_second == 0) {
            constexpr uint64_t factor = ns_numerator / per_second;
            const auto count = static_cast<uint64_t>(duration.count());
            return count > UINT64_MAX / factor ? UINT64_MAX : count * factor;
        } else {
            const double ns = static_cast<double>(duration.count()) *
                              (static_cast<double>(ns_numerator) / static_cast<double>(per_second));
            return ns >= 1.8e19 ? UINT64_MAX : static_cast<uint64_t>(ns);
        }
    }
};

// A point in wall time, since 1970 UTC; zero stands for "now".
struct Timestamp {
    uint64_t unix_ns = 0;

    constexpr Timestamp() noexcept = default;
    // Any time_point of std::chrono::system_clock.
    template <typename T, typename = typename T::clock, typename D = typename T::duration>
    constexpr Timestamp(const T& time) noexcept : unix_ns(Duration(time.time_since_epoch()).ns) {
        static_assert(!T::clock::is_steady, "a time since 1970: use std::chrono::system_clock");
    }
    static constexpr Timestamp from_unix_ns(uint64_t ns) noexcept {
        Timestamp time;
        time.unix_ns = ns;
        return time;
    }
    constexpr bool is_now() const noexcept { return unix_ns == 0; }
};

// The moment by which a call returns, in monotonic time.
class Deadline {
  public:
    // From now on: `force_flush(2s)`.
    Deadline(Duration duration) noexcept;
    template <typename D, typename = typename D::period, typename = typename D::rep>
    Deadline(const D& duration) noexcept : Deadline(Duration(duration)) {}
    static Deadline at_monotonic_ns(uint64_t ns) noexcept { return Deadline(ns, 0); }

    uint64_t monotonic_ns() const noexcept { return monotonic_ns_; }
    Duration left() const noexcept;
    bool has_passed() const noexcept { return left().ns == 0; }

  private:
    Deadline(uint64_t ns, int) noexcept : monotonic_ns_(ns) {}
    uint64_t monotonic_ns_;
};

}  // namespace spanloom

#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spanloom {

// Only grows. Thread-safe.
class Counter {
  public:
    void add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
    uint64_t value() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<uint64_t> value_ = 0;
};

using Labels = std::vector<std::pair<std::string, std::string>>;

// The value of a label between its quotes, as the text format writes it.
void append_label_value(std::string& out, std::string_view value);

// spanloom's own state as Prometheus text (exposition format 0.0.4). Counters live as long as the
// registry; gauges are functions asked at each rendering. Thread-safe; registration takes a lock,
// counting does not.
class MetricsRegistry {
  public:
    // Name without the "spanloom_" prefix. The same name and labels give the same counter.
    Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
    void gauge(std::string_view name, std::string_view help, std::function<double()> read,
               Labels labels = {});
    std::string render() const;
    // The sum of a counter over all its labels; 0 where there is none of that name.
    uint64_t total(std::string_view name) const;

  private:
    struct Series {
        std::string labels;
        Counter counter;
        std::function<double()> read;
    };
    struct Family {
        std::string name;
        std::string help;
        bool is_counter = true;
        std::deque<Series> series;
    };
    Family& family(std::string_view name, std::string_view help, bool is_counter);

    mutable std::mutex mutex_;
    std::deque<Family> families_;
};

}  // namespace spanloom

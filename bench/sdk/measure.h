#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <time.h>

// What the programs of ./dev bench sdk measure with. One thread.
namespace bench {

constexpr int kRepeats = 7;
constexpr uint64_t kTurns = 200'000;

inline double cpu_ns(clockid_t clock) {
    timespec time = {};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// The compiler must take it for used, and for changed.
template <typename T>
void consume(T& value) {
    asm volatile("" : : "r"(&value) : "memory");
}

// Attributes' values as a program has them: made at run time, of usual lengths, the same for every
// rival.
struct Texts {
    std::string user, route, address, pod;
};

inline std::vector<Texts> make_texts() {
    std::vector<Texts> all;
    for (int i = 0; i < 1024; ++i) {
        const std::string n = std::to_string(i);
        all.push_back({"user-" + n, "/api/v1/items/" + n, "10.0.0." + n, "pod-" + n});
    }
    return all;
}

// Figures by their names, in the order in which they were taken.
class Report {
  public:
    // Names on the command line choose what is measured; none: all.
    Report(int argc, char** argv) : wanted_(argv + 1, argv + argc) {}

    bool wants(std::string_view name) const {
        return wanted_.empty() || std::find(wanted_.begin(), wanted_.end(), name) != wanted_.end();
    }
    void set(std::string name, double value) { figures_.emplace_back(std::move(name), value); }
    // Nanoseconds of the calling thread that one turn takes: the median of some repetitions.
    template <typename Turn>
    void time(const char* name, Turn turn) {
        if (!wants(name)) return;
        for (uint64_t i = 0; i < kTurns / 10; ++i)
            turn(i);
        std::vector<double> all;
        for (int repeat = 0; repeat < kRepeats; ++repeat) {
            const double from = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
            for (uint64_t i = 0; i < kTurns; ++i)
                turn(i);
            all.push_back((cpu_ns(CLOCK_THREAD_CPUTIME_ID) - from) / kTurns);
        }
        std::sort(all.begin(), all.end());
        set(name, all[kRepeats / 2]);
    }
    void print() const {
        const char* comma = "{";
        for (const auto& [name, value] : figures_) {
            std::printf("%s\"%s\":%.2f", comma, name.c_str(), value);
            comma = ",";
        }
        std::printf("%s\n", figures_.empty() ? "{}" : "}");
    }

  private:
    std::vector<std::string> wanted_;
    std::vector<std::pair<std::string, double>> figures_;
};

}  // namespace bench

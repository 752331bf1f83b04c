#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "otlp/batch.h"

namespace spanloom {

// What a service may send in a second, over a few seconds; 0: no limit.
struct ServiceQuota {
    std::string service;  // "*": each one that has none of its own
    uint64_t spans_per_s = 0;
    uint64_t bytes_per_s = 0;
};

// "checkout 5000 spans/s", "checkout 2MiB/s", "* 10000 spans/s": as the configuration writes it.
Result<ServiceQuota> parse_quota(std::string_view text);

// Lets the spans of each service.name in up to its quota. While the store says that it is under
// pressure, a service that sends far more than the others' mean waits, so that it cannot push them
// out. Services are counted one by one up to kServicesMax, and as one beyond. Thread-safe.
class ServiceQuotas {
  public:
    // `pressure`: how full the store's buffers are, from 0 to 1; asked for each request.
    ServiceQuotas(std::vector<ServiceQuota> quotas, std::function<double()> pressure,
                  const Clock& clock, MetricsRegistry& metrics);

    struct Verdict {
        std::vector<bool> is_refused;  // by resource of the batch; empty: nothing is
        uint64_t spans = 0;            // refused
        bool is_whole = false;         // all of the batch
        std::string reason;
        uint32_t retry_after_s = 0;
    };
    // Counts what is let in.
    Verdict judge(const Batch& batch);

  private:
    static constexpr size_t kServicesMax = 1'000;
    static constexpr uint64_t kBurst_s = 2;    // of a quota that may be used at once
    static constexpr double kPressure = 0.75;  // from here on shares are looked at
    static constexpr uint64_t kWindowNs = 5'000'000'000;
    static constexpr uint64_t kFairTimes = 2;  // of the mean that one may send

    struct Bucket {
        double spans = 0;  // that may come at once
        double bytes = 0;
        uint64_t filled_ns = 0;
        uint64_t window_bytes = 0;  // let in during this window
        uint64_t last_bytes = 0;    // and the one before
        const ServiceQuota* quota = nullptr;
        Counter* refused = nullptr;
    };

    Bucket& bucket(std::string_view service, uint64_t now_ns);
    const ServiceQuota* quota_of(std::string_view service) const;
    void refill(Bucket& bucket, uint64_t now_ns) const;
    void turn_window(uint64_t now_ns);
    bool is_over_share(const Bucket& bucket) const;

    const std::vector<ServiceQuota> quotas_;
    const std::function<double()> pressure_;
    const Clock& clock_;
    MetricsRegistry& metrics_;
    std::mutex mutex_;
    std::map<std::string, Bucket, std::less<>> services_;
    std::set<std::string, std::less<>> counted_;  // by name, for as long as the program runs
    uint64_t window_ns_ = 0;
    uint64_t window_bytes_ = 0;  // of all
    uint64_t last_bytes_ = 0;
    uint64_t last_services_ = 0;  // that sent anything in the window before
};

}  // namespace spanloom

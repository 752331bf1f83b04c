#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/result.h"

// Prometheus remote write 1.0: counts and durations of operations (GET /metrics/red) sent to where
// Prometheus, Mimir, VictoriaMetrics and the like take samples.
namespace spanloom::api {

struct RemoteWriteTarget {
    std::string url;  // "http://127.0.0.1:9090/api/v1/write"
    std::vector<std::pair<std::string, std::string>> headers;
    uint64_t every_ms = 15'000;
};

constexpr size_t kRemoteWriteTargetsMax = 8;

// [{"url", "headers": {"NAME": "VALUE"}, "every": "15s"}]. An error says which member is wrong.
Result<std::vector<RemoteWriteTarget>> parse_remote_write(std::string_view json);
enum class HeaderValues : uint8_t { kShown, kHidden };  // they hold secrets
std::string print_remote_write(const std::vector<RemoteWriteTarget>& targets, HeaderValues values);

// Prometheus's or OpenMetrics' text as WriteRequest messages of at most about `bytes_max` each, all
// samples with one time, exemplars with theirs. What is no sample is left out.
std::vector<std::string> encode_write_requests(std::string_view exposition, int64_t time_ms,
                                               size_t bytes_max);

// Where requests go: a server's answer, or that none came.
class RemoteWriteSender {
  public:
    struct Answer {
        int status = 0;
        uint64_t wait_ms = 0;  // that it asked for
        std::string text;      // why it refused
    };
    virtual ~RemoteWriteSender() = default;
    // `body`: compressed. One thread.
    virtual Result<Answer> post(std::string_view body, uint64_t deadline_ns) = 0;
    virtual void interrupt() {}  // from any thread: ends the call under way, and every later one
};
Result<std::unique_ptr<RemoteWriteSender>> make_remote_write_sender(const RemoteWriteTarget& target,
                                                                    const Clock& clock);

// Takes samples at intervals and sends them, in order, again and again until the server has taken
// or refused them. While it does neither the newest are kept, up to a limit in bytes. step() and
// what it calls are one thread's.
class RemoteWriter {
  public:
    static constexpr size_t kQueueBytesMax = 16U << 20;  // compressed, of one target

    // `scrape`: the exposition. All outlive it.
    RemoteWriter(RemoteWriteTarget target, std::unique_ptr<RemoteWriteSender> sender,
                 std::function<Result<std::string>()> scrape, const Clock& clock,
                 std::unique_ptr<Random> random, MetricsRegistry& metrics,
                 size_t queue_bytes_max = kQueueBytesMax);

    // Does what is due. To be called several times a second.
    void step();
    void interrupt() { sender_->interrupt(); }

  private:
    void take();
    void send();
    void pop();
    void wait_after_failure(uint64_t wait_ms, std::string_view why);

    const RemoteWriteTarget target_;
    const std::unique_ptr<RemoteWriteSender> sender_;
    const std::function<Result<std::string>()> scrape_;
    const Clock& clock_;
    const std::unique_ptr<Random> random_;
    const size_t queue_bytes_max_;
    std::deque<std::string> queue_;
    size_t queue_bytes_ = 0;
    uint64_t due_ns_ = 0;    // monotonic
    uint64_t retry_ns_ = 0;  // not before
    uint32_t failures_ = 0;  // one after the other
    Counter& sent_;
    Counter& dropped_;
    Counter& refused_;
    Counter& retries_;
    Counter& scrape_failures_;
};

}  // namespace spanloom::api

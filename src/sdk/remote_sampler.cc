#include "sdk/remote_sampler.h"

#include <utility>

#include <sched.h>

#include "sdk/span_record.h"

namespace spanloom::sdk {
namespace {

constexpr uint64_t kFetchNs = 10'000'000'000;
constexpr double kInitialProbability = 0.001;  // as Jaeger's own clients have it

uint64_t current_fork() noexcept {
    return detail::fork_number.load(std::memory_order_relaxed);
}

}  // namespace

RemoteSampler::RemoteSampler(RemoteSamplerOptions options, std::unique_ptr<StrategySource> source,
                             const Clock& clock, bool has_thread)
    : options_(std::move(options)), clock_(clock), source_(std::move(source)) {
    if (options_.initial == nullptr)
        options_.initial = make_probability_sampler(kInitialProbability);
    if (!has_thread) thread_fork_ = current_fork();
    if (source_ != nullptr) return;
    auto made = make_http_strategy_source(options_.endpoint, clock_);
    // An endpoint that is none: the initial sampler stays.
    if (made) {
        source_ = *std::move(made);
    } else {
        thread_fork_ = current_fork();
    }
}

RemoteSampler::~RemoteSampler() {
    if (poller_ == nullptr) return;
    if (thread_fork_ != current_fork()) {
        // It runs in the parent process; here there is only its handle.
        (void)poller_.release();
        return;
    }
    {
        const std::lock_guard lock(poller_->mutex);
        poller_->is_stopping = true;
    }
    poller_->stopping.notify_one();
    source_->interrupt();
    poller_->thread.join();
}

SamplingResult RemoteSampler::should_sample(const SamplingParameters& parameters) noexcept {
    if (thread_fork_.load(std::memory_order_relaxed) != current_fork()) [[unlikely]]
        start_thread();
    uint32_t index = current_.load();
    while (true) {
        places_[index].readers.fetch_add(1);
        const uint32_t now = current_.load();
        if (now == index) break;
        places_[index].readers.fetch_sub(1);
        index = now;
    }
    SamplingStrategy* strategy = places_[index].strategy.get();
    SamplingResult result = strategy != nullptr ? strategy->decide(parameters)
                                                : options_.initial->should_sample(parameters);
    places_[index].readers.fetch_sub(1, std::memory_order_release);
    return result;
}

void RemoteSampler::replace(std::unique_ptr<SamplingStrategy> strategy) {
    const uint32_t other = 1 - current_.load();
    while (places_[other].readers.load() != 0)
        ::sched_yield();
    places_[other].strategy = std::move(strategy);
    current_.store(other);
}

Result<void> RemoteSampler::poll() {
    TRY_ASSIGN(const std::string answer,
               source_->fetch(options_.service, clock_.monotonic_ns() + kFetchNs));
    TRY_ASSIGN(auto strategy, SamplingStrategy::parse(answer, clock_));
    replace(std::move(strategy));
    return {};
}

void RemoteSampler::start_thread() noexcept {
    // Another thread is at it.
    if (is_starting_.test_and_set(std::memory_order_acquire)) return;
    if (thread_fork_ != current_fork()) {
        try {
            if (poller_ != nullptr) {  // a forked child
                (void)poller_.release();
                source_->after_fork();
            }
            poller_ = std::make_unique<Poller>();
            poller_->thread = std::thread([this, poller = poller_.get()] { run(*poller); });
        } catch (...) {  // no thread to be had: the strategy stays as it is
            poller_.reset();
        }
        thread_fork_ = current_fork();
    }
    is_starting_.clear(std::memory_order_release);
}

void RemoteSampler::run(Poller& poller) {
    std::unique_lock lock(poller.mutex);
    while (!poller.is_stopping) {
        lock.unlock();
        // What failed is tried again next time; the last strategy stays in force.
        (void)poll();
        lock.lock();
        poller.stopping.wait_for(lock, std::chrono::nanoseconds(options_.polling_interval.ns),
                                 [&poller] { return poller.is_stopping; });
    }
}

std::string RemoteSampler::description() const {
    return "JaegerRemoteSampler{endpoint=" + options_.endpoint + ",service=" + options_.service +
           ",initial=" + options_.initial->description() + "}";
}

}  // namespace spanloom::sdk

namespace spanloom {

std::shared_ptr<Sampler> make_jaeger_remote_sampler(RemoteSamplerOptions options) {
    static const SystemClock clock;
    return std::make_shared<sdk::RemoteSampler>(std::move(options), nullptr, clock);
}

}  // namespace spanloom

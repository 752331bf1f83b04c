#include "sampling/forwarder.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <pthread.h>

#include "base/log.h"

namespace spanloom::sampling {
namespace {

constexpr const char* kTenant = "default";
constexpr size_t kArrivedBytesMax = 64U << 20;  // of segments in memory that wait to be looked at
constexpr uint64_t kStepMsMin = 250;
constexpr uint64_t kStepMsMax = 500;  // traces are decided about each second
constexpr uint64_t kStepsPerArrival = 8;
constexpr uint64_t kTellFailureNs = 10'000'000'000;
// Under load: the later, the less it costs to store what arrives.
constexpr uint64_t kArrivesWithinMsMax = 5'000;

}  // namespace

Forwarder::Forwarder(Parts parts)
    : parts_(std::move(parts)),
      missed_segments_(parts_.metrics.counter(
          "forward_missed_segments_total",
          "Segments that were looked up in the store later, because too many arrived at once.")),
      failures_(parts_.metrics.counter("forward_failures_total",
                                       "Steps of forwarding that failed, to be tried again.")) {}

Result<std::unique_ptr<Forwarder>> Forwarder::start(std::vector<ForwardOptions> targets,
                                                    Parts parts, ForwardTarget::Limits limits) {
    std::unique_ptr<Forwarder> forwarder(new Forwarder(std::move(parts)));
    Parts& own = forwarder->parts_;
    std::vector<Error> errors;
    auto make_sender = own.make_sender;
    if (!make_sender) {
        make_sender = [&, self = forwarder.get()](const ForwardOptions& options) {
            auto sender = make_otlp_sender(options, own.clock, [self] { self->wake(); });
            if (!sender) errors.push_back(std::move(sender).error());
            return sender ? std::move(*sender) : nullptr;
        };
    }
    uint64_t arrives_within_ms = kArrivesWithinMsMax;
    for (ForwardOptions& options : targets) {
        const std::string name = options.name;
        arrives_within_ms = std::min(arrives_within_ms, options.wait_ms / 2);
        Result<std::unique_ptr<ForwardTarget>> target = ForwardTarget::open(
            std::move(options),
            {own.store, own.io, own.clock, own.random, own.metrics, make_sender}, limits);
        if (target && errors.empty()) {
            forwarder->targets_.push_back(std::move(*target));
            continue;
        }
        const Error& error = target ? errors.front() : target.error();
        return fail(error.code, "forward '{}': {}", name, error.message);
    }
    if (forwarder->targets_.empty()) return forwarder;
    forwarder->step_ms_ = std::clamp(arrives_within_ms / kStepsPerArrival, kStepMsMin, kStepMsMax);
    own.store.watch_arrivals(
        [self = forwarder.get()](const auto& tenant, const auto& segment) {
            self->take(tenant, segment);
        },
        arrives_within_ms);
    // Nothing of this has arrived by the watch.
    own.store.snapshot_with_watch(kTenant, [&] {
        const std::lock_guard lock(forwarder->mutex_);
        forwarder->arrived_.clear();
        forwarder->arrived_bytes_ = 0;
        forwarder->has_missed_ = true;
    });
    forwarder->step();
    if (own.background == Background::kThreads)
        forwarder->thread_ = std::thread([self = forwarder.get()] { self->run(); });
    return forwarder;
}

Forwarder::~Forwarder() {
    if (!targets_.empty()) parts_.store.watch_arrivals(nullptr, 0);
    {
        const std::lock_guard lock(mutex_);
        stops_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
    targets_.clear();  // their threads still wake this one
}

void Forwarder::take(const std::string& tenant,
                     const std::shared_ptr<const store::Segment>& segment) {
    if (tenant != kTenant) return;
    const std::lock_guard lock(mutex_);
    if (has_missed_) return;  // it will be looked up anyway
    if (arrived_bytes_ + segment->memory_bytes() > kArrivedBytesMax) {
        missed_segments_.add(arrived_.size() + 1);
        has_missed_ = true;
        arrived_.clear();
        arrived_bytes_ = 0;
        return;
    }
    arrived_.push_back(segment);
    arrived_bytes_ += segment->memory_bytes();
}

bool Forwarder::step() {
    std::vector<std::shared_ptr<const store::Segment>> arrived;
    std::vector<std::shared_ptr<const store::Segment>> recent;
    bool has_missed = false;
    const auto segments = parts_.store.snapshot_with_watch(kTenant, [&] {
        const std::lock_guard lock(mutex_);
        arrived = std::exchange(arrived_, {});
        arrived_bytes_ = 0;
        has_missed = std::exchange(has_missed_, false);
        if (has_missed) recent = parts_.store.recent(kTenant);
    });
    bool has_moved = false;
    for (const auto& target : targets_) {
        const auto one = [&]() -> Result<void> {
            if (has_missed) TRY(target->catch_up(recent));
            for (const auto& segment : arrived)
                target->arrive(segment);
            TRY_ASSIGN(const bool moved, target->work(segments));
            has_moved |= moved;
            return {};
        };
        const Result<void> done = one();
        if (done) continue;
        if (has_missed) {
            const std::lock_guard lock(mutex_);
            has_missed_ = true;
        }
        failures_.add();
        const uint64_t now_ns = parts_.clock.monotonic_ns();
        if (failed_ns_ == 0 || now_ns > failed_ns_ + kTellFailureNs) {
            failed_ns_ = now_ns;
            log::error("forward '{}': {}; it is tried again", target->state().name,
                       done.error().message);
        }
    }
    return has_moved;
}

void Forwarder::wake() {
    {
        const std::lock_guard lock(mutex_);
        is_woken_ = true;
    }
    wake_.notify_one();
}

// Arrivals are taken in together; only a target's answer is waited for.
void Forwarder::run() {
    pthread_setname_np(pthread_self(), "forward");
    while (true) {
        {
            std::unique_lock lock(mutex_);
            wake_.wait_for(lock, std::chrono::milliseconds(step_ms_),
                           [&] { return stops_ || is_woken_; });
            if (stops_) return;
            is_woken_ = false;
        }
        step();
    }
}

std::vector<ForwardState> Forwarder::states() const {
    std::vector<ForwardState> states;
    for (const auto& target : targets_)
        states.push_back(target->state());
    return states;
}

Result<std::vector<Forwarding>> Forwarder::explain(const TraceId& id) const {
    std::vector<Forwarding> all;
    TRY_ASSIGN(std::vector<std::string> names, parts_.io.list("forward"));
    for (const auto& target : targets_) {
        const ForwardState state = target->state();
        std::erase(names, state.name);
        // Asked first: what is decided about meanwhile is in the journal by then.
        const bool is_held = target->holds(id);
        TRY_ASSIGN(std::vector<Forwarding> found, find_forwarded(parts_.io, state.name, id));
        for (Forwarding& one : found) {
            const bool is_new = one.state == Forwarding::State::kUnknown;
            if (is_held && is_new) one.state = Forwarding::State::kHeld;
            if (one.state == Forwarding::State::kWaiting) one.problem = state.problem;
            all.push_back(std::move(one));
        }
    }
    for (const std::string& name : names) {
        TRY_ASSIGN(std::vector<Forwarding> found, find_forwarded(parts_.io, name, id));
        for (Forwarding& one : found)
            if (one.state >= Forwarding::State::kWaiting) all.push_back(std::move(one));
    }
    return all;
}

}  // namespace spanloom::sampling

#include "sdk/batch_drain.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include <pthread.h>

#include "sdk/background_thread.h"
#include "sdk/provider_core.h"
#include "sdk/tick_clock.h"

namespace spanloom::sdk {
namespace {

// Servers refuse gRPC messages over 4 MiB unless told otherwise; half of it leaves room for all
// that is not spans.
constexpr size_t kBatchBytesMax = size_t{2} << 20;
// While spans come in masses the thread looks again after this long, and nobody need wake it.
constexpr uint64_t kBusyNapNs = 10'000'000;
constexpr uint64_t kFirstCalibrationNs = 25'000'000;
constexpr uint64_t kCalibrationNs = 1'000'000'000;
constexpr uint32_t kTellEveryMax = 64;

uint64_t monotonic_ns() noexcept {
    return system_ns(CLOCK_MONOTONIC);
}

std::chrono::steady_clock::time_point time_point_of(uint64_t monotonic_ns) noexcept {
    const uint64_t bounded = std::min<uint64_t>(monotonic_ns, INT64_MAX);
    return std::chrono::steady_clock::time_point(
        std::chrono::nanoseconds(static_cast<int64_t>(bounded)));
}

void count_one(std::atomic<uint64_t>& count) noexcept {
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

BatchOptions with_defaults(BatchOptions options) {
    const BatchOptions defaults;
    if (options.export_batch_max == 0) options.export_batch_max = defaults.export_batch_max;
    if (options.queue_bytes_max == 0) options.queue_bytes_max = defaults.queue_bytes_max;
    if (options.export_timeout.ns == 0) options.export_timeout = defaults.export_timeout;
    if (options.queue_spans_max != 0)
        options.export_batch_max = std::min(options.export_batch_max, options.queue_spans_max);
    return options;
}

}  // namespace

void OutgoingBatch::add(const void* tracer, std::string_view message) {
    if (last_ >= used_ || groups_[last_].tracer != tracer) {
        for (last_ = 0; last_ < used_ && groups_[last_].tracer != tracer;)
            ++last_;
        if (last_ == used_) {
            if (used_ == groups_.size()) groups_.emplace_back();
            groups_[used_++].tracer = tracer;
        }
    }
    Group& group = groups_[last_];
    group.spans.push_back(message);
    group.bytes += message.size();
    ++span_count_;
    span_bytes_ += message.size();
}

void OutgoingBatch::for_each_resource(FunctionRef<void(const SpanBatch&)> visit) {
    for (size_t first = 0; first < used_; ++first) {
        const auto source_of = [&](size_t i) -> const SpanSource& {
            return static_cast<const detail::TracerCore*>(groups_[i].tracer)->source;
        };
        const Resource* resource = source_of(first).resource;
        bool is_done = false;
        for (size_t i = 0; i < first; ++i)
            is_done = is_done || source_of(i).resource == resource;
        if (is_done) continue;
        if (resource != resource_) {
            resource_ = resource;
            encoded_resource_ = resource->encode();
        }
        views_.clear();
        SpanBatch batch{encoded_resource_, resource->schema_url(), nullptr, 0, 0, 0};
        for (size_t i = first; i < used_; ++i) {
            const SpanSource& source = source_of(i);
            if (source.resource != resource) continue;
            const Group& group = groups_[i];
            views_.push_back(
                {source.scope, source.scope_schema_url, group.spans.data(), group.spans.size()});
            batch.span_count += group.spans.size();
            batch.span_bytes += group.bytes;
        }
        batch.groups = views_.data();
        batch.group_count = views_.size();
        visit(batch);
    }
}

void OutgoingBatch::clear() noexcept {
    for (size_t i = 0; i < used_; ++i) {
        groups_[i].spans.clear();
        groups_[i].bytes = 0;
    }
    used_ = last_ = 0;
    span_count_ = span_bytes_ = 0;
}

BatchDrain::BatchDrain(std::shared_ptr<SpanExporter> exporter, const BatchOptions& options,
                       bool has_thread)
    : exporter_(std::move(exporter)),
      options_(with_defaults(options)),
      owner_(detail::next_owner()),
      tell_every_(std::clamp(options_.export_batch_max / 4, 1U, kTellEveryMax)),
      pool_(options_.queue_bytes_max),
      is_thread_started_(!has_thread) {
    next_full_ns_ = monotonic_ns() + options_.schedule_delay.ns;
    next_calibration_ns_ = monotonic_ns() + (tick_clock.is_calibrated() ? kCalibrationNs : 0);
}

void BatchDrain::add(const void* tracer, std::string_view message) noexcept {
    SpanQueue* to = queue();
    if (to == nullptr) return;
    count_one(to->received);
    if (is_stopping_.load(std::memory_order_relaxed)) [[unlikely]]
        return count_one(to->dropped_after_shutdown);
    const bool is_counted = options_.queue_spans_max != 0;
    if (is_counted &&
        waiting_.fetch_add(1, std::memory_order_relaxed) >= options_.queue_spans_max) {
        waiting_.fetch_sub(1, std::memory_order_relaxed);
        return count_one(to->dropped_queue_full);
    }
    const SpanQueue::Push pushed = to->push(pool_, tracer, message);
    ++to->untold;
    if (pushed == SpanQueue::Push::kDone && to->untold < tell_every_) [[likely]]
        return;
    if (pushed == SpanQueue::Push::kFull) count_one(to->dropped_queue_full);
    if (pushed == SpanQueue::Push::kTooBig) count_one(to->dropped_too_big);
    if (is_counted && pushed >= SpanQueue::Push::kFull)
        waiting_.fetch_sub(1, std::memory_order_relaxed);
    tell(*to);
}

void BatchDrain::tell(SpanQueue& queue) noexcept {
    const uint64_t told = told_.fetch_add(queue.untold, std::memory_order_seq_cst) + queue.untold;
    queue.untold = 0;
    const bool is_batch_full = told >= options_.export_batch_max;
    if (is_batch_full && is_listening_.load(std::memory_order_seq_cst)) {
        is_listening_.store(false, std::memory_order_relaxed);
        event_.wake();
        return;
    }
    const bool is_half_full = pool_.is_half_full() || (options_.queue_spans_max != 0 &&
                                                       waiting_.load(std::memory_order_relaxed) >
                                                           options_.queue_spans_max / 2);
    if (is_half_full && !is_rushed_.load(std::memory_order_relaxed) && !is_rushed_.exchange(true))
        event_.wake();
}

SpanQueue* BatchDrain::find_queue(detail::ThreadState& thread,
                                  detail::ThreadState::Local& local) noexcept {
    try {
        const std::lock_guard lock(mutex_);
        auto found = std::find_if(queues_.begin(), queues_.end(),
                                  [&](const SpanQueue& q) { return q.thread() == &thread; });
        SpanQueue* queue = found != queues_.end() ? &*found : &queues_.emplace_back(&thread);
        local = {owner_, queue};
        if (!is_thread_started_ && !is_stop_wanted_) start_thread();
        return queue;
    } catch (...) {  // out of memory
        return nullptr;
    }
}

// With the mutex held.
void BatchDrain::start_thread() noexcept {
    try {
        thread_ = start_background_thread([self = shared_from_this()] { self->run(); });
        is_thread_started_ = true;
    } catch (const std::system_error&) {
        // No thread to be had now; the next queue or flush tries again. Spans wait in their budget.
    }
}

bool BatchDrain::force_flush(Deadline deadline) noexcept {
    std::unique_lock lock(mutex_);
    if (!is_thread_started_ && !queues_.empty()) start_thread();
    if (is_stop_wanted_ || queues_.empty()) return true;
    if (!is_thread_started_) return false;
    const uint64_t wanted = ++flushes_wanted_;
    deadline_ns_ = std::min(deadline_ns_, deadline.monotonic_ns());
    event_.wake();
    const bool is_done = done_.wait_until(lock, time_point_of(deadline.monotonic_ns()),
                                          [&] { return flushes_done_ >= wanted || is_stopped_; });
    return is_done && is_flush_clean_;
}

bool BatchDrain::shutdown(Deadline deadline) noexcept {
    std::unique_lock lock(mutex_);
    if (is_stop_wanted_) return true;
    is_stop_wanted_ = true;
    is_stopping_.store(true, std::memory_order_relaxed);
    deadline_ns_ = std::min(deadline_ns_, deadline.monotonic_ns());
    if (!is_thread_started_) {
        is_stopped_ = true;
        const bool is_empty = queues_.empty();
        lock.unlock();
        return call_punctually([to = exporter_, deadline] { return to->shutdown(deadline); },
                               deadline) &&
               is_empty;
    }
    event_.wake();
    const bool is_done =
        done_.wait_until(lock, time_point_of(deadline.monotonic_ns()), [&] { return is_stopped_; });
    if (is_done) {
        lock.unlock();
        if (thread_.get_id() == std::this_thread::get_id()) {
            thread_.detach();
        } else {
            thread_.join();
        }
        return is_stop_clean_;
    }
    // The exporter is stuck. What it has not taken by now counts as dropped, whatever it says
    // later.
    is_abandoned_ = true;
    thread_.detach();
    lock.unlock();
    // Its shutdown may well block, too.
    return call_punctually(
        [to = exporter_] {
            to->shutdown(Duration::from_ms(0));
            return false;
        },
        Duration::from_ms(0));
}

ProcessorStats BatchDrain::stats() const noexcept {
    ProcessorStats stats;
    const std::lock_guard lock(mutex_);
    for (const SpanQueue& queue : queues_) {
        stats.dropped_queue_full += queue.dropped_queue_full.load(std::memory_order_relaxed);
        stats.dropped_too_big += queue.dropped_too_big.load(std::memory_order_relaxed);
        stats.dropped_after_shutdown +=
            queue.dropped_after_shutdown.load(std::memory_order_relaxed);
    }
    for (const SpanQueue& queue : queues_)
        stats.received += queue.received.load(std::memory_order_relaxed);
    stats.exported = exported_;
    stats.rejected = rejected_;
    stats.failed = failed_;
    const uint64_t known = stats.dropped_queue_full + stats.dropped_too_big +
                           stats.dropped_after_shutdown + stats.exported + stats.rejected +
                           stats.failed;
    const uint64_t rest = stats.received > known ? stats.received - known : 0;
    (is_stopped_ || is_abandoned_ ? stats.dropped_at_shutdown : stats.queued) = rest;
    stats.queue_bytes = pool_.used_bytes();
    stats.queue_bytes_max = pool_.bytes_max();
    return stats;
}

void BatchDrain::run() noexcept {
    pthread_setname_np(pthread_self(), "spanloom-export");
    const Scope silent(Context().with_suppression());
    next_full_ns_ = monotonic_ns() + options_.schedule_delay.ns;
    for (Nap nap = turn(monotonic_ns()); !nap.is_last; nap = turn(monotonic_ns()))
        sleep(nap);
    uint64_t deadline_ns = 0;
    {
        const std::lock_guard lock(mutex_);
        deadline_ns = deadline_ns_;
    }
    const bool is_clean = exporter_->shutdown(Deadline::at_monotonic_ns(deadline_ns));
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
    is_stop_clean_ = is_clean && !was_failure_;
    done_.notify_all();
}

BatchDrain::Nap BatchDrain::turn(uint64_t now_ns) noexcept {
    const Round round = begin_round(now_ns);
    const bool is_busy = drain(round.takes_partial);
    answer_flushes(round);
    if (round.is_last) return {now_ns, false, true};
    return nap_after(std::max(now_ns, is_busy ? monotonic_ns() : 0), is_busy);
}

// Whatever was in a queue before a flush was asked for is seen by the round that sees the flush.
BatchDrain::Round BatchDrain::begin_round(uint64_t now_ns) noexcept {
    Round round;
    round.takes_partial = is_rushed_.exchange(false, std::memory_order_relaxed);
    told_.store(0, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    round.is_last = is_stop_wanted_;
    round.flushes = flushes_wanted_;
    known_queues_.resize(queues_.size());
    std::transform(queues_.begin(), queues_.end(), known_queues_.begin(),
                   [](SpanQueue& q) { return &q; });
    const bool is_asked = round.is_last || flushes_wanted_ != flushes_done_;
    round.takes_partial = round.takes_partial || is_asked || now_ns >= next_full_ns_;
    if (round.takes_partial) next_full_ns_ = now_ns + options_.schedule_delay.ns;
    return round;
}

bool BatchDrain::drain(bool takes_partial) noexcept {
    bool is_busy = false;
    for (;;) {
        const bool is_full = gather();
        if (batch_.span_count() == 0 || (!is_full && !takes_partial)) return is_busy;
        export_batch();
        is_busy = true;
        if (!is_full) return true;
    }
}

// Fills the batch from all queues in turn; true where it is full.
bool BatchDrain::gather() noexcept {
    const auto is_full = [this] {
        return batch_.span_count() >= options_.export_batch_max ||
               batch_.span_bytes() >= kBatchBytesMax;
    };
    for (size_t tried = 0; tried < known_queues_.size(); ++tried) {
        SpanQueue* queue = known_queues_[next_queue_ % known_queues_.size()];
        while (!is_full()) {
            const QueuedSpan* span = queue->peek();
            if (span == nullptr) break;
            batch_.add(span->tracer, span->message());
        }
        if (is_full()) return true;
        ++next_queue_;
    }
    return is_full();
}

void BatchDrain::export_batch() noexcept {
    uint64_t deadline_ns = monotonic_ns() + options_.export_timeout.ns;
    {
        const std::lock_guard lock(mutex_);
        deadline_ns = std::min(deadline_ns, deadline_ns_);
    }
    batch_.for_each_resource([&](const SpanBatch& batch) {
        const ExportResult result =
            exporter_->export_spans(batch, Deadline::at_monotonic_ns(deadline_ns));
        const bool is_success = result.status == ExportResult::Status::kSuccess;
        const uint64_t rejected =
            is_success ? std::min<uint64_t>(result.rejected_spans, batch.span_count) : 0;
        const std::lock_guard lock(mutex_);
        if (is_abandoned_) return;
        rejected_ += rejected;
        (is_success ? exported_ : failed_) += batch.span_count - rejected;
        was_failure_ = was_failure_ || !is_success;
    });
    if (options_.queue_spans_max != 0)
        waiting_.fetch_sub(batch_.span_count(), std::memory_order_relaxed);
    batch_.clear();
    for (SpanQueue* queue : known_queues_)
        queue->consume(pool_);
}

void BatchDrain::answer_flushes(const Round& round) noexcept {
    uint64_t deadline_ns = 0;
    {
        const std::lock_guard lock(mutex_);
        if (round.flushes == flushes_done_) return;
        deadline_ns = deadline_ns_;
    }
    const bool is_clean = exporter_->force_flush(Deadline::at_monotonic_ns(deadline_ns));
    const std::lock_guard lock(mutex_);
    flushes_done_ = round.flushes;
    is_flush_clean_ = is_clean && !was_failure_;
    was_failure_ = false;
    if (flushes_wanted_ == flushes_done_ && !is_stop_wanted_) deadline_ns_ = UINT64_MAX;
    done_.notify_all();
}

BatchDrain::Nap BatchDrain::nap_after(uint64_t now_ns, bool was_busy) noexcept {
    if (now_ns >= next_calibration_ns_) {
        tick_clock.calibrate();
        next_calibration_ns_ =
            now_ns + (tick_clock.is_calibrated() ? kCalibrationNs : kFirstCalibrationNs);
    }
    uint64_t until = next_full_ns_;
    if (!tick_clock.is_calibrated()) until = std::min(until, next_calibration_ns_);
    if (was_busy) return {std::min(until, now_ns + kBusyNapNs), false, false};
    pool_.shrink();
    is_listening_.store(true, std::memory_order_seq_cst);
    // What was told before that is seen at once.
    if (told_.load(std::memory_order_seq_cst) >= options_.export_batch_max) until = now_ns;
    return {until, true, false};
}

void BatchDrain::sleep(const Nap& nap) noexcept {
    event_.wait_until(nap.until_ns);
    is_listening_.store(false, std::memory_order_relaxed);
}

}  // namespace spanloom::sdk

#include "store/head_shards.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <pthread.h>

namespace spanloom::store {
namespace {

// How long durable requests may wait for room before others are told to come later.
constexpr auto kStallLook = std::chrono::milliseconds(2000);
constexpr uint32_t kSealSpansMin = 4096;

}  // namespace

HeadShards::Shard::Shard(const HeadShardsOptions& options, HeadShare share)
    : heads(options.segments,
            std::max(options.seal_spans / share.count, std::min(kSealSpansMin, options.seal_spans)),
            options.seed, share, options.cache) {}

HeadShards::HeadShards(HeadShardsOptions options, HeadShardsOwner owner, const Clock& clock,
                       Counter& resends, std::atomic<uint64_t>& queue_bytes)
    : options_(std::move(options)),
      owner_(std::move(owner)),
      clock_(clock),
      resends_(resends),
      queue_bytes_(queue_bytes) {
    const uint32_t count = std::max<uint32_t>(options_.shards, 1);
    for (uint32_t i = 0; i < count; ++i)
        shards_.push_back(std::make_unique<Shard>(options_, HeadShare{i, count}));
}

HeadShards::~HeadShards() {
    let_go();
    stop();
}

void HeadShards::start() {
    has_threads_ = true;
    for (const auto& shard : shards_) {
        shard->thread = std::thread([this, &shard = *shard] { run(shard); });
        pthread_setname_np(shard->thread.native_handle(), "builder");
    }
}

void HeadShards::let_go() {
    const std::lock_guard lock(mutex_);
    is_let_go_ = true;
    queue_room_.notify_all();
    memory_room_.notify_all();
}

void HeadShards::stop() {
    {
        const std::lock_guard lock(mutex_);
        stops_ = true;
        for (const auto& shard : shards_)
            shard->wake.notify_one();
    }
    for (const auto& shard : shards_)
        if (shard->thread.joinable()) shard->thread.join();
    has_threads_ = false;
}

void HeadShards::start_at(LogPosition position) {
    const std::lock_guard lock(mutex_);
    added_end_ = position;
    begun_end_ = position;
}

void HeadShards::notice_room() {
    const std::lock_guard lock(mutex_);
    memory_room_.notify_all();
}

uint64_t HeadShards::memory_bytes() const {
    uint64_t bytes = 0;
    for (const auto& shard : shards_)
        bytes += shard->memory_bytes;
    return bytes;
}

void HeadShards::add(Batch batch, LogPosition end) {
    if (!has_threads_) {
        for (const auto& shard : shards_)
            build(*shard, batch);
        start_at(end);
        return;
    }
    const uint64_t bytes = batch.bytes.size();
    auto request = std::make_shared<Request>();
    request->batch = std::move(batch);
    request->end = end;
    request->shards_left = static_cast<uint32_t>(shards_.size());
    std::unique_lock lock(mutex_);
    // The log waits with its next group: what is acknowledged is soon searchable.
    const auto has_room = [&] { return is_let_go_ || queue_bytes_ < options_.queue_bytes_max; };
    while (!queue_room_.wait_for(lock, kStallLook, has_room)) {
        // Those behind get an answer, too.
        is_stalled_ = true;
        lock.unlock();
        owner_.is_stalled();
        lock.lock();
    }
    is_stalled_ = false;
    queue_bytes_ += bytes;
    added_end_ = end;
    const bool wakes = has_gathered();
    for (const auto& shard : shards_) {
        shard->queue.push_back(request);
        if (wakes || shard->is_idle) shard->wake.notify_one();
    }
}

void HeadShards::run(Shard& shard) {
    // What has not gathered is taken at the next look.
    const auto look =
        std::chrono::milliseconds(std::min(options_.seal_after_ms / 4, options_.gather_ms) + 1);
    std::unique_lock lock(mutex_);
    while (true) {
        if (shard.is_idle)
            shard.wake.wait(lock,
                            [&] { return stops_ || shard.is_to_seal || !shard.queue.empty(); });
        shard.is_idle = false;
        shard.wake.wait_for(lock, look, [&] {
            return stops_ || shard.is_to_seal || (may_take(shard) && has_gathered());
        });
        while (may_take(shard) && !is_due(shard))
            take_one(shard, lock);
        if (shard.since_ns == 0) free_spare(shard);  // little comes
        shard.is_idle = shard.since_ns == 0 && shard.queue.empty();
        if (stops_ && shard.queue.empty() && !shard.is_to_seal) return;
        const bool is_asked = shard.is_to_seal && !may_take(shard);
        if (!is_asked && !is_due(shard)) continue;
        const bool hands_over = is_asked && shard.is_to_hand_over;
        lock.unlock();
        Result<void> sealed = seal_shard(shard, hands_over);
        lock.lock();
        if (!is_asked) continue;
        shard.is_to_seal = false;
        shard.sealed = std::move(sealed);
        sealed_.notify_all();
    }
}

bool HeadShards::may_take(const Shard& shard) const {
    return !shard.queue.empty() && (!is_sealing_ || shard.queue.front()->end <= seal_end_);
}

bool HeadShards::has_gathered() const {
    return queue_bytes_ >= std::min(options_.gather_bytes, options_.queue_bytes_max / 4);
}

bool HeadShards::is_past(uint64_t since_ns, uint64_t ms) const {
    return clock_.monotonic_ns() - since_ns >= ms * 1'000'000;
}

bool HeadShards::is_due(const Shard& shard) const {
    if (shard.since_ns == 0) return false;
    if (!is_past(shard.since_ns, options_.seal_after_ms)) return false;
    const uint64_t unread_ms = owner_.unread_ms();
    // Where nothing more comes, there is time.
    if (unread_ms == 0 || is_past(shard.newest_ns, options_.seal_after_ms)) return true;
    // What is worth a file is left to a flush, unless none comes.
    return is_past(shard.since_ns,
                   shard.spans < options_.file_spans_min ? unread_ms : 2 * unread_ms);
}

bool HeadShards::holds_older(uint64_t age_ms) const {
    return std::any_of(shards_.begin(), shards_.end(), [&](const auto& shard) {
        const uint64_t since_ns = shard->since_ns;
        return since_ns != 0 && is_past(since_ns, age_ms);
    });
}

bool HeadShards::are_worth_a_flush() const {
    const uint64_t unread_ms = owner_.unread_ms();
    if (unread_ms == 0) return false;
    return are_full() || (are_worth_a_file() && holds_older(unread_ms));
}

bool HeadShards::are_worth_a_file() const {
    return std::any_of(shards_.begin(), shards_.end(),
                       [&](const auto& shard) { return shard->spans >= options_.file_spans_min; });
}

bool HeadShards::are_full() const {
    uint64_t spans = 0;
    uint64_t bytes = 0;
    for (const auto& shard : shards_) {
        spans += shard->spans;
        bytes += shard->used_bytes;
    }
    return bytes >= options_.flush_bytes || (are_worth_a_file() && spans >= options_.seal_spans);
}

// The next request of the queue, once there is memory for it: what is sealed stays searchable
// meanwhile.
void HeadShards::take_one(Shard& shard, std::unique_lock<std::mutex>& lock) {
    const auto may_go = [&] { return is_let_go_ || is_sealing_ || owner_.has_memory(); };
    if (!may_go()) {
        owner_.wants_flush();
        memory_room_.wait(lock, may_go);
        if (!may_take(shard)) return;
    }
    RequestRef request = std::move(shard.queue.front());
    shard.queue.pop_front();
    begun_end_ = std::max(begun_end_, request->end);
    if (spare_ && shard.heads.empty()) {
        shard.heads.give_spare(std::move(*spare_));
        spare_.reset();
    }
    lock.unlock();
    build(shard, request->batch);
    const uint64_t bytes = request->batch.bytes.size();
    const bool is_last = --request->shards_left == 0;
    request.reset();
    lock.lock();
    if (!is_last) return;
    queue_bytes_ -= bytes;
    queue_room_.notify_one();
}

void HeadShards::give_back(SegmentBuilder rows) {
    const std::lock_guard lock(mutex_);
    spare_ = std::move(rows);
}

void HeadShards::build(Shard& shard, const Batch& batch) {
    shard.newest_ns = clock_.monotonic_ns();
    if (shard.since_ns == 0) shard.since_ns = shard.newest_ns;
    resends_.add(shard.heads.add(batch));
    note_memory(shard);
    if (has_threads_ && !is_read() && !shard.heads.has_too_many()) {
        if (are_full()) owner_.wants_flush();
        return;
    }
    if (!shard.heads.has_full()) return;
    std::vector<SealedHead> sealed;
    Result<void> result = shard.heads.seal_full(sealed);
    (void)give(shard, std::move(result), std::move(sealed));
}

Result<void> HeadShards::seal_shard(Shard& shard, bool hands_over) {
    std::vector<SealedHead> sealed;
    std::vector<FilledHead> filled;
    Result<void> result = hands_over
                              ? shard.heads.hand_over(options_.file_spans_min, filled, sealed)
                              : shard.heads.seal_all(sealed);
    if (!filled.empty()) owner_.take_filled(std::move(filled));
    result = give(shard, std::move(result), std::move(sealed));
    // Only now: who looks for what is in no segment yet finds it in one of these places.
    shard.since_ns = 0;
    return result;
}

void HeadShards::free_spare(Shard& shard) {
    spare_.reset();
    shard.heads.free_spare();
    note_memory(shard);
}

void HeadShards::note_memory(Shard& shard) {
    shard.memory_bytes = shard.heads.memory_bytes();
    shard.spans = shard.heads.spans();
    shard.used_bytes = shard.heads.used_bytes();
}

Result<void> HeadShards::give(Shard& shard, Result<void> result, std::vector<SealedHead> sealed) {
    if (!sealed.empty()) owner_.take_sealed(std::move(sealed));
    note_memory(shard);
    if (!result) owner_.failed(result.error());
    return result;
}

Result<void> HeadShards::seal(Extent extent) {
    return seal_all(extent, false, nullptr);
}

Result<void> HeadShards::empty(Extent extent, const std::function<void(LogPosition)>& while_empty) {
    return seal_all(extent, !is_read(), while_empty);
}

Result<void> HeadShards::seal_all(Extent extent, bool hands_over,
                                  const std::function<void(LogPosition)>& while_sealed) {
    const std::lock_guard one_at_a_time(seal_mutex_);
    Result<void> outcome;
    if (!has_threads_) {
        for (const auto& shard : shards_) {
            Result<void> sealed = seal_shard(*shard, hands_over);
            if (!sealed) outcome = std::move(sealed);
        }
        if (while_sealed) while_sealed(added_end_);
        return outcome;
    }
    std::unique_lock lock(mutex_);
    is_sealing_ = true;
    seal_end_ = extent == Extent::kAdded ? added_end_ : begun_end_;
    memory_room_.notify_all();
    for (const auto& shard : shards_) {
        shard->is_to_seal = true;
        shard->is_to_hand_over = hands_over;
        shard->wake.notify_one();
    }
    sealed_.wait(lock, [&] {
        return std::none_of(shards_.begin(), shards_.end(),
                            [](const auto& shard) { return shard->is_to_seal; });
    });
    for (const auto& shard : shards_)
        if (!shard->sealed) outcome = shard->sealed;
    if (while_sealed) while_sealed(seal_end_);
    is_sealing_ = false;
    for (const auto& shard : shards_)
        shard->wake.notify_one();
    return outcome;
}

}  // namespace spanloom::store

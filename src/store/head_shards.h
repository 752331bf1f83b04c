#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "otlp/batch.h"
#include "store/head.h"
#include "store/log.h"

namespace spanloom::store {

struct HeadShardsOptions {
    SegmentOptions segments;  // of those in memory
    std::shared_ptr<SegmentCache> cache;
    uint32_t shards = 1;
    uint32_t seal_spans = 65'536;  // of all shards together
    uint64_t seal_after_ms = 500;
    uint64_t queue_bytes_max = 16U << 20;
    // Durable requests wait until so many bytes are together, or so long. Several in a row find in
    // the processor's caches what the first has brought there: a fifth less time at 40 a second.
    uint64_t gather_bytes = 1U << 20;
    uint64_t gather_ms = 100;
    uint64_t seed = 0;
};

// What the shards ask of the store that they belong to; called from their threads.
struct HeadShardsOwner {
    std::function<void(std::vector<SealedHead>)> take_sealed;
    // Whether there is memory for more rows; asked with a lock held that notice_room() takes.
    std::function<bool()> has_memory;
    std::function<void()> wants_memory;  // a shard waits for has_memory()
    std::function<void()> is_stalled;    // add() has waited long
    std::function<void(const Error&)> failed;
};

// Turns durable requests into segments in memory. Spans are shared out by their traces among
// shards, each with heads and a thread of its own, so that the cores of a machine work side by side
// and what is sent again is recognised where it came first. Without threads (before start(), after
// stop()) the caller does the work. Lives as long as the store.
class HeadShards {
  public:
    HeadShards(HeadShardsOptions options, HeadShardsOwner owner, const Clock& clock,
               Counter& resends, std::atomic<uint64_t>& queue_bytes);
    ~HeadShards();
    HeadShards(const HeadShards&) = delete;
    HeadShards& operator=(const HeadShards&) = delete;

    void start();
    // From now on nobody waits for room or memory.
    void let_go();
    // What is queued is built first.
    void stop();

    // In the order of positions, one thread at a time. Waits while the queue is full.
    void add(Batch batch, LogPosition end);
    // kAdded: everything added is in sealed segments when this returns. kBegun: what is in some
    // head, so that what waits for memory goes on waiting. `while_sealed` is called with the
    // position up to which everything is in segments, while nothing later is in one.
    enum class Extent : uint8_t { kAdded, kBegun };
    Result<void> seal(Extent extent,
                      const std::function<void(LogPosition)>& while_sealed = nullptr);
    // has_memory() may say something else now.
    void notice_room();

    void start_at(LogPosition position);
    uint64_t memory_bytes() const;  // of the heads
    bool is_stalled() const { return is_stalled_; }
    uint64_t queue_bytes() const { return queue_bytes_; }

  private:
    struct Request {
        Batch batch;
        LogPosition end;
        std::atomic<uint32_t> shards_left = 0;
    };
    using RequestRef = std::shared_ptr<Request>;
    struct Shard {
        Shard(const HeadShardsOptions& options, HeadShare share);

        Heads heads;            // of the shard's thread alone
        uint64_t since_ns = 0;  // the same; monotonic, of the oldest unsealed; 0: none
        std::deque<RequestRef> queue;
        bool is_to_seal = false;
        Result<void> sealed;
        std::condition_variable wake;
        std::atomic<uint64_t> memory_bytes = 0;
        std::thread thread;
    };

    void run(Shard& shard);
    bool may_take(const Shard& shard) const;
    bool has_gathered() const;
    bool is_due(const Shard& shard) const;
    void take_one(Shard& shard, std::unique_lock<std::mutex>& lock);
    void build(Shard& shard, const Batch& batch);
    Result<void> seal_shard(Shard& shard);
    Result<void> hand_over(Shard& shard, Result<void> result, std::vector<SealedHead> sealed);

    const HeadShardsOptions options_;
    const HeadShardsOwner owner_;
    const Clock& clock_;
    Counter& resends_;
    std::atomic<uint64_t>& queue_bytes_;
    std::vector<std::unique_ptr<Shard>> shards_;

    std::mutex seal_mutex_;  // one seal() at a time
    std::mutex mutex_;       // queues and flags of the shards, and what follows
    std::condition_variable queue_room_;
    std::condition_variable memory_room_;
    std::condition_variable sealed_;
    LogPosition added_end_;
    LogPosition begun_end_;  // of the newest request that some shard has begun
    LogPosition seal_end_;   // while sealing: nothing beyond is begun
    bool has_threads_ = false;
    bool is_sealing_ = false;
    bool is_let_go_ = false;
    bool stops_ = false;
    std::atomic<bool> is_stalled_ = false;
};

}  // namespace spanloom::store

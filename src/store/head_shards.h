#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
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
    // Where nobody reads, heads wait for their flush as they are (HeadShardsOwner::unread_ms),
    // until they have seal_spans or so many bytes. One of so many spans is worth a file.
    uint32_t file_spans_min = 16'384;
    uint64_t flush_bytes = 48U << 20;
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
    std::function<void(std::vector<FilledHead>)> take_filled;
    // How long a head may be filled before it is sealed though nobody reads; 0: somebody does.
    std::function<uint64_t()> unread_ms;
    // Whether there is memory for more rows; asked with a lock held that notice_room() takes.
    std::function<bool()> has_memory;
    std::function<void()> wants_flush;  // a shard waits for has_memory(), or is worth a flush
    std::function<void()> is_stalled;   // add() has waited long
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
    // head, so that what waits for memory goes on waiting.
    enum class Extent : uint8_t { kAdded, kBegun };
    Result<void> seal(Extent extent);
    // The same, but where nobody reads, heads that are worth a file are handed over as they are.
    // `while_empty` is called with the position up to which everything is in segments or handed
    // over, while nothing later is.
    Result<void> empty(Extent extent, const std::function<void(LogPosition)>& while_empty);
    // Whether heads hold what came so long ago, or are worth a flush. Any thread.
    bool holds_older(uint64_t age_ms) const;
    bool are_worth_a_flush() const;
    // has_memory() may say something else now.
    void notice_room();
    // What was handed over is written: the memory of its rows is there for the next ones.
    void give_back(SegmentBuilder rows);

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

        Heads heads;                           // of the shard's thread alone
        uint64_t newest_ns = 0;                // the same; monotonic
        std::atomic<uint64_t> since_ns = 0;    // of the oldest that is in no segment; 0: none
        std::atomic<uint64_t> spans = 0;       // in no segment
        std::atomic<uint64_t> used_bytes = 0;  // by them
        std::deque<RequestRef> queue;
        bool is_idle = false;  // has nothing, and waits until something comes
        bool is_to_seal = false;
        bool is_to_hand_over = false;  // what is worth it
        Result<void> sealed;
        std::condition_variable wake;
        std::atomic<uint64_t> memory_bytes = 0;
        std::thread thread;
    };

    void run(Shard& shard);
    bool may_take(const Shard& shard) const;
    bool has_gathered() const;
    bool is_past(uint64_t since_ns, uint64_t ms) const;
    bool is_due(const Shard& shard) const;
    void take_one(Shard& shard, std::unique_lock<std::mutex>& lock);
    void build(Shard& shard, const Batch& batch);
    bool is_read() const { return owner_.unread_ms() == 0; }
    bool are_full() const;
    bool are_worth_a_file() const;
    void free_spare(Shard& shard);
    Result<void> seal_all(Extent extent, bool hands_over,
                          const std::function<void(LogPosition)>& while_sealed);
    Result<void> seal_shard(Shard& shard, bool hands_over);
    void note_memory(Shard& shard);
    Result<void> give(Shard& shard, Result<void> result, std::vector<SealedHead> sealed);

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
    std::optional<SegmentBuilder> spare_;
    bool has_threads_ = false;
    bool is_sealing_ = false;
    bool is_let_go_ = false;
    bool stops_ = false;
    std::atomic<bool> is_stalled_ = false;
};

}  // namespace spanloom::store

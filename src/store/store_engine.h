#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "store/deletions.h"
#include "store/documents.h"
#include "store/head_shards.h"
#include "store/log_file.h"
#include "store/manifest.h"
#include "store/paced_file.h"
#include "store/segment_cache.h"
#include "store/store.h"
#include "store/store_live.h"
#include "store/store_paths.h"

namespace spanloom::store {

SegmentFacts facts_of(const LiveSegment& live);

// What metrics read; outlives the store with them.
struct StoreGauges {
    std::atomic<uint64_t> spans = 0;
    std::atomic<uint64_t> segments = 0;
    std::atomic<uint64_t> segments_in_memory = 0;
    std::atomic<uint64_t> disk_bytes = 0;
    std::atomic<uint64_t> memory_bytes = 0;
    std::atomic<uint64_t> index_bytes = 0;
    std::atomic<uint64_t> builder_queue_bytes = 0;
    std::atomic<uint64_t> disk_free_bytes = UINT64_MAX;
    std::atomic<uint64_t> unflushed_log_bytes = 0;
    std::atomic<uint64_t> received_bytes = 0;
    std::atomic<uint64_t> written_bytes = 0;  // to segments
    std::atomic<uint64_t> log_written_bytes = 0;
    std::atomic<uint64_t> quarantined = 0;
};

struct StoreCounters {
    explicit StoreCounters(MetricsRegistry& metrics);
    Counter& accepted_spans;
    Counter& duplicate_spans;
    Counter& seals;
    Counter& flushes;
    Counter& flush_failures;
    Counter& flushed_spans;
    Counter& flushed_bytes;
    Counter& merges;
    Counter& merge_failures;
    Counter& merged_spans;
    Counter& merged_bytes;
    Counter& dropped_segments;
    Counter& dropped_spans;
    Counter& dropped_bytes;
    Counter& damaged_segments;
    Counter& recovered_spans;
    Counter& aged_traces;
    Counter& aged_dropped_traces;
    Counter& thinned_traces;
    Counter& deleted_traces;
    Counter& deleted_spans;
    Counter& poison_requests;
    Counter& refused_memory;
    Counter& refused_disk;
};

// The requests that became durable lately, by hash of tenant and bytes. Thread-safe.
class RecentRequests {
  public:
    bool has(uint64_t hash) const;
    void insert(uint64_t hash);

  private:
    static constexpr size_t kGeneration = 32'768;  // requests; between one and two are remembered

    mutable std::mutex mutex_;
    std::array<std::unordered_set<uint64_t>, 2> generations_;
};

// The Store on one directory. Threads of its own (flush, maintenance), those of its heads and the
// log's. A request goes: accept() -> log, synced -> builder's queue, acknowledged -> head ->
// segment in memory -> flush -> segment on disk -> merges -> retention.
class StoreEngine final : public Store {
  public:
    static Result<std::unique_ptr<StoreEngine>> open(StoreOptions options, Io& io,
                                                     const Clock& clock, Random& random,
                                                     MetricsRegistry& metrics);
    ~StoreEngine() override;
    StoreEngine(const StoreEngine&) = delete;
    StoreEngine& operator=(const StoreEngine&) = delete;

    void accept(Batch batch, std::function<void(Result<void>)> done) override;
    std::vector<std::shared_ptr<const Segment>> snapshot(std::string_view tenant) const override;
    std::vector<std::shared_ptr<const Segment>> recent(std::string_view tenant) const override;
    void watch_arrivals(ArrivalWatch watch, uint64_t within_ms) override;
    std::vector<std::shared_ptr<const Segment>> snapshot_with_watch(
        std::string_view tenant, const std::function<void()>& at_that_moment) const override;
    Result<void> seal() override;
    Result<void> flush() override;
    Result<void> settle() override;
    void set_ageing(Ageing ageing) override;
    Result<void> keep_traces(std::string_view tenant, const std::vector<TraceId>& traces,
                             const Keeping& keeping) override;
    Result<void> release_traces(std::string_view tenant, const std::vector<TraceId>& traces,
                                const Keeping& from, const Keeping& to) override;
    CountedParts counted(std::string_view tenant) const override;
    std::vector<DecisionsFile> decisions(std::string_view tenant) const override;
    Result<std::unique_ptr<ReadableFile>> open_decisions(const DecisionsFile& file) const override;
    Result<Deletion> erase(DeletionRequest request) override;
    std::vector<Deletion> deletions() const override;
    Result<BackupReport> backup(Io& target, const std::string& place) override;
    Documents& documents() override { return documents_; }
    StoreState state() const override;

  private:
    struct Written {
        ManifestSegment entry;
        LiveSegment live;
    };
    using TraceFilter = std::function<bool(const TraceId&)>;
    using TraceThreshold = std::function<uint64_t(const TraceId&)>;
    // Which partition a segment belongs to.
    struct Place {
        std::string tenant;
        uint64_t hour = 0;
        std::optional<Keeping> kept;
    };
    // Files that an entry of the manifest names beside its segments.
    struct FilesBeside {
        std::optional<DecisionsFile> decisions = std::nullopt;
        std::optional<CountsFile> counts = std::nullopt;
    };
    // Whether writing a segment leaves the disk to others in between.
    enum class Pacing : uint8_t { kNone, kMaintenance };
    // What a segment is to hold of its inputs; no filter: all of it.
    struct Output {
        Place place;
        TraceFilter keeps;
        TraceThreshold threshold_of;  // none: as the inputs say
    };

    StoreEngine(StoreOptions options, Io& io, const Clock& clock, Random& random,
                MetricsRegistry& metrics);

    // ---- opening (store_recovery.cc)
    Result<void> recover(Random& random, MetricsRegistry& metrics);
    Result<void> open_segments(ManifestChange& change);
    Result<void> take_in_files(Area area, bool adopt, ManifestChange& change);
    void quarantine(const ManifestSegment& entry, const std::string& why);
    Result<void> replay_log();
    void register_gauges(MetricsRegistry& metrics);

    // ---- ingest (store_engine.cc)
    std::optional<Error> refusal() const;
    void became_durable(Batch batch, LogPosition end);
    HeadShardsOwner shards_owner();
    void add_sealed(std::vector<SealedHead> sealed);
    void add_filled(std::vector<FilledHead> filled);
    void cannot_build(const Error& error);
    uint64_t unread_ms() const;
    // Somebody reads: what came some time ago is in segments when this returns.
    void show_heads() const;
    /// Whether heads and segments in memory are below their limit.
    bool has_memory_room() const;
    uint64_t memory_bytes() const;
    uint64_t rows_bytes() const;  // of heads, and of what they handed over
    void update_gauges();

    // ---- flush (store_flush.cc)
    void run_flusher();
    bool wants_flush() const;
    Result<void> flush_now(HeadShards::Extent extent, const std::function<bool()>& stop);
    struct FlushInputs {
        LogPosition end;                            // everything before it is in the inputs
        std::vector<LiveSegments::Pointer> merged;  // together, where their partition is the same
        std::vector<LiveSegments::Pointer> as_they_are;
    };
    Result<FlushInputs> gather_inputs(HeadShards::Extent extent);
    Result<void> write_inputs(const FlushInputs& inputs, const std::function<bool()>& stop,
                              ManifestChange& change, std::vector<Written>& written);
    Result<void> flush_all(HeadShards::Extent extent, const std::function<bool()>& stop);
    Result<void> encode_filled();
    void wait_for_filled() const;
    SegmentOptions recent_on_disk() const;

    // ---- merge, retention (store_background.cc)
    void start_threads();
    void run_maintenance();
    // Writes the whole of a segment into a file and returns how many spans it has.
    using FillFile = std::function<Result<uint64_t>(WritableFile& file)>;
    Result<std::optional<Written>> write_file(const Place& place, Pacing pacing,
                                              const FillFile& fill);
    Result<std::optional<Written>> write_segment(const Output& output,
                                                 const std::vector<LiveSegments::Pointer>& inputs,
                                                 Pacing pacing, const std::function<bool()>& stop);
    void pause_maintenance(uint64_t written_bytes);
    Result<uint64_t> write_temporary(const std::string& path, Pacing pacing, const FillFile& fill);
    Result<void> commit_written(const ManifestChange& change, std::vector<Written> written,
                                const std::vector<uint64_t>& gone);
    void remove_written(const std::vector<Written>& written);
    Result<bool> merge_once(const std::function<bool()>& stop);
    Result<bool> rewrite(const std::vector<Output>& outputs,
                         std::vector<LiveSegments::Pointer> inputs,
                         const std::function<bool()>& stop, const FilesBeside& beside);
    bool has_room_for(uint64_t bytes) const;
    bool mark_damage(const std::vector<LiveSegments::Pointer>& inputs);
    void find_damage(const std::vector<LiveSegments::Pointer>& inputs);
    Result<bool> maintain_once(const std::function<bool()>& stop);
    // What decides about segments on disk, as they and the disk are now.
    struct DiskLook {
        std::vector<LiveSegments::Pointer> segments;
        std::vector<SegmentFacts> facts;  // of each
        SpaceLimits limits;
    };
    enum class Damaged : uint8_t { kTaken, kLeftOut };
    Result<DiskLook> look_at_disk(const Ageing& rules, Damaged damaged) const;
    Result<bool> drop_expired(bool can_thin);
    void count_what_goes(const std::vector<LiveSegments::Pointer>& dropped, ManifestChange& change);
    void measure_disk();
    void keep_reserve();
    bool give_up_reserve();

    // ---- files of decisions (store_decisions.cc)
    Result<DecisionsFile> write_decisions(const AgeingQuestion& question, std::string_view bytes);
    Result<void> write_beside(const BesideKind& kind, std::string_view tenant, SegmentName name,
                              std::string_view bytes);
    using TakeBeside =
        std::function<bool(const std::string& path, const std::string& tenant, SegmentName name)>;
    Result<void> take_in_beside(const BesideKind& kind,
                                const std::function<bool(uint64_t)>& is_named,
                                const TakeBeside& take);
    void forget_unnamed(const FilesBeside& files);
    Result<bool> drop_old_decisions();
    Result<void> take_in_decisions(bool adopt, ManifestChange& change);

    // ---- files of counts (store_counts.cc)
    Result<std::optional<CountsFile>> count_before_going(
        const std::vector<LiveSegments::Pointer>& segments);
    Result<CountsFile> write_counts(CountsFile file, std::string_view counts);
    Result<bool> shorten_counts();
    CountsDetail detail_of(const CountsFile& file, uint64_t now_ns) const;
    Result<void> put_counts_together(CountsFile whole,
                                     const std::vector<std::shared_ptr<const StoredCounts>>& files);
    Result<bool> drop_old_counts();
    void follow_counts(const ManifestChange& change);
    Result<void> take_in_counts(bool adopt, ManifestChange& change);

    // ---- ageing and deletion (store_ageing.cc)
    uint64_t trusted_now_ns() const;
    std::shared_ptr<const Ageing> ageing() const;
    Result<bool> age_once(const std::function<bool()>& stop);
    Result<bool> thin_once(const std::function<bool()>& stop);
    using Verdict = std::function<Result<AgeingAnswer>(const AgeingQuestion&)>;
    Result<bool> decide_about(const std::vector<uint64_t>& ids, const Ageing& rules,
                              const Verdict& verdict, const std::function<bool()>& stop);
    std::vector<LiveSegments::Pointer> holders(std::string_view tenant,
                                               const std::unordered_set<TraceId>& traces) const;
    std::vector<Output> ageing_outputs(const AgeingQuestion& question, const AgeingAnswer& answer,
                                       const std::vector<uint64_t>& spans) const;
    Result<bool> write_beside_ageing(const AgeingQuestion& question, const AgeingAnswer& answer,
                                     const std::vector<LiveSegments::Pointer>& inputs,
                                     FilesBeside& beside);
    Result<bool> erase_once(const std::function<bool()>& stop);
    void complete_deletions();

    const StoreOptions options_;
    Io& io_;
    const Clock& clock_;
    StoreCounters counters_;
    std::shared_ptr<StoreGauges> gauges_ = std::make_shared<StoreGauges>();
    std::unique_ptr<FileLock> lock_;
    std::unique_ptr<FileLog> log_;
    RecentRequests recent_;
    std::unordered_set<uint64_t> poison_;  // requests that are refused; set while opening
    bool has_reserve_ = false;             // of the maintenance
    const std::shared_ptr<SegmentCache> cache_;
    Deletions deletions_;
    Documents documents_;
    LiveSegments live_;
    uint64_t opened_wall_ns_ = 0;
    uint64_t opened_monotonic_ns_ = 0;

    mutable std::mutex manifest_mutex_;  // manifest_, obsolete_, counts_, orphans_, directories_
    // After manifest_mutex_, and only for moments: live_ and counts_ change together under both, so
    // that who holds this one sees the same in both without waiting for a disk.
    mutable std::mutex counted_mutex_;
    std::unique_ptr<Manifest> manifest_;
    ObsoleteFiles obsolete_;
    std::map<uint64_t, std::shared_ptr<const StoredCounts>> counts_;  // of the manifest
    std::vector<std::string> orphans_;  // written, but perhaps named by the manifest on disk
    std::unordered_set<std::string> directories_;

    std::unique_ptr<HeadShards> shards_;

    std::mutex flush_mutex_;        // one flush at a time
    std::mutex maintenance_mutex_;  // one merge or retention at a time; merge_pace_
    Pace merge_pace_;
    std::mutex wake_mutex_;
    std::condition_variable flush_wake_;
    std::condition_variable maintenance_wake_;
    std::atomic<bool> stopping_ = false;
    std::atomic<uint64_t> stop_deadline_ns_ = UINT64_MAX;  // monotonic
    std::atomic<uint64_t> flushed_end_ = 0;
    std::atomic<bool> flush_fails_ = false;
    std::atomic<bool> erase_flush_ = false;  // something deleted is still in memory or in the log

    mutable std::mutex arrivals_mutex_;  // over publishing what arrived and telling of it
    ArrivalWatch arrival_watch_;
    std::atomic<uint64_t> watched_within_ms_ = UINT64_MAX;

    mutable std::atomic<uint64_t> read_ns_ = 0;  // when somebody read, monotonic; 0: not yet
    // Heads between being handed over and being in a segment in memory.
    mutable std::mutex filled_mutex_;
    mutable std::condition_variable filled_gone_;
    std::vector<FilledHead> filled_;
    size_t filled_left_ = 0;  // of them, those being encoded included
    std::atomic<uint64_t> filled_bytes_ = 0;

    mutable std::mutex ageing_mutex_;
    std::shared_ptr<const Ageing> ageing_ = std::make_shared<const Ageing>();

    mutable std::mutex failure_mutex_;
    std::string failure_;  // why nothing is accepted, for good; "" while all is well
    std::string flush_failure_;

    std::thread flusher_;
    std::thread maintenance_;
};

}  // namespace spanloom::store

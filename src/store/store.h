#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/io.h"
#include "base/metrics.h"
#include "base/random.h"
#include "store/deletions.h"
#include "store/documents.h"
#include "store/log.h"
#include "store/search.h"
#include "store/stored_counts.h"

namespace spanloom::store {

// kThreads: the store's own threads. kCaller: nothing runs by itself; accept() returns after the
// sync, and seal(), flush() and settle() do the rest in the caller's thread. For tests.
enum class StoreBackground : uint8_t { kThreads, kCaller };

struct StoreOptions {
    StoreBackground background = StoreBackground::kThreads;
    uint64_t seal_after_ms = 500;  // a head becomes searchable by then
    uint32_t seal_spans = 49'152;  // or with this many spans
    // Where nobody has read for so long, heads are filled on: until somebody reads (who then waits
    // for them), they are worth a flush, or this old.
    uint64_t read_memory_ms = 5'000;
    uint64_t unread_ms = 15'000;
    uint32_t file_spans_min = 16'384;        // a head of so many is a file as it is
    uint32_t shards = 1;                     // of heads by trace, each with a thread
    uint64_t memory_bytes_max = 96U << 20;   // heads and in-memory segments before writers wait
    uint64_t cache_bytes_max = 128U << 20;   // decoded pieces of segments that queries share
    uint64_t flush_bytes = 48U << 20;        // in-memory segments are merged to disk beyond this
    uint64_t flush_after_ms = 30'000;        // or when the oldest is this old
    uint64_t log_bytes_max = 128U << 20;     // unflushed log before a flush is forced
    uint64_t segment_spans_max = 2'000'000;  // merging stops there
    uint64_t retention_ms = 0;               // age by arrival; 0: none
    uint64_t retention_bytes = 0;            // of all segments; 0: none
    uint64_t decisions_ms = 30ULL * 24 * 3'600'000;  // how long decisions are known; 0: for ever
    double disk_used_max = 0.8;  // share of (own + free bytes) beyond which the oldest go
    uint64_t disk_free_bytes_min = 256U << 20;  // below this nothing is accepted
    // A file that is given up where not even retention and the manifest find room.
    uint64_t reserve_bytes = 0;
    // Spans of a deleted trace that come within this time are deleted as well.
    uint64_t deletion_memory_ms = 24ULL * 3'600'000;
    uint64_t log_file_bytes = 32U << 20;
    uint64_t log_queue_bytes_max = 64U << 20;      // requests that wait for their sync
    uint64_t builder_queue_bytes_max = 16U << 20;  // durable requests that wait for the head
    uint32_t merge_segments_min = 8;               // of similar size, before they are merged
    // What merging, ageing and erasing may write in a second, of the store's own thread; 0: all.
    uint64_t merge_bytes_per_s = 0;
    uint64_t shutdown_ms = 5'000;  // what the destructor may take for its flush
    RollupFunction rollup;
    // What is counted of spans before they age or go, where anything is.
    Counting counting;
    // How long they are known by ten seconds, by the minute (then a day is one file, by the hour,
    // and a month once all of it is as old), and at all; 0: for ever.
    uint64_t counts_short_ms = 2ULL * 24 * 3'600'000;
    uint64_t counts_minutes_ms = 14ULL * 24 * 3'600'000;
    uint64_t counts_ms = 0;
};

// A segment of kept/: what its partition was kept for.
struct Keeping {
    std::string rule;
    uint64_t for_ms = 0;  // age by arrival at which it goes; 0: as the store's retention says
    static constexpr uint64_t kForEver = UINT64_MAX;  // not even where the disk is full
    // How often half of what was kept went for want of room (Ageing::thin).
    uint32_t halvings = 0;
    static constexpr uint32_t kHalvingsMax = 6;
    auto operator<=>(const Keeping&) const = default;
};

// What becomes of the traces of an hour in recent/ when it ages. A judgement of later stages,
// handed in.
struct AgeingQuestion {
    std::string tenant;
    uint64_t hour = 0;                                      // of arrival, since 1970
    std::optional<Keeping> kept = std::nullopt;             // of what was kept already
    std::vector<std::shared_ptr<const Segment>> partition;  // what ages
    std::vector<std::shared_ptr<const Segment>> others;     // what else of the tenant is recent
    std::vector<TraceId> traces;                            // of the partition, each once
    std::function<bool()> stop;                             // there is no more time
};
struct AgeingAnswer {
    static constexpr uint32_t kDrop = UINT32_MAX;
    std::vector<Keeping> rules;
    std::vector<uint32_t> rule_of;     // for each trace: which rule keeps it, or kDrop
    std::vector<uint64_t> thresholds;  // of each trace (Segment::thresholds); empty: all 0
    // What is to be known of the decisions later, kept as it is with the rest (decisions()).
    std::string decisions;
};
struct Ageing {
    uint64_t recent_for_ms = 0;     // 0: age alone moves nothing
    uint64_t recent_bytes_max = 0;  // 0: no limit but the store's
    std::map<std::string, uint64_t> rule_bytes_max;
    // Asked once for each hour, on the maintenance thread, before anything of it is changed; an
    // error leaves the hour as it is until later, one of kDataLoss until the next start. May be
    // asked again for an hour after a crash or a failed write. None: nothing ages.
    std::function<Result<AgeingAnswer>(const AgeingQuestion&)> verdict;
    // Where there is no room for what is kept, and no hour to age: which half of the traces of a
    // partition in kept/ stays, in the same way. None: its oldest segments go.
    std::function<Result<AgeingAnswer>(const AgeingQuestion&)> thin;
    // The hour's traces are where the answer put them, for good.
    std::function<void(const AgeingQuestion&, const AgeingAnswer&)> done;
};

// What was noted when an hour aged (AgeingAnswer::decisions).
struct DecisionsFile {
    uint64_t id = 0;
    std::string tenant;
    uint64_t hour = 0;   // that aged
    uint64_t at_ns = 0;  // when
    uint64_t bytes = 0;
};

// What is to be deleted, and for whom the record is kept.
struct DeletionRequest {
    std::string tenant = "default";
    std::vector<TraceId> traces;
    std::string by;
    std::string reason;
    uint64_t query_hash = 0;  // of the query that found them; 0: they were named
};

// What a backup holds.
struct BackupReport {
    uint64_t at_ns = 0;
    uint64_t segments = 0;
    uint64_t spans = 0;
    uint64_t bytes = 0;
    uint64_t linked_bytes = 0;  // of them, shared with the data directory
    uint64_t other_files = 0;   // documents and records of deletions
};

struct StoreState {
    uint64_t spans = 0;
    uint64_t segments = 0;
    uint64_t segments_in_memory = 0;
    uint64_t disk_bytes = 0;
    uint64_t memory_bytes = 0;
    uint64_t oldest_arrival_ns = 0;  // 0: empty
    uint64_t quarantined = 0;
    uint64_t duplicates = 0;  // resends recognised
    uint64_t kept_bytes = 0;  // of disk_bytes, in kept/
    uint64_t hiding = 0;      // segments that hold what was deleted, still to be rewritten
    LogState log;
    bool is_read_only = false;
    std::string reason;
};

// Whose, and what: everything of it is new, though not every trace.
using ArrivalWatch =
    std::function<void(const std::string& tenant, const std::shared_ptr<const Segment>&)>;

// Everything kept for all tenants: the log, the heads being filled, segments in memory and on
// disk, their manifest, merging and retention. accept() is the ingest side; snapshot() is what
// queries read. Owns its threads; the destructor flushes what it can and stops them.
class Store : public Sink {
  public:
    // Takes the directory's lock, reads the manifest, replays the log. What cannot be read is set
    // aside and reported, not fatal.
    static Result<std::unique_ptr<Store>> open(StoreOptions options, Io& io, const Clock& clock,
                                               Random& random, MetricsRegistry& metrics);

    // Logs the batch and adds it to the head. `done` once it is durable.
    void accept(Batch batch, std::function<void(Result<void>)> done) override = 0;
    // The segments of a tenant as they are now, newest arrival last; empty for an unknown tenant.
    // What was acknowledged some time ago (StoreOptions::seal_after_ms) is in them, for which this
    // may wait a moment, unless such were read lately.
    virtual std::vector<std::shared_ptr<const Segment>> snapshot(std::string_view tenant) const = 0;
    // Those about which no keep rule has decided, without what is in no segment yet.
    virtual std::vector<std::shared_ptr<const Segment>> recent(std::string_view tenant) const = 0;
    // From now on `watch` is told of each segment of spans that just arrived as it comes to be
    // seen, about so long after they arrived, in the thread that built it, which is not to wait
    // there. None: nobody watches any more.
    virtual void watch_arrivals(ArrivalWatch watch, uint64_t within_ms) = 0;
    // The segments of a tenant, without what is in none yet, while the watch has been told of just
    // what is in them: `at_that_moment` is called before anything else arrives.
    virtual std::vector<std::shared_ptr<const Segment>> snapshot_with_watch(
        std::string_view tenant, const std::function<void()>& at_that_moment) const = 0;
    // Waits until all that is accepted is searchable ; flush: and in segments on disk.
    virtual Result<void> seal() = 0;
    virtual Result<void> flush() = 0;
    // Runs ageing, merging, erasing and retention now, in the caller's thread, until nothing is
    // left to do.
    virtual Result<void> settle() = 0;
    // Takes effect with the next look of the maintenance.
    virtual void set_ageing(Ageing ageing) = 0;
    // Copies what is stored of the traces to where it stays as `keeping` says, durably; equal spans
    // are shown once. Those that are not stored are left out; kNotFound where none is.
    virtual Result<void> keep_traces(std::string_view tenant, const std::vector<TraceId>& traces,
                                     const Keeping& keeping) = 0;
    // From now on what was kept by `from` is kept by `to`.
    virtual Result<void> release_traces(std::string_view tenant, const std::vector<TraceId>& traces,
                                        const Keeping& from, const Keeping& to) = 0;
    // Of a tenant, as it is now.
    virtual CountedParts counted(std::string_view tenant) const = 0;
    // Newest first.
    virtual std::vector<DecisionsFile> decisions(std::string_view tenant) const = 0;
    virtual Result<std::unique_ptr<ReadableFile>> open_decisions(
        const DecisionsFile& file) const = 0;
    // Hides the traces from every reader at once, durably, and erases them from segments and log
    // in the background. Traces that are not there are left out of the record; kNotFound where
    // none is.
    virtual Result<Deletion> erase(DeletionRequest request) = 0;
    virtual std::vector<Deletion> deletions() const = 0;  // newest first
    // Everything acknowledged before the call, as a data directory of its own in the empty `target`
    // (docs/format/manifest.md). `place`: how people find it, noted among the documents of the kind
    // kBackupKind. Any thread; nothing waits for it but the flush at its beginning.
    virtual Result<BackupReport> backup(Io& target, const std::string& place) = 0;
    virtual Documents& documents() = 0;
    virtual StoreState state() const = 0;
};

constexpr std::string_view kBackupKind = "backups";
constexpr std::string_view kBackupMark = "BACKUP";  // the file that comes last

// Puts a backup into the empty `target`, which then is a data directory. Both checks everything
// first, where `verify` says so.
enum class RestoreCheck : uint8_t { kVerify, kTrust };
Result<BackupReport> restore_backup(Io& backup, Io& target, RestoreCheck check,
                                    const std::function<void(uint64_t, uint64_t)>& progress);

// What `spanloom check` tells of a data directory that no server holds.
struct CheckReport {
    uint64_t segments = 0;
    uint64_t spans = 0;
    uint64_t traces = 0;
    uint64_t segment_bytes = 0;
    uint64_t log_files = 0;
    uint64_t log_records = 0;
    uint64_t log_spans = 0;
    uint64_t log_bytes = 0;
    uint64_t documents = 0;
    uint64_t deletions = 0;
    uint64_t decisions = 0;           // files
    uint64_t counts = 0;              // files
    std::vector<std::string> damage;  // one sentence each
    std::vector<std::string> notes;
};
// Reads everything and checks every checksum; changes nothing. `progress` gets (done, all) bytes.
Result<CheckReport> check_data(Io& io, const std::function<void(uint64_t, uint64_t)>& progress);
// The same for what nobody writes, which may be a place where nothing can be written.
Result<CheckReport> check_backup(Io& io, const std::function<void(uint64_t, uint64_t)>& progress);

}  // namespace spanloom::store

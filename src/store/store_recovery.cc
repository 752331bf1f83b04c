#include <algorithm>
#include <tuple>
#include <utility>

#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "store/replay_marks.h"
#include "store/store_engine.h"
#include "store/store_paths.h"

namespace spanloom::store {
namespace {

constexpr const char* kLockPath = "lock";
constexpr size_t kForeseenAtStart = 32;  // segments, of some MB of indexes each

void report(const std::vector<std::string>& damage, const std::vector<std::string>& notes) {
    for (const std::string& one : damage)
        log::error("damage: {}", one);
    for (const std::string& one : notes)
        log::info("{}", one);
}

LiveSegment live_of(const ManifestSegment& entry, std::shared_ptr<const Segment> segment) {
    LiveSegment live;
    live.id = entry.id;
    live.tenant = entry.tenant;
    live.hour = entry.hour;
    live.kept = entry.kept;
    live.path = entry.path();
    live.memory_bytes = segment->memory_bytes();
    live.segment = std::move(segment);
    return live;
}

// The first question after a start on a cold disk need not wait for what every question reads.
void foresee_newest(const std::vector<LiveSegment>& segments) {
    std::vector<const LiveSegment*> newest;
    for (const LiveSegment& one : segments)
        newest.push_back(&one);
    const size_t count = std::min(newest.size(), kForeseenAtStart);
    std::partial_sort(newest.begin(), newest.begin() + static_cast<ptrdiff_t>(count), newest.end(),
                      [](const LiveSegment* a, const LiveSegment* b) {
                          return std::tie(a->hour, a->id) > std::tie(b->hour, b->id);
                      });
    for (size_t i = 0; i < count; ++i)
        newest[i]->segment->foresee_indexes();
}

}  // namespace

Result<void> StoreEngine::recover(Random& random, MetricsRegistry& metrics) {
    Result<std::unique_ptr<FileLock>> lock = io_.lock(kLockPath);
    if (!lock && lock.error().code == ErrorCode::kAlreadyExists)
        return fail(ErrorCode::kAlreadyExists,
                    "the data directory is in use by another spanloom: {}; stop that one, or give "
                    "this one another directory",
                    lock.error().message);
    if (!lock) return tl::unexpected(std::move(lock).error());
    lock_ = std::move(*lock);
    ManifestReading reading;
    TRY_ASSIGN(manifest_, Manifest::open(io_, reading));
    report(reading.damage, reading.notes);
    flushed_end_ = manifest_->state().log_position.value;
    shards_->start_at(manifest_->state().log_position);
    FileLogOptions log_options;
    log_options.thread =
        options_.background == StoreBackground::kThreads ? LogThread::kOwn : LogThread::kCaller;
    log_options.file_bytes = options_.log_file_bytes;
    log_options.queue_bytes_max = options_.log_queue_bytes_max;
    log_options.start_at_least = manifest_->state().log_position;
    TRY_ASSIGN(log_, FileLog::open(log_options, io_, clock_, random, metrics));
    const LogState log_state = log_->state();
    // Entries of the manifest are missing where the log was freed beyond what it says.
    const bool is_behind = log_state.begin > manifest_->state().log_position;
    const bool adopt = reading.is_missing || !reading.damage.empty() || is_behind;
    register_gauges(metrics);
    measure_disk();
    has_reserve_ = io_.open("reserve").has_value();
    std::vector<std::string> lost_deletions;
    TRY(deletions_.load(lost_deletions));
    report(lost_deletions, {});
    ManifestChange change;
    TRY(open_segments(change));
    for (const Area area : {Area::kRecent, Area::kKept})
        TRY(take_in_files(area, adopt, change));
    TRY(take_in_decisions(adopt, change));
    TRY(take_in_counts(adopt, change));
    {
        std::lock_guard manifest_lock(manifest_mutex_);
        std::lock_guard counted_lock(counted_mutex_);
        ManifestChange named = change;
        for (const auto& [id, file] : manifest_->state().counts)
            named.counts_added.push_back(file);
        follow_counts(named);
    }
    // Without room for it the next flush writes it.
    if (Result<void> written = manifest_->commit(change); !written)
        log::warning("the manifest cannot be written now: {}", written.error().message);
    return replay_log();
}

Result<void> StoreEngine::open_segments(ManifestChange& change) {
    std::vector<LiveSegment> come;
    for (const auto& [id, entry] : manifest_->state().segments) {
        const std::string path = entry.path();
        Result<std::unique_ptr<ReadableFile>> file = io_.open(path);
        if (!file) {
            // Perhaps it comes back: it stays in the manifest.
            log::error("damage: a segment of {} spans is not served: {}", entry.spans,
                       file.error().message);
            gauges_->quarantined += 1;
            continue;
        }
        Result<std::shared_ptr<const Segment>> segment = Segment::open(std::move(*file), cache_);
        if (segment) {
            come.push_back(live_of(entry, std::move(*segment)));
            continue;
        }
        if (segment.error().code == ErrorCode::kDataLoss ||
            segment.error().code == ErrorCode::kInvalidArgument) {
            quarantine(entry, segment.error().message);
            change.removed.push_back(id);
            continue;
        }
        log::error("damage: {} is not served: {}", path, segment.error().message);
        gauges_->quarantined += 1;
    }
    foresee_newest(come);
    live_.replace({}, std::move(come));
    return {};
}

void StoreEngine::quarantine(const ManifestSegment& entry, const std::string& why) {
    const std::string path = entry.path();
    const std::string directory = "quarantine/" + encode_tenant(entry.tenant);
    const std::string place = directory + "/" + segment_name({entry.hour, entry.id});
    gauges_->quarantined += 1;
    counters_.damaged_segments.add();
    Result<void> moved = io_.make_directory(directory);
    if (moved) moved = io_.rename(path, place);
    if (moved) moved = io_.sync_directory(directory);
    if (moved) moved = io_.sync_directory(tenant_directory(entry.area(), entry.tenant));
    log::error("damage: {} cannot be read and was {} ({} spans): {}", path,
               moved ? "moved to " + place : "left where it is", entry.spans, why);
}

// Files that the manifest does not name: remains, or, where it cannot be trusted, segments.
Result<void> StoreEngine::take_in_files(Area area, bool adopt, ManifestChange& change) {
    std::vector<LiveSegment> come;
    TRY_ASSIGN(const std::vector<std::string> tenants, io_.list(area_name(area)));
    for (const std::string& name : tenants) {
        const std::optional<std::string> tenant = decode_tenant(name);
        if (!tenant) continue;
        const std::string directory = tenant_directory(area, *tenant) + "/";
        TRY_ASSIGN(const std::vector<std::string> files, io_.list(tenant_directory(area, *tenant)));
        for (const std::string& file : files) {
            if (file.ends_with(".tmp")) {
                obsolete_.add(directory + file, nullptr);
                continue;
            }
            const std::optional<SegmentName> parsed = parse_segment_name(file);
            if (!parsed || manifest_->state().segments.contains(parsed->id)) continue;
            manifest_->avoid_id(parsed->id);
            if (!adopt) {
                obsolete_.add(directory + file, nullptr);
                continue;
            }
            ManifestSegment entry{parsed->id, *tenant, parsed->hour, 0, 0, std::nullopt};
            // The rule is not known any more; the store's own retention holds.
            if (area == Area::kKept) entry.kept.emplace();
            Result<std::unique_ptr<ReadableFile>> opened = io_.open(directory + file);
            if (!opened) continue;
            Result<std::shared_ptr<const Segment>> segment =
                Segment::open(std::move(*opened), cache_);
            if (!segment) {
                quarantine(entry, segment.error().message);
                continue;
            }
            entry.spans = (*segment)->info().spans;
            entry.bytes = (*segment)->info().bytes;
            log::warning("{} was not in the manifest and is taken in", directory + file);
            change.added.push_back(entry);
            come.push_back(live_of(entry, std::move(*segment)));
        }
    }
    obsolete_.collect(io_);
    live_.replace({}, std::move(come));
    return {};
}

Result<void> StoreEngine::replay_log() {
    const auto never = [] { return false; };
    ReplayMarks marks(io_);
    marks.open();
    const auto visit = [&](Batch batch, LogPosition end) -> Result<void> {
        const uint64_t hash = hash64(batch.tenant, hash64(batch.bytes.view()));
        if (!marks.begin(hash, batch.bytes.view())) {
            counters_.poison_requests.add();
            return {};
        }
        counters_.recovered_spans.add(batch.spans.size());
        recent_.insert(hash);
        shards_->add(std::move(batch), end);
        // Without room on the disk it stays in memory: the log has a limit of its own.
        if (memory_bytes() >= options_.flush_bytes && !flush_fails_)
            (void)flush_now(HeadShards::Extent::kAdded, never);
        return {};
    };
    TRY_ASSIGN(const LogReplay found, log_->replay({flushed_end_.load()}, visit));
    report(found.damage, found.notes);
    if (found.records > 0)
        log::info("read {} spans of {} requests ({}) back from the log", found.spans, found.records,
                  format_bytes(found.bytes));
    TRY(shards_->seal(HeadShards::Extent::kAdded));
    poison_ = marks.set_aside();
    marks.finish();
    update_gauges();
    return {};
}

void StoreEngine::register_gauges(MetricsRegistry& metrics) {
    const auto add = [&](const char* name, const char* help,
                         std::atomic<uint64_t> StoreGauges::* of, Labels labels = {}) {
        metrics.gauge(
            name, help,
            [gauges = gauges_, of] { return static_cast<double>((*gauges.*of).load()); },
            std::move(labels));
    };
    const auto add_limit = [&](const char* name, const char* help, double limit) {
        metrics.gauge(name, help, [limit] { return limit; });
    };
    add("store_spans", "Spans in the store.", &StoreGauges::spans);
    add("store_segments", "Segments, in memory and on disk.", &StoreGauges::segments);
    add("store_segments_in_memory", "Segments in memory.", &StoreGauges::segments_in_memory);
    add("store_disk_bytes", "Bytes of the segments on disk.", &StoreGauges::disk_bytes);
    add("store_memory_bytes", "Bytes of heads and segments in memory.", &StoreGauges::memory_bytes);
    add("store_index_bytes", "What is kept in memory of segments on disk.",
        &StoreGauges::index_bytes);
    metrics.gauge("store_cache_bytes", "Decoded pieces of segments that queries share.",
                  [cache = cache_] { return static_cast<double>(cache->bytes()); });
    add_limit("store_cache_limit_bytes", "Limit of store_cache_bytes.",
              static_cast<double>(options_.cache_bytes_max));
    metrics.gauge("store_cache_misses", "Pieces that had to be decoded, since the start.",
                  [cache = cache_] { return static_cast<double>(cache->misses()); });
    metrics.gauge("store_cache_hits", "Pieces that were there, since the start.",
                  [cache = cache_] { return static_cast<double>(cache->hits()); });
    add_limit("store_memory_limit_bytes", "Limit of store_memory_bytes.",
              static_cast<double>(options_.memory_bytes_max));
    add("store_builder_queue_bytes", "Bytes of durable requests that wait for the head.",
        &StoreGauges::builder_queue_bytes);
    add_limit("store_builder_queue_limit_bytes", "Limit of store_builder_queue_bytes.",
              static_cast<double>(options_.builder_queue_bytes_max));
    add("store_disk_free_bytes", "Free bytes on the disk of the data directory.",
        &StoreGauges::disk_free_bytes);
    add_limit("store_disk_free_limit_bytes", "Below this nothing is accepted.",
              static_cast<double>(options_.disk_free_bytes_min));
    add("store_unflushed_log_bytes", "Bytes of the log that no segment on disk holds yet.",
        &StoreGauges::unflushed_log_bytes);
    add_limit("store_unflushed_log_limit_bytes", "Beyond this a flush is forced.",
              static_cast<double>(options_.log_bytes_max));
    metrics.gauge("store_write_amplification",
                  "Bytes written to the log and to segments, per byte received, since the start.",
                  [gauges = gauges_] {
                      const auto received = static_cast<double>(gauges->received_bytes.load());
                      const auto written = static_cast<double>(gauges->written_bytes.load() +
                                                               gauges->log_written_bytes.load());
                      return received == 0 ? 0.0 : written / received;
                  });
    add("store_quarantined_segments", "Segments that could not be opened at start.",
        &StoreGauges::quarantined);
}

}  // namespace spanloom::store

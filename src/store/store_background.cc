#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include <pthread.h>

#include "base/log.h"
#include "base/priority.h"
#include "base/text.h"
#include "store/paced_file.h"
#include "store/store_engine.h"
#include "store/store_paths.h"

namespace spanloom::store {
namespace {

constexpr const char* kReservePath = "reserve";
constexpr auto kMaintenanceLook = std::chrono::milliseconds(1000);
constexpr auto kMaintenanceRetry = std::chrono::milliseconds(10'000);

// What can wait takes a tenth of a core where others want all of them. Best effort.
constexpr int kMaintenanceNiceness = 10;

ManifestSegment entry_of(const LiveSegment& live) {
    const SegmentInfo& info = live.segment->info();
    return {live.id, live.tenant, live.hour, info.spans, info.bytes, live.kept};
}

}  // namespace

SegmentFacts facts_of(const LiveSegment& live) {
    const SegmentInfo& info = live.segment->info();
    return {live.id,    live.tenant,         live.hour, info.spans,
            info.bytes, info.arrival_ns_max, live.kept};
}

void StoreEngine::start_threads() {
    shards_->start();
    flusher_ = std::thread([this] { run_flusher(); });
    pthread_setname_np(flusher_.native_handle(), "flush");
    maintenance_ = std::thread([this] {
        step_back(kMaintenanceNiceness);
        run_maintenance();
    });
    pthread_setname_np(maintenance_.native_handle(), "maintenance");
}

void StoreEngine::measure_disk() {
    if (const Result<DiskSpace> space = io_.space()) gauges_->disk_free_bytes = space->free_bytes;
}

// The reserve is room that others cannot take while the disk fills. It comes back when the disk
// has room for it several times.
void StoreEngine::keep_reserve() {
    constexpr uint64_t kTimes = 4;
    if (options_.reserve_bytes == 0 || has_reserve_) return;
    if (gauges_->disk_free_bytes < options_.reserve_bytes * kTimes + options_.disk_free_bytes_min)
        return;
    const auto write = [&]() -> Result<void> {
        TRY_ASSIGN(auto file, io_.create(kReservePath));
        const std::string piece(1U << 16, '\x5a');  // not zeros: no file system leaves them out
        for (uint64_t at = 0; at < options_.reserve_bytes; at += piece.size())
            TRY(file->append(std::string_view(piece).substr(
                0, std::min<uint64_t>(piece.size(), options_.reserve_bytes - at))));
        return file->sync();
    };
    has_reserve_ = true;
    if (!write()) give_up_reserve();
}

bool StoreEngine::give_up_reserve() {
    if (!has_reserve_) return false;
    has_reserve_ = false;
    const Result<void> removed = io_.remove(kReservePath);
    log::warning("the disk is full: the reserve of {} is {}", format_bytes(options_.reserve_bytes),
                 removed ? "given up, to make room by retention" : "gone already");
    return true;
}

void StoreEngine::pause_maintenance(uint64_t written_bytes) {
    const uint64_t wait_ns = merge_pace_.wait_ns(written_bytes, clock_.monotonic_ns());
    if (wait_ns == 0) return;
    std::unique_lock lock(wake_mutex_);
    maintenance_wake_.wait_for(lock, std::chrono::nanoseconds(wait_ns),
                               [this] { return stopping_.load(); });
}

Result<uint64_t> StoreEngine::write_temporary(const std::string& path, Pacing pacing,
                                              const FillFile& fill) {
    TRY_ASSIGN(std::unique_ptr<WritableFile> file, io_.create(path));
    if (pacing == Pacing::kMaintenance)
        file = std::make_unique<PacedFile>(std::move(file),
                                           [this](uint64_t bytes) { pause_maintenance(bytes); });
    TRY_ASSIGN(const uint64_t spans, fill(*file));
    TRY(file->sync());
    return spans;
}

// None: no trace is left to write.
Result<std::optional<StoreEngine::Written>> StoreEngine::write_segment(
    const Output& output, const std::vector<LiveSegments::Pointer>& inputs, Pacing pacing,
    const std::function<bool()>& stop) {
    std::vector<std::shared_ptr<const Segment>> segments;
    for (const LiveSegments::Pointer& one : inputs)
        segments.push_back(one->segment);
    SegmentOptions on_disk = recent_on_disk();
    // What is kept is counted already; single traces that are kept for ever may be there twice.
    const auto& kept = output.place.kept;
    const bool is_counted = kept && (options_.counting.count || kept->for_ms == Keeping::kForEver);
    if (is_counted) on_disk.rollup = nullptr;
    on_disk.keeps_trace = output.keeps;
    on_disk.threshold_of = output.threshold_of;
    if (const auto hidden = deletions_.hidden(output.place.tenant))
        on_disk.keeps_trace = [&output, hidden](const TraceId& id) {
            return !hidden->contains(id) && (!output.keeps || output.keeps(id));
        };
    return write_file(output.place, pacing, [&](WritableFile& file) -> Result<uint64_t> {
        TRY_ASSIGN(const SegmentInfo info, merge_segments(segments, on_disk, file, stop));
        return info.spans;
    });
}

// None: it has no spans.
Result<std::optional<StoreEngine::Written>> StoreEngine::write_file(const Place& place,
                                                                    Pacing pacing,
                                                                    const FillFile& fill) {
    const Area area = place.kept ? Area::kKept : Area::kRecent;
    const std::string directory = tenant_directory(area, place.tenant);
    uint64_t id = 0;
    {
        std::lock_guard lock(manifest_mutex_);
        id = manifest_->take_id();
        if (!directories_.contains(directory)) {
            TRY(io_.make_directory(directory));
            TRY(io_.sync_directory(""));
            TRY(io_.sync_directory(area_name(area)));
            directories_.insert(directory);
        }
    }
    const std::string path = segment_path(area, place.tenant, {place.hour, id});
    const std::string temporary = path + ".tmp";
    const auto write = [&]() -> Result<std::shared_ptr<const Segment>> {
        TRY_ASSIGN(const uint64_t spans, write_temporary(temporary, pacing, fill));
        if (spans == 0) {
            TRY(io_.remove(temporary));
            return nullptr;
        }
        TRY(io_.rename(temporary, path));
        TRY(io_.sync_directory(directory));
        TRY_ASSIGN(auto file, io_.open(path));
        return Segment::open(std::move(file), cache_);
    };
    Result<std::shared_ptr<const Segment>> segment = write();
    if (!segment) {
        std::lock_guard lock(manifest_mutex_);
        obsolete_.add(temporary, nullptr);
        obsolete_.add(path, nullptr);
        obsolete_.collect(io_);
        return tl::unexpected(std::move(segment).error());
    }
    if (*segment == nullptr) return std::nullopt;
    Written written;
    written.live.id = id;
    written.live.tenant = place.tenant;
    written.live.hour = place.hour;
    written.live.kept = place.kept;
    written.live.path = path;
    written.live.memory_bytes = (*segment)->memory_bytes();
    written.live.since_monotonic_ns = clock_.monotonic_ns();
    written.live.segment = std::move(*segment);
    written.entry = entry_of(written.live);
    return std::optional<Written>(std::move(written));
}

void StoreEngine::remove_written(const std::vector<Written>& written) {
    std::lock_guard lock(manifest_mutex_);
    for (const Written& one : written)
        obsolete_.add(one.live.path, nullptr);
    obsolete_.collect(io_);
}

// Manifest and live segments change together: who holds the lock sees the same in both.
Result<void> StoreEngine::commit_written(const ManifestChange& change, std::vector<Written> written,
                                         const std::vector<uint64_t>& gone) {
    std::unique_lock lock(manifest_mutex_);
    Result<void> committed = manifest_->commit(change);
    if (committed) {
        std::vector<LiveSegment> come;
        for (Written& one : written)
            come.push_back(std::move(one.live));
        std::lock_guard counted_lock(counted_mutex_);
        live_.replace(gone, std::move(come));
        follow_counts(change);
        return {};
    }
    // Where the manifest on disk may name the files, they must stay until it is known not to.
    const bool is_known = manifest_->repair().has_value();
    for (const Written& one : written) {
        if (is_known) {
            obsolete_.add(one.live.path, nullptr);
        } else {
            orphans_.push_back(one.live.path);
        }
    }
    obsolete_.collect(io_);
    return committed;
}

// -------------------------------------------------------------------------- merge and retention

void StoreEngine::run_maintenance() {
    auto pause = kMaintenanceLook;
    while (true) {
        {
            std::unique_lock lock(wake_mutex_);
            maintenance_wake_.wait_for(lock, pause, [this] { return stopping_.load(); });
            if (stopping_) return;
        }
        pause = kMaintenanceLook;
        std::lock_guard lock(maintenance_mutex_);
        measure_disk();
        {
            std::lock_guard manifest_lock(manifest_mutex_);
            obsolete_.collect(io_);
        }
        Result<bool> more = true;
        while (more && *more && !stopping_)
            more = maintain_once([this] { return stopping_.load(); });
        complete_deletions();
        update_gauges();
        if (more) continue;
        pause = kMaintenanceRetry;
        if (!stopping_) log::warning("merging or retention failed: {}", more.error().message);
    }
}

Result<void> StoreEngine::settle() {
    std::lock_guard lock(maintenance_mutex_);
    bool has_more = true;
    while (has_more) {
        TRY_ASSIGN(has_more, maintain_once([] { return false; }));
    }
    update_gauges();
    {
        std::lock_guard manifest_lock(manifest_mutex_);
        obsolete_.collect(io_);
    }
    complete_deletions();
    return {};
}

// The next thing there is to do: what makes room comes first.
Result<bool> StoreEngine::maintain_once(const std::function<bool()>& stop) {
    measure_disk();
    keep_reserve();
    // Where it fails, merging goes on all the same; but nothing is dropped undecided.
    const Result<bool> aged = age_once(stop);
    if (aged && *aged) return true;
    if (aged) {
        TRY_ASSIGN(const bool has_dropped, drop_expired(true));
        if (has_dropped) return true;
        // Where that cannot be, whole segments go: the room comes first.
        const Result<bool> thinned = thin_once(stop);
        if (thinned && *thinned) return true;
        if (!thinned) log::warning("kept traces cannot be thinned: {}", thinned.error().message);
        TRY_ASSIGN(const bool has_dropped_more, drop_expired(false));
        if (has_dropped_more) return true;
        TRY(drop_old_decisions());
        TRY(drop_old_counts());
        TRY_ASSIGN(const bool is_shortened, shorten_counts());
        if (is_shortened) return true;
    }
    TRY_ASSIGN(const bool has_merged, merge_once(stop));
    if (has_merged) return true;
    TRY_ASSIGN(const bool has_erased, erase_once(stop));
    if (has_erased) return true;
    return aged;
}

Result<bool> StoreEngine::merge_once(const std::function<bool()>& stop) {
    const std::vector<LiveSegments::Pointer> segments = live_.on_disk();
    std::vector<SegmentFacts> facts;
    for (const LiveSegments::Pointer& one : segments) {
        if (!one->is_damaged) facts.push_back(facts_of(*one));
    }
    const std::vector<uint64_t> ids = choose_merge(std::move(facts), options_, clock_.wall_ns());
    if (ids.empty()) return false;
    std::vector<LiveSegments::Pointer> inputs;
    for (const LiveSegments::Pointer& one : segments) {
        if (std::find(ids.begin(), ids.end(), one->id) != ids.end()) inputs.push_back(one);
    }
    const LiveSegment& first = *inputs.front();
    return rewrite({{{first.tenant, first.hour, first.kept}, nullptr, nullptr}}, std::move(inputs),
                   stop, {});
}

// Puts the outputs, all or none of them, in the place of the inputs.
Result<bool> StoreEngine::rewrite(const std::vector<Output>& outputs,
                                  std::vector<LiveSegments::Pointer> inputs,
                                  const std::function<bool()>& stop, const FilesBeside& beside) {
    ManifestChange change;
    if (beside.decisions) change.decisions_added.push_back(*beside.decisions);
    if (beside.counts) change.counts_added.push_back(*beside.counts);
    std::vector<uint64_t> gone;
    uint64_t bytes = 0;
    for (const LiveSegments::Pointer& one : inputs) {
        change.removed.push_back(one->id);
        gone.push_back(one->serial);
        bytes += one->segment->info().bytes;
    }
    // Both the inputs and the outputs are there for a while.
    if (!has_room_for(bytes)) return false;
    std::vector<Written> written;
    for (const Output& output : outputs) {
        Result<std::optional<Written>> one =
            write_segment(output, inputs, Pacing::kMaintenance, stop);
        if (!one) {
            remove_written(written);
            if (one.error().code == ErrorCode::kCancelled) return false;
            counters_.merge_failures.add();
            if (one.error().code != ErrorCode::kDataLoss)
                return tl::unexpected(std::move(one).error());
            find_damage(inputs);
            return true;
        }
        if (!*one) continue;
        change.added.push_back((*one)->entry);
        counters_.merged_spans.add((*one)->entry.spans);
        counters_.merged_bytes.add((*one)->entry.bytes);
        gauges_->written_bytes += (*one)->entry.bytes;
        written.push_back(std::move(**one));
    }
    counters_.merges.add();
    TRY(commit_written(change, std::move(written), gone));
    std::lock_guard lock(manifest_mutex_);
    for (LiveSegments::Pointer& input : inputs)
        obsolete_.add(input->path, input->segment);
    inputs.clear();
    return true;
}

bool StoreEngine::has_room_for(uint64_t bytes) const {
    return gauges_->disk_free_bytes >= bytes + options_.disk_free_bytes_min / 2;
}

// Those that cannot be read whole are served as far as they can be, and merged no more.
bool StoreEngine::mark_damage(const std::vector<LiveSegments::Pointer>& inputs) {
    bool is_found = false;
    for (const LiveSegments::Pointer& one : inputs) {
        const Result<void> verified = one->segment->verify();
        if (verified) continue;
        is_found = true;
        log::error("{} is damaged and is no longer merged: {}", one->path,
                   verified.error().message);
        counters_.damaged_segments.add();
        live_.mark_damaged(one->serial);
    }
    return is_found;
}

// Which of them made a merge fail.
void StoreEngine::find_damage(const std::vector<LiveSegments::Pointer>& inputs) {
    if (mark_damage(inputs)) return;
    // The damage does not show any more (a bad read): leave these alone until the next start.
    for (const LiveSegments::Pointer& one : inputs)
        live_.mark_damaged(one->serial);
    log::error("segments of {} could not be merged, although each can be read",
               inputs.front()->tenant);
}

Result<StoreEngine::DiskLook> StoreEngine::look_at_disk(const Ageing& rules,
                                                        Damaged damaged) const {
    DiskLook look;
    look.segments = live_.on_disk();
    if (damaged == Damaged::kLeftOut)
        std::erase_if(look.segments, [](const auto& one) { return one->is_damaged; });
    for (const LiveSegments::Pointer& one : look.segments)
        look.facts.push_back(facts_of(*one));
    TRY_ASSIGN(const DiskSpace space, io_.space());
    look.limits = space_limits(look.facts, options_, rules, space);
    return look;
}

// Of the undecided among what retention drops. The room comes first: where they cannot be counted
// they go all the same.
void StoreEngine::count_what_goes(const std::vector<LiveSegments::Pointer>& dropped,
                                  ManifestChange& change) {
    std::map<std::pair<std::string, uint64_t>, std::vector<LiveSegments::Pointer>> hours;
    for (const LiveSegments::Pointer& one : dropped) {
        if (!one->kept) hours[{one->tenant, one->hour}].push_back(one);
    }
    for (const auto& [hour, segments] : hours) {
        Result<std::optional<CountsFile>> counts = count_before_going(segments);
        if (counts && *counts) change.counts_added.push_back(std::move(**counts));
        if (!counts)
            log::warning("spans go without being counted for good: {}", counts.error().message);
    }
}

Result<bool> StoreEngine::drop_expired(bool can_thin) {
    TRY_ASSIGN(DiskLook look, look_at_disk(*ageing(), Damaged::kTaken));
    const std::vector<LiveSegments::Pointer>& segments = look.segments;
    const std::vector<uint64_t> ids =
        choose_drops(std::move(look.facts), options_, trusted_now_ns(), look.limits, can_thin);
    if (ids.empty()) return false;
    ManifestChange change;
    change.removed = ids;
    std::vector<LiveSegments::Pointer> dropped;
    for (const LiveSegments::Pointer& one : segments) {
        if (std::find(ids.begin(), ids.end(), one->id) != ids.end()) dropped.push_back(one);
    }
    count_what_goes(dropped, change);
    std::lock_guard lock(manifest_mutex_);
    Result<void> committed = manifest_->commit(change);
    if (!committed && committed.error().code == ErrorCode::kResourceExhausted && give_up_reserve())
        committed = manifest_->commit(change);
    if (!committed && committed.error().code == ErrorCode::kResourceExhausted) {
        // The disk has no room even for the entry: make some first.
        for (const LiveSegments::Pointer& one : dropped)
            obsolete_.add(one->path, nullptr);
        obsolete_.collect(io_);
        committed = manifest_->commit(change);
    }
    TRY(std::move(committed));
    std::vector<uint64_t> gone;
    for (const LiveSegments::Pointer& one : dropped) {
        const SegmentInfo& info = one->segment->info();
        gone.push_back(one->serial);
        counters_.dropped_segments.add();
        counters_.dropped_spans.add(info.spans);
        counters_.dropped_bytes.add(info.bytes);
        obsolete_.add(one->path, one->segment);
    }
    {
        std::lock_guard counted_lock(counted_mutex_);
        live_.replace(gone, {});
        follow_counts(change);
    }
    dropped.clear();
    obsolete_.collect(io_);
    log::info("retention dropped {} segments", gone.size());
    return true;
}

}  // namespace spanloom::store

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "base/log.h"
#include "store/store_engine.h"

// How what is in memory comes to the disk, so that the log is no longer needed for it.
namespace spanloom::store {
namespace {

// What makes a flush due wakes the flusher, but for what is due by time.
constexpr uint64_t kFlushLookMs = 100;
constexpr uint64_t kFlushLookMsMax = 500;
constexpr uint64_t kLooksPerUnread = 10;
constexpr auto kFlushRetry = std::chrono::milliseconds(2000);

}  // namespace

bool StoreEngine::wants_flush() const {
    const LiveTotals totals = live_.totals();
    if (totals.memory_bytes >= options_.flush_bytes) return true;
    if (shards_->are_worth_a_flush()) return true;
    // Heads of few large spans fill the memory before they are sealed.
    if (!has_memory_room()) return true;
    if (gauges_->unflushed_log_bytes >= options_.log_bytes_max) return true;
    // What was deleted is not to stay in memory and in the log until something else wants it.
    if (erase_flush_) return true;
    if (totals.oldest_in_memory_ns == 0) return false;
    return clock_.monotonic_ns() - totals.oldest_in_memory_ns >=
           options_.flush_after_ms * 1'000'000;
}

void StoreEngine::run_flusher() {
    const auto look = [this] {
        const uint64_t unread_ms = this->unread_ms();
        return std::chrono::milliseconds(
            unread_ms == 0
                ? kFlushLookMsMax
                : std::clamp(unread_ms / kLooksPerUnread, kFlushLookMs, kFlushLookMsMax));
    };
    std::chrono::milliseconds pause = look();
    while (true) {
        {
            std::unique_lock lock(wake_mutex_);
            // A failed flush is tried again later, not at every wish.
            flush_wake_.wait_for(lock, pause,
                                 [this] { return stopping_ || (!flush_fails_ && wants_flush()); });
            if (stopping_) return;
        }
        pause = look();
        update_gauges();
        if (!wants_flush()) continue;
        const Result<void> flushed = flush_now(HeadShards::Extent::kBegun, [this] {
            return stopping_ && clock_.monotonic_ns() > stop_deadline_ns_;
        });
        if (!flushed) pause = kFlushRetry;
    }
}

Result<void> StoreEngine::flush_now(HeadShards::Extent extent, const std::function<bool()>& stop) {
    std::lock_guard flush_lock(flush_mutex_);
    erase_flush_ = false;
    Result<void> result = flush_all(extent, stop);
    flush_fails_ = !result;
    if (!result) {
        counters_.flush_failures.add();
        log::warning("segments cannot be written to disk: {}", result.error().message);
        std::lock_guard lock(failure_mutex_);
        flush_failure_ = result.error().message;
    }
    update_gauges();
    shards_->notice_room();
    {
        std::lock_guard lock(wake_mutex_);
        maintenance_wake_.notify_one();
    }
    return result;
}

Result<void> StoreEngine::flush_all(HeadShards::Extent extent, const std::function<bool()>& stop) {
    {
        std::lock_guard lock(manifest_mutex_);
        TRY(manifest_->repair());
        for (std::string& path : orphans_)
            obsolete_.add(std::move(path), nullptr);
        orphans_.clear();
    }
    TRY_ASSIGN(const FlushInputs inputs, gather_inputs(extent));
    ManifestChange change;
    change.log_position = inputs.end;
    std::vector<Written> written;
    if (Result<void> all = write_inputs(inputs, stop, change, written); !all) {
        remove_written(written);
        return all;
    }
    std::vector<uint64_t> gone;
    for (const auto* some : {&inputs.merged, &inputs.as_they_are})
        for (const LiveSegments::Pointer& one : *some)
            gone.push_back(one->serial);
    if (gone.empty() && inputs.end.value <= flushed_end_) return {};
    TRY(commit_written(change, std::move(written), gone));
    flushed_end_ = inputs.end.value;
    log_->free_before(inputs.end);
    counters_.flushes.add();
    return {};
}

Result<StoreEngine::FlushInputs> StoreEngine::gather_inputs(HeadShards::Extent extent) {
    FlushInputs inputs;
    std::vector<LiveSegments::Pointer> before;
    const Result<void> sealed = shards_->empty(extent, [&](LogPosition end) {
        inputs.end = end;
        before = live_.in_memory();
    });
    // What was handed over has no other place, whatever failed elsewhere.
    const Result<void> encoded = encode_filled();
    TRY(sealed);
    TRY(encoded);  // else the log would let go of what it alone has
    for (LiveSegments::Pointer& one : live_.in_memory()) {
        const bool is_before = std::any_of(before.begin(), before.end(), [&](const auto& other) {
            return other->serial == one->serial;
        });
        const bool has_image = !one->image.empty();
        // Images came with this position, or with an earlier one.
        if (!is_before && !has_image) continue;
        const bool is_ready = has_image && !one->has_hidden;
        (is_ready ? inputs.as_they_are : inputs.merged).push_back(std::move(one));
    }
    return inputs;
}

Result<void> StoreEngine::write_inputs(const FlushInputs& inputs, const std::function<bool()>& stop,
                                       ManifestChange& change, std::vector<Written>& written) {
    const auto add = [&](std::optional<Written> one) {
        if (!one) return;
        change.added.push_back(one->entry);
        counters_.flushed_spans.add(one->entry.spans);
        counters_.flushed_bytes.add(one->entry.bytes);
        gauges_->written_bytes += one->entry.bytes;
        written.push_back(std::move(*one));
    };
    for (const LiveSegments::Pointer& one : inputs.as_they_are) {
        const Place place{one->tenant, one->hour, std::nullopt};
        TRY_ASSIGN(auto file,
                   write_file(place, Pacing::kNone, [&](WritableFile& to) -> Result<uint64_t> {
                       TRY(to.append(one->image.view()));
                       return one->segment->info().spans;
                   }));
        add(std::move(file));
    }
    std::map<std::pair<std::string, uint64_t>, std::vector<LiveSegments::Pointer>> partitions;
    for (const LiveSegments::Pointer& one : inputs.merged)
        partitions[{one->tenant, one->hour}].push_back(one);
    for (const auto& [key, segments] : partitions) {
        const Output output{{key.first, key.second, std::nullopt}, nullptr, nullptr};
        TRY_ASSIGN(auto merged, write_segment(output, segments, Pacing::kNone, stop));
        add(std::move(merged));
    }
    return {};
}

SegmentOptions StoreEngine::recent_on_disk() const {
    SegmentOptions on_disk;
    on_disk.rollup = options_.rollup;
    on_disk.has_models = true;
    return on_disk;
}

// -------------------------------------------------------------------- heads that are not sealed

uint64_t StoreEngine::unread_ms() const {
    const uint64_t read_ns = read_ns_;
    const bool is_read =
        read_ns != 0 && clock_.monotonic_ns() - read_ns < options_.read_memory_ms * 1'000'000;
    const uint64_t watched_ms = watched_within_ms_;
    if (is_read || watched_ms <= options_.seal_after_ms) return 0;
    // The flusher looks so much later.
    const uint64_t told_ms = watched_ms - watched_ms / kLooksPerUnread;
    return std::max(std::min<uint64_t>(options_.unread_ms, told_ms), options_.seal_after_ms);
}

void StoreEngine::show_heads() const {
    read_ns_ = std::max<uint64_t>(clock_.monotonic_ns(), 1);
    if (options_.background == StoreBackground::kCaller) return;
    // The shards do it themselves about then where somebody reads all the time.
    const uint64_t old_ms = options_.seal_after_ms + options_.seal_after_ms / 4;
    if (shards_->holds_older(old_ms)) (void)shards_->seal(HeadShards::Extent::kBegun);
    wait_for_filled();
}

void StoreEngine::wait_for_filled() const {
    std::unique_lock lock(filled_mutex_);
    filled_gone_.wait(lock, [this] { return filled_left_ == 0; });
}

void StoreEngine::add_filled(std::vector<FilledHead> filled) {
    const std::lock_guard lock(filled_mutex_);
    for (FilledHead& one : filled) {
        filled_bytes_ += one.rows.memory_bytes();
        filled_.push_back(std::move(one));
        ++filled_left_;
    }
}

// They are seen as segments in memory until their files are there.
Result<void> StoreEngine::encode_filled() {
    SegmentOptions options = recent_on_disk();
    options.places = PlacesForm::kFilter;
    options.has_models = false;
    Result<void> all;
    while (true) {
        std::optional<FilledHead> next;
        {
            const std::lock_guard lock(filled_mutex_);
            if (filled_.empty()) return all;
            next = std::move(filled_.back());
            filled_.pop_back();
        }
        const uint64_t rows_bytes = next->rows.memory_bytes();
        const auto encode = [&]() -> Result<SealedHead> {
            TRY_ASSIGN(Blob image, next->rows.finish_as(options));
            TRY_ASSIGN(auto segment, Segment::open(image, cache_));
            return SealedHead{next->tenant, next->hour, std::move(segment), std::move(image)};
        };
        Result<SealedHead> encoded = encode();
        shards_->give_back(std::move(next->rows));
        if (encoded) {
            std::vector<SealedHead> sealed;
            sealed.push_back(std::move(*encoded));
            add_sealed(std::move(sealed));
        } else {
            cannot_build(encoded.error());
            all = tl::unexpected(std::move(encoded).error());
        }
        filled_bytes_ -= rows_bytes;
        shards_->notice_room();
        const std::lock_guard lock(filled_mutex_);
        --filled_left_;
        filled_gone_.notify_all();
    }
}

}  // namespace spanloom::store

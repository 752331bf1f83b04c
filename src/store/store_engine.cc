#include "store/store_engine.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "store/log_format.h"

namespace spanloom::store {
namespace {

constexpr uint32_t kRetryBusy_s = 1;
constexpr uint32_t kRetryDisk_s = 30;
constexpr uint64_t kLogOverrun = 2;  // times log_bytes_max: then segments do not get to disk

Error refused(std::string text, uint32_t retry_after_s) {
    return Error{ErrorCode::kUnavailable, std::move(text), retry_after_s};
}

Error stalled() {
    return refused("more arrives than is written to disk", kRetryBusy_s);
}

uint64_t request_hash(const Batch& batch, uint64_t bytes_hash) {
    return hash64(batch.tenant, bytes_hash);
}

}  // namespace

StoreCounters::StoreCounters(MetricsRegistry& metrics)
    : accepted_spans(metrics.counter("store_accepted_spans_total", "Spans made durable.")),
      duplicate_spans(metrics.counter("store_duplicate_spans_total",
                                      "Spans sent again and recognised, so not added again.")),
      seals(metrics.counter("store_seals_total", "Heads sealed into segments in memory.")),
      flushes(metrics.counter("store_flushes_total", "Flushes of segments in memory to disk.")),
      flush_failures(metrics.counter("store_flush_failures_total", "Flushes that failed.")),
      flushed_spans(metrics.counter("store_flushed_spans_total", "Spans flushed to disk.")),
      flushed_bytes(metrics.counter("store_flushed_bytes_total", "Bytes written by flushes.")),
      merges(metrics.counter("store_merges_total", "Merges of segments on disk.")),
      merge_failures(metrics.counter("store_merge_failures_total", "Merges that failed.")),
      merged_spans(metrics.counter("store_merged_spans_total", "Spans rewritten by merges.")),
      merged_bytes(metrics.counter("store_merged_bytes_total", "Bytes written by merges.")),
      dropped_segments(metrics.counter("store_retention_segments_total",
                                       "Segments dropped by age, bytes or share of the disk.")),
      dropped_spans(metrics.counter("store_retention_spans_total", "Spans of dropped segments.")),
      dropped_bytes(metrics.counter("store_retention_bytes_total", "Bytes of dropped segments.")),
      damaged_segments(
          metrics.counter("store_damaged_segments_total", "Segments in which damage was found.")),
      recovered_spans(
          metrics.counter("store_recovered_spans_total", "Spans read back from the log at start.")),
      aged_traces(
          metrics.counter("store_aged_traces_total", "Traces that the keep rules decided about.")),
      aged_dropped_traces(
          metrics.counter("store_aged_dropped_traces_total", "Of them, those that no rule keeps.")),
      thinned_traces(metrics.counter("store_thinned_traces_total",
                                     "Kept traces that went for want of room, each second one")),
      deleted_traces(metrics.counter("store_deleted_traces_total", "Traces deleted on request.")),
      deleted_spans(metrics.counter("store_deleted_spans_total", "Spans deleted on request.")),
      poison_requests(metrics.counter("store_poison_requests_total",
                                      "Requests set aside because they ended the process.")),
      refused_memory(
          metrics.counter("store_refused_total", "Requests refused.", {{"reason", "memory"}})),
      refused_disk(
          metrics.counter("store_refused_total", "Requests refused.", {{"reason", "disk"}})) {}

bool RecentRequests::has(uint64_t hash) const {
    std::lock_guard lock(mutex_);
    return generations_[0].contains(hash) || generations_[1].contains(hash);
}

void RecentRequests::insert(uint64_t hash) {
    std::lock_guard lock(mutex_);
    if (generations_[0].size() >= kGeneration) {
        generations_[1] = std::move(generations_[0]);
        generations_[0].clear();
    }
    generations_[0].insert(hash);
}

StoreEngine::StoreEngine(StoreOptions options, Io& io, const Clock& clock, Random& random,
                         MetricsRegistry& metrics)
    : options_(std::move(options)),
      io_(io),
      clock_(clock),
      counters_(metrics),
      cache_(std::make_shared<SegmentCache>(options_.cache_bytes_max)),
      deletions_(io),
      documents_(io),
      live_(deletions_, options_.rollup),
      merge_pace_(options_.merge_bytes_per_s) {
    SegmentOptions in_memory;
    in_memory.zstd_level = 0;
    in_memory.places = PlacesForm::kNone;  // soon merged, and small enough to look at
    in_memory.rollup = options_.rollup;
    HeadShardsOptions shards;
    shards.segments = std::move(in_memory);
    shards.cache = cache_;
    shards.shards = options_.shards;
    shards.seal_spans = options_.seal_spans;
    shards.seal_after_ms = options_.seal_after_ms;
    shards.file_spans_min = options_.file_spans_min;
    shards.flush_bytes = options_.flush_bytes;
    shards.queue_bytes_max = options_.builder_queue_bytes_max;
    shards.seed = random.next();
    shards_ = std::make_unique<HeadShards>(std::move(shards), shards_owner(), clock,
                                           counters_.duplicate_spans, gauges_->builder_queue_bytes);
    opened_wall_ns_ = clock.wall_ns();
    opened_monotonic_ns_ = clock.monotonic_ns();
}

Result<std::unique_ptr<Store>> Store::open(StoreOptions options, Io& io, const Clock& clock,
                                           Random& random, MetricsRegistry& metrics) {
    TRY_ASSIGN(auto engine, StoreEngine::open(std::move(options), io, clock, random, metrics));
    return std::unique_ptr<Store>(std::move(engine));
}

Result<std::unique_ptr<StoreEngine>> StoreEngine::open(StoreOptions options, Io& io,
                                                       const Clock& clock, Random& random,
                                                       MetricsRegistry& metrics) {
    std::unique_ptr<StoreEngine> engine(
        new StoreEngine(std::move(options), io, clock, random, metrics));
    TRY(engine->recover(random, metrics));
    if (engine->options_.background == StoreBackground::kThreads) engine->start_threads();
    return engine;
}

StoreEngine::~StoreEngine() {
    stop_deadline_ns_ = clock_.monotonic_ns() + options_.shutdown_ms * 1'000'000;
    {
        // Under the lock, so that nobody misses it between a look and a wait.
        std::lock_guard wake_lock(wake_mutex_);
        stopping_ = true;
    }
    flush_wake_.notify_all();
    maintenance_wake_.notify_all();
    shards_->let_go();
    if (maintenance_.joinable()) maintenance_.join();
    if (flusher_.joinable()) flusher_.join();
    if (log_ == nullptr || lock_ == nullptr) return;
    log_->stop();
    shards_->stop();
    const Result<void> flushed = flush_now(
        HeadShards::Extent::kAdded, [this] { return clock_.monotonic_ns() > stop_deadline_ns_; });
    if (!flushed)
        log::warning("not everything is in segments at the end, the next start reads the log: {}",
                     flushed.error().message);
    std::lock_guard lock(manifest_mutex_);
    obsolete_.collect(io_);
}

uint64_t StoreEngine::memory_bytes() const {
    return rows_bytes() + live_.totals().memory_bytes + shards_->queue_bytes();
}

uint64_t StoreEngine::rows_bytes() const {
    return shards_->memory_bytes() + filled_bytes_;
}

bool StoreEngine::has_memory_room() const {
    return rows_bytes() + live_.totals().memory_bytes < options_.memory_bytes_max;
}

std::optional<Error> StoreEngine::refusal() const {
    if (stopping_) return refused("the server is stopping", kRetryBusy_s);
    {
        std::lock_guard lock(failure_mutex_);
        if (!failure_.empty()) return refused(failure_, kRetryDisk_s);
    }
    const uint64_t free_bytes = gauges_->disk_free_bytes.load();
    if (free_bytes < options_.disk_free_bytes_min) {
        counters_.refused_disk.add();
        return refused(
            fmt::format("the disk is full: {} are free, {} must stay free; make room or "
                        "shorten the retention",
                        format_bytes(free_bytes), format_bytes(options_.disk_free_bytes_min)),
            kRetryDisk_s);
    }
    const uint64_t memory = memory_bytes();
    const uint64_t log_bytes = gauges_->unflushed_log_bytes.load();
    const bool is_over =
        log_bytes > options_.log_bytes_max * kLogOverrun || memory > options_.memory_bytes_max / 2;
    if (flush_fails_ && is_over) {
        counters_.refused_disk.add();
        std::lock_guard lock(failure_mutex_);
        return refused("segments cannot be written: " + flush_failure_, kRetryDisk_s);
    }
    if (shards_->is_stalled()) {
        counters_.refused_memory.add();
        return stalled();
    }
    const bool waits = options_.background == StoreBackground::kThreads;
    // With threads the builder waits for room, so only what is far beyond is refused here.
    const uint64_t memory_max =
        options_.memory_bytes_max + (waits ? options_.builder_queue_bytes_max : 0);
    if (memory > memory_max + memory_max / 2) {
        counters_.refused_memory.add();
        return refused(fmt::format("more arrives than is written to disk: {} of memory are used",
                                   format_bytes(memory)),
                       kRetryBusy_s);
    }
    return std::nullopt;
}

void StoreEngine::accept(Batch batch, std::function<void(Result<void>)> done) {
    if (options_.background == StoreBackground::kCaller) measure_disk();
    if (std::optional<Error> error = refusal()) return done(tl::unexpected(std::move(*error)));
    if (batch.tenant.empty() || batch.tenant.size() > kTenantBytesMax)
        return done(fail(ErrorCode::kInvalidArgument, "a tenant's name has 1 to {} bytes, not {}",
                         kTenantBytesMax, batch.tenant.size()));
    if (batch.spans.empty()) return done({});
    const uint64_t bytes_hash = hash64(batch.bytes.view());
    const uint64_t hash = request_hash(batch, bytes_hash);
    if (poison_.contains(hash)) {
        counters_.poison_requests.add();
        return done(fail(ErrorCode::kInvalidArgument,
                         "this request ended the server twice and was set aside; do not send it "
                         "again, and report what is in its quarantine directory"));
    }
    if (recent_.has(hash)) {
        counters_.duplicate_spans.add(batch.spans.size());
        return done({});
    }
    struct Waiting {
        Batch batch;
        std::function<void(Result<void>)> done;
    };
    auto waiting = std::make_shared<Waiting>(Waiting{std::move(batch), std::move(done)});
    log_->append(waiting->batch, bytes_hash, [this, waiting, hash](Result<LogPosition> end) {
        if (!end) return waiting->done(tl::unexpected(std::move(end).error()));
        became_durable(std::move(waiting->batch), *end);
        recent_.insert(hash);
        waiting->done({});
    });
    if (options_.background == StoreBackground::kCaller) log_->write_queued();
}

void StoreEngine::became_durable(Batch batch, LogPosition end) {
    counters_.accepted_spans.add(batch.spans.size());
    gauges_->received_bytes += batch.bytes.size();
    shards_->add(std::move(batch), end);
}

HeadShardsOwner StoreEngine::shards_owner() {
    HeadShardsOwner owner;
    owner.take_sealed = [this](std::vector<SealedHead> sealed) {
        counters_.seals.add(sealed.size());
        add_sealed(std::move(sealed));
    };
    owner.has_memory = [this] { return has_memory_room(); };
    owner.take_filled = [this](std::vector<FilledHead> filled) { add_filled(std::move(filled)); };
    owner.unread_ms = [this] { return unread_ms(); };
    owner.wants_flush = [this] {
        const std::lock_guard lock(wake_mutex_);
        flush_wake_.notify_one();
    };
    owner.is_stalled = [this] { log_->refuse_queued(stalled()); };
    owner.failed = [this](const Error& error) { cannot_build(error); };
    return owner;
}

void StoreEngine::cannot_build(const Error& error) {
    const std::lock_guard lock(failure_mutex_);
    failure_ = "a segment could not be built: " + error.message;
}

void StoreEngine::add_sealed(std::vector<SealedHead> sealed) {
    std::vector<LiveSegment> come;
    for (SealedHead& one : sealed) {
        LiveSegment live;
        live.tenant = std::move(one.tenant);
        live.hour = one.hour;
        live.memory_bytes = one.segment->memory_bytes();
        live.since_monotonic_ns = clock_.monotonic_ns();
        live.segment = std::move(one.segment);
        live.image = std::move(one.image);
        come.push_back(std::move(live));
    }
    {
        const std::lock_guard lock(arrivals_mutex_);
        if (arrival_watch_) {
            for (const LiveSegment& live : come)
                arrival_watch_(live.tenant, live.segment);
        }
        live_.replace({}, std::move(come));
    }
    update_gauges();
    if (live_.totals().memory_bytes < options_.flush_bytes) return;
    std::lock_guard lock(wake_mutex_);
    flush_wake_.notify_one();
}

Result<void> StoreEngine::seal() {
    const Result<void> sealed = shards_->seal(HeadShards::Extent::kAdded);
    wait_for_filled();
    return sealed;
}

Result<void> StoreEngine::flush() {
    return flush_now(HeadShards::Extent::kAdded, [] { return false; });
}

std::vector<std::shared_ptr<const Segment>> StoreEngine::snapshot(std::string_view tenant) const {
    show_heads();
    return live_.snapshot(tenant);
}

void StoreEngine::watch_arrivals(ArrivalWatch watch, uint64_t within_ms) {
    const std::lock_guard lock(arrivals_mutex_);
    arrival_watch_ = std::move(watch);
    watched_within_ms_ = arrival_watch_ ? within_ms : UINT64_MAX;
}

std::vector<std::shared_ptr<const Segment>> StoreEngine::snapshot_with_watch(
    std::string_view tenant, const std::function<void()>& at_that_moment) const {
    const std::lock_guard lock(arrivals_mutex_);
    at_that_moment();
    return live_.snapshot(tenant);
}

void StoreEngine::update_gauges() {
    const LiveTotals totals = live_.totals();
    gauges_->spans = totals.spans;
    gauges_->segments = totals.segments;
    gauges_->segments_in_memory = totals.segments_in_memory;
    gauges_->disk_bytes = totals.disk_bytes;
    gauges_->memory_bytes = totals.memory_bytes + rows_bytes();
    gauges_->index_bytes = totals.index_bytes;
    const LogState log = log_->state();
    gauges_->log_written_bytes = log.written_bytes;
    const uint64_t end = log.end.value;
    gauges_->unflushed_log_bytes = end > flushed_end_ ? end - flushed_end_ : 0;
}

StoreState StoreEngine::state() const {
    const LiveTotals totals = live_.totals();
    StoreState state;
    state.spans = totals.spans;
    state.segments = totals.segments;
    state.segments_in_memory = totals.segments_in_memory;
    state.disk_bytes = totals.disk_bytes;
    state.kept_bytes = totals.kept_bytes;
    state.hiding = totals.hiding;
    state.memory_bytes = memory_bytes();
    state.oldest_arrival_ns = totals.oldest_arrival_ns;
    state.quarantined = gauges_->quarantined.load();
    state.duplicates = counters_.duplicate_spans.value();
    state.log = log_->state();
    state.is_read_only = state.log.is_read_only;
    state.reason = state.log.reason;
    if (state.is_read_only) return state;
    if (std::optional<Error> error = refusal()) {
        state.is_read_only = true;
        state.reason = error->message;
    }
    return state;
}

}  // namespace spanloom::store

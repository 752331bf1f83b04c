#include "sdk/span_watch.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <new>
#include <system_error>

#include <fmt/format.h>
#include <pthread.h>

#include "sdk/background_thread.h"
#include "sdk/fork.h"
#include "sdk/provider_core.h"
#include "sdk/span_record.h"

namespace spanloom::sdk {
namespace {

using detail::ThreadCounts;

constexpr uint64_t kPatrolNsMax = 1'000'000'000;
constexpr uint64_t kForgetNs = 10'000'000'000;

// A family's word: generation, children started, children left out.
constexpr uint64_t kChildStarted = uint64_t{1} << 16;
constexpr uint64_t kChildLeftOut = 1;
constexpr uint64_t kCountMax = 0xffff;
uint64_t started_children(uint64_t family) noexcept {
    return family >> 16 & kCountMax;
}
uint64_t left_out_children(uint64_t family) noexcept {
    return family & kCountMax;
}

void count_child(WatchedSpan* parent, uint32_t generation, uint64_t what) noexcept {
    uint64_t family = parent->family.load(std::memory_order_relaxed);
    do {
        if (family >> 32 != generation) return;
        // A family that is too large to be counted stays whole.
        if (started_children(family) == kCountMax) return;
    } while (!parent->family.compare_exchange_weak(family, family + what, std::memory_order_acq_rel,
                                                   std::memory_order_relaxed));
}

std::string text_of(const detail::SourceLocation& where) {
    return fmt::format("{}:{}", where.file, where.line);
}

uint64_t subject_of(const detail::SourceLocation& where, std::string_view what) noexcept {
    const std::hash<std::string_view> hash;
    return hash(where.file) + where.line * 0x9e3779b97f4a7c15U + hash(what);
}

bool filters(const ProviderOptions& options) {
    return options.duration_min.ns != 0 ||
           std::any_of(options.tracers.begin(), options.tracers.end(),
                       [](const auto& rule) { return rule.second.duration_min.ns != 0; });
}

// The record's own, made where it has none.
WatchedSpan* watched_span_of(detail::SpanRecord* record) noexcept {
    WatchedSpan* watched = record->watched.load(std::memory_order_relaxed);
    if (watched != nullptr) return watched;
    watched = new (std::nothrow) WatchedSpan;
    record->watched.store(watched, std::memory_order_release);
    return watched;
}

}  // namespace

SpanWatch::SpanWatch(const ProviderOptions& options)
    : flags((options.debug.is_enabled ? uint32_t{kDebug} : 0) |
            (filters(options) ? uint32_t{kShort} : 0)),
      span_alive_max_ns_(options.debug.span_alive_max.ns),
      trace_spans_max_(options.trace_spans_max),
      diagnostics_(options.diagnostic, options.diagnostic_user),
      guard_(options.trace_spans_max),
      patrol_(std::make_shared<Patrol>()) {}

bool SpanWatch::admit(const NewSpan& span, ThreadCounts& counts) noexcept {
    const uint32_t now = flags.load(std::memory_order_relaxed);
    if ((now & kNoisy) != 0 && guard_.is_blocked(span.record->context.trace_id(), span.name)) {
        ThreadCounts::add(counts.too_many);
        return false;
    }
    if (counts.started.load(std::memory_order_relaxed) >= counts.next_look &&
        is_too_many(span, counts)) {
        ThreadCounts::add(counts.too_many);
        return false;
    }
    if ((now & kFirst) != 0 && (flags.fetch_and(~uint32_t{kFirst}) & kFirst) != 0)
        first_call_(first_argument_);
    if ((now & (kDebug | kShort)) != 0) begin(span);
    return true;
}

bool SpanWatch::is_too_many(const NewSpan& span, ThreadCounts& counts) noexcept {
    const uint64_t started = counts.started.load(std::memory_order_relaxed);
    const uint64_t weight = started + 1 - counts.looked_at;
    counts.looked_at = started + 1;
    const uint64_t gap = guard_.next_gap(detail::thread_state().ids.next());
    counts.next_look = gap == UINT64_MAX ? gap : started + gap;
    if (trace_spans_max_ == 0) return false;
    const auto finding = guard_.count(span.record->context.trace_id(), span.name, weight);
    if ((flags.load(std::memory_order_relaxed) & kNoisy) != 0) {
        const uint64_t now_ns = system_ns(CLOCK_MONOTONIC);
        uint64_t next_ns = next_forget_ns_.load(std::memory_order_relaxed);
        if (now_ns >= next_ns &&
            next_forget_ns_.compare_exchange_strong(next_ns, now_ns + kForgetNs) &&
            !guard_.forget_idle())
            flags.fetch_and(~uint32_t{kNoisy});
    }
    if (finding.kind == TraceGuard::Finding::Kind::kFine) return false;
    report_noise(span, finding);
    if (finding.kind != TraceGuard::Finding::Kind::kTooManyOfName) {
        return false;
    }
    next_forget_ns_.store(system_ns(CLOCK_MONOTONIC) + kForgetNs, std::memory_order_relaxed);
    flags.fetch_or(kNoisy);
    return true;
}

void SpanWatch::begin(const NewSpan& span) noexcept {
    WatchedSpan* watched = watched_span_of(span.record);
    if (watched == nullptr) return;
    const auto generation =
        static_cast<uint32_t>(span.record->generation.load(std::memory_order_relaxed) + 1);
    watched->family.store(uint64_t{generation} << 32, std::memory_order_release);
    watched->kind = span.kind;
    watched->parent = nullptr;
    const SpanContext& parent = span.parent.span_context();
    watched->is_entry = !parent.is_valid() || parent.is_remote();
    if (detail::SpanRecord* record = detail::ContextAccess::record(span.parent);
        record != nullptr) {
        watched->parent = record->watched.load(std::memory_order_acquire);
        watched->parent_generation =
            static_cast<uint32_t>(detail::ContextAccess::generation(span.parent));
        if (watched->parent != nullptr)
            count_child(watched->parent, watched->parent_generation, kChildStarted);
    }
    if ((flags.load(std::memory_order_relaxed) & kDebug) == 0) return;
    const bool is_serving = span.kind == SpanKind::kServer || span.kind == SpanKind::kConsumer;
    if (span.has_no_context && !is_serving && live_.serving_count() != 0) report_detached(span);
    watched->context = span.record->context;
    watched->where = span.where;
    watched->started_ns = system_ns(CLOCK_MONOTONIC);
    live_.add(watched, span.name);
    start_thread();
}

bool SpanWatch::keeps(detail::SpanRecord* record, ThreadCounts& counts) noexcept {
    WatchedSpan* watched = record->watched.load(std::memory_order_relaxed);
    if (watched == nullptr) return true;
    const uint32_t now = flags.load(std::memory_order_relaxed);
    if ((now & kDebug) != 0) live_.remove(watched);
    if ((now & kShort) == 0) return true;
    const uint64_t family = watched->family.load(std::memory_order_acquire);
    const auto end_ns = load_raw<uint64_t>(record->buffer.begin() + detail::kEndAt);
    const bool is_long = end_ns < record->start.wall_ns ||
                         end_ns - record->start.wall_ns >= record->tracer()->duration_min_ns;
    // Others may know of a client's or producer's span: its ids have gone out.
    const bool is_known = watched->is_entry || watched->kind == SpanKind::kClient ||
                          watched->kind == SpanKind::kProducer;
    if (is_long || is_known || record->status == StatusCode::kError ||
        started_children(family) != left_out_children(family))
        return true;
    if (watched->parent != nullptr)
        count_child(watched->parent, watched->parent_generation, kChildLeftOut);
    ThreadCounts::add(counts.filtered);
    return false;
}

void SpanWatch::at_first_span(void (*call)(void*), void* argument) noexcept {
    first_call_ = call;
    first_argument_ = argument;
    flags.fetch_or(kFirst);
}

// ---- reports

void SpanWatch::report_noise(const NewSpan& span, const TraceGuard::Finding& finding) noexcept {
    if (!diagnostics_.wants(subject_of(span.where, span.name), system_ns(CLOCK_MONOTONIC))) return;
    try {
        const std::string trace = span.record->context.trace_id().hex();
        if (finding.kind == TraceGuard::Finding::Kind::kTooManyOfMany)
            return diagnostics_.report(
                fmt::format("trace {} has more than {} spans of this process, with very many "
                            "names: does a name "
                            "hold an id? The latest is '{}', started at {}",
                            trace, trace_spans_max_, span.name, text_of(span.where)));
        diagnostics_.report(fmt::format(
            "trace {} has more than {} spans of this process, {} % of them named '{}' (tracer "
            "'{}', "
            "started at {}): further ones of this name are left out of this trace. Start fewer, or "
            "raise trace_spans_max",
            trace, trace_spans_max_, finding.percent, span.name, span.tracer->name.name,
            text_of(span.where)));
    } catch (...) {
        // No memory for a message: nothing to say it with.
    }
}

void SpanWatch::report_detached(const NewSpan& span) noexcept {
    if (!diagnostics_.wants(subject_of(span.where, "detached"), system_ns(CLOCK_MONOTONIC))) return;
    try {
        diagnostics_.report(fmt::format(
            "span '{}' was started at {} on a thread without an active context while {} server "
            "spans were live: it is detached, the root of a trace of its own. Take the context "
            "along (spanloom::bind), or give Context::root() as the parent where that is meant",
            span.name, text_of(span.where), live_.serving_count()));
    } catch (...) {
    }
}

void SpanWatch::report_old(const LiveSpans::Found& found) noexcept {
    if (!diagnostics_.wants(subject_of(found.where, "old"), system_ns(CLOCK_MONOTONIC))) return;
    try {
        diagnostics_.report(fmt::format(
            "span '{}' (trace {}, span {}), started at {}, is alive for {} ms, longer than {} ms: "
            "is it ever ended?",
            found.name, found.context.trace_id().hex(), found.context.span_id().hex(),
            text_of(found.where), found.alive_ns / 1'000'000, span_alive_max_ns_ / 1'000'000));
    } catch (...) {
    }
}

// ---- the patrol

void SpanWatch::look(uint64_t now_ns) noexcept {
    try {
        if (now_ns > span_alive_max_ns_)
            live_.find_older(now_ns - span_alive_max_ns_, now_ns,
                             [this](const LiveSpans::Found& found) { report_old(found); });
    } catch (...) {  // out of memory
    }
}

void SpanWatch::start_thread() noexcept {
    const std::lock_guard lock(patrol_mutex_);
    if (patrol_->thread.joinable() || patrol_->is_stopping) return;
    const uint64_t pause_ns = std::clamp<uint64_t>(span_alive_max_ns_ / 4, 1'000'000, kPatrolNsMax);
    try {
        patrol_->thread = start_background_thread([this, patrol = patrol_, pause_ns] {
            std::unique_lock waiting(patrol->mutex);
            while (!patrol->is_stopping) {
                waiting.unlock();
                look(system_ns(CLOCK_MONOTONIC));
                waiting.lock();
                patrol->changed.wait_for(waiting, std::chrono::nanoseconds(pause_ns),
                                         [&] { return patrol->is_stopping; });
            }
            patrol->is_done = true;
            patrol->changed.notify_all();
        });
    } catch (const std::system_error&) {
        // No thread to be had now; the next span tries again.
    }
}

void SpanWatch::shut_down(Deadline deadline, const ProviderStats& stats) noexcept {
    {
        const std::lock_guard lock(patrol_mutex_);
        std::unique_lock waiting(patrol_->mutex);
        patrol_->is_stopping = true;
        patrol_->changed.notify_all();
        if (patrol_->thread.joinable()) {
            const bool is_done = patrol_->changed.wait_for(
                waiting,
                std::chrono::nanoseconds(std::min<uint64_t>(deadline.left().ns, INT64_MAX)),
                [&] { return patrol_->is_done; });
            waiting.unlock();
            is_done ? patrol_->thread.join() : patrol_->thread.detach();
        }
    }
    try {
        if (const auto oldest = live_.oldest(system_ns(CLOCK_MONOTONIC)))
            diagnostics_.report(
                fmt::format("{} spans had not ended at the shutdown and are lost; the oldest is "
                            "'{}', started at {}",
                            oldest->live_count, oldest->name, text_of(oldest->where)));
        const ProcessorStats& lost = stats.processors;
        const uint64_t dropped = lost.dropped_queue_full + lost.dropped_at_shutdown +
                                 lost.dropped_too_big + lost.failed + lost.rejected;
        if (dropped != 0)
            diagnostics_.report(fmt::format(
                "{} of {} spans were lost: {} found the queue full, {} were still waiting at the "
                "shutdown, {} were too big, {} could not be sent, {} were rejected by the receiver",
                dropped, lost.received, lost.dropped_queue_full, lost.dropped_at_shutdown,
                lost.dropped_too_big, lost.failed, lost.rejected));
    } catch (...) {  // out of memory
    }
}

// ---- around a fork

void SpanWatch::lock() noexcept {
    patrol_mutex_.lock();
    live_.lock();
    guard_.lock();
    diagnostics_.lock();
}
void SpanWatch::unlock() noexcept {
    diagnostics_.unlock();
    guard_.unlock();
    live_.unlock();
    patrol_mutex_.unlock();
}

void SpanWatch::after_fork_in_child() noexcept {
    live_.forget_all();
    // The thread is the parent's; what it waits with is left as it is.
    detail::leave_to_parent(patrol_);
    const bool is_stopping = patrol_->is_stopping;
    patrol_ = std::make_shared<Patrol>();
    patrol_->is_stopping = is_stopping;
}

}  // namespace spanloom::sdk

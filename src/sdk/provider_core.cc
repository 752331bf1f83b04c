#include "sdk/provider_core.h"

#include <algorithm>
#include <exception>

#include "base/glob.h"
#include "otlp/writer.h"
#include "sdk/fork.h"
#include "sdk/processor_calls.h"
#include "sdk/system_source.h"
#include "spanloom/timestamp.h"

namespace spanloom::detail {
TracerName::TracerName(std::string_view name_text, std::string_view version_text,
                       std::string_view schema_url_text, AttributeList attributes)
    : name(sdk::clean_text(name_text, UINT32_MAX)),
      version(sdk::clean_text(version_text, UINT32_MAX)),
      schema_url(sdk::clean_text(schema_url_text, UINT32_MAX)) {
    otlp::WireWriter writer(scope);
    if (!name.empty()) writer.bytes_field(1, name);
    if (!version.empty()) writer.bytes_field(2, version);
    uint8_t storage[4096];
    sdk::EncodeBuffer buffer(storage, sizeof storage);
    sdk::put_attributes(buffer, 3 << 3 | 2, attributes, SpanLimits().attributes_max, {});
    scope.append(buffer.view());
}

ProviderCore::ProviderCore(ProviderOptions given)
    : options(std::move(given)), watch(options), owner_(next_owner()) {
    if (options.sampler == nullptr)
        options.sampler = make_parent_based_sampler({make_always_on_sampler()});
    sampler = options.sampler.get();
    shortcut = sampler->shortcut();
    id_generator = options.id_generator.get();
    for (const auto& processor : options.processors) {
        const unsigned interests = processor->interests();
        if ((interests & SpanProcessor::kOnStart) != 0) on_start.push_back(processor.get());
        if ((interests & SpanProcessor::kOnEnding) != 0) on_ending.push_back(processor.get());
        if ((interests & SpanProcessor::kOnEnd) != 0) on_end.push_back(processor.get());
    }
    sdk::tick_clock.start_interval();
    follow_forks(this);
}

TracerCore* ProviderCore::find_tracer(const TracerName& name) {
    for (TracerCore& tracer : tracers_) {
        if (tracer.name == name) return &tracer;
    }
    TracerCore& tracer = tracers_.emplace_back();
    tracer.provider = this;
    tracer.limits = options.limits;
    tracer.duration_min_ns = options.duration_min.ns;
    tracer.name = name;
    const auto rule = std::find_if(options.tracers.begin(), options.tracers.end(),
                                   [&](const auto& r) { return glob_match(r.first, name.name); });
    if (rule != options.tracers.end()) {
        tracer.is_enabled = rule->second.is_enabled;
        tracer.duration_min_ns = std::max(tracer.duration_min_ns, rule->second.duration_min.ns);
    }
    tracer.source = {tracer.name.name,       tracer.name.version, tracer.name.scope,
                     tracer.name.schema_url, &options.resource,   &tracer};
    return &tracer;
}

void ProviderCore::lead(TracerEntry* entry, const TracerName& name) {
    const std::lock_guard lock(mutex_);
    TracerCore* tracer = find_tracer(name);
    __atomic_store_n(&entry->core, tracer->is_enabled ? tracer : nullptr, __ATOMIC_RELEASE);
}

TracerEntry* ProviderCore::entry(const TracerName& name) {
    TracerEntry* added = nullptr;
    {
        const std::lock_guard lock(mutex_);
        const TracerCore* tracer = find_tracer(name);
        for (auto& [of, known] : entries_) {
            if (of == tracer) return &known;
        }
        added = &entries_.emplace_back(tracer, TracerEntry{}).second;
    }
    lead(added, name);
    return added;
}

bool ProviderCore::force_flush(Deadline deadline) noexcept {
    return sdk::flush_all(options.processors, deadline);
}

bool ProviderCore::shutdown(Deadline deadline) noexcept {
    if (is_shut_down.exchange(true)) return true;
    const bool is_done = sdk::shut_down_all(options.processors, deadline);
    watch.shut_down(deadline, stats());
    is_at_rest_.store(true, std::memory_order_release);
    return is_done;
}

ThreadCounts& ProviderCore::find_counts(ThreadState& thread, ThreadState::Local& local) noexcept {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(counted_.begin(), counted_.end(),
                                    [&](const Counted& c) { return c.thread == &thread; });
    Counted& counted = found != counted_.end() ? *found : counted_.emplace_back(&thread);
    local = {owner_, &counted.counts};
    return counted.counts;
}

ProviderStats ProviderCore::stats() const noexcept {
    ProviderStats stats;
    {
        const std::lock_guard lock(mutex_);
        for (const Counted& counted : counted_) {
            // Ended first: a span that ends in between must not make `live` negative.
            stats.ended += counted.counts.ended.load(std::memory_order_acquire);
            stats.filtered += counted.counts.filtered.load(std::memory_order_relaxed);
            stats.too_many += counted.counts.too_many.load(std::memory_order_relaxed);
            stats.late_calls += counted.counts.late.load(std::memory_order_relaxed);
        }
        for (const Counted& counted : counted_) {
            stats.started += counted.counts.started.load(std::memory_order_relaxed);
            stats.not_sampled += counted.counts.not_sampled.load(std::memory_order_relaxed);
        }
    }
    stats.live = stats.started > stats.ended ? stats.started - stats.ended : 0;
    stats.dropped_letters = dropped_letters.load(std::memory_order_relaxed);
    stats.late_calls += late_letters.load(std::memory_order_relaxed);
    for (const auto& processor : options.processors)
        stats.processors += processor->stats();
    return stats;
}

void ProviderCore::after_fork_in_child() noexcept {
    // Spans and counts of the parent's other threads stay with the parent.
    for (Counted& counted : counted_) {
        counted.counts.started.store(0, std::memory_order_relaxed);
        counted.counts.not_sampled.store(0, std::memory_order_relaxed);
        counted.counts.ended.store(0, std::memory_order_relaxed);
        counted.counts.filtered.store(0, std::memory_order_relaxed);
        counted.counts.too_many.store(0, std::memory_order_relaxed);
        counted.counts.late.store(0, std::memory_order_relaxed);
        counted.counts.next_look = counted.counts.looked_at = 0;
    }
    dropped_letters.store(0, std::memory_order_relaxed);
    late_letters.store(0, std::memory_order_relaxed);
    try {
        sdk::renew_identity(options.resource, sdk::SystemSource::of_this_process());
    } catch (...) {  // out of memory: under the parent's name then
    }
    watch.after_fork_in_child();
    for (const auto& processor : options.processors)
        processor->after_fork_in_child();
}

}  // namespace spanloom::detail

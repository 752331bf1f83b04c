#include "spanloom/tracer_provider.h"

#include <atomic>
#include <deque>
#include <mutex>

#include "sdk/provider_core.h"

namespace spanloom {

using detail::ProviderCore;
using detail::TracerEntry;

namespace {

// The global provider is a place: tracers taken from it lead to whichever provider stands there.
struct GlobalProvider {
    struct Named {
        detail::TracerName name;
        TracerEntry entry;
    };
    std::mutex mutex;
    std::deque<Named> tracers;
    std::atomic<ProviderCore*> core = nullptr;
};

// Never destroyed: static destructors may still use tracers.
GlobalProvider& global_provider() noexcept {
    static auto* const instance = new GlobalProvider;
    return *instance;
}

TracerEntry* find_global(const detail::TracerName& name) {
    GlobalProvider& global = global_provider();
    const std::lock_guard lock(global.mutex);
    for (GlobalProvider::Named& known : global.tracers) {
        if (known.name == name) return &known.entry;
    }
    GlobalProvider::Named& added = global.tracers.emplace_back();
    added.name = name;
    if (ProviderCore* core = global.core.load(); core != nullptr) core->lead(&added.entry, name);
    return &added.entry;
}

}  // namespace

void detail::lock_global_provider() noexcept {
    global_provider().mutex.lock();
}
void detail::unlock_global_provider() noexcept {
    global_provider().mutex.unlock();
}

TracerProvider TracerProvider::create(ProviderOptions options) {
    return TracerProvider(new ProviderCore(std::move(options)), Place::kOwn);
}

TracerProvider TracerProvider::global() noexcept {
    return TracerProvider(global_provider().core.load(), Place::kGlobal);
}

void TracerProvider::set_global(TracerProvider provider) noexcept {
    GlobalProvider& global = global_provider();
    const std::lock_guard lock(global.mutex);
    global.core.store(provider.core_);
    for (GlobalProvider::Named& known : global.tracers) {
        __atomic_store_n(&known.entry.core, nullptr, __ATOMIC_RELEASE);
        if (provider.core_ != nullptr) provider.core_->lead(&known.entry, known.name);
    }
}

Tracer TracerProvider::get_tracer(std::string_view name, std::string_view version,
                                  std::string_view schema_url, AttributeList attributes) noexcept {
    try {
        const detail::TracerName full(name, version, schema_url, attributes);
        if (place_ == Place::kGlobal) return Tracer(find_global(full));
        if (core_ != nullptr) return Tracer(core_->entry(full));
    } catch (...) {  // out of memory
    }
    return {};
}

bool TracerProvider::force_flush(Deadline deadline) noexcept {
    return core_ == nullptr || core_->force_flush(deadline);
}

bool TracerProvider::shutdown(Deadline deadline) noexcept {
    return core_ == nullptr || core_->shutdown(deadline);
}

ProviderStats TracerProvider::stats() const noexcept {
    return core_ == nullptr ? ProviderStats() : core_->stats();
}

const Resource& TracerProvider::resource() const noexcept {
    static const Resource* const none = new Resource;
    return core_ == nullptr ? *none : core_->options.resource;
}

Deadline::Deadline(Duration duration) noexcept {
    const uint64_t now_ns = sdk::system_ns(CLOCK_MONOTONIC);
    monotonic_ns_ = duration.ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + duration.ns;
}

Duration Deadline::left() const noexcept {
    const uint64_t now_ns = sdk::system_ns(CLOCK_MONOTONIC);
    return Duration::from_ns(monotonic_ns_ > now_ns ? monotonic_ns_ - now_ns : 0);
}

}  // namespace spanloom

#include "sdk/trace_guard.h"

#include <algorithm>
#include <functional>
#include <new>

namespace spanloom::sdk {
namespace {

// A trace at its limit has been looked at so many times, at least where the limit allows it.
constexpr uint64_t kLooksMin = 128;
constexpr uint64_t kIntervalMax = 64;
// After so many looks at others, a trace's entry may go to another one.
constexpr uint64_t kStaleAfter = 16'384;
// A name with less than this share of a trace's spans is not what makes it large.
constexpr uint64_t kShareMin = 16;

uint64_t hash_of(std::string_view name) noexcept {
    return std::hash<std::string_view>()(name);
}

uint64_t key_of(const TraceId& trace, uint64_t name) noexcept {
    const uint64_t mixed = (trace.hash() ^ name) * 0x9e3779b97f4a7c15U;
    return (mixed ^ mixed >> 29) | 1;
}

}  // namespace

TraceGuard::TraceGuard(uint32_t spans_max) noexcept
    : spans_max_(spans_max),
      interval_(std::clamp<uint64_t>(spans_max / kLooksMin, 1, kIntervalMax)) {}

uint64_t TraceGuard::next_gap(uint64_t random_bits) const noexcept {
    if (spans_max_ == 0) return UINT64_MAX;
    return 1 + random_bits % (2 * interval_ - 1);
}

TraceGuard::Entry& TraceGuard::entry_of(const TraceId& trace) noexcept {
    Entry* const set = entries_->data() + trace.hash() % kSets * kWays;
    Entry* oldest = set;
    for (Entry* entry = set; entry != set + kWays; ++entry) {
        if (entry->spans != 0 && entry->trace == trace) return *entry;
        const auto age = [this](const Entry& e) {
            // What is large and still comes by stays longest.
            return e.spans == 0 || looks_ - e.seen > kStaleAfter ? UINT64_MAX
                                                                 : UINT64_MAX - 1 - e.spans;
        };
        if (age(*entry) > age(*oldest)) oldest = entry;
    }
    *oldest = Entry();
    oldest->trace = trace;
    return *oldest;
}

TraceGuard::Name* TraceGuard::add_name(Entry& entry, uint64_t hash, uint64_t weight) noexcept {
    Name* least = entry.names.data();
    for (Name& name : entry.names) {
        if (name.spans != 0 && name.hash == hash) {
            name.spans += weight;
            return &name;
        }
        if (name.spans < least->spans) least = &name;
    }
    const uint64_t taken = std::min(weight, least->spans);
    for (Name& name : entry.names)
        name.spans -= std::min(name.spans, taken);
    if (weight == taken) return nullptr;
    *least = {hash, weight - taken};
    return least;
}

TraceGuard::Finding TraceGuard::count(const TraceId& trace, std::string_view name,
                                      uint64_t weight) noexcept {
    const uint64_t hash = hash_of(name);
    const std::lock_guard lock(mutex_);
    if (entries_ == nullptr) entries_.reset(new (std::nothrow) std::array<Entry, kSets * kWays>);
    if (entries_ == nullptr) return {};
    Entry& entry = entry_of(trace);
    entry.seen = ++looks_;
    entry.spans += weight;
    const Name* const own = add_name(entry, hash, weight);
    if (entry.spans <= spans_max_) return {};
    const uint64_t most =
        std::max_element(entry.names.begin(), entry.names.end(), [](const Name& a, const Name& b) {
            return a.spans < b.spans;
        })->spans;
    Finding finding;
    if (most * kShareMin < entry.spans) {
        finding.kind = Finding::Kind::kTooManyOfMany;
    } else if (own != nullptr && own->spans == most) {
        finding = {Finding::Kind::kTooManyOfName, static_cast<uint32_t>(most * 100 / entry.spans)};
        block(key_of(trace, hash));
    } else {
        return {};  // the name that it is will come by
    }
    // The others get as many spans again.
    entry.names = {};
    entry.spans = 1;
    return finding;
}

void TraceGuard::block(uint64_t key) noexcept {
    Blocked& blocked = blocked_[next_blocked_++ % blocked_.size()];
    blocked.is_asked_for.store(true, std::memory_order_relaxed);
    blocked.key.store(key, std::memory_order_relaxed);
}

bool TraceGuard::is_blocked(const TraceId& trace, std::string_view name) noexcept {
    const uint64_t key = key_of(trace, hash_of(name));
    for (Blocked& blocked : blocked_) {
        if (blocked.key.load(std::memory_order_relaxed) != key) continue;
        if (!blocked.is_asked_for.load(std::memory_order_relaxed))
            blocked.is_asked_for.store(true, std::memory_order_relaxed);
        return true;
    }
    return false;
}

bool TraceGuard::forget_idle() noexcept {
    const std::lock_guard lock(mutex_);
    bool is_any = false;
    for (Blocked& blocked : blocked_) {
        if (!blocked.is_asked_for.exchange(false, std::memory_order_relaxed))
            blocked.key.store(0, std::memory_order_relaxed);
        is_any = is_any || blocked.key.load(std::memory_order_relaxed) != 0;
    }
    return is_any;
}

}  // namespace spanloom::sdk

#include "sdk/live_spans.h"

#include <vector>

namespace spanloom::sdk {
namespace {

constexpr size_t kFoundMax = 10;

bool is_serving(SpanKind kind) noexcept {
    return kind == SpanKind::kServer || kind == SpanKind::kConsumer;
}

}  // namespace

void LiveSpans::add(WatchedSpan* span, std::string_view name) noexcept {
    const std::lock_guard lock(mutex_);
    try {
        span->name = name;
    } catch (...) {  // out of memory: then without its name
        span->name.clear();
    }
    span->is_listed = true;
    span->is_found = false;
    span->next = nullptr;
    span->previous = last_;
    (last_ == nullptr ? first_ : last_->next) = span;
    last_ = span;
    ++count_;
    if (is_serving(span->kind)) serving_.fetch_add(1, std::memory_order_relaxed);
}

void LiveSpans::remove(WatchedSpan* span) noexcept {
    const std::lock_guard lock(mutex_);
    if (!span->is_listed) return;
    span->is_listed = false;
    (span->previous == nullptr ? first_ : span->previous->next) = span->next;
    (span->next == nullptr ? last_ : span->next->previous) = span->previous;
    --count_;
    if (is_serving(span->kind)) serving_.fetch_sub(1, std::memory_order_relaxed);
}

void LiveSpans::find_older(uint64_t started_before_ns, uint64_t now_ns,
                           FunctionRef<void(const Found&)> visit) {
    std::vector<Found> found;
    {
        const std::lock_guard lock(mutex_);
        for (WatchedSpan* span = first_; span != nullptr && found.size() < kFoundMax;
             span = span->next) {
            if (span->started_ns >= started_before_ns) break;
            if (span->is_found) continue;
            span->is_found = true;
            found.push_back(this->found(*span, now_ns));
        }
    }
    for (const Found& one : found)
        visit(one);
}

std::optional<LiveSpans::Found> LiveSpans::oldest(uint64_t now_ns) {
    const std::lock_guard lock(mutex_);
    if (first_ == nullptr) return std::nullopt;
    return found(*first_, now_ns);
}

LiveSpans::Found LiveSpans::found(const WatchedSpan& span, uint64_t now_ns) const {
    return {span.name, span.context, span.where, now_ns - span.started_ns, count_};
}

void LiveSpans::forget_all() noexcept {
    for (WatchedSpan* span = first_; span != nullptr; span = span->next)
        span->is_listed = false;
    first_ = last_ = nullptr;
    count_ = 0;
    serving_.store(0, std::memory_order_relaxed);
}

}  // namespace spanloom::sdk

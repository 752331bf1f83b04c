#include "store/head.h"

#include <bit>
#include <cstdlib>
#include <new>

#include "store/store_paths.h"

namespace spanloom::store {

ResendWindow::ResendWindow(uint64_t seed, uint32_t shards)
    : seed_(seed),
      mask_(std::max<size_t>(std::bit_floor(kSlots / shards), 1024) - 1),
      now_(make_generation()),
      before_(make_generation()) {}

ResendWindow::Generation ResendWindow::make_generation() const {
    // calloc: pages that nothing was written to take no memory.
    void* slots = std::calloc(mask_ + 1, sizeof(uint64_t));
    if (slots == nullptr) throw std::bad_alloc();
    return {static_cast<uint64_t*>(slots), std::free};
}

bool ResendWindow::has(const Generation& generation, uint64_t place, uint64_t mark) const {
    for (size_t i = 0; i < kProbes; ++i) {
        const uint64_t found = generation[(place + i) & mask_];
        if (found == mark) return true;
        if (found == 0) return false;
    }
    return false;
}

bool ResendWindow::insert(uint64_t place, uint64_t mark) {
    if (mark == 0) mark = 1;  // 0 is a free slot
    if (has(now_, place, mark) || has(before_, place, mark)) return false;
    if (count_ >= (mask_ + 1) / 4 * 3) {
        before_ = std::move(now_);
        now_ = make_generation();
        count_ = 0;
    }
    for (size_t i = 0; i < kProbes; ++i) {
        uint64_t& slot = now_[(place + i) & mask_];
        if (slot != 0) continue;
        slot = mark;
        ++count_;
        return true;
    }
    now_[place & mask_] = mark;
    return true;
}

Heads::Heads(SegmentOptions options, uint32_t seal_spans, uint64_t seed, HeadShare share,
             std::shared_ptr<SegmentCache> cache)
    : options_(std::move(options)),
      seal_spans_(seal_spans),
      share_(share),
      cache_(std::move(cache)),
      window_(seed, share.count) {}

size_t Heads::add(const Batch& batch) {
    if (batch.spans.empty()) return 0;
    // What encloses a span is part of what it is: the same span of another resource is another.
    const uint64_t tenant_seed = hash64(batch.tenant, window_.seed());
    scope_seeds_.clear();
    for (const ScopeRef& scope : batch.scopes) {
        const ResourceRef& resource = batch.resources[scope.resource];
        uint64_t seed = hash64(batch.at(resource.message), tenant_seed);
        seed = hash64(batch.at(resource.schema_url), seed);
        seed = hash64(batch.at(scope.message), seed);
        scope_seeds_.push_back(hash64(batch.at(scope.schema_url), seed));
    }
    // All hashes first: by the time the window is asked, its memory has come.
    marks_.clear();
    for (uint32_t i = 0; i < batch.spans.size(); ++i) {
        const SpanRef& span = batch.spans[i];
        if (!share_.has(span.trace_id)) continue;
        const std::string_view message = batch.at(span.message);
        const XXH128_hash_t hash =
            XXH3_128bits_withSeed(message.data(), message.size(), scope_seeds_[span.scope]);
        window_.foresee(hash.high64);
        marks_.push_back({hash.high64, hash.low64, i});
    }
    fresh_.clear();
    for (const Mark& mark : marks_)
        if (window_.insert(mark.place, mark.mark)) fresh_.push_back(mark.span);
    const size_t resends = marks_.size() - fresh_.size();
    if (fresh_.empty()) return resends;
    const Key key{batch.tenant, batch.arrival_ns / kNsPerHour};
    auto at = heads_.find(key);
    if (at == heads_.end()) {
        at = heads_.emplace(key, spare_ ? std::move(*spare_) : SegmentBuilder(options_)).first;
        spare_.reset();
    }
    if (fresh_.size() == batch.spans.size()) {
        at->second.add(batch);
    } else {
        at->second.add(batch, fresh_);
    }
    if (at->second.spans() >= seal_spans_ || has_too_many()) has_full_ = true;
    return resends;
}

size_t Heads::memory_bytes() const {
    size_t bytes = 0;
    for (const auto& [key, builder] : heads_)
        bytes += builder.memory_bytes();
    return bytes + (spare_ ? spare_->memory_bytes() : 0);
}

size_t Heads::spans() const {
    size_t spans = 0;
    for (const auto& [key, builder] : heads_)
        spans += builder.spans();
    return spans;
}

size_t Heads::used_bytes() const {
    size_t bytes = 0;
    for (const auto& [key, builder] : heads_)
        bytes += builder.used_bytes();
    return bytes;
}

Result<void> Heads::seal_one(const Key& key, SegmentBuilder& builder,
                             std::vector<SealedHead>& sealed) {
    TRY_ASSIGN(Blob image, builder.finish());
    TRY_ASSIGN(auto segment, Segment::open(std::move(image), cache_));
    sealed.push_back({key.first, key.second, std::move(segment)});
    return {};
}

Result<void> Heads::seal_full(std::vector<SealedHead>& sealed) {
    if (has_too_many()) return seal_all(sealed);
    has_full_ = false;
    for (auto at = heads_.begin(); at != heads_.end();) {
        if (at->second.spans() < seal_spans_) {
            ++at;
            continue;
        }
        TRY(seal_one(at->first, at->second, sealed));
        spare_ = std::move(at->second);
        at = heads_.erase(at);
    }
    return {};
}

Result<void> Heads::seal_all(std::vector<SealedHead>& sealed) {
    has_full_ = false;
    // What fills slowly needs no memory at the ready.
    const bool is_slow = heads_.size() != 1 || heads_.begin()->second.spans() < seal_spans_ / 8;
    if (is_slow) spare_.reset();
    while (!heads_.empty()) {
        TRY(seal_one(heads_.begin()->first, heads_.begin()->second, sealed));
        if (!is_slow) spare_ = std::move(heads_.begin()->second);
        heads_.erase(heads_.begin());
    }
    return {};
}

Result<void> Heads::hand_over(uint32_t spans_min, std::vector<FilledHead>& filled,
                              std::vector<SealedHead>& sealed) {
    for (auto at = heads_.begin(); at != heads_.end();) {
        const size_t spans = at->second.spans();
        if (spans < spans_min || !is_usual(spans, at->second.used_bytes())) {
            ++at;
            continue;
        }
        filled.push_back({at->first.first, at->first.second, std::move(at->second)});
        at = heads_.erase(at);
    }
    return seal_all(sealed);
}

}  // namespace spanloom::store

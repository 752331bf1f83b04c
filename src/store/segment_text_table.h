#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "base/hash.h"

namespace spanloom::store {

// Like memcmp() == 0, for texts that are mostly equal and short: without a call.
inline bool are_equal_bytes(const char* a, const char* b, size_t size) {
    if (size > 64) return std::memcmp(a, b, size) == 0;
    const auto differ = [](const char* x, const char* y) {
        uint64_t left = 0;
        uint64_t right = 0;
        std::memcpy(&left, x, 8);
        std::memcpy(&right, y, 8);
        return left != right;
    };
    if (size < 8) {
        for (size_t i = 0; i < size; ++i)
            if (a[i] != b[i]) return false;
        return true;
    }
    for (size_t i = 0; i + 8 < size; i += 8)
        if (differ(a + i, b + i)) return false;
    return !differ(a + size - 8, b + size - 8);
}
inline bool are_equal_texts(std::string_view a, std::string_view b) {
    return a.size() == b.size() && are_equal_bytes(a.data(), b.data(), a.size());
}

// Texts, each once, numbered in the order of their first coming. One thread. The texts lie in pages
// that do not move, so views stay good until clear().
class TextTable {
  public:
    static constexpr uint32_t kNone = UINT32_MAX;

    struct Entry {
        const char* data;
        uint32_t size;
        uint64_t hash;
    };

    uint32_t size() const { return static_cast<uint32_t>(entries_.size()); }
    size_t text_bytes() const { return text_bytes_; }
    size_t memory_bytes() const {
        return pages_bytes_ + slots_.capacity() * sizeof(Slot) +
               entries_.capacity() * sizeof(Entry);
    }
    std::string_view text(uint32_t code) const {
        return {entries_[code].data, entries_[code].size};
    }
    uint64_t hash(uint32_t code) const {
        const uint64_t known = entries_[code].hash;
        return known != 0 ? known : hash64(text(code));
    }

    // The code of the text, kNone where it is not here.
    uint32_t find(std::string_view text, uint64_t hash) const {
        if (slots_.empty()) return kNone;
        const auto tag = static_cast<uint32_t>(hash >> 32);
        for (size_t i = hash & mask_;; i = (i + 1) & mask_) {
            const Slot slot = slots_[i];
            if (slot.code == kNone) return kNone;
            if (slot.tag == tag && matches(slot.code, text)) return slot.code;
        }
    }
    // The text must not be here yet.
    uint32_t insert(std::string_view text, uint64_t hash) {
        if (entries_.size() * 2 >= slots_.size()) grow();
        const uint32_t code = size();
        entries_.push_back({keep(text), static_cast<uint32_t>(text.size()), hash});
        place(code, hash);
        return code;
    }
    // Without looking whether it is here, and without its hash: find() does not find it. For texts
    // that hardly repeat; nothing can be inserted afterwards.
    uint32_t append(std::string_view text) {
        const uint32_t code = size();
        entries_.push_back({keep(text), static_cast<uint32_t>(text.size()), 0});
        may_repeat_ = true;
        return code;
    }
    // Whether a text may be here twice.
    bool may_repeat() const { return may_repeat_; }
    uint32_t intern(std::string_view text, uint64_t hash) {
        const uint32_t code = find(text, hash);
        return code != kNone ? code : insert(text, hash);
    }
    uint32_t intern(std::string_view text) { return intern(text, hash64(text)); }

    // Keeps the memory of small tables for the next use.
    void clear() {
        if (pages_.size() > 1) pages_.resize(1);
        pages_bytes_ = pages_.empty() ? 0 : pages_.front().bytes;
        if (slots_.size() > 65'536) {
            slots_ = {};
            mask_ = 0;
        }
        forget();
    }
    // Keeps all of it, where most of it was used: for as many texts as there were.
    void clear_for_as_many() {
        constexpr size_t kTimes = 4;
        const size_t used = text_bytes_ + entries_.size() * (sizeof(Entry) + 2 * sizeof(Slot));
        if (memory_bytes() > kTimes * used) return clear();
        forget();
    }

  private:
    struct Slot {
        uint32_t tag = 0;
        uint32_t code = kNone;
    };

    bool matches(uint32_t code, std::string_view text) const {
        return are_equal_texts(this->text(code), text);
    }
    void place(uint32_t code, uint64_t hash) {
        size_t i = hash & mask_;
        while (slots_[i].code != kNone)
            i = (i + 1) & mask_;
        slots_[i] = {static_cast<uint32_t>(hash >> 32), code};
    }
    void grow() {
        const size_t size = slots_.empty() ? 16 : slots_.size() * 2;
        slots_.assign(size, Slot{});
        mask_ = size - 1;
        for (uint32_t code = 0; code < entries_.size(); ++code)
            place(code, entries_[code].hash);
    }
    void forget() {
        entries_.clear();
        may_repeat_ = false;
        text_bytes_ = 0;
        page_ = 0;
        page_used_ = 0;
        std::fill(slots_.begin(), slots_.end(), Slot{});
    }
    const char* keep(std::string_view text) {
        text_bytes_ += text.size();
        while (page_ < pages_.size() && page_used_ + text.size() > pages_[page_].bytes) {
            ++page_;
            page_used_ = 0;
        }
        if (page_ == pages_.size()) {
            const size_t wanted = pages_.empty()          ? 512
                                  : pages_bytes_ < 65'536 ? pages_bytes_
                                                          : 65'536;
            const size_t bytes = std::max(wanted, text.size());
            pages_.push_back({std::unique_ptr<char[]>(new char[bytes]), bytes});
            pages_bytes_ += bytes;
            page_used_ = 0;
        }
        char* to = pages_[page_].memory.get() + page_used_;
        if (!text.empty()) std::memcpy(to, text.data(), text.size());
        page_used_ += text.size();
        return to;
    }

    std::vector<Slot> slots_;
    size_t mask_ = 0;
    std::vector<Entry> entries_;
    struct Page {
        std::unique_ptr<char[]> memory;
        size_t bytes = 0;
    };
    std::vector<Page> pages_;
    size_t page_ = 0;  // that is being filled
    size_t page_used_ = 0;
    size_t pages_bytes_ = 0;
    size_t text_bytes_ = 0;
    bool may_repeat_ = false;
};

}  // namespace spanloom::store

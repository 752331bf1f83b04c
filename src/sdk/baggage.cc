#include "spanloom/baggage.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <string>
#include <vector>

namespace spanloom {
namespace detail {

struct BaggageData {
    struct Item {
        std::string key;
        std::string value;
        std::string metadata;
        bool operator==(const Item& other) const {
            return key == other.key && value == other.value && metadata == other.metadata;
        }
    };
    std::atomic<uint32_t> references = 1;
    std::vector<Item> items;
};

}  // namespace detail

using detail::BaggageData;

void Baggage::acquire(BaggageData* data) noexcept {
    data->references.fetch_add(1, std::memory_order_relaxed);
}

void Baggage::release(BaggageData* data) noexcept {
    if (data->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete data;
}

bool Baggage::equals(const Baggage& other) const noexcept {
    if (data_ == other.data_) return true;
    return data_ != nullptr && other.data_ != nullptr && data_->items == other.data_->items;
}

size_t Baggage::size() const noexcept {
    return data_ == nullptr ? 0 : data_->items.size();
}

Baggage::Entry Baggage::at(size_t index) const noexcept {
    const BaggageData::Item& item = data_->items[index];
    return {item.key, item.value, item.metadata};
}

std::string_view Baggage::get(std::string_view key) const noexcept {
    for (size_t i = 0; i < size(); ++i) {
        if (data_->items[i].key == key) return data_->items[i].value;
    }
    return {};
}

bool Baggage::contains(std::string_view key) const noexcept {
    for (size_t i = 0; i < size(); ++i) {
        if (data_->items[i].key == key) return true;
    }
    return false;
}

void Baggage::for_each(FunctionRef<void(const Entry&)> visit) const noexcept {
    for (size_t i = 0; i < size(); ++i)
        visit(at(i));
}

Baggage Baggage::of(const Entry* entries, size_t count) noexcept {
    Baggage made;
    if (count == 0) return made;
    try {
        made.data_ = new BaggageData;
        made.data_->items.reserve(count);
        for (size_t i = 0; i < count; ++i) {
            made.data_->items.push_back({std::string(entries[i].key), std::string(entries[i].value),
                                         std::string(entries[i].metadata)});
        }
    } catch (...) {  // out of memory
        return {};
    }
    return made;
}

Baggage Baggage::set(std::string_view key, std::string_view value,
                     std::string_view metadata) const noexcept {
    if (key.empty()) return *this;
    Baggage changed;
    try {
        changed.data_ = new BaggageData;
        if (data_ != nullptr) changed.data_->items = data_->items;
        auto& items = changed.data_->items;
        const auto found =
            std::find_if(items.begin(), items.end(), [&](const auto& i) { return i.key == key; });
        BaggageData::Item item{std::string(key), std::string(value), std::string(metadata)};
        if (found != items.end()) {
            *found = std::move(item);
        } else {
            items.push_back(std::move(item));
        }
    } catch (...) {  // out of memory
        return *this;
    }
    return changed;
}

Baggage Baggage::erase(std::string_view key) const noexcept {
    if (!contains(key)) return *this;
    Baggage changed;
    if (size() == 1) return changed;
    try {
        changed.data_ = new BaggageData;
        for (const auto& item : data_->items) {
            if (item.key != key) changed.data_->items.push_back(item);
        }
    } catch (...) {  // out of memory
        return *this;
    }
    return changed;
}

}  // namespace spanloom

#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

#include "spanloom/function_ref.h"

namespace spanloom {
namespace detail {
struct BaggageData;
}

// Names and values that travel with a request. Immutable and shared: `set` and `erase` give a
// changed copy. Values are text as the program means it; the propagator encodes it. Any thread.
class Baggage {
  public:
    struct Entry {
        std::string_view key;
        std::string_view value;
        std::string_view metadata;  // what followed ';' on the wire, as it came
    };

    constexpr Baggage() noexcept = default;
    Baggage(const Baggage& other) noexcept : data_(other.data_) {
        if (data_ != nullptr) acquire(data_);
    }
    Baggage(Baggage&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
    Baggage& operator=(Baggage other) noexcept {
        std::swap(data_, other.data_);
        return *this;
    }
    ~Baggage() {
        if (data_ != nullptr) release(data_);
    }

    bool empty() const noexcept { return data_ == nullptr; }
    size_t size() const noexcept;
    // The value of a name; "" where it is absent.
    std::string_view get(std::string_view key) const noexcept;
    bool contains(std::string_view key) const noexcept;
    // In the order in which they were set.
    Entry at(size_t index) const noexcept;
    void for_each(FunctionRef<void(const Entry&)> visit) const noexcept;

    // The entries in this order; names are told apart by the caller.
    static Baggage of(const Entry* entries, size_t count) noexcept;
    [[nodiscard]] Baggage set(std::string_view key, std::string_view value,
                              std::string_view metadata = {}) const noexcept;
    [[nodiscard]] Baggage erase(std::string_view key) const noexcept;

    friend bool operator==(const Baggage& a, const Baggage& b) noexcept { return a.equals(b); }

  private:
    static void acquire(detail::BaggageData* data) noexcept;
    static void release(detail::BaggageData* data) noexcept;
    bool equals(const Baggage& other) const noexcept;

    detail::BaggageData* data_ = nullptr;
};

}  // namespace spanloom

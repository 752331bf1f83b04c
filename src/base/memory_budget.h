#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace spanloom {

// A limit in bytes that several threads share. Bytes are reserved before they are allocated; a
// refusal is the caller's back-pressure. Outlives its reservations.
class MemoryBudget {
  public:
    explicit MemoryBudget(size_t limit_bytes) : limit_bytes_(limit_bytes) {}
    MemoryBudget(const MemoryBudget&) = delete;
    MemoryBudget& operator=(const MemoryBudget&) = delete;

    bool try_reserve(size_t bytes) {
        size_t used = used_bytes_.load(std::memory_order_relaxed);
        do {
            if (bytes > limit_bytes_ || used > limit_bytes_ - bytes) {
                refusals_.fetch_add(1, std::memory_order_relaxed);
                return false;
            }
        } while (!used_bytes_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
        return true;
    }
    void release(size_t bytes) { used_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }

    size_t limit_bytes() const { return limit_bytes_; }
    size_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
    size_t refusals() const { return refusals_.load(std::memory_order_relaxed); }

  private:
    const size_t limit_bytes_;
    std::atomic<size_t> used_bytes_ = 0;
    std::atomic<size_t> refusals_ = 0;
};

// Some bytes of a budget, given back when it goes. Empty where nothing was reserved.
class Reservation {
  public:
    Reservation() = default;
    // Empty (and false) where the budget has no room.
    static Reservation of(MemoryBudget& budget, size_t bytes) {
        Reservation reservation;
        if (budget.try_reserve(bytes)) {
            reservation.budget_ = &budget;
            reservation.bytes_ = bytes;
        }
        return reservation;
    }
    Reservation(Reservation&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Reservation& operator=(Reservation&& other) noexcept {
        if (this != &other) {
            reset();
            budget_ = std::exchange(other.budget_, nullptr);
            bytes_ = std::exchange(other.bytes_, 0);
        }
        return *this;
    }
    Reservation(const Reservation&) = delete;
    Reservation& operator=(const Reservation&) = delete;
    ~Reservation() { reset(); }

    // More of the same budget; false (and unchanged) where it has no room. Only on a held one.
    bool grow(size_t bytes) {
        if (budget_ == nullptr || !budget_->try_reserve(bytes)) return false;
        bytes_ += bytes;
        return true;
    }
    // Gives back what is above `bytes`.
    void shrink(size_t bytes) {
        if (budget_ == nullptr || bytes >= bytes_) return;
        budget_->release(bytes_ - bytes);
        bytes_ = bytes;
    }
    void reset() {
        if (budget_ != nullptr) budget_->release(bytes_);
        budget_ = nullptr;
        bytes_ = 0;
    }
    explicit operator bool() const { return budget_ != nullptr; }
    size_t bytes() const { return bytes_; }

  private:
    MemoryBudget* budget_ = nullptr;
    size_t bytes_ = 0;
};

}  // namespace spanloom

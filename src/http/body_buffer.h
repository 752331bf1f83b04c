#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/memory_budget.h"

namespace spanloom::http {

enum class Admission { kAdmitted, kTooLarge, kNoMemory };

// A request body while it arrives: bytes are reserved from the budget before they are allocated,
// whole where the size is known, doubling where it is not. One thread.
class BodyBuffer {
  public:
    // Room for exactly `size` bytes in all.
    Admission reserve(MemoryBudget& budget, size_t size, size_t bytes_max) {
        if (size > bytes_max) return Admission::kTooLarge;
        if (size <= blob_.size() && memory_ != nullptr) return Admission::kAdmitted;
        if (memory_ == nullptr) {
            Reservation memory = Reservation::of(budget, size);
            if (!memory) return Admission::kNoMemory;
            memory_ = std::make_shared<Reservation>(std::move(memory));
        } else if (!memory_->grow(size - blob_.size())) {
            return Admission::kNoMemory;
        }
        Blob larger = Blob::allocate(size);
        if (used_ > 0) std::memcpy(larger.mutable_data(), blob_.data(), used_);
        blob_ = std::move(larger);
        return Admission::kAdmitted;
    }

    Admission append(MemoryBudget& budget, std::string_view bytes, size_t bytes_max) {
        const size_t needed = used_ + bytes.size();
        if (needed > blob_.size()) {
            if (needed > bytes_max) return Admission::kTooLarge;
            const size_t doubled = std::max({needed, blob_.size() * 2, kFirstStepBytes});
            const Admission admission = reserve(budget, std::min(doubled, bytes_max), bytes_max);
            if (admission != Admission::kAdmitted) return admission;
        }
        std::memcpy(blob_.mutable_data() + used_, bytes.data(), bytes.size());
        used_ = needed;
        return Admission::kAdmitted;
    }

    // For reading straight into it.
    uint8_t* space() { return blob_.mutable_data() + used_; }
    size_t space_size() const { return blob_.size() - used_; }
    void advance(size_t bytes) { used_ += bytes; }

    size_t used() const { return used_; }
    size_t capacity() const { return blob_.size(); }
    const uint8_t* data() const { return blob_.data(); }

    // The bytes, and what they count for. Leaves it empty.
    std::pair<Blob, std::shared_ptr<Reservation>> take() {
        blob_.shrink(used_);
        used_ = 0;
        return {std::exchange(blob_, Blob()), std::exchange(memory_, nullptr)};
    }

  private:
    static constexpr size_t kFirstStepBytes = 16U << 10;

    Blob blob_;
    size_t used_ = 0;
    std::shared_ptr<Reservation> memory_;
};

}  // namespace spanloom::http

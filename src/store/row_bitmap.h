#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace spanloom::store {

// Which rows of one table of one row group are meant. One thread.
class RowBitmap {
  public:
    RowBitmap() = default;
    explicit RowBitmap(uint32_t rows) : rows_(rows), words_((rows + 63) / 64, 0) {}
    static RowBitmap all(uint32_t rows) {
        RowBitmap bitmap(rows);
        bitmap.fill(0, rows);
        return bitmap;
    }

    uint32_t rows() const { return rows_; }
    // Row 64 i + j is bit j of word i; bits beyond rows() stay 0.
    std::span<uint64_t> words() { return words_; }
    void set(uint32_t row) { words_[row / 64] |= uint64_t{1} << (row % 64); }
    bool test(uint32_t row) const { return (words_[row / 64] >> (row % 64) & 1) != 0; }
    // Rows in [first, end), which the caller keeps within rows().
    void fill(uint32_t first, uint32_t end) {
        for (uint32_t row = first; row < end;) {
            if (row % 64 == 0 && end - row >= 64) {
                words_[row / 64] = ~uint64_t{0};
                row += 64;
            } else {
                set(row++);
            }
        }
    }
    bool any() const {
        for (const uint64_t word : words_) {
            if (word != 0) return true;
        }
        return false;
    }
    uint32_t count() const {
        uint32_t sum = 0;
        for (const uint64_t word : words_)
            sum += static_cast<uint32_t>(std::popcount(word));
        return sum;
    }
    RowBitmap& operator&=(const RowBitmap& other) {
        for (size_t i = 0; i < words_.size(); ++i)
            words_[i] &= other.words_[i];
        return *this;
    }
    RowBitmap& operator|=(const RowBitmap& other) {
        for (size_t i = 0; i < words_.size(); ++i)
            words_[i] |= other.words_[i];
        return *this;
    }
    RowBitmap& subtract(const RowBitmap& other) {
        for (size_t i = 0; i < words_.size(); ++i)
            words_[i] &= ~other.words_[i];
        return *this;
    }
    bool intersects(const RowBitmap& other) const {
        for (size_t i = 0; i < words_.size(); ++i) {
            if ((words_[i] & other.words_[i]) != 0) return true;
        }
        return false;
    }
    // Ascending.
    template <typename Visit>
    void for_each(Visit&& visit) const {
        for (size_t i = 0; i < words_.size(); ++i) {
            for (uint64_t word = words_[i]; word != 0; word &= word - 1) {
                visit(static_cast<uint32_t>(i * 64 + static_cast<size_t>(std::countr_zero(word))));
            }
        }
    }

  private:
    uint32_t rows_ = 0;
    std::vector<uint64_t> words_;
};

}  // namespace spanloom::store

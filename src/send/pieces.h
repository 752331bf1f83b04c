#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

#include <sys/uio.h>

namespace spanloom::send {

// Bytes that lie in several places and are sent as one, without being brought together. The places
// must stay as they are until the call ends.
class Pieces {
  public:
    Pieces() = default;
    explicit Pieces(std::string_view whole) { add(whole); }

    void add(std::string_view piece) {
        if (piece.empty()) return;
        parts_.push_back(piece);
        size_ += piece.size();
    }
    void clear() {
        parts_.clear();
        size_ = 0;
    }
    size_t size() const { return size_; }
    const std::vector<std::string_view>& parts() const { return parts_; }

  private:
    std::vector<std::string_view> parts_;
    size_t size_ = 0;
};

// Where a reader of Pieces stands.
class PiecesCursor {
  public:
    explicit PiecesCursor(const Pieces& pieces) : pieces_(&pieces), left_(pieces.size()) {}

    size_t left() const { return left_; }
    // What lies ahead, at most `size` bytes of one piece.
    std::string_view next(size_t size) const {
        if (left_ == 0) return {};
        return pieces_->parts()[part_].substr(offset_, size);
    }
    void skip(size_t size) {
        left_ -= size;
        while (size > 0) {
            const size_t here = std::min(size, pieces_->parts()[part_].size() - offset_);
            offset_ += here;
            size -= here;
            if (offset_ == pieces_->parts()[part_].size()) {
                ++part_;
                offset_ = 0;
            }
        }
    }
    // Fills up to `count_max` entries with what lies ahead; how many.
    size_t gather(iovec* entries, size_t count_max) const {
        size_t count = 0;
        size_t offset = offset_;
        for (size_t i = part_; i < pieces_->parts().size() && count < count_max; ++i) {
            const std::string_view part = pieces_->parts()[i].substr(offset);
            entries[count++] = {const_cast<char*>(part.data()), part.size()};
            offset = 0;
        }
        return count;
    }

  private:
    const Pieces* pieces_;
    size_t part_ = 0;
    size_t offset_ = 0;
    size_t left_ = 0;
};

}  // namespace spanloom::send

#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <sys/uio.h>

#include "base/bytes.h"

namespace spanloom::http {

// Shares a string's bytes as a Blob without copying them.
inline Blob blob_of(std::string text) {
    auto owner = std::make_shared<const std::string>(std::move(text));
    const char* data = owner->data();
    const size_t size = owner->size();
    return Blob::wrap(std::move(owner), data, size);
}

// Bytes on their way to a socket, in order: short ones gathered, long ones pointed to. One thread.
class OutputQueue {
  public:
    void append(std::string_view bytes) {
        if (bytes.empty()) return;
        if (pieces_.empty() || pieces_.back().is_shared ||
            pieces_.back().text.size() + bytes.size() > kGatheredBytesMax) {
            pieces_.emplace_back();
        }
        pieces_.back().text.append(bytes);
        bytes_ += bytes.size();
    }
    void append(Blob blob) {
        if (blob.size() < kSharedBytesMin) {
            append(blob.view());
            return;
        }
        bytes_ += blob.size();
        Piece& piece = pieces_.emplace_back();
        piece.is_shared = true;
        piece.blob = std::move(blob);
    }

    bool empty() const { return bytes_ == 0; }
    size_t bytes() const { return bytes_; }

    // Fills at most `count` vectors from the front.
    size_t gather(iovec* vectors, size_t count) const {
        size_t n = 0;
        for (const Piece& piece : pieces_) {
            if (n == count) break;
            const std::string_view left = piece.left();
            vectors[n].iov_base = const_cast<char*>(left.data());
            vectors[n].iov_len = left.size();
            ++n;
        }
        return n;
    }
    void consume(size_t bytes) {
        bytes_ -= bytes;
        while (bytes > 0) {
            Piece& piece = pieces_.front();
            const size_t left = piece.left().size();
            if (bytes < left) {
                piece.sent += bytes;
                return;
            }
            bytes -= left;
            pieces_.pop_front();
        }
    }

  private:
    static constexpr size_t kGatheredBytesMax = 64U << 10;
    static constexpr size_t kSharedBytesMin = 4U << 10;

    struct Piece {
        std::string text;
        Blob blob;
        size_t sent = 0;
        bool is_shared = false;
        std::string_view left() const {
            return (is_shared ? blob.view() : std::string_view(text)).substr(sent);
        }
    };
    std::deque<Piece> pieces_;
    size_t bytes_ = 0;
};

}  // namespace spanloom::http

#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "base/io.h"

namespace spanloom::store {

// How fast something may write: so many bytes a second, and what was not used of the last tenth of
// one. Only counts; whoever asks does the waiting. One thread.
class Pace {
  public:
    explicit Pace(uint64_t bytes_per_s) : bytes_per_s_(bytes_per_s) {}  // 0: no limit
    // Bytes that are being written now, and for how long to wait before the next ones.
    uint64_t wait_ns(uint64_t bytes, uint64_t now_ns) {
        if (bytes_per_s_ == 0) return 0;
        const auto takes_ns = static_cast<uint64_t>(static_cast<double>(bytes) * 1e9 /
                                                    static_cast<double>(bytes_per_s_));
        free_at_ns_ = std::max(free_at_ns_, now_ns > kSaved_ns ? now_ns - kSaved_ns : 0) + takes_ns;
        return free_at_ns_ > now_ns ? free_at_ns_ - now_ns : 0;
    }

  private:
    static constexpr uint64_t kSaved_ns = 100'000'000;

    uint64_t bytes_per_s_;
    uint64_t free_at_ns_ = 0;  // monotonic
};

// A file that is written with pauses, and synced piece by piece, so that a sync of the log beside
// it never waits for all of it. One thread.
class PacedFile final : public WritableFile {
  public:
    // `pause` is called with the bytes that were written.
    PacedFile(std::unique_ptr<WritableFile> file, std::function<void(uint64_t bytes)> pause)
        : file_(std::move(file)), pause_(std::move(pause)) {}

    Result<void> append(std::span<const std::string_view> pieces) override {
        TRY(file_->append(pieces));
        uint64_t bytes = 0;
        for (const std::string_view piece : pieces)
            bytes += piece.size();
        unsynced_bytes_ += bytes;
        if (unsynced_bytes_ >= kSyncBytes) TRY(sync());
        pause_(bytes);
        return {};
    }
    Result<void> sync() override {
        unsynced_bytes_ = 0;
        return file_->sync();
    }

  private:
    static constexpr uint64_t kSyncBytes = 8U << 20;

    std::unique_ptr<WritableFile> file_;
    std::function<void(uint64_t bytes)> pause_;
    uint64_t unsynced_bytes_ = 0;
};

}  // namespace spanloom::store

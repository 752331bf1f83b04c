#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/io.h"

namespace spanloom::store {

// Log files that are of no use any more and are kept to be written again: a sync of blocks that
// are there already changes no metadata, and takes a third of the time. What they hold lies there
// until then, so that a deletion removes them all. Thread-safe; lives as long as the log.
class LogSpares {
  public:
    struct File {
        std::string path;
        uint64_t bytes = 0;
        bool may_stay = false;
    };

    // At most `files_max`, while the disk has `disk_bytes_min` free. `disk_bytes`, which counts
    // the log's files, loses those that are removed.
    LogSpares(Io& io, size_t files_max, uint64_t disk_bytes_min, std::atomic<uint64_t>& disk_bytes)
        : io_(io),
          files_max_(files_max),
          disk_bytes_min_(disk_bytes_min),
          disk_bytes_(disk_bytes) {}

    // These are kept or removed.
    void add(std::span<const File> files);
    // One to write again; nullopt: there is none.
    std::optional<File> take();
    void remove_all();
    // What an earlier process left. Before anything else.
    void remove_left();

  private:
    void remove(const File& file);

    Io& io_;
    const size_t files_max_;
    const uint64_t disk_bytes_min_;
    std::atomic<uint64_t>& disk_bytes_;
    std::mutex mutex_;
    std::vector<File> files_;
};

}  // namespace spanloom::store

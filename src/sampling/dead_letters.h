#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/io.h"
#include "base/result.h"

namespace spanloom::sampling {

// Requests that a target refused for good, in files as the Collector's file exporter writes them
// (proto, each with its length before it), which `spanloom import` reads. One thread.
class DeadLetters {
  public:
    // What earlier processes left counts; a limit of 0 keeps nothing.
    static Result<std::unique_ptr<DeadLetters>> open(Io& io, std::string directory,
                                                     uint64_t bytes_max);
    // False: there is no room for it. Synced.
    Result<bool> add(std::string_view request);
    uint64_t bytes() const { return bytes_; }

  private:
    DeadLetters(Io& io, std::string directory, uint64_t bytes_max)
        : io_(io), directory_(std::move(directory)), bytes_max_(bytes_max) {}

    Io& io_;
    const std::string directory_;
    const uint64_t bytes_max_;
    uint64_t bytes_ = 0;
    uint64_t next_file_ = 1;
    std::unique_ptr<WritableFile> file_;  // begun with the first of this process
};

}  // namespace spanloom::sampling

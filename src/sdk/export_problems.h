#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "spanloom/otlp_exporter.h"

namespace spanloom {

// Tells the program's owner what an exporter met, without flooding. Any thread.
class ExportProblems {
  public:
    ExportProblems(ExportProblemCallback callback, void* user) noexcept
        : callback_(callback), user_(user) {}
    void report(std::string_view message) noexcept;

  private:
    ExportProblemCallback callback_;
    void* user_;
    std::atomic<uint64_t> next_ns_ = 0;
};

}  // namespace spanloom

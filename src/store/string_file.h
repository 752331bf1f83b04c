#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/io.h"

namespace spanloom::store {

// A file in memory, for tests and benchmarks that write a segment and read it back.
struct StringFile final : WritableFile {
    Result<void> append(std::span<const std::string_view> pieces) override {
        for (const std::string_view piece : pieces)
            bytes.append(piece);
        return {};
    }
    Result<void> sync() override { return {}; }
    std::string bytes;
};

}  // namespace spanloom::store

#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "rollup/packed_rollup.h"

namespace spanloom {

// How long spans were is known only while they come in. For cells that are counted from rows again
// it is taken from what was counted of these then: of an operation's bytes in a minute as large a
// share as of its spans, so exactly where all of them are there. One thread.
class KnownSizes {
  public:
    // Of the operations of this section, which must stay. Its steps are a minute long at most.
    explicit KnownSizes(const RollupSection& wanted);

    // Counted by the minute; sums are added up.
    void add(const PackedRollup& counted);
    // To the cells of the section that was given.
    void give(RollupSection& section) const;

  private:
    using Key = std::tuple<std::string_view, std::string_view, otlp::SpanKind, bool>;
    struct Sum {
        uint64_t spans = 0;
        uint64_t bytes = 0;
    };
    static constexpr uint32_t kNone = UINT32_MAX;

    uint32_t number_of(const RollupFacts& counted, const RollupOperation& one, bool is_error) const;
    void add(uint32_t operation, uint64_t minute, uint64_t spans, uint64_t bytes);
    static uint64_t cell_of(uint32_t operation, uint64_t minute) {
        return uint64_t{operation} << 32 | minute;
    }

    std::map<Key, uint32_t> operations_;
    std::unordered_map<uint64_t, Sum> sums_;  // by operation and minute
};

}  // namespace spanloom

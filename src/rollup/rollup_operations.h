#pragma once

#include <cstdint>
#include <vector>

#include "rollup/rollup_section.h"
#include "store/segment.h"
#include "store/segment_bytes.h"

// The operations of a section: which are told apart, and how they are written.
namespace spanloom {

// The operations that are told apart, and where each of the segment's operations goes.
struct ChosenOperations {
    std::vector<store::OperationKey> kept;
    std::vector<uint32_t> place;  // by operation of the rows
};
ChosenOperations choose_operations(const store::RollupRows& rows);

void write_operations(const std::vector<std::string>& services,
                      const std::vector<RollupOperation>& operations, store::ByteWriter& out);
// Services and operations; false where they are damaged.
bool read_operations(store::ByteReader& in, RollupFacts& facts);

}  // namespace spanloom

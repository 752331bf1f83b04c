#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "rollup/packed_rollup.h"

namespace spanloom {

// Rows as a segment hands them over, kept by this.
struct Rows {
    std::vector<store::OperationKey> operations;
    std::vector<uint32_t> operation;
    std::vector<uint64_t> start_ns;
    std::vector<uint64_t> duration_ns;
    std::vector<uint8_t> is_error;
    std::vector<double> weight;
    std::vector<uint32_t> bytes;  // of none, or of all
    std::vector<Blob> counted;

    void add(uint32_t op, uint64_t start, uint64_t duration, bool error = false, double w = 1) {
        operation.push_back(op);
        start_ns.push_back(start);
        duration_ns.push_back(duration);
        is_error.push_back(error ? 1 : 0);
        weight.push_back(w);
    }
    store::RollupRows view() const {
        return {operations, operation, start_ns, duration_ns, is_error, weight, bytes, counted};
    }
    RollupSection section(uint32_t step_s = kMinuteStepS) const {
        auto decoded = decode_rollup(encode_rollup(view(), step_s), step_s);
        REQUIRE(decoded.has_value());
        return unpack(*decoded);
    }
    PackedRollup packed() const { return pack(section()); }
};

}  // namespace spanloom

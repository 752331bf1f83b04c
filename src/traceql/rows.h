#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "store/segment.h"
#include "traceql/ast.h"
#include "traceql/forest.h"

namespace spanloom::traceql {

// Which span, and which of its events or links, where an expression speaks of one.
struct Place {
    static constexpr uint32_t kNone = UINT32_MAX;

    uint32_t row = 0;
    uint32_t event = kNone;
    uint32_t link = kNone;
};

// The spans of one whole trace as evaluation sees them, however they are stored: equal spans once.
// One thread.
class TraceRows {
  public:
    virtual ~TraceRows() = default;

    virtual uint32_t size() const = 0;
    virtual std::span<const int32_t> parents() = 0;  // rows, kRoot or kOrphan
    virtual uint64_t start_ns(uint32_t row) const = 0;
    virtual uint64_t end_ns(uint32_t row) const = 0;  // may lie before the start
    virtual SpanId span_id(uint32_t row) const = 0;
    virtual uint32_t children(store::Table table, uint32_t row) = 0;  // events or links
    // How many spans this one stands for (tracestate ot=th); 1 where nothing says so.
    virtual double weight(uint32_t row) = 0;
    // What a span carries itself: no trace-level intrinsic. Of events and links, without one in
    // `place`, the first that has the field counts. Of a key that comes more than once the last
    // value counts. Texts that are not there are empty where they are intrinsics.
    virtual store::Value value(const store::Field& field, const Place& place) = 0;
    // Rows that can satisfy a condition of the query, as columns tell: 1 or 0 for each row.
    // nullptr: nothing is known. `is_exact`: the others cannot, and these do.
    virtual const std::vector<uint8_t>* candidates(const Expression& condition, bool& is_exact) {
        (void)condition;
        is_exact = false;
        return nullptr;
    }
};

// Takes out of a mask the rows that have a parent.
inline void leave_roots(std::span<const int32_t> parents, std::vector<uint8_t>& mask) {
    for (size_t row = 0; row < mask.size(); ++row)
        mask[row] &= parents[row] < 0 ? 1 : 0;
}

}  // namespace spanloom::traceql

#pragma once

#include <optional>
#include <string>

#include "otlp/ids.h"
#include "traceql/trace.h"

namespace spanloom::api {

// A trace as columns for the browser ("SLT1", little-endian):
//
//     0   u32 magic 'SLT1'     4   u32 length of the header
//     8   the header: JSON, padded with blanks to a multiple of 8; "cols" says where columns lie
//     ..  columns, each at a multiple of 8, one entry per row; rows in depth-first pre-order
//
//     start  u32 (+ start_hi u8, u16 or u32 when needed): ns after the parent's start; roots and
//            orphans: after t0. Two's complement over all its bits where "signed" is true
//     dur    u32 (+ dur_hi): ns
//     up     u32, row - parent row; 0: root or orphan
//     name   u16 or u32, into names      res  u8, u16 or u32, into resources
//     flags  u16, SkeletonFlag
//
// start and dur are byte-shuffled: all lowest bytes, then all second ones and so on.
std::string write_skeleton(const traceql::Trace& trace, const std::optional<SpanId>& selected);

enum SkeletonFlag : uint16_t {
    kFlagError = 1 << 0,
    kFlagKindShift = 1,  // three bits
    kFlagEvents = 1 << 4,
    kFlagLinks = 1 << 5,
    kFlagOrphan = 1 << 6,
    kFlagUnended = 1 << 7,  // no end, or one before the start
    kFlagLate = 1 << 8,
    kFlagCritical = 1 << 9,
    kFlagSkewMoved = 1 << 10,
    kFlagGroupHead = 1 << 11,
};

}  // namespace spanloom::api

#include "rollup/known_sizes.h"

#include <algorithm>

namespace spanloom {
namespace {

__extension__ using Wide = unsigned __int128;

}  // namespace

KnownSizes::KnownSizes(const RollupSection& wanted) {
    for (uint32_t i = 0; i < wanted.operations.size(); ++i) {
        const RollupOperation& one = wanted.operations[i];
        operations_.emplace(Key(wanted.services[one.service], one.name, one.kind, one.is_error), i);
    }
}

// Operations that are not told apart any more are among the others now.
uint32_t KnownSizes::number_of(const RollupFacts& counted, const RollupOperation& one,
                               bool is_error) const {
    auto found = operations_.find(Key(counted.services[one.service], one.name, one.kind, is_error));
    if (found == operations_.end())
        found = operations_.find(Key(kOtherOperation, kOtherOperation, one.kind, is_error));
    return found == operations_.end() ? kNone : found->second;
}

void KnownSizes::add(uint32_t operation, uint64_t minute, uint64_t spans, uint64_t bytes) {
    if (operation == kNone || spans == 0) return;
    Sum& sum = sums_[cell_of(operation, minute)];
    sum.spans += spans;
    sum.bytes += bytes;
}

void KnownSizes::add(const PackedRollup& counted) {
    uint32_t before = kNone;
    uint32_t good = kNone;
    uint32_t failed = kNone;
    for (PackedGroups groups(counted); groups.next();) {
        const RollupOperation& one = counted.operations[groups.operation()];
        if (groups.operation() != before) {
            before = groups.operation();
            good = number_of(counted, one, false);
            failed = number_of(counted, one, true);
        }
        for (const RollupCell& cell : groups.cells()) {
            // Where older versions counted failed spans among the others they knew no sizes.
            const uint64_t minute = counted.begin_ns(cell) / kRollupMinuteNs;
            add(good, minute, cell.count - cell.errors, one.is_error ? 0 : cell.bytes);
            add(failed, minute, cell.errors, one.is_error ? cell.bytes : 0);
        }
    }
}

void KnownSizes::give(RollupSection& section) const {
    for (RollupCell& cell : section.cells) {
        const uint64_t minute = section.begin_ns(cell) / kRollupMinuteNs;
        const auto found = sums_.find(cell_of(cell.operation, minute));
        if (found == sums_.end()) continue;
        const auto& [spans, bytes] = found->second;
        const uint64_t stayed = std::min(cell.count, spans);
        cell.bytes = static_cast<uint64_t>((Wide{bytes} * stayed + spans / 2) / spans);
    }
}

}  // namespace spanloom

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sampling/head_strategies.h"
#include "store/store.h"

namespace spanloom::sampling {

// Root spans of one operation that were received in some time: one for each trace that a client
// chose to send.
struct RootCount {
    std::string service;
    std::string operation;
    // They say by which share they were chosen (`ot=th`, sampler.param), and stand for so many.
    uint64_t weighed = 0;
    double weighed_traces = 0;
    // They do not: the share that was in force says what they stand for.
    uint64_t bare = 0;
};

// Of the roots that start in the range, by service and operation.
Result<std::vector<RootCount>> count_roots(const store::Store& store, std::string_view tenant,
                                           store::TimeRange range);

// What is known of an operation whose share adapts.
struct OperationShare {
    double share = 0;
    double traces_per_s = 0;    // that there are, as far as those received tell
    double received_per_s = 0;  // of them
    uint64_t seen_ns = 0;       // wall clock; when there were some last
    // Its clients decide before it has this name, by the share of the service.
    bool is_named_later = false;
    double former_share = 0;  // before the last adjustment; 0: there was none
};
struct ServiceShares {
    double share = 0;  // of operations that are not below, and of those that are named later
    std::map<std::string, OperationShare, std::less<>> operations;
};

// Brings the shares of one service closer to what its strategies want, after `counts` (of this
// service alone) were received in `seconds`. An operation's share grows to at most ten times as
// much in one step, as few traces tell little, and shrinks to no less than a hundredth; what is
// within a fifth of its target stays as it is. An operation without traces doubles its share. The
// service's own share follows the operations that are decided by it alone: a flood whose share is
// its own does not hide what is rare or new. Operations are added while `may_add` says so. True
// where something changed.
bool adapt_shares(const HeadStrategies& strategies, std::string_view service,
                  std::span<const RootCount* const> counts, double seconds, uint64_t now_ns,
                  const std::function<bool(std::string_view operation)>& may_add,
                  ServiceShares& shares);

}  // namespace spanloom::sampling

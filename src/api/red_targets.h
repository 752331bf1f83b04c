#pragma once

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include "api/red_families.h"

// Who sends spans: each resource as what Prometheus calls a target.
namespace spanloom::api {

constexpr size_t kTargetsMax = 5'000;

struct Targets {
    // The labels of each, with its name; windows [first, end) in which it may have sent spans: as
    // exactly as segments know when their spans were.
    std::map<PromLabels, std::vector<std::pair<size_t, size_t>>> seen;
    bool is_full = false;  // there are more than kTargetsMax
};

// Windows ascend. kCancelled and kDeadlineExceeded where the question ends.
Result<Targets> find_targets(const Call& call, const std::vector<PromWindow>& windows);

}  // namespace spanloom::api

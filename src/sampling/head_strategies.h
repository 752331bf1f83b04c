#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace spanloom::sampling {

// How the roots of a service or of one operation are sampled where traces are born.
struct HeadStrategy {
    // kProbabilistic: that share of them. kRateLimiting: so many a second of each process.
    // kAdaptive: a share that changes so that so many a second of each operation come.
    enum class Kind : uint8_t { kProbabilistic, kRateLimiting, kAdaptive };

    Kind kind = Kind::kProbabilistic;
    double param = 1;
};

struct HeadOperation {
    std::string name;
    HeadStrategy strategy;
};

// Of one service, or of all that have none of their own.
struct HeadService {
    std::string name;  // "": all others
    HeadStrategy strategy;
    std::vector<HeadOperation> operations;
};

// How shares of kAdaptive change.
struct HeadAdaptation {
    double initial = 0.1;  // of what was not seen yet
    double min = 0.00001;
    double max = 1;
    double at_least_per_minute = 1;  // traces of each operation and process, whatever its share
    uint64_t every_ms = 120'000;
};

// What clients that ask are told. Immutable once made; any thread.
struct HeadStrategies {
    HeadService by_default;
    std::vector<HeadService> services;
    HeadAdaptation adaptation;

    // The service's own, or the default.
    const HeadService& of(std::string_view service) const;
    // Of one operation: the service's own, else the default's, else none.
    std::optional<HeadStrategy> of_operation(const HeadService& service,
                                             std::string_view operation) const;
};

constexpr size_t kHeadStrategiesBytesMax = 256U << 10;
constexpr size_t kHeadServicesMax = 1'000;
constexpr size_t kHeadOperationsMax = 2'000;  // of one service: SDKs follow no more
constexpr size_t kHeadNameBytesMax = 256;

// Jaeger's strategies file, whose types may also be "adaptive", and "adaptive": {"initial", "min",
// "max", "at_least_per_minute", "every"} beside its two members. Numbers may be texts. An error
// says which member is wrong.
Result<HeadStrategies> parse_head_strategies(std::string_view json);
// parse_head_strategies() of it gives the same.
std::string print_head_strategies(const HeadStrategies& strategies);

std::string_view head_kind_name(HeadStrategy::Kind kind);

}  // namespace spanloom::sampling

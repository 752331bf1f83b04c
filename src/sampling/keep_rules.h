#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/field.h"
#include "traceql/ast.h"

namespace spanloom::sampling {

// One rule: of the traces that it matches and no rule before it did, how many stay, for how long.
// Whether a trace stays is said by its randomness alone, so that each that stays stands for
// 1 / (1 - threshold) of them.
struct KeepRule {
    // kShare: that share of them. kPerSecond: so many a second, shared out fairly where there is
    // `by`: what is rare stays whole. kPerKey: so many a second of each value of `by`.
    enum class Rate : uint8_t { kShare, kPerSecond, kPerKey };

    std::string name;
    std::string match;              // TraceQL; "": every trace
    std::optional<double> slowest;  // of these only the slowest, this share of each value of `by`
    Rate rate_kind = Rate::kShare;
    double rate = 1;
    std::vector<std::string> by;  // attributes of the trace's root
    uint64_t for_ms = 0;          // 0: as the store's retention says
    uint64_t bytes_max = 0;       // 0: no limit of its own

    // Made of the texts above.
    std::shared_ptr<const traceql::Query> query;  // none: every trace
    std::vector<store::Field> fields;             // of `by`
};

// What stays of what grows old. Immutable once made; any thread.
struct KeepRules {
    uint64_t recent_for_ms = 0;     // everything stays that long; 0: until there is no room
    uint64_t recent_bytes_max = 0;  // 0: no limit but the store's
    std::vector<KeepRule> keep;     // the first that matches decides; none: the trace goes
};

constexpr size_t kKeepRulesMax = 64;
constexpr size_t kKeepRulesBytesMax = 64U << 10;  // of the text
// Traces that people pinned: no rule may have this name.
constexpr std::string_view kPinnedRule = "pinned";

// What stays where nobody said anything: all errors, the slowest of each operation, and a fair
// sample of the rest, in which rare operations are whole.
const KeepRules& default_keep_rules();

// A query that finds traces; of one that draws series it is said what is needed instead.
Result<std::shared_ptr<const traceql::Query>> parse_trace_query(std::string_view text,
                                                                std::string_view needed);

// {"recent": {"for": "24h", "disk": "50GiB"}, "keep": [...]}; what is left out is as by default.
// An error says which rule and which of its settings is wrong, a query's also where.
Result<KeepRules> parse_keep_rules(std::string_view json);
// The list alone.
Result<std::vector<KeepRule>> parse_keep_list(std::string_view json);
// parse_keep_rules() of it gives the same.
std::string print_keep_rules(const KeepRules& rules);
std::string print_keep_list(const std::vector<KeepRule>& rules);

}  // namespace spanloom::sampling

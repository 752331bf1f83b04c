#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sampling/trace_condition.h"

// Other systems' rules for tail sampling as keep rules.
namespace spanloom::sampling {

struct ImportOptions {
    // What others count and keep rules do not.
    double spans_per_trace = 10;
    double bytes_per_span = 500;
    double traces_per_s = 0;  // 0: that is not known
};

// What became of one policy.
struct PolicyNote {
    enum class Outcome : uint8_t { kSame, kDiffers, kLeftOut };
    Outcome outcome = Outcome::kSame;
    std::string policy;  // "'errors' (status_code)"
    std::string text;    // what differs, or why it is left out, and what to do
};

// A keep rule as it is written.
struct ImportedRule {
    enum class Rate : uint8_t { kShare, kPerSecond };
    std::string name;
    TraceCondition condition;
    Rate rate_kind = Rate::kShare;
    double rate = 1;
    std::vector<std::string> by;
};

struct ImportedPolicies {
    std::string source;  // "processors.tail_sampling", "Refinery's rules"
    std::vector<ImportedRule> rules;
    std::vector<PolicyNote> notes;
    std::string wait;  // how long traces are waited for; "": not said
};

// A Collector's configuration (with processors.tail_sampling, or that processor's part alone) or
// Refinery's rules, as JSON in which texts are texts and numbers numbers. Every rule's TraceQL is
// one that parse_keep_list() takes. An error where it is neither.
Result<ImportedPolicies> import_policies(std::string_view json, const ImportOptions& options);

// `keep:` as YAML; with an endpoint, an entry of `forward:` that sends there what they choose.
std::string print_imported_rules(const ImportedPolicies& policies, std::string_view forward_to);
// The same rules as parse_keep_list() reads them.
std::string imported_rules_json(const ImportedPolicies& policies);
// A line for each policy.
std::string print_policy_notes(const ImportedPolicies& policies);

}  // namespace spanloom::sampling

#pragma once

#include <cstddef>
#include <vector>

#include "traceql/lexer.h"

namespace spanloom::traceql {

// What stands in each pair of parentheses, found before parsing so that one look is enough to know
// what a parenthesis opens.
struct TokenGroups {
    struct Group {
        size_t content = 0;           // token behind the last | directly in it
        bool has_comparison = false;  // behind that
        bool has_pipeline = false;    // a | or { directly in it
        bool has_metric = false;      // rate() and the like directly in it
        bool is_closed = false;
    };
    std::vector<Group> groups;
    std::vector<size_t> group_of;  // by token; of opening parentheses
    bool has_nested_metric = false;

    const Group& at(size_t token) const { return groups[group_of[token]]; }

    // Numbers, aggregates, and parentheses that hold them and no comparison.
    bool starts_scalar(const std::vector<Token>& tokens, size_t at_token) const;
};

TokenGroups find_groups(const std::vector<Token>& tokens);

}  // namespace spanloom::traceql

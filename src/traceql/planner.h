#pragma once

#include <string>
#include <vector>

#include "store/field.h"
#include "traceql/ast.h"

namespace spanloom::traceql {

// What the store is asked, and whether that is all.
struct Plan {
    // A filter of the query as columns can test it. Rows that fail `predicate` fail the filter.
    struct Condition {
        const Expression* filter = nullptr;
        store::Predicate predicate;
        bool only_roots = false;  // and so do rows that are no root of their tree
        bool is_exact = false;    // rows that pass both pass the filter
    };

    // Every trace that answers the query has a span that satisfies this.
    store::Predicate candidates;
    // The spans that satisfy `candidates` are exactly those that the stages before a metric leave,
    // and nothing else is asked of them; else each candidate trace must be evaluated.
    bool is_exact = true;
    uint32_t spans_min = 0;  // traces with fewer spans do not answer it
    std::vector<Condition> conditions;
    // Attributes and intrinsics that the query names and an answer shows with each span.
    std::vector<store::Field> fields;
};

// The query outlives the plan.
Plan make_plan(const Query& query);
Plan make_plan(const std::vector<Stage>& stages);

// For people.
std::string predicate_text(const store::Predicate& predicate);

}  // namespace spanloom::traceql

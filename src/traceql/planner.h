#pragma once

#include <vector>

#include "store/field.h"
#include "traceql/ast.h"

namespace spanloom::traceql {

// What the store is asked, and whether that is all.
struct Plan {
    // Every trace that answers the query has a span that satisfies this.
    store::Predicate candidates;
    // The spans that satisfy `candidates` are exactly the answer; else each candidate trace must
    // be read and evaluated.
    bool is_exact = true;
    // Attributes and intrinsics that the query names and an answer shows with each span.
    std::vector<store::Field> fields;
};

Plan make_plan(const Query& query);

}  // namespace spanloom::traceql

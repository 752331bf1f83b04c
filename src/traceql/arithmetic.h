#pragma once

#include "store/field.h"
#include "traceql/ast.h"

namespace spanloom::traceql {

// Numbers as TraceQL mixes them: integers stay integers where the result is one, durations stay
// durations against plain numbers, everything else is a double. nil where it has no value: an
// operand that is no number, division by zero.
store::Value compute(Operator op, const store::Value& left, const store::Value& right);
store::Value negate(const store::Value& value);

// One comparison of two values; false where the types do not fit. Not for regular expressions.
bool compare_values(Operator op, const store::Value& left, const store::Value& right);

}  // namespace spanloom::traceql

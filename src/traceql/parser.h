#pragma once

#include <string_view>

#include "traceql/ast.h"
#include "traceql/error.h"
#include "traceql/lexer.h"

namespace spanloom::traceql {

// Parentheses, unary and right-associative operators may nest this deep: evaluation recurses.
inline constexpr int kDepthMax = 64;
// Operators in one query: a left-associative chain is as deep as it is long.
inline constexpr int kOperatorsMax = 500;

// Form only: whether the types fit and whether it can be answered is the checker's.
Parsed<Query> parse_form(std::string_view text);

}  // namespace spanloom::traceql

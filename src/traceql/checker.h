#pragma once

#include "traceql/ast.h"
#include "traceql/error.h"

namespace spanloom::traceql {

// A regular expression's compiled program may not be larger.
inline constexpr int64_t kRegexBytesMax = 1 << 20;

// Whether types fit, constants can be computed, regular expressions compile. Folds constant
// arithmetic into literals.
Parsed<void> check_types(Query& query);

// The whole front end: form and types.
Parsed<Query> parse(std::string_view text);

}  // namespace spanloom::traceql

#pragma once

#include "traceql/ast.h"
#include "traceql/error.h"

namespace spanloom::traceql {

// A regular expression's compiled program may not be larger.
inline constexpr int64_t kRegexBytesMax = 1 << 20;

// Whether types fit, constants can be computed, regular expressions compile. Folds constant
// arithmetic into literals.
Parsed<void> check_types(Query& query);

// Whether this version can answer it; the error names the operator that it cannot.
Parsed<void> check_supported(const Query& query);

// The whole front end: form, types, support.
Parsed<Query> parse(std::string_view text);

}  // namespace spanloom::traceql

#pragma once

#include <string>

#include "traceql/ast.h"

namespace spanloom::traceql {

// The query in its one canonical form: parsing that gives the same query again.
std::string print(const Query& query);
std::string print(const Expression& expression);
std::string print(const Spanset& spanset);
std::string print(const store::Value& value);

}  // namespace spanloom::traceql

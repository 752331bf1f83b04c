#pragma once

#include <string_view>
#include <vector>

#include "instrumentation/sql.h"

namespace spanloom::instrumentation {

enum class SqlKind { kEnd, kWord, kQuotedName, kLiteral, kParameter, kSymbol };

// A piece of a statement; lives as long as its text. A symbol is one character.
struct SqlToken {
    SqlKind kind = SqlKind::kEnd;
    std::string_view text;
    bool spaced = false;  // something that says nothing stood before it: space or a comment

    bool is(std::string_view upper_case_word) const;
    bool is(char symbol) const { return kind == SqlKind::kSymbol && text[0] == symbol; }
};

// PostgreSQL's SQL as tokens.
std::vector<SqlToken> read_sql(std::string_view statement, Backslash backslash);

}  // namespace spanloom::instrumentation

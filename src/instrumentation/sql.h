#pragma once

#include <string>
#include <string_view>

namespace spanloom::instrumentation {

// How a server reads a backslash inside an ordinary '...' string.
enum class Backslash { kLiteral, kEscape };

// What a span may say of a statement: its shape, and nothing that its author put in as data.
struct SqlStatement {
    std::string text;     // db.query.text: literals are '?', comments are left out
    std::string summary;  // db.query.summary: operations and what they work on, in their order
};

// Never fails: what cannot be read (an open string, an open comment) counts as data up to the end.
// Texts longer than kSqlBytesMax are described by their beginning.
inline constexpr size_t kSqlBytesMax = 4096;
inline constexpr size_t kSqlSummaryBytesMax = 255;
SqlStatement describe_sql(std::string_view statement, Backslash backslash = Backslash::kLiteral);

}  // namespace spanloom::instrumentation

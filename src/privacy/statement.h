#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace spanloom::privacy {

enum class StatementKind : uint8_t {
    kSql,       // "..." is a name
    kSqlMysql,  // "..." is text, backslashes escape
    kRedis,     // command and arguments, also several lines of them
};

// The kind by the value of db.system.name (or the older db.system).
StatementKind statement_kind(std::string_view db_system) noexcept;

// Whether a text begins as SQL statements do.
bool looks_like_sql(std::string_view text) noexcept;

// The statement with '?' where data stood, comments left out, lists of values as one. Linear time;
// what cannot be read to its end (an open quote) ends in '?'. Names, keywords, operators and
// parameters stay.
std::string sanitize_statement(std::string_view statement, StatementKind kind);

}  // namespace spanloom::privacy

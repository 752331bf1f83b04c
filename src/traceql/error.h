#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "base/result.h"

namespace spanloom::traceql {

// What is wrong with a query text, and where. Bytes count from 0, lines and columns from 1.
struct QueryError {
    size_t from = 0;
    size_t to = 0;  // one past the part that is wrong
    uint32_t line = 1;
    uint32_t column = 1;
    std::string message;
    std::string hint;  // what to write instead; may be empty
    ErrorCode code = ErrorCode::kInvalidArgument;

    // "parse error at line 1, col 5: ..." with the hint: clients find the place from this form.
    std::string text() const;
    // The text, then the line of the query and carets below the part that is wrong.
    std::string with_caret(std::string_view query) const;
    Error to_error() const { return {code, text(), 0}; }
};

template <typename T>
using Parsed = tl::expected<T, QueryError>;

// Fills in line and column from the byte position.
QueryError error_at(std::string_view query, size_t from, size_t to, std::string message,
                    std::string hint = {});

// The candidate nearest to what was written, where it is near enough to be meant; else "".
std::string_view nearest_name(std::string_view written, const std::string_view* candidates,
                              size_t count);

}  // namespace spanloom::traceql

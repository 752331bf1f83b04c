#pragma once

#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/result.h"
#include "base/text.h"

// For .cc files: settings of rules, targets and strategies as JSON, or YAML turned into it.
namespace spanloom::sampling {

template <typename... Args>
tl::unexpected<Error> wrong(fmt::format_string<Args...> format, Args&&... args) {
    return fail(ErrorCode::kInvalidArgument, format, std::forward<Args>(args)...);
}

inline Result<std::string_view> read_text(simdjson::dom::element value) {
    std::string_view text;
    if (value.get(text)) return wrong("must be a text");
    return text;
}

// Also written as a text, as YAML hands numbers over.
inline Result<double> read_number(simdjson::dom::element value) {
    double number = 0;
    if (!value.get(number)) return number;
    std::string_view text;
    const auto parsed = value.get(text) ? std::nullopt : parse_double(text);
    if (!parsed || !std::isfinite(*parsed)) return wrong("must be a number");
    return *parsed;
}

}  // namespace spanloom::sampling

#pragma once

#include <optional>
#include <string_view>

#include "store/field.h"
#include "traceql/ast.h"

namespace spanloom::traceql {

// In which order traces are answered: with(sort="duration", order="asc"). Largest first unless
// said otherwise; equal ones newest first.
struct Sort {
    enum class Key : uint8_t { kStart, kDuration, kSpans, kField };

    Key key = Key::kStart;
    store::Field field;  // kField: the largest (smallest) value of the matched spans
    bool is_ascending = false;

    bool is_newest_first() const { return key == Key::kStart && !is_ascending; }
    // Whether a trace with value `a` comes before one with `b`; traces without a value come last.
    bool comes_before(const store::Value& a, const store::Value& b) const;
};

// nullopt: no such key.
std::optional<Sort> sort_of(std::string_view key);
Sort sort_of(const Query& query);

}  // namespace spanloom::traceql

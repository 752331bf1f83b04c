#pragma once

#include <string_view>

#include "base/result.h"
#include "store/field.h"

namespace spanloom::api {

// The structured filter of Jaeger's v3 searches (jaeger.expression.v1.Call as JSON): operators over
// attributes, built-in fields and constants. What it cannot express here is refused, never ignored.
Result<store::Predicate> parse_jaeger_filter(std::string_view json);
// The same as a protobuf message.
Result<store::Predicate> parse_jaeger_filter_message(std::string_view call);

}  // namespace spanloom::api

#pragma once

#include <cstdint>
#include <string>

#include <simdjson.h>

#include "base/result.h"

namespace spanloom {

// The body of an answer, valid as long as the parser is.
Result<simdjson::dom::element> parse_answer(simdjson::dom::parser& parser, const std::string& body);
// Where it is not what was asked for.
tl::unexpected<Error> unexpected_answer();

// A member as text for a terminal, or as a number; empty and 0 where there is none.
std::string text_of(const simdjson::dom::element& object, const char* key);
uint64_t number_of(const simdjson::dom::element& object, const char* key);

}  // namespace spanloom

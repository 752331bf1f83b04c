#pragma once

#include <string_view>

#include "base/bytes.h"

namespace spanloom::otlp {

// A copy that a strict parser reads without complaint about its characters: padded, invalid UTF-8
// and halves of surrogate pairs replaced by U+FFFD.
Blob readable_json(std::string_view json);

}  // namespace spanloom::otlp

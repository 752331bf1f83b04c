#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "spanloom/processor.h"

namespace spanloom {

// Each span gets the baggage of its parent's context as attributes when it starts: of the keys that
// the predicate wants (asked on every thread, must not throw), or that fit one of the patterns (`*`
// stands for any text, `?` for one byte). Put it before the exporting processors. Baggage comes
// from callers: want only keys that you know.
std::shared_ptr<SpanProcessor> make_baggage_processor(
    std::function<bool(std::string_view key)> wants);
std::shared_ptr<SpanProcessor> make_baggage_processor(std::vector<std::string> key_patterns);

}  // namespace spanloom

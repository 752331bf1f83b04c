#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace YAML {
class Node;
}

namespace spanloom {

// What scalars become: kTexts: texts, all of them; kTyped: what is not quoted and looks like a
// number or a boolean becomes one.
enum class YamlScalars : uint8_t { kTexts, kTyped };

// What stands in a node as JSON. An error where it is nested deeper than `depth`, or where aliases
// make very much of it.
Result<std::string> yaml_as_json(const YAML::Node& node, int depth, YamlScalars scalars);
// The same of a whole text, typed; errors name the line.
Result<std::string> yaml_text_as_json(std::string_view yaml, const std::string& name);

// A file that people wrote: "cannot read WHAT PATH".
Result<std::string> read_text_file(const std::string& path, std::string_view what);

}  // namespace spanloom

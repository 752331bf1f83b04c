#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sdk/yaml.h"

namespace spanloom::sdk {

// The value of an environment variable; absent where it is not set.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;
// That of this process.
std::optional<std::string> process_variable(std::string_view name);

// ${NAME}, ${env:NAME}, ${NAME:-default}, and $$ for a dollar sign:
// configuration/data-model.md of the specification. What is put in is not
// looked at again.
Result<std::string> substitute_variables(std::string_view text, const Environment& environment);

// In every value of the document, not in its keys. Types are resolved
// afterwards, and a value never becomes more than one scalar. An invalid
// reference fails the whole.
Result<void> substitute_variables(YamlNode& node, const Environment& environment);

}  // namespace spanloom::sdk

#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "sdk/yaml.h"
#include "spanloom/sampler.h"

namespace spanloom::sdk {

// A `sampler` of the declarative configuration. `service`: what a remote one
// asks for.
Result<std::shared_ptr<Sampler>> sampler_of(const YamlNode& node, std::string_view service);

}  // namespace spanloom::sdk

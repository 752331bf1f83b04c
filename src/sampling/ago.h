#pragma once

#include <cstdint>
#include <string>

namespace spanloom::sampling {

// How long ago, as people say it: "3 h ago".
std::string format_ago(uint64_t at_ns, uint64_t now_ns);

}  // namespace spanloom::sampling

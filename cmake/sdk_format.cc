// {fmt}'s code, once: what else the SDK is made of only declares it. Its functions are inline, so
// that a program with a {fmt} of its own has no second definition of them.
#define FMT_HEADER_ONLY 1
#include <fmt/format.h>

namespace {

[[gnu::used]] const auto kFormat =
    static_cast<std::string (*)(fmt::string_view, fmt::format_args)>(&fmt::vformat);

}  // namespace

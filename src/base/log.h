#pragma once

#include <string_view>

#include <fmt/core.h>

namespace spanloom::log {

enum class Level : int { kDebug, kInfo, kWarning, kError };

// Lines go to standard error, one per event: time, level, text. Control characters in the text are
// escaped, so that nothing received can forge a line or colour a terminal. Equal formats are
// limited to 20 lines in ten seconds; what is left out is counted in the next one. Thread-safe.
void set_level(Level level);
void write(Level level, std::string_view format, std::string_view text);

template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::kInfo,
          std::string_view(fmt::string_view(format).data(), fmt::string_view(format).size()),
          fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::kWarning,
          std::string_view(fmt::string_view(format).data(), fmt::string_view(format).size()),
          fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::kError,
          std::string_view(fmt::string_view(format).data(), fmt::string_view(format).size()),
          fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace spanloom::log

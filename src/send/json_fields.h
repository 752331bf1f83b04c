#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace spanloom::send {

// Fields of the JSON object that a server answered: its own, not those of objects inside it. Only
// what a reply to an export holds is understood; nothing where the text is no JSON up to the field.
std::optional<std::string> json_text(std::string_view object, std::string_view name);
std::optional<int64_t> json_number(std::string_view object, std::string_view name);  // or a string
std::optional<std::string_view> json_object(std::string_view object, std::string_view name);

}  // namespace spanloom::send

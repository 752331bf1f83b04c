#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace spanloom {

// A command of the program, with what can follow it.
struct CompletionCommand {
    std::string name;
    std::string text;
    std::vector<std::pair<std::string, std::string>> flags;  // "--server", what it is
    std::vector<CompletionCommand> commands;
};

// A script for bash, zsh or fish that completes the commands and flags of `program`.
Result<std::string> completion_script(const CompletionCommand& program, const std::string& shell);

}  // namespace spanloom

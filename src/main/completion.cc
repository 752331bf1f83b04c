#include "main/completion.h"

#include <fmt/format.h>

namespace spanloom {
namespace {

// In single quotes of a shell.
std::string quoted(const std::string& text) {
    std::string out = "'";
    for (const char c : text)
        out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

std::string words_after(const CompletionCommand& command) {
    std::string words;
    for (const CompletionCommand& inner : command.commands)
        words += (words.empty() ? "" : " ") + inner.name;
    for (const auto& [flag, text] : command.flags)
        words += (words.empty() ? "" : " ") + flag;
    return words;
}

std::string bash_script(const CompletionCommand& program) {
    std::string out =
        "# spanloom completion for bash: source <(spanloom completion bash)\n"
        "_spanloom() {\n"
        "    local words\n"
        "    case \"${COMP_WORDS[1]}\" in\n";
    for (const CompletionCommand& command : program.commands)
        fmt::format_to(std::back_inserter(out), "        {}) words={} ;;\n", command.name,
                       quoted(words_after(command)));
    fmt::format_to(std::back_inserter(out), "        *) words={} ;;\n",
                   quoted(words_after(program)));
    out +=
        "    esac\n"
        "    [ \"$COMP_CWORD\" -gt 1 ] || words=" +
        quoted(words_after(program)) +
        "\n"
        "    COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
        "}\n"
        "complete -o default -F _spanloom spanloom\n";
    return out;
}

std::string zsh_list(const std::vector<std::pair<std::string, std::string>>& items) {
    std::string out;
    for (const auto& [name, text] : items) {
        std::string safe;
        for (const char c : name + ":" + text)
            safe += c == '[' || c == ']' ? ' ' : c;
        out += " " + quoted(safe);
    }
    return out;
}

std::vector<std::pair<std::string, std::string>> items_of(const CompletionCommand& command) {
    std::vector<std::pair<std::string, std::string>> items;
    for (const CompletionCommand& inner : command.commands)
        items.emplace_back(inner.name, inner.text);
    items.insert(items.end(), command.flags.begin(), command.flags.end());
    return items;
}

std::string zsh_script(const CompletionCommand& program) {
    std::string out =
        "#compdef spanloom\n"
        "# spanloom completion for zsh: spanloom completion zsh > \"${fpath[1]}/_spanloom\"\n"
        "_spanloom() {\n"
        "    local -a items\n"
        "    if (( CURRENT == 2 )); then\n"
        "        items=(" +
        zsh_list(items_of(program)) +
        ")\n"
        "    else\n"
        "        case \"$words[2]\" in\n";
    for (const CompletionCommand& command : program.commands)
        fmt::format_to(std::back_inserter(out), "            {}) items=({}) ;;\n", command.name,
                       zsh_list(items_of(command)));
    out +=
        "        esac\n"
        "    fi\n"
        "    _describe spanloom items\n"
        "}\n"
        "compdef _spanloom spanloom\n";
    return out;
}

std::string fish_script(const CompletionCommand& program) {
    std::string out =
        "# spanloom completion for fish: spanloom completion fish | source\n"
        "complete -c spanloom -f\n";
    for (const CompletionCommand& command : program.commands) {
        fmt::format_to(std::back_inserter(out),
                       "complete -c spanloom -n __fish_use_subcommand -a {} -d {}\n", command.name,
                       quoted(command.text));
        const std::string here = quoted("__fish_seen_subcommand_from " + command.name);
        for (const CompletionCommand& inner : command.commands)
            fmt::format_to(std::back_inserter(out), "complete -c spanloom -n {} -a {} -d {}\n",
                           here, inner.name, quoted(inner.text));
        for (const auto& [flag, text] : command.flags)
            fmt::format_to(std::back_inserter(out), "complete -c spanloom -n {} -l {} -d {}\n",
                           here, flag.substr(2), quoted(text));
    }
    return out;
}

}  // namespace

Result<std::string> completion_script(const CompletionCommand& program, const std::string& shell) {
    if (shell == "bash") return bash_script(program);
    if (shell == "zsh") return zsh_script(program);
    if (shell == "fish") return fish_script(program);
    return fail(ErrorCode::kInvalidArgument,
                "there is no completion for '{}': ask for bash, zsh or fish", shell);
}

}  // namespace spanloom

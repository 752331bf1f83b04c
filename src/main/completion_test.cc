#include "main/completion.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include <doctest/doctest.h>

namespace spanloom {
namespace {

CompletionCommand program() {
    return {"spanloom",
            "traces",
            {{"--version", "which it is"}},
            {{"query", "asks", {{"--limit", "it's the most"}, {"--json", "as [JSON]"}}, {}},
             {"completion", "prints", {}, {{"bash", "for bash", {}, {}}, {"zsh", "", {}, {}}}}}};
}

// What bash offers where the last of these words is being typed.
std::string offered(const std::string& script, const std::string& words, int word) {
    ::setenv("SPANLOOM_COMPLETION", script.c_str(), 1);
    const std::string command = "bash -c 'eval \"$SPANLOOM_COMPLETION\"; COMP_WORDS=(" + words +
                                "); COMP_CWORD=" + std::to_string(word) +
                                "; _spanloom; echo -n \"${COMPREPLY[*]}\"'";
    FILE* const pipe = ::popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string out;
    char buffer[256];
    for (size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
        out.append(buffer, got);
    CHECK(::pclose(pipe) == 0);
    ::unsetenv("SPANLOOM_COMPLETION");
    return out;
}

}  // namespace

TEST_CASE("bash completes commands, and the flags of each") {
    const std::string script = *completion_script(program(), "bash");
    CHECK(offered(script, "spanloom \"\"", 1) == "query completion --version");
    CHECK(offered(script, "spanloom q", 1) == "query");
    CHECK(offered(script, "spanloom query --", 2) == "--limit --json");
    CHECK(offered(script, "spanloom query \"{ }\" --l", 3) == "--limit");
    CHECK(offered(script, "spanloom completion b", 2) == "bash");
    CHECK(offered(script, "spanloom query x", 2).empty());
}

TEST_CASE("zsh and fish get the same with what it is; texts cannot leave their quotes") {
    const std::string zsh = *completion_script(program(), "zsh");
    CHECK(zsh.starts_with("#compdef spanloom\n"));
    CHECK(zsh.find(R"(query) items=( '--limit:it'\''s the most' '--json:as  JSON ') ;;)") !=
          std::string::npos);
    const std::string fish = *completion_script(program(), "fish");
    CHECK(fish.find("complete -c spanloom -n '__fish_seen_subcommand_from query' -l limit -d "
                    R"('it'\''s the most')") != std::string::npos);
    CHECK(fish.find("-n __fish_use_subcommand -a query -d 'asks'\n") != std::string::npos);
    const auto other = completion_script(program(), "tcsh");
    REQUIRE(!other.has_value());
    CHECK(other.error().message.find("bash, zsh or fish") != std::string::npos);
}

}  // namespace spanloom

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include "traceql/checker.h"

// Tempo's own corpus of queries, put to our parser. It is not part of this repository (another
// license): SPANLOOM_TEMPO_TRACEQL names the folder pkg/traceql of a checkout of Tempo.
using namespace spanloom;

namespace {

// What YAML writes between quotes.
std::string unquoted(std::string_view text) {
    std::string out;
    const bool is_double = text.front() == '"';
    text = text.substr(1, text.size() - 2);
    for (size_t i = 0; i < text.size(); ++i) {
        const char next = i + 1 < text.size() ? text[i + 1] : '\0';
        if (!is_double && text[i] == '\'' && next == '\'') {
            ++i;
        } else if (is_double && text[i] == '\\') {
            ++i;
            out += next == 'n' ? '\n' : next == 't' ? '\t' : next == 'r' ? '\r' : next;
            continue;
        }
        out += text[i];
    }
    return out;
}

std::map<std::string, std::vector<std::string>> read_corpus(const std::string& path) {
    std::map<std::string, std::vector<std::string>> groups;
    std::ifstream file(path);
    std::string group;
    for (std::string line; std::getline(file, line);) {
        if (line.ends_with(':') && !line.starts_with(' ')) group = line.substr(0, line.size() - 1);
        if (!line.starts_with("  - '") && !line.starts_with("  - \"")) continue;
        const size_t end = line.find_last_of("'\"");
        groups[group].push_back(unquoted(std::string_view(line).substr(4, end - 3)));
    }
    return groups;
}

// Where we mean to differ (docs/user/traceql.md says why): one query a line, after + where we
// accept what Tempo refuses, after - where it is the other way round.
std::set<std::string> read_differences() {
    std::set<std::string> differences;
    std::ifstream file(SPANLOOM_TRACEQL_CASES "/tempo_differences.txt");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("+ ") || line.starts_with("- ")) differences.insert(line);
    }
    return differences;
}

}  // namespace

TEST_CASE("Tempo's corpus is accepted and refused alike, but for what is listed" *
          doctest::skip(std::getenv("SPANLOOM_TEMPO_TRACEQL") == nullptr) *
          doctest::description("skipped unless SPANLOOM_TEMPO_TRACEQL names Tempo's pkg/traceql")) {
    const char* folder = std::getenv("SPANLOOM_TEMPO_TRACEQL");
    REQUIRE(folder != nullptr);
    const auto groups = read_corpus(std::string(folder) + "/test_examples.yaml");
    std::set<std::string> listed = read_differences();
    size_t asked = 0;
    for (const auto& [group, queries] : groups) {
        if (group != "valid" && group != "parse_fails" && group != "validate_fails" &&
            group != "unsupported")
            continue;
        for (const std::string& query : queries) {
            ++asked;
            const auto parsed = traceql::parse(query);
            const bool is_wanted = group == "valid";
            if (parsed.has_value() == is_wanted) continue;
            const std::string difference = (parsed ? "+ " : "- ") + query;
            CAPTURE(group);
            CHECK_MESSAGE(listed.erase(difference) == 1, difference);
        }
    }
    CHECK(asked > 400);
    for (const std::string& gone : listed)
        CHECK_MESSAGE(false, "listed, but no difference: " << gone);
}

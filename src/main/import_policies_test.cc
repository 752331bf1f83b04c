#include <algorithm>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "main/commands.h"
#include "main/yaml_json.h"
#include "sampling/keep_rules.h"

// Each test/policies/NAME.yaml beside what is made of it, NAME.out: rules, "---", what is said.
namespace spanloom {
namespace {

const std::filesystem::path kFolder = SPANLOOM_POLICIES;

Result<sampling::ImportedPolicies> imported(const std::string& yaml) {
    PolicyOptions options;
    options.file = "policies.yaml";
    return read_policies(yaml, options);
}

std::string error_of(const std::string& yaml) {
    const auto policies = imported(yaml);
    REQUIRE_FALSE(policies.has_value());
    return policies.error().message;
}

}  // namespace

TEST_CASE("policies of other systems become rules that a configuration takes") {
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
        if (entry.path().extension() != ".yaml") continue;
        ++files;
        CAPTURE(entry.path().filename().string());
        const auto yaml = read_text_file(entry.path(), "policies");
        REQUIRE(yaml.has_value());
        const auto policies = imported(*yaml);
        REQUIRE_MESSAGE(policies.has_value(), (policies ? "" : policies.error().message));
        const std::string rules = sampling::print_imported_rules(*policies, "");
        const std::string text = rules + "---\n" + sampling::print_policy_notes(*policies);
        auto path = entry.path();
        const auto expected = read_text_file(path.replace_extension(".out"), "what is made of it");
        if (!expected || *expected != text) std::ofstream(path.string() + ".new") << text;
        CHECK_MESSAGE((expected && *expected == text),
                      "see " << path.string() << ".new, and rename it where it is right");
        Config config;
        const auto read = read_config_text(rules, "rules", config);
        CHECK_MESSAGE(read.has_value(), (read ? "" : read.error().message));
        const auto of_config = keep_rules_of(config);
        const auto directly = sampling::parse_keep_list(sampling::imported_rules_json(*policies));
        REQUIRE(of_config.has_value());
        REQUIRE_MESSAGE(directly.has_value(), (directly ? "" : directly.error().message));
        CHECK(sampling::print_keep_list(*directly) == sampling::print_keep_list(of_config->keep));
    }
    CHECK(files >= 4);
}

TEST_CASE("rules that are forwarded are an entry of their own") {
    const auto policies = imported(
        "{decision_wait: 10s, policies: [{name: \"it's\", type: probabilistic, "
        "probabilistic: {sampling_percentage: 12.5}}]}");
    REQUIRE(policies.has_value());
    CHECK(sampling::print_imported_rules(*policies, "tempo:4317") ==
          "# made of tail_sampling by `spanloom import-policies`\n"
          "forward:\n"
          "  - endpoint: 'tempo:4317'\n"
          "    protocol: grpc\n"
          "    wait: 10s\n"
          "    keep:\n"
          "      - {name: 'it''s', rate: 0.125}\n");
}

TEST_CASE("names that rules cannot have become others") {
    std::string yaml = "policies:\n";
    for (const std::string& name : {std::string("pinned"), std::string("same"), std::string("same"),
                                    std::string("true"), std::string("''"), std::string(100, 'x')})
        yaml +=
            fmt::format("  - {{name: {}, type: latency, latency: {{threshold_ms: 1}}}}\n", name);
    const auto policies = imported(yaml);
    REQUIRE(policies.has_value());
    std::vector<std::string> names;
    for (const sampling::ImportedRule& rule : policies->rules)
        names.push_back(rule.name);
    CHECK(names == std::vector<std::string>{"pinned 2", "same", "same 2", "true", "rule",
                                            std::string(56, 'x')});
    Config config;
    CHECK(read_config_text(sampling::print_imported_rules(*policies, ""), "rules", config)
              .has_value());
}

TEST_CASE("what holds no policies is said to hold none") {
    CHECK(error_of("a: [") == "policies.yaml:1: not YAML: end of sequence flow not found");
    CHECK(error_of("receivers: {}").find("neither processors.tail_sampling") != std::string::npos);
    CHECK(error_of("processors: {tail_sampling: {}}") ==
          "policies.yaml: processors.tail_sampling has no policies");
    std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 12; ++i)
        bomb += fmt::format("a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i, i - 1);
    CHECK(error_of(bomb).find("too large") != std::string::npos);
}

}  // namespace spanloom

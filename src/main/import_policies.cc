// `spanloom import-policies`: other systems' rules for tail sampling as keep rules.
#include <cstdio>

#include <fmt/format.h>

#include "main/commands.h"
#include "main/yaml_json.h"

namespace spanloom {

Result<sampling::ImportedPolicies> read_policies(std::string_view yaml,
                                                 const PolicyOptions& options) {
    TRY_ASSIGN(const std::string json, yaml_text_as_json(yaml, options.file));
    auto policies = sampling::import_policies(json, options.counted);
    if (!policies)
        return fail(policies.error().code, "{}: {}", options.file, policies.error().message);
    return policies;
}

int run_import_policies(const PolicyOptions& options) {
    const Result<std::string> yaml = read_text_file(options.file, "the policies");
    if (!yaml) return report(yaml.error());
    const auto policies = read_policies(*yaml, options);
    if (!policies) return report(policies.error());
    fmt::print("{}", sampling::print_imported_rules(*policies, options.forward_to));
    std::fflush(stdout);
    fmt::print(stderr, "{}", sampling::print_policy_notes(*policies));
    return 0;
}

}  // namespace spanloom

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include "sampling/policy_import.h"

// What the readers of the several formats have in common.
namespace spanloom::sampling {

std::optional<std::string> text_at(const simdjson::dom::element& map, std::string_view key);
// Also a text that is a number.
std::optional<double> number_at(const simdjson::dom::element& map, std::string_view key);
bool flag_at(const simdjson::dom::element& map, std::string_view key);
std::vector<simdjson::dom::element> list_at(const simdjson::dom::element& map,
                                            std::string_view key);
// Texts; a number or a boolean as it is written.
std::vector<std::string> texts_at(const simdjson::dom::element& map, std::string_view key);
// A text, number or boolean as TraceQL writes it; none for lists and maps.
std::optional<std::string> traceql_value(const simdjson::dom::element& value);

// A number without more digits than it needs.
std::string plain_number(double number);
// A share that a keep rule may have.
double share_of_rule(double share);

// Notes of one policy, and its rule.
class PolicyReport {
  public:
    PolicyReport(std::string policy, ImportedPolicies& all) : all_(all) {
        note_.policy = std::move(policy);
    }
    // That takes nothing from its being the same.
    void remark(std::string_view text) { add(text); }
    void differs(std::string_view text);
    void left_out(std::string_view text);
    // To be called once, last.
    void finish() { all_.notes.push_back(std::move(note_)); }

  private:
    void add(std::string_view text);

    ImportedPolicies& all_;
    PolicyNote note_;
};

// Gives each rule a name that no other has and a rule may have, and a rate that can be written
// down.
void finish_rules(std::vector<ImportedRule>& rules);

Result<ImportedPolicies> import_collector(const simdjson::dom::element& tail_sampling,
                                          std::string source, const ImportOptions& options);
Result<ImportedPolicies> import_refinery(const simdjson::dom::element& rules,
                                         const ImportOptions& options);

}  // namespace spanloom::sampling

#include "sampling/policy_import.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/json_writer.h"
#include "base/text.h"
#include "otlp/tracestate.h"
#include "sampling/imported_rules.h"

namespace spanloom::sampling {
namespace {

using simdjson::dom::element;

constexpr size_t kNameBytesMax = 64;  // of a keep rule

// In YAML between single quotes.
std::string in_quotes(std::string_view text) {
    std::string out = "'";
    for (const char c : text)
        out += c == '\'' ? std::string("''") : std::string(1, c);
    return out + "'";
}

std::string yaml_name(std::string_view name) {
    const bool is_plain =
        std::all_of(name.begin(), name.end(),
                    [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; }) &&
        std::isalpha(static_cast<unsigned char>(name[0])) != 0;
    // What YAML takes for something else than a text.
    constexpr std::string_view kWords[] = {"true", "false", "null", "yes", "no", "on", "off"};
    std::string lower(name);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    const bool is_word = std::find(std::begin(kWords), std::end(kWords), lower) != std::end(kWords);
    return is_plain && !is_word ? std::string(name) : in_quotes(name);
}

std::string rule_line(const ImportedRule& rule) {
    std::string out = fmt::format("{{name: {}", yaml_name(rule.name));
    const std::string match = rule.condition.traceql();
    if (!match.empty()) out += fmt::format(", match: {}", in_quotes(match));
    out += fmt::format(", {}: {}",
                       rule.rate_kind == ImportedRule::Rate::kShare ? "rate" : "per_second",
                       plain_number(rule.rate));
    if (!rule.by.empty()) {
        out += ", by: [";
        for (size_t i = 0; i < rule.by.size(); ++i)
            out += (i == 0 ? "" : ", ") + in_quotes(rule.by[i]);
        out += ']';
    }
    return out + "}";
}

// processors.tail_sampling, or the first processors.tail_sampling/NAME.
std::optional<std::pair<std::string, element>> find_tail_sampling(const element& root) {
    simdjson::dom::object processors;
    if (root["processors"].get(processors)) return std::nullopt;
    for (const auto& [name, processor] : processors) {
        if (name == "tail_sampling" || name.starts_with("tail_sampling/"))
            return std::pair("processors." + std::string(name), processor);
    }
    return std::nullopt;
}

}  // namespace

// ---- what the readers share

std::optional<std::string> text_at(const element& map, std::string_view key) {
    element value;
    if (map[key].get(value)) return std::nullopt;
    std::string_view text;
    if (!value.get(text)) return std::string(text);
    if (value.is_object() || value.is_array() || value.is_null()) return std::nullopt;
    return simdjson::minify(value);
}

std::optional<double> number_at(const element& map, std::string_view key) {
    element value;
    if (map[key].get(value)) return std::nullopt;
    double number = 0;
    if (!value.get(number)) return number;
    std::string_view text;
    return value.get(text) ? std::nullopt : parse_double(text);
}

bool flag_at(const element& map, std::string_view key) {
    return text_at(map, key) == "true";
}

std::vector<element> list_at(const element& map, std::string_view key) {
    simdjson::dom::array list;
    if (map[key].get(list)) return {};
    return {list.begin(), list.end()};
}

std::vector<std::string> texts_at(const element& map, std::string_view key) {
    std::vector<std::string> texts;
    for (const element value : list_at(map, key)) {
        std::string_view text;
        texts.push_back(value.get(text) ? simdjson::minify(value) : std::string(text));
    }
    return texts;
}

std::optional<std::string> traceql_value(const element& value) {
    std::string_view text;
    if (!value.get(text)) return traceql_text(text);
    double number = 0;
    if (!value.get(number)) return plain_number(number);
    bool flag = false;
    if (!value.get(flag)) return flag ? "true" : "false";
    return std::nullopt;
}

std::string plain_number(double number) {
    if (number == std::floor(number)) return fmt::format("{:.0f}", number);
    // No exponent: TraceQL has none.
    std::string text = fmt::format("{:.12f}", number);
    text.erase(text.find_last_not_of('0') + 1);
    return text;
}

double share_of_rule(double share) {
    if (!(share > 0)) return 0;
    return std::clamp(share, 1 / otlp::kAdjustedCountMax, 1.0);
}

void PolicyReport::differs(std::string_view text) {
    if (note_.outcome == PolicyNote::Outcome::kSame) note_.outcome = PolicyNote::Outcome::kDiffers;
    add(text);
}

void PolicyReport::add(std::string_view text) {
    if (!note_.text.empty()) note_.text += "; ";
    note_.text += text;
}

void PolicyReport::left_out(std::string_view text) {
    note_.outcome = PolicyNote::Outcome::kLeftOut;
    note_.text = text;
}

void finish_rules(std::vector<ImportedRule>& rules) {
    std::set<std::string> taken = {"pinned"};
    constexpr double kRateDigits = 1e9;
    for (ImportedRule& rule : rules) {
        rule.rate = std::round(rule.rate * kRateDigits) / kRateDigits;
        std::string name = rule.name.empty() ? "rule" : replace_invalid_utf8(rule.name);
        if (name.size() > kNameBytesMax - 8) {
            name.resize(kNameBytesMax - 8);
            while (!name.empty() && !is_valid_utf8(name))
                name.pop_back();
        }
        std::string unique = name;
        for (int number = 2; !taken.insert(unique).second; ++number)
            unique = fmt::format("{} {}", name, number);
        rule.name = std::move(unique);
    }
}

// ---- in and out

Result<ImportedPolicies> import_policies(std::string_view json, const ImportOptions& options) {
    simdjson::dom::parser parser;
    element root;
    if (const auto problem = parser.parse(json.data(), json.size()).get(root))
        return fail(ErrorCode::kInvalidArgument, "not JSON: {}", simdjson::error_message(problem));
    element part;
    if (!root["Samplers"].get(part)) return import_refinery(part, options);
    if (!root["policies"].get(part)) return import_collector(root, "tail_sampling", options);
    if (const auto found = find_tail_sampling(root))
        return import_collector(found->second, found->first, options);
    return fail(ErrorCode::kInvalidArgument,
                "there is neither processors.tail_sampling of an OpenTelemetry Collector nor "
                "Samplers of Refinery in it");
}

std::string print_imported_rules(const ImportedPolicies& policies, std::string_view forward_to) {
    std::string out = fmt::format("# made of {} by `spanloom import-policies`\n", policies.source);
    std::string_view indent;
    if (!forward_to.empty()) {
        out +=
            fmt::format("forward:\n  - endpoint: {}\n    protocol: grpc\n", in_quotes(forward_to));
        if (!policies.wait.empty()) out += fmt::format("    wait: {}\n", policies.wait);
        indent = "    ";
    }
    out += fmt::format("{}keep:{}\n", indent, policies.rules.empty() ? " []" : "");
    for (const ImportedRule& rule : policies.rules)
        out += fmt::format("{}  - {}\n", indent, rule_line(rule));
    return out;
}

std::string imported_rules_json(const ImportedPolicies& policies) {
    std::string out;
    JsonWriter json(out);
    json.begin_array();
    for (const ImportedRule& rule : policies.rules) {
        json.begin_object().field("name", rule.name);
        json.field("match", rule.condition.traceql());
        json.field(rule.rate_kind == ImportedRule::Rate::kShare ? "rate" : "per_second", rule.rate);
        if (!rule.by.empty()) {
            json.key("by").begin_array();
            for (const std::string& field : rule.by)
                json.string(field);
            json.end_array();
        }
        json.end_object();
    }
    json.end_array();
    return out;
}

std::string print_policy_notes(const ImportedPolicies& policies) {
    std::string out;
    for (const PolicyNote& note : policies.notes) {
        const char* const outcome = note.outcome == PolicyNote::Outcome::kSame      ? "the same"
                                    : note.outcome == PolicyNote::Outcome::kDiffers ? "DIFFERS"
                                                                                    : "LEFT OUT";
        out += fmt::format("{}: {}{}{}\n", note.policy, outcome, note.text.empty() ? "" : ": ",
                           note.text);
    }
    return out;
}

}  // namespace spanloom::sampling

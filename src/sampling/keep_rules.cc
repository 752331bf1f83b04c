#include "sampling/keep_rules.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/json_writer.h"
#include "base/text.h"
#include "otlp/tracestate.h"
#include "sampling/json_settings.h"
#include "traceql/checker.h"
#include "traceql/executor.h"

namespace spanloom::sampling {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

constexpr size_t kNameBytesMax = 64;
constexpr size_t kMatchBytesMax = 4096;
constexpr size_t kKeysMax = 8;
constexpr double kPerSecondMax = 1e9;
constexpr int64_t kNsPerMs = 1'000'000;

constexpr std::array<std::string_view, 9> kSettings = {
    "name", "match", "slowest", "rate", "per_second", "per_key", "by", "for", "max_bytes"};

Result<double> read_share(element value) {
    TRY_ASSIGN(const double share, read_number(value));
    if (share == 0 || (share >= 1 / otlp::kAdjustedCountMax && share <= 1)) return share;
    return wrong("must be a share of the traces: 0, or from {} to 1", 1 / otlp::kAdjustedCountMax);
}

Result<double> read_traces_per_second(element value) {
    TRY_ASSIGN(const double rate, read_number(value));
    if (rate > 0 && rate <= kPerSecondMax) return rate;
    return wrong("must be a number of traces a second, above 0");
}

Result<uint64_t> read_duration_ms(element value) {
    TRY_ASSIGN(const std::string_view text, read_text(value));
    const Result<int64_t> ns = parse_duration_ns(text);
    if (!ns || *ns < 0) return wrong("must be a duration like 24h or 30d");
    return static_cast<uint64_t>(*ns / kNsPerMs);
}

Result<uint64_t> read_bytes(element value) {
    uint64_t number = 0;
    if (!value.get(number)) return number;
    TRY_ASSIGN(const std::string_view text, read_text(value));
    Result<uint64_t> bytes = parse_bytes(text);
    if (!bytes) return wrong("must be a size like 50GiB");
    return bytes;
}

// A field as TraceQL writes it.
Result<store::Field> parse_field(std::string_view text) {
    const auto query = traceql::parse(fmt::format("{{ {} != nil }}", text));
    const traceql::Expression* filter = nullptr;
    if (query && query->stages.size() == 1 && query->stages[0].spanset.filter)
        filter = &*query->stages[0].spanset.filter;
    const bool is_field = filter != nullptr && filter->op == traceql::Operator::kNotEqual &&
                          !filter->operands.empty() &&
                          filter->operands[0].kind == traceql::Expression::Kind::kField &&
                          !filter->operands[0].is_parent;
    if (!is_field)
        return wrong("'{}' is no attribute: write it as TraceQL does, like resource.service.name",
                     text);
    const store::Field& field = filter->operands[0].field;
    if (field.is_trace_level() || field.intrinsic == store::Intrinsic::kTraceId ||
        field.intrinsic == store::Intrinsic::kSpanId)
        return wrong("'{}' cannot group traces: name an attribute of their roots", text);
    return field;
}

Result<void> read_by(element value, KeepRule& rule) {
    simdjson::dom::array list;
    if (value.get(list) || list.size() == 0 || list.size() > kKeysMax)
        return wrong("must be a list of 1 to {} attributes", kKeysMax);
    for (const element one : list) {
        TRY_ASSIGN(const std::string_view text, read_text(one));
        TRY_ASSIGN(store::Field field, parse_field(text));
        rule.by.emplace_back(text);
        rule.fields.push_back(std::move(field));
    }
    return {};
}

Result<void> read_match(element value, KeepRule& rule) {
    TRY_ASSIGN(const std::string_view text, read_text(value));
    rule.match = text;
    if (trim(text).empty()) return {};
    if (text.size() > kMatchBytesMax) return wrong("must be at most {} characters", kMatchBytesMax);
    TRY_ASSIGN(rule.query, parse_trace_query(text, "a rule needs a query that finds traces"));
    return {};
}

Result<void> read_setting(std::string_view key, element value, KeepRule& rule) {
    if (key == "match") return read_match(value, rule);
    if (key == "by") return read_by(value, rule);
    if (key == "name") {
        TRY_ASSIGN(rule.name, read_text(value));
    } else if (key == "slowest") {
        TRY_ASSIGN(rule.slowest, read_share(value));
        if (rule.slowest == 0) return wrong("must be above 0");
    } else if (key == "rate") {
        TRY_ASSIGN(rule.rate, read_share(value));
    } else if (key == "per_second") {
        rule.rate_kind = KeepRule::Rate::kPerSecond;
        TRY_ASSIGN(rule.rate, read_traces_per_second(value));
    } else if (key == "per_key") {
        rule.rate_kind = KeepRule::Rate::kPerKey;
        TRY_ASSIGN(rule.rate, read_traces_per_second(value));
    } else if (key == "for") {
        TRY_ASSIGN(rule.for_ms, read_duration_ms(value));
    } else if (key == "max_bytes") {
        TRY_ASSIGN(rule.bytes_max, read_bytes(value));
    } else {
        return wrong("there is no such setting; a rule has {}", fmt::join(kSettings, ", "));
    }
    return {};
}

Result<void> check_rule(const KeepRule& rule, uint32_t rates) {
    if (rule.name.empty() || rule.name.size() > kNameBytesMax || !is_valid_utf8(rule.name))
        return wrong("name: must be a text of 1 to {} characters", kNameBytesMax);
    if (rule.name == kPinnedRule)
        return wrong("name: '{}' are the traces that people pinned; choose another", kPinnedRule);
    if (rates > 1)
        return wrong("rate, per_second and per_key exclude each other: give one of them");
    if (rule.rate_kind == KeepRule::Rate::kPerKey && rule.by.empty())
        return wrong("per_key needs by: the attributes whose values are the keys");
    if (!rule.by.empty() && rule.rate_kind == KeepRule::Rate::kShare && !rule.slowest)
        return wrong("by needs per_second, per_key or slowest");
    return {};
}

Result<KeepRule> parse_rule(element value) {
    object settings;
    if (value.get(settings)) return wrong("must be an object with {}", fmt::join(kSettings, ", "));
    KeepRule rule;
    uint32_t rates = 0;
    for (const auto& [key, setting] : settings) {
        rates += key == "rate" || key == "per_second" || key == "per_key";
        if (const Result<void> read = read_setting(key, setting, rule); !read)
            return wrong("{}: {}", key.substr(0, kNameBytesMax), read.error().message);
    }
    TRY(check_rule(rule, rates));
    return rule;
}

Result<std::vector<KeepRule>> parse_list(element value) {
    simdjson::dom::array list;
    if (value.get(list)) return wrong("keep: must be a list of rules");
    if (list.size() > kKeepRulesMax)
        return wrong("keep: has {} rules, at most {} are taken", list.size(), kKeepRulesMax);
    std::vector<KeepRule> rules;
    for (const element one : list) {
        Result<KeepRule> rule = parse_rule(one);
        std::string_view name;
        if (!rule && one["name"].get(name)) name = {};
        if (!rule)
            return wrong("keep[{}]{}: {}", rules.size(),
                         name.empty() ? "" : fmt::format(" ({})", name.substr(0, kNameBytesMax)),
                         rule.error().message);
        const bool is_taken = std::any_of(rules.begin(), rules.end(),
                                          [&](const KeepRule& r) { return r.name == rule->name; });
        if (is_taken)
            return wrong("keep[{}]: name: there are two rules '{}'", rules.size(), rule->name);
        rules.push_back(std::move(*rule));
    }
    return rules;
}

Result<void> read_recent(element value, KeepRules& rules) {
    object settings;
    if (value.get(settings)) return wrong("recent: must be an object with for, disk");
    for (const auto& [key, setting] : settings) {
        const auto read = [&, name = key, one = setting]() -> Result<void> {
            if (name == "for") {
                TRY_ASSIGN(rules.recent_for_ms, read_duration_ms(one));
            } else if (name == "disk") {
                TRY_ASSIGN(rules.recent_bytes_max, read_bytes(one));
            } else {
                return wrong("there is no such setting; recent has for, disk");
            }
            return {};
        };
        if (const Result<void> done = read(); !done)
            return wrong("recent.{}: {}", key.substr(0, kNameBytesMax), done.error().message);
    }
    return {};
}

Result<element> parse_json(simdjson::dom::parser& parser, std::string_view json) {
    if (json.size() > kKeepRulesBytesMax)
        return wrong("the rules are longer than {}", format_bytes(kKeepRulesBytesMax));
    element root;
    if (const auto problem = parser.parse(json.data(), json.size()).get(root))
        return wrong("not JSON: {}", simdjson::error_message(problem));
    return root;
}

std::string print_ms(uint64_t ms) {
    constexpr std::pair<uint64_t, char> kUnits[] = {
        {86'400'000, 'd'}, {3'600'000, 'h'}, {60'000, 'm'}, {1000, 's'}};
    for (const auto& [size, unit] : kUnits) {
        if (ms >= size && ms % size == 0) return fmt::format("{}{}", ms / size, unit);
    }
    return fmt::format("{}ms", ms);
}

void write_rule(JsonWriter& json, const KeepRule& rule) {
    json.begin_object().field("name", rule.name);
    if (!rule.match.empty()) json.field("match", rule.match);
    if (rule.slowest) json.field("slowest", *rule.slowest);
    const char* const rate = rule.rate_kind == KeepRule::Rate::kShare       ? "rate"
                             : rule.rate_kind == KeepRule::Rate::kPerSecond ? "per_second"
                                                                            : "per_key";
    json.field(rate, rule.rate);
    if (!rule.by.empty()) {
        json.key("by").begin_array();
        for (const std::string& field : rule.by)
            json.string(field);
        json.end_array();
    }
    if (rule.for_ms != 0) json.field("for", print_ms(rule.for_ms));
    if (rule.bytes_max != 0) json.field("max_bytes", rule.bytes_max);
    json.end_object();
}

void write_list(JsonWriter& json, const std::vector<KeepRule>& rules) {
    json.begin_array();
    for (const KeepRule& rule : rules)
        write_rule(json, rule);
    json.end_array();
}

}  // namespace

const KeepRules& default_keep_rules() {
    static const KeepRules rules = [] {
        auto parsed = parse_keep_rules(R"({"keep": [
            {"name": "errors", "match": "{ status = error }", "rate": 1},
            {"name": "slow", "slowest": 0.01, "by": ["resource.service.name", "name"], "rate": 1},
            {"name": "rest", "per_second": 10, "by": ["resource.service.name", "name"]}]})");
        SPANLOOM_ASSERT(parsed.has_value());
        return std::move(*parsed);
    }();
    return rules;
}

Result<std::shared_ptr<const traceql::Query>> parse_trace_query(std::string_view text,
                                                                std::string_view needed) {
    auto query = traceql::parse(text);
    if (!query) return tl::unexpected(query.error().to_error());
    if (traceql::is_metrics(*query)) return wrong("'{}' draws series: {}", text, needed);
    return std::make_shared<const traceql::Query>(std::move(*query));
}

Result<KeepRules> parse_keep_rules(std::string_view json) {
    simdjson::dom::parser parser;
    TRY_ASSIGN(const element root, parse_json(parser, json));
    object settings;
    if (root.get(settings)) return wrong("the rules must be an object with recent, keep");
    KeepRules rules;
    bool has_list = false;
    for (const auto& [key, value] : settings) {
        if (key == "recent") {
            TRY(read_recent(value, rules));
        } else if (key == "keep") {
            TRY_ASSIGN(rules.keep, parse_list(value));
            has_list = true;
        } else {
            return wrong("there is no setting '{}'; rules have recent, keep",
                         key.substr(0, kNameBytesMax));
        }
    }
    if (!has_list) rules.keep = default_keep_rules().keep;
    return rules;
}

Result<std::vector<KeepRule>> parse_keep_list(std::string_view json) {
    simdjson::dom::parser parser;
    TRY_ASSIGN(const element root, parse_json(parser, json));
    return parse_list(root);
}

std::string print_keep_rules(const KeepRules& rules) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("recent").begin_object();
    if (rules.recent_for_ms != 0) json.field("for", print_ms(rules.recent_for_ms));
    if (rules.recent_bytes_max != 0) json.field("disk", rules.recent_bytes_max);
    json.end_object().key("keep");
    write_list(json, rules.keep);
    json.end_object();
    return out;
}

std::string print_keep_list(const std::vector<KeepRule>& rules) {
    std::string out;
    JsonWriter json(out);
    write_list(json, rules);
    return out;
}

}  // namespace spanloom::sampling

#include "sdk/file_samplers.h"

#include <utility>

#include <fmt/format.h>

#include "sdk/file_values.h"
#include "spanloom/samplers.h"

namespace spanloom::sdk {
namespace {

Result<double> ratio_of(const YamlNode& node, std::string_view what) {
    TRY(only_keys(node, what, {"ratio"}));
    double ratio = 1;
    TRY(read(node, "ratio", ratio, 0, 1));
    return ratio;
}

Result<std::shared_ptr<ComposableSampler>> part_of(const YamlNode& node);

Result<void> read_kinds(const YamlNode& node, std::vector<SpanKind>& kinds) {
    static constexpr std::pair<std::string_view, SpanKind> kNames[] = {
        {"internal", SpanKind::kInternal}, {"server", SpanKind::kServer},
        {"client", SpanKind::kClient},     {"producer", SpanKind::kProducer},
        {"consumer", SpanKind::kConsumer},
    };
    std::vector<std::string> names;
    TRY(read(node, "span_kinds", names));
    for (const std::string& name : names) {
        const size_t before = kinds.size();
        for (const auto& [known, kind] : kNames) {
            if (name == known) kinds.push_back(kind);
        }
        if (kinds.size() == before)
            return wrong(node, "span_kinds", "internal, server, client, producer or consumer");
    }
    return {};
}

Result<void> read_parents(const YamlNode& node, std::vector<SpanMatch::Parent>& parents) {
    std::vector<std::string> names;
    TRY(read(node, "parent", names));
    for (const std::string& name : names) {
        if (name == "none") {
            parents.push_back(SpanMatch::Parent::kNone);
        } else if (name == "remote") {
            parents.push_back(SpanMatch::Parent::kRemote);
        } else if (name == "local") {
            parents.push_back(SpanMatch::Parent::kLocal);
        } else {
            return wrong(node, "parent", "none, remote or local");
        }
    }
    return {};
}

// Values and patterns may be about two attributes: then both must match.
Result<SamplingRule> rule_of(const YamlNode& node) {
    TRY(only_keys(node, "rules",
                  {"attribute_values", "attribute_patterns", "span_kinds", "parent", "sampler"}));
    SpanMatch first;
    SpanMatch second;
    TRY(read_kinds(node, first.kinds));
    TRY(read_parents(node, first.parents));
    if (const YamlNode* values = present(node, "attribute_values")) {
        TRY(only_keys(*values, "attribute_values", {"key", "values"}));
        TRY(read(*values, "key", first.attribute_key));
        TRY(read(*values, "values", first.attribute_values));
        if (first.attribute_key.empty() || first.attribute_values.empty())
            return wrong(*values, "attribute_values", "key and values");
    }
    if (const YamlNode* patterns = present(node, "attribute_patterns")) {
        TRY(only_keys(*patterns, "attribute_patterns", {"key", "included", "excluded"}));
        TRY(read(*patterns, "key", second.attribute_key));
        TRY(read(*patterns, "included", second.attribute_included));
        TRY(read(*patterns, "excluded", second.attribute_excluded));
        if (second.attribute_key.empty()) return wrong(*patterns, "attribute_patterns", "a key");
    }
    const YamlNode* sampler = node.find("sampler");
    if (sampler == nullptr) return wrong(node, "a rule", "a sampler");
    SamplingRule rule;
    TRY_ASSIGN(rule.sampler, part_of(*sampler));
    rule.matches = [first = std::move(first),
                    second = std::move(second)](const SamplingParameters& parameters) {
        return first(parameters) && second(parameters);
    };
    rule.name = fmt::format("line {}", node.line);
    return rule;
}

Result<std::shared_ptr<ComposableSampler>> rule_based_of(const YamlNode& node) {
    TRY(only_keys(node, "rule_based", {"rules"}));
    std::vector<SamplingRule> rules;
    if (const YamlNode* list = present(node, "rules")) {
        TRY(expect(*list, YamlNode::Kind::kList, "rules", "a list"));
        for (const YamlNode& item : list->items) {
            TRY_ASSIGN(SamplingRule rule, rule_of(item));
            rules.push_back(std::move(rule));
        }
    }
    return make_composable_rule_based(std::move(rules));
}

Result<std::shared_ptr<ComposableSampler>> part_of(const YamlNode& node) {
    TRY_ASSIGN(const auto one, only_entry(node, "a composable sampler"));
    const auto& [name, options] = *one;
    if (name == "always_on" || name == "always_off") {
        TRY(only_keys(options, name, {}));
        return name == "always_on" ? make_composable_always_on() : make_composable_always_off();
    }
    if (name == "probability") {
        TRY_ASSIGN(const double ratio, ratio_of(options, name));
        return make_composable_probability(ratio);
    }
    if (name == "parent_threshold") {
        TRY(only_keys(options, name, {"root"}));
        const YamlNode* root = options.find("root");
        if (root == nullptr) return wrong(node, name, "a root");
        TRY_ASSIGN(auto part, part_of(*root));
        return make_composable_parent_threshold(std::move(part));
    }
    if (name == "rule_based") return rule_based_of(options);
    return fail(ErrorCode::kInvalidArgument, "line {}: there is no composable sampler '{}'",
                node.line, name);
}

Result<std::shared_ptr<Sampler>> parent_based_of(const YamlNode& node, std::string_view service) {
    TRY(only_keys(node, "parent_based",
                  {"root", "remote_parent_sampled", "remote_parent_not_sampled",
                   "local_parent_sampled", "local_parent_not_sampled"}));
    ParentBasedOptions options;
    const std::pair<std::string_view, std::shared_ptr<Sampler>*> places[] = {
        {"root", &options.root},
        {"remote_parent_sampled", &options.remote_parent_sampled},
        {"remote_parent_not_sampled", &options.remote_parent_not_sampled},
        {"local_parent_sampled", &options.local_parent_sampled},
        {"local_parent_not_sampled", &options.local_parent_not_sampled},
    };
    for (const auto& [key, sampler] : places) {
        const YamlNode* place = present(node, key);
        if (place == nullptr) continue;
        TRY_ASSIGN(*sampler, sampler_of(*place, service));
    }
    return make_parent_based_sampler(std::move(options));
}

Result<std::shared_ptr<Sampler>> remote_of(const YamlNode& node, std::string_view service) {
    TRY(only_keys(node, "jaeger_remote", {"endpoint", "interval", "initial_sampler"}));
    RemoteSamplerOptions options;
    options.service = service;
    options.endpoint.clear();
    TRY(read(node, "endpoint", options.endpoint));
    TRY(read(node, "interval", options.polling_interval));
    const YamlNode* initial = node.find("initial_sampler");
    if (options.endpoint.empty() || initial == nullptr)
        return wrong(node, "jaeger_remote", "endpoint and initial_sampler");
    TRY_ASSIGN(options.initial, sampler_of(*initial, service));
    return make_jaeger_remote_sampler(std::move(options));
}

}  // namespace

Result<std::shared_ptr<Sampler>> sampler_of(const YamlNode& node, std::string_view service) {
    TRY_ASSIGN(const auto one, only_entry(node, "sampler"));
    const auto& [name, options] = *one;
    if (name == "always_on" || name == "always_off") {
        TRY(only_keys(options, name, {}));
        return name == "always_on" ? make_always_on_sampler() : make_always_off_sampler();
    }
    if (name == "trace_id_ratio_based" || name == "probability/development") {
        TRY_ASSIGN(const double ratio, ratio_of(options, name));
        return name == "trace_id_ratio_based" ? make_trace_id_ratio_sampler(ratio)
                                              : make_probability_sampler(ratio);
    }
    if (name == "parent_based") return parent_based_of(options, service);
    if (name == "always_record") {
        TRY(only_keys(options, name, {"root"}));
        const YamlNode* root = options.find("root");
        if (root == nullptr) return wrong(node, name, "a root");
        TRY_ASSIGN(auto sampler, sampler_of(*root, service));
        return make_always_record_sampler(std::move(sampler));
    }
    if (name == "composite/development") {
        TRY_ASSIGN(auto part, part_of(options));
        return make_composite_sampler(std::move(part));
    }
    if (name == "jaeger_remote/development") return remote_of(options, service);
    return fail(ErrorCode::kInvalidArgument, "line {}: there is no sampler '{}'", node.line, name);
}

}  // namespace spanloom::sdk

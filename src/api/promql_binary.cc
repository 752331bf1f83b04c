#include "api/promql_binary.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

namespace spanloom::api {
namespace {

bool contains(const std::vector<std::string>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

double arithmetic(std::string_view op, double a, double b) {
    if (op == "+") return a + b;
    if (op == "-") return a - b;
    if (op == "*") return a * b;
    if (op == "/") return a / b;
    if (op == "%") return std::fmod(a, b);
    return std::pow(a, b);
}

bool is_comparison(std::string_view op) {
    return op == "==" || op == "!=" || op == "<" || op == ">" || op == "<=" || op == ">=";
}

bool compare(std::string_view op, double a, double b) {
    if (op == "==") return a == b;
    if (op == "!=") return a != b;
    if (op == "<") return a < b;
    if (op == ">") return a > b;
    return op == "<=" ? a <= b : a >= b;
}

// A comparison keeps the left value where it holds, or says so as 0 and 1.
double apply(const PromNode& node, double a, double b) {
    if (std::isnan(a) || std::isnan(b)) return kPromNone;
    if (!is_comparison(node.name)) return arithmetic(node.name, a, b);
    const bool holds = compare(node.name, a, b);
    if (node.returns_bool) return holds ? 1 : 0;
    return holds ? a : kPromNone;
}

PromResult with_scalar(const PromNode& node, PromResult left, PromResult right, size_t times) {
    const bool is_left = left.is_scalar;
    const std::vector<double> scalar = is_left ? left.scalar : right.scalar;
    PromResult result;
    result.series = std::move(is_left ? right.series : left.series);
    for (PromSeries& series : result.series) {
        if (!is_comparison(node.name) || node.returns_bool)
            series.labels = without_name(std::move(series.labels));
        for (size_t i = 0; i < times; ++i) {
            const double own = series.values[i];
            const double value =
                is_left ? apply(node, scalar[i], own) : apply(node, own, scalar[i]);
            // A comparison that holds keeps the series' value, on whichever side it stands.
            const bool keeps = is_comparison(node.name) && !node.returns_bool;
            series.values[i] = keeps && !std::isnan(value) ? own : value;
        }
    }
    return result;
}

PromLabels match_key(const PromNode& node, const PromLabels& labels) {
    return node.has_labels ? keep(labels, node.labels, node.is_without) : without_name(labels);
}

Result<PromResult> matched(const PromNode& node, PromResult left, PromResult right, size_t times) {
    std::map<PromLabels, const PromSeries*> partners;
    for (const PromSeries& series : right.series) {
        if (!partners.emplace(match_key(node, series.labels), &series).second)
            return fail(ErrorCode::kInvalidArgument,
                        "found duplicate series for the match group on the right hand-side of "
                        "the operation: many-to-many matching not allowed");
    }
    PromResult result;
    std::set<PromLabels> seen;
    for (PromSeries& series : left.series) {
        const PromLabels key = match_key(node, series.labels);
        const auto partner = partners.find(key);
        if (partner == partners.end()) continue;
        if (!seen.insert(key).second)
            return fail(ErrorCode::kInvalidArgument,
                        "multiple matches for labels: many-to-one matching must be explicit "
                        "(group_left/group_right)");
        for (size_t i = 0; i < times; ++i)
            series.values[i] = apply(node, series.values[i], partner->second->values[i]);
        if (!is_comparison(node.name) || node.returns_bool)
            series.labels = node.has_labels ? key : without_name(std::move(series.labels));
        result.series.push_back(std::move(series));
    }
    return result;
}

PromResult set_operation(const PromNode& node, PromResult left, PromResult right, size_t times) {
    std::map<PromLabels, std::vector<bool>> there;
    const PromResult& other = node.name == "or" ? left : right;
    for (const PromSeries& series : other.series) {
        std::vector<bool>& is_there = there[match_key(node, series.labels)];
        is_there.resize(times, false);
        for (size_t i = 0; i < times; ++i) {
            if (!std::isnan(series.values[i])) is_there[i] = true;
        }
    }
    const bool wants_partner = node.name == "and";
    PromResult& changed = node.name == "or" ? right : left;
    for (PromSeries& series : changed.series) {
        const auto partner = there.find(match_key(node, series.labels));
        for (size_t i = 0; i < times; ++i) {
            const bool has = partner != there.end() && partner->second[i];
            if (has != wants_partner) series.values[i] = kPromNone;
        }
    }
    if (node.name != "or") return left;
    for (PromSeries& series : right.series)
        left.series.push_back(std::move(series));
    return left;
}

}  // namespace

PromLabels without_name(PromLabels labels) {
    std::erase_if(labels, [](const auto& label) { return label.first == "__name__"; });
    return labels;
}

std::string_view label_of(const PromLabels& labels, std::string_view name) {
    for (const auto& [key, value] : labels) {
        if (key == name) return value;
    }
    return {};
}

PromLabels keep(const PromLabels& labels, const std::vector<std::string>& names, bool is_without) {
    PromLabels kept;
    for (const auto& label : labels) {
        const bool is_kept = is_without ? label.first != "__name__" && !contains(names, label.first)
                                        : contains(names, label.first);
        if (is_kept) kept.push_back(label);
    }
    return kept;
}

Result<PromResult> combine(const PromNode& node, PromResult left, PromResult right, size_t times) {
    const bool is_set = node.name == "and" || node.name == "or" || node.name == "unless";
    if (is_set) {
        if (left.is_scalar || right.is_scalar)
            return fail(ErrorCode::kInvalidArgument,
                        "set operator \"{}\" not allowed in binary scalar expression", node.name);
        return set_operation(node, std::move(left), std::move(right), times);
    }
    if (left.is_scalar && right.is_scalar) {
        if (is_comparison(node.name) && !node.returns_bool)
            return fail(ErrorCode::kInvalidArgument,
                        "comparisons between scalars must use BOOL modifier");
        for (size_t i = 0; i < times; ++i)
            left.scalar[i] = apply(node, left.scalar[i], right.scalar[i]);
        return left;
    }
    if (left.is_scalar || right.is_scalar)
        return with_scalar(node, std::move(left), std::move(right), times);
    return matched(node, std::move(left), std::move(right), times);
}

}  // namespace spanloom::api

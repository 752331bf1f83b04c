// Refinery's rules file.
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sampling/imported_rules.h"
#include "traceql/names.h"

namespace spanloom::sampling {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;
using Rate = ImportedRule::Rate;

constexpr std::string_view kDefaultName = "__default__";
constexpr size_t kRulesMax = 1000;
constexpr size_t kFieldsMax = 8;  // that rules group by

template <typename... Args>
tl::unexpected<Error> cannot(fmt::format_string<Args...> format, Args&&... args) {
    return fail(ErrorCode::kUnsupported, "{}", fmt::format(format, std::forward<Args>(args)...));
}

// A field of a condition.
struct Field {
    std::string traceql;
    std::string unit;  // of numbers: "ms"
    bool is_of_root = false;
    bool is_span_count = false;
    bool is_error = false;  // a boolean to Refinery
};

Field field_of(std::string name) {
    Field field;
    if (name.starts_with("root.")) {
        field.is_of_root = true;
        name.erase(0, 5);
    }
    field.is_span_count =
        name == "?.NUM_DESCENDANTS" || name == "meta.span_count" || name == "meta.event_count";
    field.is_error = name == "error";
    if (name == "name" || name == "duration_ms") {
        field.traceql = name == "name" ? "name" : "duration";
        field.unit = name == "name" ? "" : "ms";
    } else if (name == "service.name" || name == "service_name") {
        field.traceql = "resource.service.name";
    } else if (name == "trace.trace_id") {
        field.traceql = "trace:id";
    } else if (name == "trace.span_id") {
        field.traceql = "span:id";
    } else if (name == "trace.parent_id") {
        field.traceql = "span:parentID";
    } else if (name == "library.name" || name == "library.version") {
        field.traceql = name == "library.name" ? "instrumentation:name" : "instrumentation:version";
    } else if (name == "status_message") {
        field.traceql = "statusMessage";
    } else if (name == "span.kind") {
        field.traceql = "kind";
    } else {
        field.traceql = traceql::field_text({store::Scope::kAny, {}, std::string(name)});
    }
    return field;
}

bool is_comparison(std::string_view sign) {
    constexpr std::string_view kSigns[] = {"=", "!=", ">", "<", ">=", "<="};
    return std::find(std::begin(kSigns), std::end(kSigns), sign) != std::end(kSigns);
}

// One value of a condition as TraceQL writes it for that field.
Result<std::string> value_of(const Field& field, const element& value) {
    const auto literal = traceql_value(value);
    if (!literal) return cannot("a value of {} is a list or a map", field.traceql);
    const bool is_text = literal->starts_with('"');
    if (!field.unit.empty() && !is_text) return *literal + field.unit;
    if (field.traceql == "kind" && is_text) return literal->substr(1, literal->size() - 2);
    return *literal;
}

Result<std::string> text_of_condition(const element& condition, std::string_view sign) {
    std::string_view text;
    if (condition["Value"].get(text)) return cannot("{} needs a text", sign);
    return std::string(text);
}

std::string compared(const Field& field, std::string_view sign, const std::string& literal) {
    const bool is_equality = sign == "=" || sign == "!=";
    // Of OTLP spans Refinery's status_code is the number of the status.
    if (is_equality && field.traceql == ".status_code" &&
        (literal == "0" || literal == "1" || literal == "2"))
        return fmt::format("status {} {}", sign,
                           literal == "0"   ? "unset"
                           : literal == "1" ? "ok"
                                            : "error");
    if (field.is_error && is_equality && (literal == "true" || literal == "false")) {
        const bool wants_error = (literal == "true") == (sign == "=");
        return fmt::format("status {} error", wants_error ? "=" : "!=");
    }
    return fmt::format("{} {} {}", field.traceql, sign, literal);
}

// What is there of a field: Refinery has `error` where the status is one, and no parent of a root.
std::string existence_of(const Field& field, bool is_wanted) {
    if (field.is_error) return fmt::format("status {} error", is_wanted ? "=" : "!=");
    if (field.traceql == "span:parentID")
        return fmt::format("span:parentID {} \"\"", is_wanted ? "!=" : "=");
    return fmt::format("{} {} nil", field.traceql, is_wanted ? "!=" : "=");
}

// Of one field, inside braces.
Result<std::string> comparison_of(const Field& field, std::string_view sign,
                                  const element& condition) {
    if (sign == "exists" || sign == "not-exists") return existence_of(field, sign == "exists");
    if (sign == "starts-with" || sign == "contains" || sign == "does-not-contain" ||
        sign == "matches") {
        TRY_ASSIGN(const std::string text, text_of_condition(condition, sign));
        const std::string pattern = sign == "matches"       ? traceql_pattern(text)
                                    : sign == "starts-with" ? escaped_pattern(text) + ".*"
                                                            : ".*" + escaped_pattern(text) + ".*";
        return fmt::format("{} {} {}", field.traceql, sign == "does-not-contain" ? "!~" : "=~",
                           traceql_text(pattern));
    }
    if (sign == "in" || sign == "not-in") {
        std::vector<std::string> parts;
        for (const element& value : list_at(condition, "Value")) {
            TRY_ASSIGN(const std::string literal, value_of(field, value));
            parts.push_back(compared(field, sign == "in" ? "=" : "!=", literal));
        }
        if (parts.empty()) return cannot("{} needs a list", sign);
        return sign == "in" ? traceql_any(parts) : traceql_all(parts);
    }
    if (!is_comparison(sign)) return cannot("the operator '{}' is not known", sign);
    element value;
    if (condition["Value"].get(value)) return cannot("{} needs a Value", sign);
    TRY_ASSIGN(const std::string literal, value_of(field, value));
    return compared(field, sign, literal);
}

std::vector<std::string> names_of(const element& condition) {
    std::vector<std::string> names = texts_at(condition, "Fields");
    if (const auto one = text_at(condition, "Field"); one && !one->empty()) names.push_back(*one);
    return names;
}

// A condition of a rule: inside braces, or a comparison of the trace.
struct Condition {
    std::string of_span;
    std::string of_trace;
    bool is_of_root = false;  // whichever span is looked at
};

Result<Condition> read_condition(const element& condition, PolicyReport& report) {
    const std::string sign = text_at(condition, "Operator").value_or("");
    if (sign == "has-root-span") {
        const bool wants_root = flag_at(condition, "Value");
        const char* const root = "{ span:parentID = \"\" }";
        return wants_root ? Condition{"span:parentID = \"\"", "", true}
                          : Condition{"", fmt::format("({} | count()) = 0", root), true};
    }
    const std::vector<std::string> names = names_of(condition);
    if (names.empty()) return cannot("a condition has no Field");
    if (names.size() > 1)
        report.differs("of several Fields any may match, not only the first that is there");
    std::vector<std::string> any;
    bool is_of_root = true;
    for (const std::string& name : names) {
        const Field field = field_of(name);
        is_of_root = is_of_root && field.is_of_root;
        if (field.is_span_count) {
            const auto number = number_at(condition, "Value");
            if (!number || !is_comparison(sign) || names.size() > 1)
                return cannot("the number of spans is compared with a number alone");
            return Condition{
                "", fmt::format("({{ }} | count()) {} {}", sign, plain_number(*number)), true};
        }
        if (name.starts_with("meta.") || name.starts_with("?."))
            return cannot("{} is known to Refinery alone", name);
        TRY_ASSIGN(std::string one, comparison_of(field, sign, condition));
        any.push_back(field.is_of_root ? traceql_all({"nestedSetParent < 0", std::move(one)})
                                       : std::move(one));
    }
    return Condition{traceql_any(any), "", is_of_root};
}

Result<TraceCondition> read_conditions(const element& rule, PolicyReport& report) {
    const bool is_of_one_span = text_at(rule, "Scope") == "span";
    std::vector<std::string> of_span;
    TraceCondition all;
    for (const element& one : list_at(rule, "Conditions")) {
        TRY_ASSIGN(Condition condition, read_condition(one, report));
        if (!condition.of_trace.empty()) all.comparisons.push_back(std::move(condition.of_trace));
        if (condition.of_span.empty()) continue;
        // With each span its root is looked at, where that is asked for.
        if (is_of_one_span && !condition.is_of_root) {
            of_span.push_back(std::move(condition.of_span));
        } else {
            all.add(TraceCondition::of_span(condition.of_span));
        }
    }
    if (!of_span.empty()) all.add(TraceCondition::of_span(traceql_all(of_span)));
    return all;
}

// Attributes of the root, as rules group by.
std::vector<std::string> by_of(const element& sampler, PolicyReport& report) {
    std::vector<std::string> by;
    bool is_of_all = false;
    for (const std::string& name : texts_at(sampler, "FieldList")) {
        const Field field = field_of(name);
        is_of_all = is_of_all || !field.is_of_root;
        const bool is_id = field.traceql == "trace:id" || field.traceql == "span:id";
        if (field.is_span_count || is_id || by.size() == kFieldsMax) {
            report.differs(fmt::format("{} is not part of the key", name));
            continue;
        }
        by.push_back(field.is_error ? "status" : field.traceql);
    }
    if (is_of_all && !by.empty())
        report.differs("the key is made of the root span's values, not of those of all spans");
    if (flag_at(sampler, "UseTraceLength"))
        report.differs("UseTraceLength: the number of spans is not part of the key");
    return by;
}

class RefineryImport {
  public:
    explicit RefineryImport(const ImportOptions& options) : options_(options) {
        out_.source = "Refinery's rules";
    }

    // What is sampled by `samplers`: of one environment, or of all others.
    void add_environment(std::string_view name, const element& samplers) {
        TraceCondition where;
        const bool is_default = name == kDefaultName;
        if (!is_default)
            where = TraceCondition::of_span(
                fmt::format("resource.deployment.environment.name = {}", traceql_text(name)));
        object kinds;
        if (samplers.get(kinds)) return;
        for (const auto& [kind, sampler] : kinds) {
            PolicyReport report(fmt::format("'{}' ({})", name, kind), out_);
            if (!is_default)
                report.differs(
                    "Refinery knows the environment by its API key; here it is the resource's "
                    "deployment.environment.name: change it where yours is another");
            if (kind == "RulesBasedSampler") {
                report.finish();
                add_rules(is_default ? "" : std::string(name) + " ", where, sampler);
                continue;
            }
            if (const auto added = add_sampler(is_default ? "rest" : std::string(name), where, kind,
                                               sampler, report);
                !added)
                report.left_out(added.error().message);
            report.finish();
        }
    }
    ImportedPolicies finish() {
        finish_rules(out_.rules);
        out_.wait = "60s";  // Refinery's TraceTimeout
        return std::move(out_);
    }

  private:
    void add_rules(const std::string& prefix, const TraceCondition& where, const element& sampler) {
        for (const element& rule : list_at(sampler, "Rules")) {
            if (out_.rules.size() == kRulesMax) return;
            const std::string name = text_at(rule, "Name").value_or("rule");
            PolicyReport report(fmt::format("rule '{}'", name), out_);
            const auto add = [&]() -> Result<void> {
                TRY_ASSIGN(TraceCondition condition, read_conditions(rule, report));
                TraceCondition all = where;
                all.add(condition);
                return add_rule(prefix + name, all, rule, report);
            };
            if (const auto added = add(); !added)
                report.left_out(added.error().message +
                                "; what it decided about goes on to the rules after it");
            report.finish();
        }
        // What none of them matches stays.
        out_.rules.push_back({prefix + "all others", where, Rate::kShare, 1, {}});
    }

    Result<void> add_rule(std::string name, const TraceCondition& condition, const element& rule,
                          PolicyReport& report) {
        object samplers;
        if (flag_at(rule, "Drop")) {
            out_.rules.push_back({std::move(name), condition, Rate::kShare, 0, {}});
            return {};
        }
        if (!rule["Sampler"].get(samplers)) {
            for (const auto& [kind, sampler] : samplers)
                return add_sampler(std::move(name), condition, kind, sampler, report);
        }
        const auto rate = number_at(rule, "SampleRate");
        if (!rate) report.differs("it has no SampleRate: here what it matches stays");
        // To Refinery 0 is none of them.
        const double share = rate.value_or(1) > 0 ? 1 / std::max(rate.value_or(1), 1.0) : 0;
        out_.rules.push_back({std::move(name), condition, Rate::kShare, share_of_rule(share), {}});
        return {};
    }

    Result<void> add_sampler(std::string name, const TraceCondition& condition,
                             std::string_view kind, const element& sampler, PolicyReport& report) {
        const bool is_throughput = kind.find("Throughput") != std::string_view::npos;
        const bool is_dynamic = kind == "DynamicSampler" || kind == "EMADynamicSampler";
        if (is_throughput) {
            const auto goal = number_at(sampler, "GoalThroughputPerSec");
            if (!goal || !(*goal > 0))
                return cannot("GoalThroughputPerSec is not a number above 0");
            report.differs(fmt::format(
                "Refinery counts spans of each of its processes; a rule traces of all: one is "
                "taken to have {} spans (--spans-per-trace)",
                plain_number(options_.spans_per_trace)));
            std::vector<std::string> by = by_of(sampler, report);
            out_.rules.push_back({std::move(name), condition, Rate::kPerSecond,
                                  std::max(*goal / options_.spans_per_trace, 0.001),
                                  std::move(by)});
            return {};
        }
        if (!is_dynamic && kind != "DeterministicSampler")
            return cannot("samplers of the type {} are not known", kind);
        const auto goal = number_at(sampler, "GoalSampleRate");
        const auto rate = goal ? goal : number_at(sampler, "SampleRate");
        if (!rate || !(*rate > 0)) return cannot("its rate is not a number above 0");
        if (is_dynamic) {
            std::vector<std::string> by = by_of(sampler, report);
            if (options_.traces_per_s > 0) {
                report.differs(fmt::format(
                    "a fair share of one in {} of the {} traces a second (--traces-per-second) "
                    "that it is taken to see; what is rare stays whole",
                    plain_number(*rate), plain_number(options_.traces_per_s)));
                out_.rules.push_back({std::move(name), condition, Rate::kPerSecond,
                                      std::max(options_.traces_per_s / *rate, 0.001),
                                      std::move(by)});
                return {};
            }
            report.differs(
                fmt::format("each key is sampled alike: for a fair share of each say with "
                            "--traces-per-second how many it sees, or write per_second: N, by: "
                            "[{}], with N = your traces a second / {}",
                            fmt::join(by, ", "), plain_number(*rate)));
        }
        out_.rules.push_back({std::move(name),
                              condition,
                              Rate::kShare,
                              share_of_rule(1 / std::max(*rate, 1.0)),
                              {}});
        return {};
    }

    const ImportOptions& options_;
    ImportedPolicies out_;
};

}  // namespace

Result<ImportedPolicies> import_refinery(const element& rules, const ImportOptions& options) {
    object environments;
    if (rules.get(environments))
        return fail(ErrorCode::kInvalidArgument, "Samplers must hold environments");
    RefineryImport import(options);
    for (const auto& [name, samplers] : environments) {
        if (name != kDefaultName) import.add_environment(name, samplers);
    }
    for (const auto& [name, samplers] : environments) {
        if (name == kDefaultName) import.add_environment(name, samplers);
    }
    return import.finish();
}

}  // namespace spanloom::sampling

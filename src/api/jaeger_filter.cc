#include "api/jaeger_filter.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <simdjson.h>

#include "api/jaeger_search.h"
#include "api/predicates.h"
#include "base/text.h"

namespace spanloom::api {
namespace {

using store::Comparison;
using store::Field;
using store::Intrinsic;
using store::Predicate;
using store::Scope;
using store::Value;
using Element = simdjson::dom::element;

constexpr size_t kFilterBytesMax = 64U << 10;
constexpr int kDepthMax = 64;
constexpr size_t kTermsMax = 500;

tl::unexpected<Error> malformed(std::string_view what) {
    return fail(ErrorCode::kInvalidArgument, "malformed query.filter: {}", what);
}

std::string_view text_of(const Element& element, std::string_view key) {
    std::string_view text;
    return element[key].get_string().get(text) == simdjson::SUCCESS ? text : std::string_view();
}

struct BuiltIn {
    std::string_view level;
    std::string_view name;
    Intrinsic intrinsic;
};
constexpr std::array<BuiltIn, 16> kBuiltIns = {{
    {"span", "traceID", Intrinsic::kTraceId},
    {"span", "spanID", Intrinsic::kSpanId},
    {"span", "parentSpanID", Intrinsic::kParentId},
    {"span", "traceState", Intrinsic::kTraceState},
    {"span", "name", Intrinsic::kName},
    {"span", "kind", Intrinsic::kKind},
    {"span", "startTime", Intrinsic::kStart},
    {"span", "status", Intrinsic::kStatus},
    {"span", "statusMessage", Intrinsic::kStatusMessage},
    {"span", "duration", Intrinsic::kDuration},
    {"scope", "name", Intrinsic::kInstrumentationName},
    {"scope", "version", Intrinsic::kInstrumentationVersion},
    {"event", "name", Intrinsic::kEventName},
    {"event", "timeSinceStart", Intrinsic::kEventTimeSinceStart},
    {"link", "traceID", Intrinsic::kLinkTraceId},
    {"link", "spanID", Intrinsic::kLinkSpanId},
}};

std::optional<Scope> scope_of(std::string_view level) {
    constexpr std::array<std::pair<std::string_view, Scope>, 5> kLevels = {
        {{"span", Scope::kSpan},
         {"resource", Scope::kResource},
         {"scope", Scope::kInstrumentation},
         {"event", Scope::kEvent},
         {"link", Scope::kLink}}};
    for (const auto& [name, scope] : kLevels) {
        if (name == level) return scope;
    }
    return std::nullopt;
}

// The places that a reference reads: one, or of an attribute without a level span and resource.
Result<std::vector<Field>> reference(const Element& term) {
    Element found;
    if (term["attr"].get(found) == simdjson::SUCCESS) {
        const std::string key(text_of(found, "key"));
        const std::string_view level = text_of(found, "level");
        if (key.empty()) return malformed("an attr needs a key");
        if (level.empty())
            return std::vector<Field>{{Scope::kSpan, Intrinsic::kNone, key},
                                      {Scope::kResource, Intrinsic::kNone, key}};
        const auto scope = scope_of(level);
        if (!scope) return malformed("level is one of span, resource, scope, event and link");
        return std::vector<Field>{{*scope, Intrinsic::kNone, key}};
    }
    if (term["field"].get(found) != simdjson::SUCCESS)
        return malformed("the first operand must be an attr or a field");
    const std::string_view name = text_of(found, "name");
    const std::string_view level = text_of(found, "level");
    if (level == "resource" && name == "service")
        return std::vector<Field>{{Scope::kResource, Intrinsic::kNone, "service.name"}};
    for (const BuiltIn& one : kBuiltIns) {
        if (one.level == level && one.name == name)
            return std::vector<Field>{{Scope::kIntrinsic, one.intrinsic, ""}};
    }
    return fail(ErrorCode::kUnsupported, "query.filter: there is no field {} of level {} here",
                name.substr(0, 100), level.substr(0, 100));
}

std::optional<otlp::StatusCode> status_of(std::string_view word) {
    std::string lower(word);
    for (char& c : lower) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    }
    if (lower == "unset") return otlp::StatusCode::kUnset;
    if (lower == "ok") return otlp::StatusCode::kOk;
    if (lower == "error") return otlp::StatusCode::kError;
    return std::nullopt;
}

// A constant as the field that it is compared with has it.
Result<Value> value_for(const Field& field, std::string_view text, std::string_view type) {
    if (type == "int") {
        if (const auto number = parse_int(text)) return Value::of_int(*number);
        return malformed("a constant of type int is no whole number");
    }
    if (type == "double") {
        if (const auto number = parse_double(text)) return Value::of_double(*number);
        return malformed("a constant of type double is no number");
    }
    if (type == "bool") {
        if (text == "true" || text == "false") return Value::of_bool(text == "true");
        return malformed("a constant of type bool is true or false");
    }
    if (!type.empty() && type != "string")
        return malformed("type is one of string, int, double and bool");
    switch (field.intrinsic) {
        case Intrinsic::kDuration:
        case Intrinsic::kEventTimeSinceStart: {
            const auto duration = parse_duration_ns(text);
            if (duration) return Value::of_duration(*duration);
            return malformed("a duration is written as 1.5s or 250ms");
        }
        case Intrinsic::kStart: {
            const auto time = parse_rfc3339_ns(text);
            if (time) return Value::of_int(static_cast<int64_t>(*time));
            return malformed("a time is written as 2026-11-22T15:00:00Z");
        }
        case Intrinsic::kKind: {
            const auto kind = parse_kind(text);
            if (kind) return Value::of_kind(*kind);
            return malformed("that is no kind of span");
        }
        case Intrinsic::kStatus: {
            const auto status = status_of(text);
            if (status) return Value::of_status(*status);
            return malformed("a status is unset, ok or error");
        }
        default:
            return Value::of_string(std::string(text));
    }
}

std::optional<Comparison> comparison_of(std::string_view op) {
    constexpr std::array<std::pair<std::string_view, Comparison>, 6> kOperators = {
        {{"eq", Comparison::kEqual},
         {"ne", Comparison::kNotEqual},
         {"gt", Comparison::kGreater},
         {"gte", Comparison::kGreaterEqual},
         {"lt", Comparison::kLess},
         {"lte", Comparison::kLessEqual}}};
    for (const auto& [name, comparison] : kOperators) {
        if (name == op) return comparison;
    }
    return std::nullopt;
}

std::string_view swapped(std::string_view op) {
    if (op == "gt") return "lt";
    if (op == "lt") return "gt";
    if (op == "gte") return "lte";
    return op == "lte" ? "gte" : op;
}

class FilterReader {
  public:
    Result<Predicate> call(const Element& element, int depth) {
        if (depth > kDepthMax) return malformed("it is nested too deeply");
        if (++terms_ > kTermsMax) return malformed("it has too many terms");
        const std::string_view op = text_of(element, "op");
        simdjson::dom::array list;
        if (element["args"].get_array().get(list) != simdjson::SUCCESS)
            return malformed("a call needs op and args");
        std::vector<Element> arguments;
        for (const Element one : list)
            arguments.push_back(one);
        if (op == "and" || op == "or") return joined(op == "and", arguments, depth);
        if (op == "not") {
            if (arguments.size() != 1) return malformed("not takes one call");
            TRY_ASSIGN(Predicate inner, nested(arguments[0], depth));
            return Predicate::negation(std::move(inner));
        }
        if (op == "exists") {
            if (arguments.size() != 1) return malformed("exists takes one reference");
            return exists(arguments[0]);
        }
        if (arguments.size() != 2) return malformed("a comparison takes two operands");
        if (op == "some") return some(arguments[0], arguments[1], depth);
        if (op == "in" || op == "not_in") return membership(op == "in", arguments[0], arguments[1]);
        if (op == "regex") return regex(arguments[0], arguments[1]);
        return compared(op, arguments[0], arguments[1]);
    }

  private:
    Result<Predicate> nested(const Element& term, int depth) {
        Element inner;
        if (term["call"].get(inner) != simdjson::SUCCESS)
            return malformed("and, or, not and some take calls");
        return call(inner, depth + 1);
    }

    // Conditions side by side need not hold for one event: only some() says so.
    Result<Predicate> joined(bool is_and, const std::vector<Element>& arguments, int depth) {
        if (arguments.empty()) return malformed("and and or take calls");
        std::vector<Predicate> children;
        for (const Element& argument : arguments) {
            TRY_ASSIGN(Predicate child, nested(argument, depth));
            children.push_back(Predicate::any_of({std::move(child)}));
        }
        return is_and ? Predicate::all_of(std::move(children))
                      : Predicate::any_of(std::move(children));
    }

    static Result<Predicate> exists(const Element& term) {
        TRY_ASSIGN(const std::vector<Field> fields, reference(term));
        std::vector<Predicate> places;
        for (const Field& field : fields)
            places.push_back(presence(field));
        return Predicate::any_of(std::move(places));
    }

    static bool is_constant(const Element& term) {
        Element scalar;
        return term["scalar"].get(scalar) == simdjson::SUCCESS;
    }

    static Result<std::pair<std::string_view, std::string_view>> scalar(const Element& term) {
        Element found;
        if (term["scalar"].get(found) != simdjson::SUCCESS)
            return fail(ErrorCode::kUnsupported,
                        "query.filter: only references and constants are compared here");
        return std::pair(text_of(found, "value"), text_of(found, "type"));
    }

    // Equal to a constant without a type is what is written alike.
    static Result<Predicate> equals(const Field& field, std::string_view text,
                                    std::string_view type) {
        TRY_ASSIGN(Value value, value_for(field, text, type));
        const bool is_any = type.empty() && field.scope != Scope::kIntrinsic;
        return Predicate::compare(field, is_any ? Comparison::kTextEqual : Comparison::kEqual,
                                  std::move(value));
    }

    // A negated comparison holds where the reference is there and nothing in it matches.
    static Predicate negated(const std::vector<Field>& fields, std::vector<Predicate> matches) {
        std::vector<Predicate> places;
        for (const Field& field : fields)
            places.push_back(presence(field));
        return Predicate::all_of({Predicate::any_of(std::move(places)),
                                  Predicate::negation(Predicate::any_of(std::move(matches)))});
    }

    static Result<Predicate> compared(std::string_view op, Element left, Element right) {
        if (is_constant(left) && !is_constant(right)) {
            std::swap(left, right);
            op = swapped(op);
        }
        const auto comparison = comparison_of(op);
        if (!comparison)
            return fail(ErrorCode::kUnsupported, "query.filter: the operator {} is not known here",
                        op.substr(0, 100));
        TRY_ASSIGN(const std::vector<Field> fields, reference(left));
        TRY_ASSIGN(const auto constant, scalar(right));
        const auto [text, type] = constant;
        std::vector<Predicate> matches;
        for (const Field& field : fields) {
            if (*comparison == Comparison::kEqual || *comparison == Comparison::kNotEqual) {
                TRY_ASSIGN(Predicate match, equals(field, text, type));
                matches.push_back(std::move(match));
                continue;
            }
            if (field.intrinsic == Intrinsic::kKind || field.intrinsic == Intrinsic::kStatus)
                return malformed("kinds and statuses have no order");
            TRY_ASSIGN(Value value, value_for(field, text, type));
            // What says nothing of its type is a number where it can be one.
            const auto number = type.empty() && field.scope != Scope::kIntrinsic
                                    ? parse_double(text)
                                    : std::nullopt;
            if (number) value = Value::of_double(*number);
            matches.push_back(Predicate::compare(field, *comparison, std::move(value)));
        }
        if (*comparison == Comparison::kNotEqual) return negated(fields, std::move(matches));
        return Predicate::any_of(std::move(matches));
    }

    static Result<Predicate> membership(bool is_in, const Element& term, const Element& constants) {
        TRY_ASSIGN(const std::vector<Field> fields, reference(term));
        Element list;
        simdjson::dom::array values;
        if (constants["list"].get(list) != simdjson::SUCCESS ||
            list["values"].get_array().get(values) != simdjson::SUCCESS || values.size() == 0)
            return malformed("in and not_in take a list of values");
        if (values.size() > kTermsMax) return malformed("a list is too long");
        std::vector<Predicate> matches;
        for (const Element value : values) {
            std::string_view text;
            if (value.get_string().get(text) != simdjson::SUCCESS)
                return malformed("values of a list are strings");
            for (const Field& field : fields) {
                TRY_ASSIGN(Predicate match, equals(field, text, text_of(list, "type")));
                matches.push_back(std::move(match));
            }
        }
        if (!is_in) return negated(fields, std::move(matches));
        return Predicate::any_of(std::move(matches));
    }

    // It may match anywhere in the value.
    static Result<Predicate> regex(const Element& term, const Element& constant) {
        TRY_ASSIGN(const std::vector<Field> fields, reference(term));
        TRY_ASSIGN(const auto pattern, scalar(constant));
        std::vector<Predicate> matches;
        for (const Field& field : fields)
            matches.push_back(
                Predicate::compare(field, Comparison::kMatch,
                                   Value::of_string(".*(?:" + std::string(pattern.first) + ").*")));
        return Predicate::any_of(std::move(matches));
    }

    // All conditions on one event or link: only and of comparisons can be asked so.
    Result<Predicate> some(const Element& collection, const Element& condition, int depth) {
        Element found;
        if (collection["nested"].get(found) != simdjson::SUCCESS)
            return malformed("some takes the events or links and a call");
        const std::string_view level = text_of(found, "level");
        if (level != "event" && level != "link")
            return malformed("the level of nested is event or link");
        TRY_ASSIGN(Predicate inner, nested(condition, depth));
        std::vector<Predicate> leaves;
        if (!collect(inner, leaves))
            return fail(ErrorCode::kUnsupported,
                        "query.filter: some() takes and of eq, gt, lt, gte, lte, regex and exists "
                        "here");
        return Predicate::all_of(std::move(leaves));
    }

    static bool collect(const Predicate& predicate, std::vector<Predicate>& leaves) {
        switch (predicate.kind) {
            case Predicate::Kind::kCompare:
            case Predicate::Kind::kExists:
                leaves.push_back(predicate);
                return true;
            case Predicate::Kind::kOr:
                return predicate.children.size() == 1 && collect(predicate.children[0], leaves);
            case Predicate::Kind::kAnd:
                return std::all_of(predicate.children.begin(), predicate.children.end(),
                                   [&](const Predicate& one) { return collect(one, leaves); });
            default:
                return false;
        }
    }

    size_t terms_ = 0;
};

}  // namespace

Result<Predicate> parse_jaeger_filter(std::string_view json) {
    if (json.size() > kFilterBytesMax) return malformed("it is too long");
    simdjson::dom::parser parser;
    Element element;
    if (parser.parse(json.data(), json.size()).get(element) != simdjson::SUCCESS)
        return malformed("it is no JSON");
    Element inner;
    if (element["call"].get(inner) == simdjson::SUCCESS) element = inner;
    return FilterReader().call(element, 0);
}

}  // namespace spanloom::api

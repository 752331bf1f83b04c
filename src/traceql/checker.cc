#include "traceql/checker.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "traceql/arithmetic.h"
#include "traceql/names.h"
#include "traceql/parser.h"
#include "traceql/sort.h"
#include "traceql/types.h"

#define CHECK(expression)                                      \
    do {                                                       \
        if (auto checked = (expression); !checked)             \
            return tl::unexpected(std::move(checked).error()); \
    } while (false)

namespace spanloom::traceql {
namespace {

using store::Intrinsic;
using store::Value;
using store::ValueKind;

// Fields of one by().
constexpr size_t kGroupsMax = 16;

class Checker {
  public:
    explicit Checker(std::string_view text) : types_(text), text_(text) {}

    // Where a pipeline stands decides whether it may, must or cannot draw series.
    enum class Metrics : uint8_t { kAllowed, kRequired, kRefused, kBefore };

    Parsed<void> stages(std::vector<Stage>& list, Metrics metrics) {
        CHECK(order(list, metrics));
        for (Stage& stage : list) {
            if (stage.kind == Stage::Kind::kSpanset) CHECK(spanset(stage.spanset));
            if (stage.selection) CHECK(spanset(*stage.selection));
            for (Expression& argument : stage.arguments)
                CHECK(types_.type(argument));
            for (Expression& group : stage.by)
                CHECK(types_.type(group));
            if (stage.condition) CHECK(aggregates(*stage.condition));
            if (stage.bound) CHECK(constant_bound(*stage.bound));
            CHECK(function(stage));
        }
        return {};
    }

    Parsed<void> metrics_expression(MetricsExpression& expression) {
        switch (expression.kind) {
            case MetricsExpression::Kind::kScalar:
                if (expression.scalar.kind == ValueKind::kDuration)
                    return refuse(expression.from, expression.to,
                                  "metrics are numbers: a duration cannot stand here",
                                  "durations are in seconds: write 0.1 for 100ms");
                return {};
            case MetricsExpression::Kind::kPipeline:
                return stages(expression.stages, Metrics::kRequired);
            case MetricsExpression::Kind::kBinary:
                break;
        }
        for (MetricsExpression& operand : expression.operands) {
            CHECK(metrics_expression(operand));
            const bool compares = operand.kind == MetricsExpression::Kind::kPipeline &&
                                  operand.stages.back().function == FunctionKind::kCompare;
            if (compares)
                return refuse(operand.from, operand.to, "compare() cannot be calculated with");
        }
        if (expression.operands[0].kind != MetricsExpression::Kind::kScalar ||
            expression.operands[1].kind != MetricsExpression::Kind::kScalar)
            return {};
        return fold(expression);
    }

  private:
    tl::unexpected<QueryError> fail(const Expression& at, std::string message,
                                    std::string hint = {}) const {
        return tl::unexpected(error_at(text_, at.from, at.to, std::move(message), std::move(hint)));
    }

    tl::unexpected<QueryError> refuse(size_t from, size_t to, std::string message,
                                      std::string hint = {}) const {
        return tl::unexpected(error_at(text_, from, to, std::move(message), std::move(hint)));
    }

    static bool is_second(const Stage& stage) {
        return stage.kind == Stage::Kind::kPointFilter ||
               (stage.kind == Stage::Kind::kFunction && stage.function == FunctionKind::kSecond);
    }

    // A metric stands once, behind everything that chooses spans.
    Parsed<void> order(const std::vector<Stage>& list, Metrics metrics) const {
        const Stage* metric = nullptr;
        bool is_behind = metrics == Metrics::kBefore;
        for (const Stage& stage : list) {
            const bool is_metric =
                stage.kind == Stage::Kind::kFunction && (stage.function == FunctionKind::kMetric ||
                                                         stage.function == FunctionKind::kCompare);
            if (is_second(stage)) {
                if (metric != nullptr && metric->function == FunctionKind::kCompare)
                    return refuse(stage.from, stage.to, "nothing may follow compare()");
                if (!is_behind)
                    return refuse(stage.from, stage.to,
                                  stage.kind == Stage::Kind::kPointFilter
                                      ? std::string("this compares nothing")
                                      : fmt::format("{}() chooses series of a metric", stage.name),
                                  "{ } | rate() by(resource.service.name) | topk(5)");
                continue;
            }
            if (is_behind)
                return refuse(stage.from, stage.to,
                              "only topk(), bottomk() and a comparison may follow a metric");
            if (!is_metric) continue;
            if (metrics == Metrics::kRefused)
                return refuse(
                    stage.from, stage.to,
                    fmt::format("{}() cannot stand in here: it ends a query", stage.name));
            metric = &stage;
            is_behind = true;
        }
        if (metrics == Metrics::kRequired && metric == nullptr && !list.empty())
            return refuse(list.front().from, list.back().to,
                          "only metrics can be calculated with: this finds traces",
                          "({ } | rate()) + ({ } | rate())");
        return {};
    }

    // Integers stay integers: 1 / 2 is 0.
    Parsed<void> fold(MetricsExpression& expression) const {
        const Value& left = expression.operands[0].scalar;
        const Value& right = expression.operands[1].scalar;
        if (expression.op == Operator::kDivide && right.as_number() == 0)
            return refuse(expression.operands[1].from, expression.operands[1].to,
                          "division by zero");
        Value value = compute(expression.op, left, right);
        const bool are_integers = left.kind == ValueKind::kInt && right.kind == ValueKind::kInt;
        if (are_integers && value.kind == ValueKind::kDouble && expression.op == Operator::kDivide)
            value = Value::of_int(left.integer / right.integer);
        expression.kind = MetricsExpression::Kind::kScalar;
        expression.scalar = value;
        expression.operands.clear();
        return {};
    }

    // Aggregates of the spans of a set, numbers, and arithmetic between them.
    Parsed<void> aggregates(Expression& expression) {
        switch (expression.kind) {
            case Expression::Kind::kLiteral:
                if (!expression.literal.is_number())
                    return fail(expression, fmt::format("an aggregate is a number, and this is {}",
                                                        type_name(type_of(expression.literal))));
                return {};
            case Expression::Kind::kField:
                return fail(expression, "a field of one span cannot stand beside aggregates",
                            fmt::format("write max({})", field_text(expression.field)));
            case Expression::Kind::kAggregate:
                return aggregate(expression);
            case Expression::Kind::kPipeline:
                CHECK(stages(expression.pipeline, Metrics::kRefused));
                return aggregates(expression.operands[0]);
            case Expression::Kind::kUnary:
                if (expression.op == Operator::kNot)
                    return fail(expression, "! reverses a condition, and this is a number");
                break;
            case Expression::Kind::kBinary:
                break;
        }
        bool is_constant = true;
        for (Expression& operand : expression.operands) {
            CHECK(aggregates(operand));
            is_constant = is_constant && operand.kind == Expression::Kind::kLiteral;
        }
        const bool divides =
            expression.op == Operator::kDivide || expression.op == Operator::kModulo;
        if (divides && expression.operands[1].kind == Expression::Kind::kLiteral &&
            expression.operands[1].literal.as_number() == 0)
            return fail(expression.operands[1], "division by zero");
        if (!is_constant) return {};
        if (is_comparison(expression.op))
            return fail(expression, "this compares constants: an aggregate is missing",
                        "count() > 3");
        const auto folded = types_.fold(expression);
        if (!folded) return tl::unexpected(folded.error());
        return {};
    }

    Parsed<void> aggregate(Expression& call) {
        const bool counts = call.aggregate == Aggregate::kCount;
        if (call.operands.size() != (counts ? 0U : 1U))
            return fail(call, fmt::format("{}() takes {}", aggregate_name(call.aggregate),
                                          counts ? "no argument" : "one argument"));
        if (counts) return {};
        const auto found = types_.type(call.operands[0]);
        if (!found) return tl::unexpected(found.error());
        if (*found != Type::kNumber && *found != Type::kAny)
            return fail(call.operands[0],
                        fmt::format("{}() needs numbers, and this is {}",
                                    aggregate_name(call.aggregate), type_name(*found)));
        return {};
    }

    Parsed<void> spanset(Spanset& set) {
        for (Spanset& operand : set.operands)
            CHECK(spanset(operand));
        CHECK(stages(set.pipeline, Metrics::kRefused));
        if (!set.filter) return {};
        const auto found = types_.type(*set.filter);
        if (!found) return tl::unexpected(found.error());
        if (*found != Type::kBool && *found != Type::kAny)
            return fail(
                *set.filter,
                fmt::format("a filter must be true or false, and this is {}", type_name(*found)),
                "compare it: { duration > 1s }");
        return {};
    }

    Parsed<void> constant_bound(Expression& bound) {
        const auto found = types_.type(bound);
        if (!found) return tl::unexpected(found.error());
        if (bound.kind != Expression::Kind::kLiteral || !bound.literal.is_number())
            return fail(bound, "expected a constant number to compare with");
        return {};
    }

    Parsed<void> function(const Stage& stage) {
        if (stage.kind != Stage::Kind::kFunction) return {};
        const size_t count = stage.arguments.size();
        switch (stage.function) {
            case FunctionKind::kBy:
                if (count != 1) return refuse(stage.from, stage.to, "by() takes one field");
                if (!names_field(stage.arguments[0]))
                    return refuse(stage.from, stage.to, "by() must name a field of the span");
                return {};
            case FunctionKind::kCoalesce:
                if (count != 0) return refuse(stage.from, stage.to, "coalesce() takes no argument");
                return {};
            case FunctionKind::kSelect:
                if (count == 0)
                    return refuse(stage.from, stage.to, "select() names at least one field");
                return only_fields(stage.arguments, "select()");
            case FunctionKind::kSecond:
                if (count != 1 || stage.arguments[0].kind != Expression::Kind::kLiteral ||
                    stage.arguments[0].literal.kind != ValueKind::kInt ||
                    stage.arguments[0].literal.integer < 1)
                    return refuse(stage.from, stage.to,
                                  fmt::format("{}() takes a count of at least 1", stage.name));
                return {};
            case FunctionKind::kMetric:
                CHECK(only_fields(stage.by, "by()"));
                if (stage.by.size() > kGroupsMax)
                    return refuse(stage.from, stage.to,
                                  fmt::format("by() takes at most {} fields", kGroupsMax));
                return metric(stage);
            case FunctionKind::kCompare:
                return compare(stage);
            case FunctionKind::kAggregate:
                break;
        }
        return {};
    }

    static bool names_field(const Expression& expression) {
        if (expression.kind == Expression::Kind::kField) return true;
        return std::any_of(expression.operands.begin(), expression.operands.end(), names_field);
    }

    Parsed<void> only_fields(const std::vector<Expression>& list, std::string_view where) const {
        for (const Expression& field : list) {
            if (field.kind != Expression::Kind::kField)
                return fail(field, fmt::format("{} takes fields only", where));
        }
        return {};
    }

    Parsed<void> metric(const Stage& stage) {
        const Metric which = metric_of(stage.name);
        const size_t count = stage.arguments.size();
        if (which == Metric::kRate || which == Metric::kCount) {
            if (count == 0) return {};
            return refuse(stage.from, stage.to, fmt::format("{}() takes no argument", stage.name));
        }
        if (which == Metric::kQuantile ? count < 2 : count != 1)
            return refuse(stage.from, stage.to,
                          which == Metric::kQuantile
                              ? "quantile_over_time() takes a field and the quantiles"
                              : fmt::format("{}() takes one field", stage.name),
                          which == Metric::kQuantile ? "quantile_over_time(duration, .5, .99)"
                                                     : fmt::format("{}(duration)", stage.name));
        Expression of = stage.arguments[0];
        const auto found = types_.type(of);
        if (!found) return tl::unexpected(found.error());
        if ((*found != Type::kNumber && *found != Type::kAny) || !names_field(of))
            return fail(of, fmt::format("{}() needs a field with numbers, and this is {}",
                                        stage.name, type_name(*found)));
        for (size_t i = 1; i < count; ++i) {
            const Expression& quantile = stage.arguments[i];
            const bool fits = quantile.kind == Expression::Kind::kLiteral &&
                              (quantile.literal.kind == ValueKind::kInt ||
                               quantile.literal.kind == ValueKind::kDouble) &&
                              quantile.literal.as_number() >= 0 &&
                              quantile.literal.as_number() <= 1;
            if (!fits) return fail(quantile, "a quantile is a number from 0 to 1", ".99");
        }
        return {};
    }

    Parsed<void> compare(const Stage& stage) const {
        if (!stage.selection)
            return refuse(stage.from, stage.to, "compare() takes the selection in braces",
                          "{ } | compare({ status = error })");
        bool fits = stage.arguments.size() <= 3 && stage.arguments.size() != 2;
        for (const Expression& argument : stage.arguments) {
            fits = fits && argument.kind == Expression::Kind::kLiteral &&
                   argument.literal.kind == ValueKind::kInt && argument.literal.integer >= 0;
        }
        if (fits && !stage.arguments.empty()) fits = stage.arguments[0].literal.integer > 0;
        if (fits) return {};
        return refuse(stage.from, stage.to,
                      "compare() takes a selection, how many values of each attribute to show, "
                      "and start and end in ns",
                      "compare({ status = error }, 10)");
    }

    TypeChecker types_;
    std::string_view text_;
};

Parsed<void> check_hints(const Query& query) {
    for (const Hint& hint : query.hints) {
        if (hint.name == "counts" && hint.value.kind != ValueKind::kBool)
            return tl::unexpected(error_at(query.text, hint.from, hint.from + hint.name.size(),
                                           "counts is true or false"));
        if (hint.name != "sort" && hint.name != "order") continue;
        const bool fits =
            hint.name == "order"
                ? hint.value == Value::of_string("asc") || hint.value == Value::of_string("desc")
                : hint.value.kind == ValueKind::kString && sort_of(hint.value.text).has_value();
        if (fits) continue;
        return tl::unexpected(error_at(
            query.text, hint.from, hint.from + hint.name.size(),
            hint.name == "order"
                ? std::string("order is \"asc\" or \"desc\"")
                : std::string(
                      "sort is \"start\", \"duration\", \"spans\" or a field such as \".bytes\"")));
    }
    return {};
}

}  // namespace

Parsed<void> check_types(Query& query) {
    Checker checker(query.text);
    CHECK(check_hints(query));
    if (!query.arithmetic) return checker.stages(query.stages, Checker::Metrics::kAllowed);
    CHECK(checker.metrics_expression(*query.arithmetic));
    if (query.arithmetic->kind == MetricsExpression::Kind::kScalar)
        return tl::unexpected(error_at(query.text, query.arithmetic->from, query.arithmetic->to,
                                       "this is a constant: a metrics query is missing"));
    return checker.stages(query.stages, Checker::Metrics::kBefore);
}

Parsed<Query> parse(std::string_view text) {
    auto query = parse_form(text);
    if (!query) return query;
    CHECK(check_types(*query));
    return query;
}

}  // namespace spanloom::traceql

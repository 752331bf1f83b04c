#include "traceql/checker.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <re2/re2.h>

#include "traceql/arithmetic.h"
#include "traceql/names.h"
#include "traceql/parser.h"
#include "traceql/sort.h"

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

enum class Type : uint8_t { kAny, kNil, kBool, kNumber, kString, kStatus, kKind };

std::string_view type_name(Type type) {
    switch (type) {
        case Type::kAny:
            return "an attribute";
        case Type::kNil:
            return "nil";
        case Type::kBool:
            return "a boolean";
        case Type::kNumber:
            return "a number";
        case Type::kString:
            return "a string";
        case Type::kStatus:
            return "a status";
        case Type::kKind:
            return "a span kind";
    }
    return "";
}

Type type_of(const Value& value) {
    switch (value.kind) {
        case ValueKind::kNil:
            return Type::kNil;
        case ValueKind::kBool:
            return Type::kBool;
        case ValueKind::kInt:
        case ValueKind::kDouble:
        case ValueKind::kDuration:
            return Type::kNumber;
        case ValueKind::kString:
            return Type::kString;
        case ValueKind::kSpanKind:
            return Type::kKind;
        case ValueKind::kStatus:
            return Type::kStatus;
        case ValueKind::kOther:
            return Type::kAny;
    }
    return Type::kAny;
}

Type type_of(const store::Field& field) {
    if (field.scope != store::Scope::kIntrinsic) return Type::kAny;
    switch (field.intrinsic) {
        case Intrinsic::kStatus:
            return Type::kStatus;
        case Intrinsic::kKind:
            return Type::kKind;
        case Intrinsic::kDuration:
        case Intrinsic::kStart:
        case Intrinsic::kEventTimeSinceStart:
        case Intrinsic::kTraceDuration:
        case Intrinsic::kChildCount:
        case Intrinsic::kNestedSetParent:
        case Intrinsic::kNestedSetLeft:
        case Intrinsic::kNestedSetRight:
            return Type::kNumber;
        default:
            return Type::kString;
    }
}

// Fields of one by().
constexpr size_t kGroupsMax = 16;

class Checker {
  public:
    explicit Checker(std::string_view text) : text_(text) {}

    // Where a pipeline stands decides whether it may, must or cannot draw series.
    enum class Metrics : uint8_t { kAllowed, kRequired, kRefused, kBefore };

    Parsed<void> stages(std::vector<Stage>& list, Metrics metrics) {
        CHECK(order(list, metrics));
        for (Stage& stage : list) {
            if (stage.kind == Stage::Kind::kSpanset) CHECK(spanset(stage.spanset));
            if (stage.selection) CHECK(spanset(*stage.selection));
            for (Expression& argument : stage.arguments)
                CHECK(type(argument));
            for (Expression& group : stage.by)
                CHECK(type(group));
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
        const auto folded = fold(expression);
        if (!folded) return tl::unexpected(folded.error());
        return {};
    }

    Parsed<void> aggregate(Expression& call) {
        const bool counts = call.aggregate == Aggregate::kCount;
        if (call.operands.size() != (counts ? 0U : 1U))
            return fail(call, fmt::format("{}() takes {}", aggregate_name(call.aggregate),
                                          counts ? "no argument" : "one argument"));
        if (counts) return {};
        const auto found = type(call.operands[0]);
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
        const auto found = type(*set.filter);
        if (!found) return tl::unexpected(found.error());
        if (*found != Type::kBool && *found != Type::kAny)
            return fail(
                *set.filter,
                fmt::format("a filter must be true or false, and this is {}", type_name(*found)),
                "compare it: { duration > 1s }");
        return {};
    }

    Parsed<void> constant_bound(Expression& bound) {
        const auto found = type(bound);
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
        const auto found = type(of);
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

    // The type of an expression whose operands fit; folds it where it is constant.
    Parsed<Type> type(Expression& expression) {
        switch (expression.kind) {
            case Expression::Kind::kLiteral:
                return type_of(expression.literal);
            case Expression::Kind::kField:
                return type_of(expression.field);
            case Expression::Kind::kUnary:
                return unary(expression);
            case Expression::Kind::kAggregate:
            case Expression::Kind::kPipeline:
                return fail(expression, "an aggregate cannot stand inside a filter");
            case Expression::Kind::kBinary:
                break;
        }
        const auto left = type(expression.operands[0]);
        if (!left) return left;
        const auto right = type(expression.operands[1]);
        if (!right) return right;
        if (is_comparison(expression.op)) return comparison(expression, *left, *right);
        if (is_arithmetic(expression.op)) return arithmetic(expression, *left, *right);
        for (size_t i = 0; i < 2; ++i) {
            const Type side = i == 0 ? *left : *right;
            if (side != Type::kBool && side != Type::kAny)
                return fail(expression.operands[i],
                            fmt::format("{} joins conditions, and this is {}",
                                        operator_text(expression.op), type_name(side)));
        }
        return Type::kBool;
    }

    Parsed<Type> unary(Expression& expression) {
        const auto inner = type(expression.operands[0]);
        if (!inner) return inner;
        if (expression.op == Operator::kNot) {
            if (*inner != Type::kBool && *inner != Type::kAny)
                return fail(expression, fmt::format("! reverses a condition, and this is {}",
                                                    type_name(*inner)));
            return Type::kBool;
        }
        if (*inner != Type::kNumber && *inner != Type::kAny)
            return fail(expression,
                        fmt::format("- needs a number, and this is {}", type_name(*inner)));
        return fold(expression);
    }

    Parsed<Type> arithmetic(Expression& expression, Type left, Type right) {
        for (size_t i = 0; i < 2; ++i) {
            const Type side = i == 0 ? left : right;
            if (side != Type::kNumber && side != Type::kAny)
                return fail(expression.operands[i],
                            fmt::format("{} needs numbers, and this is {}",
                                        operator_text(expression.op), type_name(side)));
        }
        const Expression& divisor = expression.operands[1];
        const bool divides =
            expression.op == Operator::kDivide || expression.op == Operator::kModulo;
        if (divides && divisor.kind == Expression::Kind::kLiteral &&
            divisor.literal.as_number() == 0)
            return fail(divisor, "division by zero");
        return fold(expression);
    }

    Parsed<Type> fold(Expression& expression) const {
        for (const Expression& operand : expression.operands) {
            if (operand.kind != Expression::Kind::kLiteral) return Type::kNumber;
        }
        expression.literal = expression.kind == Expression::Kind::kUnary
                                 ? negate(expression.operands[0].literal)
                                 : compute(expression.op, expression.operands[0].literal,
                                           expression.operands[1].literal);
        expression.kind = Expression::Kind::kLiteral;
        expression.op = Operator::kNone;
        expression.operands.clear();
        if (!std::isfinite(expression.literal.as_number()))
            return fail(expression, "this constant has no finite value");
        return Type::kNumber;
    }

    // Ids are stored in lower case, trace ids with all their digits.
    static void complete_id(const store::Field& field, Value& literal) {
        if (field.scope != store::Scope::kIntrinsic || literal.kind != ValueKind::kString) return;
        if (field.intrinsic == Intrinsic::kTraceId || field.intrinsic == Intrinsic::kLinkTraceId) {
            if (const auto id = TraceId::parse(literal.text)) literal.text = id->hex();
        }
        const bool is_span_id = field.intrinsic == Intrinsic::kSpanId ||
                                field.intrinsic == Intrinsic::kParentId ||
                                field.intrinsic == Intrinsic::kLinkSpanId;
        if (!is_span_id) return;
        if (const auto id = SpanId::parse(literal.text)) literal.text = id->hex();
    }

    Parsed<Type> comparison(Expression& expression, Type left, Type right) {
        const Operator op = expression.op;
        const Expression& a = expression.operands[0];
        const Expression& b = expression.operands[1];
        if (op == Operator::kMatch || op == Operator::kNotMatch) return regex(expression, left);
        complete_id(a.field, expression.operands[1].literal);
        complete_id(b.field, expression.operands[0].literal);
        const bool is_equality = op == Operator::kEqual || op == Operator::kNotEqual;
        if (left == Type::kNil || right == Type::kNil) {
            if (!is_equality)
                return fail(expression,
                            fmt::format("{} cannot compare with nil", operator_text(op)),
                            "use = nil for absent, != nil for present");
            const Expression& other = left == Type::kNil ? b : a;
            // Roots have no parent: what a parent carries may be nil.
            const bool is_always_there = other.kind == Expression::Kind::kField &&
                                         !other.is_parent &&
                                         (other.field.scope == store::Scope::kIntrinsic ||
                                          (other.field.scope == store::Scope::kResource &&
                                           other.field.key == "service.name"));
            if (is_always_there && op == Operator::kEqual)
                return fail(expression, fmt::format("{} is never nil", field_text(other.field)));
            return Type::kBool;
        }
        if (left != right && left != Type::kAny && right != Type::kAny)
            return fail(
                expression,
                fmt::format("{} cannot be compared with {}", type_name(left), type_name(right)),
                left == Type::kStatus || right == Type::kStatus
                    ? "status is error, ok or unset, without quotes"
                : left == Type::kKind || right == Type::kKind
                    ? "kind is server, client, internal, producer, consumer or unspecified, "
                      "without quotes"
                    : "");
        const Type both = left == Type::kAny ? right : left;
        const bool has_order = both == Type::kNumber || both == Type::kString || both == Type::kAny;
        if (!is_equality && !has_order)
            return fail(expression,
                        fmt::format("{} has no order: only = and != work", type_name(both)));
        return Type::kBool;
    }

    Parsed<Type> regex(const Expression& expression, Type left) {
        const Expression& pattern = expression.operands[1];
        if (pattern.kind != Expression::Kind::kLiteral ||
            pattern.literal.kind != ValueKind::kString)
            return fail(
                pattern,
                fmt::format("the right side of {} must be a string", operator_text(expression.op)),
                "write it as \"GET|HEAD\"");
        if (left != Type::kString && left != Type::kAny)
            return fail(expression.operands[0],
                        fmt::format("{} needs a string, and this is {}",
                                    operator_text(expression.op), type_name(left)));
        RE2::Options options;
        options.set_log_errors(false);
        options.set_max_mem(kRegexBytesMax);
        const RE2 compiled(pattern.literal.text, options);
        if (!compiled.ok())
            return fail(pattern, fmt::format("bad regular expression: {}", compiled.error()));
        return Type::kBool;
    }

    std::string_view text_;
};

Parsed<void> check_hints(const Query& query) {
    for (const Hint& hint : query.hints) {
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

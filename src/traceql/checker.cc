#include "traceql/checker.h"

#include <cmath>
#include <utility>

#include <re2/re2.h>

#include "traceql/arithmetic.h"
#include "traceql/names.h"
#include "traceql/parser.h"

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

class Checker {
  public:
    explicit Checker(std::string_view text) : text_(text) {}

    Parsed<void> stages(std::vector<Stage>& list) {
        for (Stage& stage : list) {
            if (stage.kind == Stage::Kind::kSpanset) CHECK(spanset(stage.spanset));
            if (stage.selection) CHECK(spanset(*stage.selection));
            for (Expression& argument : stage.arguments)
                CHECK(type(argument));
            for (Expression& group : stage.by)
                CHECK(type(group));
            if (stage.bound) CHECK(constant_bound(*stage.bound));
            CHECK(function(stage));
        }
        return {};
    }

  private:
    tl::unexpected<QueryError> fail(const Expression& at, std::string message,
                                    std::string hint = {}) const {
        return tl::unexpected(error_at(text_, at.from, at.to, std::move(message), std::move(hint)));
    }

    Parsed<void> spanset(Spanset& set) {
        for (Spanset& operand : set.operands)
            CHECK(spanset(operand));
        CHECK(stages(set.pipeline));
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
        if (bound.kind != Expression::Kind::kLiteral)
            return fail(bound, "expected a constant to compare with");
        return {};
    }

    Parsed<void> function(const Stage& stage) const {
        if (stage.kind != Stage::Kind::kFunction) return {};
        const auto refuse = [&](std::string message) {
            return tl::unexpected(error_at(text_, stage.from, stage.to, std::move(message)));
        };
        const size_t count = stage.arguments.size();
        switch (stage.function) {
            case FunctionKind::kAggregate:
                if (count != (stage.name == "count" ? 0U : 1U))
                    return refuse(
                        fmt::format("{}() takes {}", stage.name,
                                    stage.name == "count" ? "no argument" : "one argument"));
                break;
            case FunctionKind::kBy:
                if (count != 1) return refuse("by() takes one field");
                if (stage.arguments[0].kind == Expression::Kind::kLiteral)
                    return refuse("by() must name a field of the span");
                break;
            case FunctionKind::kCoalesce:
                if (count != 0) return refuse("coalesce() takes no argument");
                break;
            case FunctionKind::kSelect:
                if (count == 0) return refuse("select() names at least one field");
                for (const Expression& field : stage.arguments) {
                    if (field.kind != Expression::Kind::kField)
                        return fail(field, "select() takes fields only");
                }
                break;
            case FunctionKind::kSecond:
                if (count != 1 || stage.arguments[0].kind != Expression::Kind::kLiteral ||
                    stage.arguments[0].literal.kind != ValueKind::kInt ||
                    stage.arguments[0].literal.integer < 1)
                    return refuse(fmt::format("{}() takes a count of at least 1", stage.name));
                break;
            case FunctionKind::kMetric:
            case FunctionKind::kCompare:
                break;
        }
        return {};
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
            const bool is_always_there = other.kind == Expression::Kind::kField &&
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

class Support {
  public:
    explicit Support(std::string_view text) : text_(text) {}

    Parsed<void> stages(const std::vector<Stage>& list) const {
        for (size_t i = 0; i < list.size(); ++i) {
            const Stage& stage = list[i];
            if (stage.kind == Stage::Kind::kSpanset && i == 0) {
                CHECK(spanset(stage.spanset));
                continue;
            }
            if (stage.kind == Stage::Kind::kSpanset)
                return refuse(stage.from, stage.to,
                              "a filter after | is not available in this version",
                              "join conditions with && inside the first filter");
            if (stage.kind == Stage::Kind::kScalarFilter)
                return refuse(stage.from, stage.to,
                              "comparing a metric with a number is not available in this version");
            return refuse(stage.from, stage.to,
                          fmt::format("{} are not available in this version", family(stage)));
        }
        return {};
    }

  private:
    static std::string family(const Stage& stage) {
        switch (stage.function) {
            case FunctionKind::kAggregate:
                return fmt::format("aggregates such as {}()", stage.name);
            case FunctionKind::kMetric:
            case FunctionKind::kSecond:
            case FunctionKind::kCompare:
                return fmt::format("metrics functions such as {}()", stage.name);
            default:
                return fmt::format("pipeline stages such as {}()", stage.name);
        }
    }

    tl::unexpected<QueryError> refuse(size_t from, size_t to, std::string message,
                                      std::string hint = {}) const {
        QueryError error = error_at(text_, from, to, std::move(message), std::move(hint));
        error.code = ErrorCode::kUnsupported;
        return tl::unexpected(std::move(error));
    }

    Parsed<void> spanset(const Spanset& set) const {
        if (set.kind == Spanset::Kind::kPipeline)
            return refuse(set.from, set.to,
                          "pipelines in parentheses are not available in this version");
        const bool is_structural =
            set.kind == Spanset::Kind::kRelation && set.relation >= Relation::kChild;
        if (is_structural)
            return refuse(
                set.operator_from, set.operator_to,
                fmt::format("structural operators such as {} are not available in this version",
                            relation_text(set.relation, set.form)));
        for (const Spanset& operand : set.operands)
            CHECK(spanset(operand));
        if (set.filter) CHECK(expression(*set.filter));
        return {};
    }

    Parsed<void> expression(const Expression& expr) const {
        if (expr.kind == Expression::Kind::kField && expr.is_parent)
            return refuse(expr.from, expr.to,
                          "attributes of the parent are not available in this version");
        for (const Expression& operand : expr.operands)
            CHECK(expression(operand));
        return {};
    }

    std::string_view text_;
};

}  // namespace

Parsed<void> check_types(Query& query) {
    return Checker(query.text).stages(query.stages);
}

Parsed<void> check_supported(const Query& query) {
    return Support(query.text).stages(query.stages);
}

Parsed<Query> parse(std::string_view text) {
    auto query = parse_form(text);
    if (!query) return query;
    CHECK(check_types(*query));
    CHECK(check_supported(*query));
    return query;
}

}  // namespace spanloom::traceql

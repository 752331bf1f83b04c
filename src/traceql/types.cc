#include "traceql/types.h"

#include <cmath>
#include <utility>

#include <re2/re2.h>

#include "traceql/arithmetic.h"
#include "traceql/checker.h"
#include "traceql/names.h"

namespace spanloom::traceql {

using store::Intrinsic;
using store::Value;
using store::ValueKind;

namespace {

Type type_of(const store::Field& field) {
    if (field.scope != store::Scope::kIntrinsic) return Type::kAny;
    switch (field.intrinsic) {
        case Intrinsic::kStatus:
            return Type::kStatus;
        case Intrinsic::kKind:
            return Type::kKind;
        case Intrinsic::kSampled:
            return Type::kBool;
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

// Ids are stored in lower case, trace ids with all their digits.
void complete_id(const store::Field& field, Value& literal) {
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

}  // namespace

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

tl::unexpected<QueryError> TypeChecker::fail(const Expression& at, std::string message,
                                             std::string hint) const {
    return tl::unexpected(error_at(text_, at.from, at.to, std::move(message), std::move(hint)));
}

Parsed<Type> TypeChecker::type(Expression& expression) const {
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

Parsed<Type> TypeChecker::unary(Expression& expression) const {
    const auto inner = type(expression.operands[0]);
    if (!inner) return inner;
    if (expression.op == Operator::kNot) {
        if (*inner != Type::kBool && *inner != Type::kAny)
            return fail(expression,
                        fmt::format("! reverses a condition, and this is {}", type_name(*inner)));
        return Type::kBool;
    }
    if (*inner != Type::kNumber && *inner != Type::kAny)
        return fail(expression, fmt::format("- needs a number, and this is {}", type_name(*inner)));
    return fold(expression);
}

Parsed<Type> TypeChecker::arithmetic(Expression& expression, Type left, Type right) const {
    for (size_t i = 0; i < 2; ++i) {
        const Type side = i == 0 ? left : right;
        if (side != Type::kNumber && side != Type::kAny)
            return fail(expression.operands[i],
                        fmt::format("{} needs numbers, and this is {}",
                                    operator_text(expression.op), type_name(side)));
    }
    const Expression& divisor = expression.operands[1];
    const bool divides = expression.op == Operator::kDivide || expression.op == Operator::kModulo;
    if (divides && divisor.kind == Expression::Kind::kLiteral && divisor.literal.as_number() == 0)
        return fail(divisor, "division by zero");
    return fold(expression);
}

Parsed<Type> TypeChecker::fold(Expression& expression) const {
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

Parsed<Type> TypeChecker::comparison(Expression& expression, Type left, Type right) const {
    const Operator op = expression.op;
    const Expression& a = expression.operands[0];
    const Expression& b = expression.operands[1];
    if (op == Operator::kMatch || op == Operator::kNotMatch) return regex(expression, left);
    complete_id(a.field, expression.operands[1].literal);
    complete_id(b.field, expression.operands[0].literal);
    const bool is_equality = op == Operator::kEqual || op == Operator::kNotEqual;
    if (left == Type::kNil || right == Type::kNil) {
        if (!is_equality)
            return fail(expression, fmt::format("{} cannot compare with nil", operator_text(op)),
                        "use = nil for absent, != nil for present");
        const Expression& other = left == Type::kNil ? b : a;
        // Roots have no parent: what a parent carries may be nil.
        const bool is_always_there =
            other.kind == Expression::Kind::kField && !other.is_parent &&
            (other.field.scope == store::Scope::kIntrinsic ||
             (other.field.scope == store::Scope::kResource && other.field.key == "service.name"));
        if (is_always_there && op == Operator::kEqual)
            return fail(expression, fmt::format("{} is never nil", field_text(other.field)));
        return Type::kBool;
    }
    if (left != right && left != Type::kAny && right != Type::kAny)
        return fail(expression,
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

Parsed<Type> TypeChecker::regex(const Expression& expression, Type left) const {
    const Expression& pattern = expression.operands[1];
    if (pattern.kind != Expression::Kind::kLiteral || pattern.literal.kind != ValueKind::kString)
        return fail(
            pattern,
            fmt::format("the right side of {} must be a string", operator_text(expression.op)),
            "write it as \"GET|HEAD\"");
    if (left != Type::kString && left != Type::kAny)
        return fail(expression.operands[0],
                    fmt::format("{} needs a string, and this is {}", operator_text(expression.op),
                                type_name(left)));
    RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(kRegexBytesMax);
    const RE2 compiled(pattern.literal.text, options);
    if (!compiled.ok())
        return fail(pattern, fmt::format("bad regular expression: {}", compiled.error()));
    return Type::kBool;
}

}  // namespace spanloom::traceql

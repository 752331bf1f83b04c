#include "traceql/arithmetic.h"

#include <cmath>

#include "store/values.h"

namespace spanloom::traceql {
namespace {

using store::Value;
using store::ValueKind;

// Integer results that overflow become doubles.
Value compute_integers(Operator op, int64_t a, int64_t b) {
    int64_t result = 0;
    switch (op) {
        case Operator::kAdd:
            if (!__builtin_add_overflow(a, b, &result)) return Value::of_int(result);
            break;
        case Operator::kSubtract:
            if (!__builtin_sub_overflow(a, b, &result)) return Value::of_int(result);
            break;
        case Operator::kMultiply:
            if (!__builtin_mul_overflow(a, b, &result)) return Value::of_int(result);
            break;
        case Operator::kModulo:
            // INT64_MIN % -1 traps on x86.
            return Value::of_int(b == -1 ? 0 : a % b);
        case Operator::kDivide:
            if (b != -1 && a % b == 0) return Value::of_int(a / b);
            break;
        default:
            break;
    }
    const auto x = static_cast<double>(a);
    const auto y = static_cast<double>(b);
    switch (op) {
        case Operator::kAdd:
            return Value::of_double(x + y);
        case Operator::kSubtract:
            return Value::of_double(x - y);
        case Operator::kMultiply:
            return Value::of_double(x * y);
        case Operator::kDivide:
            return Value::of_double(x / y);
        default:
            return Value::of_double(std::pow(x, y));
    }
}

double compute_doubles(Operator op, double a, double b) {
    switch (op) {
        case Operator::kAdd:
            return a + b;
        case Operator::kSubtract:
            return a - b;
        case Operator::kMultiply:
            return a * b;
        case Operator::kDivide:
            return a / b;
        case Operator::kModulo:
            return std::fmod(a, b);
        default:
            return std::pow(a, b);
    }
}

template <typename T>
bool in_order(Operator op, const T& a, const T& b) {
    switch (op) {
        case Operator::kEqual:
            return a == b;
        case Operator::kNotEqual:
            return a != b;
        case Operator::kGreater:
            return a > b;
        case Operator::kGreaterEqual:
            return a >= b;
        case Operator::kLess:
            return a < b;
        case Operator::kLessEqual:
            return a <= b;
        default:
            return false;
    }
}

}  // namespace

Value compute(Operator op, const Value& left, const Value& right) {
    if (!left.is_number() || !right.is_number()) return Value::nil();
    const bool divides = op == Operator::kDivide || op == Operator::kModulo;
    if (divides && right.as_number() == 0) return Value::nil();
    if (left.kind == ValueKind::kDouble || right.kind == ValueKind::kDouble)
        return Value::of_double(compute_doubles(op, left.as_number(), right.as_number()));
    return compute_integers(op, left.integer, right.integer);
}

Value negate(const Value& value) {
    if (value.kind == ValueKind::kDouble) return Value::of_double(-value.number);
    if (!value.is_number()) return Value::nil();
    return compute(Operator::kSubtract, Value::of_int(0), value);
}

bool compare_values(Operator op, const Value& left, const Value& right) {
    if (left.is_number() && right.is_number()) {
        const bool left_is_double = left.kind == ValueKind::kDouble;
        const bool right_is_double = right.kind == ValueKind::kDouble;
        if (left_is_double && right_is_double) return in_order(op, left.number, right.number);
        if (!left_is_double && !right_is_double) return in_order(op, left.integer, right.integer);
        // Exact also beyond 2^53.
        const int order = left_is_double ? store::compare_int_double(right.integer, left.number)
                                         : store::compare_int_double(left.integer, right.number);
        if (order == 2) return op == Operator::kNotEqual;
        return in_order(op, left_is_double ? -order : order, 0);
    }
    if (left.kind != right.kind) return false;
    if (left.kind == ValueKind::kString) return in_order(op, left.text, right.text);
    const bool is_equality = op == Operator::kEqual || op == Operator::kNotEqual;
    const bool is_plain = left.kind == ValueKind::kBool || left.kind == ValueKind::kSpanKind ||
                          left.kind == ValueKind::kStatus;
    return is_equality && is_plain && in_order(op, left.integer, right.integer);
}

}  // namespace spanloom::traceql

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "traceql/ast.h"
#include "traceql/error.h"

namespace spanloom::traceql {

// kAny: an attribute, whose type differs from span to span.
enum class Type : uint8_t { kAny, kNil, kBool, kNumber, kString, kStatus, kKind };
std::string_view type_name(Type type);
Type type_of(const store::Value& value);

// Finds out whether the operands of expressions fit. The query text outlives it.
class TypeChecker {
  public:
    explicit TypeChecker(std::string_view text) : text_(text) {}

    // The type of an expression whose operands fit; folds it where it is constant.
    Parsed<Type> type(Expression& expression) const;
    // Makes a literal of arithmetic between literals.
    Parsed<Type> fold(Expression& expression) const;

  private:
    tl::unexpected<QueryError> fail(const Expression& at, std::string message,
                                    std::string hint = {}) const;
    Parsed<Type> unary(Expression& expression) const;
    Parsed<Type> arithmetic(Expression& expression, Type left, Type right) const;
    Parsed<Type> comparison(Expression& expression, Type left, Type right) const;
    Parsed<Type> regex(const Expression& expression, Type left) const;

    std::string_view text_;
};

}  // namespace spanloom::traceql

#pragma once

#include <string_view>

#include "traceql/ast.h"
#include "traceql/lexer.h"

namespace spanloom::traceql {

// How close operators bind, the loosest first.
inline constexpr int kLogic = 1;
inline constexpr int kComparison = 2;
inline constexpr int kSum = 3;  // 4 is that of !
inline constexpr int kProduct = 5;
inline constexpr int kPowers = 6;

struct BinaryOperator {
    std::string_view symbol;
    Operator op;
    int precedence;
};

struct RelationSymbol {
    std::string_view symbol;
    Relation relation;
    RelationForm form;
};

// What a token means between two operands; null where it is no such operator.
const BinaryOperator* binary_of(const Token& token);
const RelationSymbol* relation_of(const Token& token);

}  // namespace spanloom::traceql

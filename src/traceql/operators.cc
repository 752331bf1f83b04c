#include "traceql/operators.h"

#include <array>

#include <fmt/core.h>

namespace spanloom::traceql {
namespace {

constexpr std::array<BinaryOperator, 16> kBinary = {{
    {"&&", Operator::kAnd, kLogic},
    {"||", Operator::kOr, kLogic},
    {"=", Operator::kEqual, kComparison},
    {"!=", Operator::kNotEqual, kComparison},
    {">", Operator::kGreater, kComparison},
    {">=", Operator::kGreaterEqual, kComparison},
    {"<", Operator::kLess, kComparison},
    {"<=", Operator::kLessEqual, kComparison},
    {"=~", Operator::kMatch, kComparison},
    {"!~", Operator::kNotMatch, kComparison},
    {"+", Operator::kAdd, kSum},
    {"-", Operator::kSubtract, kSum},
    {"*", Operator::kMultiply, kProduct},
    {"/", Operator::kDivide, kProduct},
    {"%", Operator::kModulo, kProduct},
    {"^", Operator::kPower, kPowers},
}};

constexpr std::array<RelationSymbol, 15> kRelations = {{
    {">", Relation::kChild, RelationForm::kPlain},
    {">>", Relation::kDescendant, RelationForm::kPlain},
    {"<", Relation::kParent, RelationForm::kPlain},
    {"<<", Relation::kAncestor, RelationForm::kPlain},
    {"~", Relation::kSibling, RelationForm::kPlain},
    {"!>", Relation::kChild, RelationForm::kNegated},
    {"!>>", Relation::kDescendant, RelationForm::kNegated},
    {"!<", Relation::kParent, RelationForm::kNegated},
    {"!<<", Relation::kAncestor, RelationForm::kNegated},
    {"!~", Relation::kSibling, RelationForm::kNegated},
    {"&>", Relation::kChild, RelationForm::kUnion},
    {"&>>", Relation::kDescendant, RelationForm::kUnion},
    {"&<", Relation::kParent, RelationForm::kUnion},
    {"&<<", Relation::kAncestor, RelationForm::kUnion},
    {"&~", Relation::kSibling, RelationForm::kUnion},
}};

}  // namespace

const BinaryOperator* binary_of(const Token& token) {
    if (token.kind != TokenKind::kSymbol) return nullptr;
    for (const BinaryOperator& known : kBinary) {
        if (known.symbol == token.text) return &known;
    }
    return nullptr;
}

const RelationSymbol* relation_of(const Token& token) {
    if (token.kind != TokenKind::kSymbol) return nullptr;
    for (const RelationSymbol& known : kRelations) {
        if (known.symbol == token.text) return &known;
    }
    return nullptr;
}

std::string_view operator_text(Operator op) {
    for (const BinaryOperator& known : kBinary) {
        if (known.op == op) return known.symbol;
    }
    if (op == Operator::kNot) return "!";
    if (op == Operator::kNegate) return "-";
    return "";
}

bool is_comparison(Operator op) {
    return op >= Operator::kEqual && op <= Operator::kNotMatch;
}
bool is_arithmetic(Operator op) {
    return (op >= Operator::kAdd && op <= Operator::kPower) || op == Operator::kNegate;
}

std::string relation_text(Relation relation, RelationForm form, uint32_t hops_max) {
    if (relation == Relation::kAnd) return "&&";
    if (relation == Relation::kOr) return "||";
    for (const RelationSymbol& known : kRelations) {
        if (known.relation != relation || known.form != form) continue;
        return hops_max == 0 ? std::string(known.symbol)
                             : fmt::format("{}[{}]", known.symbol, hops_max);
    }
    return "";
}

}  // namespace spanloom::traceql

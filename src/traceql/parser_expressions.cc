#include <utility>

#include "traceql/names.h"
#include "traceql/parser.h"
#include "traceql/parsing.h"

namespace spanloom::traceql {

using store::Value;

Parsed<Expression> Parser::aggregates() {
    const bool before = std::exchange(has_aggregates_, true);
    auto parsed = binary(kSum);
    has_aggregates_ = before;
    return parsed;
}

Parsed<Expression> Parser::aggregate_comparison(Expression left) {
    const Token op = peek();
    if (comparison_of(op) == Operator::kNone) {
        const std::string after = left.kind == Expression::Kind::kAggregate
                                      ? fmt::format("{}()", aggregate_name(left.aggregate))
                                      : "the aggregate";
        return tl::unexpected(expected(fmt::format("a comparison such as > 3 after {}", after)));
    }
    if (++operators_ > kOperatorsMax) return too_many();
    next();
    PARSE_ASSIGN(Expression right, aggregates());
    return joined(comparison_of(op), std::move(left), std::move(right));
}

Expression Parser::joined(Operator op, Expression left, Expression right) {
    Expression both;
    both.kind = Expression::Kind::kBinary;
    both.op = op;
    both.from = left.from;
    both.to = right.to;
    both.operands.push_back(std::move(left));
    both.operands.push_back(std::move(right));
    return both;
}

// "avg(duration)"; a name that is none is said to be unknown.
Parsed<Expression> Parser::aggregate_call(const Token& name) {
    Expression call;
    call.kind = Expression::Kind::kAggregate;
    call.from = name.from;
    call.aggregate = *aggregate_of(name.text);
    const bool before = std::exchange(has_aggregates_, false);
    PARSE_ASSIGN(call.operands, arguments(nullptr));
    has_aggregates_ = before;
    call.to = last_end();
    return call;
}

// "({ ... } | count())": the aggregate of what a pipeline leaves of the trace.
Parsed<Expression> Parser::aggregate_of_pipeline() {
    Expression whole;
    whole.kind = Expression::Kind::kPipeline;
    whole.from = peek().from;
    if (++depth_ > kDepthMax) return too_deep();
    next();
    while (true) {
        if (groups_.starts_scalar(tokens_, at_)) {
            PARSE_ASSIGN(Expression value, aggregates());
            if (peek().is(")")) {
                whole.operands.push_back(std::move(value));
                break;
            }
            Stage filter;
            filter.kind = Stage::Kind::kAggregates;
            filter.from = value.from;
            PARSE_ASSIGN(filter.condition, aggregate_comparison(std::move(value)));
            filter.to = last_end();
            whole.pipeline.push_back(std::move(filter));
        } else {
            PARSE_ASSIGN(Stage parsed, stage(whole.pipeline.empty()));
            whole.pipeline.push_back(std::move(parsed));
        }
        if (++operators_ > kOperatorsMax) return too_many();
        PARSE_ASSIGN(const Token bar, expect("|"));
    }
    whole.to = next().to;
    --depth_;
    return whole;
}

Parsed<Expression> Parser::binary(int precedence_min) {
    PARSE_ASSIGN(Expression left, operand());
    while (true) {
        const BinaryOperator* known = binary_of(peek());
        if (known == nullptr || known->precedence < precedence_min) return left;
        if (++operators_ > kOperatorsMax) return too_many();
        next();
        const bool is_right_associative = known->precedence == kPowers;
        if (is_right_associative && ++depth_ > kDepthMax) return too_deep();
        PARSE_ASSIGN(Expression right, binary(known->precedence + (is_right_associative ? 0 : 1)));
        if (is_right_associative) --depth_;
        left = joined(known->op, std::move(left), std::move(right));
    }
}

Parsed<Expression> Parser::operand() {
    const Token& token = peek();
    if (token.is("-") || token.is("!"))
        return prefix(token.is("-") ? Operator::kNegate : Operator::kNot);
    if (has_aggregates_ && token.is("(") && groups_.at(at_).has_pipeline)
        return aggregate_of_pipeline();
    if (token.is("(")) {
        if (++depth_ > kDepthMax) return too_deep();
        const size_t from = next().from;
        PARSE_ASSIGN(Expression inner, binary(has_aggregates_ ? kSum : kLogic));
        PARSE_ASSIGN(const Token close, expect(")"));
        --depth_;
        inner.from = from;
        inner.to = close.to;
        return inner;
    }
    switch (token.kind) {
        case TokenKind::kString:
        case TokenKind::kNumber:
            return literal(next(), token.value);
        case TokenKind::kAttribute:
            return attribute(next());
        case TokenKind::kIdentifier:
            return word();
        default:
            break;
    }
    if (token.is("==")) return tl::unexpected(unclosed_filter());
    return tl::unexpected(expected("a field or a value"));
}

Parsed<Expression> Parser::prefix(Operator op) {
    if (++depth_ > kDepthMax) return too_deep();
    if (++operators_ > kOperatorsMax) return too_many();
    const bool is_minus = op == Operator::kNegate;
    const size_t from = next().from;
    // Minus binds closest; ! reaches over products, not over sums.
    PARSE_ASSIGN(Expression inner, is_minus ? operand() : binary(kProduct));
    --depth_;
    if (is_minus && inner.kind == Expression::Kind::kLiteral && inner.literal.is_number()) {
        // -5 is a number, not an operation.
        inner.literal.integer =
            inner.literal.integer == INT64_MIN ? INT64_MAX : -inner.literal.integer;
        inner.literal.number = -inner.literal.number;
        inner.from = from;
        return inner;
    }
    Expression unary;
    unary.kind = Expression::Kind::kUnary;
    unary.op = op;
    unary.from = from;
    unary.to = inner.to;
    unary.operands.push_back(std::move(inner));
    return unary;
}

Expression Parser::literal(const Token& token, const Value& value) {
    Expression expression;
    expression.literal = value;
    expression.from = token.from;
    expression.to = token.to;
    return expression;
}

Expression Parser::attribute(const Token& token) {
    Expression expression;
    expression.kind = Expression::Kind::kField;
    expression.field.scope = token.scope;
    expression.field.key = token.text;
    expression.is_parent = token.is_parent;
    expression.from = token.from;
    expression.to = token.to;
    return expression;
}

Parsed<Expression> Parser::word() {
    const Token token = next();
    if (has_aggregates_ && aggregate_of(token.text) && peek().is("(")) return aggregate_call(token);
    if (const auto value = keyword_value(token.text)) return literal(token, *value);
    if (const auto intrinsic = intrinsic_of(token.text)) {
        Expression expression = attribute(token);
        expression.field = {store::Scope::kIntrinsic, *intrinsic, ""};
        return expression;
    }
    return tl::unexpected(unknown_word(token));
}

QueryError Parser::unknown_word(const Token& token) const {
    if (function_of(token.text) && peek().is("("))
        return error(token, fmt::format("{}() stands behind |, not inside a filter", token.text),
                     "{ } | count() > 3");
    if (token.text.find(':') != std::string::npos) {
        const std::string_view near = nearest_word(token.text);
        return error(token, fmt::format("unknown intrinsic {}", token.text),
                     near.empty() ? "" : fmt::format("did you mean {}?", near));
    }
    const std::string_view near = nearest_word(token.text);
    if (!near.empty())
        return error(token, fmt::format("unknown name {}", token.text),
                     fmt::format("did you mean {}? an attribute is written .{} or span.{}", near,
                                 token.text, token.text));
    return error(token, fmt::format("unknown name {}", token.text),
                 fmt::format("write .{} or span.{}", token.text, token.text));
}

}  // namespace spanloom::traceql

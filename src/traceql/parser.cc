#include "traceql/parser.h"

#include <iterator>

#include "traceql/arithmetic.h"
#include "traceql/names.h"
#include "traceql/parsing.h"

namespace spanloom::traceql {
namespace {

constexpr size_t kHintsMax = 32;  // Tempo knows fewer than a dozen

}  // namespace

Parsed<Query> Parser::run() {
    groups_ = find_groups(tokens_);
    Query query;
    query.text = text_;
    if (groups_.has_nested_metric) {
        PARSE_ASSIGN(query.arithmetic, metrics_sum());
        PARSE_ASSIGN(query.stages, second_stages());
    } else {
        PARSE_ASSIGN(query.stages, pipeline());
    }
    if (peek().is_word("with")) {
        PARSE_ASSIGN(query.hints, hints());
    }
    if (peek().kind != TokenKind::kEnd) return tl::unexpected(unexpected_after_query(query));
    // One query in parentheses is that query.
    if (query.arithmetic && query.arithmetic->kind == MetricsExpression::Kind::kPipeline) {
        std::vector<Stage> stages = std::move(query.arithmetic->stages);
        stages.insert(stages.end(), std::make_move_iterator(query.stages.begin()),
                      std::make_move_iterator(query.stages.end()));
        query.stages = std::move(stages);
        query.arithmetic.reset();
    }
    return query;
}

QueryError Parser::error(const Token& token, std::string message, std::string hint) const {
    return error_at(text_, token.from, token.to, std::move(message), std::move(hint));
}

std::string Parser::shown(const Token& token) const {
    if (token.kind == TokenKind::kEnd) return "the end of the query";
    return fmt::format("\"{}\"", text_.substr(token.from, token.to - token.from));
}

QueryError Parser::expected(std::string_view what) const {
    return error(peek(), fmt::format("expected {} but found {}", what, shown(peek())));
}

QueryError Parser::unexpected_after_query(const Query& query) const {
    const Token& token = peek();
    for (const std::string_view op : {"+", "-", "*", "/"}) {
        if (!token.is(op)) continue;
        const bool is_metric =
            !query.stages.empty() && query.stages.back().function != FunctionKind::kAggregate;
        if (is_metric)
            return error(token, fmt::format("{} cannot follow a metric", shown(token)),
                         "arithmetic needs parentheses: ({ } | rate()) * 60");
        // Only metrics can be summed: spansets cannot.
        return error(token, fmt::format("{} cannot stand between spansets", shown(token)),
                     "join them with && or ||");
    }
    if (token.is("}")) return error(token, "} closes nothing", "remove it, or open with {");
    if (token.is(")")) return error(token, ") closes nothing", "remove it, or open with (");
    return expected("an operator, | or the end of the query");
}

Parsed<Token> Parser::expect(std::string_view symbol) {
    if (!peek().is(symbol)) return tl::unexpected(expected(fmt::format("\"{}\"", symbol)));
    return next();
}

Parsed<std::vector<Hint>> Parser::hints() {
    next();
    PARSE_ASSIGN(const Token open, expect("("));
    std::vector<Hint> list;
    while (true) {
        if (peek().kind != TokenKind::kIdentifier)
            return tl::unexpected(expected("the name of a hint such as most_recent"));
        Hint hint;
        hint.from = peek().from;
        hint.name = next().text;
        PARSE_ASSIGN(const Token equals, expect("="));
        PARSE_ASSIGN(const Expression value, operand());
        if (value.kind != Expression::Kind::kLiteral)
            return tl::unexpected(
                error_at(text_, value.from, value.to,
                         fmt::format("the value of {} is not a literal", hint.name)));
        hint.value = value.literal;
        list.push_back(std::move(hint));
        if (list.size() > kHintsMax) return too_many();
        if (!peek().is(",")) break;
        next();
    }
    PARSE_ASSIGN(const Token close, expect(")"));
    return list;
}

tl::unexpected<QueryError> Parser::too_deep() const {
    return tl::unexpected(error(peek(), fmt::format("nested deeper than {}", kDepthMax)));
}

tl::unexpected<QueryError> Parser::too_many() const {
    return tl::unexpected(
        error(peek(), fmt::format("the query has more than {} operators", kOperatorsMax)));
}

// "> 5" after a metric drops points.
Parsed<void> Parser::point_filter(std::vector<Stage>& stages) {
    const auto follows_metric = [&] {
        if (stages.empty() || stages.back().kind == Stage::Kind::kPointFilter) return true;
        return stages.back().kind == Stage::Kind::kFunction &&
               stages.back().function >= FunctionKind::kMetric;
    };
    while (follows_metric() && comparison_of(peek()) != Operator::kNone) {
        if (++operators_ > kOperatorsMax) return too_many();
        PARSE_ASSIGN(Stage filter, scalar_filter());
        stages.push_back(std::move(filter));
    }
    return {};
}

// What may follow arithmetic between metrics.
Parsed<std::vector<Stage>> Parser::second_stages() {
    std::vector<Stage> stages;
    while (true) {
        if (auto filtered = point_filter(stages); !filtered)
            return tl::unexpected(std::move(filtered).error());
        if (!peek().is("|")) return stages;
        if (++operators_ > kOperatorsMax) return too_many();
        next();
        const auto function = function_of(peek().text);
        if (!function || *function != FunctionKind::kSecond || !peek(1).is("("))
            return tl::unexpected(
                error(peek(), "only topk(), bottomk() and a comparison may follow a metric"));
        PARSE_ASSIGN(Stage second, function_stage(*function));
        stages.push_back(std::move(second));
    }
}

Parsed<MetricsExpression> Parser::metrics_sum() {
    PARSE_ASSIGN(MetricsExpression left, metrics_product());
    while (peek().is("+") || peek().is("-")) {
        PARSE_ASSIGN(left, metrics_joined(std::move(left), kSum));
    }
    return left;
}

Parsed<MetricsExpression> Parser::metrics_product() {
    PARSE_ASSIGN(MetricsExpression left, metrics_operand());
    while (peek().is("*") || peek().is("/")) {
        PARSE_ASSIGN(left, metrics_joined(std::move(left), kProduct));
    }
    return left;
}

Parsed<MetricsExpression> Parser::metrics_joined(MetricsExpression left, int precedence) {
    if (++operators_ > kOperatorsMax) return too_many();
    MetricsExpression both;
    both.kind = MetricsExpression::Kind::kBinary;
    both.op = binary_of(next())->op;
    both.from = left.from;
    PARSE_ASSIGN(MetricsExpression right,
                 precedence == kSum ? metrics_product() : metrics_operand());
    both.to = right.to;
    both.operands.push_back(std::move(left));
    both.operands.push_back(std::move(right));
    return both;
}

Parsed<MetricsExpression> Parser::metrics_operand() {
    MetricsExpression operand;
    operand.from = peek().from;
    if (!peek().is("(")) {
        const bool is_negative = peek().is("-");
        if (is_negative) next();
        if (peek().kind != TokenKind::kNumber)
            return tl::unexpected(expected("a number or a metrics query in parentheses"));
        operand.kind = MetricsExpression::Kind::kScalar;
        operand.scalar = next().value;
        if (is_negative) operand.scalar = negate(operand.scalar);
        operand.to = last_end();
        return operand;
    }
    if (++depth_ > kDepthMax) return too_deep();
    const bool is_pipeline = groups_.at(at_).has_metric;
    next();
    if (is_pipeline) {
        PARSE_ASSIGN(operand.stages, pipeline());
    } else {
        PARSE_ASSIGN(operand, metrics_sum());
    }
    PARSE_ASSIGN(const Token close, expect(")"));
    --depth_;
    operand.to = close.to;
    return operand;
}

Parsed<Query> parse_form(std::string_view text) {
    Tokens tokens = tokenize(text);
    // What was read before a bad token may hold an earlier error, but the first one met is the
    // one that a person sees while typing.
    if (tokens.error) return tl::unexpected(std::move(*tokens.error));
    return Parser(text, std::move(tokens.list)).run();
}

}  // namespace spanloom::traceql

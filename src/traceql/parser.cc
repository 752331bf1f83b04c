#include "traceql/parser.h"

#include <iterator>
#include <utility>

#include "traceql/arithmetic.h"
#include "traceql/names.h"
#include "traceql/operators.h"
#include "traceql/token_groups.h"

// Leaves the function with the error, or declares the value.
#define PARSE_ASSIGN(declaration, expression)                                         \
    auto SPANLOOM_CONCAT(parsed_, __LINE__) = (expression);                           \
    if (!SPANLOOM_CONCAT(parsed_, __LINE__))                                          \
        return tl::unexpected(std::move(SPANLOOM_CONCAT(parsed_, __LINE__)).error()); \
    declaration = std::move(*SPANLOOM_CONCAT(parsed_, __LINE__))

namespace spanloom::traceql {
namespace {

using store::Value;
using store::ValueKind;

class Parser {
  public:
    Parser(std::string_view text, std::vector<Token> tokens)
        : text_(text), tokens_(std::move(tokens)) {}

    Parsed<Query> run() {
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

  private:
    const Token& peek(size_t ahead = 0) const {
        return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
    }
    Token next() {
        Token token = peek();
        if (at_ + 1 < tokens_.size()) ++at_;
        return token;
    }
    size_t last_end() const { return at_ == 0 ? 0 : tokens_[at_ - 1].to; }

    QueryError error(const Token& token, std::string message, std::string hint = {}) const {
        return error_at(text_, token.from, token.to, std::move(message), std::move(hint));
    }
    std::string shown(const Token& token) const {
        if (token.kind == TokenKind::kEnd) return "the end of the query";
        return fmt::format("\"{}\"", text_.substr(token.from, token.to - token.from));
    }
    QueryError expected(std::string_view what) const {
        return error(peek(), fmt::format("expected {} but found {}", what, shown(peek())));
    }

    QueryError unexpected_after_query(const Query& query) const {
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

    Parsed<Token> expect(std::string_view symbol) {
        if (!peek().is(symbol)) return tl::unexpected(expected(fmt::format("\"{}\"", symbol)));
        return next();
    }

    // ---- pipelines

    Parsed<std::vector<Stage>> pipeline() {
        std::vector<Stage> stages;
        while (true) {
            PARSE_ASSIGN(Stage parsed, stage(stages.empty()));
            stages.push_back(std::move(parsed));
            if (auto filtered = point_filter(stages); !filtered)
                return tl::unexpected(std::move(filtered).error());
            if (!peek().is("|")) return stages;
            if (++operators_ > kOperatorsMax) return too_many();
            next();
        }
    }

    // "> 5" after a metric drops points.
    Parsed<void> point_filter(std::vector<Stage>& stages) {
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
    Parsed<std::vector<Stage>> second_stages() {
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

    // ---- arithmetic between metrics

    Parsed<MetricsExpression> metrics_sum() {
        PARSE_ASSIGN(MetricsExpression left, metrics_product());
        while (peek().is("+") || peek().is("-")) {
            PARSE_ASSIGN(left, metrics_joined(std::move(left), kSum));
        }
        return left;
    }

    Parsed<MetricsExpression> metrics_product() {
        PARSE_ASSIGN(MetricsExpression left, metrics_operand());
        while (peek().is("*") || peek().is("/")) {
            PARSE_ASSIGN(left, metrics_joined(std::move(left), kProduct));
        }
        return left;
    }

    Parsed<MetricsExpression> metrics_joined(MetricsExpression left, int precedence) {
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

    Parsed<MetricsExpression> metrics_operand() {
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

    // ---- stages

    Parsed<Stage> stage(bool is_first) {
        const Token& token = peek();
        if (groups_.starts_scalar(tokens_, at_)) return aggregate_stage();
        if (token.is("{") || token.is("(")) {
            Stage parsed;
            parsed.from = token.from;
            PARSE_ASSIGN(parsed.spanset, spansets());
            parsed.to = last_end();
            return parsed;
        }
        if (token.kind != TokenKind::kIdentifier) return tl::unexpected(no_stage(is_first));
        const auto function = function_of(token.text);
        if (!function || !peek(1).is("(")) return tl::unexpected(no_stage(is_first));
        if (is_first && *function != FunctionKind::kBy && *function != FunctionKind::kSelect)
            return tl::unexpected(error(token, fmt::format("{}() cannot come first", token.text),
                                        "start with a filter such as { status = error }"));
        return function_stage(*function);
    }

    // "count() > 3", "max(duration) > 2 * avg(duration)"
    Parsed<Stage> aggregate_stage() {
        Stage stage;
        stage.kind = Stage::Kind::kAggregates;
        stage.from = peek().from;
        PARSE_ASSIGN(Expression left, aggregates());
        PARSE_ASSIGN(stage.condition, aggregate_comparison(std::move(left)));
        stage.to = last_end();
        return stage;
    }

    Parsed<Expression> aggregates() {
        const bool before = std::exchange(has_aggregates_, true);
        auto parsed = binary(kSum);
        has_aggregates_ = before;
        return parsed;
    }

    Parsed<Expression> aggregate_comparison(Expression left) {
        const Token op = peek();
        if (comparison_of(op) == Operator::kNone) {
            const std::string after = left.kind == Expression::Kind::kAggregate
                                          ? fmt::format("{}()", aggregate_name(left.aggregate))
                                          : "the aggregate";
            return tl::unexpected(
                expected(fmt::format("a comparison such as > 3 after {}", after)));
        }
        if (++operators_ > kOperatorsMax) return too_many();
        next();
        PARSE_ASSIGN(Expression right, aggregates());
        return joined(comparison_of(op), std::move(left), std::move(right));
    }

    static Expression joined(Operator op, Expression left, Expression right) {
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
    Parsed<Expression> aggregate_call(const Token& name) {
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
    Parsed<Expression> aggregate_of_pipeline() {
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

    QueryError no_stage(bool is_first) const {
        const Token& token = peek();
        if (!is_first) {
            QueryError error = expected("a filter in braces or a function after |");
            const std::string_view near = nearest_word(token.text);
            const bool is_call = token.kind == TokenKind::kIdentifier && peek(1).is("(");
            if (is_call && function_of(near)) error.hint = fmt::format("did you mean {}()?", near);
            return error;
        }
        if (token.kind == TokenKind::kEnd)
            return error(token, "the query is empty", "{ } finds every trace");
        if (token.kind == TokenKind::kIdentifier || token.kind == TokenKind::kAttribute)
            return error(token, fmt::format("expected {{ but found {}", shown(token)),
                         "conditions stand in braces: { duration > 1s }");
        return error(token, fmt::format("expected {{ but found {}", shown(token)));
    }

    Parsed<Stage> function_stage(FunctionKind function) {
        Stage stage;
        const Token name = next();
        stage.kind = Stage::Kind::kFunction;
        stage.function = function;
        stage.name = name.text;
        stage.from = name.from;
        PARSE_ASSIGN(stage.arguments,
                     arguments(function == FunctionKind::kCompare ? &stage : nullptr));
        if (function == FunctionKind::kMetric && peek().is_word("by")) {
            next();
            PARSE_ASSIGN(stage.by, arguments(nullptr));
        }
        stage.to = last_end();
        return stage;
    }

    Parsed<Stage> scalar_filter() {
        Stage stage;
        stage.kind = Stage::Kind::kPointFilter;
        const Token op = next();
        stage.op = comparison_of(op);
        stage.from = op.from;
        PARSE_ASSIGN(stage.bound, binary(kSum));
        stage.to = last_end();
        return stage;
    }

    static Operator comparison_of(const Token& token) {
        const BinaryOperator* binary = binary_of(token);
        if (binary == nullptr || binary->precedence != kComparison) return Operator::kNone;
        if (binary->op == Operator::kMatch || binary->op == Operator::kNotMatch)
            return Operator::kNone;
        return binary->op;
    }

    // "(a, b, c)"; `compare`, where given, takes a selection in braces as its first.
    Parsed<std::vector<Expression>> arguments(Stage* compare) {
        PARSE_ASSIGN(const Token open, expect("("));
        std::vector<Expression> list;
        if (compare != nullptr && peek().is("{")) {
            PARSE_ASSIGN(compare->selection, filter());
            if (peek().is(",")) next();
        }
        while (!peek().is(")")) {
            if (peek().is_word("topN") && peek(1).is("=")) at_ += 2;
            PARSE_ASSIGN(Expression argument, binary(kLogic));
            list.push_back(std::move(argument));
            if (++operators_ > kOperatorsMax) return too_many();
            if (!peek().is(",")) break;
            next();
        }
        PARSE_ASSIGN(const Token close, expect(")"));
        return list;
    }

    Parsed<std::vector<Hint>> hints() {
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

    // ---- spansets

    Parsed<Spanset> spansets() {
        PARSE_ASSIGN(Spanset left, structural());
        while (peek().is("&&") || peek().is("||")) {
            const Relation relation = peek().is("&&") ? Relation::kAnd : Relation::kOr;
            PARSE_ASSIGN(left, related(std::move(left), relation, RelationForm::kPlain, kLogic));
        }
        return left;
    }

    Parsed<Spanset> structural() {
        PARSE_ASSIGN(Spanset left, single_spanset());
        while (const RelationSymbol* symbol = relation_of(peek())) {
            PARSE_ASSIGN(left,
                         related(std::move(left), symbol->relation, symbol->form, kComparison));
        }
        return left;
    }

    Parsed<Spanset> related(Spanset left, Relation relation, RelationForm form, int precedence) {
        if (++operators_ > kOperatorsMax) return too_many();
        const Token op = next();
        Spanset both;
        both.kind = Spanset::Kind::kRelation;
        both.relation = relation;
        both.form = form;
        both.operator_from = op.from;
        both.operator_to = op.to;
        both.from = left.from;
        if (peek().is("[")) {
            PARSE_ASSIGN(both.hops_max, hops(relation));
        }
        PARSE_ASSIGN(Spanset right, precedence == kLogic ? structural() : single_spanset());
        both.to = right.to;
        both.operands.push_back(std::move(left));
        both.operands.push_back(std::move(right));
        return both;
    }

    // ">>[2]": at most so many levels apart.
    Parsed<uint32_t> hops(Relation relation) {
        const Token open = next();
        if (relation != Relation::kDescendant && relation != Relation::kAncestor)
            return tl::unexpected(
                error(open, "only >> and << take a number of levels", "remove the brackets"));
        const Token count = next();
        if (count.kind != TokenKind::kNumber || count.value.kind != ValueKind::kInt ||
            count.value.integer < 1 || count.value.integer > kHopsMax)
            return tl::unexpected(
                error(count, fmt::format("expected a number of levels from 1 to {}", kHopsMax),
                      "{ } >>[2] { } finds children and grandchildren"));
        PARSE_ASSIGN(const Token close, expect("]"));
        return static_cast<uint32_t>(count.value.integer);
    }

    Parsed<Spanset> single_spanset() {
        if (peek().is("{")) return filter();
        if (!peek().is("(")) return tl::unexpected(expected("a filter in braces"));
        if (++depth_ > kDepthMax) return too_deep();
        const Token open = next();
        PARSE_ASSIGN(std::vector<Stage> stages, pipeline());
        PARSE_ASSIGN(const Token close, expect(")"));
        --depth_;
        // Parentheses around spansets alone only group.
        if (stages.size() == 1 && stages[0].kind == Stage::Kind::kSpanset)
            return std::move(stages[0].spanset);
        Spanset inner;
        inner.kind = Spanset::Kind::kPipeline;
        inner.pipeline = std::move(stages);
        inner.from = open.from;
        inner.to = close.to;
        return inner;
    }

    Parsed<Spanset> filter() {
        PARSE_ASSIGN(const Token open, expect("{"));
        Spanset spanset;
        spanset.from = open.from;
        if (!peek().is("}")) {
            PARSE_ASSIGN(spanset.filter, binary(kLogic));
        }
        if (!peek().is("}")) return tl::unexpected(unclosed_filter());
        spanset.to = next().to;
        return spanset;
    }

    QueryError unclosed_filter() const {
        const Token& token = peek();
        if (token.is("==")) return error(token, "== is not an operator", "equality is written =");
        if (token.is_word("and") || token.is_word("AND"))
            return error(token, fmt::format("unexpected {}", shown(token)), "write &&");
        if (token.is_word("or") || token.is_word("OR"))
            return error(token, fmt::format("unexpected {}", shown(token)), "write ||");
        if (token.is_word("in") || token.is_word("IN"))
            return error(token, "IN is not part of the language", "write =~ \"a|b\"");
        if (token.is(",")) return error(token, "unexpected \",\"", "join conditions with && or ||");
        if (const RelationSymbol* symbol = relation_of(token))
            return error(token,
                         fmt::format("{} stands between filters, not inside one", symbol->symbol));
        if (token.kind == TokenKind::kEnd)
            return error(token, "the filter is not closed", "end it with }");
        return expected("an operator or }");
    }

    // ---- expressions

    Parsed<Expression> binary(int precedence_min) {
        PARSE_ASSIGN(Expression left, operand());
        while (true) {
            const BinaryOperator* known = binary_of(peek());
            if (known == nullptr || known->precedence < precedence_min) return left;
            if (++operators_ > kOperatorsMax) return too_many();
            next();
            const bool is_right_associative = known->precedence == kPowers;
            if (is_right_associative && ++depth_ > kDepthMax) return too_deep();
            PARSE_ASSIGN(Expression right,
                         binary(known->precedence + (is_right_associative ? 0 : 1)));
            if (is_right_associative) --depth_;
            left = joined(known->op, std::move(left), std::move(right));
        }
    }

    Parsed<Expression> operand() {
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

    Parsed<Expression> prefix(Operator op) {
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

    static Expression literal(const Token& token, const Value& value) {
        Expression expression;
        expression.literal = value;
        expression.from = token.from;
        expression.to = token.to;
        return expression;
    }

    static Expression attribute(const Token& token) {
        Expression expression;
        expression.kind = Expression::Kind::kField;
        expression.field.scope = token.scope;
        expression.field.key = token.text;
        expression.is_parent = token.is_parent;
        expression.from = token.from;
        expression.to = token.to;
        return expression;
    }

    Parsed<Expression> word() {
        const Token token = next();
        if (has_aggregates_ && aggregate_of(token.text) && peek().is("("))
            return aggregate_call(token);
        if (const auto value = keyword_value(token.text)) return literal(token, *value);
        if (const auto intrinsic = intrinsic_of(token.text)) {
            Expression expression = attribute(token);
            expression.field = {store::Scope::kIntrinsic, *intrinsic, ""};
            return expression;
        }
        return tl::unexpected(unknown_word(token));
    }

    QueryError unknown_word(const Token& token) const {
        if (function_of(token.text) && peek().is("("))
            return error(token,
                         fmt::format("{}() stands behind |, not inside a filter", token.text),
                         "{ } | count() > 3");
        if (token.text.find(':') != std::string::npos) {
            const std::string_view near = nearest_word(token.text);
            return error(token, fmt::format("unknown intrinsic {}", token.text),
                         near.empty() ? "" : fmt::format("did you mean {}?", near));
        }
        const std::string_view near = nearest_word(token.text);
        if (!near.empty())
            return error(token, fmt::format("unknown name {}", token.text),
                         fmt::format("did you mean {}? an attribute is written .{} or span.{}",
                                     near, token.text, token.text));
        return error(token, fmt::format("unknown name {}", token.text),
                     fmt::format("write .{} or span.{}", token.text, token.text));
    }

    tl::unexpected<QueryError> too_deep() const {
        return tl::unexpected(error(peek(), fmt::format("nested deeper than {}", kDepthMax)));
    }
    tl::unexpected<QueryError> too_many() const {
        return tl::unexpected(
            error(peek(), fmt::format("the query has more than {} operators", kOperatorsMax)));
    }

    static constexpr size_t kHintsMax = 32;         // Tempo knows fewer than a dozen
    static constexpr int64_t kHopsMax = 1'000'000;  // deeper trees cannot be stored

    std::string_view text_;
    std::vector<Token> tokens_;
    TokenGroups groups_;
    bool has_aggregates_ = false;  // aggregates may stand here
    size_t at_ = 0;
    int depth_ = 0;
    int operators_ = 0;
};

}  // namespace

Parsed<Query> parse_form(std::string_view text) {
    Tokens tokens = tokenize(text);
    // What was read before a bad token may hold an earlier error, but the first one met is the
    // one that a person sees while typing.
    if (tokens.error) return tl::unexpected(std::move(*tokens.error));
    return Parser(text, std::move(tokens.list)).run();
}

}  // namespace spanloom::traceql

#include "traceql/parser.h"

#include <array>
#include <utility>

#include "traceql/names.h"

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

struct BinaryOperator {
    std::string_view symbol;
    Operator op;
    int precedence;
};
constexpr int kLogic = 1;
constexpr int kComparison = 2;
constexpr int kSum = 3;  // 4 is that of !
constexpr int kProduct = 5;
constexpr int kPowers = 6;
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

struct RelationSymbol {
    std::string_view symbol;
    Relation relation;
    RelationForm form;
};
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

class Parser {
  public:
    Parser(std::string_view text, std::vector<Token> tokens)
        : text_(text), tokens_(std::move(tokens)) {}

    Parsed<Query> run() {
        Query query;
        query.text = text_;
        if (peek().kind == TokenKind::kNumber) return metrics_arithmetic(peek());
        PARSE_ASSIGN(query.stages, pipeline());
        if (peek().is_word("with")) {
            PARSE_ASSIGN(query.hints, hints());
        }
        if (peek().kind == TokenKind::kEnd) return query;
        return tl::unexpected(unexpected_after_query());
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
    tl::unexpected<QueryError> metrics_arithmetic(const Token& token) const {
        QueryError refused =
            error(token, "arithmetic between metrics queries is not available in this version");
        refused.code = ErrorCode::kUnsupported;
        return tl::unexpected(std::move(refused));
    }

    QueryError unexpected_after_query() const {
        const Token& token = peek();
        for (const std::string_view op : {"+", "-", "*", "/"}) {
            if (!token.is(op)) continue;
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
            // "> 5" after a metric drops points.
            if (stages.back().kind == Stage::Kind::kFunction &&
                comparison_of(peek()) != Operator::kNone) {
                PARSE_ASSIGN(Stage filter, scalar_filter());
                stages.push_back(std::move(filter));
            }
            if (!peek().is("|")) return stages;
            if (++operators_ > kOperatorsMax) return too_many();
            next();
        }
    }

    Parsed<Stage> stage(bool is_first) {
        const Token& token = peek();
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
        if (is_first &&
            (*function == FunctionKind::kCoalesce || *function == FunctionKind::kSecond))
            return tl::unexpected(error(token, fmt::format("{}() cannot come first", token.text),
                                        "start with a filter such as { status = error }"));
        return function_stage(*function);
    }

    QueryError no_stage(bool is_first) const {
        const Token& token = peek();
        if (!is_first) return expected("a filter in braces or a function after |");
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
        if (function != FunctionKind::kAggregate) return stage;
        stage.op = comparison_of(peek());
        if (stage.op == Operator::kNone)
            return tl::unexpected(
                expected(fmt::format("a comparison such as > 3 after {}()", stage.name)));
        next();
        PARSE_ASSIGN(stage.bound, binary(kSum));
        stage.to = last_end();
        return stage;
    }

    Parsed<Stage> scalar_filter() {
        Stage stage;
        stage.kind = Stage::Kind::kScalarFilter;
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
            PARSE_ASSIGN(left, joined(std::move(left), relation, RelationForm::kPlain, kLogic));
        }
        return left;
    }

    Parsed<Spanset> structural() {
        PARSE_ASSIGN(Spanset left, single_spanset());
        while (const RelationSymbol* symbol = relation_of(peek())) {
            PARSE_ASSIGN(left,
                         joined(std::move(left), symbol->relation, symbol->form, kComparison));
        }
        return left;
    }

    Parsed<Spanset> joined(Spanset left, Relation relation, RelationForm form, int precedence) {
        if (++operators_ > kOperatorsMax) return too_many();
        const Token op = next();
        Spanset both;
        both.kind = Spanset::Kind::kRelation;
        both.relation = relation;
        both.form = form;
        both.operator_from = op.from;
        both.operator_to = op.to;
        both.from = left.from;
        PARSE_ASSIGN(Spanset right, precedence == kLogic ? structural() : single_spanset());
        both.to = right.to;
        both.operands.push_back(std::move(left));
        both.operands.push_back(std::move(right));
        return both;
    }

    Parsed<Spanset> single_spanset() {
        if (peek().is("{")) return filter();
        if (!peek().is("(")) {
            if (peek().kind == TokenKind::kNumber) return metrics_arithmetic(peek());
            return tl::unexpected(expected("a filter in braces"));
        }
        if (++depth_ > kDepthMax) return too_deep();
        const Token open = next();
        if (peek().kind == TokenKind::kNumber) return metrics_arithmetic(peek());
        PARSE_ASSIGN(std::vector<Stage> stages, pipeline());
        PARSE_ASSIGN(const Token close, expect(")"));
        --depth_;
        for (const std::string_view op : {"+", "-", "*", "/"}) {
            if (peek().is(op)) return metrics_arithmetic(peek());
        }
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
            Expression both;
            both.kind = Expression::Kind::kBinary;
            both.op = known->op;
            both.from = left.from;
            both.to = right.to;
            both.operands.push_back(std::move(left));
            both.operands.push_back(std::move(right));
            left = std::move(both);
        }
    }

    Parsed<Expression> operand() {
        const Token& token = peek();
        if (token.is("-") || token.is("!"))
            return prefix(token.is("-") ? Operator::kNegate : Operator::kNot);
        if (token.is("(")) {
            if (++depth_ > kDepthMax) return too_deep();
            const size_t from = next().from;
            PARSE_ASSIGN(Expression inner, binary(kLogic));
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
        if (const auto value = keyword_value(token.text)) return literal(token, *value);
        if (const auto intrinsic = intrinsic_of(token.text)) {
            Expression expression = attribute(token);
            expression.field = {store::Scope::kIntrinsic, *intrinsic, ""};
            return expression;
        }
        return tl::unexpected(unknown_word(token));
    }

    QueryError unknown_word(const Token& token) const {
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

    static constexpr size_t kHintsMax = 32;  // Tempo knows fewer than a dozen

    std::string_view text_;
    std::vector<Token> tokens_;
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

std::string relation_text(Relation relation, RelationForm form) {
    if (relation == Relation::kAnd) return "&&";
    if (relation == Relation::kOr) return "||";
    for (const RelationSymbol& known : kRelations) {
        if (known.relation == relation && known.form == form) return std::string(known.symbol);
    }
    return "";
}

}  // namespace spanloom::traceql

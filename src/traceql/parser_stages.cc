#include "traceql/names.h"
#include "traceql/parser.h"
#include "traceql/parsing.h"

namespace spanloom::traceql {
namespace {

using store::ValueKind;

constexpr int64_t kHopsMax = 1'000'000;  // deeper trees cannot be stored

}  // namespace

Parsed<std::vector<Stage>> Parser::pipeline() {
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

Parsed<Stage> Parser::stage(bool is_first) {
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
Parsed<Stage> Parser::aggregate_stage() {
    Stage stage;
    stage.kind = Stage::Kind::kAggregates;
    stage.from = peek().from;
    PARSE_ASSIGN(Expression left, aggregates());
    PARSE_ASSIGN(stage.condition, aggregate_comparison(std::move(left)));
    stage.to = last_end();
    return stage;
}

QueryError Parser::no_stage(bool is_first) const {
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

Parsed<Stage> Parser::function_stage(FunctionKind function) {
    Stage stage;
    const Token name = next();
    stage.kind = Stage::Kind::kFunction;
    stage.function = function;
    stage.name = name.text;
    stage.from = name.from;
    PARSE_ASSIGN(stage.arguments, arguments(function == FunctionKind::kCompare ? &stage : nullptr));
    if (function == FunctionKind::kMetric && peek().is_word("by")) {
        next();
        PARSE_ASSIGN(stage.by, arguments(nullptr));
    }
    stage.to = last_end();
    return stage;
}

Parsed<Stage> Parser::scalar_filter() {
    Stage stage;
    stage.kind = Stage::Kind::kPointFilter;
    const Token op = next();
    stage.op = comparison_of(op);
    stage.from = op.from;
    PARSE_ASSIGN(stage.bound, binary(kSum));
    stage.to = last_end();
    return stage;
}

Operator Parser::comparison_of(const Token& token) {
    const BinaryOperator* binary = binary_of(token);
    if (binary == nullptr || binary->precedence != kComparison) return Operator::kNone;
    if (binary->op == Operator::kMatch || binary->op == Operator::kNotMatch) return Operator::kNone;
    return binary->op;
}

// "(a, b, c)"; `compare`, where given, takes a selection in braces as its first.
Parsed<std::vector<Expression>> Parser::arguments(Stage* compare) {
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

Parsed<Spanset> Parser::spansets() {
    PARSE_ASSIGN(Spanset left, structural());
    while (peek().is("&&") || peek().is("||")) {
        const Relation relation = peek().is("&&") ? Relation::kAnd : Relation::kOr;
        PARSE_ASSIGN(left, related(std::move(left), relation, RelationForm::kPlain, kLogic));
    }
    return left;
}

Parsed<Spanset> Parser::structural() {
    PARSE_ASSIGN(Spanset left, single_spanset());
    while (const RelationSymbol* symbol = relation_of(peek())) {
        PARSE_ASSIGN(left, related(std::move(left), symbol->relation, symbol->form, kComparison));
    }
    return left;
}

Parsed<Spanset> Parser::related(Spanset left, Relation relation, RelationForm form,
                                int precedence) {
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
Parsed<uint32_t> Parser::hops(Relation relation) {
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

Parsed<Spanset> Parser::single_spanset() {
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

Parsed<Spanset> Parser::filter() {
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

QueryError Parser::unclosed_filter() const {
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

}  // namespace spanloom::traceql

#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "traceql/ast.h"
#include "traceql/error.h"
#include "traceql/lexer.h"
#include "traceql/operators.h"
#include "traceql/token_groups.h"

// Leaves the function with the error, or declares the value.
#define PARSE_ASSIGN(declaration, expression)                                         \
    auto SPANLOOM_CONCAT(parsed_, __LINE__) = (expression);                           \
    if (!SPANLOOM_CONCAT(parsed_, __LINE__))                                          \
        return tl::unexpected(std::move(SPANLOOM_CONCAT(parsed_, __LINE__)).error()); \
    declaration = std::move(*SPANLOOM_CONCAT(parsed_, __LINE__))

namespace spanloom::traceql {

// The grammar, by recursive descent: the query and metrics (parser.cc), stages and spansets
// (parser_stages.cc), expressions (parser_expressions.cc). One query; the text outlives it.
class Parser {
  public:
    Parser(std::string_view text, std::vector<Token> tokens)
        : text_(text), tokens_(std::move(tokens)) {}

    Parsed<Query> run();

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
    QueryError error(const Token& token, std::string message, std::string hint = {}) const;
    std::string shown(const Token& token) const;
    QueryError expected(std::string_view what) const;
    QueryError unexpected_after_query(const Query& query) const;
    Parsed<Token> expect(std::string_view symbol);
    Parsed<std::vector<Hint>> hints();
    tl::unexpected<QueryError> too_deep() const;
    tl::unexpected<QueryError> too_many() const;

    // ---- metrics
    // "> 5" after a metric drops points.
    Parsed<void> point_filter(std::vector<Stage>& stages);
    // What may follow arithmetic between metrics.
    Parsed<std::vector<Stage>> second_stages();
    Parsed<MetricsExpression> metrics_sum();
    Parsed<MetricsExpression> metrics_product();
    Parsed<MetricsExpression> metrics_joined(MetricsExpression left, int precedence);
    Parsed<MetricsExpression> metrics_operand();

    // ---- stages and spansets
    Parsed<std::vector<Stage>> pipeline();
    Parsed<Stage> stage(bool is_first);
    // "count() > 3", "max(duration) > 2 * avg(duration)"
    Parsed<Stage> aggregate_stage();
    QueryError no_stage(bool is_first) const;
    Parsed<Stage> function_stage(FunctionKind function);
    Parsed<Stage> scalar_filter();
    static Operator comparison_of(const Token& token);
    // "(a, b, c)"; `compare`, where given, takes a selection in braces as its first.
    Parsed<std::vector<Expression>> arguments(Stage* compare);
    Parsed<Spanset> spansets();
    Parsed<Spanset> structural();
    Parsed<Spanset> related(Spanset left, Relation relation, RelationForm form, int precedence);
    // ">>[2]": at most so many levels apart.
    Parsed<uint32_t> hops(Relation relation);
    Parsed<Spanset> single_spanset();
    Parsed<Spanset> filter();
    QueryError unclosed_filter() const;

    // ---- expressions
    Parsed<Expression> aggregates();
    Parsed<Expression> aggregate_comparison(Expression left);
    static Expression joined(Operator op, Expression left, Expression right);
    // "avg(duration)"; a name that is none is said to be unknown.
    Parsed<Expression> aggregate_call(const Token& name);
    // "({ ... } | count())": the aggregate of what a pipeline leaves of the trace.
    Parsed<Expression> aggregate_of_pipeline();
    Parsed<Expression> binary(int precedence_min);
    Parsed<Expression> operand();
    Parsed<Expression> prefix(Operator op);
    static Expression literal(const Token& token, const store::Value& value);
    static Expression attribute(const Token& token);
    Parsed<Expression> word();
    QueryError unknown_word(const Token& token) const;

    std::string_view text_;
    std::vector<Token> tokens_;
    TokenGroups groups_;
    bool has_aggregates_ = false;  // aggregates may stand here
    size_t at_ = 0;
    int depth_ = 0;
    int operators_ = 0;
};

}  // namespace spanloom::traceql

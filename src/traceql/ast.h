#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/field.h"

namespace spanloom::traceql {

enum class Operator : uint8_t {
    kNone,
    kAnd,
    kOr,
    kEqual,
    kNotEqual,
    kGreater,
    kGreaterEqual,
    kLess,
    kLessEqual,
    kMatch,
    kNotMatch,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kModulo,
    kPower,
    kNot,
    kNegate,
};
std::string_view operator_text(Operator op);
bool is_comparison(Operator op);
bool is_arithmetic(Operator op);

enum class Aggregate : uint8_t { kCount, kAverage, kMin, kMax, kSum };
std::string_view aggregate_name(Aggregate aggregate);

struct Stage;

// An expression over one span, or over the spans of a set where aggregates stand in it: a tree of
// values. Its depth is bounded by the parser.
struct Expression {
    enum class Kind : uint8_t {
        kLiteral,
        kField,
        kUnary,
        kBinary,
        kAggregate,  // operands: none for count(), else what is aggregated
        kPipeline,   // "({ ... } | count())": the aggregate (operands[0]) of what `pipeline` leaves
    };

    Kind kind = Kind::kLiteral;
    Operator op = Operator::kNone;
    Aggregate aggregate = Aggregate::kCount;
    store::Value literal;
    store::Field field;
    bool is_parent = false;            // the field of the parent span
    std::vector<Expression> operands;  // kUnary: one, kBinary: two
    std::vector<Stage> pipeline;
    size_t from = 0;  // in the query text
    size_t to = 0;
};

// Between spansets: && || and the structural operators, each plain, negated (!) or of both
// sides (&).
enum class Relation : uint8_t { kAnd, kOr, kChild, kDescendant, kParent, kAncestor, kSibling };
enum class RelationForm : uint8_t { kPlain, kNegated, kUnion };

// A set of spans of one trace.
struct Spanset {
    enum class Kind : uint8_t { kFilter, kRelation, kPipeline };

    Kind kind = Kind::kFilter;
    std::optional<Expression> filter;  // kFilter; absent: every span
    Relation relation = Relation::kAnd;
    RelationForm form = RelationForm::kPlain;
    uint32_t hops_max = 0;          // kDescendant, kAncestor: >>[2]; 0: any number
    std::vector<Spanset> operands;  // kRelation: two
    std::vector<Stage> pipeline;    // kPipeline: what stands in the parentheses
    size_t from = 0;
    size_t to = 0;
    size_t operator_from = 0;
    size_t operator_to = 0;
};
std::string relation_text(Relation relation, RelationForm form, uint32_t hops_max = 0);

// What a function of the language does, and so where it may stand.
enum class FunctionKind : uint8_t {
    kAggregate,
    kBy,
    kCoalesce,
    kSelect,
    kMetric,
    kSecond,
    kCompare
};

enum class Metric : uint8_t {
    kRate,
    kCount,
    kSum,
    kMin,
    kMax,
    kAverage,
    kQuantile,
    kHistogram,
    kCompare,
};
Metric metric_of(std::string_view name);

// One step of a pipeline.
struct Stage {
    enum class Kind : uint8_t {
        kSpanset,
        kFunction,
        kAggregates,   // "count() > 3": `condition` compares expressions with aggregates
        kPointFilter,  // "> 5" behind a metric: `op` and `bound`
    };

    Kind kind = Kind::kSpanset;
    Spanset spanset;
    FunctionKind function = FunctionKind::kAggregate;
    std::string name;                     // kFunction
    std::vector<Expression> arguments;    // kFunction
    std::optional<Spanset> selection;     // compare({...})
    std::vector<Expression> by;           // kMetric
    std::optional<Expression> condition;  // kAggregates
    Operator op = Operator::kNone;        // kPointFilter
    std::optional<Expression> bound;
    size_t from = 0;
    size_t to = 0;
};

// "100 * ({ } | rate()) / ({ } | rate())": arithmetic between metrics queries and numbers.
struct MetricsExpression {
    enum class Kind : uint8_t { kScalar, kPipeline, kBinary };

    Kind kind = Kind::kPipeline;
    store::Value scalar;        // kScalar
    std::vector<Stage> stages;  // kPipeline: ends with a metric and its second stages
    Operator op = Operator::kNone;
    std::vector<MetricsExpression> operands;  // kBinary: two
    size_t from = 0;
    size_t to = 0;
};

struct Hint {
    std::string name;
    store::Value value;
    size_t from = 0;
};

// A whole query as written. Immutable once checked; any thread may read it.
struct Query {
    std::string text;
    std::vector<Stage> stages;  // with `arithmetic`: the second stages that follow it
    std::optional<MetricsExpression> arithmetic;
    std::vector<Hint> hints;

    const store::Value* hint(std::string_view name) const {
        for (const Hint& one : hints) {
            if (one.name == name) return &one.value;
        }
        return nullptr;
    }
};

}  // namespace spanloom::traceql

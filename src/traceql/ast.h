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

// An expression over one span: a tree of values. Its depth is bounded by the parser.
struct Expression {
    enum class Kind : uint8_t { kLiteral, kField, kUnary, kBinary };

    Kind kind = Kind::kLiteral;
    Operator op = Operator::kNone;
    store::Value literal;
    store::Field field;
    bool is_parent = false;            // the field of the parent span
    std::vector<Expression> operands;  // kUnary: one, kBinary: two
    size_t from = 0;                   // in the query text
    size_t to = 0;
};

// Between spansets: && || and the structural operators, each plain, negated (!) or of both
// sides (&).
enum class Relation : uint8_t { kAnd, kOr, kChild, kDescendant, kParent, kAncestor, kSibling };
enum class RelationForm : uint8_t { kPlain, kNegated, kUnion };

struct Stage;

// A set of spans of one trace.
struct Spanset {
    enum class Kind : uint8_t { kFilter, kRelation, kPipeline };

    Kind kind = Kind::kFilter;
    std::optional<Expression> filter;  // kFilter; absent: every span
    Relation relation = Relation::kAnd;
    RelationForm form = RelationForm::kPlain;
    std::vector<Spanset> operands;  // kRelation: two
    std::vector<Stage> pipeline;    // kPipeline: what stands in the parentheses
    size_t from = 0;
    size_t to = 0;
    size_t operator_from = 0;
    size_t operator_to = 0;
};
std::string relation_text(Relation relation, RelationForm form);

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

// One step of a pipeline.
struct Stage {
    enum class Kind : uint8_t { kSpanset, kFunction, kScalarFilter };

    Kind kind = Kind::kSpanset;
    Spanset spanset;
    FunctionKind function = FunctionKind::kAggregate;
    std::string name;                   // kFunction
    std::vector<Expression> arguments;  // kFunction
    std::optional<Spanset> selection;   // compare({...})
    std::vector<Expression> by;         // kMetric
    Operator op = Operator::kNone;      // kAggregate, kScalarFilter: its comparison
    std::optional<Expression> bound;    // what it is compared with
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
    std::vector<Stage> stages;
    std::vector<Hint> hints;
};

}  // namespace spanloom::traceql

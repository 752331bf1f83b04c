#include "traceql/planner.h"

#include <algorithm>
#include <utility>

namespace spanloom::traceql {
namespace {

using store::Comparison;
using store::Field;
using store::Intrinsic;
using store::Predicate;
using store::Scope;
using store::Value;
using store::ValueKind;

Predicate constant(Predicate::Kind kind) {
    Predicate predicate;
    predicate.kind = kind;
    return predicate;
}

Operator mirrored(Operator op) {
    switch (op) {
        case Operator::kGreater:
            return Operator::kLess;
        case Operator::kGreaterEqual:
            return Operator::kLessEqual;
        case Operator::kLess:
            return Operator::kGreater;
        case Operator::kLessEqual:
            return Operator::kGreaterEqual;
        default:
            return op;
    }
}

Comparison comparison_of(Operator op) {
    switch (op) {
        case Operator::kNotEqual:
            return Comparison::kNotEqual;
        case Operator::kGreater:
            return Comparison::kGreater;
        case Operator::kGreaterEqual:
            return Comparison::kGreaterEqual;
        case Operator::kLess:
            return Comparison::kLess;
        case Operator::kLessEqual:
            return Comparison::kLessEqual;
        case Operator::kMatch:
            return Comparison::kMatch;
        case Operator::kNotMatch:
            return Comparison::kNotMatch;
        default:
            return Comparison::kEqual;
    }
}

// Which way an approximation may err. Below a negation it turns round.
enum class Bound : uint8_t { kSuperset, kSubset };

class Pushdown {
  public:
    bool is_exact = true;

    Predicate predicate(const Expression& expression, Bound bound) {
        switch (expression.kind) {
            case Expression::Kind::kLiteral:
                return constant(expression.literal.kind == ValueKind::kBool &&
                                        expression.literal.integer != 0
                                    ? Predicate::Kind::kTrue
                                    : Predicate::Kind::kFalse);
            case Expression::Kind::kField:
                return boolean_field(expression.field, true, bound);
            case Expression::Kind::kUnary:
                return negation(expression.operands[0], bound);
            case Expression::Kind::kBinary:
                break;
        }
        if (is_comparison(expression.op)) return comparison(expression, bound);
        return joined(expression, bound);
    }

  private:
    Predicate unknown(Bound bound) {
        is_exact = false;
        return constant(bound == Bound::kSuperset ? Predicate::Kind::kTrue
                                                  : Predicate::Kind::kFalse);
    }

    Predicate boolean_field(const Field& field, bool wanted, Bound bound) {
        if (field.is_trace_level()) return unknown(bound);
        return Predicate::compare(field, Comparison::kEqual, Value::of_bool(wanted));
    }

    Predicate negation(const Expression& inner, Bound bound) {
        if (inner.kind == Expression::Kind::kField) return boolean_field(inner.field, false, bound);
        return Predicate::negation(
            predicate(inner, bound == Bound::kSuperset ? Bound::kSubset : Bound::kSuperset));
    }

    // A chain of one operator becomes one node: conditions on events must lie side by side.
    Predicate joined(const Expression& expression, Bound bound) {
        const bool is_and = expression.op == Operator::kAnd;
        std::vector<const Expression*> pending = {&expression};
        std::vector<Predicate> children;
        while (!pending.empty()) {
            const Expression* at = pending.back();
            pending.pop_back();
            if (at->kind == Expression::Kind::kBinary && at->op == expression.op) {
                pending.push_back(&at->operands[1]);
                pending.push_back(&at->operands[0]);
                continue;
            }
            Predicate child = predicate(*at, bound);
            const bool is_neutral =
                child.kind == (is_and ? Predicate::Kind::kTrue : Predicate::Kind::kFalse);
            if (!is_neutral) children.push_back(std::move(child));
        }
        if (children.empty())
            return constant(is_and ? Predicate::Kind::kTrue : Predicate::Kind::kFalse);
        if (children.size() == 1) return std::move(children[0]);
        return is_and ? Predicate::all_of(std::move(children))
                      : Predicate::any_of(std::move(children));
    }

    Predicate comparison(const Expression& expression, Bound bound) {
        const Expression* left = &expression.operands[0];
        const Expression* right = &expression.operands[1];
        Operator op = expression.op;
        if (left->kind == Expression::Kind::kLiteral && right->kind == Expression::Kind::kField) {
            std::swap(left, right);
            op = mirrored(op);
        }
        if (left->kind != Expression::Kind::kField || right->kind != Expression::Kind::kLiteral)
            return unknown(bound);
        const Field& field = left->field;
        if (field.is_trace_level()) return unknown(bound);
        if (right->literal.kind == ValueKind::kNil) {
            if (field.scope == Scope::kIntrinsic) return unknown(bound);
            Predicate presence = constant(op == Operator::kEqual ? Predicate::Kind::kAbsent
                                                                 : Predicate::Kind::kExists);
            presence.field = field;
            return presence;
        }
        return Predicate::compare(field, comparison_of(op), right->literal);
    }
};

bool is_shown(const Field& field) {
    if (field.scope != Scope::kIntrinsic) return true;
    switch (field.intrinsic) {
        case Intrinsic::kName:
        case Intrinsic::kDuration:
        case Intrinsic::kStart:
        case Intrinsic::kTraceId:
        case Intrinsic::kSpanId:
        case Intrinsic::kTraceDuration:
        case Intrinsic::kRootName:
        case Intrinsic::kRootService:
            return false;
        default:
            return true;
    }
}

void collect_fields(const Expression& expression, std::vector<Field>& fields) {
    if (expression.kind == Expression::Kind::kField && is_shown(expression.field) &&
        std::find(fields.begin(), fields.end(), expression.field) == fields.end())
        fields.push_back(expression.field);
    for (const Expression& operand : expression.operands)
        collect_fields(operand, fields);
}

Predicate plan_spanset(const Spanset& spanset, Plan& plan) {
    if (spanset.kind == Spanset::Kind::kFilter) {
        if (!spanset.filter) return Predicate::everything();
        collect_fields(*spanset.filter, plan.fields);
        Pushdown pushdown;
        Predicate predicate = pushdown.predicate(*spanset.filter, Bound::kSuperset);
        plan.is_exact = plan.is_exact && pushdown.is_exact;
        return predicate;
    }
    if (spanset.kind != Spanset::Kind::kRelation) {
        plan.is_exact = false;
        return Predicate::everything();
    }
    std::vector<Predicate> sides;
    for (const Spanset& operand : spanset.operands)
        sides.push_back(plan_spanset(operand, plan));
    // The spans of either side are what || answers.
    if (spanset.relation == Relation::kOr) return Predicate::any_of(std::move(sides));
    plan.is_exact = false;
    // Both sides must be there, so one is enough to find candidates.
    return std::move(sides[0].kind == Predicate::Kind::kTrue ? sides[1] : sides[0]);
}

}  // namespace

Plan make_plan(const Query& query) {
    Plan plan;
    plan.candidates = query.stages.empty() ? Predicate::everything()
                                           : plan_spanset(query.stages[0].spanset, plan);
    if (query.stages.size() > 1) plan.is_exact = false;
    return plan;
}

}  // namespace spanloom::traceql

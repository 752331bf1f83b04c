#include "traceql/planner.h"

#include <algorithm>
#include <utility>

#include "traceql/names.h"
#include "traceql/printer.h"

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

// `nestedSetParent < 0`: a root, as Grafana asks for it.
bool is_root_test(const Expression& expression) {
    const bool is_ordered = expression.op == Operator::kLess || expression.op == Operator::kGreater;
    if (expression.kind != Expression::Kind::kBinary || !is_ordered) return false;
    const bool is_less = expression.op == Operator::kLess;
    const Expression& field = expression.operands[is_less ? 0 : 1];
    const Expression& bound = expression.operands[is_less ? 1 : 0];
    return field.kind == Expression::Kind::kField && !field.is_parent &&
           field.field.intrinsic == Intrinsic::kNestedSetParent &&
           bound.kind == Expression::Kind::kLiteral && bound.literal == Value::of_int(0);
}

class Pushdown {
  public:
    bool is_exact = true;
    bool only_roots = false;

    // A whole filter: conditions on being a root are told apart where they stand beside others.
    Predicate filter(const Expression& expression) {
        if (expression.op == Operator::kAnd) return joined(expression, Bound::kSuperset, true);
        if (!is_root_test(expression)) return predicate(expression, Bound::kSuperset);
        only_roots = true;
        return constant(Predicate::Kind::kTrue);
    }

    Predicate predicate(const Expression& expression, Bound bound) {
        switch (expression.kind) {
            case Expression::Kind::kLiteral:
                return constant(expression.literal.kind == ValueKind::kBool &&
                                        expression.literal.integer != 0
                                    ? Predicate::Kind::kTrue
                                    : Predicate::Kind::kFalse);
            case Expression::Kind::kField:
                return boolean_field(expression, true, bound);
            case Expression::Kind::kUnary:
                if (expression.op != Operator::kNot) return unknown(bound);
                return negation(expression.operands[0], bound);
            case Expression::Kind::kAggregate:
            case Expression::Kind::kPipeline:
                return unknown(bound);
            case Expression::Kind::kBinary:
                break;
        }
        if (is_comparison(expression.op)) return comparison(expression, bound);
        if (is_arithmetic(expression.op)) return unknown(bound);
        return joined(expression, bound);
    }

  private:
    Predicate unknown(Bound bound) {
        is_exact = false;
        return constant(bound == Bound::kSuperset ? Predicate::Kind::kTrue
                                                  : Predicate::Kind::kFalse);
    }

    Predicate boolean_field(const Expression& expression, bool wanted, Bound bound) {
        const Field& field = expression.field;
        if (field.is_trace_level() || expression.is_parent) return unknown(bound);
        return Predicate::compare(field, Comparison::kEqual, Value::of_bool(wanted));
    }

    Predicate negation(const Expression& inner, Bound bound) {
        if (inner.kind == Expression::Kind::kField) return boolean_field(inner, false, bound);
        return Predicate::negation(
            predicate(inner, bound == Bound::kSuperset ? Bound::kSubset : Bound::kSuperset));
    }

    // A chain of one operator becomes one node: conditions on events must lie side by side.
    Predicate joined(const Expression& expression, Bound bound, bool is_filter = false) {
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
            if (is_filter && is_root_test(*at)) {
                only_roots = true;
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
        if (field.is_trace_level() || left->is_parent) return unknown(bound);
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
    if (expression.kind == Expression::Kind::kField && !expression.is_parent &&
        is_shown(expression.field) &&
        std::find(fields.begin(), fields.end(), expression.field) == fields.end())
        fields.push_back(expression.field);
    for (const Expression& operand : expression.operands)
        collect_fields(operand, fields);
}

// How few spans are likely to satisfy it; the lower the fewer.
int selectivity(const Predicate& predicate) {
    constexpr int kEverything = 100;
    switch (predicate.kind) {
        case Predicate::Kind::kFalse:
            return 0;
        case Predicate::Kind::kAnd: {
            int least = kEverything;
            for (const Predicate& child : predicate.children)
                least = std::min(least, selectivity(child));
            return least;
        }
        case Predicate::Kind::kOr: {
            int most = 0;
            for (const Predicate& child : predicate.children)
                most = std::max(most, selectivity(child));
            return most;
        }
        case Predicate::Kind::kExists:
            return 60;
        case Predicate::Kind::kCompare:
            break;
        default:
            return kEverything;
    }
    if (predicate.comparison != Comparison::kEqual) return 50;
    if (predicate.value.kind == ValueKind::kStatus)
        return predicate.value.integer == static_cast<int64_t>(otlp::StatusCode::kError) ? 25 : 90;
    const bool is_id = predicate.field.intrinsic == Intrinsic::kTraceId ||
                       predicate.field.intrinsic == Intrinsic::kSpanId;
    if (is_id) return 1;
    return predicate.field.scope == Scope::kResource ? 40 : 30;
}

// Conditions on events (or links) that lie in one kAnd speak of one event; those of two filters do
// not.
bool names_children(const Predicate& predicate) {
    const Field& field = predicate.field;
    if (field.scope == Scope::kEvent || field.scope == Scope::kLink) return true;
    if (field.intrinsic >= Intrinsic::kEventName && field.intrinsic <= Intrinsic::kLinkSpanId)
        return true;
    return std::any_of(predicate.children.begin(), predicate.children.end(), names_children);
}

class Planner {
  public:
    Plan run(const std::vector<Stage>& stages) {
        plan_.candidates = Predicate::everything();
        bool chooses = true;  // later filters still speak of single spans
        for (size_t i = 0; i < stages.size(); ++i) {
            const Stage& stage = stages[i];
            collect(stage);
            if (stage.kind == Stage::Kind::kSpanset) {
                Predicate predicate = spanset(stage.spanset);
                if (i == 0) {
                    plan_.candidates = std::move(predicate);
                } else if (chooses) {
                    add(std::move(predicate));
                }
            } else if (stage.kind == Stage::Kind::kAggregates) {
                plan_.is_exact = false;
                plan_.spans_min = std::max(plan_.spans_min, spans_min(*stage.condition));
                subqueries(*stage.condition);
                chooses = false;
            } else if (stage.function == FunctionKind::kBy ||
                       stage.function == FunctionKind::kCoalesce) {
                plan_.is_exact = false;
            }
        }
        return std::move(plan_);
    }

  private:
    // A further filter. Its spans are among those of the filters before.
    void add(Predicate predicate) {
        if (predicate.kind == Predicate::Kind::kTrue) return;
        if (!plan_.is_exact) {
            if (selectivity(predicate) < selectivity(plan_.candidates))
                plan_.candidates = std::move(predicate);
            return;
        }
        if (names_children(predicate) && names_children(plan_.candidates)) {
            plan_.is_exact = false;
            return;
        }
        if (plan_.candidates.kind == Predicate::Kind::kTrue) {
            plan_.candidates = std::move(predicate);
            return;
        }
        std::vector<Predicate> both;
        both.push_back(std::move(plan_.candidates));
        both.push_back(std::move(predicate));
        plan_.candidates = Predicate::all_of(std::move(both));
    }

    // `count() > 3`: no set of spans is larger than its trace.
    static uint32_t spans_min(const Expression& condition) {
        const Expression* count = &condition.operands[0];
        const Expression* bound = &condition.operands[1];
        Operator op = condition.op;
        if (count->kind == Expression::Kind::kLiteral) {
            std::swap(count, bound);
            op = mirrored(op);
        }
        const bool is_count =
            count->kind == Expression::Kind::kAggregate && count->aggregate == Aggregate::kCount &&
            bound->kind == Expression::Kind::kLiteral && bound->literal.kind == ValueKind::kInt;
        const bool is_lower =
            op == Operator::kGreater || op == Operator::kGreaterEqual || op == Operator::kEqual;
        if (!is_count || !is_lower) return 0;
        const int64_t least = std::clamp<int64_t>(bound->literal.integer, 0, INT32_MAX);
        return static_cast<uint32_t>(op == Operator::kGreater ? least + 1 : least);
    }

    // Conditions of what stands inside, whatever it is good for.
    void subqueries(const Expression& expression) {
        for (const Stage& stage : expression.pipeline) {
            collect(stage);
            if (stage.kind == Stage::Kind::kSpanset) spanset(stage.spanset);
            if (stage.condition) subqueries(*stage.condition);
        }
        for (const Expression& operand : expression.operands)
            subqueries(operand);
    }

    void collect(const Stage& stage) {
        for (const Expression& argument : stage.arguments)
            collect_fields(argument, plan_.fields);
        if (stage.condition) collect_fields(*stage.condition, plan_.fields);
    }

    Predicate spanset(const Spanset& set) {
        switch (set.kind) {
            case Spanset::Kind::kFilter:
                return set.filter ? filter(*set.filter) : Predicate::everything();
            case Spanset::Kind::kPipeline:
                return pipeline(set.pipeline);
            case Spanset::Kind::kRelation:
                break;
        }
        Predicate left = spanset(set.operands[0]);
        Predicate right = spanset(set.operands[1]);
        if (set.relation == Relation::kOr) {
            std::vector<Predicate> sides;
            sides.push_back(std::move(left));
            sides.push_back(std::move(right));
            return Predicate::any_of(std::move(sides));
        }
        plan_.is_exact = false;
        // Of a negated relation only the right side must be there; else both, so that one is
        // enough to find candidates.
        if (set.relation != Relation::kAnd && set.form == RelationForm::kNegated) return right;
        return selectivity(left) < selectivity(right) ? left : right;
    }

    // The spans of a pipeline in parentheses are among those of its first filter.
    Predicate pipeline(const std::vector<Stage>& stages) {
        plan_.is_exact = false;
        Predicate first = Predicate::everything();
        for (size_t i = 0; i < stages.size(); ++i) {
            collect(stages[i]);
            if (stages[i].condition) subqueries(*stages[i].condition);
            if (stages[i].kind != Stage::Kind::kSpanset) continue;
            Predicate predicate = spanset(stages[i].spanset);
            if (i == 0) first = std::move(predicate);
        }
        return first;
    }

    Predicate filter(const Expression& expression) {
        collect_fields(expression, plan_.fields);
        Pushdown pushdown;
        Predicate predicate = pushdown.filter(expression);
        plan_.is_exact = plan_.is_exact && pushdown.is_exact && !pushdown.only_roots;
        if (pushdown.is_exact || pushdown.only_roots || predicate.kind != Predicate::Kind::kTrue)
            plan_.conditions.push_back(
                {&expression, predicate, pushdown.only_roots, pushdown.is_exact});
        return predicate;
    }

    Plan plan_;
};

std::string_view comparison_text(Comparison comparison) {
    constexpr std::string_view kTexts[] = {"=",  "!=", ">",  ">=", "<",
                                           "<=", "=~", "!~", "~=", "contains"};
    return kTexts[static_cast<size_t>(comparison)];
}

}  // namespace

Plan make_plan(const std::vector<Stage>& stages) {
    return Planner().run(stages);
}

Plan make_plan(const Query& query) {
    return make_plan(query.stages);
}

std::string predicate_text(const Predicate& predicate) {
    using Kind = Predicate::Kind;
    switch (predicate.kind) {
        case Kind::kTrue:
            return "true";
        case Kind::kFalse:
            return "false";
        case Kind::kNot:
            return "!(" + predicate_text(predicate.children[0]) + ")";
        case Kind::kExists:
            return field_text(predicate.field) + " exists";
        case Kind::kAbsent:
            return field_text(predicate.field) + " absent";
        case Kind::kCompare:
            return field_text(predicate.field) + " " +
                   std::string(comparison_text(predicate.comparison)) + " " +
                   print(predicate.value);
        default:
            break;
    }
    std::string out = "(";
    for (size_t i = 0; i < predicate.children.size(); ++i) {
        if (i != 0) out += predicate.kind == Kind::kAnd ? " && " : " || ";
        out += predicate_text(predicate.children[i]);
    }
    return out + ")";
}

}  // namespace spanloom::traceql

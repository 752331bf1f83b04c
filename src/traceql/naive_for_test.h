#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "traceql/ast.h"

// The language by its definition, span by span and pair by pair, sharing nothing with the program's
// own evaluation: what random queries are held against.
namespace spanloom::traceql::naive {

using store::Intrinsic;
using store::Scope;
using store::Value;
using store::ValueKind;

struct Child {
    std::string name;
    std::map<std::string, Value> attributes;
};

struct Span {
    std::string name;
    std::string service;
    int parent = -1;  // index in the trace; -1: a root, -2: not received
    int64_t start_ms = 0;
    int64_t duration_ns = 0;
    int status = 0;
    int kind = 0;
    std::map<std::string, Value> attributes;
    std::vector<Child> events;
};

using Trace = std::vector<Span>;
using Set = std::set<int>;

class Evaluation {
  public:
    explicit Evaluation(const Trace& trace) : trace_(trace) {}

    std::vector<Set> run(const std::vector<Stage>& stages, const Set& all) const {
        std::vector<Set> sets = {all};
        for (const Stage& stage : stages) {
            std::vector<Set> next;
            for (const Set& set : sets) {
                if (stage.kind == Stage::Kind::kSpanset) {
                    next.push_back(spanset(stage.spanset, set));
                } else if (stage.kind == Stage::Kind::kAggregates) {
                    if (compare(stage.condition->op, number(stage.condition->operands[0], set),
                                number(stage.condition->operands[1], set)))
                        next.push_back(set);
                } else if (stage.name == "by") {
                    std::vector<std::pair<Value, Set>> groups;
                    for (const int span : set) {
                        const Value value = value_of(stage.arguments[0], span, -1);
                        auto at = std::find_if(groups.begin(), groups.end(),
                                               [&](const auto& g) { return g.first == value; });
                        if (at == groups.end()) at = groups.insert(at, {value, {}});
                        at->second.insert(span);
                    }
                    for (const auto& [value, group] : groups)
                        next.push_back(group);
                } else if (stage.name == "coalesce") {
                    if (next.empty()) next.emplace_back();
                    next[0].insert(set.begin(), set.end());
                } else {
                    next.push_back(set);
                }
            }
            std::erase_if(next, [](const Set& set) { return set.empty(); });
            sets = next;
        }
        std::erase_if(sets, [](const Set& set) { return set.empty(); });
        return sets;
    }

    Set all() const {
        Set set;
        for (size_t i = 0; i < trace_.size(); ++i)
            set.insert(static_cast<int>(i));
        return set;
    }

  private:
    Set flat(const std::vector<Set>& sets) const {
        Set out;
        for (const Set& set : sets)
            out.insert(set.begin(), set.end());
        return out;
    }

    Set spanset(const Spanset& set, const Set& universe) const {
        if (set.kind == Spanset::Kind::kPipeline) return flat(run(set.pipeline, universe));
        if (set.kind == Spanset::Kind::kFilter) {
            Set out;
            for (const int span : universe) {
                if (!set.filter || is_true(*set.filter, span)) out.insert(span);
            }
            return out;
        }
        const Set a = spanset(set.operands[0], universe);
        const Set b = spanset(set.operands[1], universe);
        Set both = a;
        both.insert(b.begin(), b.end());
        if (set.relation == Relation::kOr) return both;
        if (set.relation == Relation::kAnd) return a.empty() || b.empty() ? Set() : both;
        Set out;
        for (const int right : b) {
            bool holds = false;
            for (const int left : a) {
                if (!related(set.relation, set.hops_max, left, right)) continue;
                holds = true;
                if (set.form == RelationForm::kUnion) out.insert(left);
            }
            if (holds != (set.form == RelationForm::kNegated)) out.insert(right);
        }
        return out;
    }

    // How many levels `below` lies under `above`; 0: it does not.
    uint32_t levels(int above, int below) const {
        uint32_t count = 0;
        for (int at = trace_[static_cast<size_t>(below)].parent; at >= 0;
             at = trace_[static_cast<size_t>(at)].parent) {
            ++count;
            if (at == above) return count;
        }
        return 0;
    }

    bool related(Relation relation, uint32_t hops_max, int left, int right) const {
        const auto parent = [&](int span) { return trace_[static_cast<size_t>(span)].parent; };
        const uint32_t most = hops_max == 0 ? UINT32_MAX : hops_max;
        switch (relation) {
            case Relation::kChild:
                return parent(right) == left;
            case Relation::kParent:
                return parent(left) == right;
            case Relation::kDescendant:
                return levels(left, right) != 0 && levels(left, right) <= most;
            case Relation::kAncestor:
                return levels(right, left) != 0 && levels(right, left) <= most;
            default:
                return left != right && parent(left) >= 0 && parent(left) == parent(right);
        }
    }

    Value number(const Expression& expression, const Set& set) const {
        if (expression.kind == Expression::Kind::kLiteral) return expression.literal;
        if (expression.aggregate == Aggregate::kCount)
            return Value::of_int(static_cast<int64_t>(set.size()));
        std::vector<double> values;
        for (const int span : set) {
            const Value value = value_of(expression.operands[0], span, -1);
            if (value.is_number()) values.push_back(value.as_number());
        }
        if (values.empty()) return Value::nil();
        double sum = 0;
        for (const double value : values)
            sum += value;
        switch (expression.aggregate) {
            case Aggregate::kMin:
                return Value::of_double(*std::min_element(values.begin(), values.end()));
            case Aggregate::kMax:
                return Value::of_double(*std::max_element(values.begin(), values.end()));
            case Aggregate::kSum:
                return Value::of_double(sum);
            default:
                return Value::of_double(sum / static_cast<double>(values.size()));
        }
    }

    static bool names_event(const Expression& expression) {
        if (expression.kind == Expression::Kind::kField)
            return expression.field.scope == Scope::kEvent ||
                   expression.field.intrinsic == Intrinsic::kEventName;
        return std::any_of(expression.operands.begin(), expression.operands.end(), names_event);
    }

    static bool is_nil(const Expression& expression) {
        return expression.kind == Expression::Kind::kLiteral &&
               expression.literal.kind == ValueKind::kNil;
    }

    void conjuncts(const Expression& expression, std::vector<const Expression*>& out) const {
        if (expression.op == Operator::kAnd) {
            conjuncts(expression.operands[0], out);
            conjuncts(expression.operands[1], out);
        } else {
            out.push_back(&expression);
        }
    }

    bool is_true(const Expression& expression, int span) const {
        if (expression.op == Operator::kNot) return !is_true(expression.operands[0], span);
        if (expression.op == Operator::kOr)
            return is_true(expression.operands[0], span) || is_true(expression.operands[1], span);
        if (expression.kind == Expression::Kind::kLiteral) return expression.literal.integer != 0;
        std::vector<const Expression*> parts;
        conjuncts(expression, parts);
        std::vector<const Expression*> of_one_event;
        for (const Expression* part : parts) {
            const bool is_absence = is_comparison(part->op) && part->op == Operator::kEqual &&
                                    (is_nil(part->operands[0]) || is_nil(part->operands[1]));
            if (is_comparison(part->op) && names_event(*part) && !is_absence) {
                of_one_event.push_back(part);
            } else if (part->op == Operator::kAnd || !is_comparison(part->op)) {
                if (!is_true(*part, span)) return false;
            } else if (!holds_somewhere(*part, span)) {
                return false;
            }
        }
        if (of_one_event.empty()) return true;
        const auto& events = trace_[static_cast<size_t>(span)].events;
        for (int event = 0; event < static_cast<int>(events.size()); ++event) {
            if (std::all_of(of_one_event.begin(), of_one_event.end(),
                            [&](const Expression* part) { return holds(*part, span, event); }))
                return true;
        }
        return false;
    }

    // Where neither the span nor its resource has `.x`, one of the events must satisfy it.
    bool holds_somewhere(const Expression& comparison, int index) const {
        const Expression& left = comparison.operands[0];
        const Expression& right = comparison.operands[1];
        const bool is_unscoped = left.kind == Expression::Kind::kField && !left.is_parent &&
                                 left.field.scope == Scope::kAny &&
                                 right.kind == Expression::Kind::kLiteral && !is_nil(right);
        const Span& span = trace_[static_cast<size_t>(index)];
        if (!is_unscoped || span.attributes.contains(left.field.key) ||
            left.field.key == "service.name")
            return holds(comparison, index, -1);
        Expression of_event = comparison;
        of_event.operands[0].field.scope = Scope::kEvent;
        for (int event = 0; event < static_cast<int>(span.events.size()); ++event) {
            if (holds(of_event, index, event)) return true;
        }
        return false;
    }

    bool holds(const Expression& comparison, int span, int event) const {
        const Value a = value_of(comparison.operands[0], span, event);
        const Value b = value_of(comparison.operands[1], span, event);
        if (is_nil(comparison.operands[0]) || is_nil(comparison.operands[1])) {
            const bool is_absent = (is_nil(comparison.operands[0]) ? b : a).kind == ValueKind::kNil;
            return is_absent == (comparison.op == Operator::kEqual);
        }
        return compare(comparison.op, a, b);
    }

    static bool compare(Operator op, const Value& a, const Value& b) {
        int order = 0;
        if (a.is_number() && b.is_number()) {
            order = a.as_number() < b.as_number() ? -1 : a.as_number() > b.as_number() ? 1 : 0;
        } else if (a.kind != b.kind || a.kind == ValueKind::kNil) {
            return false;
        } else if (a.kind == ValueKind::kString) {
            // The patterns of these tests are plain words.
            if (op == Operator::kMatch) return a.text == b.text;
            if (op == Operator::kNotMatch) return a.text != b.text;
            order = a.text.compare(b.text);
        } else {
            order = a.integer == b.integer ? 0 : 1;
            if (op != Operator::kEqual && op != Operator::kNotEqual) return false;
        }
        switch (op) {
            case Operator::kEqual:
                return order == 0;
            case Operator::kNotEqual:
                return order != 0;
            case Operator::kLess:
                return order < 0;
            case Operator::kLessEqual:
                return order <= 0;
            case Operator::kGreater:
                return order > 0;
            case Operator::kGreaterEqual:
                return order >= 0;
            default:
                return false;
        }
    }

    static Value find(const std::map<std::string, Value>& attributes, const std::string& key) {
        const auto found = attributes.find(key);
        return found == attributes.end() ? Value::nil() : found->second;
    }

    Value value_of(const Expression& expression, int index, int event) const {
        if (expression.kind == Expression::Kind::kLiteral) return expression.literal;
        if (expression.kind == Expression::Kind::kField) {
            int at = index;
            if (expression.is_parent) at = trace_[static_cast<size_t>(index)].parent;
            if (at < 0) return Value::nil();
            return field(expression.field, at, expression.is_parent ? -1 : event);
        }
        if (!is_arithmetic(expression.op)) return Value::of_bool(is_true(expression, index));
        const Value a = value_of(expression.operands[0], index, event);
        const Value b = value_of(expression.operands[1], index, event);
        if (!a.is_number() || !b.is_number()) return Value::nil();
        const double x = a.as_number();
        const double y = b.as_number();
        if (expression.op == Operator::kAdd) return Value::of_double(x + y);
        if (expression.op == Operator::kSubtract) return Value::of_double(x - y);
        return Value::of_double(x * y);
    }

    Value field(const store::Field& field, int index, int event) const {
        const Span& span = trace_[static_cast<size_t>(index)];
        switch (field.scope) {
            case Scope::kSpan:
                return find(span.attributes, field.key);
            case Scope::kResource:
                return field.key == "service.name" && !span.service.empty()
                           ? Value::of_string(span.service)
                           : Value::nil();
            case Scope::kEvent:
                if (event >= 0)
                    return find(span.events[static_cast<size_t>(event)].attributes, field.key);
                for (const Child& child : span.events) {
                    Value value = find(child.attributes, field.key);
                    if (value.kind != ValueKind::kNil) return value;
                }
                return Value::nil();
            case Scope::kAny: {
                Value value = find(span.attributes, field.key);
                if (value.kind != ValueKind::kNil) return value;
                if (field.key == "service.name" && !span.service.empty())
                    return Value::of_string(span.service);
                return this->field({Scope::kEvent, Intrinsic::kNone, field.key}, index, -1);
            }
            default:
                break;
        }
        switch (field.intrinsic) {
            case Intrinsic::kName:
                return Value::of_string(span.name);
            case Intrinsic::kDuration:
                return Value::of_duration(span.duration_ns);
            case Intrinsic::kStatus:
                return Value::of_status(static_cast<otlp::StatusCode>(span.status));
            case Intrinsic::kKind:
                return Value::of_kind(static_cast<otlp::SpanKind>(span.kind));
            case Intrinsic::kEventName:
                if (event >= 0)
                    return Value::of_string(span.events[static_cast<size_t>(event)].name);
                return span.events.empty() ? Value::nil() : Value::of_string(span.events[0].name);
            case Intrinsic::kChildCount: {
                int64_t children = 0;
                for (const Span& other : trace_)
                    children += other.parent == index ? 1 : 0;
                return Value::of_int(children);
            }
            case Intrinsic::kRootName: {
                const Span* root = nullptr;
                for (const Span& other : trace_) {
                    if (other.parent == -1 && (root == nullptr || other.start_ms < root->start_ms))
                        root = &other;
                }
                return root == nullptr ? Value::nil() : Value::of_string(root->name);
            }
            default:
                return Value::nil();
        }
    }

    const Trace& trace_;
};

}  // namespace spanloom::traceql::naive

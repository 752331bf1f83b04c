#include "traceql/conditions.h"

#include <algorithm>

#include <re2/re2.h>

#include "store/values.h"
#include "traceql/arithmetic.h"
#include "traceql/checker.h"

namespace spanloom::traceql {
namespace {

using store::Field;
using store::Intrinsic;
using store::Scope;
using store::Table;
using store::Value;
using store::ValueKind;

bool is_event_field(const Field& field) {
    return field.scope == Scope::kEvent || (field.scope == Scope::kIntrinsic &&
                                            (field.intrinsic == Intrinsic::kEventName ||
                                             field.intrinsic == Intrinsic::kEventTimeSinceStart));
}

bool is_link_field(const Field& field) {
    return field.scope == Scope::kLink ||
           (field.scope == Scope::kIntrinsic && (field.intrinsic == Intrinsic::kLinkTraceId ||
                                                 field.intrinsic == Intrinsic::kLinkSpanId));
}

// Whose condition it is: the span's, or one of its events' or links'.
Table subject_of(const Expression& expression) {
    if (expression.kind == Expression::Kind::kField) {
        if (expression.is_parent) return Table::kSpans;
        if (is_event_field(expression.field)) return Table::kEvents;
        return is_link_field(expression.field) ? Table::kLinks : Table::kSpans;
    }
    for (const Expression& operand : expression.operands) {
        if (const Table subject = subject_of(operand); subject != Table::kSpans) return subject;
    }
    return Table::kSpans;
}

bool is_nil(const Expression& expression) {
    return expression.kind == Expression::Kind::kLiteral &&
           expression.literal.kind == ValueKind::kNil;
}

bool is_absence_test(const Expression& expression) {
    return expression.op == Operator::kEqual &&
           (is_nil(expression.operands[0]) || is_nil(expression.operands[1]));
}

// What is true or false by itself.
bool is_leaf(const Expression& expression) {
    return is_comparison(expression.op) || expression.kind == Expression::Kind::kField ||
           (expression.op == Operator::kNot &&
            expression.operands[0].kind == Expression::Kind::kField);
}

// The `.x` of a leaf that compares nothing else, as columns can test it.
const Expression* unscoped_field(const Expression& leaf) {
    const Expression* field = nullptr;
    if (leaf.kind == Expression::Kind::kField) {
        field = &leaf;
    } else if (leaf.operands.size() == 1) {
        field = &leaf.operands[0];
    } else {
        const bool is_left = leaf.operands[0].kind == Expression::Kind::kField;
        const Expression& other = leaf.operands[is_left ? 1 : 0];
        if (other.kind != Expression::Kind::kLiteral || is_nil(other)) return nullptr;
        field = &leaf.operands[is_left ? 0 : 1];
    }
    const bool is_unscoped = field->kind == Expression::Kind::kField && !field->is_parent &&
                             field->field.scope == Scope::kAny;
    return is_unscoped ? field : nullptr;
}

Expression with_scope(Expression leaf, Scope scope) {
    if (leaf.kind == Expression::Kind::kField) leaf.field.scope = scope;
    for (Expression& operand : leaf.operands) {
        if (operand.kind == Expression::Kind::kField) operand.field.scope = scope;
    }
    return leaf;
}

bool is_array(const Value& value) {
    return value.kind == ValueKind::kOther &&
           otlp::ValueView::parse(value.text).type == otlp::ValueType::kArray;
}

}  // namespace

// Numbers of the whole trace that single spans do not carry.
struct Conditions::Figures {
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    int32_t root = -1;
    bool has_tree = false;
    std::vector<int64_t> child_count;
    std::vector<int64_t> left;
    std::vector<int64_t> right;

    void of_times(TraceRows& rows) {
        has_tree = false;
        root = -1;
        start_ns = rows.size() == 0 ? 0 : UINT64_MAX;
        end_ns = 0;
        const std::span<const int32_t> parents = rows.parents();
        for (uint32_t row = 0; row < rows.size(); ++row) {
            start_ns = std::min(start_ns, rows.start_ns(row));
            end_ns = std::max({end_ns, rows.start_ns(row), rows.end_ns(row)});
            const auto before = [&](uint32_t a, uint32_t b) {
                return std::pair(rows.start_ns(a), rows.span_id(a)) <
                       std::pair(rows.start_ns(b), rows.span_id(b));
            };
            if (parents[row] == kRoot && (root < 0 || before(row, static_cast<uint32_t>(root))))
                root = static_cast<int32_t>(row);
        }
    }

    void of_tree(TraceRows& rows) {
        if (has_tree) return;
        has_tree = true;
        const std::span<const int32_t> parents = rows.parents();
        const size_t count = parents.size();
        child_count.assign(count, 0);
        left.assign(count, 0);
        right.assign(count, 0);
        std::vector<uint64_t> starts(count);
        for (uint32_t row = 0; row < count; ++row) {
            starts[row] = rows.start_ns(row);
            if (parents[row] >= 0) ++child_count[parents[row]];
        }
        // A row closes when the next one in pre-order is not below it.
        std::vector<int32_t> open;
        int64_t next = 1;
        for (const uint32_t row : preorder_of(parents, starts)) {
            while (!open.empty() && open.back() != parents[row]) {
                right[open.back()] = next++;
                open.pop_back();
            }
            left[row] = next++;
            open.push_back(static_cast<int32_t>(row));
        }
        while (!open.empty()) {
            right[open.back()] = next++;
            open.pop_back();
        }
    }
};

Conditions::Conditions() : figures_(std::make_unique<Figures>()) {}
Conditions::~Conditions() = default;

void Conditions::use(TraceRows& rows) {
    rows_ = &rows;
    has_figures_ = false;
}

Conditions::Figures& Conditions::figures() {
    if (!has_figures_) figures_->of_times(*rows_);
    has_figures_ = true;
    return *figures_;
}

uint64_t Conditions::trace_start_ns() {
    return figures().start_ns;
}
uint64_t Conditions::trace_end_ns() {
    return figures().end_ns;
}
int32_t Conditions::root() {
    return figures().root;
}

bool Conditions::holds(const Expression& expression, uint32_t row) {
    return is_true(expression, {row});
}

Value Conditions::value(const Expression& expression, uint32_t row) {
    return evaluate(expression, {row});
}

Value Conditions::field(const Field& field, const Place& place) {
    if (field.is_trace_level()) return trace_intrinsic(field.intrinsic, place.row);
    return rows_->value(field, place);
}

Value Conditions::trace_intrinsic(Intrinsic which, uint32_t row) {
    Figures& all = figures();
    if (which == Intrinsic::kTraceDuration)
        return Value::of_duration(static_cast<int64_t>(all.end_ns - all.start_ns));
    if (which == Intrinsic::kRootName || which == Intrinsic::kRootService) {
        if (all.root < 0) return Value::nil();
        const Place root{static_cast<uint32_t>(all.root)};
        if (which == Intrinsic::kRootName)
            return rows_->value({Scope::kIntrinsic, Intrinsic::kName, ""}, root);
        Value service = rows_->value({Scope::kResource, Intrinsic::kNone, "service.name"}, root);
        return service.kind == ValueKind::kString ? service : Value::of_string("");
    }
    all.of_tree(*rows_);
    switch (which) {
        case Intrinsic::kChildCount:
            return Value::of_int(all.child_count[row]);
        case Intrinsic::kNestedSetLeft:
            return Value::of_int(all.left[row]);
        case Intrinsic::kNestedSetRight:
            return Value::of_int(all.right[row]);
        case Intrinsic::kNestedSetParent: {
            const int32_t parent = rows_->parents()[row];
            return Value::of_int(parent < 0 ? -1 : all.left[parent]);
        }
        default:
            return Value::nil();
    }
}

bool Conditions::is_true(const Expression& expression, const Place& place) {
    if (expression.kind == Expression::Kind::kBinary) {
        if (expression.op == Operator::kAnd) return conjunction(expression, place);
        if (expression.op == Operator::kOr)
            return is_true(expression.operands[0], place) || is_true(expression.operands[1], place);
    }
    if (is_leaf(expression)) return leaf(expression, place);
    const Value value = evaluate(expression, place);
    return value.kind == ValueKind::kBool && value.integer != 0;
}

// Conditions on events that stand side by side speak of one event; the same for links.
bool Conditions::conjunction(const Expression& expression, const Place& place) {
    std::vector<const Expression*> pending = {&expression};
    std::vector<const Expression*> on_event;
    std::vector<const Expression*> on_link;
    while (!pending.empty()) {
        const Expression* at = pending.back();
        pending.pop_back();
        if (at->op == Operator::kAnd) {
            pending.push_back(&at->operands[1]);
            pending.push_back(&at->operands[0]);
            continue;
        }
        const bool has_subject = is_leaf(*at) && !is_absence_test(*at);
        const Table subject = has_subject ? subject_of(*at) : Table::kSpans;
        if (subject == Table::kEvents) {
            on_event.push_back(at);
        } else if (subject == Table::kLinks) {
            on_link.push_back(at);
        } else if (!is_true(*at, place)) {
            return false;
        }
    }
    return (on_event.empty() || some_child(on_event, place, Table::kEvents)) &&
           (on_link.empty() || some_child(on_link, place, Table::kLinks));
}

bool Conditions::some_child(const std::vector<const Expression*>& conditions, const Place& place,
                            Table table) {
    const uint32_t count = rows_->children(table, place.row);
    for (uint32_t child = 0; child < count; ++child) {
        Place there = place;
        (table == Table::kEvents ? there.event : there.link) = child;
        if (std::all_of(conditions.begin(), conditions.end(),
                        [&](const Expression* one) { return plain_leaf(*one, there); }))
            return true;
    }
    return false;
}

bool Conditions::leaf(const Expression& expression, const Place& place) {
    if (is_absence_test(expression)) return plain_comparison(expression, place);
    const Table subject = subject_of(expression);
    if (subject != Table::kSpans) return some_child({&expression}, place, subject);
    const Expression* unscoped = unscoped_field(expression);
    const bool has_children =
        unscoped != nullptr && (rows_->children(Table::kEvents, place.row) > 0 ||
                                rows_->children(Table::kLinks, place.row) > 0);
    return has_children ? unscoped_leaf(expression, unscoped->field, place)
                        : plain_leaf(expression, place);
}

// Where `.x` is of events (or links), one of them must satisfy the condition, as with `event.x`.
bool Conditions::unscoped_leaf(const Expression& expression, const Field& field,
                               const Place& place) {
    for (const Scope scope : {Scope::kSpan, Scope::kResource, Scope::kEvent, Scope::kLink}) {
        const Field scoped{scope, Intrinsic::kNone, field.key};
        if (rows_->value(scoped, {place.row}).kind == ValueKind::kNil) continue;
        if (scope == Scope::kSpan || scope == Scope::kResource) break;
        const auto key = std::pair(&expression, scope);
        auto known = of_scope_.find(key);
        if (known == of_scope_.end())
            known = of_scope_.emplace(key, with_scope(expression, scope)).first;
        return some_child({&known->second}, place,
                          scope == Scope::kEvent ? Table::kEvents : Table::kLinks);
    }
    return plain_leaf(expression, place);
}

// A field alone is asked to be true, behind ! to be false.
bool Conditions::plain_leaf(const Expression& expression, const Place& place) {
    if (is_comparison(expression.op)) return plain_comparison(expression, place);
    const bool wanted = expression.kind == Expression::Kind::kField;
    const Value value = evaluate(wanted ? expression : expression.operands[0], place);
    if (!is_array(value)) return value == Value::of_bool(wanted);
    const otlp::ValueView view = otlp::ValueView::parse(value.text);
    for (const otlp::ValueView& element : otlp::Repeated<otlp::ValueView>(view.bytes, 1)) {
        if (store::value_of(element) == Value::of_bool(wanted)) return true;
    }
    return false;
}

bool Conditions::plain_comparison(const Expression& expression, const Place& place) {
    const Expression& left = expression.operands[0];
    const Expression& right = expression.operands[1];
    if (is_nil(left) && is_nil(right)) return false;
    const Value a = evaluate(left, place);
    const Value b = evaluate(right, place);
    if (is_nil(left) || is_nil(right)) {
        const bool is_absent = (is_nil(left) ? b : a).kind == ValueKind::kNil;
        return is_absent == (expression.op == Operator::kEqual);
    }
    return compare(expression, a, b);
}

// Arrays satisfy = and =~ where an element does, != and !~ where none does although some are of
// the type compared.
bool Conditions::compare(const Expression& expression, const Value& a, const Value& b) {
    const bool a_is_array = is_array(a);
    if (!a_is_array && !is_array(b)) return compare_scalars(expression.op, expression, a, b);
    const Operator op = expression.op;
    const bool is_negative = op == Operator::kNotEqual || op == Operator::kNotMatch;
    if (op != Operator::kEqual && op != Operator::kMatch && !is_negative) return false;
    const otlp::ValueView view = otlp::ValueView::parse(a_is_array ? a.text : b.text);
    bool found = false;
    bool is_all = true;
    for (const otlp::ValueView& element : otlp::Repeated<otlp::ValueView>(view.bytes, 1)) {
        const Value value = store::value_of(element);
        const bool holds = a_is_array ? compare_scalars(op, expression, value, b)
                                      : compare_scalars(op, expression, a, value);
        found = found || holds;
        // An element of another type neither equals nor differs.
        Operator positive = op == Operator::kNotEqual ? Operator::kEqual : Operator::kMatch;
        if (is_negative && (a_is_array ? compare_scalars(positive, expression, value, b)
                                       : compare_scalars(positive, expression, a, value)))
            is_all = false;
    }
    return is_negative ? found && is_all : found;
}

bool Conditions::compare_scalars(Operator op, const Expression& expression, const Value& a,
                                 const Value& b) {
    if (op != Operator::kMatch && op != Operator::kNotMatch) return compare_values(op, a, b);
    if (a.kind != ValueKind::kString || b.kind != ValueKind::kString) return false;
    return RE2::FullMatch(a.text, regex(expression.operands[1])) == (op == Operator::kMatch);
}

const RE2& Conditions::regex(const Expression& pattern) {
    std::unique_ptr<RE2>& compiled = regexes_[&pattern];
    if (!compiled) {
        RE2::Options options;
        options.set_log_errors(false);
        options.set_max_mem(kRegexBytesMax);
        options.set_dot_nl(true);
        compiled = std::make_unique<RE2>(pattern.literal.text, options);
    }
    return *compiled;
}

Value Conditions::evaluate(const Expression& expression, const Place& place) {
    switch (expression.kind) {
        case Expression::Kind::kLiteral:
            return expression.literal;
        case Expression::Kind::kField: {
            if (!expression.is_parent) return field(expression.field, place);
            const int32_t parent = rows_->parents()[place.row];
            if (parent < 0) return Value::nil();
            return field(expression.field, {static_cast<uint32_t>(parent)});
        }
        case Expression::Kind::kUnary: {
            const Expression& inner = expression.operands[0];
            if (expression.op == Operator::kNegate) return negate(evaluate(inner, place));
            if (inner.kind == Expression::Kind::kField)
                return Value::of_bool(leaf(expression, place));
            return Value::of_bool(!is_true(inner, place));
        }
        case Expression::Kind::kAggregate:
        case Expression::Kind::kPipeline:
            return Value::nil();
        case Expression::Kind::kBinary:
            break;
    }
    if (!is_arithmetic(expression.op)) return Value::of_bool(is_true(expression, place));
    return compute(expression.op, evaluate(expression.operands[0], place),
                   evaluate(expression.operands[1], place));
}

}  // namespace spanloom::traceql

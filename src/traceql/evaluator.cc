#include "traceql/evaluator.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <unordered_map>

#include <re2/re2.h>

#include "traceql/arithmetic.h"
#include "traceql/checker.h"

namespace spanloom::traceql {
namespace {

using store::Field;
using store::Intrinsic;
using store::Scope;
using store::Value;
using store::ValueKind;

// Which event or link of the span is looked at, where an expression speaks of one.
struct Place {
    size_t row = 0;
    const otlp::EventView* event = nullptr;
    const otlp::LinkView* link = nullptr;
};

// Of duplicate keys the last one counts.
template <typename Attributes>
Value attribute(const Attributes& attributes, std::string_view key) {
    std::optional<otlp::ValueView> found;
    for (const otlp::AttributeView& candidate : attributes) {
        if (candidate.key == key) found = candidate.value;
    }
    return found ? value_of(*found) : Value::nil();
}

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

enum class Subject : uint8_t { kSpan, kEvent, kLink };

Subject subject_of(const Expression& expression) {
    if (expression.kind == Expression::Kind::kField) {
        if (is_event_field(expression.field)) return Subject::kEvent;
        return is_link_field(expression.field) ? Subject::kLink : Subject::kSpan;
    }
    for (const Expression& operand : expression.operands) {
        if (const Subject subject = subject_of(operand); subject != Subject::kSpan) return subject;
    }
    return Subject::kSpan;
}

// Numbers of the whole trace that single spans do not carry.
struct TraceFigures {
    std::vector<int64_t> child_count;
    std::vector<int64_t> left;
    std::vector<int64_t> right;

    static TraceFigures of(const Trace& trace) {
        TraceFigures figures;
        const size_t count = trace.spans.size();
        figures.child_count.assign(count, 0);
        figures.left.assign(count, 0);
        figures.right.assign(count, 0);
        for (const int32_t parent : trace.parent) {
            if (parent >= 0) ++figures.child_count[parent];
        }
        // A row closes when the next one in pre-order is not below it.
        std::vector<int32_t> open;
        int64_t next = 1;
        for (const uint32_t row : trace.preorder) {
            while (!open.empty() && open.back() != trace.parent[row]) {
                figures.right[open.back()] = next++;
                open.pop_back();
            }
            figures.left[row] = next++;
            open.push_back(static_cast<int32_t>(row));
        }
        while (!open.empty()) {
            figures.right[open.back()] = next++;
            open.pop_back();
        }
        return figures;
    }
};

Value hex_or_nil(std::string hex, const char* zeros) {
    return hex == zeros ? Value::nil() : Value::of_string(std::move(hex));
}

}  // namespace

Value value_of(const otlp::ValueView& view) {
    switch (view.type) {
        case otlp::ValueType::kEmpty:
            return Value::nil();
        case otlp::ValueType::kString:
            return Value::of_string(std::string(view.bytes));
        case otlp::ValueType::kBool:
            return Value::of_bool(view.boolean);
        case otlp::ValueType::kInt:
            return Value::of_int(view.integer);
        case otlp::ValueType::kDouble:
            return Value::of_double(view.number);
        default:
            break;
    }
    Value other;
    other.kind = ValueKind::kOther;
    other.text = view.message;
    return other;
}

class Evaluator::State {
  public:
    explicit State(const Query& query) : query_(query) {}

    std::vector<uint32_t> matches(const Trace& trace) {
        use(trace);
        return spanset(query_.stages[0].spanset);
    }

    void use(const Trace& trace) {
        trace_ = &trace;
        figures_.reset();
    }

    Value field(const Field& wanted, const Place& place) {
        const otlp::SpanView& span = trace_->spans[place.row];
        switch (wanted.scope) {
            case Scope::kIntrinsic:
                return intrinsic(wanted.intrinsic, place);
            case Scope::kSpan:
                return attribute(span.attributes(), wanted.key);
            case Scope::kResource:
                return attribute(trace_->resources[trace_->resource_of[place.row]].attributes(),
                                 wanted.key);
            case Scope::kInstrumentation:
                return attribute(trace_->scopes[trace_->scope_of[place.row]].attributes(),
                                 wanted.key);
            case Scope::kEvent:
                if (place.event != nullptr) return attribute(place.event->attributes(), wanted.key);
                return first_of(span.events(), wanted.key);
            case Scope::kLink:
                if (place.link != nullptr) return attribute(place.link->attributes(), wanted.key);
                return first_of(span.links(), wanted.key);
            case Scope::kAny:
                break;
        }
        for (const Scope scope : {Scope::kSpan, Scope::kResource, Scope::kEvent, Scope::kLink,
                                  Scope::kInstrumentation}) {
            Value value = field({scope, Intrinsic::kNone, wanted.key}, {place.row});
            if (value.kind != ValueKind::kNil) return value;
        }
        return Value::nil();
    }

  private:
    template <typename Children>
    static Value first_of(const Children& children, std::string_view key) {
        for (const auto& child : children) {
            Value value = attribute(child.attributes(), key);
            if (value.kind != ValueKind::kNil) return value;
        }
        return Value::nil();
    }

    Value intrinsic(Intrinsic which, const Place& place) {
        const otlp::SpanView& span = trace_->spans[place.row];
        switch (which) {
            case Intrinsic::kDuration:
                return Value::of_duration(static_cast<int64_t>(span.duration_ns()));
            case Intrinsic::kName:
                return Value::of_string(std::string(span.name));
            case Intrinsic::kStatus:
                return Value::of_status(span.status);
            case Intrinsic::kStatusMessage:
                return Value::of_string(std::string(span.status_message));
            case Intrinsic::kKind:
                return Value::of_kind(span.kind);
            case Intrinsic::kStart:
                return Value::of_int(static_cast<int64_t>(span.start_ns));
            case Intrinsic::kTraceId:
                return Value::of_string(span.trace_id.hex());
            case Intrinsic::kSpanId:
                return Value::of_string(span.span_id.hex());
            case Intrinsic::kParentId:
                return hex_or_nil(span.parent_span_id.hex(), "0000000000000000");
            case Intrinsic::kTraceState:
                return Value::of_string(std::string(span.trace_state));
            case Intrinsic::kInstrumentationName:
                return Value::of_string(
                    std::string(trace_->scopes[trace_->scope_of[place.row]].name));
            case Intrinsic::kInstrumentationVersion:
                return Value::of_string(
                    std::string(trace_->scopes[trace_->scope_of[place.row]].version));
            case Intrinsic::kEventName:
            case Intrinsic::kEventTimeSinceStart:
            case Intrinsic::kLinkTraceId:
            case Intrinsic::kLinkSpanId:
                return child_intrinsic(which, place);
            default:
                return trace_intrinsic(which, place.row);
        }
    }

    Value child_intrinsic(Intrinsic which, const Place& place) const {
        const otlp::SpanView& span = trace_->spans[place.row];
        if (which == Intrinsic::kEventName || which == Intrinsic::kEventTimeSinceStart) {
            std::optional<otlp::EventView> first;
            if (place.event == nullptr) {
                if (span.events().empty()) return Value::nil();
                first = *span.events().begin();
            }
            const otlp::EventView& event = place.event != nullptr ? *place.event : *first;
            if (which == Intrinsic::kEventName) return Value::of_string(std::string(event.name));
            return Value::of_duration(static_cast<int64_t>(event.time_ns - span.start_ns));
        }
        std::optional<otlp::LinkView> first;
        if (place.link == nullptr) {
            if (span.links().empty()) return Value::nil();
            first = *span.links().begin();
        }
        const otlp::LinkView& link = place.link != nullptr ? *place.link : *first;
        return Value::of_string(which == Intrinsic::kLinkTraceId ? link.trace_id.hex()
                                                                 : link.span_id.hex());
    }

    Value trace_intrinsic(Intrinsic which, size_t row) {
        if (which == Intrinsic::kTraceDuration)
            return Value::of_duration(static_cast<int64_t>(trace_->end_ns - trace_->start_ns));
        if (which == Intrinsic::kRootName || which == Intrinsic::kRootService) {
            if (trace_->root < 0) return Value::nil();
            return Value::of_string(std::string(which == Intrinsic::kRootName
                                                    ? trace_->spans[trace_->root].name
                                                    : trace_->service_of(trace_->root)));
        }
        if (!figures_) figures_ = TraceFigures::of(*trace_);
        switch (which) {
            case Intrinsic::kChildCount:
                return Value::of_int(figures_->child_count[row]);
            case Intrinsic::kNestedSetLeft:
                return Value::of_int(figures_->left[row]);
            case Intrinsic::kNestedSetRight:
                return Value::of_int(figures_->right[row]);
            case Intrinsic::kNestedSetParent: {
                const int32_t parent = trace_->parent[row];
                return Value::of_int(parent < 0 ? -1 : figures_->left[parent]);
            }
            default:
                return Value::nil();
        }
    }

    // ---- spansets

    std::vector<uint32_t> spanset(const Spanset& set) {
        if (set.kind == Spanset::Kind::kRelation) return relation(set);
        std::vector<uint32_t> rows;
        for (uint32_t row = 0; row < trace_->spans.size(); ++row) {
            if (!set.filter || is_true(*set.filter, {row})) rows.push_back(row);
        }
        return rows;
    }

    std::vector<uint32_t> relation(const Spanset& set) {
        const std::vector<uint32_t> left = spanset(set.operands[0]);
        if (set.relation == Relation::kAnd && left.empty()) return {};
        const std::vector<uint32_t> right = spanset(set.operands[1]);
        if (set.relation == Relation::kAnd && right.empty()) return {};
        std::vector<uint32_t> both;
        std::set_union(left.begin(), left.end(), right.begin(), right.end(),
                       std::back_inserter(both));
        return both;
    }

    // ---- expressions

    bool is_true(const Expression& expression, const Place& place) {
        if (expression.op == Operator::kAnd) return conjunction(expression, place);
        if (expression.op == Operator::kOr)
            return is_true(expression.operands[0], place) || is_true(expression.operands[1], place);
        if (is_comparison(expression.op)) return comparison(expression, place);
        const Value value = evaluate(expression, place);
        return value.kind == ValueKind::kBool && value.integer != 0;
    }

    static bool is_absence_test(const Expression& expression) {
        if (expression.op != Operator::kEqual) return false;
        for (const Expression& operand : expression.operands) {
            if (operand.kind == Expression::Kind::kLiteral &&
                operand.literal.kind == ValueKind::kNil)
                return true;
        }
        return false;
    }

    // Conditions on events that stand side by side speak of one event; the same for links.
    bool conjunction(const Expression& expression, const Place& place) {
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
            const bool is_leaf = is_comparison(at->op) && !is_absence_test(*at);
            const Subject subject = is_leaf ? subject_of(*at) : Subject::kSpan;
            if (subject == Subject::kEvent) {
                on_event.push_back(at);
            } else if (subject == Subject::kLink) {
                on_link.push_back(at);
            } else if (!is_true(*at, place)) {
                return false;
            }
        }
        return (on_event.empty() || some_event(on_event, place)) &&
               (on_link.empty() || some_link(on_link, place));
    }

    bool some_event(const std::vector<const Expression*>& conditions, const Place& place) {
        for (const otlp::EventView& event : trace_->spans[place.row].events()) {
            const Place there{place.row, &event, place.link};
            if (std::all_of(conditions.begin(), conditions.end(),
                            [&](const Expression* one) { return plain_comparison(*one, there); }))
                return true;
        }
        return false;
    }

    bool some_link(const std::vector<const Expression*>& conditions, const Place& place) {
        for (const otlp::LinkView& link : trace_->spans[place.row].links()) {
            const Place there{place.row, place.event, &link};
            if (std::all_of(conditions.begin(), conditions.end(),
                            [&](const Expression* one) { return plain_comparison(*one, there); }))
                return true;
        }
        return false;
    }

    bool comparison(const Expression& expression, const Place& place) {
        if (is_absence_test(expression)) return plain_comparison(expression, place);
        const Subject subject = subject_of(expression);
        if (subject == Subject::kEvent) return some_event({&expression}, place);
        if (subject == Subject::kLink) return some_link({&expression}, place);
        return plain_comparison(expression, place);
    }

    bool plain_comparison(const Expression& expression, const Place& place) {
        const Expression& left = expression.operands[0];
        const Expression& right = expression.operands[1];
        const bool left_is_nil =
            left.kind == Expression::Kind::kLiteral && left.literal.kind == ValueKind::kNil;
        const bool right_is_nil =
            right.kind == Expression::Kind::kLiteral && right.literal.kind == ValueKind::kNil;
        if (left_is_nil && right_is_nil) return false;
        const Value a = evaluate(left, place);
        const Value b = evaluate(right, place);
        if (left_is_nil || right_is_nil) {
            const bool is_absent = (left_is_nil ? b : a).kind == ValueKind::kNil;
            return is_absent == (expression.op == Operator::kEqual);
        }
        return compare(expression, a, b);
    }

    // Arrays satisfy = and =~ where an element does, != and !~ where none does.
    bool compare(const Expression& expression, const Value& a, const Value& b) {
        const bool a_is_array = is_array(a);
        if (!a_is_array && !is_array(b)) return compare_scalars(expression.op, expression, a, b);
        Operator positive = expression.op;
        if (positive == Operator::kNotEqual) positive = Operator::kEqual;
        if (positive == Operator::kNotMatch) positive = Operator::kMatch;
        if (positive != Operator::kEqual && positive != Operator::kMatch) return false;
        const otlp::ValueView view = otlp::ValueView::parse(a_is_array ? a.text : b.text);
        bool found = false;
        for (const otlp::ValueView& element : otlp::Repeated<otlp::ValueView>(view.bytes, 1)) {
            const Value value = value_of(element);
            found = found || (a_is_array ? compare_scalars(positive, expression, value, b)
                                         : compare_scalars(positive, expression, a, value));
        }
        return found == (positive == expression.op);
    }

    static bool is_array(const Value& value) {
        return value.kind == ValueKind::kOther &&
               otlp::ValueView::parse(value.text).type == otlp::ValueType::kArray;
    }

    bool compare_scalars(Operator op, const Expression& expression, const Value& a,
                         const Value& b) {
        if (op != Operator::kMatch && op != Operator::kNotMatch) return compare_values(op, a, b);
        if (a.kind != ValueKind::kString || b.kind != ValueKind::kString) return false;
        return RE2::FullMatch(a.text, regex(expression.operands[1])) == (op == Operator::kMatch);
    }

    const RE2& regex(const Expression& pattern) {
        std::unique_ptr<RE2>& compiled = regexes_[&pattern];
        if (!compiled) {
            RE2::Options options;
            options.set_log_errors(false);
            options.set_max_mem(kRegexBytesMax);
            compiled = std::make_unique<RE2>(pattern.literal.text, options);
        }
        return *compiled;
    }

    Value evaluate(const Expression& expression, const Place& place) {
        switch (expression.kind) {
            case Expression::Kind::kLiteral:
                return expression.literal;
            case Expression::Kind::kField:
                return field(expression.field, place);
            case Expression::Kind::kUnary: {
                const Expression& inner = expression.operands[0];
                if (expression.op == Operator::kNegate) return negate(evaluate(inner, place));
                if (inner.kind != Expression::Kind::kField)
                    return Value::of_bool(!is_true(inner, place));
                const Value value = evaluate(inner, place);
                return Value::of_bool(value.kind == ValueKind::kBool && value.integer == 0);
            }
            case Expression::Kind::kBinary:
                break;
        }
        if (!is_arithmetic(expression.op)) return Value::of_bool(is_true(expression, place));
        return compute(expression.op, evaluate(expression.operands[0], place),
                       evaluate(expression.operands[1], place));
    }

    const Query& query_;
    const Trace* trace_ = nullptr;
    std::optional<TraceFigures> figures_;
    std::unordered_map<const Expression*, std::unique_ptr<RE2>> regexes_;
};

Evaluator::Evaluator(const Query& query) : state_(std::make_unique<State>(query)) {}
Evaluator::~Evaluator() = default;

std::vector<uint32_t> Evaluator::matches(const Trace& trace) {
    return state_->matches(trace);
}

Value Evaluator::field(const Trace& trace, size_t row, const Field& field) {
    state_->use(trace);
    return state_->field(field, {row});
}

}  // namespace spanloom::traceql

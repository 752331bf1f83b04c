#include "traceql/printer.h"

#include <cmath>

#include <fmt/format.h>

#include "traceql/names.h"

namespace spanloom::traceql {
namespace {

using store::ValueKind;

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\t') {
            out += "\\t";
        } else if (byte < 0x20 || byte == 0x7f) {
            out += fmt::format("\\x{:02x}", byte);
        } else {
            out += c;
        }
    }
    return out + '"';
}

// Exact, unlike the form for people.
std::string duration_text(int64_t ns) {
    struct Unit {
        int64_t ns;
        std::string_view name;
    };
    constexpr Unit kUnits[] = {
        {3'600'000'000'000, "h"}, {60'000'000'000, "m"}, {1'000'000'000, "s"},
        {1'000'000, "ms"},        {1'000, "us"},         {1, "ns"}};
    for (const Unit& unit : kUnits) {
        if (ns != 0 && ns % unit.ns == 0) return fmt::format("{}{}", ns / unit.ns, unit.name);
    }
    return "0s";
}

std::string number_text(double number) {
    std::string out = fmt::format("{}", number);
    if (out.find_first_of(".eni") == std::string::npos) out += ".0";
    return out;
}

void append_list(std::string& out, const std::vector<Expression>& list) {
    for (size_t i = 0; i < list.size(); ++i) {
        if (i != 0) out += ", ";
        out += print(list[i]);
    }
}

// How tightly an expression holds together when it stands beside an operator.
int tightness(const Expression& expression) {
    switch (expression.op) {
        case Operator::kNone:
            return 8;
        case Operator::kNegate:
            return 7;
        case Operator::kPower:
            return 6;
        case Operator::kMultiply:
        case Operator::kDivide:
        case Operator::kModulo:
            return 5;
        case Operator::kNot:
            return 4;
        case Operator::kAdd:
        case Operator::kSubtract:
            return 3;
        case Operator::kAnd:
        case Operator::kOr:
            return 1;
        default:
            return 2;
    }
}

// Parentheses only where they are needed: a long chain must not become a deep nest.
std::string operand(const Expression& expression, int tightness_min) {
    if (tightness(expression) >= tightness_min) return print(expression);
    return "(" + print(expression) + ")";
}

std::string side(const Spanset& spanset, int tightness_min) {
    const bool is_logic = spanset.relation == Relation::kAnd || spanset.relation == Relation::kOr;
    const int own = spanset.kind != Spanset::Kind::kRelation ? 3 : is_logic ? 1 : 2;
    return own >= tightness_min ? print(spanset) : "(" + print(spanset) + ")";
}

std::string print_stage(const Stage& stage) {
    if (stage.kind == Stage::Kind::kSpanset) return print(stage.spanset);
    if (stage.condition) return print(*stage.condition);
    std::string out;
    if (stage.kind == Stage::Kind::kFunction) {
        out += stage.name + "(";
        if (stage.selection) {
            out += print(*stage.selection);
            if (!stage.arguments.empty()) out += ", ";
        }
        append_list(out, stage.arguments);
        out += ')';
        if (!stage.by.empty()) {
            out += " by(";
            append_list(out, stage.by);
            out += ')';
        }
    }
    if (stage.bound) {
        if (!out.empty()) out += ' ';
        out += std::string(operator_text(stage.op)) + " " + print(*stage.bound);
    }
    return out;
}

std::string print_pipeline(const std::vector<Stage>& stages) {
    std::string out;
    for (const Stage& stage : stages) {
        const bool is_attached = stage.kind == Stage::Kind::kPointFilter;
        if (!out.empty()) out += is_attached ? " " : " | ";
        out += print_stage(stage);
    }
    return out;
}

std::string print_metrics(const MetricsExpression& expression);

std::string side(const MetricsExpression& expression, int tightness_min) {
    const bool is_sum = expression.op == Operator::kAdd || expression.op == Operator::kSubtract;
    const int own = expression.kind != MetricsExpression::Kind::kBinary ? 3 : is_sum ? 1 : 2;
    return own >= tightness_min ? print_metrics(expression) : "(" + print_metrics(expression) + ")";
}

std::string print_metrics(const MetricsExpression& expression) {
    switch (expression.kind) {
        case MetricsExpression::Kind::kScalar:
            return print(expression.scalar);
        case MetricsExpression::Kind::kPipeline:
            return "(" + print_pipeline(expression.stages) + ")";
        case MetricsExpression::Kind::kBinary:
            break;
    }
    const bool is_sum = expression.op == Operator::kAdd || expression.op == Operator::kSubtract;
    return side(expression.operands[0], is_sum ? 1 : 2) + " " +
           std::string(operator_text(expression.op)) + " " +
           side(expression.operands[1], is_sum ? 2 : 3);
}

}  // namespace

std::string print(const store::Value& value) {
    switch (value.kind) {
        case ValueKind::kNil:
            return "nil";
        case ValueKind::kBool:
            return value.integer != 0 ? "true" : "false";
        case ValueKind::kInt:
            return value.integer == INT64_MIN ? "minInt" : fmt::format("{}", value.integer);
        case ValueKind::kDouble:
            return number_text(value.number);
        case ValueKind::kDuration:
            return duration_text(value.integer);
        case ValueKind::kString:
            return quoted(value.text);
        case ValueKind::kSpanKind:
            return std::string(kind_keyword(static_cast<otlp::SpanKind>(value.integer)));
        case ValueKind::kStatus:
            return std::string(status_keyword(static_cast<otlp::StatusCode>(value.integer)));
        case ValueKind::kOther:
            break;
    }
    return "nil";
}

std::string print(const Expression& expression) {
    switch (expression.kind) {
        case Expression::Kind::kLiteral:
            return print(expression.literal);
        case Expression::Kind::kField: {
            const std::string field = field_text(expression.field);
            if (!expression.is_parent) return field;
            return field[0] == '.' ? "parent" + field : "parent." + field;
        }
        case Expression::Kind::kUnary: {
            const bool is_nested = expression.operands[0].kind == Expression::Kind::kUnary;
            return std::string(operator_text(expression.op)) +
                   operand(expression.operands[0], is_nested ? 0 : 8);
        }
        case Expression::Kind::kAggregate:
            return std::string(aggregate_name(expression.aggregate)) + "(" +
                   (expression.operands.empty() ? "" : print(expression.operands[0])) + ")";
        case Expression::Kind::kPipeline:
            return "(" + print_pipeline(expression.pipeline) + " | " +
                   print(expression.operands[0]) + ")";
        case Expression::Kind::kBinary:
            break;
    }
    const int own = tightness(expression);
    // Only powers group from the right.
    const bool is_power = expression.op == Operator::kPower;
    return operand(expression.operands[0], is_power ? own + 1 : own) + " " +
           std::string(operator_text(expression.op)) + " " +
           operand(expression.operands[1], is_power ? own : own + 1);
}

std::string print(const Spanset& spanset) {
    switch (spanset.kind) {
        case Spanset::Kind::kFilter:
            return spanset.filter ? "{ " + print(*spanset.filter) + " }" : "{ }";
        case Spanset::Kind::kPipeline:
            return "(" + print_pipeline(spanset.pipeline) + ")";
        case Spanset::Kind::kRelation:
            break;
    }
    const bool is_logic = spanset.relation == Relation::kAnd || spanset.relation == Relation::kOr;
    return side(spanset.operands[0], is_logic ? 1 : 2) + " " +
           relation_text(spanset.relation, spanset.form, spanset.hops_max) + " " +
           side(spanset.operands[1], is_logic ? 2 : 3);
}

std::string print(const Query& query) {
    std::string out = query.arithmetic ? print_metrics(*query.arithmetic) : std::string();
    for (const Stage& stage : query.arithmetic ? query.stages : std::vector<Stage>()) {
        out += stage.kind == Stage::Kind::kPointFilter ? " " : " | ";
        out += print_stage(stage);
    }
    if (!query.arithmetic) out = print_pipeline(query.stages);
    for (size_t i = 0; i < query.hints.size(); ++i) {
        out += i == 0 ? " with(" : ", ";
        out += query.hints[i].name + "=" + print(query.hints[i].value);
    }
    if (!query.hints.empty()) out += ")";
    return out;
}

}  // namespace spanloom::traceql

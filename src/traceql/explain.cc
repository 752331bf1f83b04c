#include "traceql/explain.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "store/values.h"
#include "traceql/error.h"
#include "traceql/names.h"
#include "traceql/printer.h"

namespace spanloom::traceql {
namespace {

using store::Field;
using store::Scope;
using store::Value;
using store::ValueKind;

// Comparisons of a query that are explained at most, and segments that are looked at for each.
constexpr size_t kNotesMax = 5;
constexpr size_t kResourcesMax = 10'000;

enum class TypeClass : uint8_t { kNone, kBoolean, kNumber, kString, kOther };

TypeClass class_of(const Value& value) {
    if (value.is_number()) return TypeClass::kNumber;
    if (value.kind == ValueKind::kString) return TypeClass::kString;
    if (value.kind == ValueKind::kBool) return TypeClass::kBoolean;
    return value.kind == ValueKind::kNil ? TypeClass::kNone : TypeClass::kOther;
}

TypeClass class_of(const store::ColumnKey& key) {
    switch (key.type) {
        case store::ColumnType::kInt:
            return key.is_boolean ? TypeClass::kBoolean : TypeClass::kNumber;
        case store::ColumnType::kDouble:
            return TypeClass::kNumber;
        case store::ColumnType::kString:
            return TypeClass::kString;
        default:
            return TypeClass::kOther;
    }
}

std::string_view class_name(TypeClass type) {
    switch (type) {
        case TypeClass::kBoolean:
            return "a boolean";
        case TypeClass::kNumber:
            return "a number";
        case TypeClass::kString:
            return "a string";
        default:
            return "an array or a map";
    }
}

struct Comparison {
    const Expression* field = nullptr;
    const Expression* literal = nullptr;
};

void collect(const Expression& expression, std::vector<Comparison>& out) {
    if (is_comparison(expression.op)) {
        const Expression* left = &expression.operands[0];
        const Expression* right = &expression.operands[1];
        if (left->kind == Expression::Kind::kLiteral) std::swap(left, right);
        const bool fits = left->kind == Expression::Kind::kField &&
                          left->field.scope != Scope::kIntrinsic && !left->is_parent &&
                          right->kind == Expression::Kind::kLiteral &&
                          right->literal.kind != ValueKind::kNil;
        if (fits) out.push_back({left, right});
    }
    for (const Expression& operand : expression.operands)
        collect(operand, out);
}

void collect(const Spanset& spanset, std::vector<Comparison>& out) {
    if (spanset.filter) collect(*spanset.filter, out);
    for (const Spanset& operand : spanset.operands)
        collect(operand, out);
    for (const Stage& stage : spanset.pipeline)
        collect(stage.spanset, out);
}

void collect(const MetricsExpression& expression, std::vector<Comparison>& out) {
    for (const Stage& stage : expression.stages)
        collect(stage.spanset, out);
    for (const MetricsExpression& operand : expression.operands)
        collect(operand, out);
}

bool fits(Scope wanted, Scope scope) {
    return wanted == Scope::kAny || wanted == scope;
}

// What attributes there are: types of the one asked for, and names like it.
struct Known {
    std::set<TypeClass> types;
    std::set<std::string, std::less<>> names;

    void add(const Field& field, std::string_view key, TypeClass type) {
        names.emplace(key);
        if (key == field.key) types.insert(type);
    }
};

Known find(const Field& field, store::Segments segments) {
    Known known;
    for (const auto& segment : segments) {
        const auto columns = segment->columns();
        for (uint32_t i = 0; i < columns.size(); ++i) {
            if (columns[i].scope == Scope::kIntrinsic || !fits(field.scope, columns[i].scope))
                continue;
            if (segment->has_values(i)) known.add(field, columns[i].key, class_of(columns[i]));
        }
        const size_t resources = std::min<size_t>(segment->resource_count(), kResourcesMax);
        for (uint32_t i = 0; fits(field.scope, Scope::kResource) && i < resources; ++i) {
            const auto view = otlp::ResourceView::parse(segment->resource_message(i));
            for (const otlp::AttributeView& attribute : view.attributes())
                known.add(field, attribute.key, class_of(store::value_of(attribute.value)));
        }
        const size_t scopes = std::min<size_t>(segment->scope_count(), kResourcesMax);
        for (uint32_t i = 0; fits(field.scope, Scope::kInstrumentation) && i < scopes; ++i) {
            const auto view = otlp::ScopeView::parse(segment->scope_message(i));
            for (const otlp::AttributeView& attribute : view.attributes())
                known.add(field, attribute.key, class_of(store::value_of(attribute.value)));
        }
    }
    return known;
}

// The literal as the attribute's type would write it; "" where it cannot.
std::string rewritten(const Value& literal, TypeClass type) {
    if (type == TypeClass::kString) return print(Value::of_string(store::value_text(literal)));
    if (literal.kind != ValueKind::kString) return {};
    const bool is_word = literal.text == "true" || literal.text == "false";
    if (type == TypeClass::kBoolean) return is_word ? literal.text : std::string();
    const bool is_number = !literal.text.empty() &&
                           literal.text.find_first_not_of("0123456789.-") == std::string::npos;
    return type == TypeClass::kNumber && is_number ? literal.text : std::string();
}

std::string note_on(const Comparison& comparison, const Known& known) {
    const Field& field = comparison.field->field;
    if (known.types.empty()) {
        const std::vector<std::string_view> names(known.names.begin(), known.names.end());
        const std::string_view near = nearest_name(field.key, names.data(), names.size());
        if (near.empty()) return fmt::format("no span has an attribute {}", field_text(field));
        return fmt::format("no span has an attribute {}: did you mean {}?", field_text(field),
                           field_text({field.scope, store::Intrinsic::kNone, std::string(near)}));
    }
    const TypeClass asked = class_of(comparison.literal->literal);
    if (known.types.contains(asked) || known.types.contains(TypeClass::kOther)) return {};
    const TypeClass type = *known.types.begin();
    const std::string better = rewritten(comparison.literal->literal, type);
    return fmt::format("`{}` is {} here{}", field.key, class_name(type),
                       better.empty() ? std::string() : fmt::format(": did you mean {}?", better));
}

}  // namespace

void SegmentRead::add(store::SearchSegment& opened) {
    segment = &opened.segment();
    if (opened.is_open()) bytes += opened.reader().counts().bytes;
    is_open = is_open || opened.is_open();
    is_never = is_never || opened.is_never();
}

std::vector<SegmentRead> reads_of(std::span<const std::unique_ptr<store::SearchSegment>> segments) {
    std::vector<SegmentRead> reads;
    for (const auto& segment : segments)
        reads.emplace_back().add(*segment);
    return reads;
}

void explain(const Plan& plan, ExplainedPath path, std::span<const SegmentRead> segments,
             store::TimeRange range, Explanation& out) {
    const std::string predicate = predicate_text(plan.candidates);
    if (path == ExplainedPath::kColumns) {
        out.plan.push_back(
            fmt::format("count spans with {} row group by row group, by columns alone", predicate));
    } else if (path == ExplainedPath::kForest) {
        out.plan.push_back(fmt::format(
            "take row groups that have spans with {}; evaluate the query on all their traces at "
            "once, {} of its filters by columns, parents as row numbers; count by columns",
            predicate, plan.conditions.size()));
    } else {
        out.plan.push_back(fmt::format("read columns, newest first, for spans with {}", predicate));
        out.plan.push_back(
            path == ExplainedPath::kNewest
                ? std::string("these spans are the answer: no trace is evaluated as a whole")
                : fmt::format("put each trace that has one together from all segments and "
                              "evaluate the query on it, {} of its filters by columns",
                              plan.conditions.size()));
    }
    // Spans are counted where they start; traces are found by spans around the range, too.
    const bool is_count = path == ExplainedPath::kColumns || path == ExplainedPath::kForest;
    const store::TimeRange near = is_count ? range : store::with_margin(range);
    const bool is_first = out.segments.empty();
    if (is_first) out.segments.resize(segments.size());
    for (size_t i = 0; i < segments.size(); ++i) {
        const SegmentRead& read = segments[i];
        const store::SegmentInfo& info = read.segment->info();
        Explanation::SegmentUse& use = out.segments[i];
        use.spans = info.spans;
        use.bytes = info.bytes;
        use.start_ns_min = info.start_ns_min;
        use.end_ns_max = info.end_ns_max;
        const bool was_read = read.bytes > 0 || use.bytes_read > 0;
        use.bytes_read += read.bytes;
        if (was_read) {
            use.skipped.clear();
        } else if (!store::overlaps(info.start_ns_min, info.end_ns_max, near)) {
            use.skipped = "outside the time range";
        } else if (read.is_never) {
            use.skipped = "its types and filters say that no span matches";
        } else {
            use.skipped = read.is_open ? "no row group can match"
                                       : "enough newer traces were found without it";
        }
    }
}

std::vector<std::string> explain_emptiness(const Query& query, store::Segments segments) {
    std::vector<Comparison> comparisons;
    for (const Stage& stage : query.stages)
        collect(stage.spanset, comparisons);
    if (query.arithmetic) collect(*query.arithmetic, comparisons);
    std::vector<std::string> notes;
    for (const Comparison& comparison : comparisons) {
        if (notes.size() >= kNotesMax) break;
        std::string note = note_on(comparison, find(comparison.field->field, segments));
        if (!note.empty() && std::find(notes.begin(), notes.end(), note) == notes.end())
            notes.push_back(std::move(note));
    }
    return notes;
}

}  // namespace spanloom::traceql

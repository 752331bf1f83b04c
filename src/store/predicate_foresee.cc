#include "store/predicate_node.h"

// Hints of what a predicate will read of a segment.
namespace spanloom::store {
namespace {

void foresee_test(const CompiledPredicate::Node& plan, SegmentReader& reader) {
    const Field& field = plan.field;
    if (field.scope == Scope::kIntrinsic) {
        if (field.intrinsic != Intrinsic::kTraceId)
            IntrinsicCells(reader, field.intrinsic).foresee(*plan.test);
        return;
    }
    if (field.scope != Scope::kAny)
        return AttributeCells(reader, table_of(field), field.key).foresee(*plan.test);
    for (const Table table : {Table::kSpans, Table::kEvents, Table::kLinks})
        AttributeCells(reader, table, field.key).foresee(*plan.test);
}

void foresee_node(const CompiledPredicate::Node& plan, SegmentReader& reader) {
    // Resources and scopes are in memory.
    const bool is_read =
        plan.field.scope != Scope::kResource && plan.field.scope != Scope::kInstrumentation;
    if (plan.test && is_read) foresee_test(plan, reader);
    for (const auto& child : plan.children)
        foresee_node(*child, reader);
}

void foresee_rows(const BoundPredicate::Node& node, uint32_t row_group) {
    for (const auto* cells : {&node.attribute, &node.of_events, &node.of_links})
        if (*cells != nullptr) (*cells)->foresee_in(row_group);
    if (node.intrinsic != nullptr) node.intrinsic->foresee_in(row_group);
    for (const auto& child : node.children)
        foresee_rows(*child, row_group);
}

}  // namespace

void BoundPredicate::foresee(const CompiledPredicate& predicate, SegmentReader& reader) {
    foresee_node(predicate.root(), reader);
}

void BoundPredicate::foresee(uint32_t row_group) const {
    foresee_rows(*root_, row_group);
}

}  // namespace spanloom::store

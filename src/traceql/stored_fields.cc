#include "traceql/stored_fields.h"

#include <algorithm>

#include "store/attribute_cells.h"
#include "store/intrinsic_cells.h"
#include "store/predicate_node.h"
#include "store/row_weights.h"

namespace spanloom::traceql {
namespace {

using store::Field;
using store::GroupReader;
using store::Intrinsic;
using store::RowBitmap;
using store::RowField;
using store::Scope;
using store::Table;
using store::Value;
using store::ValueKind;

bool is_text(Intrinsic intrinsic) {
    switch (intrinsic) {
        case Intrinsic::kName:
        case Intrinsic::kStatusMessage:
        case Intrinsic::kParentId:
        case Intrinsic::kTraceState:
        case Intrinsic::kInstrumentationName:
        case Intrinsic::kInstrumentationVersion:
            return true;
        default:
            return false;
    }
}

}  // namespace

Result<std::vector<StoredTest>> stored_tests(const Plan& plan) {
    std::vector<StoredTest> tests;
    for (const Plan::Condition& condition : plan.conditions) {
        TRY_ASSIGN(store::CompiledPredicate compiled,
                   store::CompiledPredicate::compile(condition.predicate));
        tests.push_back(
            {condition.filter, std::move(compiled), condition.is_exact, condition.only_roots});
    }
    return tests;
}

size_t test_of(const std::vector<StoredTest>& tests, const Expression& condition) {
    size_t test = 0;
    while (test < tests.size() && tests[test].filter != &condition)
        ++test;
    return test;
}

StoredFields::StoredFields(store::SearchSegment& segment, const std::vector<StoredTest>& tests)
    : segment_(segment), reader_(segment.reader()), tests_(tests), states_(tests.size()) {}

StoredFields::~StoredFields() = default;

Result<const RowBitmap*> StoredFields::hits(size_t test, GroupReader& group) {
    TestState& state = states_[test];
    for (Tested& tested : state.tested) {
        if (tested.group == group.group()) return &tested.rows;
    }
    if (!state.bound) {
        TRY_ASSIGN(store::BoundPredicate bound,
                   store::BoundPredicate::bind(tests_[test].predicate, reader_));
        state.bound.emplace(std::move(bound));
    }
    Tested& tested = state.tested[state.turn++ % state.tested.size()];
    tested.group = UINT32_MAX;
    tested.rows = RowBitmap(group.rows().rows);
    if (!state.bound->is_never() && state.bound->may_match(group.rows())) {
        TRY_ASSIGN(tested.rows, state.bound->evaluate(group, RowBitmap::all(group.rows().rows)));
    }
    tested.group = group.group();
    return &tested.rows;
}

store::FieldReader& StoredFields::field(const Field& wanted) {
    for (const auto& known : fields_) {
        if (known->field() == wanted) return *known;
    }
    fields_.push_back(std::make_unique<store::FieldReader>(reader_, wanted));
    return *fields_.back();
}

// Of one event or link.
Result<Value> StoredFields::cell(const Field& wanted, Table table, GroupReader& group,
                                 uint32_t row) {
    if (wanted.scope == Scope::kIntrinsic) {
        for (auto& [field, cells] : child_intrinsics_) {
            if (field == wanted) return cells->value(group, row);
        }
        child_intrinsics_.emplace_back(
            wanted, std::make_unique<store::IntrinsicCells>(reader_, wanted.intrinsic));
        return child_intrinsics_.back().second->value(group, row);
    }
    for (auto& [field, cells] : child_attributes_) {
        if (field == wanted) return cells->value(group, row);
    }
    child_attributes_.emplace_back(
        wanted, std::make_unique<store::AttributeCells>(reader_, table, wanted.key));
    return child_attributes_.back().second->value(group, row);
}

Result<std::pair<uint32_t, uint32_t>> StoredFields::children(Table table, GroupReader& group,
                                                             uint32_t row) const {
    if (group.table_rows(table) == 0) return std::pair(0U, 0U);
    TRY_ASSIGN(const store::ColumnBlock* owners,
               group.block(reader_.column(table, RowField::kOwner)));
    const auto& rows = owners->integers;
    const auto range = std::equal_range(rows.begin(), rows.end(), static_cast<int64_t>(row));
    return std::pair(static_cast<uint32_t>(range.first - rows.begin()),
                     static_cast<uint32_t>(range.second - rows.begin()));
}

Result<Value> StoredFields::child_value(const Field& field, GroupReader& group, uint32_t row,
                                        Table table, uint32_t child) {
    TRY_ASSIGN(const auto rows, children(table, group, row));
    if (child >= rows.second - rows.first) return Value::nil();
    TRY_ASSIGN(Value value, cell(field, table, group, rows.first + child));
    // A name that is not stored is empty.
    if (value.kind == ValueKind::kNil && field.intrinsic == Intrinsic::kEventName)
        return Value::of_string("");
    return value;
}

Result<Value> StoredFields::value(const Field& wanted, GroupReader& group, const Place& place,
                                  const TraceId& trace_id) {
    const Table table = store::table_of(wanted);
    if (table == Table::kEvents && place.event != Place::kNone)
        return child_value(wanted, group, place.row, table, place.event);
    if (table == Table::kLinks && place.link != Place::kNone)
        return child_value(wanted, group, place.row, table, place.link);
    if (table != Table::kSpans && wanted.scope == Scope::kIntrinsic)
        return child_value(wanted, group, place.row, table, 0);
    TRY_ASSIGN(Value value, field(wanted).value(group, place.row, trace_id));
    if (value.kind == ValueKind::kNil && wanted.scope == Scope::kIntrinsic &&
        is_text(wanted.intrinsic))
        return Value::of_string("");
    return value;
}

Result<double> StoredFields::weight(GroupReader& group, uint32_t row) const {
    return store::row_weight(reader_, group, row);
}

}  // namespace spanloom::traceql

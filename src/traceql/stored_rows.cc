#include "traceql/stored_rows.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "otlp/tracestate.h"
#include "store/attribute_cells.h"
#include "store/intrinsic_cells.h"
#include "store/predicate_node.h"

namespace spanloom::traceql {
namespace {

using store::ColumnBlock;
using store::Field;
using store::GroupReader;
using store::Intrinsic;
using store::RowBitmap;
using store::RowField;
using store::Scope;
using store::SegmentReader;
using store::Table;
using store::Value;
using store::ValueKind;

// Spans of one trace that are evaluated together: it keeps about 64 bytes for each.
constexpr size_t kTraceSpansMax = 1'000'000;

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

struct StoredRows::Columns {
    // Neighbouring traces share a row group; a trace may lie in two.
    struct Tested {
        uint32_t group = UINT32_MAX;
        RowBitmap rows;
    };
    struct TestState {
        std::optional<store::BoundPredicate> bound;
        std::array<Tested, 2> tested;
        uint32_t turn = 0;
    };

    Columns(store::SearchSegment& opened, size_t tests)
        : segment(opened), reader(opened.reader()), states(tests) {}

    Result<const RowBitmap*> hits(size_t test, const store::CompiledPredicate& predicate,
                                  GroupReader& group) {
        TestState& state = states[test];
        for (Tested& tested : state.tested) {
            if (tested.group == group.group()) return &tested.rows;
        }
        if (!state.bound) {
            TRY_ASSIGN(store::BoundPredicate bound, store::BoundPredicate::bind(predicate, reader));
            state.bound.emplace(std::move(bound));
        }
        Tested& tested = state.tested[state.turn++ % state.tested.size()];
        tested.group = UINT32_MAX;
        tested.rows = RowBitmap(group.rows().rows);
        if (!state.bound->is_never() && state.bound->may_match(group.rows())) {
            TRY_ASSIGN(tested.rows,
                       state.bound->evaluate(group, RowBitmap::all(group.rows().rows)));
        }
        tested.group = group.group();
        return &tested.rows;
    }

    store::FieldReader& field(const Field& wanted) {
        for (const auto& known : fields) {
            if (known->field() == wanted) return *known;
        }
        fields.push_back(std::make_unique<store::FieldReader>(reader, wanted));
        return *fields.back();
    }

    // Values of single events and links.
    Result<Value> child(const Field& wanted, Table table, GroupReader& group, uint32_t row) {
        if (wanted.scope == Scope::kIntrinsic) {
            for (auto& [field, cells] : child_intrinsics) {
                if (field == wanted) return cells->value(group, row);
            }
            child_intrinsics.emplace_back(
                wanted, std::make_unique<store::IntrinsicCells>(reader, wanted.intrinsic));
            return child_intrinsics.back().second->value(group, row);
        }
        for (auto& [field, cells] : child_attributes) {
            if (field == wanted) return cells->value(group, row);
        }
        child_attributes.emplace_back(
            wanted, std::make_unique<store::AttributeCells>(reader, table, wanted.key));
        return child_attributes.back().second->value(group, row);
    }

    store::SearchSegment& segment;
    SegmentReader& reader;
    std::vector<TestState> states;
    std::vector<std::unique_ptr<store::FieldReader>> fields;
    std::vector<std::pair<Field, std::unique_ptr<store::IntrinsicCells>>> child_intrinsics;
    std::vector<std::pair<Field, std::unique_ptr<store::AttributeCells>>> child_attributes;
};

Result<std::unique_ptr<StoredRows>> StoredRows::make(const Plan& plan) {
    std::unique_ptr<StoredRows> rows(new StoredRows());
    for (const Plan::Condition& condition : plan.conditions) {
        TRY_ASSIGN(store::CompiledPredicate compiled,
                   store::CompiledPredicate::compile(condition.predicate));
        rows->tests_.push_back({condition.filter, std::move(compiled), condition.is_exact});
    }
    rows->masks_.resize(rows->tests_.size());
    rows->has_mask_.assign(rows->tests_.size(), 0);
    return rows;
}

StoredRows::~StoredRows() = default;

void StoredRows::note(const Error& error) {
    if (reason_.empty()) reason_ = error.message;
}

StoredRows::Columns& StoredRows::columns_of(store::SearchSegment& segment) {
    std::unique_ptr<Columns>& columns = columns_[&segment];
    if (columns == nullptr) columns = std::make_unique<Columns>(segment, tests_.size());
    return *columns;
}

void StoredRows::load(const store::FoundTrace& trace) {
    trace_id_ = trace.trace_id;
    runs_.clear();
    spans_.clear();
    has_parents_ = false;
    std::fill(has_mask_.begin(), has_mask_.end(), 0);
    for (const store::FragmentPlace& place : *trace.places) {
        if (auto loaded = load_fragment(place); !loaded) note(loaded.error());
    }
    index_ids();
    if (!has_equal_ids_) return;
    drop_equal_spans();
    index_ids();
}

Result<void> StoredRows::load_fragment(const store::FragmentPlace& place) {
    Columns& columns = columns_of(*place.segment);
    const uint32_t end = place.fragment.first_row + place.fragment.rows;
    for (uint32_t row = place.fragment.first_row; row < end;) {
        runs_.push_back({&columns, columns.reader.group(columns.reader.group_of_row(row))});
        GroupReader& group = *runs_.back().group;
        const uint32_t first = group.rows().first_row;
        const uint32_t group_end = std::min(end, first + group.rows().rows);
        if (group_end <= row) return fail(ErrorCode::kDataLoss, "a row is in no row group");
        TRY(load_rows(place, group, static_cast<uint32_t>(runs_.size() - 1), row - first,
                      group_end - first));
        row = group_end;
    }
    return {};
}

Result<void> StoredRows::load_rows(const store::FragmentPlace& place, GroupReader& group,
                                   uint32_t run, uint32_t from, uint32_t end) {
    SegmentReader& reader = place.segment->reader();
    const auto block = [&](Intrinsic intrinsic) {
        return group.block(reader.column(Table::kSpans, intrinsic));
    };
    TRY_ASSIGN(const ColumnBlock* ids, block(Intrinsic::kSpanId));
    TRY_ASSIGN(const ColumnBlock* parents, block(Intrinsic::kParentId));
    TRY_ASSIGN(const ColumnBlock* starts, block(Intrinsic::kStart));
    TRY_ASSIGN(const ColumnBlock* durations, block(Intrinsic::kDuration));
    if (ids->fixed.size() < size_t{end} * 8 || starts->integers.size() < end ||
        durations->integers.size() < end) {
        return fail(ErrorCode::kDataLoss, "spans without id or time");
    }
    if (spans_.size() + (end - from) > kTraceSpansMax) {
        return fail(ErrorCode::kResourceExhausted,
                    "a trace has more than {} spans; what is over is not evaluated",
                    kTraceSpansMax);
    }
    const size_t first = spans_.size();
    spans_.resize(first + (end - from));
    for (uint32_t row = from; row < end; ++row) {
        Span& span = spans_[first + (row - from)];
        std::memcpy(span.id.bytes.data(), ids->fixed.data() + size_t{row} * 8, 8);
        span.parent_id = {};
        span.start_ns = static_cast<uint64_t>(starts->integers[row]);
        span.end_ns = span.start_ns + static_cast<uint64_t>(durations->integers[row]);
        span.run = run;
        span.row = row;
    }
    const auto set_parent = [&](uint32_t row, size_t position) {
        std::memcpy(spans_[first + (row - from)].parent_id.bytes.data(),
                    parents->fixed.data() + position * 8, 8);
    };
    if (parents->dense) {
        for (uint32_t row = from; row < end; ++row)
            set_parent(row, row);
        return {};
    }
    auto at = std::lower_bound(parents->rows.begin(), parents->rows.end(), from);
    for (; at != parents->rows.end() && *at < end; ++at)
        set_parent(*at, static_cast<size_t>(at - parents->rows.begin()));
    return {};
}

StoredRows::Slot& StoredRows::slot_of(SpanId id) {
    uint64_t key = 0;
    std::memcpy(&key, id.bytes.data(), 8);
    const size_t mask = slots_.size() - 1;
    // Ids need not be random.
    size_t at = (key * 0x9e3779b97f4a7c15ULL >> 32) & mask;
    while (slots_[at].generation == generation_ && slots_[at].id != key)
        at = (at + 1) & mask;
    slots_[at].id = key;
    return slots_[at];
}

void StoredRows::index_ids() {
    const size_t wanted = std::bit_ceil(std::max<size_t>(64, spans_.size() * 2));
    if (slots_.size() < wanted) {
        slots_.assign(wanted, {});
        generation_ = 0;
    }
    if (++generation_ == 0) {
        slots_.assign(slots_.size(), {});
        generation_ = 1;
    }
    has_equal_ids_ = false;
    for (size_t row = 0; row < spans_.size(); ++row) {
        Slot& slot = slot_of(spans_[row].id);
        if (slot.generation == generation_) {
            has_equal_ids_ = true;
            continue;
        }
        slot.generation = generation_;
        slot.row = static_cast<int32_t>(row);
    }
}

std::string StoredRows::content(const Span& span) {
    Columns& columns = *runs_[span.run].columns;
    std::string bytes;
    if (auto written =
            columns.segment.writer().write(*runs_[span.run].group, span.row, trace_id_, bytes);
        !written)
        note(written.error());
    const store::Segment& segment = columns.reader.segment();
    const auto scopes =
        runs_[span.run].group->block(columns.reader.column(Table::kSpans, RowField::kScopeIndex));
    if (!scopes || (*scopes)->integers.size() <= span.row) return bytes;
    const auto scope = static_cast<uint32_t>((*scopes)->integers[span.row]);
    if (scope >= segment.scope_count()) return bytes;
    const uint32_t resource = segment.scope_resource(scope);
    for (const std::string_view part :
         {segment.scope_message(scope), segment.scope_schema_url(scope),
          segment.resource_message(resource), segment.resource_schema_url(resource)}) {
        bytes += '\0';
        bytes += part;
    }
    return bytes;
}

// Contents are only compared where id and times are equal.
void StoredRows::drop_equal_spans() {
    std::vector<uint32_t> order(spans_.size());
    for (uint32_t i = 0; i < order.size(); ++i)
        order[i] = i;
    const auto key = [&](uint32_t row) {
        const Span& span = spans_[row];
        return std::tuple(span.id, span.start_ns, span.end_ns);
    };
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return key(a) != key(b) ? key(a) < key(b) : a < b; });
    std::vector<uint8_t> is_dropped(spans_.size(), 0);
    std::vector<std::string> contents;
    for (size_t i = 0; i < order.size();) {
        size_t end = i + 1;
        while (end < order.size() && key(order[i]) == key(order[end]))
            ++end;
        contents.clear();
        for (size_t at = i; end - i > 1 && at < end; ++at) {
            std::string bytes = content(spans_[order[at]]);
            if (std::find(contents.begin(), contents.end(), bytes) != contents.end()) {
                is_dropped[order[at]] = 1;
            } else {
                contents.push_back(std::move(bytes));
            }
        }
        i = end;
    }
    size_t kept = 0;
    for (size_t row = 0; row < spans_.size(); ++row) {
        if (is_dropped[row] == 0) spans_[kept++] = spans_[row];
    }
    spans_.resize(kept);
}

otlp::SpanKind StoredRows::kind_of(const Span& span) {
    const Run& run = runs_[span.run];
    const auto kinds =
        run.group->block(run.columns->reader.column(Table::kSpans, Intrinsic::kKind));
    if (!kinds) return otlp::SpanKind::kUnspecified;
    const auto at = store::position_of(**kinds, span.row);
    const int64_t kind = at ? (*kinds)->integers[*at] : 0;
    return static_cast<otlp::SpanKind>(kind >= 0 && kind <= 5 ? kind : 0);
}

std::span<const int32_t> StoredRows::parents() {
    if (has_parents_) return parents_;
    has_parents_ = true;
    if (has_equal_ids_) {
        std::vector<SpanLinks> links;
        for (const Span& span : spans_)
            links.push_back({span.id, span.parent_id, kind_of(span), span.start_ns});
        parents_ = find_parents(links);
        return parents_;
    }
    parents_.resize(spans_.size());
    bool ascends = true;  // every parent comes before its child: there can be no cycle
    for (size_t row = 0; row < spans_.size(); ++row) {
        int32_t& parent = parents_[row];
        parent = kRoot;
        if (spans_[row].parent_id.is_zero()) continue;
        const Slot& slot = slot_of(spans_[row].parent_id);
        const bool is_here =
            slot.generation == generation_ && slot.row != static_cast<int32_t>(row);
        parent = is_here ? slot.row : kOrphan;
        ascends = ascends && parent < static_cast<int32_t>(row);
    }
    if (ascends) return parents_;
    std::vector<uint64_t> starts;
    for (const Span& span : spans_)
        starts.push_back(span.start_ns);
    cut_cycles(parents_, starts);
    return parents_;
}

const std::vector<uint8_t>* StoredRows::candidates(const Expression& condition, bool& is_exact) {
    is_exact = false;
    size_t test = 0;
    while (test < tests_.size() && tests_[test].filter != &condition)
        ++test;
    if (test == tests_.size()) return nullptr;
    is_exact = tests_[test].is_exact;
    std::vector<uint8_t>& mask = masks_[test];
    if (has_mask_[test] != 0) return &mask;
    has_mask_[test] = 1;
    mask.assign(spans_.size(), 0);
    uint32_t run = UINT32_MAX;
    const RowBitmap* hits = nullptr;
    for (size_t row = 0; row < spans_.size(); ++row) {
        const Span& span = spans_[row];
        if (span.run != run) {
            run = span.run;
            const auto found =
                runs_[run].columns->hits(test, tests_[test].predicate, *runs_[run].group);
            if (!found) note(found.error());
            hits = found ? *found : nullptr;
        }
        mask[row] = hits != nullptr && hits->test(span.row) ? 1 : 0;
    }
    return &mask;
}

// First row of the group's events (or links) that belong to the span, and one past the last.
std::pair<uint32_t, uint32_t> StoredRows::child_rows(Table table, const Span& span) {
    const Run& run = runs_[span.run];
    if (run.group->table_rows(table) == 0) return {0, 0};
    const auto owners = run.group->block(run.columns->reader.column(table, RowField::kOwner));
    if (!owners) {
        note(owners.error());
        return {0, 0};
    }
    const auto& rows = (*owners)->integers;
    const auto range = std::equal_range(rows.begin(), rows.end(), static_cast<int64_t>(span.row));
    return {static_cast<uint32_t>(range.first - rows.begin()),
            static_cast<uint32_t>(range.second - rows.begin())};
}

uint32_t StoredRows::children(Table table, uint32_t row) {
    const auto [first, end] = child_rows(table, spans_[row]);
    return end - first;
}

Value StoredRows::child_value(const Field& field, uint32_t row, Table table, uint32_t child) {
    const Span& span = spans_[row];
    const auto [first, end] = child_rows(table, span);
    if (child >= end - first) return Value::nil();
    const Run& run = runs_[span.run];
    auto value = run.columns->child(field, table, *run.group, first + child);
    if (!value) {
        note(value.error());
        return Value::nil();
    }
    // A name that is not stored is empty.
    if (value->kind == ValueKind::kNil && field.intrinsic == Intrinsic::kEventName)
        return Value::of_string("");
    return std::move(*value);
}

store::SearchSegment& StoredRows::segment_of(uint32_t row) const {
    return runs_[spans_[row].run].columns->segment;
}

double StoredRows::weight(uint32_t row) {
    const Span& span = spans_[row];
    const Run& run = runs_[span.run];
    const uint32_t column = run.columns->reader.column(Table::kSpans, Intrinsic::kTraceState);
    if (column == store::kNoColumn) return 1;
    const auto states = run.group->block(column);
    if (!states) return 1;
    const auto at = store::position_of(**states, span.row);
    if (!at || *at >= (*states)->codes.size()) return 1;
    return otlp::adjusted_count((*states)->strings[(*states)->codes[*at]]).value;
}

Value StoredRows::value(const Field& field, const Place& place) {
    const Span& span = spans_[place.row];
    if (field.scope == Scope::kIntrinsic) {
        switch (field.intrinsic) {
            case Intrinsic::kDuration:
                return Value::of_duration(store::duration_of(
                    span.start_ns, static_cast<int64_t>(span.end_ns - span.start_ns)));
            case Intrinsic::kStart:
                return Value::of_int(static_cast<int64_t>(span.start_ns));
            case Intrinsic::kSpanId:
                return Value::of_string(span.id.hex());
            case Intrinsic::kTraceId:
                return Value::of_string(trace_id_.hex());
            case Intrinsic::kParentId:
                return Value::of_string(span.parent_id.is_zero() ? "" : span.parent_id.hex());
            default:
                break;
        }
    }
    const Table table = store::table_of(field);
    if (table == Table::kEvents && place.event != Place::kNone)
        return child_value(field, place.row, table, place.event);
    if (table == Table::kLinks && place.link != Place::kNone)
        return child_value(field, place.row, table, place.link);
    if (table != Table::kSpans && field.scope == Scope::kIntrinsic)
        return child_value(field, place.row, table, 0);
    const Run& run = runs_[span.run];
    auto value = run.columns->field(field).value(*run.group, span.row, trace_id_);
    if (!value) {
        note(value.error());
        return Value::nil();
    }
    if (value->kind == ValueKind::kNil && field.scope == Scope::kIntrinsic &&
        is_text(field.intrinsic))
        return Value::of_string("");
    return std::move(*value);
}

}  // namespace spanloom::traceql

#include "store/scan_columns.h"

#include <bit>

#include "store/attribute_cells.h"
#include "store/predicate_node.h"

namespace spanloom::store {
namespace {

bool is_textual(ValueKind kind) {
    return kind == ValueKind::kString || kind == ValueKind::kOther;
}

// Value i of a block as a cell.
int64_t cell_at(const ColumnBlock& block, size_t i) {
    switch (block.type) {
        case ColumnType::kInt:
            return block.integers[i];
        case ColumnType::kDouble:
            return std::bit_cast<int64_t>(block.numbers[i]);
        default:
            return block.codes[i];
    }
}

void share_texts(const ColumnBlock& block, ScanColumn& out) {
    out.texts = block.strings;
    out.owner = block.owner;
}

// Owns texts that are in no dictionary.
struct OwnTexts {
    std::deque<std::string> storage;
    std::vector<std::string_view> texts;

    int64_t add(std::string text) {
        storage.push_back(std::move(text));
        texts.push_back(storage.back());
        return static_cast<int64_t>(texts.size() - 1);
    }
};

int64_t cell_of(Value value, OwnTexts& texts) {
    if (is_textual(value.kind)) return texts.add(std::move(value.text));
    if (value.kind == ValueKind::kDouble) return std::bit_cast<int64_t>(value.number);
    return value.integer;
}

}  // namespace

double ScanColumn::number(size_t row) const {
    return kind_of(row) == ValueKind::kDouble ? std::bit_cast<double>(cells[row])
                                              : static_cast<double>(cells[row]);
}

Value ScanColumn::value(size_t row) const {
    const ValueKind one = kind_of(row);
    if (one == ValueKind::kNil) return Value::nil();
    if (is_textual(one)) return {one, 0, 0, std::string(text(row))};
    if (one == ValueKind::kDouble) return Value::of_double(std::bit_cast<double>(cells[row]));
    return {one, cells[row], 0, {}};
}

void Selection::assign(const RowBitmap& rows) {
    rows_.clear();
    rows.for_each([&](uint32_t row) { rows_.push_back(row); });
    is_all_ = rows_.size() == rows.rows();
    if (is_all_) return;
    places_.assign(rows.rows(), kNowhere);
    for (uint32_t place = 0; place < rows_.size(); ++place)
        places_[rows_[place]] = place;
}

FieldColumn::FieldColumn(SegmentReader& reader, const Field& field)
    : reader_(reader), field_(field), fields_(reader, field) {
    switch (field.scope) {
        case Scope::kSpan:
        case Scope::kAny:
            way_ = way_of_attribute();
            return;
        case Scope::kResource:
        case Scope::kInstrumentation:
            learn_scopes();
            way_ = Way::kScopes;
            return;
        case Scope::kIntrinsic:
            break;
        default:
            return;
    }
    switch (field.intrinsic) {
        case Intrinsic::kInstrumentationName:
        case Intrinsic::kInstrumentationVersion:
            learn_scopes();
            way_ = Way::kScopes;
            return;
        case Intrinsic::kDuration:
            way_ = Way::kDuration;
            return;
        case Intrinsic::kStart:
            way_ = Way::kStart;
            return;
        case Intrinsic::kKind:
        case Intrinsic::kStatus:
            way_ = Way::kNumber;
            return;
        case Intrinsic::kName:
            way_ = Way::kText;
            return;
        default:
            return;
    }
}

FieldColumn::Way FieldColumn::way_of_attribute() {
    columns_ = reader_.attribute_columns(Table::kSpans, field_.key);
    if (reader_.column(Table::kSpans, RowField::kOverflow) != kNoColumn) return Way::kRows;
    uint32_t textual = 0;
    for (const uint32_t column : columns_)
        textual += is_textual(kind_of(reader_.segment().columns()[column]));
    if (textual > 1) return Way::kRows;
    if (field_.scope == Scope::kSpan) return columns_.empty() ? Way::kNever : Way::kColumns;
    for (const Table table : {Table::kEvents, Table::kLinks})
        if (reader_.column(table, RowField::kOverflow) != kNoColumn ||
            !reader_.attribute_columns(table, field_.key).empty())
            return Way::kRows;
    learn_scopes();
    bool is_in_scopes = false;
    for (const ValueKind kind : scopes_->kinds)
        is_in_scopes |= kind != ValueKind::kNil;
    if (!is_in_scopes) return columns_.empty() ? Way::kNever : Way::kColumns;
    return columns_.empty() ? Way::kScopes : Way::kRows;
}

void FieldColumn::learn_scopes() {
    scopes_ = std::make_shared<ScopeValues>();
    OwnTexts texts;
    const Segment& segment = reader_.segment();
    for (uint32_t scope = 0; scope < segment.scope_count(); ++scope) {
        const bool of_scope =
            field_.scope == Scope::kInstrumentation || field_.scope == Scope::kIntrinsic;
        Value value =
            of_scope ? Value::nil() : scope_value(segment, field_, Scope::kResource, scope);
        if (value.kind == ValueKind::kNil && field_.scope != Scope::kResource)
            value = scope_value(segment, field_, Scope::kInstrumentation, scope);
        scopes_->kinds.push_back(value.kind);
        // Instances of one service share their text, so that codes can be compared.
        int64_t cell = -1;
        for (size_t i = 0; is_textual(value.kind) && i < texts.texts.size(); ++i)
            if (texts.texts[i] == value.text) cell = static_cast<int64_t>(i);
        scopes_->cells.push_back(cell >= 0 ? cell : cell_of(std::move(value), texts));
    }
    scopes_->storage = std::move(texts.storage);
    scopes_->texts.assign(scopes_->storage.begin(), scopes_->storage.end());
}

Result<void> FieldColumn::read(GroupReader& group, const Selection& selection, ScanColumn& out) {
    out.kinds.clear();
    out.cells.resize(selection.size());
    out.kind = ValueKind::kNil;
    switch (way_) {
        case Way::kNever:
            return {};
        case Way::kColumns:
            return read_columns(group, selection, out);
        case Way::kScopes:
            return read_scopes(group, selection, out);
        case Way::kNumber:
        case Way::kStart:
            return read_numbers(group, selection, out);
        case Way::kDuration:
            return read_durations(group, selection, out);
        case Way::kText:
            return read_texts(group, selection, out);
        case Way::kRows:
            return read_rows(group, selection, out);
    }
    return {};
}

Result<void> FieldColumn::read_columns(GroupReader& group, const Selection& selection,
                                       ScanColumn& out) {
    size_t found = 0;
    const bool is_alone = columns_.size() == 1;
    out.kinds.assign(selection.size(), ValueKind::kNil);
    for (const uint32_t column : columns_) {
        TRY_ASSIGN(const ColumnBlock* block, group.block(column));
        const ValueKind kind = kind_of(reader_.segment().columns()[column]);
        if (is_textual(kind)) share_texts(*block, out);
        for (size_t i = 0; i < block->size(); ++i) {
            const uint32_t row = block->dense ? static_cast<uint32_t>(i) : block->rows[i];
            const uint32_t place = selection.place_of(row);
            if (place == Selection::kNowhere) continue;
            // Of two types the later attribute counts: only the order of the row knows.
            if (!is_alone && out.kinds[place] != ValueKind::kNil && out.kinds[place] != kind)
                return read_rows(group, selection, out);
            found += out.kinds[place] == ValueKind::kNil;
            out.kinds[place] = kind;
            out.cells[place] = cell_at(*block, i);
        }
    }
    if (is_alone && found == selection.size() && found > 0) {
        out.kind = out.kinds.front();
        out.kinds.clear();
    }
    return {};
}

Result<void> FieldColumn::read_scopes(GroupReader& group, const Selection& selection,
                                      ScanColumn& out) {
    TRY_ASSIGN(const ColumnBlock* block,
               group.block(reader_.column(Table::kSpans, RowField::kScopeIndex)));
    if (block->integers.size() < group.rows().rows)
        return fail(ErrorCode::kDataLoss, "spans without scope");
    out.kinds.resize(selection.size());
    out.texts = scopes_->texts;
    out.owner = scopes_;
    for (size_t place = 0; place < selection.size(); ++place) {
        const auto scope = static_cast<size_t>(block->integers[selection.rows()[place]]);
        out.kinds[place] = scopes_->kinds[scope];
        out.cells[place] = scopes_->cells[scope];
    }
    return {};
}

Result<void> FieldColumn::read_numbers(GroupReader& group, const Selection& selection,
                                       ScanColumn& out) {
    TRY_ASSIGN(const ColumnBlock* block,
               group.block(reader_.column(Table::kSpans, field_.intrinsic)));
    out.kind = way_ == Way::kStart                    ? ValueKind::kInt
               : field_.intrinsic == Intrinsic::kKind ? ValueKind::kSpanKind
                                                      : ValueKind::kStatus;
    const int64_t most = way_ == Way::kStart                    ? INT64_MAX
                         : field_.intrinsic == Intrinsic::kKind ? 5
                                                                : 2;
    std::fill(out.cells.begin(), out.cells.end(), 0);
    for (size_t i = 0; i < block->integers.size(); ++i) {
        const uint32_t place =
            selection.place_of(block->dense ? static_cast<uint32_t>(i) : block->rows[i]);
        if (place == Selection::kNowhere) continue;
        const int64_t value = block->integers[i];
        if (value >= 0)
            out.cells[place] = value <= most ? value : 0;
        else
            out.cells[place] = way_ == Way::kStart ? INT64_MAX : 0;
    }
    return {};
}

Result<void> FieldColumn::read_durations(GroupReader& group, const Selection& selection,
                                         ScanColumn& out) {
    TRY_ASSIGN(const ColumnBlock* block,
               group.block(reader_.column(Table::kSpans, Intrinsic::kDuration)));
    if (block->integers.size() < group.rows().rows)
        return fail(ErrorCode::kDataLoss, "spans without time");
    out.kind = ValueKind::kDuration;
    bool is_odd = false;
    for (size_t place = 0; place < selection.size(); ++place) {
        out.cells[place] = block->integers[selection.rows()[place]];
        is_odd |= out.cells[place] < 0;
    }
    // An end after 2262 wraps as well; the start tells, and such rows are few.
    if (!is_odd && group.rows().end_ns_max < uint64_t{INT64_MAX}) return {};
    TRY_ASSIGN(const ColumnBlock* starts,
               group.block(reader_.column(Table::kSpans, Intrinsic::kStart)));
    for (size_t place = 0; place < selection.size(); ++place)
        out.cells[place] = duration_of(
            static_cast<uint64_t>(starts->integers[selection.rows()[place]]), out.cells[place]);
    return {};
}

Result<void> FieldColumn::read_texts(GroupReader& group, const Selection& selection,
                                     ScanColumn& out) {
    TRY_ASSIGN(const ColumnBlock* block,
               group.block(reader_.column(Table::kSpans, field_.intrinsic)));
    if (!block->dense) return read_rows(group, selection, out);
    out.kind = ValueKind::kString;
    share_texts(*block, out);
    for (size_t place = 0; place < selection.size(); ++place)
        out.cells[place] = block->codes[selection.rows()[place]];
    return {};
}

Result<TraceId> FieldColumn::trace_of(GroupReader& group, uint32_t row) {
    const uint32_t at = group.rows().first_row + row;
    const bool is_here = fragment_index_ != UINT32_MAX && at >= fragment_.first_row &&
                         at < fragment_.first_row + fragment_.rows;
    if (!is_here) {
        TRY_ASSIGN(fragment_index_, reader_.fragment_of_row(at));
        TRY_ASSIGN(fragment_, reader_.segment().fragment(fragment_index_));
    }
    return fragment_.trace_id;
}

Result<void> FieldColumn::read_rows(GroupReader& group, const Selection& selection,
                                    ScanColumn& out) {
    auto texts = std::make_shared<OwnTexts>();
    out.kinds.resize(selection.size());
    const bool needs_trace = field_.intrinsic == Intrinsic::kTraceId;
    for (size_t place = 0; place < selection.size(); ++place) {
        const uint32_t row = selection.rows()[place];
        TraceId trace;
        if (needs_trace) {
            TRY_ASSIGN(trace, trace_of(group, row));
        }
        TRY_ASSIGN(Value value, fields_.value(group, row, trace));
        out.kinds[place] = value.kind;
        out.cells[place] = cell_of(std::move(value), *texts);
    }
    out.texts = texts->texts;
    out.owner = std::move(texts);
    return {};
}

}  // namespace spanloom::store

#include "traceql/stored_rows.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "store/intrinsic_cells.h"

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

}  // namespace

Result<std::unique_ptr<StoredRows>> StoredRows::make(const Plan& plan) {
    std::unique_ptr<StoredRows> rows(new StoredRows());
    TRY_ASSIGN(rows->tests_, stored_tests(plan));
    rows->masks_.resize(rows->tests_.size());
    rows->has_mask_.assign(rows->tests_.size(), 0);
    return rows;
}

StoredRows::~StoredRows() = default;

void StoredRows::note(const Error& error) {
    if (reason_.empty()) reason_ = error.message;
}

StoredFields& StoredRows::fields_of(store::SearchSegment& segment) {
    std::unique_ptr<StoredFields>& fields = fields_[&segment];
    if (fields == nullptr) fields = std::make_unique<StoredFields>(segment, tests_);
    return *fields;
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
    StoredFields& fields = fields_of(*place.segment);
    const uint32_t end = place.fragment.first_row + place.fragment.rows;
    for (uint32_t row = place.fragment.first_row; row < end;) {
        runs_.push_back({&fields, fields.reader().group(fields.reader().group_of_row(row))});
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
    StoredFields& fields = *runs_[span.run].fields;
    std::string bytes;
    if (auto written =
            fields.segment().writer().write(*runs_[span.run].group, span.row, trace_id_, bytes);
        !written)
        note(written.error());
    const store::Segment& segment = fields.reader().segment();
    const auto scopes =
        runs_[span.run].group->block(fields.reader().column(Table::kSpans, RowField::kScopeIndex));
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
        run.group->block(run.fields->reader().column(Table::kSpans, Intrinsic::kKind));
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
    const size_t test = test_of(tests_, condition);
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
            const auto found = runs_[run].fields->hits(test, *runs_[run].group);
            if (!found) note(found.error());
            hits = found ? *found : nullptr;
        }
        mask[row] = hits != nullptr && hits->test(span.row) ? 1 : 0;
    }
    if (tests_[test].only_roots) leave_roots(parents(), mask);
    return &mask;
}

uint32_t StoredRows::children(Table table, uint32_t row) {
    const Run& run = runs_[spans_[row].run];
    const auto rows = run.fields->children(table, *run.group, spans_[row].row);
    if (!rows) note(rows.error());
    return rows ? rows->second - rows->first : 0;
}

store::SearchSegment& StoredRows::segment_of(uint32_t row) const {
    return runs_[spans_[row].run].fields->segment();
}

double StoredRows::weight(uint32_t row) {
    const Run& run = runs_[spans_[row].run];
    const auto weight = run.fields->weight(*run.group, spans_[row].row);
    if (!weight) note(weight.error());
    return weight ? *weight : 1;
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
    const Run& run = runs_[span.run];
    auto value =
        run.fields->value(field, *run.group, {span.row, place.event, place.link}, trace_id_);
    if (value) return std::move(*value);
    note(value.error());
    return Value::nil();
}

}  // namespace spanloom::traceql

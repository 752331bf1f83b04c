#include "store/trace_summary.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

namespace spanloom::store {
namespace {

// Spans further than this from the range are not looked at, so that a search in an old range need
// not read everything newer: a trace can only be found by a span within it.
constexpr uint64_t kRangeMarginNs = 3'600'000'000'000;
// Spans of one trace that a summary takes into account: it keeps about 64 bytes for each.
constexpr size_t kSummarySpansMax = 1'000'000;

struct SpanFact {
    SpanId span_id;
    SpanId parent_id;
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    uint32_t place = 0;
    uint32_t row = 0;  // of the segment
    uint32_t scope = 0;
    bool is_error = false;
    bool is_match = false;
};

auto by_start(const SpanFact& span) {
    return std::tie(span.start_ns, span.span_id, span.place, span.row);
}

bool has_rows(const ColumnBlock& block, size_t end) {
    return block.integers.size() >= end;
}

class Summary {
  public:
    Summary(const TraceId& id, const std::vector<FragmentPlace>& places,
            const SearchRequest& request)
        : id_(id), places_(places), request_(request) {}

    SummaryOutcome run() {
        for (uint32_t i = 0; i < places_.size(); ++i) {
            if (auto read = read_place(i); !read) note(read.error());
        }
        drop_equal_spans();
        outcome_.summary.trace_id = id_;
        count();
        describe_root();
        describe_matches();
        return std::move(outcome_);
    }

  private:
    void note(const Error& error) {
        if (outcome_.reason.empty()) outcome_.reason = error.message;
    }

    Result<void> read_place(uint32_t index) {
        const FragmentPlace& place = places_[index];
        SegmentReader& reader = place.segment->reader();
        const uint32_t end = place.fragment.first_row + place.fragment.rows;
        for (uint32_t row = place.fragment.first_row; row < end;) {
            const uint32_t group_index = reader.group_of_row(row);
            const auto group = reader.group(group_index);
            const uint32_t group_end = std::min(end, group->rows().first_row + group->rows().rows);
            if (group_end <= row) return fail(ErrorCode::kDataLoss, "a row is in no row group");
            TRY_ASSIGN(const RowBitmap* matches, place.segment->matches(group_index));
            TRY(read_rows(*group, reader, index, row, group_end, *matches));
            row = group_end;
        }
        return {};
    }

    Result<void> read_rows(GroupReader& group, SegmentReader& reader, uint32_t place, uint32_t from,
                           uint32_t end, const RowBitmap& matches) {
        constexpr Table kTable = Table::kSpans;
        const auto block = [&](Intrinsic intrinsic) {
            return group.block(reader.column(kTable, intrinsic));
        };
        TRY_ASSIGN(const ColumnBlock* ids, block(Intrinsic::kSpanId));
        TRY_ASSIGN(const ColumnBlock* parents, block(Intrinsic::kParentId));
        TRY_ASSIGN(const ColumnBlock* starts, block(Intrinsic::kStart));
        TRY_ASSIGN(const ColumnBlock* durations, block(Intrinsic::kDuration));
        TRY_ASSIGN(const ColumnBlock* statuses, block(Intrinsic::kStatus));
        TRY_ASSIGN(const ColumnBlock* scopes,
                   group.block(reader.column(kTable, RowField::kScopeIndex)));
        const uint32_t first = group.rows().first_row;
        const uint32_t last = end - first;
        if (ids->fixed.size() < size_t{last} * 8 || !has_rows(*starts, last) ||
            !has_rows(*durations, last) || !has_rows(*scopes, last)) {
            return fail(ErrorCode::kDataLoss, "spans without id, time or scope");
        }
        for (uint32_t row = from - first; row < last; ++row) {
            if (spans_.size() >= kSummarySpansMax) {
                return fail(ErrorCode::kResourceExhausted,
                            "a trace has more than {} spans; what is over is not counted",
                            kSummarySpansMax);
            }
            SpanFact& span = spans_.emplace_back();
            std::memcpy(span.span_id.bytes.data(), ids->fixed.data() + size_t{row} * 8, 8);
            if (const auto at = position_of(*parents, row)) {
                std::memcpy(span.parent_id.bytes.data(), parents->fixed.data() + size_t{*at} * 8,
                            8);
            }
            span.start_ns = static_cast<uint64_t>(starts->integers[row]);
            span.end_ns = span.start_ns + static_cast<uint64_t>(durations->integers[row]);
            span.place = place;
            span.row = first + row;
            span.scope = static_cast<uint32_t>(scopes->integers[row]);
            const auto status = position_of(*statuses, row);
            span.is_error = status && statuses->integers[*status] == 2;
            span.is_match = matches.test(row);
        }
        return {};
    }

    Result<std::string> content(const SpanFact& span) {
        SearchSegment& segment = *places_[span.place].segment;
        SegmentReader& reader = segment.reader();
        const auto group = reader.group(reader.group_of_row(span.row));
        std::string bytes;
        TRY(segment.writer().write(*group, span.row - group->rows().first_row, id_, bytes));
        const Segment& store = segment.segment();
        if (span.scope >= store.scope_count()) return bytes;
        const uint32_t resource = store.scope_resource(span.scope);
        for (const std::string_view part :
             {store.scope_message(span.scope), store.scope_schema_url(span.scope),
              store.resource_message(resource), store.resource_schema_url(resource)}) {
            bytes += '\0';
            bytes += part;
        }
        return bytes;
    }

    // Sorts by id, then keeps one of each set of equal spans. Contents are only compared where
    // id and times are equal.
    void drop_equal_spans() {
        std::sort(spans_.begin(), spans_.end(), [](const SpanFact& a, const SpanFact& b) {
            return std::tie(a.span_id, a.start_ns, a.end_ns, a.place, a.row) <
                   std::tie(b.span_id, b.start_ns, b.end_ns, b.place, b.row);
        });
        const auto alike = [](const SpanFact& a, const SpanFact& b) {
            return std::tie(a.span_id, a.start_ns, a.end_ns) ==
                   std::tie(b.span_id, b.start_ns, b.end_ns);
        };
        size_t kept = 0;
        std::vector<std::string> contents;
        for (size_t i = 0; i < spans_.size();) {
            size_t end = i + 1;
            while (end < spans_.size() && alike(spans_[i], spans_[end]))
                ++end;
            contents.clear();
            for (size_t at = i; at < end; ++at) {
                if (end - i > 1 && !is_new(spans_[at], contents)) continue;
                spans_[kept++] = spans_[at];
            }
            i = end;
        }
        spans_.resize(kept);
    }

    bool is_new(const SpanFact& span, std::vector<std::string>& contents) {
        auto bytes = content(span);
        if (!bytes) {
            note(bytes.error());
            return true;
        }
        if (std::find(contents.begin(), contents.end(), *bytes) != contents.end()) return false;
        contents.push_back(std::move(*bytes));
        return true;
    }

    std::string_view service_of(const SpanFact& span) {
        return places_[span.place].segment->reader().service_of_scope(span.scope);
    }

    bool is_received(const SpanId& id) const {
        const auto at = std::lower_bound(
            spans_.begin(), spans_.end(), id,
            [](const SpanFact& span, const SpanId& wanted) { return span.span_id < wanted; });
        return at != spans_.end() && at->span_id == id;
    }

    void count() {
        TraceSummary& summary = outcome_.summary;
        std::map<std::string_view, ServiceCount> services;
        summary.start_ns = UINT64_MAX;
        for (const SpanFact& span : spans_) {
            summary.start_ns = std::min(summary.start_ns, span.start_ns);
            summary.end_ns = std::max({summary.end_ns, span.start_ns, span.end_ns});
            summary.errors += span.is_error ? 1 : 0;
            summary.matched += span.is_match ? 1 : 0;
            if (!span.parent_id.is_zero() && !is_received(span.parent_id)) ++summary.orphans;
            ServiceCount& service = services[service_of(span)];
            ++service.spans;
            service.errors += span.is_error ? 1 : 0;
        }
        summary.spans = static_cast<uint32_t>(spans_.size());
        if (spans_.empty()) summary.start_ns = 0;
        for (auto& [name, counts] : services) {
            counts.name = name;
            summary.services.push_back(std::move(counts));
        }
    }

    std::string name_of(const SpanFact& span) {
        SegmentReader& reader = places_[span.place].segment->reader();
        const auto group = reader.group(reader.group_of_row(span.row));
        const auto block = group->block(reader.column(Table::kSpans, Intrinsic::kName));
        if (!block) {
            note(block.error());
            return {};
        }
        const auto at = position_of(**block, span.row - group->rows().first_row);
        return at ? std::string((*block)->strings[(*block)->codes[*at]]) : std::string();
    }

    void describe_root() {
        const SpanFact* root = nullptr;
        const SpanFact* earliest = nullptr;
        for (const SpanFact& span : spans_) {
            if (earliest == nullptr || by_start(span) < by_start(*earliest)) earliest = &span;
            if (!span.parent_id.is_zero()) continue;
            if (root == nullptr || by_start(span) < by_start(*root)) root = &span;
        }
        outcome_.summary.root_received = root != nullptr;
        const SpanFact* shown = root != nullptr ? root : earliest;
        if (shown == nullptr) return;
        outcome_.summary.root_service = service_of(*shown);
        outcome_.summary.root_name = name_of(*shown);
    }

    void describe_matches() {
        std::vector<const SpanFact*> matches;
        for (const SpanFact& span : spans_) {
            if (span.is_match) matches.push_back(&span);
        }
        const size_t shown = std::min<size_t>(matches.size(), request_.spans_per_trace);
        std::partial_sort(
            matches.begin(), matches.begin() + static_cast<ptrdiff_t>(shown), matches.end(),
            [](const SpanFact* a, const SpanFact* b) { return by_start(*a) < by_start(*b); });
        for (size_t i = 0; i < shown; ++i) {
            const SpanFact& span = *matches[i];
            MatchedSpan& match = outcome_.summary.matched_spans.emplace_back();
            match.span_id = span.span_id;
            match.name = name_of(span);
            match.start_ns = span.start_ns;
            match.duration_ns = span.end_ns > span.start_ns ? span.end_ns - span.start_ns : 0;
            if (auto filled = fill_wanted(span, match); !filled) note(filled.error());
        }
    }

    Result<void> fill_wanted(const SpanFact& span, MatchedSpan& match) {
        SearchSegment& segment = *places_[span.place].segment;
        SegmentReader& reader = segment.reader();
        const auto group = reader.group(reader.group_of_row(span.row));
        for (size_t i = 0; i < request_.wanted.size(); ++i) {
            TRY_ASSIGN(Value value,
                       segment.wanted(i).value(*group, span.row - group->rows().first_row, id_));
            if (value.kind == ValueKind::kNil) continue;
            match.values.emplace_back(request_.wanted[i], std::move(value));
        }
        return {};
    }

    const TraceId& id_;
    const std::vector<FragmentPlace>& places_;
    const SearchRequest& request_;
    std::vector<SpanFact> spans_;  // by span id, once read
    SummaryOutcome outcome_;
};

Result<bool> fragment_in_range(const FragmentPlace& place, TimeRange range) {
    SegmentReader& reader = place.segment->reader();
    const uint32_t end = place.fragment.first_row + place.fragment.rows;
    for (uint32_t row = place.fragment.first_row; row < end;) {
        const auto group = reader.group(reader.group_of_row(row));
        const uint32_t first = group->rows().first_row;
        TRY_ASSIGN(const ColumnBlock* starts,
                   group->block(reader.column(Table::kSpans, Intrinsic::kStart)));
        TRY_ASSIGN(const ColumnBlock* durations,
                   group->block(reader.column(Table::kSpans, Intrinsic::kDuration)));
        const uint32_t group_end = std::min(end, first + group->rows().rows);
        if (group_end <= row || !has_rows(*starts, group_end - first) ||
            !has_rows(*durations, group_end - first)) {
            return fail(ErrorCode::kDataLoss, "spans without time");
        }
        for (; row < group_end; ++row) {
            const auto start = static_cast<uint64_t>(starts->integers[row - first]);
            const auto finish = start + static_cast<uint64_t>(durations->integers[row - first]);
            if (overlaps(start, std::max(start, finish), range)) return true;
        }
    }
    return false;
}

}  // namespace

SearchSegment::SearchSegment(std::shared_ptr<const Segment> segment,
                             const CompiledPredicate& predicate, const SearchRequest& request,
                             ScanMemory* memory)
    : segment_(std::move(segment)), compiled_(predicate), request_(request), memory_(memory) {}

SegmentReader& SearchSegment::reader() {
    if (reader_ != nullptr) return *reader_;
    reader_ = std::make_unique<SegmentReader>(segment_);
    if (memory_ != nullptr) reader_->limit_memory(*memory_);
    return *reader_;
}

SpanWriter& SearchSegment::writer() {
    if (writer_ == nullptr) writer_ = std::make_unique<SpanWriter>(reader());
    return *writer_;
}

void SearchSegment::foresee_rows_of(const TraceFragment& fragment) {
    const uint32_t group = reader().group_of_row(fragment.first_row);
    if (foreseen_group_ == group) return;
    foreseen_group_ = group;
    segment_->foresee_group(group);
}

Result<BoundPredicate*> SearchSegment::predicate() {
    if (!bound_) {
        TRY_ASSIGN(BoundPredicate bound, BoundPredicate::bind(compiled_, reader()));
        bound_.emplace(std::move(bound));
    }
    return &*bound_;
}

FieldReader& SearchSegment::wanted(size_t index) {
    if (wanted_.empty()) wanted_.resize(request_.wanted.size());
    if (wanted_[index] == nullptr) {
        wanted_[index] = std::make_unique<FieldReader>(reader(), request_.wanted[index]);
    }
    return *wanted_[index];
}

Result<void> SearchSegment::leave_near_range(GroupReader& group, RowBitmap& rows) {
    const TimeRange near = with_margin(request_.range);
    if (group.rows().start_ns_min >= near.start_ns && group.rows().end_ns_max < near.end_ns)
        return {};
    TRY_ASSIGN(const ColumnBlock* starts,
               group.block(reader_->column(Table::kSpans, Intrinsic::kStart)));
    TRY_ASSIGN(const ColumnBlock* durations,
               group.block(reader_->column(Table::kSpans, Intrinsic::kDuration)));
    if (!has_rows(*starts, rows.rows()) || !has_rows(*durations, rows.rows())) {
        return fail(ErrorCode::kDataLoss, "spans without time");
    }
    RowBitmap inside(rows.rows());
    rows.for_each([&](uint32_t row) {
        const auto start = static_cast<uint64_t>(starts->integers[row]);
        const auto end = start + static_cast<uint64_t>(durations->integers[row]);
        if (overlaps(start, std::max(start, end), near)) inside.set(row);
    });
    rows = std::move(inside);
    return {};
}

Result<const RowBitmap*> SearchSegment::matches(uint32_t group_index) {
    if (evaluated_group_ == group_index) return &evaluated_;
    TRY_ASSIGN(BoundPredicate * bound, predicate());
    const auto group = reader().group(group_index);
    RowBitmap rows(group->rows().rows);
    if (bound->may_match(group->rows())) {
        TRY_ASSIGN(rows, bound->evaluate(*group, RowBitmap::all(group->rows().rows)));
        TRY(leave_near_range(*group, rows));
    }
    evaluated_ = std::move(rows);
    evaluated_group_ = group_index;
    return &evaluated_;
}

TimeRange with_margin(TimeRange range) {
    range.start_ns = range.start_ns > kRangeMarginNs ? range.start_ns - kRangeMarginNs : 0;
    range.end_ns =
        range.end_ns < UINT64_MAX - kRangeMarginNs ? range.end_ns + kRangeMarginNs : UINT64_MAX;
    return range;
}

Result<bool> is_in_range(const std::vector<FragmentPlace>& places, TimeRange range) {
    bool is_unclear = false;
    for (const FragmentPlace& place : places) {
        const TraceFragment& fragment = place.fragment;
        // Its earliest span starts here, whatever comes later.
        if (fragment.start_ns >= range.start_ns && fragment.start_ns < range.end_ns) return true;
        if (overlaps(fragment.start_ns, fragment.end_ns, range)) is_unclear = true;
    }
    if (!is_unclear) return false;
    for (const FragmentPlace& place : places) {
        TRY_ASSIGN(const bool inside, fragment_in_range(place, range));
        if (inside) return true;
    }
    return false;
}

SummaryOutcome summarize(const TraceId& id, const std::vector<FragmentPlace>& places,
                         const SearchRequest& request) {
    return Summary(id, places, request).run();
}

}  // namespace spanloom::store

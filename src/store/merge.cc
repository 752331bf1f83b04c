#include <algorithm>
#include <array>
#include <cstring>
#include <list>

#include "base/hash.h"
#include "store/merge_input.h"
#include "store/merge_plan.h"
#include "store/segment.h"
#include "store/segment_rows.h"

namespace spanloom::store {
namespace {

// Decoded row groups kept beyond one per input: traces of several inputs may be far apart in each.
constexpr size_t kGroupsKept = 8;

// One row of a fragment whose rows come from several places.
struct MergeRow {
    uint64_t start_ns = 0;
    SpanId span_id;
    SpanId parent_id;
    uint32_t input = 0;
    uint32_t group = 0;
    uint32_t row = 0;
    uint64_t delayed_until_s = 0;  // 0: it came in time
};

constexpr uint64_t kGroupTextBytes = 8U << 20;

class Merge {
  public:
    Merge(std::span<const std::shared_ptr<const Segment>> inputs, const SegmentOptions& options,
          WritableFile& output, const std::function<bool()>& stop)
        : writer_(options, output),
          plan_(options.row_group_rows),
          has_rollup_(options.rollup != nullptr),
          stop_(stop),
          keeps_trace_(options.keeps_trace),
          threshold_of_(options.threshold_of) {
        for (const auto& input : inputs)
            inputs_.emplace_back(input, writer_);
        for (uint32_t column = 0; column < kFixedColumns; ++column) {
            const ColumnKey& key = fixed_columns()[column];
            const bool is_simple =
                key.row_field != RowField::kAttributeOrder && key.row_field != RowField::kOwner &&
                key.row_field != RowField::kOverflow && column != kColumnParentId;
            if (is_simple) fixed_by_table_[static_cast<size_t>(key.table)].push_back(column);
        }
    }

    Result<SegmentInfo> run();

  private:
    Result<void> write_fragment(uint32_t number);
    Result<bool> has_equal_rows(const MergeMember& member);
    Result<void> write_whole(uint32_t number, const MergeMember& member);
    Result<void> collect_rows(const JoinedFragment& joined);
    Result<void> collect_rows(const MergeMember& member, uint64_t start_ns);
    Result<void> drop_equal_rows(TraceFragment& whole);
    Result<void> write_rows(uint32_t number, const TraceFragment& whole);
    // A group is decoded whole: few rows with large texts are enough of one.
    bool is_heavy() const { return writer_.staged_text_bytes() > kGroupTextBytes; }
    Result<void> close_group();
    Result<void> add_counted();
    Result<MergeGroup*> group(uint32_t input, uint32_t number);
    Result<WholeGroup*> whole_group(uint32_t input, uint32_t number);

    Result<void> emit_run(uint32_t input, uint32_t number, uint32_t row, uint32_t end);
    Result<void> emit_table(Table table, uint32_t input, uint32_t number, uint32_t row,
                            uint32_t end);
    // `before`: how many rows of the table the group at hand has by now.
    void emit_fixed(uint32_t column, uint32_t input, MergeGroup& group, uint32_t row, uint32_t end,
                    size_t before);
    size_t staged_rows(Table table);
    bool emit_orders(Table table, uint32_t input, MergeGroup& group, uint32_t row, uint32_t end);
    Result<void> emit_children(Table table, uint32_t input, uint32_t number, uint32_t row,
                               uint32_t end, int64_t first_owner);
    uint32_t empty_text(uint32_t column);
    void add_parent(int64_t link, const SpanId& id);
    void add_delay(uint32_t row, uint64_t until_s) {
        if (until_s > 0) writer_.delays().add(row, until_s);
    }

    SegmentWriter writer_;
    GroupPlan plan_;
    const bool has_rollup_;
    const std::function<bool()>& stop_;
    const std::function<bool(const TraceId&)>& keeps_trace_;
    const std::function<uint64_t(const TraceId&)>& threshold_of_;
    std::vector<MergeInput> inputs_;
    MergePlan fragments_;

    struct Loaded {
        uint32_t input = 0;
        uint32_t group = 0;
        std::shared_ptr<MergeGroup> columns;
    };
    std::list<Loaded> loaded_;  // newest first
    struct LoadedWhole {
        uint32_t input = 0;
        uint32_t group = UINT32_MAX;
        std::shared_ptr<WholeGroup> columns;
    };
    LoadedWhole whole_;                                    // the last one that was needed
    std::array<std::vector<uint32_t>, 3> fixed_by_table_;  // columns that rows simply have
    std::array<CodeMap::Entry, kFixedColumns> empty_texts_;

    std::vector<MergeRow> rows_;  // of the fragment at hand
    std::vector<SpanId> ids_;
    std::vector<SpanId> parents_;
    std::vector<int64_t> links_;
};

Result<MergeGroup*> Merge::group(uint32_t input, uint32_t number) {
    for (auto at = loaded_.begin(); at != loaded_.end(); ++at) {
        if (at->input != input || at->group != number) continue;
        if (at != loaded_.begin()) loaded_.splice(loaded_.begin(), loaded_, at);
        return at->columns.get();
    }
    TRY_ASSIGN(auto columns, inputs_[input].load(number));
    if (loaded_.size() >= inputs_.size() + kGroupsKept) loaded_.pop_back();
    loaded_.push_front({input, number, std::move(columns)});
    return loaded_.front().columns.get();
}

Result<WholeGroup*> Merge::whole_group(uint32_t input, uint32_t number) {
    if (whole_.input != input || whole_.group != number || whole_.columns == nullptr) {
        TRY_ASSIGN(auto columns, inputs_[input].load_whole(number));
        whole_ = {input, number, std::move(columns)};
    }
    return whole_.columns.get();
}

// The rows of one member, with the ids of their parents.
Result<void> Merge::collect_rows(const MergeMember& member, uint64_t start_ns) {
    const MergeInput& input = inputs_[member.input];
    const bool may_be_delayed = input.may_be_delayed(start_ns);
    const size_t base = rows_.size();
    links_.clear();
    for (uint32_t row = member.first_row; row < member.first_row + member.rows;) {
        const uint32_t number = inputs_[member.input].group_of(row);
        TRY_ASSIGN(MergeGroup* const source, group(member.input, number));
        const uint32_t first = row - source->meta.first_row;
        const uint32_t last =
            std::min(member.first_row + member.rows - source->meta.first_row, source->meta.rows);
        if (first >= last) return fail(ErrorCode::kDataLoss, "merge: a fragment has no rows");
        const ColumnBlock& starts = source->block(kColumnStart);
        const ColumnBlock& ids = source->block(kColumnSpanId);
        for (uint32_t r = first; r < last; ++r) {
            MergeRow& one = rows_.emplace_back();
            one.start_ns = static_cast<uint64_t>(starts.integers[r]);
            std::memcpy(one.span_id.bytes.data(), ids.fixed.data() + size_t{r} * 8, 8);
            links_.push_back(source->parent_link(r));
            if (links_.back() == kParentElsewhere) {
                TRY_ASSIGN(one.parent_id, source->parent_elsewhere(r));
            }
            if (may_be_delayed) one.delayed_until_s = input.delayed_until_s(*source, r);
            one.input = member.input;
            one.group = number;
            one.row = r;
        }
        row = source->meta.first_row + last;
    }
    for (size_t i = 0; i < links_.size(); ++i) {
        const int64_t link = links_[i];
        if (link == kParentNone || link == kParentElsewhere) continue;
        const auto own = static_cast<int64_t>(i);
        const int64_t parent = (link & 1) != 0 ? own + link / 2 : own - link / 2;
        if (link < 0 || parent < 0 || parent >= static_cast<int64_t>(links_.size()))
            return fail(ErrorCode::kDataLoss, "merge: a parent is out of range");
        rows_[base + i].parent_id = rows_[base + static_cast<size_t>(parent)].span_id;
    }
    return {};
}

Result<void> Merge::collect_rows(const JoinedFragment& joined) {
    rows_.clear();
    for (const MergeMember& member : fragments_.members(joined))
        TRY(collect_rows(member, joined.whole.start_ns));
    if (joined.members > 1) {
        std::sort(rows_.begin(), rows_.end(), [](const MergeRow& a, const MergeRow& b) {
            if (a.start_ns != b.start_ns) return a.start_ns < b.start_ns;
            if (a.span_id != b.span_id) return a.span_id < b.span_id;
            if (a.input != b.input) return a.input < b.input;
            return a.group != b.group ? a.group < b.group : a.row < b.row;
        });
    }
    return {};
}

// Whether rows of one member have the same start and id: perhaps one of them is to go.
Result<bool> Merge::has_equal_rows(const MergeMember& member) {
    uint64_t last_start = 0;
    SpanId last_id;
    for (uint32_t row = member.first_row; row < member.first_row + member.rows;) {
        TRY_ASSIGN(MergeGroup* const source,
                   group(member.input, inputs_[member.input].group_of(row)));
        const uint32_t first = row - source->meta.first_row;
        const uint32_t last =
            std::min(member.first_row + member.rows - source->meta.first_row, source->meta.rows);
        if (first >= last) return fail(ErrorCode::kDataLoss, "merge: a fragment has no rows");
        const int64_t* const starts = source->block(kColumnStart).integers.data();
        const char* const ids = source->block(kColumnSpanId).fixed.data();
        for (uint32_t r = first; r < last; ++r) {
            const auto start = static_cast<uint64_t>(starts[r]);
            const bool is_equal = r + source->meta.first_row > member.first_row &&
                                  start == last_start &&
                                  std::memcmp(ids + size_t{r} * 8, last_id.bytes.data(), 8) == 0;
            if (is_equal) return true;
            last_start = start;
            std::memcpy(last_id.bytes.data(), ids + size_t{r} * 8, 8);
        }
        row = source->meta.first_row + last;
    }
    return false;
}

// Rows with the same start and id are neighbours; among them, each content stays once, and came
// when its first one came.
Result<void> Merge::drop_equal_rows(TraceFragment& whole) {
    size_t to = 0;
    std::vector<std::string> contents;
    for (size_t i = 0; i < rows_.size();) {
        size_t end = i + 1;
        while (end < rows_.size() && rows_[end].start_ns == rows_[i].start_ns &&
               rows_[end].span_id == rows_[i].span_id)
            ++end;
        if (end == i + 1) {
            rows_[to++] = rows_[i++];
            continue;
        }
        contents.clear();
        const size_t first = to;
        for (; i < end; ++i) {
            TRY_ASSIGN(WholeGroup* const source, whole_group(rows_[i].input, rows_[i].group));
            std::string content = inputs_[rows_[i].input].content(*source, rows_[i].row);
            const auto same = std::find(contents.begin(), contents.end(), content);
            if (same == contents.end()) {
                contents.push_back(std::move(content));
                rows_[to++] = rows_[i];
                continue;
            }
            uint64_t& until_s = rows_[first + (same - contents.begin())].delayed_until_s;
            until_s = std::min(until_s, rows_[i].delayed_until_s);
            --whole.rows;
            TRY_ASSIGN(MergeGroup* const dropped, group(rows_[i].input, rows_[i].group));
            const auto& statuses = dropped->block(kColumnStatus).integers;
            whole.errors -= !statuses.empty() && statuses[rows_[i].row] ==
                                                     static_cast<int64_t>(otlp::StatusCode::kError);
        }
    }
    rows_.resize(to);
    return {};
}

// ---- rows into columns

uint32_t Merge::empty_text(uint32_t column) {
    CodeMap::Entry& known = empty_texts_[column];
    const uint32_t generation = writer_.texts(column).generation;
    if (known.generation != generation)
        known = {generation, writer_.intern(column, {}, hash64({}))};
    return known.code;
}

namespace {

// Columns that most spans have nothing in, and that nobody looks at before they are written: while
// all of a group is blank, nothing is staged.
bool may_stay_empty(uint32_t column) {
    switch (column) {
        case kColumnStatusMessage:
        case kColumnFlags:
        case kColumnDroppedAttributes:
        case kColumnDroppedEvents:
        case kColumnDroppedLinks:
        case kColumnOverflow:
        case kColumnEventDropped:
        case kColumnEventOverflow:
        case kColumnLinkTraceState:
        case kColumnLinkFlags:
        case kColumnLinkDropped:
        case kColumnLinkOverflow:
            return true;
        default:
            return false;
    }
}

}  // namespace

// Rows of a table in the group at hand, but for those of the run at hand.
size_t Merge::staged_rows(Table table) {
    if (table == Table::kSpans) return writer_.stage(kColumnSpanId).fixed.size() / 8;
    return writer_.stage(order_column(table)).codes.size();
}

void Merge::emit_fixed(uint32_t column, uint32_t input, MergeGroup& group, uint32_t row,
                       uint32_t end, size_t before) {
    TextSource& source = group.fixed[column];
    const ColumnBlock& block = *source.block;
    ColumnStage& stage = writer_.stage(column);
    switch (block.type) {
        case ColumnType::kFixed:
            stage.fixed.append(
                block.fixed.substr(size_t{row} * block.width, size_t{end - row} * block.width));
            break;
        case ColumnType::kInt:
            if (block.integers.empty()) {
                if (!stage.integers.empty() || !may_stay_empty(column))
                    stage.integers.resize(before + (end - row));
                break;
            }
            stage.integers.resize(before);
            if (column == kColumnScope)
                for (; row < end; ++row)
                    stage.integers.push_back(inputs_[input].output_scope(block.integers[row]));
            else if (end - row <= 4)  // most runs are short
                for (; row < end; ++row)
                    stage.integers.push_back(block.integers[row]);
            else
                stage.integers.insert(stage.integers.end(), block.integers.begin() + row,
                                      block.integers.begin() + end);
            break;
        default:
            if (block.codes.empty()) {
                if (!stage.codes.empty() || !may_stay_empty(column))
                    stage.codes.resize(before + (end - row), empty_text(column));
                break;
            }
            if (stage.codes.size() < before) stage.codes.resize(before, empty_text(column));
            const TextColumn& texts = writer_.texts(column);
            for (; row < end; ++row)
                stage.codes.push_back(source.code_of(block.codes[row], column, writer_, texts));
            break;
    }
}

// False where an order does not fit: then the run's rows are to be emitted one by one.
bool Merge::emit_orders(Table table, uint32_t input, MergeGroup& group, uint32_t row,
                        uint32_t end) {
    std::vector<uint32_t>& codes = writer_.stage(order_column(table)).codes;
    const size_t at = codes.size();
    const AttributeTable& attributes = group.attributes[static_cast<size_t>(table)];
    if (!attributes.has_orders()) {
        codes.resize(at + (end - row), 0);
        return true;
    }
    for (; row < end; ++row) {
        const uint32_t order =
            inputs_[input].output_order(table, attributes.orders(), attributes.order(row));
        if (order == SegmentWriter::kNone) {
            codes.resize(at);
            return false;
        }
        codes.push_back(order);
    }
    return true;
}

Result<void> Merge::emit_table(Table table, uint32_t input, uint32_t number, uint32_t row,
                               uint32_t end) {
    TRY_ASSIGN(MergeGroup* const group, this->group(input, number));
    AttributeTable& attributes = group->attributes[static_cast<size_t>(table)];
    const size_t before = staged_rows(table);
    for (const uint32_t column : fixed_by_table_[static_cast<size_t>(table)])
        emit_fixed(column, input, *group, row, end, before);
    const uint32_t overflow = overflow_column(table);
    if (emit_orders(table, input, *group, row, end)) {
        emit_fixed(overflow, input, *group, row, end, before);
        attributes.emit(row, end, writer_);
        return {};
    }
    for (size_t staged = before; row < end; ++row, ++staged) {
        if (emit_orders(table, input, *group, row, row + 1)) {
            emit_fixed(overflow, input, *group, row, row + 1, staged);
            attributes.emit(row, row + 1, writer_);
            continue;
        }
        TRY_ASSIGN(WholeGroup* const whole, whole_group(input, number));
        const std::string value = inputs_[input].overflow_value(table, *whole, row);
        writer_.stage(order_column(table)).codes.push_back(0);
        std::vector<uint32_t>& values = writer_.stage(overflow).codes;
        if (values.size() < staged) values.resize(staged, empty_text(overflow));
        values.push_back(writer_.intern(overflow, value, hash64(value)));
    }
    return {};
}

Result<void> Merge::emit_children(Table table, uint32_t input, uint32_t number, uint32_t row,
                                  uint32_t end, int64_t first_owner) {
    TRY_ASSIGN(MergeGroup* const group, this->group(input, number));
    const uint32_t column = table == Table::kEvents ? kColumnEventOwner : kColumnLinkOwner;
    const auto& owners = group->block(column).integers;
    const auto first = std::lower_bound(owners.begin(), owners.end(), int64_t{row});
    const auto last = std::lower_bound(first, owners.end(), int64_t{end});
    if (first == last) return {};
    auto& out = writer_.stage(column).integers;
    for (auto at = first; at != last; ++at)
        out.push_back(*at - row + first_owner);
    return emit_table(table, input, number, static_cast<uint32_t>(first - owners.begin()),
                      static_cast<uint32_t>(last - owners.begin()));
}

Result<void> Merge::emit_run(uint32_t input, uint32_t number, uint32_t row, uint32_t end) {
    const auto first_owner = static_cast<int64_t>(writer_.stage(kColumnStart).integers.size());
    TRY(emit_table(Table::kSpans, input, number, row, end));
    TRY(emit_children(Table::kEvents, input, number, row, end, first_owner));
    return emit_children(Table::kLinks, input, number, row, end, first_owner);
}

void Merge::add_parent(int64_t link, const SpanId& id) {
    ColumnStage& stage = writer_.stage(kColumnParentId);
    stage.integers.push_back(link);
    if (link == kParentElsewhere) stage.fixed.append(id.view());
}

Result<void> Merge::close_group() {
    TRY(plan_.write(writer_));
    if (stop_ && stop_()) return fail(ErrorCode::kCancelled, "merge: stopped");
    return {};
}

// How many events (links) the rows from one on have.
class ChildCounter {
  public:
    ChildCounter(const ColumnBlock& owners, uint32_t row)
        : at_(std::lower_bound(owners.integers.begin(), owners.integers.end(), int64_t{row})),
          end_(owners.integers.end()) {}
    uint32_t count(uint32_t row) {
        uint32_t count = 0;
        for (; at_ != end_ && *at_ == row; ++at_)
            ++count;
        return count;
    }

  private:
    std::vector<int64_t>::const_iterator at_;
    std::vector<int64_t>::const_iterator end_;
};

// A fragment that one input has alone: its rows, and the links between them, stay as they are.
Result<void> Merge::write_whole(uint32_t number, const MergeMember& member) {
    const TraceFragment& whole = fragments_.fragment(number).whole;
    const uint64_t start_ns = whole.start_ns;
    const uint32_t input = member.input;
    const bool may_be_delayed = inputs_[input].may_be_delayed(start_ns);
    if (plan_.is_due(member.rows)) TRY(close_group());
    const uint32_t end = member.first_row + member.rows;
    for (uint32_t at = member.first_row; at < end;) {
        const uint32_t source_number = inputs_[input].group_of(at);
        TRY_ASSIGN(MergeGroup* const source, group(input, source_number));
        const uint32_t base = source->meta.first_row;
        const uint32_t first = at - base;
        const uint32_t last = std::min(end - base, source->meta.rows);
        ChildCounter events(source->block(kColumnEventOwner), first);
        ChildCounter links(source->block(kColumnLinkOwner), first);
        uint32_t row = first;
        bool is_full = false;
        for (; row < last; ++row) {
            const uint32_t own_events = events.count(row);
            const uint32_t own_links = links.count(row);
            is_full = plan_.is_full(own_events, own_links);
            if (is_full) break;
            plan_.add(number, start_ns, row + base - member.first_row, own_events, own_links);
            const int64_t link = source->parent_link(row);
            SpanId id;
            if (link == kParentElsewhere) {
                TRY_ASSIGN(id, source->parent_elsewhere(row));
            }
            add_parent(link, id);
            if (may_be_delayed) {
                add_delay(whole.first_row + row + base - member.first_row,
                          inputs_[input].delayed_until_s(*source, row));
            }
        }
        if (row > first) TRY(emit_run(input, source_number, first, row));
        if (is_full || is_heavy()) TRY(close_group());
        at = row + base;
    }
    return {};
}

Result<void> Merge::write_rows(uint32_t number, const TraceFragment& whole) {
    ids_.clear();
    parents_.clear();
    for (const MergeRow& row : rows_) {
        ids_.push_back(row.span_id);
        parents_.push_back(row.parent_id);
    }
    link_parents(ids_, parents_, links_);
    if (plan_.is_due(whole.rows)) TRY(close_group());
    size_t i = 0;
    while (i < rows_.size()) {
        const MergeRow& first = rows_[i];
        TRY_ASSIGN(MergeGroup* const source, group(first.input, first.group));
        ChildCounter events(source->block(kColumnEventOwner), first.row);
        ChildCounter links(source->block(kColumnLinkOwner), first.row);
        uint32_t end = first.row;
        bool is_full = false;
        for (; i < rows_.size(); ++i, ++end) {
            const MergeRow& row = rows_[i];
            if (row.input != first.input || row.group != first.group || row.row != end) break;
            const uint32_t own_events = events.count(row.row);
            const uint32_t own_links = links.count(row.row);
            is_full = plan_.is_full(own_events, own_links);
            if (is_full) break;
            plan_.add(number, whole.start_ns, static_cast<uint32_t>(i), own_events, own_links);
            add_parent(links_[i], row.parent_id);
            add_delay(whole.first_row + static_cast<uint32_t>(i), row.delayed_until_s);
        }
        if (end > first.row) TRY(emit_run(first.input, first.group, first.row, end));
        if (is_full || is_heavy()) TRY(close_group());
    }
    return {};
}

Result<void> Merge::write_fragment(uint32_t number) {
    const JoinedFragment& joined = fragments_.fragment(number);
    TraceFragment whole = joined.whole;
    whole.first_row = number == 0 ? 0
                                  : fragments_.fragment(number - 1).whole.first_row +
                                        fragments_.fragment(number - 1).whole.rows;
    const MergeMember& first = fragments_.members(joined).front();
    bool is_alone = joined.members == 1;
    if (is_alone) {
        TRY_ASSIGN(const bool has_equal, has_equal_rows(first));
        is_alone = !has_equal;
    }
    if (!is_alone) {
        TRY(collect_rows(joined));
        TRY(drop_equal_rows(whole));
    }
    fragments_.fragment(number).whole = whole;
    writer_.add_fragment(whole, threshold_of_ ? threshold_of_(whole.trace_id) : joined.threshold);
    return is_alone ? write_whole(number, first) : write_rows(number, whole);
}

// Rows do not say how long spans were; what was counted of them does.
Result<void> Merge::add_counted() {
    for (const MergeInput& input : inputs_) {
        TRY_ASSIGN(Blob counted, input.segment().rollup());
        writer_.add_counted(std::move(counted));
    }
    return {};
}

Result<SegmentInfo> Merge::run() {
    for (MergeInput& input : inputs_) {
        TRY(input.prepare());
        const SegmentInfo& info = input.segment().info();
        if (info.spans > 0) writer_.add_arrival(info.arrival_ns_min, info.arrival_ns_max);
        if (!input.are_delays_complete()) writer_.delays().set_incomplete();
    }
    TRY(fragments_.make(inputs_, keeps_trace_));
    writer_.find_fragments_by([this](const TraceId& id) { return fragments_.find(id); });
    for (uint32_t number = 0; number < fragments_.size(); ++number)
        TRY(write_fragment(number));
    TRY(close_group());
    if (has_rollup_) TRY(add_counted());
    return writer_.finish();
}

}  // namespace

Result<SegmentInfo> merge_segments(std::span<const std::shared_ptr<const Segment>> inputs,
                                   const SegmentOptions& options, WritableFile& output,
                                   const std::function<bool()>& stop) {
    return Merge(inputs, options, output, stop).run();
}

}  // namespace spanloom::store

#include <algorithm>
#include <bit>
#include <cstring>
#include <list>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/hash.h"
#include "store/merge_input.h"
#include "store/segment.h"
#include "store/segment_rows.h"

namespace spanloom::store {
namespace {

// Decoded row groups kept beyond one per input: traces of several inputs may be far apart in each.
constexpr size_t kGroupsKept = 8;

// A fragment of one input, or several of the same trace.
struct JoinedFragment {
    TraceFragment whole;
    uint32_t first_member = 0;
    uint32_t members = 0;
};
struct Member {
    uint32_t joined = 0;
    uint32_t input = 0;
    uint32_t first_row = 0;
    uint32_t rows = 0;
};

// One row on its way into the output.
struct MergeRow {
    uint64_t start_ns = 0;
    SpanId span_id;
    SpanId parent_id;
    uint32_t input = 0;
    uint32_t group = 0;
    uint32_t row = 0;
};

class Merge {
  public:
    Merge(std::span<const std::shared_ptr<const Segment>> inputs, const SegmentOptions& options,
          WritableFile& output, const std::function<bool()>& stop)
        : writer_(options, output),
          plan_(options.row_group_rows),
          stop_(stop),
          keeps_trace_(options.keeps_trace) {
        for (const auto& input : inputs)
            inputs_.emplace_back(input, writer_);
    }

    Result<SegmentInfo> run();

  private:
    Result<void> plan_fragments();
    Result<void> write_fragment(uint32_t number);
    Result<void> collect_rows(const JoinedFragment& joined);
    Result<void> drop_equal_rows(TraceFragment& whole);
    Result<void> write_rows(uint32_t number, const TraceFragment& whole);
    Result<void> close_group();
    Result<MergeGroup*> group(uint32_t input, uint32_t number);

    void emit_run(uint32_t input, MergeGroup& group, uint32_t row, uint32_t end);
    void emit_table(Table table, uint32_t input, MergeGroup& group, uint32_t row, uint32_t end);
    void emit_fixed(uint32_t column, uint32_t input, MergeGroup& group, uint32_t row, uint32_t end);
    bool emit_orders(Table table, uint32_t input, MergeGroup& group, uint32_t row, uint32_t end);
    void emit_attributes(Table table, uint32_t input, MergeGroup& group, uint32_t row,
                         uint32_t end);
    void emit_children(Table table, uint32_t input, MergeGroup& group, uint32_t row, uint32_t end,
                       int64_t first_owner);

    SegmentWriter writer_;
    GroupPlan plan_;
    const std::function<bool()>& stop_;
    const std::function<bool(const TraceId&)>& keeps_trace_;
    std::vector<MergeInput> inputs_;
    std::vector<JoinedFragment> fragments_;
    std::vector<Member> members_;

    struct Loaded {
        uint32_t input = 0;
        uint32_t group = 0;
        std::shared_ptr<MergeGroup> columns;
    };
    std::list<Loaded> loaded_;  // newest first

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

// Which fragments there will be, in which order, and what they are made of.
Result<void> Merge::plan_fragments() {
    boost::unordered_flat_map<TraceId, uint32_t, std::hash<TraceId>> numbers;
    std::vector<Member> members;
    for (uint32_t input = 0; input < inputs_.size(); ++input) {
        const Segment& segment = inputs_[input].segment();
        for (uint32_t f = 0; f < segment.fragment_count(); ++f) {
            TRY_ASSIGN(const TraceFragment fragment, segment.fragment(f));
            if (keeps_trace_ && !keeps_trace_(fragment.trace_id)) continue;
            const auto [at, is_new] =
                numbers.try_emplace(fragment.trace_id, static_cast<uint32_t>(fragments_.size()));
            if (is_new) {
                fragments_.push_back({fragment, 0, 0});
                fragments_.back().whole.rows = 0;
                fragments_.back().whole.errors = 0;
            }
            JoinedFragment& joined = fragments_[at->second];
            joined.whole.start_ns = std::min(joined.whole.start_ns, fragment.start_ns);
            joined.whole.end_ns = std::max(joined.whole.end_ns, fragment.end_ns);
            joined.whole.rows += fragment.rows;
            joined.whole.errors += fragment.errors;
            ++joined.members;
            members.push_back({at->second, input, fragment.first_row, fragment.rows});
        }
    }
    uint32_t next = 0;
    for (JoinedFragment& joined : fragments_) {
        joined.first_member = next;
        next += joined.members;
        joined.members = 0;
    }
    members_.resize(members.size());
    for (const Member& member : members) {
        JoinedFragment& joined = fragments_[member.joined];
        members_[joined.first_member + joined.members++] = member;
    }
    std::sort(fragments_.begin(), fragments_.end(),
              [](const JoinedFragment& a, const JoinedFragment& b) {
                  return fragment_before(a.whole, b.whole);
              });
    return {};
}

Result<void> Merge::collect_rows(const JoinedFragment& joined) {
    rows_.clear();
    for (uint32_t m = 0; m < joined.members; ++m) {
        const Member& member = members_[joined.first_member + m];
        uint32_t row = member.first_row;
        const uint32_t end = member.first_row + member.rows;
        while (row < end) {
            const uint32_t number = inputs_[member.input].group_of(row);
            TRY_ASSIGN(MergeGroup* const source, group(member.input, number));
            const uint32_t first = row - source->meta.first_row;
            const uint32_t last = std::min(end - source->meta.first_row, source->meta.rows);
            if (first >= last) return fail(ErrorCode::kDataLoss, "merge: a fragment has no rows");
            const ColumnBlock& starts = source->block(kColumnStart);
            const ColumnBlock& ids = source->block(kColumnSpanId);
            MergeGroup::Column& parents = source->fixed[kColumnParentId];
            for (uint32_t r = first; r < last; ++r) {
                MergeRow& one = rows_.emplace_back();
                one.start_ns = static_cast<uint64_t>(starts.integers[r]);
                std::memcpy(one.span_id.bytes.data(), ids.fixed.data() + size_t{r} * 8, 8);
                const ValueRange parent = values_of(parents, r, r + 1);
                if (parent.first != parent.last)
                    std::memcpy(one.parent_id.bytes.data(),
                                parents.block->fixed.data() + parent.first * 8, 8);
                one.input = member.input;
                one.group = number;
                one.row = r;
            }
            row = source->meta.first_row + last;
        }
    }
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

// Rows with the same start and id are neighbours; among them, each content stays once.
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
        for (; i < end; ++i) {
            TRY_ASSIGN(MergeGroup* const source, group(rows_[i].input, rows_[i].group));
            std::string content = inputs_[rows_[i].input].content(*source, rows_[i].row);
            if (std::find(contents.begin(), contents.end(), content) == contents.end()) {
                contents.push_back(std::move(content));
                rows_[to++] = rows_[i];
                continue;
            }
            --whole.rows;
            whole.errors -= integer_of(*source, kColumnStatus, rows_[i].row) ==
                            static_cast<int64_t>(otlp::StatusCode::kError);
        }
    }
    rows_.resize(to);
    return {};
}

// ---- rows into columns

void Merge::emit_fixed(uint32_t column, uint32_t input, MergeGroup& group, uint32_t row,
                       uint32_t end) {
    MergeGroup::Column& source = group.fixed[column];
    const ColumnBlock& block = *source.block;
    ColumnStage& stage = writer_.stage(column);
    const ValueRange range = values_of(source, row, end);
    if (block.type == ColumnType::kFixed) {
        stage.fixed.append(block.fixed.substr(range.first * block.width,
                                              (range.last - range.first) * block.width));
        return;
    }
    if (block.type == ColumnType::kInt) {
        const size_t at = stage.integers.size();
        stage.integers.resize(at + (end - row));
        for (size_t i = range.first; i < range.last; ++i)
            stage.integers[at + (block.dense ? i : block.rows[i]) - row] =
                column == kColumnScope ? inputs_[input].output_scope(block.integers[i])
                                       : block.integers[i];
        return;
    }
    if (range.last - range.first == end - row) {
        inputs_[input].append_codes(source, column, range, stage.codes);
        return;
    }
    const uint32_t none = writer_.intern(column, {}, hash64({}));
    for (size_t i = range.first; i < range.last; ++i, ++row) {
        for (; row < block.rows[i]; ++row)
            stage.codes.push_back(none);
        inputs_[input].append_codes(source, column, {i, i + 1}, stage.codes);
    }
    for (; row < end; ++row)
        stage.codes.push_back(none);
}

// False where an order does not fit: then the run's rows are to be emitted one by one.
bool Merge::emit_orders(Table table, uint32_t input, MergeGroup& group, uint32_t row,
                        uint32_t end) {
    MergeGroup::Column& source = group.fixed[order_column(table)];
    const ColumnBlock& block = *source.block;
    const ValueRange range = values_of(source, row, end);
    std::vector<uint32_t>& codes = writer_.stage(order_column(table)).codes;
    const size_t at = codes.size();
    codes.resize(at + (end - row), 0);
    for (size_t i = range.first; i < range.last; ++i) {
        const uint32_t order = inputs_[input].output_order(table, block, block.codes[i]);
        if (order == SegmentWriter::kNone) {
            codes.resize(at);
            return false;
        }
        codes[at + (block.dense ? i : block.rows[i]) - row] = order;
    }
    return true;
}

void Merge::emit_attributes(Table table, uint32_t input, MergeGroup& group, uint32_t row,
                            uint32_t end) {
    MergeInput& from = inputs_[input];
    for (MergeGroup::Column& source : group.attributes) {
        if (from.segment().columns()[source.number].table != table) continue;
        const ValueRange range = values_of(source, row, end);
        if (range.first == range.last) continue;
        const ColumnBlock& block = *source.block;
        const uint32_t column = from.output_column(source.number);
        ColumnStage& stage = writer_.stage(column);
        switch (block.type) {
            case ColumnType::kInt:
                stage.integers.insert(stage.integers.end(), block.integers.begin() + range.first,
                                      block.integers.begin() + range.last);
                break;
            case ColumnType::kDouble:
                for (size_t i = range.first; i < range.last; ++i)
                    stage.integers.push_back(std::bit_cast<int64_t>(block.numbers[i]));
                break;
            default:
                from.append_codes(source, column, range, stage.codes);
                break;
        }
    }
}

void Merge::emit_table(Table table, uint32_t input, MergeGroup& group, uint32_t row, uint32_t end) {
    for (uint32_t column = 0; column < kFixedColumns; ++column) {
        const ColumnKey& key = fixed_columns()[column];
        if (key.table != table || key.row_field == RowField::kAttributeOrder ||
            key.row_field == RowField::kOwner || key.row_field == RowField::kOverflow ||
            column == kColumnParentId)
            continue;
        emit_fixed(column, input, group, row, end);
    }
    const uint32_t overflow = overflow_column(table);
    if (emit_orders(table, input, group, row, end)) {
        emit_fixed(overflow, input, group, row, end);
        emit_attributes(table, input, group, row, end);
        return;
    }
    for (; row < end; ++row) {
        if (emit_orders(table, input, group, row, row + 1)) {
            emit_fixed(overflow, input, group, row, row + 1);
            emit_attributes(table, input, group, row, row + 1);
            continue;
        }
        const std::string value = inputs_[input].overflow_value(table, group, row);
        writer_.stage(order_column(table)).codes.push_back(0);
        writer_.stage(overflow).codes.push_back(writer_.intern(overflow, value, hash64(value)));
    }
}

void Merge::emit_children(Table table, uint32_t input, MergeGroup& group, uint32_t row,
                          uint32_t end, int64_t first_owner) {
    const uint32_t column = table == Table::kEvents ? kColumnEventOwner : kColumnLinkOwner;
    const auto& owners = group.block(column).integers;
    const auto first = std::lower_bound(owners.begin(), owners.end(), int64_t{row});
    const auto last = std::lower_bound(first, owners.end(), int64_t{end});
    if (first == last) return;
    auto& out = writer_.stage(column).integers;
    for (auto at = first; at != last; ++at)
        out.push_back(*at - row + first_owner);
    emit_table(table, input, group, static_cast<uint32_t>(first - owners.begin()),
               static_cast<uint32_t>(last - owners.begin()));
}

void Merge::emit_run(uint32_t input, MergeGroup& group, uint32_t row, uint32_t end) {
    const auto first_owner = static_cast<int64_t>(writer_.stage(kColumnStart).integers.size());
    emit_table(Table::kSpans, input, group, row, end);
    emit_children(Table::kEvents, input, group, row, end, first_owner);
    emit_children(Table::kLinks, input, group, row, end, first_owner);
}

Result<void> Merge::close_group() {
    TRY(plan_.write(writer_));
    if (stop_ && stop_()) return fail(ErrorCode::kCancelled, "merge: stopped");
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
        const auto& events = source->block(kColumnEventOwner).integers;
        const auto& links = source->block(kColumnLinkOwner).integers;
        auto event = std::lower_bound(events.begin(), events.end(), int64_t{first.row});
        auto link = std::lower_bound(links.begin(), links.end(), int64_t{first.row});
        uint32_t end = first.row;
        bool is_full = false;
        for (; i < rows_.size(); ++i, ++end) {
            const MergeRow& row = rows_[i];
            if (row.input != first.input || row.group != first.group || row.row != end) break;
            uint32_t own_events = 0;
            uint32_t own_links = 0;
            for (; event != events.end() && *event == row.row; ++event)
                ++own_events;
            for (; link != links.end() && *link == row.row; ++link)
                ++own_links;
            if (plan_.is_full(own_events, own_links)) {
                is_full = true;
                break;
            }
            plan_.add(number, whole.start_ns, static_cast<uint32_t>(i), own_events, own_links);
            ColumnStage& stage = writer_.stage(kColumnParentId);
            stage.integers.push_back(links_[i]);
            if (links_[i] == kParentElsewhere) stage.fixed.append(row.parent_id.view());
        }
        if (end > first.row) emit_run(first.input, *source, first.row, end);
        if (is_full) TRY(close_group());
    }
    return {};
}

Result<void> Merge::write_fragment(uint32_t number) {
    const JoinedFragment& joined = fragments_[number];
    TraceFragment whole = joined.whole;
    TRY(collect_rows(joined));
    TRY(drop_equal_rows(whole));
    whole.first_row =
        number == 0 ? 0
                    : fragments_[number - 1].whole.first_row + fragments_[number - 1].whole.rows;
    fragments_[number].whole = whole;
    writer_.add_fragment(whole);
    return write_rows(number, whole);
}

Result<SegmentInfo> Merge::run() {
    for (MergeInput& input : inputs_) {
        TRY(input.prepare());
        const SegmentInfo& info = input.segment().info();
        if (info.spans > 0) writer_.add_arrival(info.arrival_ns_min, info.arrival_ns_max);
    }
    TRY(plan_fragments());
    for (uint32_t number = 0; number < fragments_.size(); ++number)
        TRY(write_fragment(number));
    TRY(close_group());
    return writer_.finish();
}

}  // namespace

Result<SegmentInfo> merge_segments(std::span<const std::shared_ptr<const Segment>> inputs,
                                   const SegmentOptions& options, WritableFile& output,
                                   const std::function<bool()>& stop) {
    return Merge(inputs, options, output, stop).run();
}

}  // namespace spanloom::store

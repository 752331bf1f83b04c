#include "store/hiding_segment.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "store/segment_rollup.h"

namespace spanloom::store {
namespace {

constexpr uint32_t kGone = UINT32_MAX;

// Which of a table's rows of one group stay: their number in what is shown, or kGone.
using RowMap = std::vector<uint32_t>;

uint32_t count_kept(const RowMap& map) {
    return static_cast<uint32_t>(
        std::count_if(map.begin(), map.end(), [](uint32_t row) { return row != kGone; }));
}

void copy_value(const ColumnBlock& from, size_t at, ColumnBlock& to, std::string& fixed) {
    switch (from.type) {
        case ColumnType::kInt:
            to.integers.push_back(from.integers[at]);
            break;
        case ColumnType::kDouble:
            to.numbers.push_back(from.numbers[at]);
            break;
        case ColumnType::kFixed:
            fixed.append(from.fixed.substr(at * from.width, from.width));
            break;
        default:
            to.codes.push_back(from.codes[at]);
            break;
    }
}

std::shared_ptr<ColumnBlock> filter_block(const ColumnBlock& from, const RowMap& map) {
    auto to = std::make_shared<ColumnBlock>();
    to->type = from.type;
    to->dense = from.dense;
    to->strings = from.strings;
    to->storage = from.storage;
    to->owner = from.owner;
    to->width = from.width;
    std::string fixed;
    for (size_t at = 0; at < from.size(); ++at) {
        const uint32_t row = from.dense ? static_cast<uint32_t>(at) : from.rows[at];
        if (row >= map.size() || map[row] == kGone) continue;
        copy_value(from, at, *to, fixed);
        if (!from.dense) to->rows.push_back(map[row]);
    }
    if (from.type == ColumnType::kFixed) {
        to->storage = Blob::copy_of(fixed);
        to->fixed = to->storage.view();
    }
    return to;
}

// Seen from outside immutable after prepare(); any thread.
class HidingSegment final : public Segment {
  public:
    HidingSegment(std::shared_ptr<const Segment> whole, std::vector<uint32_t> hidden,
                  RollupFunction rollup)
        : whole_(std::move(whole)),
          hidden_(std::move(hidden)),
          count_(std::move(rollup)),
          info_(whole_->info()) {}

    Result<void> prepare() {
        uint32_t before = 0;
        for (const uint32_t index : hidden_) {
            TRY_ASSIGN(const TraceFragment fragment, whole_->fragment(index));
            ranges_.push_back({fragment.first_row, fragment.first_row + fragment.rows, before});
            before += fragment.rows;
        }
        info_.spans -= before;
        info_.traces -= hidden_.size();
        for (uint32_t column = 0; column < whole_->columns().size(); ++column) {
            if (whole_->columns()[column].row_field != RowField::kOwner) continue;
            const bool is_event = whole_->columns()[column].table == Table::kEvents;
            (is_event ? event_owner_ : link_owner_) = column;
        }
        uint32_t rows = 0;
        uint32_t events = 0;
        uint32_t links = 0;
        for (uint32_t number = 0; number < whole_->row_groups().size(); ++number) {
            TRY_ASSIGN(Group group, view_of(number));
            // One of which nothing is left stays, so that groups keep their numbers.
            group.shown.first_row = rows;
            group.shown.first_event = events;
            group.shown.first_link = links;
            rows += group.shown.rows;
            events += group.shown.events;
            links += group.shown.links;
            shown_.push_back(group.shown);
            groups_.push_back(std::move(group));
        }
        return {};
    }

    const SegmentInfo& info() const override { return info_; }
    size_t memory_bytes() const override { return whole_->memory_bytes(); }

    uint32_t fragment_count() const override {
        return whole_->fragment_count() - static_cast<uint32_t>(hidden_.size());
    }
    Result<TraceFragment> fragment(uint32_t index) const override {
        // The hidden fragment k has hidden_[k] - k shown ones before it.
        uint32_t first = 0;
        auto last = static_cast<uint32_t>(hidden_.size());
        while (first < last) {
            const uint32_t middle = (first + last) / 2;
            if (hidden_[middle] - middle <= index) {
                first = middle + 1;
            } else {
                last = middle;
            }
        }
        TRY_ASSIGN(const TraceFragment fragment, whole_->fragment(index + first));
        return renumbered(fragment);
    }
    Result<std::optional<TraceFragment>> find(const TraceId& id) const override {
        TRY_ASSIGN(const std::optional<TraceFragment> found, whole_->find(id));
        if (!found || is_row_hidden(found->first_row)) return std::nullopt;
        return renumbered(*found);
    }

    Result<std::shared_ptr<const Thresholds>> thresholds() const override {
        TRY_ASSIGN(const auto of_whole, whole_->thresholds());
        if (of_whole == nullptr) return nullptr;
        auto shown = std::make_shared<Thresholds>();
        auto hidden = hidden_.begin();
        for (uint32_t index = 0; index < of_whole->size(); ++index) {
            if (hidden != hidden_.end() && *hidden == index) {
                ++hidden;
            } else {
                shown->push_back((*of_whole)[index]);
            }
        }
        return std::shared_ptr<const Thresholds>(std::move(shown));
    }

    Result<std::shared_ptr<const Delays>> delays() const override {
        TRY_ASSIGN(const auto of_whole, whole_->delays());
        if (of_whole == nullptr) return nullptr;
        auto shown = std::make_shared<Delays>();
        shown->is_complete = of_whole->is_complete;
        for (const DelayedRows& run : of_whole->runs)
            add_shown(run, *shown);
        return std::shared_ptr<const Delays>(std::move(shown));
    }

    std::span<const RowGroup> row_groups() const override { return shown_; }
    std::span<const ColumnKey> columns() const override { return whole_->columns(); }
    bool has_values(uint32_t column) const override { return whole_->has_values(column); }
    Result<std::shared_ptr<const ColumnBlock>> read(uint32_t column,
                                                    uint32_t row_group) const override {
        const Group& group = groups_[row_group];
        TRY_ASSIGN(auto block, whole_->read(column, row_group));
        if (!group.is_filtered) return block;
        const ColumnKey& key = whole_->columns()[column];
        const RowMap& map = key.table == Table::kSpans    ? group.spans
                            : key.table == Table::kEvents ? group.events
                                                          : group.links;
        std::shared_ptr<ColumnBlock> filtered = filter_block(*block, map);
        if (key.row_field == RowField::kOwner) {
            for (int64_t& owner : filtered->integers)
                owner = group.spans[static_cast<size_t>(owner)];
        }
        return std::shared_ptr<const ColumnBlock>(std::move(filtered));
    }

    uint32_t resource_count() const override { return whole_->resource_count(); }
    std::string_view resource_message(uint32_t index) const override {
        return whole_->resource_message(index);
    }
    std::string_view resource_schema_url(uint32_t index) const override {
        return whole_->resource_schema_url(index);
    }
    uint32_t scope_count() const override { return whole_->scope_count(); }
    std::string_view scope_message(uint32_t index) const override {
        return whole_->scope_message(index);
    }
    std::string_view scope_schema_url(uint32_t index) const override {
        return whole_->scope_schema_url(index);
    }
    uint32_t scope_resource(uint32_t index) const override { return whole_->scope_resource(index); }

    // Groups keep their numbers, so places do as well.
    ValuePlaces places_of(const Field& field, const Value& value) const override {
        return whole_->places_of(field, value);
    }
    void foresee_find() const override { whole_->foresee_find(); }
    void foresee_places() const override { whole_->foresee_places(); }
    void foresee_places_of(const Field& field, const Value& value) const override {
        whole_->foresee_places_of(field, value);
    }
    void foresee_block(uint32_t column, uint32_t row_group) const override {
        whole_->foresee_block(column, row_group);
    }
    void foresee_group(uint32_t row_group) const override { whole_->foresee_group(row_group); }
    Result<Blob> rollup() const override {
        if (!count_) return whole_->rollup();
        const std::lock_guard lock(rollup_mutex_);
        if (!rollup_) {
            TRY_ASSIGN(const Blob whole, whole_->rollup());
            TRY_ASSIGN(const std::string counted, count_rows(*this, whole, count_));
            rollup_ = Blob::copy_of(counted);
        }
        return *rollup_;
    }
    Result<void> verify() const override { return whole_->verify(); }

  private:
    // Rows [first, end) are hidden, and `before` rows in front of them.
    struct Range {
        uint32_t first = 0;
        uint32_t end = 0;
        uint32_t before = 0;
    };
    struct Group {
        RowGroup shown;
        bool is_filtered = false;
        RowMap spans;
        RowMap events;
        RowMap links;
    };

    // The first hidden range that ends behind this row.
    std::vector<Range>::const_iterator range_after(uint32_t row) const {
        return std::upper_bound(ranges_.begin(), ranges_.end(), row,
                                [](uint32_t r, const Range& range) { return r < range.end; });
    }
    bool is_row_hidden(uint32_t row) const {
        const auto at = range_after(row);
        return at != ranges_.end() && at->first <= row;
    }
    // How many rows are hidden before the ranges from this one on.
    uint32_t hidden_before(std::vector<Range>::const_iterator at) const {
        if (at == ranges_.begin()) return 0;
        const Range& last = *std::prev(at);
        return last.before + (last.end - last.first);
    }
    TraceFragment renumbered(TraceFragment fragment) const {
        fragment.first_row -= hidden_before(range_after(fragment.first_row));
        return fragment;
    }
    // What is shown of the rows of a run.
    void add_shown(const DelayedRows& run, Delays& shown) const {
        const uint32_t end = run.first_row + run.rows;
        auto at = range_after(run.first_row);
        for (uint32_t row = run.first_row; row < end; ++at) {
            const uint32_t until = at == ranges_.end() ? end : std::min(end, at->first);
            if (until > row)
                shown.runs.push_back({row - hidden_before(at), until - row, run.arrival_s});
            if (at == ranges_.end()) break;
            row = std::max(row, at->end);
        }
    }

    Result<Group> view_of(uint32_t number) const {
        Group group;
        group.shown = whole_->row_groups()[number];
        const uint32_t first = group.shown.first_row;
        const uint32_t end = first + group.shown.rows;
        auto at = range_after(first);
        if (at == ranges_.end() || at->first >= end) return group;
        group.is_filtered = true;
        group.spans.assign(group.shown.rows, 0);
        for (; at != ranges_.end() && at->first < end; ++at) {
            for (uint32_t row = std::max(at->first, first); row < std::min(at->end, end); ++row)
                group.spans[row - first] = kGone;
        }
        uint32_t next = 0;
        for (uint32_t& row : group.spans) {
            if (row != kGone) row = next++;
        }
        TRY_ASSIGN(group.events, children_of(event_owner_, number, group.spans));
        TRY_ASSIGN(group.links, children_of(link_owner_, number, group.spans));
        group.shown.rows = next;
        group.shown.events = count_kept(group.events);
        group.shown.links = count_kept(group.links);
        return group;
    }
    Result<RowMap> children_of(uint32_t owner_column, uint32_t number, const RowMap& spans) const {
        RowMap map;
        if (owner_column == kGone) return map;
        TRY_ASSIGN(const auto owners, whole_->read(owner_column, number));
        uint32_t next = 0;
        for (const int64_t owner : owners->integers) {
            const bool is_kept = static_cast<uint64_t>(owner) < spans.size() &&
                                 spans[static_cast<size_t>(owner)] != kGone;
            map.push_back(is_kept ? next++ : kGone);
        }
        return map;
    }

    std::shared_ptr<const Segment> whole_;
    std::vector<uint32_t> hidden_;  // indices of fragments, ascending
    RollupFunction count_;          // none: counts are those of the whole
    mutable std::mutex rollup_mutex_;
    mutable std::optional<Blob> rollup_;  // once it was asked for
    SegmentInfo info_;
    std::vector<Range> ranges_;
    uint32_t event_owner_ = kGone;
    uint32_t link_owner_ = kGone;
    std::vector<Group> groups_;
    std::vector<RowGroup> shown_;
};

Result<std::shared_ptr<const Segment>> make_view(std::shared_ptr<const Segment> whole,
                                                 std::vector<uint32_t> hidden,
                                                 const RollupFunction& rollup) {
    if (hidden.empty()) return whole;
    auto view = std::make_shared<HidingSegment>(std::move(whole), std::move(hidden), rollup);
    TRY(view->prepare());
    return std::shared_ptr<const Segment>(std::move(view));
}

}  // namespace

Result<std::shared_ptr<const Segment>> hide_traces(
    std::shared_ptr<const Segment> whole, const std::function<bool(const TraceId&)>& is_hidden,
    const RollupFunction& rollup) {
    std::vector<uint32_t> hidden;
    for (uint32_t index = 0; index < whole->fragment_count(); ++index) {
        TRY_ASSIGN(const TraceFragment fragment, whole->fragment(index));
        if (is_hidden(fragment.trace_id)) hidden.push_back(index);
    }
    return make_view(std::move(whole), std::move(hidden), rollup);
}

}  // namespace spanloom::store

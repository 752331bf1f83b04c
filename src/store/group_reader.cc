#include "store/group_reader.h"

#include <algorithm>

#include "otlp/view.h"

namespace spanloom::store {
namespace {

const ColumnBlock& empty_block() {
    static const ColumnBlock block = [] {
        ColumnBlock empty;
        empty.dense = false;
        return empty;
    }();
    return block;
}

uint64_t row_bytes(const ColumnBlock& block) {
    return block.rows.size() * 4 + block.integers.size() * 8 + block.numbers.size() * 8 +
           block.codes.size() * 4;
}
uint64_t decoded_bytes(const ColumnBlock& block) {
    return row_bytes(block) + block.storage.size();
}
// A dictionary that others hold, too, counts with the segment.
uint64_t held_bytes(const ColumnBlock& block) {
    if (block.owner.use_count() > 1) return row_bytes(block);
    return row_bytes(block) + block.strings.size() * sizeof(std::string_view) +
           block.storage.size();
}

}  // namespace

std::optional<uint32_t> position_of(const ColumnBlock& block, uint32_t row) {
    if (block.dense) return row;
    const auto after = std::upper_bound(block.rows.begin(), block.rows.end(), row);
    if (after == block.rows.begin() || *(after - 1) != row) return std::nullopt;
    return static_cast<uint32_t>(after - block.rows.begin()) - 1;
}

GroupReader::GroupReader(std::shared_ptr<const Segment> segment, uint32_t group, ReadCounts& counts,
                         ScanMemory* memory)
    : segment_(std::move(segment)),
      group_(group),
      rows_(segment_->row_groups()[group]),
      counts_(counts),
      memory_(memory) {}

GroupReader::~GroupReader() {
    if (memory_ != nullptr) memory_->give_back(taken_bytes_);
}

uint32_t GroupReader::table_rows(Table table) const {
    switch (table) {
        case Table::kSpans:
            return rows_.rows;
        case Table::kEvents:
            return rows_.events;
        case Table::kLinks:
            return rows_.links;
    }
    return 0;
}

void GroupReader::narrow(const RowBitmap& rows) {
    // Of many rows whole columns are read sooner.
    constexpr uint32_t kChosenPart = 4;
    const uint32_t count = rows.count();
    if (count * kChosenPart > rows_.rows) return;
    std::vector<uint32_t> chosen;
    chosen.reserve(count);
    rows.for_each([&](uint32_t row) { chosen.push_back(row); });
    chosen_ = segment_->choose_rows(group_, std::move(chosen));
}

Result<const ColumnBlock*> GroupReader::block(uint32_t column) {
    if (column == kNoColumn) return &empty_block();
    auto& slot = blocks_[column];
    if (slot == nullptr) {
        auto read = chosen_ != nullptr ? chosen_->read(column) : segment_->read(column, group_);
        if (!read) {
            blocks_.erase(column);
            return tl::unexpected<Error>(std::move(read).error());
        }
        const uint64_t bytes = held_bytes(**read);
        if (memory_ != nullptr && !memory_->take(bytes)) {
            blocks_.erase(column);
            return fail(ErrorCode::kResourceExhausted,
                        "the query needs more than {} MiB for what it reads at one time; narrow "
                        "the range or the conditions",
                        memory_->bytes_max() >> 20);
        }
        taken_bytes_ += memory_ != nullptr ? bytes : 0;
        slot = std::move(*read);
        counts_.bytes += decoded_bytes(*slot);
        ++counts_.blocks;
    }
    return slot.get();
}

Result<std::shared_ptr<const ColumnBlock>> GroupReader::some(uint32_t column,
                                                             const RowBitmap& rows) {
    const auto known = blocks_.find(column);
    if (known != blocks_.end()) return known->second;
    TRY_ASSIGN(auto read, segment_->read_some(column, group_, rows));
    counts_.bytes += decoded_bytes(*read);
    ++counts_.blocks;
    return read;
}

Result<std::shared_ptr<const ColumnBlock>> GroupReader::values(uint32_t column, size_t count,
                                                               std::span<const uint8_t> wanted) {
    const auto known = blocks_.find(column);
    TRY_ASSIGN(auto read, known != blocks_.end()
                              ? Result<std::shared_ptr<const ColumnBlock>>(known->second)
                              : segment_->read_values(column, group_, count, wanted));
    if (read->size() != count)
        return fail(ErrorCode::kDataLoss, "attribute orders and values do not fit");
    if (known != blocks_.end()) return read;
    counts_.bytes += decoded_bytes(*read);
    ++counts_.blocks;
    return read;
}

Result<std::shared_ptr<const ColumnBlock>> GroupReader::values_at(uint32_t column, size_t count,
                                                                  std::span<const uint32_t> places,
                                                                  std::span<const uint32_t> rows) {
    TRY_ASSIGN(auto read, segment_->read_values_at(column, group_, count, places, rows));
    counts_.bytes += decoded_bytes(*read);
    ++counts_.blocks;
    return read;
}

static_assert(static_cast<size_t>(Intrinsic::kNestedSetRight) < 32);
static_assert(static_cast<size_t>(RowField::kOverflow) < 16);

SegmentReader::SegmentReader(std::shared_ptr<const Segment> segment)
    : segment_(std::move(segment)) {
    for (auto& table : intrinsics_)
        table.fill(kNoColumn);
    for (auto& table : row_fields_)
        table.fill(kNoColumn);
    const auto columns = segment_->columns();
    for (uint32_t i = 0; i < columns.size(); ++i) {
        const ColumnKey& key = columns[i];
        if (key.scope != Scope::kIntrinsic || !segment_->has_values(i)) continue;
        const auto table = static_cast<size_t>(key.table);
        if (key.intrinsic != Intrinsic::kNone) {
            intrinsics_[table][static_cast<size_t>(key.intrinsic)] = i;
        } else {
            row_fields_[table][static_cast<size_t>(key.row_field)] = i;
        }
    }
}

uint32_t SegmentReader::column(Table table, Intrinsic intrinsic) const {
    return intrinsics_[static_cast<size_t>(table)][static_cast<size_t>(intrinsic)];
}

uint32_t SegmentReader::column(Table table, RowField field) const {
    return row_fields_[static_cast<size_t>(table)][static_cast<size_t>(field)];
}

std::vector<uint32_t> SegmentReader::attribute_columns(Table table, std::string_view key) const {
    std::vector<uint32_t> found;
    const auto columns = segment_->columns();
    for (uint32_t i = 0; i < columns.size(); ++i) {
        if (columns[i].scope == Scope::kIntrinsic || columns[i].table != table) continue;
        if (columns[i].key == key && segment_->has_values(i)) found.push_back(i);
    }
    return found;
}

std::shared_ptr<GroupReader> SegmentReader::group(uint32_t index) {
    for (auto at = groups_.begin(); at != groups_.end(); ++at) {
        if ((*at)->group() != index) continue;
        groups_.splice(groups_.begin(), groups_, at);
        return groups_.front();
    }
    groups_.push_front(std::make_shared<GroupReader>(segment_, index, counts_, memory_));
    if (groups_.size() > kGroupsKept) groups_.pop_back();
    return groups_.front();
}

uint32_t SegmentReader::group_of_row(uint32_t row) const {
    const auto groups = segment_->row_groups();
    const auto after = std::upper_bound(
        groups.begin(), groups.end(), row,
        [](uint32_t wanted, const RowGroup& group) { return wanted < group.first_row; });
    return after == groups.begin() ? 0 : static_cast<uint32_t>(after - groups.begin()) - 1;
}

Result<uint32_t> SegmentReader::fragment_of_row(uint32_t row) const {
    uint32_t low = 0;
    uint32_t high = segment_->fragment_count();
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        TRY_ASSIGN(const TraceFragment fragment, segment_->fragment(middle));
        if (fragment.first_row <= row) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

std::string_view SegmentReader::service_of_scope(uint32_t scope) {
    if (services_.empty()) {
        services_.reserve(segment_->resource_count());
        for (uint32_t i = 0; i < segment_->resource_count(); ++i) {
            services_.emplace_back(
                otlp::ResourceView::parse(segment_->resource_message(i)).service_name());
        }
    }
    if (scope >= segment_->scope_count()) return {};
    const uint32_t resource = segment_->scope_resource(scope);
    return resource < services_.size() ? std::string_view(services_[resource]) : std::string_view();
}

}  // namespace spanloom::store

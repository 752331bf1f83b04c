#include "store/row_bitmap.h"
#include "store/segment_file.h"

namespace spanloom::store {

Result<std::shared_ptr<const ColumnBlock>> FileSegment::read_some(uint32_t column,
                                                                  uint32_t row_group,
                                                                  const RowBitmap& rows) const {
    const bool is_there = column >= kFixedColumns && column < footer_.columns.size() &&
                          row_group < footer_.groups.size();
    // Only texts take so long to put together that leaving some out pays.
    const ColumnPlace* place = is_there && footer_.columns[column].type == ColumnType::kString
                                   ? footer_.find(column, row_group)
                                   : nullptr;
    if (place == nullptr) return read(column, row_group);
    auto out = std::make_shared<ColumnBlock>();
    out->type = ColumnType::kString;
    const auto read_wanted = [&]() -> Result<void> {
        size_t count = 0;
        TRY(find_rows(column, row_group, *out, count));
        if (count == 0) return fail(ErrorCode::kDataLoss, "attribute orders and values do not fit");
        std::vector<uint8_t> wanted(count, 0);
        for (size_t i = 0; i < count; ++i) {
            const uint32_t row = out->dense ? static_cast<uint32_t>(i) : out->rows[i];
            wanted[i] = row < rows.rows() && rows.test(row) ? 1 : 0;
        }
        return decode(column, row_group, *place, count, *out, wanted);
    };
    if (const Result<void> done = read_wanted(); !done)
        return located(done.error(), column, row_group);
    return std::shared_ptr<const ColumnBlock>(std::move(out));
}

Result<std::shared_ptr<const Segment::RowKinds>> FileSegment::row_kinds(uint32_t row_group) const {
    const bool can_tell = footer_.version >= 3 && footer_.followers.bytes > 0 &&
                          row_group < footer_.groups.size() &&
                          footer_.find(kColumnName, row_group) != nullptr;
    if (!can_tell) return std::shared_ptr<const RowKinds>();
    static_assert(kNoKey == kNoKind);
    return follow_keys(row_group);
}

// Where all values of a column follow, its block is left out.
bool FileSegment::follows_row_kinds(uint32_t column, uint32_t row_group) const {
    if (column < kFixedColumns || column >= footer_.columns.size()) return false;
    const ColumnKey& key = footer_.columns[column];
    return key.table == Table::kSpans &&
           (key.type == ColumnType::kInt || key.type == ColumnType::kString) &&
           footer_.find(column, row_group) == nullptr;
}

}  // namespace spanloom::store

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "store/segment.h"
#include "store/segment_layout.h"
#include "store/segment_writer.h"

// One decoded row group of a merge's input, and where its values go in the output.
namespace spanloom::store {

// From codes of one input dictionary to those of an output column. Filled as codes are met; what
// was filled in for an older generation of the output column means nothing.
struct CodeMap {
    struct Entry {
        uint32_t generation = UINT32_MAX;
        uint32_t code = 0;
    };
    std::shared_ptr<const void> owner;  // of the dictionary: while it lives, its address is its own
    std::vector<Entry> codes;
};

// Texts of one block on their way into a column of the output.
struct TextSource {
    std::shared_ptr<const ColumnBlock> block;
    CodeMap own_map;         // for a dictionary of this block alone
    CodeMap* map = nullptr;  // that, or one for all blocks of the column

    // The output's code of the block's `code`.
    uint32_t code_of(uint32_t code, uint32_t column, SegmentWriter& writer,
                     const TextColumn& texts) {
        CodeMap::Entry& mapped = map->codes[code];
        if (mapped.generation != texts.generation)
            mapped = {texts.generation, writer.add_text(column, block->strings[code])};
        return mapped.code;
    }
};

// The attributes of one table. Values carry no rows: which row has which is said by its order, and
// values are taken from the columns as rows go by.
class AttributeTable {
  public:
    // The values of one column; `next` is the first of the row at hand.
    struct Column {
        uint32_t number = 0;         // of the input
        uint32_t output_column = 0;  // kNone: no room for it; then its orders do not fit either
        uint32_t next = 0;
        ColumnType type = ColumnType::kInt;
        TextSource texts;
        TextColumn* output_texts = nullptr;
        ColumnStage* stage = nullptr;
    };

    // `orders`: one code per row, or none.
    void start(std::shared_ptr<const ColumnBlock> orders, size_t columns_of_segment);
    // Columns with values, and how many; for the owner to fill.
    std::vector<Column>& columns() { return columns_; }
    size_t values(const Column& column) const { return counts_[&column - columns_.data()]; }
    bool has_orders() const { return !orders_->codes.empty(); }
    uint32_t order(uint32_t row) const { return orders_->codes[row]; }
    const ColumnBlock& orders() const { return *orders_; }
    // Puts the values of rows [row, end) into the stages of the output.
    void emit(uint32_t row, uint32_t end, SegmentWriter& writer);

  private:
    struct Plan {
        uint32_t first = 0;  // in cells_
        uint32_t count = 0;
    };

    void seek(uint32_t row);
    void advance(uint32_t row);
    void make_checkpoints();
    void emit_value(Column& column, SegmentWriter& writer);

    std::shared_ptr<const ColumnBlock> orders_;
    std::vector<Plan> plans_;      // by order; those that no row has are empty
    std::vector<uint32_t> cells_;  // indices into columns_
    std::vector<Column> columns_;
    std::vector<uint32_t> counts_;
    uint32_t row_ = 0;  // whose values are next
    // For rows that do not come in order: what is next at every so many rows.
    std::vector<uint32_t> checkpoints_;
    uint32_t checkpoint_rows_ = 0;
};

struct MergeGroup {
    RowGroup meta;
    std::array<TextSource, kFixedColumns> fixed;  // all fixed columns, texts or not
    std::array<AttributeTable, 3> attributes;     // by table
    uint32_t elsewhere_row = 0;  // the ids of parents before this row are `elsewhere_next`
    uint32_t elsewhere_next = 0;

    const ColumnBlock& block(uint32_t fixed_column) const { return *fixed[fixed_column].block; }
    int64_t parent_link(uint32_t row) const {
        const auto& links = block(kColumnParentId).integers;
        return links.empty() ? kParentNone : links[row];
    }
    // The id of the parent of a row whose link is kParentElsewhere.
    Result<SpanId> parent_elsewhere(uint32_t row);
};

}  // namespace spanloom::store

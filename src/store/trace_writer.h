#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "store/group_reader.h"

namespace spanloom::store {

// Where the values of a row are in a block, for rows that are mostly asked for one after the other:
// then each look is a step. The block must outlive it.
class ColumnCursor {
  public:
    ColumnCursor() = default;
    explicit ColumnCursor(const ColumnBlock& block)
        : block_(&block),
          rows_(block.rows.data()),
          size_(static_cast<uint32_t>(block.rows.size())),
          is_dense_(block.dense) {}

    static constexpr uint32_t kNowhere = UINT32_MAX;

    const ColumnBlock* block() const { return block_; }
    // The row's first value.
    uint32_t find(uint32_t row) {
        if (is_dense_) return row;
        if (size_ == 0) return kNowhere;
        if ((at_ > 0 && rows_[at_ - 1] >= row) || (at_ < size_ && rows_[at_] < row)) move_to(row);
        return at_ < size_ && rows_[at_] == row ? at_ : kNowhere;
    }
    // What is there of an integer column; 0 where nothing is.
    int64_t integer(uint32_t row) {
        const uint32_t position = find(row);
        return position == kNowhere ? 0 : block_->integers[position];
    }
    // Of a column of texts or ids; empty where nothing is.
    std::string_view bytes(uint32_t row) {
        const uint32_t position = find(row);
        return position == kNowhere ? std::string_view() : bytes_at(position);
    }
    std::string_view bytes_at(uint32_t position) const {
        if (block_->type == ColumnType::kFixed)
            return block_->fixed.substr(size_t{position} * block_->width, block_->width);
        return block_->strings[block_->codes[position]];
    }

  private:
    void move_to(uint32_t row);

    const ColumnBlock* block_ = nullptr;
    const uint32_t* rows_ = nullptr;
    uint32_t size_ = 0;
    uint32_t at_ = 0;  // the first position not before the row of the last question
    bool is_dense_ = false;
};

// Writes spans out of columns as the OTLP Span messages that they came as: every field, attributes,
// events and links in their order. Equal spans give equal bytes. One thread.
class SpanWriter {
  public:
    explicit SpanWriter(SegmentReader& reader);

    // Which row group the next rows are of. It must live until another one is opened.
    Result<void> open(GroupReader& group);
    // Appends the message of one row (of the group's spans) to `out`.
    Result<void> write_row(uint32_t row, const TraceId& trace_id, std::string& out);
    // Both, for one row alone.
    Result<void> write(GroupReader& group, uint32_t row, const TraceId& trace_id, std::string& out);

  private:
    // An attribute in the order of a row: its column, and which of several values for one row.
    struct Step {
        uint32_t column = 0;
        uint32_t repeat = 0;
    };
    using Steps = std::vector<Step>;
    struct AttributeColumn {
        ColumnCursor cursor;  // none until a row of the group needs it
        std::string key;      // as a field of KeyValue, with the tag of the value behind it
    };
    // What rows of each table have in common.
    struct Rows {
        ColumnCursor order;
        ColumnCursor overflow;
        ColumnCursor dropped_attributes;
        std::vector<const Steps*> steps;  // by code of the order
        const std::string_view* orders = nullptr;
    };
    struct SpanColumns {
        ColumnCursor id, state, parent, name, kind, start, duration;
        ColumnCursor dropped_events, dropped_links, message, status, flags;
    };
    struct EventColumns {
        ColumnCursor owner, since, name;
    };
    struct LinkColumns {
        ColumnCursor owner, trace, span, state, flags;
    };

    template <typename Field>
    Result<ColumnCursor> cursor(Table table, Field field);
    Result<void> open_rows(Table table, Rows& rows);
    Result<void> open_spans();
    Result<void> open_events();
    Result<void> open_links();

    Result<const Steps*> steps_of(Rows& rows, uint32_t row);
    Result<void> write_attributes(Rows& rows, uint32_t row, uint32_t field, std::string& out);
    Result<void> write_attribute(const Step& step, uint32_t row, uint32_t field, std::string& out);
    Result<void> write_events(uint32_t row, uint64_t start_ns, std::string& out);
    Result<void> write_links(uint32_t row, std::string& out);

    SegmentReader& reader_;
    GroupReader* group_ = nullptr;
    SpanColumns spans_;
    EventColumns events_;
    LinkColumns links_;
    Rows span_rows_;
    Rows event_rows_;
    Rows link_rows_;
    std::vector<AttributeColumn> attributes_;              // by column
    std::vector<uint32_t> opened_;                         // of them, for this group
    std::unordered_map<std::string, Steps> known_orders_;  // as their column has them
    std::string child_;                                    // reused, as is the other
    std::string status_;
};

}  // namespace spanloom::store

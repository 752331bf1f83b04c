#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/segment.h"
#include "store/segment_builder_texts.h"
#include "store/segment_layout.h"
#include "store/segment_rows.h"
#include "store/segment_writer.h"

// The inside of SegmentBuilder: rows and attribute values as they come (segment_builder.cc), made
// into columns at the end (segment_builder_finish.cc).
namespace spanloom::store {

// One (table, key, type): an attribute column, and which one followed it last time. Spans of one
// place in the code have the same keys in the same order, so the next one is mostly foreseen, and
// then `prefix`, the key as a KeyValue message begins with it, is all there is to compare.
struct Label {
    std::string key;
    ColumnType type = ColumnType::kInt;
    bool is_boolean = false;
    uint32_t column = 0;
    uint32_t next = UINT32_MAX;
    uint32_t other_next = UINT32_MAX;  // the one before that
    uint32_t order = 0;                // of the last row that ended with it
    std::string prefix;                // empty: too long to foresee
};

struct SpanRow {
    TraceId trace_id;
    SpanId span_id;
    SpanId parent_id;
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    uint64_t first_cell = 0;
    int32_t kind = 0;
    uint32_t bytes = 0;  // of its message
    uint32_t name = 0;
    uint32_t trace_state = 0;
    uint32_t status_message = 0;
    uint32_t scope = 0;
    uint32_t order = 0;
    uint32_t overflow = 0;
    uint32_t flags = 0;
    uint32_t dropped_attributes = 0;
    uint32_t dropped_events = 0;
    uint32_t dropped_links = 0;
    uint32_t first_event = 0;
    uint32_t events = 0;
    uint32_t first_link = 0;
    uint32_t links = 0;
    uint32_t arrival_s = 0;
    uint8_t status = 0;
};

struct ChildRow {
    uint64_t time_ns = 0;  // events
    TraceId trace_id;      // links
    SpanId span_id;
    uint64_t first_cell = 0;
    uint32_t text = 0;  // name of the event, trace state of the link
    uint32_t order = 0;
    uint32_t overflow = 0;
    uint32_t flags = 0;
    uint32_t dropped_attributes = 0;
};

// Where the values of a row with some order of attributes go.
struct OrderPlan {
    struct Cell {
        std::vector<int64_t>* integers;
        std::vector<uint32_t>* codes;
    };
    std::vector<uint32_t> first;  // per order, and the end
    std::vector<Cell> cells;
};

// Rows as they come, values of attributes end to end in `cells` (integers, bits of doubles, codes
// of texts); columns are made of them when the builder is finished.
struct SegmentBuilder::State {
    explicit State(SegmentOptions given)
        : options(std::move(given)), writer(std::make_unique<SegmentWriter>(options, image)) {
        for (uint32_t column = 0; column < kFixedColumns; ++column)
            grow_texts(column);
        intern_nothing();
    }

    void intern_nothing() {
        for (const uint32_t column :
             {kColumnName, kColumnStatusMessage, kColumnTraceState, kColumnOverflow,
              kColumnEventName, kColumnEventOverflow, kColumnLinkTraceState, kColumnLinkOverflow})
            texts[column].table.intern({});  // code 0: none
    }

    // The memory of rows that are no longer needed: the next ones are as many, mostly, and fresh
    // memory costs as much as filling it.
    void take_memory(State& before, size_t image_bytes) {
        const auto take = [](auto& to, auto& from) {
            from.clear();
            to.swap(from);
        };
        take(spans, before.spans);
        take(events, before.events);
        take(links, before.links);
        take(cells, before.cells);
        image.reserve(image_bytes + image_bytes / 8);
        // Columns are numbered as they come, which is mostly the same.
        for (uint32_t column = 0; column < before.writer->column_count(); ++column) {
            if (!before.writer->has_texts(column)) continue;
            grow_texts(column);
            TextTable& table = texts[column].table;
            table = std::move(before.writer->texts(column).table);
            table.clear_for_as_many();
        }
        intern_nothing();
    }

    void add_span(const Batch& batch, const SpanRef& ref, uint32_t scope);
    void read_status(std::string_view message, SpanRow& row);
    void add_event(std::string_view message);
    void add_link(std::string_view message);
    uint32_t scope_of(const Batch& batch, uint32_t index, std::vector<uint32_t>& known);

    void begin_attributes() {
        columns.clear();
        previous = UINT32_MAX;
        is_overflowing = false;
        cells_begin = cells.size();
    }
    void add_attribute(Table table, std::string_view message);
    bool add_foreseen(uint32_t label, std::string_view message);
    uint32_t& foreseen(Table table) {
        return previous == UINT32_MAX ? first_label[static_cast<size_t>(table)]
                                      : labels[previous].next;
    }
    uint32_t& foreseen_else(Table table) {
        return previous == UINT32_MAX ? other_first_label[static_cast<size_t>(table)]
                                      : labels[previous].other_next;
    }
    // Sets order, overflow and first cell of the row; `message` has the attributes as `field`.
    template <typename Row>
    void end_attributes(Table table, Row& row, std::string_view message, uint32_t field);
    template <typename Row>
    void divide_attributes(Table table, Row& row, std::string_view message, uint32_t field);
    uint32_t label_of(Table table, std::string_view key, ColumnType type, bool is_boolean);
    uint64_t cell_of(const Label& label, const otlp::ValueView& value);
    uint32_t text_code(uint32_t column, std::string_view text) {
        return texts[column].code_of(text);
    }
    uint32_t value_code(uint32_t column, std::string_view message);
    void grow_texts(uint32_t column) {
        if (texts.size() <= column) texts.resize(column + 1);
    }

    void emit_span(const SpanRow& row);
    void emit_attributes(Table table, uint32_t order, uint64_t first_cell);
    void emit_children(const SpanRow& row, uint32_t owner);
    void foresee(std::span<const uint32_t> rows_then, std::span<const uint32_t> rows_next) const;
    void prepare_orders();
    Result<Blob> finish();
    Result<void> write_rows();
    Result<void> write_fragment(uint32_t number, const TraceFragment& fragment,
                                std::span<uint32_t> rows, GroupPlan& plan);

    SegmentOptions options;
    std::string image;
    std::unique_ptr<SegmentWriter> writer;
    std::vector<SpanRow> spans;
    std::vector<ChildRow> events;
    std::vector<ChildRow> links;
    std::vector<uint64_t> cells;
    std::vector<Label> labels;
    std::array<uint32_t, 3> first_label = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    std::array<uint32_t, 3> other_first_label = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    std::string label_name;  // while one is looked up
    TextTable label_names;
    std::string scope_key;                // while one is looked up
    TextTable scope_keys;                 // scopes with their resources as requests have them
    std::vector<uint32_t> scope_numbers;  // by code of these
    std::vector<ColumnTexts> texts;       // by column
    std::array<OrderPlan, 3> plans;       // by table, at the end
    std::vector<SpanId> ids;  // of the fragment at hand, at the end, and so the next ones
    std::vector<SpanId> parents;
    std::vector<int64_t> parent_links;

    // ---- of the row at hand
    std::vector<uint32_t> columns;
    uint32_t previous = UINT32_MAX;
    bool is_overflowing = false;
    uint64_t cells_begin = 0;
    std::vector<std::string_view> child_messages;  // events and links of the span at hand
    std::vector<uint8_t> child_is_event;
};

}  // namespace spanloom::store

#include <algorithm>
#include <numeric>

#include <boost/unordered/unordered_flat_map.hpp>

#include "store/segment_builder_state.h"
#include "store/segment_rows.h"

namespace spanloom::store {
namespace {

// The rows of a builder by their traces: fragments in the order of a segment, rows of each
// adjacent.
class RowsByTrace {
  public:
    explicit RowsByTrace(std::span<const SpanRow> spans) : rows_(spans.size()) {
        std::vector<TraceFragment> fragments;
        std::vector<uint32_t> fragment_of(spans.size());
        for (uint32_t row = 0; row < spans.size(); ++row) {
            const auto [at, is_new] =
                places_.try_emplace(spans[row].trace_id, static_cast<uint32_t>(fragments.size()));
            if (is_new) {
                fragments.emplace_back();
                fragments.back().trace_id = spans[row].trace_id;
                fragments.back().start_ns = UINT64_MAX;
            }
            fragment_of[row] = at->second;
            add(spans[row], fragments[at->second]);
        }
        const std::vector<uint32_t> place_of = sort(fragments);
        for (auto& [id, place] : places_)
            place = place_of[place];
        std::vector<uint32_t> next;
        for (const TraceFragment& fragment : sorted_)
            next.push_back(fragment.first_row);
        for (uint32_t row = 0; row < spans.size(); ++row)
            rows_[next[place_of[fragment_of[row]]]++] = row;
    }

    size_t size() const { return sorted_.size(); }
    const TraceFragment& fragment(uint32_t place) const { return sorted_[place]; }
    // As they came; none behind the last fragment.
    std::span<uint32_t> rows_of(uint32_t place) {
        if (place >= sorted_.size()) return {};
        return {rows_.data() + sorted_[place].first_row, sorted_[place].rows};
    }
    uint32_t find(const TraceId& id) const {
        const auto at = places_.find(id);
        return at == places_.end() ? SegmentWriter::kNone : at->second;
    }

  private:
    static void add(const SpanRow& span, TraceFragment& fragment) {
        ++fragment.rows;
        fragment.start_ns = std::min(fragment.start_ns, span.start_ns);
        fragment.end_ns = std::max({fragment.end_ns, span.start_ns, span.end_ns});
        fragment.errors += span.status == static_cast<uint8_t>(otlp::StatusCode::kError);
    }
    // Returns where each is then.
    std::vector<uint32_t> sort(const std::vector<TraceFragment>& fragments) {
        std::vector<uint32_t> order(fragments.size());
        std::iota(order.begin(), order.end(), 0U);
        std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
            return fragment_before(fragments[a], fragments[b]);
        });
        std::vector<uint32_t> place_of(fragments.size());
        uint32_t first_row = 0;
        for (const uint32_t number : order) {
            place_of[number] = static_cast<uint32_t>(sorted_.size());
            sorted_.push_back(fragments[number]);
            sorted_.back().first_row = first_row;
            first_row += fragments[number].rows;
        }
        return place_of;
    }

    boost::unordered_flat_map<TraceId, uint32_t, std::hash<TraceId>> places_;
    std::vector<TraceFragment> sorted_;
    std::vector<uint32_t> rows_;
};

}  // namespace

// The tables become those of the output: codes stay as they are.
void SegmentBuilder::State::prepare_orders() {
    std::vector<uint64_t> values(texts.size());
    for (const Table table : {Table::kSpans, Table::kEvents, Table::kLinks}) {
        const TextTable& orders = writer->texts(order_column(table)).table;
        std::vector<uint64_t> rows(orders.size());
        const auto count = [&](const auto& all) {
            for (const auto& row : all)
                ++rows[row.order];
        };
        if (table == Table::kSpans) count(spans);
        if (table == Table::kEvents) count(events);
        if (table == Table::kLinks) count(links);
        OrderPlan& plan = plans[static_cast<size_t>(table)];
        plan = {};
        for (uint32_t order = 0; order < orders.size(); ++order) {
            const std::string_view list = orders.text(order);
            plan.first.push_back(static_cast<uint32_t>(plan.cells.size()));
            for (size_t i = 0; i < list.size() / 4; ++i) {
                const uint32_t column = order_entry(list, i);
                const ColumnType type = writer->column_key(column).type;
                const bool is_number = type == ColumnType::kInt || type == ColumnType::kDouble;
                ColumnStage& stage = writer->stage(column);
                plan.cells.push_back(
                    {is_number ? &stage.integers : nullptr, is_number ? nullptr : &stage.codes});
                if (!is_number) values[column] += rows[order];
            }
        }
        plan.first.push_back(static_cast<uint32_t>(plan.cells.size()));
    }
    for (const uint32_t column :
         {kColumnName, kColumnStatusMessage, kColumnTraceState, kColumnOverflow})
        values[column] = spans.size();
    for (const uint32_t column : {kColumnEventName, kColumnEventOverflow})
        values[column] = events.size();
    for (const uint32_t column : {kColumnLinkTraceState, kColumnLinkOverflow})
        values[column] = links.size();
    for (uint32_t column = 0; column < texts.size(); ++column)
        if (texts[column].table.size() > 0)
            writer->adopt(column, std::move(texts[column].table), values[column]);
}

void SegmentBuilder::State::emit_attributes(Table table, uint32_t order, uint64_t first_cell) {
    const OrderPlan& plan = plans[static_cast<size_t>(table)];
    const uint64_t* cell = cells.data() + first_cell;
    for (uint32_t i = plan.first[order]; i < plan.first[order + 1]; ++i, ++cell) {
        const OrderPlan::Cell& to = plan.cells[i];
        if (to.integers != nullptr)
            to.integers->push_back(static_cast<int64_t>(*cell));
        else
            to.codes->push_back(static_cast<uint32_t>(*cell));
    }
}

void SegmentBuilder::State::emit_children(const SpanRow& row, uint32_t owner) {
    const auto integer = [&](uint32_t column, uint64_t value) {
        writer->stage(column).integers.push_back(static_cast<int64_t>(value));
    };
    const auto text = [&](uint32_t column, uint32_t code) {
        writer->stage(column).codes.push_back(code);
    };
    for (uint32_t i = row.first_event; i < row.first_event + row.events; ++i) {
        const ChildRow& event = events[i];
        integer(kColumnEventOwner, owner);
        integer(kColumnEventTime, event.time_ns - row.start_ns);
        text(kColumnEventName, event.text);
        integer(kColumnEventDropped, event.dropped_attributes);
        writer->stage(kColumnEventOrder).codes.push_back(event.order);
        text(kColumnEventOverflow, event.overflow);
        emit_attributes(Table::kEvents, event.order, event.first_cell);
    }
    for (uint32_t i = row.first_link; i < row.first_link + row.links; ++i) {
        const ChildRow& link = links[i];
        integer(kColumnLinkOwner, owner);
        writer->stage(kColumnLinkTraceId).fixed.append(link.trace_id.view());
        writer->stage(kColumnLinkSpanId).fixed.append(link.span_id.view());
        text(kColumnLinkTraceState, link.text);
        integer(kColumnLinkFlags, link.flags);
        integer(kColumnLinkDropped, link.dropped_attributes);
        writer->stage(kColumnLinkOrder).codes.push_back(link.order);
        text(kColumnLinkOverflow, link.overflow);
        emit_attributes(Table::kLinks, link.order, link.first_cell);
    }
}

void SegmentBuilder::State::emit_span(const SpanRow& row) {
    const auto integer = [&](uint32_t column, uint64_t value) {
        writer->stage(column).integers.push_back(static_cast<int64_t>(value));
    };
    const auto text = [&](uint32_t column, uint32_t code) {
        writer->stage(column).codes.push_back(code);
    };
    const auto owner = static_cast<uint32_t>(writer->stage(kColumnStart).integers.size());
    writer->stage(kColumnSpanId).fixed.append(row.span_id.view());
    integer(kColumnStart, row.start_ns);
    integer(kColumnDuration, row.end_ns - row.start_ns);
    text(kColumnName, row.name);
    integer(kColumnKind, static_cast<uint64_t>(row.kind));
    integer(kColumnStatus, row.status);
    text(kColumnStatusMessage, row.status_message);
    integer(kColumnFlags, row.flags);
    text(kColumnTraceState, row.trace_state);
    integer(kColumnDroppedAttributes, row.dropped_attributes);
    integer(kColumnDroppedEvents, row.dropped_events);
    integer(kColumnDroppedLinks, row.dropped_links);
    integer(kColumnScope, row.scope);
    writer->stage(kColumnOrder).codes.push_back(row.order);
    text(kColumnOverflow, row.overflow);
    writer->add_span_bytes(row.bytes);
    emit_attributes(Table::kSpans, row.order, row.first_cell);
    emit_children(row, owner);
}

// Rows lie where they came, those of a trace far apart: asks for the memory of the next.
void SegmentBuilder::State::foresee(std::span<const uint32_t> rows_then,
                                    std::span<const uint32_t> rows_next) const {
    constexpr size_t kLineBytes = 64;
    constexpr size_t kRowsMax = 64;
    for (const uint32_t row : rows_then.first(std::min(rows_then.size(), kRowsMax))) {
        const char* const at = reinterpret_cast<const char*>(&spans[row]);
        for (size_t line = 0; line < sizeof(SpanRow); line += kLineBytes)
            __builtin_prefetch(at + line);
    }
    for (const uint32_t row : rows_next.first(std::min(rows_next.size(), kRowsMax))) {
        const char* const at = reinterpret_cast<const char*>(cells.data() + spans[row].first_cell);
        __builtin_prefetch(at);
        __builtin_prefetch(at + kLineBytes);
    }
}

Result<void> SegmentBuilder::State::write_rows() {
    RowsByTrace traces(spans);
    if (options.zstd_level > 0)
        writer->find_fragments_by([&](const TraceId& id) { return traces.find(id); });
    GroupPlan plan(options.row_group_rows);
    for (uint32_t f = 0; f < traces.size(); ++f) {
        foresee(traces.rows_of(f + 2), traces.rows_of(f + 1));
        TRY(write_fragment(f, traces.fragment(f), traces.rows_of(f), plan));
    }
    TRY(plan.write(*writer));
    writer->find_fragments_by(nullptr);
    return {};
}

Result<void> SegmentBuilder::State::write_fragment(uint32_t number, const TraceFragment& fragment,
                                                   std::span<uint32_t> rows, GroupPlan& plan) {
    std::sort(rows.begin(), rows.end(), [&](uint32_t a, uint32_t b) {
        return spans[a].start_ns != spans[b].start_ns ? spans[a].start_ns < spans[b].start_ns
               : spans[a].span_id != spans[b].span_id ? spans[a].span_id < spans[b].span_id
                                                      : a < b;
    });
    ids.clear();
    parents.clear();
    for (const uint32_t row : rows) {
        ids.push_back(spans[row].span_id);
        parents.push_back(spans[row].parent_id);
    }
    link_parents(ids, parents, parent_links);
    writer->add_fragment(fragment);
    if (plan.is_due(fragment.rows)) TRY(plan.write(*writer));
    for (uint32_t i = 0; i < rows.size(); ++i) {
        const SpanRow& span = spans[rows[i]];
        if (plan.is_full(span.events, span.links)) TRY(plan.write(*writer));
        plan.add(number, fragment.start_ns, i, span.events, span.links);
        ColumnStage& stage = writer->stage(kColumnParentId);
        stage.integers.push_back(parent_links[i]);
        if (parent_links[i] == kParentElsewhere) stage.fixed.append(span.parent_id.view());
        if (is_delayed(span.arrival_s, std::max(span.start_ns, span.end_ns)))
            writer->delays().add(fragment.first_row + i, span.arrival_s);
        emit_span(span);
    }
    return {};
}

Result<Blob> SegmentBuilder::State::finish() {
    prepare_orders();
    TRY(write_rows());
    TRY_ASSIGN(const SegmentInfo info, writer->finish());
    (void)info;
    auto bytes = std::make_shared<std::string>(std::move(image));
    return Blob::wrap(bytes, bytes->data(), bytes->size());
}

}  // namespace spanloom::store

#pragma once

#include <memory>

#include "store/attribute_cells.h"
#include "store/intrinsic_cells.h"

namespace spanloom::store {

// Values of one field of one segment's spans, row by row. Of events and links the first one that
// has the field counts. What only whole traces have is nil. One thread.
class FieldReader {
  public:
    FieldReader(SegmentReader& reader, const Field& field);

    Result<Value> value(GroupReader& group, uint32_t row, const TraceId& trace_id);
    const Field& field() const { return field_; }

  private:
    Result<uint32_t> scope_of(GroupReader& group, uint32_t row);
    Result<Value> of_scope(GroupReader& group, uint32_t row, Scope scope);
    Result<Value> of_children(GroupReader& group, uint32_t row, Table table);
    Result<Value> of_any(GroupReader& group, uint32_t row);
    AttributeCells* cells_of(Table table);

    SegmentReader& reader_;
    Field field_;
    std::unique_ptr<AttributeCells> of_spans_;
    std::unique_ptr<AttributeCells> of_events_;
    std::unique_ptr<AttributeCells> of_links_;
    std::unique_ptr<IntrinsicCells> intrinsic_;
};

// The last value of a key in a resource or scope message (or of its name or version).
Value scope_value(const Segment& segment, const Field& field, Scope scope, uint32_t scope_index);

}  // namespace spanloom::store

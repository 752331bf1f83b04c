#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "store/field_reader.h"
#include "store/row_bitmap.h"
#include "store/scan.h"

namespace spanloom::store {

// The rows of a group that a scan is about, and where each of them is among them.
class Selection {
  public:
    static constexpr uint32_t kNowhere = UINT32_MAX;

    void assign(const RowBitmap& rows);
    size_t size() const { return rows_.size(); }
    bool is_all() const { return is_all_; }
    const std::vector<uint32_t>& rows() const { return rows_; }
    uint32_t place_of(uint32_t row) const { return is_all_ ? row : places_[row]; }

  private:
    bool is_all_ = false;
    std::vector<uint32_t> rows_;
    std::vector<uint32_t> places_;  // by row of the group; not kept where all are meant
};

// Fills ScanColumns with one field of one segment, column blocks at a time; what is stored in an
// unusual way (overflow, events, a key of several types) is read row by row. One thread.
class FieldColumn {
  public:
    FieldColumn(SegmentReader& reader, const Field& field);
    Result<void> read(GroupReader& group, const Selection& selection, ScanColumn& out);

  private:
    enum class Way : uint8_t {
        kNever,
        kColumns,
        kScopes,
        kNumber,
        kStart,
        kDuration,
        kText,
        kRows
    };
    // What every span of a scope has.
    struct ScopeValues {
        std::vector<ValueKind> kinds;
        std::vector<int64_t> cells;
        std::deque<std::string> storage;
        std::vector<std::string_view> texts;
    };

    Way way_of_attribute();
    void learn_scopes();
    Result<void> read_columns(GroupReader& group, const Selection& selection, ScanColumn& out);
    Result<void> read_scopes(GroupReader& group, const Selection& selection, ScanColumn& out);
    Result<void> read_numbers(GroupReader& group, const Selection& selection, ScanColumn& out);
    Result<void> read_durations(GroupReader& group, const Selection& selection, ScanColumn& out);
    Result<void> read_texts(GroupReader& group, const Selection& selection, ScanColumn& out);
    Result<void> read_rows(GroupReader& group, const Selection& selection, ScanColumn& out);
    Result<TraceId> trace_of(GroupReader& group, uint32_t row);

    SegmentReader& reader_;
    Field field_;
    FieldReader fields_;
    Way way_ = Way::kRows;
    std::vector<uint32_t> columns_;
    std::shared_ptr<ScopeValues> scopes_;
    TraceFragment fragment_;  // the last that trace_of() met
    uint32_t fragment_index_ = UINT32_MAX;
};

}  // namespace spanloom::store

#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "store/group_reader.h"

namespace spanloom::store {

// Writes spans out of columns as the OTLP Span messages that they came as: every field, attributes,
// events and links in their order. Equal spans give equal bytes. One thread.
class SpanWriter {
  public:
    explicit SpanWriter(SegmentReader& reader);

    // Appends the message of one row (of the group's spans) to `out`.
    Result<void> write(GroupReader& group, uint32_t row, const TraceId& trace_id, std::string& out);

  private:
    Result<void> write_attributes(GroupReader& group, Table table, uint32_t row, uint32_t field,
                                  std::string& out);
    Result<void> write_events(GroupReader& group, uint32_t row, uint64_t start_ns,
                              std::string& out);
    Result<void> write_links(GroupReader& group, uint32_t row, std::string& out);
    // `before`: what the row's order of attributes names before this one.
    Result<void> write_attribute(GroupReader& group, uint32_t column, uint32_t row,
                                 std::string_view before, uint32_t field, std::string& out);
    void write_key_value(std::string_view key, std::string_view any_value, uint32_t field,
                         std::string& out);

    Result<int64_t> integer(GroupReader& group, Table table, Intrinsic intrinsic, uint32_t row);
    Result<int64_t> integer(GroupReader& group, Table table, RowField row_field, uint32_t row);
    Result<std::string_view> bytes(GroupReader& group, Table table, Intrinsic intrinsic,
                                   uint32_t row);

    SegmentReader& reader_;
    std::string any_value_;  // reused, as are the others
    std::string key_value_;
    std::string child_;
    std::string status_;
};

}  // namespace spanloom::store

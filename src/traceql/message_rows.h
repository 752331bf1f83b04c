#pragma once

#include <vector>

#include "traceql/rows.h"
#include "traceql/trace.h"

namespace spanloom::traceql {

// A trace that was read as a message. One thread; the trace outlives it.
class MessageRows final : public TraceRows {
  public:
    explicit MessageRows(const Trace& trace);

    uint32_t size() const override { return static_cast<uint32_t>(trace_.spans.size()); }
    std::span<const int32_t> parents() override { return trace_.parent; }
    uint64_t start_ns(uint32_t row) const override { return trace_.spans[row].start_ns; }
    uint64_t end_ns(uint32_t row) const override { return trace_.spans[row].end_ns; }
    SpanId span_id(uint32_t row) const override { return trace_.spans[row].span_id; }
    uint32_t children(store::Table table, uint32_t row) override;
    double weight(uint32_t row) override;
    store::Value value(const store::Field& field, const Place& place) override;

  private:
    store::Value intrinsic(store::Intrinsic which, const Place& place) const;

    const Trace& trace_;
};

}  // namespace spanloom::traceql

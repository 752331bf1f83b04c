#pragma once

#include <string>
#include <vector>

#include "send/pieces.h"
#include "spanloom/exporter.h"

namespace spanloom {

// A batch as an ExportTraceServiceRequest: the spans stay where they are, only the few bytes
// between them are made here. Reused from batch to batch, so that nothing is allocated in steady
// state.
class OtlpRequest {
  public:
    // Valid until the next call, and for as long as the batch is.
    const send::Pieces& build(const SpanBatch& batch);

  private:
    void head(uint32_t field, size_t size);
    void field(uint32_t number, std::string_view bytes);

    std::string heads_;
    send::Pieces pieces_;
    std::vector<size_t> scope_bytes_;
};

// The batch in parts of at most `bytes_max` as requests. Spans that are larger on their own are
// left out; how many is added to `refused`.
std::vector<std::vector<SpanGroup>> split_batch(const SpanBatch& batch, size_t bytes_max,
                                                size_t& refused);
// An upper bound of the request's size.
size_t request_bytes_bound(const SpanBatch& batch);
SpanBatch batch_of(const SpanBatch& whole, const std::vector<SpanGroup>& groups);

}  // namespace spanloom

#pragma once

#include <cstdint>
#include <deque>
#include <stop_token>

#include "http/body_buffer.h"
#include "http/message.h"
#include "http/output_queue.h"

namespace spanloom::http {

// One HTTP/2 request and its answer. Owned by the session.
struct Http2Stream {
    int32_t id = 0;
    Request request;
    size_t header_bytes = 0;
    uint64_t started_ns = 0;
    BodyBuffer body;
    bool is_grpc = false;
    bool header_done = false;
    bool body_done = false;
    bool is_refused = false;  // answered before the body was whole; what still comes is dropped
    std::stop_source gone;

    // The answer.
    bool reply_begun = false;
    bool reply_finished = false;  // nothing will be added to `parts`
    bool is_streaming = false;
    bool is_deferred = false;  // nghttp2 waits for more parts
    std::deque<Blob> parts;
    size_t part_sent = 0;  // of parts.front()
    size_t unsent = 0;
    uint64_t progress_ns = 0;  // when bytes last moved, or the answer began
    Headers trailers;
};

// Client stream ids that were passed over: they never existed, and must not appear later.
class SkippedStreamIds {
  public:
    // A new highest id.
    void opened(int32_t id) {
        if (id > last_ + 2) {
            if (ranges_.size() == kRangesMax) ranges_.pop_front();
            ranges_.push_back({last_ + 2, id - 2});
        }
        last_ = id;
    }
    bool contains(int32_t id) const {
        for (const Range& range : ranges_) {
            if (id >= range.first && id <= range.last) return true;
        }
        return false;
    }
    int32_t last() const { return last_; }

  private:
    // Real clients skip none; the oldest are forgotten, which is only more lenient.
    static constexpr size_t kRangesMax = 64;
    struct Range {
        int32_t first;
        int32_t last;
    };
    std::deque<Range> ranges_;
    int32_t last_ = -1;
};

}  // namespace spanloom::http

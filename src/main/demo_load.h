#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"
#include "main/demo_trace.h"

namespace spanloom {

// Makes up the traces of a small shop, with the stories one looks for: failing payments, a storm of
// retries, one query per item, a slow query, messages that join traces, a parent that never came.
// Once in ten minutes the bank is in trouble for one. One thread; `random` outlives it.
class DemoLoad {
  public:
    explicit DemoLoad(Random& random) : random_(random) {}

    // An ExportTraceServiceRequest of whole traces that ended shortly before `now_ns`. Over several
    // calls the spans add up to what was asked for; a call that is ahead gives an empty request.
    std::string next_request(uint64_t now_ns, uint32_t spans_about);

  private:
    struct Visit;  // who visits the shop, in one trace

    demo::Trace make_trace(uint64_t now_ns);
    Visit begin_visit(demo::Trace& trace, std::string_view method, std::string_view route);
    void finish_visit(demo::Trace& trace, const Visit& visit, uint64_t end_ns, int64_t status);

    void browse(demo::Trace& trace);
    void look_at_product(demo::Trace& trace);
    void view_cart(demo::Trace& trace);
    void check_out(demo::Trace& trace, bool is_bank_down);
    void recommend(demo::Trace& trace);
    void consume_orders(demo::Trace& trace);

    Random& random_;
    int64_t owed_spans_ = 0;
    // Messages that nobody has consumed yet; the consumer links to them. At most kOrdersMax.
    std::vector<demo::Link> orders_;
    int64_t kafka_offset_ = 184'000;
};

}  // namespace spanloom

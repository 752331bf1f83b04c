#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "api/call.h"
#include "api/promql.h"
#include "api/red_families.h"

namespace spanloom::api {

// A stored span that a bucket of a histogram of operations counts.
struct RedExemplar {
    TraceId trace_id;
    SpanId span_id;
    uint64_t start_ns = 0;
    uint64_t duration_ns = 0;
};

// Spans of traces that are stored, for each operation, status and bucket the newest few. One
// thread.
class RedExemplars {
  public:
    // Spans that are looked at, the newest first.
    static constexpr size_t kSpansMax = 100'000;

    // Of spans that start in the range and that `where` is true of.
    static Result<RedExemplars> find(const Call& call, store::TimeRange range,
                                     store::Predicate where, size_t of_each_bucket);

    // Null: there is none. `labels`: of a series of a family of buckets, by its own names.
    const RedExemplar* newest(const RedFamily& family, const PromLabels& labels) const;
    // Each series of the family, as each_red_series gives its labels, with what it has.
    void each(const RedFamily& family,
              const std::function<void(PromLabels, const std::vector<RedExemplar>&)>& visit) const;

  private:
    // Service, name, kind, status, number of the bound.
    using Key = std::tuple<std::string, std::string, std::string_view, std::string_view, size_t>;
    std::map<Key, std::vector<RedExemplar>> by_series_;
};

// What GET /api/v1/query_exemplars answers for one selector of operations: appends objects.
Result<void> write_exemplars(const Call& call, const PromNode& selector, store::TimeRange range,
                             JsonWriter& json);

}  // namespace spanloom::api

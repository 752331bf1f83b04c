#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/call.h"
#include "api/promql.h"
#include "insight/edge_minutes.h"
#include "rollup/minute_table.h"

namespace spanloom::api {

using PromLabels = std::vector<std::pair<std::string, std::string>>;  // sorted by name

// One family of counters that Prometheus's clients find here.
struct RedFamily {
    enum class Source : uint8_t {
        kOperations,
        kServerEdges,
        kClientEdges,
        kQueueEdges,
        kUnpaired,
    };
    enum class Value : uint8_t { kCalls, kRequests, kFailed, kBucket, kSum, kCount };

    std::string_view name;
    Source source = Source::kOperations;
    Value value = Value::kCalls;
    bool is_ms = false;       // durations; else seconds
    bool is_otel = false;     // labels as the OpenTelemetry connector has them: service_name
    std::string_view family;  // what its metadata are under: without _bucket, _sum, _count
    std::string_view help;
};
const std::vector<RedFamily>& red_families();

// Pairs of services are found by looking at spans; dashboards ask several questions about one range
// at once. Any thread.
class ServiceEdgeCache {
  public:
    Result<std::shared_ptr<const insight::ServiceEdges>> find(const Call& call,
                                                              store::TimeRange range);

  private:
    struct Entry {
        uint64_t version = 0;
        store::TimeRange range;
        std::shared_ptr<const insight::ServiceEdges> edges;
    };
    std::mutex mutex_;
    std::vector<Entry> entries_;  // newest first, a few
};

// Where a counter's growth is asked: (from, to].
struct PromWindow {
    uint64_t from_ns = 0;
    uint64_t to_ns = 0;
};

// Calls `emit` with each series that a selector chooses and its growth in every window.
using EmitSeries = std::function<Result<void>(PromLabels labels, std::vector<double> growth)>;
Result<void> each_red_series(const Call& call, const PromNode& selector,
                             const std::vector<PromWindow>& windows, ServiceEdgeCache& edges,
                             const EmitSeries& emit);

}  // namespace spanloom::api

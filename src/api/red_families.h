#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/call.h"
#include "api/promql.h"
#include "insight/service_edges.h"
#include "rollup/step_table.h"

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
        kTargets,
    };
    // kInfo: not a counter but 1 where there was something.
    enum class Value : uint8_t {
        kCalls,
        kRequests,
        kFailed,
        kDropped,
        kBytes,
        kBucket,
        kSum,
        kCount,
        kInfo
    };

    std::string_view name;
    Source source = Source::kOperations;
    Value value = Value::kCalls;
    bool is_ms = false;       // durations; else seconds
    bool is_otel = false;     // labels as the OpenTelemetry connector has them: service_name
    std::string_view family;  // what its metadata are under: without _bucket, _sum, _count
    std::string_view help;
};
const std::vector<RedFamily>& red_families();
// kCancelled and kDeadlineExceeded where the question has ended.
Result<void> check_time(const Call& call, std::string_view at_what);

// Gauges that are 1 for an hour behind what they tell of: what sent spans, which pairs there are.
constexpr std::string_view kTargetInfo = "traces_target_info";
constexpr std::string_view kTargetInfoHelp = "What sent spans in the last hour.";
constexpr std::string_view kConnectionInfo = "traces_service_graph_connection_info";
constexpr std::string_view kConnectionInfoHelp = "Pairs of services that were seen.";
constexpr bool is_info(std::string_view family) {
    return family == kTargetInfo || family == kConnectionInfo;
}

// How families of operations name things. Failed spans are told from the others, "ok" is not told
// from "unset".
constexpr std::string_view kStatusUnset = "STATUS_CODE_UNSET";
constexpr std::string_view kStatusError = "STATUS_CODE_ERROR";
std::string_view kind_label(otlp::SpanKind kind);
constexpr std::string_view service_label(const RedFamily& family) {
    return family.is_otel ? "service_name" : "service";
}

// Upper bounds of the buckets that are shown: 0.5 ms, 1 ms, 2 ms, ... 65.536 s, none.
constexpr size_t kRedBounds = 19;
size_t bound_of(uint64_t duration_ns);
std::string bound_text(size_t bound, bool is_ms);
std::optional<size_t> bound_of_text(std::string_view text, bool is_ms);

// The selector asks for this family by its name; for a series with these labels.
bool is_selected(const PromNode& selector, const RedFamily& family);
bool matches_labels(const PromNode& selector, const PromLabels& labels,
                    std::string_view leave_out = {});

// Pairs of services are found by looking at spans; dashboards ask several questions about one range
// at once. Any thread.
class ServiceEdgeCache {
  public:
    // `step_s`: how long the shortest steps are to be.
    Result<std::shared_ptr<const insight::ServiceEdges>> find(const Call& call,
                                                              store::TimeRange range,
                                                              uint32_t step_s);

  private:
    struct Entry {
        uint64_t version = 0;
        store::TimeRange range;
        uint32_t step_s = 0;
        std::shared_ptr<const insight::ServiceEdges> edges;
    };
    std::mutex mutex_;
    std::vector<Entry> entries_;  // newest first, a few
};

// Pairs of services, and what an answer is to say of them: why some may be wrong.
struct AskedEdges {
    ServiceEdgeCache& cache;
    std::string note = {};
};

// Where a counter's growth is asked: (from, to].
struct PromWindow {
    uint64_t from_ns = 0;
    uint64_t to_ns = 0;
};

// How spans are counted for an answer, which says so in a header: as they were received, or each as
// many as it stands for (?counts=weighted).
Result<SpanWeights> asked_weights(const http::Query& query);
std::string_view weights_name(SpanWeights weights);
constexpr std::string_view kWeightsHeader = "x-spanloom-counts";

// Calls `emit` with each series that a selector chooses and its growth in every window. Where
// windows do not begin and end with minutes, and are of few spans, counts are by ten seconds.
// Windows ascend. A gauge's growth is 1 where it was seen in the window; where that reaches back to
// the beginning of time, in its last hour.
using EmitSeries = std::function<Result<void>(PromLabels labels, std::vector<double> growth)>;
Result<void> each_red_series(const Call& call, const PromNode& selector,
                             const std::vector<PromWindow>& windows, SpanWeights weights,
                             AskedEdges& edges, const EmitSeries& emit);

}  // namespace spanloom::api

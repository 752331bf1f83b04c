#include "api/red_families.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "api/red_targets.h"
#include "base/hash.h"
#include "insight/edge_counts.h"
#include "rollup/longer_steps.h"
#include "store/trace_summary.h"

namespace spanloom::api {
namespace {

using Source = RedFamily::Source;
using Value = RedFamily::Value;

constexpr size_t kEdgeEntriesMax = 4;
constexpr std::string_view kEvaluating = "in expression evaluation";
constexpr uint64_t kInfoNs = 60 * kRollupMinuteNs;
// What is counted by ten seconds, from spans that are looked at.
constexpr uint64_t kShortRangeNs = 6 * 60 * kRollupMinuteNs;
constexpr uint64_t kShortSpansMax = 4'000'000;

uint64_t bound_ns(size_t index) {
    return uint64_t{500'000} << index;
}

std::string_view label(const PromLabels& labels, std::string_view name) {
    for (const auto& [key, value] : labels) {
        if (key == name) return value;
    }
    return {};
}

PromLabels with(PromLabels labels, std::string name, std::string value) {
    labels.emplace_back(std::move(name), std::move(value));
    std::sort(labels.begin(), labels.end());
    return labels;
}

bool is_of_durations(Value value) {
    return value == Value::kBucket || value == Value::kSum || value == Value::kCount;
}

using WindowBuckets = std::vector<std::pair<uint32_t, double>>;

// The share of each bucket is where it lies against the bounds: its middle decides.
void add_bounds(const WindowBuckets& buckets, std::array<double, kRedBounds>& sums) {
    sums.fill(0);
    for (const auto& [bucket, count] : buckets)
        sums[bound_of(DurationHistogram::lower_bound_of(bucket) +
                      DurationHistogram::width_of(bucket) / 2)] += count;
    for (size_t i = 1; i < sums.size(); ++i)
        sums[i] += sums[i - 1];
}

// Spans of one status, or of all of them.
struct CountedSpans {
    double spans = 0;
    double failed = 0;
    double duration_s = 0;
    double bytes = 0;
    WindowBuckets buckets;
};

CountedSpans failed_of(const WindowCounts& counts, Value value) {
    CountedSpans part{counts.errors, counts.errors, counts.errors_duration_s, counts.errors_bytes,
                      counts.error_buckets};
    if (!is_of_durations(value)) return part;
    // Long ago durations were not counted by status.
    part.spans = 0;
    for (const auto& [bucket, count] : counts.error_buckets)
        part.spans += count;
    return part;
}

CountedSpans others_of(const WindowCounts& counts, Value value) {
    const CountedSpans failed = failed_of(counts, value);
    CountedSpans part{counts.spans - failed.spans,
                      0,
                      counts.duration_s - failed.duration_s,
                      counts.bytes - failed.bytes,
                      {}};
    auto next = failed.buckets.begin();
    for (const auto& [bucket, count] : counts.buckets) {
        const bool is_there = next != failed.buckets.end() && next->first == bucket;
        part.buckets.emplace_back(bucket, count - (is_there ? next->second : 0));
        if (is_there) ++next;
    }
    return part;
}

// Emits the series of one operation or edge.
class SeriesEmitter {
  public:
    SeriesEmitter(const RedFamily& family, const PromNode& selector,
                  const std::vector<PromWindow>& windows, SpanWeights weights, uint64_t now_ns,
                  const EmitSeries& emit)
        : family_(family),
          selector_(selector),
          windows_(windows),
          weights_(weights),
          now_ns_(now_ns),
          emit_(emit) {}

    Result<void> emit(const StepTable::Operation& operation, const PromLabels& labels) {
        const bool has_status = family_.source == Source::kOperations;
        if (!may_match(labels)) return {};
        std::vector<WindowCounts> counts;
        counts.reserve(windows_.size());
        for (const PromWindow& window : windows_)
            counts.push_back(operation.window(window.from_ns, window.to_ns, now_ns_,
                                              is_of_durations(family_.value), weights_));
        if (!has_status) {
            std::vector<CountedSpans> parts;
            for (WindowCounts& one : counts)
                parts.push_back(
                    {one.spans, one.errors, one.duration_s, one.bytes, std::move(one.buckets)});
            return emit_part(labels, parts);
        }
        const auto emit_status = [&](std::string_view status, const auto& part_of) -> Result<void> {
            std::vector<CountedSpans> parts;
            for (const WindowCounts& one : counts)
                parts.push_back(part_of(one, family_.value));
            return emit_part(with(labels, "status_code", std::string(status)), parts);
        };
        TRY(emit_status(kStatusUnset, others_of));
        return operation.has_errors() ? emit_status(kStatusError, failed_of) : Result<void>();
    }

  private:
    // Whatever status and bound will be.
    bool may_match(const PromLabels& labels) const {
        return std::all_of(selector_.matchers.begin(), selector_.matchers.end(),
                           [&](const PromMatcher& matcher) {
                               return matcher.label == "status_code" || matcher.label == "le" ||
                                      matcher.accepts(label(labels, matcher.label));
                           });
    }

    Result<void> emit_part(const PromLabels& labels, const std::vector<CountedSpans>& parts) {
        if (family_.value == Value::kBucket) return emit_buckets(labels, parts);
        if (!matches_labels(selector_, labels)) return {};
        std::vector<double> growth;
        growth.reserve(parts.size());
        for (const CountedSpans& part : parts)
            growth.push_back(value_of(part));
        const auto is_zero = [](double value) { return value == 0; };
        if (family_.value == Value::kInfo && std::all_of(growth.begin(), growth.end(), is_zero))
            return {};
        return emit_(labels, std::move(growth));
    }

    double value_of(const CountedSpans& part) const {
        switch (family_.value) {
            case Value::kFailed:
                return part.failed;
            case Value::kDropped:
                return 0;
            case Value::kBytes:
                return part.bytes;
            case Value::kInfo:
                return part.spans > 0 ? 1 : 0;
            case Value::kSum:
                return family_.is_ms ? part.duration_s * 1000 : part.duration_s;
            default:
                return part.spans;
        }
    }

    Result<void> emit_buckets(const PromLabels& labels, const std::vector<CountedSpans>& parts) {
        if (!matches_labels(selector_, labels, "le")) return {};
        std::array<std::vector<double>, kRedBounds> growth;
        std::array<double, kRedBounds> sums{};
        for (const CountedSpans& part : parts) {
            add_bounds(part.buckets, sums);
            for (size_t i = 0; i < growth.size(); ++i)
                growth[i].push_back(sums[i]);
        }
        for (size_t i = 0; i < growth.size(); ++i) {
            PromLabels all = with(labels, "le", bound_text(i, family_.is_ms));
            if (matches_labels(selector_, all)) TRY(emit_(std::move(all), std::move(growth[i])));
        }
        return {};
    }

    const RedFamily& family_;
    const PromNode& selector_;
    const std::vector<PromWindow>& windows_;
    const SpanWeights weights_;
    const uint64_t now_ns_;
    const EmitSeries& emit_;
};

store::TimeRange range_of(const std::vector<PromWindow>& windows) {
    store::TimeRange range{UINT64_MAX, 0};
    for (const PromWindow& window : windows) {
        range.start_ns = std::min(range.start_ns, window.from_ns);
        range.end_ns = std::max(range.end_ns, window.to_ns);
    }
    return range;
}

// Whether the windows are of whole steps.
bool is_aligned(const std::vector<PromWindow>& windows, uint32_t step_s, uint64_t now_ns) {
    const uint64_t step_ns = step_s * kRollupSecondNs;
    return std::all_of(windows.begin(), windows.end(), [&](const PromWindow& window) {
        return window.from_ns % step_ns == 0 &&
               (window.to_ns % step_ns == 0 || window.to_ns >= now_ns);
    });
}

// How long steps are to be for these windows.
uint32_t step_of(const std::vector<PromWindow>& windows, const store::CountedParts& parts,
                 uint64_t now_ns) {
    const store::TimeRange range = range_of(windows);
    for (const uint32_t step_s : kLongerStepsS) {
        if (is_aligned(windows, step_s, now_ns)) return step_s;
    }
    if (is_aligned(windows, kMinuteStepS, now_ns) || range.end_ns - range.start_ns > kShortRangeNs)
        return kMinuteStepS;
    uint64_t spans = 0;
    for (const auto& segment : parts.segments) {
        const store::SegmentInfo& info = segment->info();
        if (store::overlaps(info.start_ns_min, info.end_ns_max, range)) spans += info.spans;
    }
    return spans <= kShortSpansMax ? kShortStepS : kMinuteStepS;
}

const StepTable::Operation& side_of(const insight::ServiceEdge& edge, Source source) {
    if (source == Source::kServerEdges) return edge.as_server;
    return source == Source::kQueueEdges ? edge.in_queue : edge.as_client;
}

Result<void> each_edge_series(const Call& call, const RedFamily& family, const PromNode& selector,
                              const std::vector<PromWindow>& windows, SpanWeights weights,
                              AskedEdges& asked, const EmitSeries& emit) {
    const uint32_t step_s = step_of(windows, call.counted(), call.now_ns());
    TRY_ASSIGN(const auto edges, asked.cache.find(call, range_of(windows), step_s));
    if (!edges->note.empty()) asked.note = edges->note;
    if (edges->partial) return fail(ErrorCode::kResourceExhausted, "{}", edges->reason);
    SeriesEmitter emitter(family, selector, windows, weights, call.now_ns(), emit);
    for (const insight::ServiceEdge& edge :
         family.source == Source::kUnpaired ? edges->unpaired : edges->edges) {
        TRY(check_time(call, kEvaluating));
        const StepTable::Operation& operation = side_of(edge, family.source);
        if (operation.empty()) continue;
        TRY(emitter.emit(operation, {{"__name__", std::string(family.name)},
                                     {"client", edge.client},
                                     {"connection_type", edge.connection_type},
                                     {"protocol", edge.protocol},
                                     {"server", edge.server}}));
    }
    return {};
}

std::vector<PromWindow> windows_of_gauge(std::vector<PromWindow> windows) {
    for (PromWindow& window : windows) {
        if (window.from_ns == 0) window.from_ns = window.to_ns - std::min(window.to_ns, kInfoNs);
    }
    return windows;
}

Result<void> each_target_series(const Call& call, const PromNode& selector,
                                const std::vector<PromWindow>& windows, const EmitSeries& emit) {
    TRY_ASSIGN(const Targets targets, find_targets(call, windows));
    if (targets.is_full)
        return fail(ErrorCode::kResourceExhausted,
                    "more than {} processes sent spans: ask for a shorter range", kTargetsMax);
    for (const auto& [labels, ranges] : targets.seen) {
        TRY(check_time(call, kEvaluating));
        if (!matches_labels(selector, labels)) continue;
        std::vector<int64_t> changes(windows.size() + 1);
        for (const auto& [first, end] : ranges) {
            ++changes[first];
            --changes[end];
        }
        std::vector<double> seen(windows.size());
        int64_t open = 0;
        for (size_t i = 0; i < windows.size(); ++i) {
            open += changes[i];
            seen[i] = open > 0 ? 1 : 0;
        }
        TRY(emit(labels, std::move(seen)));
    }
    return {};
}

Result<void> each_family_series(const Call& call, const RedFamily& family, const PromNode& selector,
                                const std::vector<PromWindow>& windows, SpanWeights weights,
                                AskedEdges& edges, const EmitSeries& emit) {
    if (family.source == Source::kTargets) return each_target_series(call, selector, windows, emit);
    if (family.source != Source::kOperations)
        return each_edge_series(call, family, selector, windows, weights, edges, emit);
    const store::CountedParts parts = call.counted();
    StepTable table(range_of(windows), step_of(windows, parts, call.now_ns()),
                    is_of_durations(family.value) ? StepTable::Durations::kCounted
                                                  : StepTable::Durations::kLeftOut);
    table.add(parts, call.context.rollups);
    if (!table.reason().empty()) return fail(ErrorCode::kResourceExhausted, "{}", table.reason());
    SeriesEmitter emitter(family, selector, windows, weights, call.now_ns(), emit);
    for (const StepTable::Operation* operation : table.operations()) {
        TRY(check_time(call, kEvaluating));
        PromLabels labels = {{"__name__", std::string(family.name)},
                             {std::string(service_label(family)), operation->service},
                             {"span_kind", std::string(kind_label(operation->kind))},
                             {"span_name", operation->name}};
        TRY(emitter.emit(*operation, labels));
    }
    return {};
}

}  // namespace

std::string_view kind_label(otlp::SpanKind kind) {
    constexpr std::array<std::string_view, 6> kNames = {
        "SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER",
        "SPAN_KIND_CLIENT",      "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"};
    return kNames[static_cast<size_t>(kind) % kNames.size()];
}

size_t bound_of(uint64_t duration_ns) {
    size_t index = 0;
    while (index + 1 < kRedBounds && duration_ns > bound_ns(index))
        ++index;
    return index;
}

std::string bound_text(size_t bound, bool is_ms) {
    if (bound + 1 >= kRedBounds) return "+Inf";
    const double ns = static_cast<double>(bound_ns(bound));
    return fmt::format("{}", is_ms ? ns / 1e6 : ns / 1e9);
}

std::optional<size_t> bound_of_text(std::string_view text, bool is_ms) {
    for (size_t bound = 0; bound < kRedBounds; ++bound) {
        if (text == bound_text(bound, is_ms)) return bound;
    }
    return std::nullopt;
}

bool is_selected(const PromNode& selector, const RedFamily& family) {
    if (!selector.name.empty() && selector.name != family.name) return false;
    return std::all_of(selector.matchers.begin(), selector.matchers.end(),
                       [&](const PromMatcher& matcher) {
                           return matcher.label != "__name__" || matcher.accepts(family.name);
                       });
}

bool matches_labels(const PromNode& selector, const PromLabels& labels,
                    std::string_view leave_out) {
    return std::all_of(
        selector.matchers.begin(), selector.matchers.end(), [&](const PromMatcher& matcher) {
            return matcher.label == leave_out || matcher.accepts(label(labels, matcher.label));
        });
}

Result<SpanWeights> asked_weights(const http::Query& query) {
    const std::string_view text = query.get("counts");
    if (text.empty() || text == "raw") return SpanWeights::kRaw;
    if (text == "weighted") return SpanWeights::kAdjusted;
    return fail(ErrorCode::kInvalidArgument, "counts is raw or weighted");
}

std::string_view weights_name(SpanWeights weights) {
    return weights == SpanWeights::kRaw ? "raw" : "weighted";
}

Result<void> check_time(const Call& call, std::string_view at_what) {
    if (call.request.cancelled.stop_requested())
        return fail(ErrorCode::kCancelled, "the client has gone");
    if (call.context.options.clock.monotonic_ns() > call.deadline_ns)
        return fail(ErrorCode::kDeadlineExceeded, "query timed out {}: ask for a shorter range",
                    at_what);
    return {};
}

const std::vector<RedFamily>& red_families() {
    constexpr std::string_view kCallsHelp = "Spans received, counted before anything is dropped.";
    constexpr std::string_view kLatencyHelp = "Durations of spans, within 3.2 %.";
    constexpr std::string_view kEdgeHelp = "Requests between services.";
    const auto histogram = [&](std::vector<RedFamily>& all, std::string_view family,
                               std::array<std::string_view, 3> names, Source source, bool is_ms,
                               bool is_otel) {
        constexpr std::array<Value, 3> kValues = {Value::kBucket, Value::kSum, Value::kCount};
        for (size_t i = 0; i < names.size(); ++i)
            all.push_back({names[i], source, kValues[i], is_ms, is_otel, family, kLatencyHelp});
    };
    static const std::vector<RedFamily> table = [&] {
        std::vector<RedFamily> all;
        const auto counter = [&](std::string_view name, Source source, Value value, bool is_otel,
                                 std::string_view help) {
            all.push_back({name, source, value, false, is_otel, name, help});
        };
        counter("traces_spanmetrics_calls_total", Source::kOperations, Value::kCalls, false,
                kCallsHelp);
        histogram(all, "traces_spanmetrics_latency",
                  {"traces_spanmetrics_latency_bucket", "traces_spanmetrics_latency_sum",
                   "traces_spanmetrics_latency_count"},
                  Source::kOperations, false, false);
        counter("traces_spanmetrics_size_total", Source::kOperations, Value::kBytes, false,
                "Bytes of spans' OTLP messages as they were received.");
        counter("traces_span_metrics_calls_total", Source::kOperations, Value::kCalls, true,
                kCallsHelp);
        counter("traces_span_metrics_calls", Source::kOperations, Value::kCalls, true, kCallsHelp);
        histogram(all, "traces_span_metrics_duration_milliseconds",
                  {"traces_span_metrics_duration_milliseconds_bucket",
                   "traces_span_metrics_duration_milliseconds_sum",
                   "traces_span_metrics_duration_milliseconds_count"},
                  Source::kOperations, true, true);
        histogram(all, "traces_span_metrics_duration",
                  {"traces_span_metrics_duration_bucket", "traces_span_metrics_duration_sum",
                   "traces_span_metrics_duration_count"},
                  Source::kOperations, true, true);
        histogram(all, "traces_span_metrics_duration_seconds",
                  {"traces_span_metrics_duration_seconds_bucket",
                   "traces_span_metrics_duration_seconds_sum",
                   "traces_span_metrics_duration_seconds_count"},
                  Source::kOperations, false, true);
        counter("traces_service_graph_request_total", Source::kServerEdges, Value::kRequests, false,
                kEdgeHelp);
        counter("traces_service_graph_request_failed_total", Source::kServerEdges, Value::kFailed,
                false, kEdgeHelp);
        histogram(all, "traces_service_graph_request_server_seconds",
                  {"traces_service_graph_request_server_seconds_bucket",
                   "traces_service_graph_request_server_seconds_sum",
                   "traces_service_graph_request_server_seconds_count"},
                  Source::kServerEdges, false, false);
        histogram(all, "traces_service_graph_request_client_seconds",
                  {"traces_service_graph_request_client_seconds_bucket",
                   "traces_service_graph_request_client_seconds_sum",
                   "traces_service_graph_request_client_seconds_count"},
                  Source::kClientEdges, false, false);
        histogram(all, "traces_service_graph_request_messaging_system_seconds",
                  {"traces_service_graph_request_messaging_system_seconds_bucket",
                   "traces_service_graph_request_messaging_system_seconds_sum",
                   "traces_service_graph_request_messaging_system_seconds_count"},
                  Source::kQueueEdges, false, false);
        counter("traces_service_graph_unpaired_spans_total", Source::kUnpaired, Value::kRequests,
                false, "Calls that nothing answered and that do not say what they called.");
        counter("traces_service_graph_dropped_spans_total", Source::kServerEdges, Value::kDropped,
                false,
                "None: pairs are found in what is stored, so no span waits for its other side.");
        const auto info = [&](std::string_view name, Source source, std::string_view help) {
            all.push_back({name, source, Value::kInfo, false, false, name, help});
        };
        info(kConnectionInfo, Source::kServerEdges, kConnectionInfoHelp);
        info(kTargetInfo, Source::kTargets, kTargetInfoHelp);
        return all;
    }();
    return table;
}

Result<std::shared_ptr<const insight::ServiceEdges>> ServiceEdgeCache::find(const Call& call,
                                                                            store::TimeRange range,
                                                                            uint32_t step_s) {
    const store::CountedParts parts = call.counted();
    uint64_t version = 0;
    const auto note = [&](const void* part, uint64_t number) {
        const uint64_t facts[] = {reinterpret_cast<uintptr_t>(part), number};
        version = hash64({reinterpret_cast<const char*>(facts), sizeof facts}, version);
    };
    for (const auto& segment : parts.segments)
        note(segment.get(), segment->info().spans);
    for (const auto& file : parts.files)
        note(file.get(), file->file().id);
    // Whole minutes, so that questions asked one after the other share an answer.
    range.start_ns -= range.start_ns % kRollupMinuteNs;
    range.end_ns += (kRollupMinuteNs - range.end_ns % kRollupMinuteNs) % kRollupMinuteNs;
    {
        const std::lock_guard lock(mutex_);
        for (const Entry& entry : entries_) {
            if (entry.version == version && entry.step_s == step_s &&
                entry.range.start_ns == range.start_ns && entry.range.end_ns == range.end_ns)
                return entry.edges;
        }
    }
    TRY_ASSIGN(auto found,
               insight::find_all_service_edges(parts, range, call.context.rollups, step_s));
    auto edges = std::make_shared<const insight::ServiceEdges>(std::move(found));
    const std::lock_guard lock(mutex_);
    entries_.insert(entries_.begin(), {version, range, step_s, edges});
    if (entries_.size() > kEdgeEntriesMax) entries_.pop_back();
    return edges;
}

Result<void> each_red_series(const Call& call, const PromNode& selector,
                             const std::vector<PromWindow>& windows, SpanWeights weights,
                             AskedEdges& edges, const EmitSeries& emit) {
    for (const RedFamily& family : red_families()) {
        if (!is_selected(selector, family)) continue;
        const bool is_gauge = family.value == Value::kInfo;
        TRY(each_family_series(call, family, selector,
                               is_gauge ? windows_of_gauge(windows) : windows, weights, edges,
                               emit));
    }
    return {};
}

}  // namespace spanloom::api

#include "api/red_families.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "base/hash.h"
#include "insight/edge_counts.h"

namespace spanloom::api {
namespace {

using Source = RedFamily::Source;
using Value = RedFamily::Value;

constexpr size_t kBounds = 18;
constexpr size_t kEdgeEntriesMax = 4;

// Upper bounds of the buckets that are shown: 0.5 ms, 1 ms, 2 ms, ... 65.536 s.
uint64_t bound_ns(size_t index) {
    return uint64_t{500'000} << index;
}

std::string bound_text(size_t index, bool is_ms) {
    if (index >= kBounds) return "+Inf";
    const double ns = static_cast<double>(bound_ns(index));
    return fmt::format("{}", is_ms ? ns / 1e6 : ns / 1e9);
}

std::string_view kind_label(otlp::SpanKind kind) {
    constexpr std::array<std::string_view, 6> kNames = {
        "SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER",
        "SPAN_KIND_CLIENT",      "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"};
    return kNames[static_cast<size_t>(kind) % kNames.size()];
}

std::string_view label(const PromLabels& labels, std::string_view name) {
    for (const auto& [key, value] : labels) {
        if (key == name) return value;
    }
    return {};
}

bool matches(const PromNode& selector, const PromLabels& labels, std::string_view leave_out = {}) {
    return std::all_of(
        selector.matchers.begin(), selector.matchers.end(), [&](const PromMatcher& matcher) {
            return matcher.label == leave_out || matcher.accepts(label(labels, matcher.label));
        });
}

PromLabels with(PromLabels labels, std::string name, std::string value) {
    labels.emplace_back(std::move(name), std::move(value));
    std::sort(labels.begin(), labels.end());
    return labels;
}

bool needs_durations(Value value) {
    return value == Value::kBucket || value == Value::kSum;
}

// The share of each bucket is where it lies against the bounds: its middle decides.
void add_bounds(const WindowCounts& counts, std::array<double, kBounds + 1>& sums) {
    sums.fill(0);
    for (const auto& [bucket, count] : counts.buckets) {
        const uint64_t middle =
            DurationHistogram::lower_bound_of(bucket) + DurationHistogram::width_of(bucket) / 2;
        size_t index = 0;
        while (index < kBounds && middle > bound_ns(index))
            ++index;
        sums[index] += count;
    }
    for (size_t i = 1; i < sums.size(); ++i)
        sums[i] += sums[i - 1];
}

// Emits the series of one operation or edge.
class SeriesEmitter {
  public:
    SeriesEmitter(const RedFamily& family, const PromNode& selector,
                  const std::vector<PromWindow>& windows, uint64_t now_ns, const EmitSeries& emit)
        : family_(family), selector_(selector), windows_(windows), now_ns_(now_ns), emit_(emit) {}

    Result<void> emit(const MinuteTable::Operation& operation, const PromLabels& labels) {
        if (family_.value == Value::kBucket) return buckets(operation, labels);
        if (family_.value == Value::kCalls) return calls(operation, labels);
        if (!matches(selector_, labels)) return {};
        std::vector<double> growth;
        growth.reserve(windows_.size());
        for (const PromWindow& window : windows_)
            growth.push_back(value_of(counts(operation, window)));
        return emit_(labels, std::move(growth));
    }

  private:
    WindowCounts counts(const MinuteTable::Operation& operation, const PromWindow& window) const {
        return operation.window(window.from_ns, window.to_ns, now_ns_,
                                needs_durations(family_.value));
    }
    double value_of(const WindowCounts& counts) const {
        switch (family_.value) {
            case Value::kFailed:
                return counts.errors;
            case Value::kSum:
                return family_.is_ms ? counts.duration_s * 1000 : counts.duration_s;
            default:
                return counts.spans;
        }
    }

    // Rollups know failed spans and the others; "ok" is not told from "unset".
    Result<void> calls(const MinuteTable::Operation& operation, const PromLabels& labels) {
        if (!matches(selector_, labels, "status_code")) return {};
        std::vector<double> good;
        std::vector<double> failed;
        for (const PromWindow& window : windows_) {
            const WindowCounts sum = counts(operation, window);
            good.push_back(sum.spans - sum.errors);
            failed.push_back(sum.errors);
        }
        TRY(emit_status(labels, "STATUS_CODE_UNSET", std::move(good)));
        if (!operation.has_errors()) return {};
        return emit_status(labels, "STATUS_CODE_ERROR", std::move(failed));
    }
    Result<void> emit_status(const PromLabels& labels, const char* status,
                             std::vector<double> growth) {
        PromLabels all = with(labels, "status_code", status);
        return matches(selector_, all) ? emit_(std::move(all), std::move(growth)) : Result<void>();
    }

    Result<void> buckets(const MinuteTable::Operation& operation, const PromLabels& labels) {
        if (!matches(selector_, labels, "le")) return {};
        std::array<std::vector<double>, kBounds + 1> growth;
        std::array<double, kBounds + 1> sums{};
        for (const PromWindow& window : windows_) {
            add_bounds(counts(operation, window), sums);
            for (size_t i = 0; i < growth.size(); ++i)
                growth[i].push_back(sums[i]);
        }
        for (size_t i = 0; i < growth.size(); ++i) {
            PromLabels all = with(labels, "le", bound_text(i, family_.is_ms));
            if (matches(selector_, all)) TRY(emit_(std::move(all), std::move(growth[i])));
        }
        return {};
    }

    const RedFamily& family_;
    const PromNode& selector_;
    const std::vector<PromWindow>& windows_;
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

Result<void> check_time(const Call& call) {
    if (call.request.cancelled.stop_requested())
        return fail(ErrorCode::kCancelled, "the client has gone");
    if (call.context.options.clock.monotonic_ns() > call.deadline_ns)
        return fail(ErrorCode::kDeadlineExceeded,
                    "query timed out in expression evaluation: ask for a shorter range");
    return {};
}

const MinuteTable::Operation& side_of(const insight::ServiceEdge& edge, Source source) {
    if (source == Source::kServerEdges) return edge.as_server;
    return source == Source::kQueueEdges ? edge.in_queue : edge.as_client;
}

Result<void> each_edge_series(const Call& call, const RedFamily& family, const PromNode& selector,
                              const std::vector<PromWindow>& windows, ServiceEdgeCache& cache,
                              const EmitSeries& emit) {
    TRY_ASSIGN(const auto edges, cache.find(call, range_of(windows)));
    if (edges->partial) return fail(ErrorCode::kResourceExhausted, "{}", edges->reason);
    SeriesEmitter emitter(family, selector, windows, call.now_ns(), emit);
    for (const insight::ServiceEdge& edge :
         family.source == Source::kUnpaired ? edges->unpaired : edges->edges) {
        TRY(check_time(call));
        const MinuteTable::Operation& operation = side_of(edge, family.source);
        if (operation.empty()) continue;
        TRY(emitter.emit(operation, {{"__name__", std::string(family.name)},
                                     {"client", edge.client},
                                     {"connection_type", edge.connection_type},
                                     {"server", edge.server}}));
    }
    return {};
}

Result<void> each_family_series(const Call& call, const RedFamily& family, const PromNode& selector,
                                const std::vector<PromWindow>& windows, ServiceEdgeCache& edges,
                                const EmitSeries& emit) {
    if (family.source != Source::kOperations)
        return each_edge_series(call, family, selector, windows, edges, emit);
    MinuteTable table(range_of(windows));
    table.add(call.counted(), call.context.rollups);
    if (!table.reason().empty()) return fail(ErrorCode::kResourceExhausted, "{}", table.reason());
    SeriesEmitter emitter(family, selector, windows, call.now_ns(), emit);
    for (const MinuteTable::Operation* operation : table.operations()) {
        TRY(check_time(call));
        PromLabels labels = {{"__name__", std::string(family.name)},
                             {family.is_otel ? "service_name" : "service", operation->service},
                             {"span_kind", std::string(kind_label(operation->kind))},
                             {"span_name", operation->name}};
        TRY(emitter.emit(*operation, labels));
    }
    return {};
}

}  // namespace

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
        return all;
    }();
    return table;
}

Result<std::shared_ptr<const insight::ServiceEdges>> ServiceEdgeCache::find(
    const Call& call, store::TimeRange range) {
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
            if (entry.version == version && entry.range.start_ns == range.start_ns &&
                entry.range.end_ns == range.end_ns)
                return entry.edges;
        }
    }
    TRY_ASSIGN(auto found, insight::find_all_service_edges(parts, range, call.context.rollups));
    auto edges = std::make_shared<const insight::ServiceEdges>(std::move(found));
    const std::lock_guard lock(mutex_);
    entries_.insert(entries_.begin(), {version, range, edges});
    if (entries_.size() > kEdgeEntriesMax) entries_.pop_back();
    return edges;
}

Result<void> each_red_series(const Call& call, const PromNode& selector,
                             const std::vector<PromWindow>& windows, ServiceEdgeCache& edges,
                             const EmitSeries& emit) {
    for (const RedFamily& family : red_families()) {
        if (!selector.name.empty() && selector.name != family.name) continue;
        const bool is_named = std::all_of(
            selector.matchers.begin(), selector.matchers.end(), [&](const PromMatcher& matcher) {
                return matcher.label != "__name__" || matcher.accepts(family.name);
            });
        if (is_named) TRY(each_family_series(call, family, selector, windows, edges, emit));
    }
    return {};
}

}  // namespace spanloom::api

#pragma once

#include <functional>
#include <string>

#include "api/call.h"
#include "otlp/writer.h"
#include "traceql/answer.h"

namespace spanloom::api {

// What Tempo's clients accept beside JSON.
inline constexpr std::string_view kProtobuf = "application/protobuf";
inline constexpr std::string_view kForModels = "application/vnd.grafana.llm";
http::Response protobuf_reply(std::string body);

// What Tempo's search is asked, over HTTP or gRPC: a query, or tags with durations.
struct TempoQuestion {
    std::string query;
    std::string tags;          // logfmt
    std::string duration_min;  // of the trace
    std::string duration_max;
    store::TimeRange range;
    uint32_t traces = kTracesDefault;
    uint32_t spans_per_spanset = kSpansDefault;
    bool explain = false;  // a query

    static constexpr uint32_t kTracesDefault = 20;
    static constexpr uint32_t kSpansDefault = 3;
    static constexpr uint32_t kSpansMax = 100;

    // 0 asks for as many as there may be.
    void set_spans(uint64_t spans);
};

Result<traceql::SearchAnswer> tempo_search(
    const Call& call, const TempoQuestion& question,
    const std::function<void(const traceql::TraceFound&)>& on_trace = {});

// Seconds since 1970 of two parameters; both 0 (absent) is everything.
Result<store::TimeRange> seconds_range(uint64_t start_s, uint64_t end_s);
Result<store::TimeRange> tempo_range(const http::Query& query);

// Answers as JSON and as tempopb's messages.
void write_tempo_trace(JsonWriter& json, const traceql::TraceFound& trace);
void write_tempo_trace(otlp::WireWriter& out, uint32_t field, const traceql::TraceFound& trace);
// What was read for an answer, and what there was to read.
struct SearchCosts {
    traceql::QueryStats stats;
    uint64_t traces = 0;         // shown
    uint64_t segment_bytes = 0;  // of all segments that lie in the range, read or not
};
uint64_t segment_bytes_in(const Call& call, store::TimeRange range);
void write_search_metrics(JsonWriter& json, const SearchCosts& costs);
void write_search_metrics(otlp::WireWriter& out, uint32_t field, const SearchCosts& costs);

// A value as an OTLP AnyValue; nil is one without a value.
void write_tempo_value(JsonWriter& json, const store::Value& value);
void write_tempo_value(otlp::WireWriter& out, uint32_t field, const store::Value& value);

// What Tempo's clients do not read goes out in header fields: why an answer is partial, notes, and
// whether sampled spans were counted as many as they stand for.
void add_remarks(http::Response& response, const traceql::QueryStats& stats,
                 const std::vector<std::string>& notes);

}  // namespace spanloom::api

#include "api/tempo_metrics.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "api/tempo_search.h"
#include "api/trace_chunks.h"
#include "base/text.h"
#include "traceql/checker.h"
#include "traceql/executor.h"

namespace spanloom::api {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kHour = 3600 * kSecond;
constexpr uint32_t kSeriesDefault = 1'000;
constexpr uint32_t kSeriesMax = 10'000;
constexpr uint32_t kExemplarsMax = 1'000;

// Seconds (whole, or with a fraction), ns (more than ten digits), or RFC 3339.
std::optional<uint64_t> parse_time(std::string_view text) {
    if (const auto whole = parse_int(text)) {
        if (*whole < 0) return std::nullopt;
        if (text.size() > 10) return static_cast<uint64_t>(*whole);
        return static_cast<uint64_t>(*whole) * kSecond;
    }
    if (const auto number = parse_double(text)) {
        if (!(*number >= 0 && *number < 9e9)) return std::nullopt;
        return static_cast<uint64_t>(*number * 1e9);
    }
    const auto time = parse_rfc3339_ns(text);
    return time ? std::optional(*time) : std::nullopt;
}

Result<uint64_t> time_parameter(const http::Query& query, std::string_view name,
                                uint64_t fallback) {
    const std::string_view text = query.get(name);
    if (text.empty()) return fallback;
    if (const auto time = parse_time(text)) return *time;
    return fail(
        ErrorCode::kInvalidArgument,
        "malformed parameter '{}': \"{}\" is not a time: write seconds or ns since 1970, or "
        "2026-11-22T15:00:00Z",
        name, text.substr(0, 100));
}

// "15", "0.5", "15s".
Result<uint64_t> step_parameter(std::string_view text) {
    if (text.empty()) return 0;
    if (const auto seconds = parse_double(text)) {
        if (*seconds > 0 && *seconds < 1e9) return static_cast<uint64_t>(*seconds * 1e9);
    } else if (const auto duration = parse_duration_ns(text); duration && *duration > 0) {
        return static_cast<uint64_t>(*duration);
    }
    return fail(ErrorCode::kInvalidArgument,
                "malformed parameter 'step': \"{}\" is neither seconds nor a duration such as 15s",
                text.substr(0, 100));
}

// A group without a value is the text "nil".
store::Value shown(const store::Value& value) {
    return value.kind == store::ValueKind::kNil ? store::Value::of_string("nil") : value;
}

void write_labels(JsonWriter& json, const std::vector<traceql::Label>& labels) {
    json.key("labels").begin_array();
    for (const traceql::Label& label : labels) {
        json.begin_object().field("key", label.name).key("value");
        write_tempo_value(json, shown(label.value));
        json.end_object();
    }
    json.end_array();
}

void write_labels(otlp::WireWriter& out, const std::vector<traceql::Label>& labels) {
    for (const traceql::Label& label : labels) {
        const size_t mark = out.begin(1);
        out.bytes_field(1, label.name);
        write_tempo_value(out, 2, shown(label.value));
        out.end(mark);
    }
}

// The trace comes first: clients make a link of it.
std::vector<traceql::Label> exemplar_labels(const traceql::Exemplar& exemplar) {
    std::vector<traceql::Label> labels = {
        {"trace:id", store::Value::of_string(exemplar.trace_id.hex())},
        {"span:id", store::Value::of_string(exemplar.span_id.hex())}};
    labels.insert(labels.end(), exemplar.labels.begin(), exemplar.labels.end());
    return labels;
}

uint64_t time_ms(const traceql::MetricsAnswer& answer, size_t interval) {
    return (answer.first_ns + interval * answer.step_ns) / 1'000'000;
}

double instant_value(const traceql::Series& series) {
    return series.values.empty() ? std::nan("") : series.values.front();
}

void write_series(JsonWriter& json, const traceql::MetricsAnswer& answer,
                  const traceql::Series& series) {
    json.begin_object();
    write_labels(json, series.labels);
    json.key("samples").begin_array();
    for (size_t i = 0; i < series.values.size(); ++i) {
        if (std::isnan(series.values[i])) continue;
        json.begin_object().key("timestampMs").quoted(time_ms(answer, i));
        json.field("value", series.values[i]).end_object();
    }
    json.end_array();
    if (!series.exemplars.empty()) {
        json.key("exemplars").begin_array();
        for (const traceql::Exemplar& exemplar : series.exemplars) {
            json.begin_object();
            write_labels(json, exemplar_labels(exemplar));
            json.field("value", exemplar.value);
            json.key("timestampMs").quoted(exemplar.time_ns / 1'000'000).end_object();
        }
        json.end_array();
    }
    json.end_object();
}

void write_series(otlp::WireWriter& out, const traceql::MetricsAnswer& answer,
                  const traceql::Series& series) {
    const size_t mark = out.begin(1);
    write_labels(out, series.labels);
    for (size_t i = 0; i < series.values.size(); ++i) {
        if (std::isnan(series.values[i])) continue;
        const size_t sample = out.begin(2);
        out.double_field(1, series.values[i]);
        out.varint_field(2, time_ms(answer, i));
        out.end(sample);
    }
    for (const traceql::Exemplar& exemplar : series.exemplars) {
        const size_t one = out.begin(4);
        write_labels(out, exemplar_labels(exemplar));
        out.double_field(2, exemplar.value);
        out.varint_field(3, exemplar.time_ns / 1'000'000);
        out.end(one);
    }
    out.end(mark);
}

// Of all intervals.
SearchCosts costs_of(const Call& call, const traceql::MetricsAnswer& answer) {
    const uint64_t left_ns = answer.first_ns - answer.step_ns;
    const uint64_t right_ns = left_ns + answer.step_ns * answer.intervals;
    return {answer.stats, 0, segment_bytes_in(call, {left_ns + 1, right_ns + 1})};
}

Result<http::Response> reply(Call& call, bool is_instant) {
    TRY_ASSIGN(const TempoMetricsQuestion question, tempo_metrics_question(call, is_instant));
    TRY_ASSIGN(const auto answer, tempo_metrics(call, question));
    std::string out;
    write_series_json(out, call, answer, is_instant);
    http::Response response = json_reply(std::move(out));
    add_remarks(response, answer.stats, answer.notes);
    response.headers.add("x-spanloom-weighted", answer.weighted ? "true" : "false");
    response.headers.add("x-spanloom-sampled", answer.is_sampled ? "true" : "false");
    response.headers.add("x-spanloom-exact", answer.is_exact ? "true" : "false");
    response.headers.add("x-spanloom-counted", std::to_string(answer.spans_from_counts));
    return response;
}

}  // namespace

Result<TempoMetricsQuestion> tempo_metrics_question(const Call& call, bool is_instant) {
    const http::Query& query = call.query;
    TempoMetricsQuestion question;
    question.is_instant = is_instant;
    question.query = parameter(query, {"q", "query"});
    TRY_ASSIGN(const auto since, duration_parameter("since", query.get("since")));
    TRY_ASSIGN(question.end_ns, time_parameter(query, "end", call.now_ns()));
    const uint64_t back = since ? static_cast<uint64_t>(*since) : kHour;
    TRY_ASSIGN(question.start_ns,
               time_parameter(query, "start", question.end_ns - std::min(question.end_ns, back)));
    TRY_ASSIGN(question.step_ns, step_parameter(query.get("step")));
    TRY_ASSIGN(const uint64_t exemplars, number_parameter(query, "exemplars", 0, 0, UINT32_MAX));
    TRY_ASSIGN(const uint64_t series, number_parameter(query, "maxSeries", 0, 0, UINT32_MAX));
    question.exemplars = static_cast<uint32_t>(exemplars);
    question.series_max = static_cast<uint32_t>(series);
    return question;
}

Result<traceql::MetricsAnswer> tempo_metrics(const Call& call,
                                             const TempoMetricsQuestion& question) {
    const auto query = traceql::parse(question.query);
    if (!query)
        return fail(ErrorCode::kInvalidArgument, "invalid TraceQL query: {}", query.error().text());
    if (!traceql::is_metrics(*query))
        return fail(ErrorCode::kInvalidArgument,
                    "invalid TraceQL query: this query finds traces, it draws no series: end it "
                    "with a function such as | rate()");
    if (question.end_ns <= question.start_ns)
        return fail(ErrorCode::kInvalidArgument, "end must be greater than start");
    traceql::MetricsOptions options;
    options.range = {question.start_ns, question.end_ns};
    if (!question.is_instant)
        options.step_ns =
            question.step_ns != 0 ? question.step_ns : traceql::default_step_ns(options.range);
    if (options.step_ns != 0 &&
        (question.end_ns - question.start_ns) / options.step_ns > question.kIntervalsMax)
        return fail(ErrorCode::kInvalidArgument,
                    "more than {} points in a series: use a larger step or a shorter range",
                    question.kIntervalsMax);
    options.exemplars = std::min(question.exemplars, kExemplarsMax);
    options.series_max =
        question.series_max == 0 ? kSeriesDefault : std::min(question.series_max, kSeriesMax);
    options.cancelled = call.request.cancelled;
    options.deadline_monotonic_ns = call.deadline_ns;
    options.memory_bytes_max = call.context.options.limits.memory_bytes_max;
    options.executor = call.context.options.helpers;
    options.helpers = call.context.options.limits.helpers;
    options.shared_traces = &call.context.shared_traces;
    options.explain = question.explain;
    options.counted = [&call] { return call.counted(); };
    options.rollups = &call.context.rollups;
    return traceql::query_metrics(*query, call.segments(), options, call.context.options.clock);
}

void write_series_json(std::string& out, const Call& call, const traceql::MetricsAnswer& answer,
                       bool is_instant) {
    JsonWriter json(out);
    json.begin_object().key("series").begin_array();
    for (const traceql::Series& series : answer.series) {
        if (!is_instant) {
            write_series(json, answer, series);
        } else if (const double value = instant_value(series); !std::isnan(value)) {
            json.begin_object();
            write_labels(json, series.labels);
            json.field("value", value).end_object();
        }
    }
    json.end_array();
    write_search_metrics(json, costs_of(call, answer));
    if (answer.stats.partial) {
        json.field("status", std::string_view("PARTIAL"));
        json.field("message", answer.stats.reason);
    }
    json.end_object();
}

void send_series(const Call& call, const traceql::MetricsAnswer& answer, bool is_instant,
                 const std::function<bool(std::string_view)>& send) {
    std::string bytes;
    otlp::WireWriter out(bytes);
    for (const traceql::Series& series : answer.series) {
        if (!is_instant) {
            write_series(out, answer, series);
        } else if (const double value = instant_value(series); !std::isnan(value)) {
            const size_t mark = out.begin(1);
            write_labels(out, series.labels);
            out.double_field(2, value);
            out.end(mark);
        }
        if (bytes.size() < kChunkBytesMax) continue;
        if (!send(bytes)) return;
        bytes.clear();
    }
    write_search_metrics(out, 2, costs_of(call, answer));
    if (answer.stats.partial) {
        out.varint_field(3, 1);
        out.bytes_field(4, answer.stats.reason);
    }
    send(bytes);
}

void add_tempo_metrics(Router& router) {
    router.add(Family::kTempo, "GET", "/api/metrics/query_range",
               [](Call& call) { return reply(call, false); });
    router.add(Family::kTempo, "GET", "/api/metrics/query",
               [](Call& call) { return reply(call, true); });
}

}  // namespace spanloom::api

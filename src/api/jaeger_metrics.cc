// What Jaeger's "Monitor" page asks: rate, errors and durations of services, from the rollups.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>

#include <fmt/format.h>

#include "api/jaeger.h"
#include "api/jaeger_search.h"
#include "base/text.h"
#include "rollup/step_table.h"

namespace spanloom::api {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kMsMax = UINT64_MAX / kMs / 4;
constexpr uint64_t kMinuteMs = kRollupMinuteNs / kMs;
constexpr size_t kPointsMax = 11'000;  // of one series, as Prometheus has it
constexpr size_t kServicesMax = 1'000;

struct MetricsQuestion {
    std::set<std::string, std::less<>> services;
    std::set<otlp::SpanKind> kinds;
    bool by_operation = false;
    uint64_t end_ms = 0;
    uint64_t lookback_ms = 0;
    uint64_t step_ms = 0;
    uint64_t rate_per_ms = 0;
};

Result<MetricsQuestion> read_question(const Call& call) {
    const http::Query& query = call.query;
    MetricsQuestion question;
    for (const std::string_view service : query.all("service"))
        question.services.emplace(service);
    question.services.erase("");
    if (question.services.empty())
        return fail(ErrorCode::kInvalidArgument,
                    "unable to parse param 'service': please provide at least one service name");
    if (question.services.size() > kServicesMax)
        return fail(ErrorCode::kInvalidArgument, "more than {} services in one question",
                    kServicesMax);
    TRY_ASSIGN(question.by_operation,
               flag_parameter("groupByOperation", query.get("groupByOperation")));
    for (const std::string_view word : query.all("spanKind")) {
        TRY_ASSIGN(const auto kind, kind_parameter({"spanKind", word}));
        if (kind) question.kinds.insert(*kind);
    }
    if (question.kinds.empty()) question.kinds.insert(otlp::SpanKind::kServer);
    TRY_ASSIGN(question.end_ms, number_parameter(query, "endTs", call.now_ns() / kMs, 0, kMsMax));
    TRY_ASSIGN(question.lookback_ms,
               number_parameter(query, "lookback", 60 * kMinuteMs, 1, kMsMax));
    TRY_ASSIGN(question.step_ms, number_parameter(query, "step", 5'000, 1, kMsMax));
    TRY_ASSIGN(question.rate_per_ms, number_parameter(query, "ratePer", 10 * kMinuteMs, 1, kMsMax));
    // Counts are by the minute.
    question.step_ms = std::max(question.step_ms, kMinuteMs);
    question.rate_per_ms = std::max(question.rate_per_ms, kMinuteMs);
    if (question.lookback_ms / question.step_ms > kPointsMax)
        return fail(ErrorCode::kInvalidArgument,
                    "more than {} points in a series: use a larger step", kPointsMax);
    return question;
}

struct Measure {
    std::string_view name;  // "call_rate"
    std::string help;       // without what it is grouped by
    bool with_durations = false;
    // Of the window; the second is its length in seconds.
    std::function<double(const WindowCounts&, double)> value;
};

void write_label(JsonWriter& json, std::string_view name, std::string_view value) {
    json.begin_object().field("name", name).field("value", value).end_object();
}

struct Group {
    std::string service;
    std::string operation;
    std::vector<const StepTable::Operation*> members;
};

std::vector<Group> group(const StepTable& table, const MetricsQuestion& question) {
    std::map<std::pair<std::string, std::string>, Group> groups;
    for (const StepTable::Operation* operation : table.operations()) {
        if (!question.services.contains(operation->service) ||
            !question.kinds.contains(operation->kind))
            continue;
        const std::string name = question.by_operation ? operation->name : std::string();
        Group& one = groups[{operation->service, name}];
        one.service = operation->service;
        one.operation = name;
        one.members.push_back(operation);
    }
    std::vector<Group> out;
    for (auto& [key, one] : groups)
        out.push_back(std::move(one));
    return out;
}

void write_points(JsonWriter& json, const Group& group, const MetricsQuestion& question,
                  const Measure& family, uint64_t now_ns) {
    json.key("metricPoints").begin_array();
    const uint64_t start_ms = question.end_ms - std::min(question.end_ms, question.lookback_ms);
    for (uint64_t at_ms = start_ms; at_ms <= question.end_ms; at_ms += question.step_ms) {
        WindowCounts sum;
        const uint64_t from_ms = at_ms - std::min(at_ms, question.rate_per_ms);
        for (const StepTable::Operation* operation : group.members)
            sum.add(operation->window(from_ms * kMs, at_ms * kMs, now_ns, family.with_durations));
        json.begin_object().key("gaugeValue").begin_object();
        json.field("doubleValue",
                   family.value(sum, static_cast<double>(question.rate_per_ms) / 1000));
        json.end_object().field("timestamp", format_rfc3339_ns(at_ms * kMs)).end_object();
    }
    json.end_array();
}

Result<http::Response> answer(const Call& call, const MetricsQuestion& question,
                              const Measure& family) {
    const uint64_t back_ms = question.lookback_ms + question.rate_per_ms;
    const store::TimeRange range{(question.end_ms - std::min(question.end_ms, back_ms)) * kMs,
                                 question.end_ms * kMs};
    StepTable table(
        range, kMinuteStepS,
        family.with_durations ? StepTable::Durations::kCounted : StepTable::Durations::kLeftOut);
    table.add(call.counted(), call.context.rollups);
    const char* prefix = question.by_operation ? "service_operation_" : "service_";
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("name", prefix + std::string(family.name));
    json.field("type", std::string_view("GAUGE"));
    json.field("help", family.help + (question.by_operation ? ", grouped by service & operation"
                                                            : ", grouped by service"));
    json.key("metrics").begin_array();
    for (const Group& one : group(table, question)) {
        if (call.request.cancelled.stop_requested())
            return fail(ErrorCode::kCancelled, "the client has gone");
        json.begin_object().key("labels").begin_array();
        if (question.by_operation) write_label(json, "operation", one.operation);
        write_label(json, "service_name", one.service);
        json.end_array();
        write_points(json, one, question, family, call.now_ns());
        json.end_object();
    }
    json.end_array().end_object();
    return json_reply(std::move(out));
}

// Where nothing was called there is no rate: Jaeger's page averages over the points that have one.
double share(double part, double whole) {
    return whole > 0 ? part / whole : std::numeric_limits<double>::quiet_NaN();
}

Result<http::Response> calls(Call& call) {
    TRY_ASSIGN(const MetricsQuestion question, read_question(call));
    return answer(call, question,
                  {"call_rate", "calls/sec", false,
                   [](const WindowCounts& sum, double seconds) { return sum.spans / seconds; }});
}

Result<http::Response> errors(Call& call) {
    TRY_ASSIGN(const MetricsQuestion question, read_question(call));
    return answer(
        call, question,
        {"error_rate", "error rate, computed as a fraction of errors/sec over calls/sec", false,
         [](const WindowCounts& sum, double) { return share(sum.errors, sum.spans); }});
}

Result<http::Response> latencies(Call& call) {
    TRY_ASSIGN(const MetricsQuestion question, read_question(call));
    const auto quantile = parse_double(call.query.get("quantile"));
    if (!quantile || !(*quantile >= 0 && *quantile <= 1))
        return fail(ErrorCode::kInvalidArgument,
                    "unable to parse param 'quantile': it must be a number from 0 to 1");
    return answer(
        call, question,
        {"latencies", fmt::format("{:.2f}th quantile latency", *quantile), true,
         [q = *quantile](const WindowCounts& sum, double) { return sum.quantile_s(q) * 1000; }});
}

Result<http::Response> minimum_step(Call& call) {
    return jaeger_envelope(call, std::to_string(kMinuteMs), 1);
}

}  // namespace

void add_jaeger_metrics(Router& router) {
    router.add(Family::kJaeger, "GET", "/api/metrics/latencies", latencies);
    router.add(Family::kJaeger, "GET", "/api/metrics/calls", calls);
    router.add(Family::kJaeger, "GET", "/api/metrics/errors", errors);
    router.add(Family::kJaeger, "GET", "/api/metrics/minstep", minimum_step);
}

}  // namespace spanloom::api

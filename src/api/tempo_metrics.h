#pragma once

#include <string>
#include <string_view>

#include "api/call.h"
#include "api/router.h"
#include "traceql/answer.h"

namespace spanloom::api {

// What Tempo's metrics are asked, over HTTP or gRPC.
struct TempoMetricsQuestion {
    std::string query;
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    uint64_t step_ns = 0;  // 0: what fits the range; not for instant queries
    uint32_t exemplars = 0;
    uint32_t series_max = 0;  // 0: the default
    bool is_instant = false;
    bool explain = false;

    static constexpr size_t kIntervalsMax = 11'000;
};

// What the parameters of a request ask.
Result<TempoMetricsQuestion> tempo_metrics_question(const Call& call, bool is_instant);
Result<traceql::MetricsAnswer> tempo_metrics(const Call& call,
                                             const TempoMetricsQuestion& question);

void write_series_json(std::string& out, const Call& call, const traceql::MetricsAnswer& answer,
                       bool is_instant);
// QueryRangeResponse or QueryInstantResponse, as one or more messages of about a MiB; `send`
// returns false to stop.
void send_series(const Call& call, const traceql::MetricsAnswer& answer, bool is_instant,
                 const std::function<bool(std::string_view message)>& send);

void add_tempo_metrics(Router& router);

}  // namespace spanloom::api

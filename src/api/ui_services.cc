#include <algorithm>

#include "api/ui.h"
#include "base/text.h"
#include "rollup/operation_rollup.h"

namespace spanloom::api {
namespace {

constexpr uint64_t kMinuteNs = 60'000'000'000;

double per_second(uint64_t count, uint64_t ns) {
    return ns == 0 ? 0 : static_cast<double>(count) * 1e9 / static_cast<double>(ns);
}

void write_duration(JsonWriter& json, const OperationCounts& counts, uint64_t ns) {
    if (counts.spans == 0) {
        json.null();
    } else {
        json.number(ns);
    }
}

// Steps as they are shown: of the last one only what has passed counts as time.
class ServiceWriter {
  public:
    ServiceWriter(JsonWriter& json, const OperationRollup& rollup, uint64_t end_ns)
        : json_(json), rollup_(rollup), end_ns_(end_ns) {}

    void write(const OperationSeries& series) {
        json_.begin_object().field("name", series.service);
        json_.key("rate").begin_array();
        for (uint32_t step = 0; step < series.steps.size(); ++step)
            json_.number(per_second(series.steps[step].spans, step_length(step)));
        json_.end_array().key("errors").begin_array();
        for (const OperationCounts& step : series.steps)
            json_.number(step.errors);
        json_.end_array().key("p50_ns").begin_array();
        for (const OperationCounts& step : series.steps)
            write_duration(json_, step, step.p50_ns);
        json_.end_array().key("p95_ns").begin_array();
        for (const OperationCounts& step : series.steps)
            write_duration(json_, step, step.p95_ns);
        json_.end_array().key("total");
        write_total(series.total);
        json_.field("operations", rollup_.operations(series.service).size()).end_object();
    }

  private:
    uint64_t step_length(uint32_t step) const {
        const uint64_t begin = rollup_.first_step_ns() + step * rollup_.step_ns();
        const uint64_t end = std::min(begin + rollup_.step_ns(), end_ns_);
        return end > begin ? end - begin : rollup_.step_ns();
    }

    void write_total(const OperationCounts& total) {
        const uint64_t begin = rollup_.first_step_ns();
        json_.begin_object().field("count", total.spans).field("errors", total.errors);
        json_.field("rate", per_second(total.spans, end_ns_ > begin ? end_ns_ - begin : 0));
        json_.key("p50_ns");
        write_duration(json_, total, total.p50_ns);
        json_.key("p95_ns");
        write_duration(json_, total, total.p95_ns);
        json_.end_object();
    }

    JsonWriter& json_;
    const OperationRollup& rollup_;
    const uint64_t end_ns_;
};

Result<http::Response> services(Call& call) {
    TRY_ASSIGN(const store::TimeRange range, asked_range(call));
    TRY_ASSIGN(const uint64_t step, number_parameter(call.query, "step", kMinuteNs, 0, INT64_MAX));
    OperationRollup rollup(range, step);
    rollup.add(call.counted(), call.context.rollups);
    const uint64_t last = rollup.first_step_ns() + rollup.step_count() * rollup.step_ns();
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("from").quoted(rollup.first_step_ns()).key("to").quoted(last);
    json.key("step").quoted(rollup.step_ns()).key("services").begin_array();
    ServiceWriter writer(json, rollup,
                         std::min({last, std::max(call.now_ns(), range.start_ns + 1)}));
    for (const OperationSeries& series : rollup.services())
        writer.write(series);
    json.end_array().key("stats").begin_object().field("ms", call.elapsed_ms());
    json.field("partial", !rollup.reason().empty()).field("reason", rollup.reason());
    json.field("weighted", false).end_object().end_object();
    return json_reply(std::move(out));
}

}  // namespace

void add_ui_services(Router& router) {
    router.add(Family::kUi, "GET", "/api/ui/v1/services", services);
}

}  // namespace spanloom::api

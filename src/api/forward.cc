#include "api/forward.h"

#include "base/json_writer.h"
#include "sampling/forwarder.h"

namespace spanloom::api {
namespace {

Result<http::Response> list_targets(Call& call) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("targets").begin_array();
    const sampling::Forwarder* const forwarder = call.context.options.forwarder;
    const auto states =
        forwarder == nullptr ? std::vector<sampling::ForwardState>() : forwarder->states();
    for (const sampling::ForwardState& state : states) {
        json.begin_object().field("name", state.name).field("endpoint", state.endpoint);
        json.field("held_traces", state.held_traces).field("unsent_traces", state.unsent_traces);
        json.field("lag_seconds", state.lag_s).field("traces_sent", state.traces_sent);
        json.field("traces_dropped", state.traces_dropped).field("spans_sent", state.spans_sent);
        json.field("spans_rejected", state.spans_rejected).field("late_spans", state.late_spans);
        json.field("retries", state.retries).field("dead_letter_traces", state.dead_traces);
        json.field("lost_traces", state.lost_traces).field("journal_bytes", state.journal_bytes);
        json.field("dead_letter_bytes", state.dead_letter_bytes);
        json.field("history_bytes", state.history_bytes);
        json.field("problem", state.problem).end_object();
    }
    json.end_array().end_object();
    return json_reply(std::move(out));
}

}  // namespace

void add_forward(Router& router) {
    router.add(Family::kUi, "GET", "/api/forward", list_targets);
}

}  // namespace spanloom::api

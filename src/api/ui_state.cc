// What this server does with what it gets: its settings, its storage, and what senders sampled.
#include <algorithm>

#include "api/ui.h"
#include "base/text.h"

namespace spanloom::api {
namespace {

constexpr std::string_view kHidden = "(hidden)";

bool is_secret(std::string_view key) {
    constexpr std::string_view kSecretWords[] = {"password", "secret", "token", "credential"};
    return std::any_of(std::begin(kSecretWords), std::end(kSecretWords),
                       [&](auto word) { return key.find(word) != std::string_view::npos; });
}

Result<http::Response> settings(Call& call) {
    const ApiOptions& options = call.context.options;
    const store::StoreState state = options.store.state();
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("version", options.boot.version).key("settings").begin_array();
    for (const SettingInForce& setting : options.settings) {
        const bool hides = is_secret(setting.key) && setting.value != "\"\"";
        json.begin_object().field("key", setting.key);
        json.field("value", hides ? kHidden : std::string_view(setting.value));
        json.field("text", setting.text).field("is_default", setting.is_default).end_object();
    }
    json.end_array().key("storage").begin_object();
    json.key("spans").quoted(state.spans).field("segments", state.segments);
    json.key("disk_bytes").quoted(state.disk_bytes).key("kept_bytes").quoted(state.kept_bytes);
    json.key("log_bytes").quoted(state.log.bytes).key("oldest_ns");
    if (state.oldest_arrival_ns == 0) {
        json.null();
    } else {
        json.quoted(state.oldest_arrival_ns);
    }
    json.field("quarantined", state.quarantined).field("duplicates", state.duplicates);
    json.key("disk");
    const auto space = options.disk_space
                           ? options.disk_space()
                           : Result<DiskSpace>(fail(ErrorCode::kUnsupported, "not known"));
    if (space) {
        json.begin_object().key("total_bytes").quoted(space->total_bytes);
        json.key("free_bytes").quoted(space->free_bytes).end_object();
    } else {
        json.null();
    }
    json.field("state", std::string_view(state.is_read_only ? "read-only" : "ok"));
    json.field("reason", state.reason).end_object().end_object();
    return json_reply(std::move(out));
}

// By service: spans received, and how many these stand for where senders say that they sampled
// (`ot=th` of the tracestate).
Result<http::Response> sampling(Call& call) {
    TRY_ASSIGN(const store::TimeRange range, asked_range(call));
    OperationRollup rollup(range, range.end_ns - range.start_ns);
    rollup.add(call.counted(), call.context.rollups);
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("services").begin_array();
    for (const OperationSeries& service : rollup.services()) {
        OperationCounts all;
        for (const OperationSeries& operation : rollup.operations(service.service)) {
            all.spans += operation.total.spans;
            all.weighted += operation.total.weighted;
        }
        json.begin_object().field("name", service.service).field("spans", all.spans);
        json.field("weighted", all.weighted).end_object();
    }
    json.end_array();
    json.field("partial", !rollup.reason().empty()).field("reason", rollup.reason());
    json.end_object();
    return json_reply(std::move(out));
}

}  // namespace

void add_ui_state(Router& router) {
    router.add(Family::kUi, "GET", "/api/ui/v1/settings", settings);
    router.add(Family::kUi, "GET", "/api/ui/v1/sampling", sampling);
}

}  // namespace spanloom::api

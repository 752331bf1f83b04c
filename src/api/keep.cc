#include "api/keep.h"

#include <cmath>

#include <fmt/format.h>

#include "api/change_request.h"
#include "api/jaeger.h"
#include "otlp/tracestate.h"
#include "sampling/forwarder.h"
#include "sampling/preview.h"
#include "sampling/why.h"

namespace spanloom::api {
namespace {

constexpr const char* kTenant = "default";
constexpr size_t kPinTextBytesMax = 1000;

using sampling::Keeper;

Result<Keeper*> keeper_of(const Call& call) {
    Keeper* const keeper = call.context.options.keeper;
    if (keeper == nullptr) return fail(ErrorCode::kUnsupported, "this server has no keep rules");
    return keeper;
}

// ---------------------------------------------------------------------------------------- rules

http::Response rules_reply(const sampling::RulesInForce& in_force) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("source", in_force.source).field("version", in_force.version);
    json.key("changed");
    if (in_force.changed_ns == 0) {
        json.null();
    } else {
        json.quoted(in_force.changed_ns);
    }
    json.key("rules").raw(sampling::print_keep_rules(in_force.value)).end_object();
    http::Response response = json_reply(std::move(out));
    response.headers.add("etag", "\"" + std::to_string(in_force.version) + "\"");
    return response;
}

Result<http::Response> get_rules(Call& call) {
    TRY_ASSIGN(Keeper* const keeper, keeper_of(call));
    return rules_reply(*keeper->rules());
}

Result<http::Response> change_reply(Result<std::shared_ptr<const sampling::RulesInForce>> changed) {
    if (!changed && (changed.error().code == ErrorCode::kAlreadyExists ||
                     changed.error().code == ErrorCode::kNotFound))
        return version_conflict(changed.error());
    TRY(changed);
    return rules_reply(**changed);
}

Result<http::Response> put_rules(Call& call) {
    TRY(check_admin(call));
    TRY_ASSIGN(Keeper* const keeper, keeper_of(call));
    TRY_ASSIGN(const uint64_t expected, seen_version(call));
    TRY_ASSIGN(const Blob body, call.body());
    return change_reply(keeper->replace(body.view(), expected));
}

Result<http::Response> reset_rules(Call& call) {
    TRY(check_admin(call));
    TRY_ASSIGN(Keeper* const keeper, keeper_of(call));
    TRY_ASSIGN(const uint64_t expected, seen_version(call));
    return change_reply(keeper->reset(expected));
}

// -------------------------------------------------------------------------------------- preview

void write_count(JsonWriter& json, const sampling::PreviewCount& count) {
    json.field("traces", count.traces).field("spans", count.spans);
    json.field("bytes", count.bytes).field("error_traces", count.errors);
    json.key("kept").begin_object();
    json.field("traces", count.kept_traces).field("spans", count.kept_spans);
    json.field("bytes", count.kept_bytes).field("error_traces", count.kept_errors);
    json.end_object();
}

void write_rows(JsonWriter& json, const std::vector<sampling::PreviewRow>& rows,
                std::string_view name) {
    json.begin_array();
    for (const sampling::PreviewRow& row : rows) {
        json.begin_object().key(name);
        // What no rule matches has none.
        if (name == "rule" && row.name.empty()) {
            json.null();
        } else {
            json.string(row.name);
        }
        write_count(json, row.count);
        json.end_object();
    }
    json.end_array();
}

// How long what is kept will last on the disk that there is for it, as things are; null where
// that cannot be told.
void write_days(JsonWriter& json, const Call& call, const sampling::Preview& preview) {
    const ApiOptions& options = call.context.options;
    json.key("kept_bytes_per_day").number(std::round(preview.kept_bytes_per_day));
    json.key("days");
    const auto space = options.disk_space
                           ? options.disk_space()
                           : Result<DiskSpace>(fail(ErrorCode::kUnsupported, "not known"));
    if (!space || preview.kept_bytes_per_day <= 0) {
        json.null();
        return;
    }
    const store::StoreState state = options.store.state();
    const auto own = static_cast<double>(state.disk_bytes + space->free_bytes);
    const double room =
        own * options.disk_used_max - static_cast<double>(state.disk_bytes - state.kept_bytes);
    json.number(std::max(0.0, std::round(room / preview.kept_bytes_per_day * 10) / 10));
}

// The rules that are asked about: those of the body; without any those in force.
Result<sampling::KeepRules> asked_rules(const JsonBody& body, const Keeper& keeper) {
    simdjson::dom::element rules;
    if (body.object()["rules"].get(rules) != simdjson::SUCCESS) return keeper.rules()->value;
    return sampling::parse_keep_rules(simdjson::minify(rules));
}

// Whose traces are told as well.
Result<std::vector<sampling::PreviewSearch>> asked_searches(const JsonBody& body) {
    std::vector<sampling::PreviewSearch> searches;
    simdjson::dom::array list;
    if (body.object()["searches"].get(list) != simdjson::SUCCESS) return searches;
    if (list.size() > sampling::kPreviewSearchesMax)
        return fail(ErrorCode::kInvalidArgument, "at most {} searches are taken",
                    sampling::kPreviewSearchesMax);
    for (const simdjson::dom::element one : list) {
        std::string_view text;
        if (one.get(text) != simdjson::SUCCESS)
            return fail(ErrorCode::kInvalidArgument, "\"searches\" must be a list of queries");
        auto search = sampling::parse_preview_search(text);
        if (!search)
            return fail(search.error().code, "searches[{}]: {}", searches.size(),
                        search.error().message);
        searches.push_back(std::move(*search));
    }
    return searches;
}

Result<http::Response> preview(Call& call) {
    TRY_ASSIGN(Keeper* const keeper, keeper_of(call));
    TRY_ASSIGN(const auto body, JsonBody::read(call));
    sampling::PreviewQuestion question;
    TRY_ASSIGN(question.rules, asked_rules(*body, *keeper));
    TRY_ASSIGN(question.searches, asked_searches(*body));
    TRY_ASSIGN(question.range, body->range());
    sampling::SurveyLimits limits;
    limits.memory_bytes_max = call.context.options.limits.memory_bytes_max;
    limits.stop = [&call] {
        return call.request.cancelled.stop_requested() ||
               call.context.options.clock.monotonic_ns() > call.deadline_ns;
    };
    Result<sampling::Preview> made = sampling::preview_rules(call.context.options.store, kTenant,
                                                             question, call.now_ns(), limits);
    if (!made && made.error().code == ErrorCode::kCancelled)
        return fail(ErrorCode::kDeadlineExceeded,
                    "the preview took too long: ask about less time (from, to)");
    if (!made) return tl::unexpected(std::move(made).error());
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("rules").raw(sampling::print_keep_rules(question.rules));
    json.key("from").quoted(made->from_ns).key("to").quoted(made->to_ns);
    json.key("total").begin_object();
    write_count(json, made->total);
    json.end_object().key("by_rule");
    write_rows(json, made->rules, "rule");
    json.key("by_service");
    write_rows(json, made->services, "service");
    json.key("by_search");
    write_rows(json, made->searches, "search");
    write_days(json, call, *made);
    json.field("elapsed_ms", call.elapsed_ms()).end_object();
    return json_reply(std::move(out));
}

// ------------------------------------------------------------------------------------------ why

void write_decision(JsonWriter& json, const sampling::WhyAnswer::Noted& noted) {
    const sampling::Decision& decision = noted.decision;
    json.begin_object().key("at").quoted(noted.at_ns);
    json.field("fate", sampling::fate_name(decision.outcome.fate)).key("rule");
    if (noted.rule.empty()) {
        json.null();
    } else {
        json.string(noted.rule);
    }
    json.key("rule_text").raw(noted.rule_json.empty() ? "null" : std::string_view(noted.rule_json));
    json.field("rules_source", noted.source).field("rules_version", noted.version);
    const uint64_t threshold = decision.outcome.threshold;
    json.field("threshold",
               threshold >= otlp::kThresholdEnd ? "none" : fmt::format("{:014x}", threshold));
    json.key("one_in");
    if (threshold >= otlp::kThresholdEnd) {
        json.null();
    } else {
        json.number(otlp::adjusted_count(threshold).value);
    }
    json.field("spans", decision.spans).field("error", decision.has_error);
    json.field("bytes", decision.bytes).key("duration_ns").quoted(decision.duration_ns);
    json.end_object();
}

void write_forwarding(JsonWriter& json, const sampling::Forwarding& one, uint64_t now_ns) {
    const auto time = [&json](const char* name, uint64_t ns) {
        json.key(name);
        if (ns == 0) {
            json.null();
        } else {
            json.quoted(ns);
        }
    };
    json.begin_object().field("target", one.target);
    json.field("state", sampling::state_name(one)).field("text", one.text(now_ns)).key("rule");
    if (one.entry.rule.empty()) {
        json.null();
    } else {
        json.string(one.entry.rule);
    }
    json.key("one_in").number(otlp::adjusted_count(one.entry.threshold).value);
    json.field("late", one.entry.is_late).field("spans", one.entry.spans);
    time("decided", one.entry.decided_ns);
    time("ended", one.entry.ended_ns);
    time("known_since", one.known_since_ns);
    json.field("problem", one.problem).end_object();
}

Result<http::Response> why(Call& call) {
    TRY_ASSIGN(Keeper* const keeper, keeper_of(call));
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    TRY_ASSIGN(const sampling::WhyAnswer answer,
               sampling::explain_trace(call.context.options.store, *keeper, kTenant, id));
    std::vector<sampling::Forwarding> forwarded;
    if (const auto* const forwarder = call.context.options.forwarder) {
        TRY_ASSIGN(forwarded, forwarder->explain(id));
    }
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("trace_id", id.hex());
    json.field("state", sampling::state_name(answer.state));
    json.field("text", answer.text(id, call.now_ns()));
    json.field("pinned", answer.is_pinned).field("ambiguous", answer.is_ambiguous);
    json.field("stored_spans", answer.stored_spans).key("decisions").begin_array();
    for (const auto& noted : answer.decisions)
        write_decision(json, noted);
    json.end_array().key("forwarded").begin_array();
    for (const auto& one : forwarded)
        write_forwarding(json, one, call.now_ns());
    json.end_array().key("known_since");
    if (answer.known_since_ns == 0) {
        json.null();
    } else {
        json.quoted(answer.known_since_ns);
    }
    json.end_object();
    return json_reply(std::move(out));
}

// ----------------------------------------------------------------------------------------- pins

Result<http::Response> list_pins(Call& call) {
    TRY_ASSIGN(Keeper* const keeper, keeper_of(call));
    TRY_ASSIGN(const std::vector<sampling::Pin> pins, keeper->pins());
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("pins").begin_array();
    for (const sampling::Pin& pin : pins) {
        json.begin_object().field("trace_id", pin.id.hex()).key("at").quoted(pin.at_ns);
        json.field("by", pin.by).field("reason", pin.reason).end_object();
    }
    json.end_array().end_object();
    return json_reply(std::move(out));
}

Result<http::Response> put_pin(Call& call) {
    TRY(check_admin(call));
    TRY_ASSIGN(Keeper* const keeper, keeper_of(call));
    TRY_ASSIGN(const auto body, JsonBody::read(call));
    sampling::Pin pin;
    TRY_ASSIGN(pin.id, parse_trace_id(call.captures[0]));
    pin.by = body->text("by");
    pin.reason = body->text("reason");
    if (pin.by.size() > kPinTextBytesMax || pin.reason.size() > kPinTextBytesMax)
        return fail(ErrorCode::kInvalidArgument, "by and reason may have {} characters each",
                    kPinTextBytesMax);
    TRY(keeper->pin(std::move(pin)));
    return json_reply("{}");
}

Result<http::Response> remove_pin(Call& call) {
    TRY(check_admin(call));
    TRY_ASSIGN(Keeper* const keeper, keeper_of(call));
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    TRY(keeper->unpin(id));
    return json_reply("{}");
}

}  // namespace

Result<void> archive_trace(Call& call, const TraceId& id) {
    Keeper* const keeper = call.context.options.keeper;
    if (keeper == nullptr) return fail(ErrorCode::kUnsupported, "{}", kNoArchive);
    TRY(check_local(call));
    return keeper->pin({id, 0, "Jaeger", "archived"});
}

void add_keep(Router& router) {
    router.add(Family::kUi, "GET", "/api/keep/rules", get_rules);
    router.add(Family::kUi, "PUT", "/api/keep/rules", put_rules);
    router.add(Family::kUi, "DELETE", "/api/keep/rules", reset_rules);
    router.add(Family::kUi, "POST", "/api/keep/preview", preview);
    router.add(Family::kUi, "GET", "/api/keep/why/{}", why);
    router.add(Family::kUi, "GET", "/api/keep/pins", list_pins);
    router.add(Family::kUi, "PUT", "/api/keep/pins/{}", put_pin);
    router.add(Family::kUi, "DELETE", "/api/keep/pins/{}", remove_pin);
}

}  // namespace spanloom::api

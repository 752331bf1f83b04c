#include "sampling/head_strategies.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/json_writer.h"
#include "base/text.h"
#include "sampling/json_settings.h"

namespace spanloom::sampling {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;
using Kind = HeadStrategy::Kind;

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kEveryMsMin = 5'000;
constexpr uint64_t kEveryMsMax = 3'600'000;
constexpr double kShareMin = 0.000001;  // below it counts of what is kept mean nothing
constexpr double kPerSecondMax = 1e9;

Result<double> read_share(element value) {
    TRY_ASSIGN(const double share, read_number(value));
    if (share >= kShareMin && share <= 1) return share;
    return wrong("must be a share of the traces, from {} to 1", kShareMin);
}

Result<std::string> read_name(element value) {
    std::string_view text;
    if (value.get(text) || text.empty() || text.size() > kHeadNameBytesMax || !is_valid_utf8(text))
        return wrong("must be a text of 1 to {} characters", kHeadNameBytesMax);
    return std::string(text);
}

Result<Kind> read_kind(element value) {
    std::string_view text;
    if (!value.get(text)) {
        for (const Kind kind : {Kind::kProbabilistic, Kind::kRateLimiting, Kind::kAdaptive}) {
            if (text == head_kind_name(kind)) return kind;
        }
    }
    return wrong("must be probabilistic, ratelimiting or adaptive");
}

Result<void> check_param(const HeadStrategy& strategy) {
    const double param = strategy.param;
    switch (strategy.kind) {
        case Kind::kProbabilistic:
            if (param >= 0 && param <= 1) return {};
            return wrong("param: must be a share of the traces, from 0 to 1");
        case Kind::kRateLimiting:
            // Clients read a whole number of 32 bits.
            if (param >= 0 && param <= INT32_MAX && param == std::floor(param)) return {};
            return wrong("param: must be a whole number of traces a second");
        case Kind::kAdaptive:
            break;
    }
    if (param > 0 && param <= kPerSecondMax) return {};
    return wrong("param: must be a number of traces a second, above 0");
}

// "type" and "param"; whoever has others reads them by `read_other`, false: there is no such.
template <typename ReadOther>
Result<HeadStrategy> read_strategy(const object& settings, ReadOther&& read_other) {
    HeadStrategy strategy;
    bool has_type = false;
    bool has_param = false;
    for (const auto& [key, value] : settings) {
        const auto read = [&, name = key, one = value]() -> Result<void> {
            if (name == "type") {
                has_type = true;
                TRY_ASSIGN(strategy.kind, read_kind(one));
                return {};
            }
            if (name != "param") return read_other(name, one);
            has_param = true;
            TRY_ASSIGN(strategy.param, read_number(one));
            return {};
        };
        if (const Result<void> done = read(); !done)
            return wrong("{}: {}", key.substr(0, kHeadNameBytesMax), done.error().message);
    }
    if (!has_type || !has_param)
        return wrong("needs type (probabilistic, ratelimiting, adaptive) and param");
    TRY(check_param(strategy));
    return strategy;
}

Result<HeadOperation> read_operation(element value) {
    object settings;
    if (value.get(settings)) return wrong("must be an object with operation, type, param");
    HeadOperation operation;
    TRY_ASSIGN(operation.strategy,
               read_strategy(settings, [&](std::string_view key, element one) -> Result<void> {
                   if (key != "operation")
                       return wrong("there is no such setting: operation, type, param");
                   TRY_ASSIGN(operation.name, read_name(one));
                   return {};
               }));
    if (operation.name.empty()) return wrong("needs operation: the name of its root span");
    return operation;
}

Result<std::vector<HeadOperation>> read_operations(element value) {
    simdjson::dom::array list;
    if (value.get(list)) return wrong("must be a list");
    if (list.size() > kHeadOperationsMax)
        return wrong("has {} operations, at most {} are taken", list.size(), kHeadOperationsMax);
    std::vector<HeadOperation> operations;
    std::set<std::string> names;
    size_t index = 0;
    for (const element one : list) {
        Result<HeadOperation> operation = read_operation(one);
        if (!operation) return wrong("[{}]: {}", index, operation.error().message);
        if (!names.insert(operation->name).second)
            return wrong("[{}]: there are two of '{}'", index, operation->name);
        ++index;
        // Jaeger's collector leaves these out as well: no client has a limit for an operation.
        if (operation->strategy.kind != Kind::kRateLimiting)
            operations.push_back(std::move(*operation));
    }
    return operations;
}

// "service" is of the list's entries alone.
Result<HeadService> read_service(element value, bool has_name) {
    object settings;
    if (value.get(settings)) return wrong("must be an object with type, param");
    HeadService service;
    TRY_ASSIGN(service.strategy,
               read_strategy(settings, [&](std::string_view key, element one) -> Result<void> {
                   if (key == "service" && has_name) {
                       TRY_ASSIGN(service.name, read_name(one));
                   } else if (key == "operation_strategies") {
                       TRY_ASSIGN(service.operations, read_operations(one));
                   } else {
                       return wrong("there is no such setting: {}type, param, operation_strategies",
                                    has_name ? "service, " : "");
                   }
                   return {};
               }));
    if (has_name && service.name.empty()) return wrong("needs service: its service.name");
    if (service.strategy.kind == Kind::kRateLimiting && !service.operations.empty())
        return wrong(
            "operation_strategies: clients that are limited by a rate know no operations; take "
            "type adaptive or probabilistic");
    return service;
}

Result<std::vector<HeadService>> read_services(element value) {
    simdjson::dom::array list;
    if (value.get(list)) return wrong("must be a list");
    if (list.size() > kHeadServicesMax)
        return wrong("has {} services, at most {} are taken", list.size(), kHeadServicesMax);
    std::vector<HeadService> services;
    std::set<std::string> names;
    for (const element one : list) {
        Result<HeadService> service = read_service(one, true);
        if (!service) return wrong("[{}]: {}", services.size(), service.error().message);
        if (!names.insert(service->name).second)
            return wrong("[{}]: there are two of '{}'", services.size(), service->name);
        services.push_back(std::move(*service));
    }
    return services;
}

Result<uint64_t> read_every_ms(element value) {
    std::string_view text;
    const Result<int64_t> ns = value.get(text) ? Result<int64_t>(-1) : parse_duration_ns(text);
    const uint64_t ms = ns && *ns > 0 ? static_cast<uint64_t>(*ns) / kNsPerMs : 0;
    if (ms < kEveryMsMin || ms > kEveryMsMax) return wrong("must be a duration from 5s to 1h");
    return ms;
}

Result<HeadAdaptation> read_adaptation(element value) {
    object settings;
    if (value.get(settings)) return wrong("must be an object");
    HeadAdaptation adaptation;
    for (const auto& [key, one] : settings) {
        const auto read = [&, name = key, setting = one]() -> Result<void> {
            if (name == "initial") {
                TRY_ASSIGN(adaptation.initial, read_share(setting));
            } else if (name == "min") {
                TRY_ASSIGN(adaptation.min, read_share(setting));
            } else if (name == "max") {
                TRY_ASSIGN(adaptation.max, read_share(setting));
            } else if (name == "at_least_per_minute") {
                TRY_ASSIGN(adaptation.at_least_per_minute, read_number(setting));
                if (adaptation.at_least_per_minute < 0 || adaptation.at_least_per_minute > 6000)
                    return wrong("must be a number from 0 to 6000");
            } else if (name == "every") {
                TRY_ASSIGN(adaptation.every_ms, read_every_ms(setting));
            } else {
                return wrong(
                    "there is no such setting: initial, min, max, at_least_per_minute, every");
            }
            return {};
        };
        if (const Result<void> done = read(); !done)
            return wrong("{}: {}", key.substr(0, kHeadNameBytesMax), done.error().message);
    }
    if (adaptation.min > adaptation.max) return wrong("min is above max");
    adaptation.initial = std::clamp(adaptation.initial, adaptation.min, adaptation.max);
    return adaptation;
}

void write_strategy(JsonWriter& json, const HeadStrategy& strategy) {
    json.field("type", head_kind_name(strategy.kind)).field("param", strategy.param);
}

void write_service(JsonWriter& json, const HeadService& service) {
    json.begin_object();
    if (!service.name.empty()) json.field("service", service.name);
    write_strategy(json, service.strategy);
    if (!service.operations.empty()) {
        json.key("operation_strategies").begin_array();
        for (const HeadOperation& operation : service.operations) {
            json.begin_object().field("operation", operation.name);
            write_strategy(json, operation.strategy);
            json.end_object();
        }
        json.end_array();
    }
    json.end_object();
}

}  // namespace

std::string_view head_kind_name(Kind kind) {
    if (kind == Kind::kRateLimiting) return "ratelimiting";
    return kind == Kind::kAdaptive ? "adaptive" : "probabilistic";
}

const HeadService& HeadStrategies::of(std::string_view service) const {
    const auto own = std::find_if(services.begin(), services.end(),
                                  [&](const HeadService& one) { return one.name == service; });
    return own == services.end() ? by_default : *own;
}

std::optional<HeadStrategy> HeadStrategies::of_operation(const HeadService& service,
                                                         std::string_view operation) const {
    for (const HeadService* const from : {&service, &by_default}) {
        for (const HeadOperation& one : from->operations) {
            if (one.name == operation) return one.strategy;
        }
    }
    return std::nullopt;
}

Result<HeadStrategies> parse_head_strategies(std::string_view json) {
    if (json.size() > kHeadStrategiesBytesMax)
        return wrong("the strategies are longer than {}", format_bytes(kHeadStrategiesBytesMax));
    simdjson::dom::parser parser;
    element root;
    if (const auto problem = parser.parse(json.data(), json.size()).get(root))
        return wrong("not JSON: {}", simdjson::error_message(problem));
    object settings;
    if (root.get(settings))
        return wrong("must be an object with default_strategy, service_strategies, adaptive");
    HeadStrategies strategies;
    for (const auto& [key, value] : settings) {
        const auto read = [&, name = key, one = value]() -> Result<void> {
            if (name == "default_strategy") {
                TRY_ASSIGN(strategies.by_default, read_service(one, false));
            } else if (name == "service_strategies") {
                TRY_ASSIGN(strategies.services, read_services(one));
            } else if (name == "adaptive") {
                TRY_ASSIGN(strategies.adaptation, read_adaptation(one));
            } else {
                return wrong(
                    "there is no such setting: default_strategy, service_strategies, adaptive");
            }
            return {};
        };
        if (const Result<void> done = read(); !done)
            return wrong("{}: {}", key.substr(0, kHeadNameBytesMax), done.error().message);
    }
    return strategies;
}

std::string print_head_strategies(const HeadStrategies& strategies) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("default_strategy");
    write_service(json, strategies.by_default);
    json.key("service_strategies").begin_array();
    for (const HeadService& service : strategies.services)
        write_service(json, service);
    const HeadAdaptation& adaptation = strategies.adaptation;
    json.end_array().key("adaptive").begin_object();
    json.field("initial", adaptation.initial).field("min", adaptation.min);
    json.field("max", adaptation.max);
    json.field("at_least_per_minute", adaptation.at_least_per_minute);
    const bool is_whole = adaptation.every_ms % 1000 == 0;
    json.field("every", is_whole ? fmt::format("{}s", adaptation.every_ms / 1000)
                                 : fmt::format("{}ms", adaptation.every_ms));
    json.end_object().end_object();
    return out;
}

}  // namespace spanloom::sampling

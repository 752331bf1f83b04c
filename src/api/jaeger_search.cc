#include "api/jaeger_search.h"

#include <algorithm>
#include <array>
#include <tuple>

#include <simdjson.h>

#include "api/predicates.h"
#include "base/text.h"

namespace spanloom::api {
namespace {

using store::Comparison;
using store::Field;
using store::Intrinsic;
using store::Predicate;
using store::Scope;
using store::Value;

// More services or operations than a person can choose from are not listed.
constexpr uint32_t kNamesMax = 10'000;
// Tags in one question; each is a scan of its own.
constexpr size_t kTagsMax = 64;

Predicate text_equals(Field field, const std::string& value) {
    return Predicate::compare(std::move(field), Comparison::kTextEqual, Value::of_string(value));
}

// What Jaeger shows as tags though OTLP has fields for it.
std::optional<Predicate> pseudo_tag(const std::string& key, const std::string& value) {
    if (key == "error") {
        if (value == "true") return has_status(otlp::StatusCode::kError);
        if (value == "false") return Predicate::negation(has_status(otlp::StatusCode::kError));
    }
    if (key == "otel.status_code") {
        if (value == "ERROR") return has_status(otlp::StatusCode::kError);
        if (value == "OK") return has_status(otlp::StatusCode::kOk);
        if (value == "UNSET") return has_status(otlp::StatusCode::kUnset);
    }
    if (key == "span.kind") {
        if (const auto kind = parse_kind(value))
            return Predicate::compare(intrinsic(Intrinsic::kKind), Comparison::kEqual,
                                      Value::of_kind(*kind));
    }
    constexpr std::array<std::pair<std::string_view, Intrinsic>, 7> kTexts = {{
        {"otel.status_description", Intrinsic::kStatusMessage},
        {"otel.scope.name", Intrinsic::kInstrumentationName},
        {"otel.library.name", Intrinsic::kInstrumentationName},
        {"otel.scope.version", Intrinsic::kInstrumentationVersion},
        {"otel.library.version", Intrinsic::kInstrumentationVersion},
        {"w3c.tracestate", Intrinsic::kTraceState},
        {"event", Intrinsic::kEventName},
    }};
    for (const auto& [name, which] : kTexts) {
        if (key == name)
            return Predicate::compare(intrinsic(which), Comparison::kEqual,
                                      Value::of_string(value));
    }
    return std::nullopt;
}

}  // namespace

Predicate tag_predicate(const std::string& key, const std::string& value) {
    std::vector<Predicate> places;
    for (const Scope scope : {Scope::kSpan, Scope::kResource, Scope::kEvent})
        places.push_back(text_equals({scope, Intrinsic::kNone, key}, value));
    if (auto pseudo = pseudo_tag(key, value)) places.push_back(std::move(*pseudo));
    return Predicate::any_of(std::move(places));
}

Predicate service_predicate(std::string_view service) {
    return Predicate::compare({Scope::kResource, Intrinsic::kNone, "service.name"},
                              Comparison::kEqual, Value::of_string(std::string(service)));
}

Result<void> JaegerQuestion::set_durations(NamedText min, NamedText max) {
    TRY_ASSIGN(duration_min_ns, duration_parameter(min.name, min.text));
    TRY_ASSIGN(duration_max_ns, duration_parameter(max.name, max.text));
    if (duration_min_ns && duration_max_ns && *duration_max_ns < *duration_min_ns)
        return fail(ErrorCode::kInvalidArgument, "'{}' should be greater than or equal to '{}'",
                    max.name, min.name);
    return {};
}

Result<void> JaegerQuestion::set_limit(NamedText text, uint32_t max) {
    if (text.text.empty()) return {};
    const auto number = parse_int(text.text);
    if (!number || *number < 0 || *number > max)
        return fail(ErrorCode::kInvalidArgument,
                    "malformed parameter '{}': \"{}\" is not a whole number up to {}", text.name,
                    text.text.substr(0, 100), max);
    limit = *number == 0 ? kLimitDefault : static_cast<uint32_t>(*number);
    return {};
}

Result<void> JaegerQuestion::set_filter(Predicate predicate) {
    const bool has_others = !service.empty() || !operation.empty() || !tags.empty() ||
                            duration_min_ns || duration_max_ns;
    if (has_others)
        return fail(ErrorCode::kInvalidArgument,
                    "query.filter stands alone: write service, name, duration and attributes as "
                    "parts of it");
    filter = std::move(predicate);
    return {};
}

store::SearchRequest JaegerQuestion::request(const Call& call) const {
    std::vector<Predicate> all;
    if (!service.empty()) all.push_back(service_predicate(service));
    if (!operation.empty())
        all.push_back(Predicate::compare(intrinsic(Intrinsic::kName), Comparison::kEqual,
                                         Value::of_string(operation)));
    if (duration_min_ns)
        all.push_back(Predicate::compare(intrinsic(Intrinsic::kDuration), Comparison::kGreaterEqual,
                                         Value::of_duration(*duration_min_ns)));
    if (duration_max_ns)
        all.push_back(Predicate::compare(intrinsic(Intrinsic::kDuration), Comparison::kLessEqual,
                                         Value::of_duration(*duration_max_ns)));
    for (const auto& [key, value] : tags)
        all.push_back(tag_predicate(key, value));
    if (filter) all.push_back(Predicate::any_of({*filter}));
    store::SearchRequest request;
    request.range = range;
    request.where = all.empty() ? Predicate::everything() : Predicate::all_of(std::move(all));
    request.limit = limit;
    request.spans_per_trace = 1;
    request.cancelled = call.request.cancelled;
    request.deadline_monotonic_ns = call.deadline_ns;
    return request;
}

Result<std::vector<std::pair<std::string, std::string>>> parse_tags_json(std::string_view name,
                                                                         std::string_view json) {
    const auto malformed = [&] {
        return fail(ErrorCode::kInvalidArgument,
                    "malformed parameter '{}': it must be a JSON object of strings such as {}",
                    name, R"({"http.method":"GET"})");
    };
    std::vector<std::pair<std::string, std::string>> tags;
    simdjson::dom::parser parser;
    simdjson::dom::object object;
    if (parser.parse(json.data(), json.size()).get_object().get(object) != simdjson::SUCCESS)
        return malformed();
    for (const auto& [key, element] : object) {
        std::string_view text;
        if (element.is_array() || element.is_object() || element.is_null()) return malformed();
        std::string value = element.get_string().get(text) == simdjson::SUCCESS
                                ? std::string(text)
                                : std::string(simdjson::minify(element));
        tags.emplace_back(std::string(key), std::move(value));
        if (tags.size() > kTagsMax)
            return fail(ErrorCode::kInvalidArgument, "parameter '{}' has more than {} tags", name,
                        kTagsMax);
    }
    return tags;
}

Result<std::vector<std::string>> service_names(const Call& call) {
    TRY_ASSIGN(
        const auto values,
        store::field_values(call.segments(), {Scope::kResource, Intrinsic::kNone, "service.name"},
                            {}, Predicate::everything(), kNamesMax));
    std::vector<std::string> names;
    for (const Value& value : values) {
        if (value.kind == store::ValueKind::kString && !value.text.empty())
            names.push_back(value.text);
    }
    return names;
}

namespace {

// One scan for every kind: for what the rollups cannot tell.
Result<std::vector<Operation>> scanned_operations(const Call& call, std::string_view service) {
    std::vector<Operation> found;
    const auto segments = call.segments();
    for (int number = 0; number <= static_cast<int>(otlp::SpanKind::kConsumer); ++number) {
        const auto kind = static_cast<otlp::SpanKind>(number);
        const Predicate where =
            Predicate::all_of({service_predicate(service),
                               Predicate::compare(intrinsic(Intrinsic::kKind), Comparison::kEqual,
                                                  Value::of_kind(kind))});
        TRY_ASSIGN(const auto values, store::field_values(segments, intrinsic(Intrinsic::kName), {},
                                                          where, kNamesMax));
        for (const Value& value : values)
            found.push_back({value.text, kind});
    }
    return found;
}

}  // namespace

Result<std::vector<Operation>> operations(const Call& call, std::string_view service,
                                          std::optional<otlp::SpanKind> kind) {
    // Of spans that are gone only what is as young as the oldest that is not.
    store::TimeRange range{UINT64_MAX, UINT64_MAX};
    for (const auto& segment : call.segments())
        range.start_ns = std::min(range.start_ns, segment->info().start_ns_min);
    OperationRollup rollup(range, 0);
    rollup.add(call.counted(), call.context.rollups);
    std::vector<Operation> found;
    bool is_whole = rollup.reason().empty();
    for (OperationSeries& series : rollup.operations(service)) {
        is_whole = is_whole && series.name != kOtherOperation;
        found.push_back({std::move(series.name), series.kind});
    }
    if (!is_whole || rollup.overflowed() != 0) {
        TRY_ASSIGN(found, scanned_operations(call, service));
    }
    if (kind) std::erase_if(found, [&](const Operation& one) { return one.kind != *kind; });
    std::sort(found.begin(), found.end(), [](const Operation& a, const Operation& b) {
        return std::tie(a.name, a.kind) < std::tie(b.name, b.kind);
    });
    return found;
}

std::optional<otlp::SpanKind> parse_kind(std::string_view word) {
    std::string lower(word);
    for (char& c : lower) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    }
    if (lower.starts_with("span_kind_")) lower.erase(0, 10);
    if (lower == "unspecified") return otlp::SpanKind::kUnspecified;
    for (int number = 1; number <= static_cast<int>(otlp::SpanKind::kConsumer); ++number) {
        const auto kind = static_cast<otlp::SpanKind>(number);
        if (lower == kind_name(kind)) return kind;
    }
    return std::nullopt;
}

Result<std::optional<otlp::SpanKind>> kind_parameter(NamedText text) {
    if (text.text.empty()) return std::nullopt;
    const auto kind = parse_kind(text.text);
    if (kind) return kind;
    return fail(ErrorCode::kInvalidArgument, "malformed parameter '{}': \"{}\" is no kind of span",
                text.name, text.text.substr(0, 100));
}

std::string_view kind_name(otlp::SpanKind kind) {
    constexpr std::array<std::string_view, 6> kNames = {"",       "internal", "server",
                                                        "client", "producer", "consumer"};
    return kNames[static_cast<size_t>(kind) % kNames.size()];
}

}  // namespace spanloom::api

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "api/tempo.h"
#include "base/text.h"
#include "traceql/checker.h"
#include "traceql/lexer.h"
#include "traceql/names.h"
#include "traceql/planner.h"

namespace spanloom::api {
namespace {

using store::Field;
using store::Intrinsic;
using store::Predicate;
using store::Scope;
using store::Value;
using store::ValueKind;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint32_t kValuesMax = 5'000;  // more than a person reads through

constexpr std::array<std::string_view, 26> kIntrinsicTags = {"duration",
                                                             "event:name",
                                                             "event:timeSinceStart",
                                                             "instrumentation:name",
                                                             "instrumentation:version",
                                                             "kind",
                                                             "link:spanID",
                                                             "link:traceID",
                                                             "name",
                                                             "rootName",
                                                             "rootServiceName",
                                                             "span:duration",
                                                             "span:id",
                                                             "span:kind",
                                                             "span:name",
                                                             "span:parentID",
                                                             "span:status",
                                                             "span:statusMessage",
                                                             "status",
                                                             "statusMessage",
                                                             "trace:duration",
                                                             "trace:id",
                                                             "trace:rootName",
                                                             "trace:rootService",
                                                             "traceDuration",
                                                             "nestedSetParent"};

struct NamedScope {
    std::string_view name;
    Scope scope;
};
constexpr std::array<NamedScope, 5> kScopes = {{{"resource", Scope::kResource},
                                                {"span", Scope::kSpan},
                                                {"event", Scope::kEvent},
                                                {"link", Scope::kLink},
                                                {"instrumentation", Scope::kInstrumentation}}};

Result<store::TimeRange> read_range(const http::Query& query) {
    TRY_ASSIGN(const uint64_t start,
               number_parameter(query, "start", 0, 0, UINT64_MAX / kSecond / 2));
    TRY_ASSIGN(const uint64_t end, number_parameter(query, "end", 0, 0, UINT64_MAX / kSecond / 2));
    store::TimeRange range;
    range.start_ns = start * kSecond;
    if (end != 0) range.end_ns = end * kSecond;
    return range;
}

void write_metrics(JsonWriter& json) {
    json.key("metrics").begin_object().end_object();
}

Result<std::map<Scope, std::set<std::string>>> keys_by_scope(const Call& call) {
    TRY_ASSIGN(const store::TimeRange range, read_range(call.query));
    TRY_ASSIGN(const auto keys, store::attribute_keys(call.segments(), range));
    std::map<Scope, std::set<std::string>> by_scope;
    for (const store::KeyCount& key : keys)
        by_scope[key.scope].insert(key.key);
    return by_scope;
}

Result<void> check_scope(std::string_view scope) {
    if (scope.empty() || scope == "none" || scope == "intrinsic") return {};
    for (const NamedScope& known : kScopes) {
        if (known.name == scope) return {};
    }
    return fail(ErrorCode::kInvalidArgument,
                "invalid scope: {}. Valid scopes are resource, span, event, link, instrumentation, "
                "intrinsic, none",
                scope.substr(0, 100));
}

Result<http::Response> tags_v2(Call& call) {
    const std::string_view wanted = call.query.get("scope");
    TRY(check_scope(wanted));
    TRY_ASSIGN(const auto keys, keys_by_scope(call));
    const bool is_any = wanted.empty() || wanted == "none";
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("scopes").begin_array();
    for (const NamedScope& scope : kScopes) {
        const auto found = keys.find(scope.scope);
        if ((!is_any && wanted != scope.name) || found == keys.end()) continue;
        json.begin_object().field("name", scope.name).key("tags").begin_array();
        for (const std::string& key : found->second)
            json.string(key);
        json.end_array().end_object();
    }
    if (is_any || wanted == "intrinsic") {
        json.begin_object().field("name", std::string_view("intrinsic")).key("tags").begin_array();
        for (const std::string_view tag : kIntrinsicTags)
            json.string(tag);
        json.end_array().end_object();
    }
    json.end_array();
    write_metrics(json);
    json.end_object();
    return json_reply(std::move(out));
}

Result<http::Response> tags_v1(Call& call) {
    const std::string_view wanted = call.query.get("scope");
    TRY(check_scope(wanted));
    TRY_ASSIGN(const auto keys, keys_by_scope(call));
    std::set<std::string> names;
    if (wanted == "intrinsic") names.insert(kIntrinsicTags.begin(), kIntrinsicTags.end());
    for (const NamedScope& scope : kScopes) {
        const auto found = keys.find(scope.scope);
        const bool is_wanted = wanted.empty() || wanted == "none" || wanted == scope.name;
        if (is_wanted && found != keys.end())
            names.insert(found->second.begin(), found->second.end());
    }
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("tagNames").begin_array();
    for (const std::string& name : names)
        json.string(name);
    json.end_array();
    write_metrics(json);
    json.end_object();
    return json_reply(std::move(out));
}

struct TypedValue {
    std::string_view type;
    std::string text;
};

std::optional<TypedValue> typed(const Value& value) {
    switch (value.kind) {
        case ValueKind::kBool:
            return TypedValue{"bool", value.integer != 0 ? "true" : "false"};
        case ValueKind::kInt:
            return TypedValue{"int", std::to_string(value.integer)};
        case ValueKind::kDouble: {
            std::string text;
            JsonWriter(text).number(value.number);
            return TypedValue{"float", std::move(text)};
        }
        case ValueKind::kDuration:
            return TypedValue{"duration", std::to_string(value.integer) + "ns"};
        case ValueKind::kString:
            return TypedValue{"string", value.text};
        case ValueKind::kSpanKind:
            return TypedValue{
                "keyword",
                std::string(traceql::kind_keyword(static_cast<otlp::SpanKind>(value.integer)))};
        case ValueKind::kStatus:
            return TypedValue{
                "keyword",
                std::string(traceql::status_keyword(static_cast<otlp::StatusCode>(value.integer)))};
        default:
            return std::nullopt;
    }
}

// `resource.service.name`, `.foo`, `name`, `event:name`: one field and nothing else.
std::optional<Field> parse_field(std::string_view text) {
    const traceql::Tokens tokens = traceql::tokenize(text);
    if (tokens.error || tokens.list.size() != 2) return std::nullopt;
    const traceql::Token& token = tokens.list[0];
    if (token.kind == traceql::TokenKind::kAttribute && !token.is_parent)
        return Field{token.scope, Intrinsic::kNone, token.text};
    if (token.kind != traceql::TokenKind::kIdentifier) return std::nullopt;
    const auto intrinsic = traceql::intrinsic_of(token.text);
    if (!intrinsic) return std::nullopt;
    return Field{Scope::kIntrinsic, *intrinsic, ""};
}

// Conditions of a query that is still being typed: those that are whole count, the rest is ignored.
Predicate valid_conditions(std::string_view text) {
    if (const auto query = traceql::parse(text)) return traceql::make_plan(*query).candidates;
    const size_t open = text.find('{');
    if (open == std::string_view::npos) return Predicate::everything();
    const size_t close = std::min(text.rfind('}'), text.size());
    std::string_view rest =
        close > open ? text.substr(open + 1, close - open - 1) : std::string_view();
    // Only conjunctions can lose a part and still mean what they say.
    if (rest.find("||") != std::string_view::npos) return Predicate::everything();
    std::vector<Predicate> conditions;
    while (!rest.empty()) {
        const size_t end = rest.find("&&");
        const std::string one = "{ " + std::string(rest.substr(0, end)) + " }";
        rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 2);
        if (const auto query = traceql::parse(one))
            conditions.push_back(traceql::make_plan(*query).candidates);
    }
    return conditions.empty() ? Predicate::everything() : Predicate::all_of(std::move(conditions));
}

// Keywords are listed whether or not a span has them.
std::vector<Value> keyword_values(Intrinsic intrinsic) {
    std::vector<Value> values;
    if (intrinsic == Intrinsic::kStatus) {
        for (const auto code :
             {otlp::StatusCode::kError, otlp::StatusCode::kOk, otlp::StatusCode::kUnset})
            values.push_back(Value::of_status(code));
    }
    if (intrinsic == Intrinsic::kKind) {
        for (const auto kind :
             {otlp::SpanKind::kClient, otlp::SpanKind::kServer, otlp::SpanKind::kProducer,
              otlp::SpanKind::kConsumer, otlp::SpanKind::kInternal, otlp::SpanKind::kUnspecified})
            values.push_back(Value::of_kind(kind));
    }
    return values;
}

// Root names and services are names and services; other numbers of whole traces are not listed.
Result<std::vector<Value>> values_of(const Call& call, Field field, const Predicate& where,
                                     const store::TimeRange& range, uint32_t limit) {
    auto keywords = keyword_values(field.intrinsic);
    if (!keywords.empty()) return keywords;
    const bool is_plain_number = field.intrinsic == Intrinsic::kDuration ||
                                 field.intrinsic == Intrinsic::kEventTimeSinceStart ||
                                 field.intrinsic == Intrinsic::kStart;
    if (is_plain_number) return std::vector<Value>{};
    std::vector<Predicate> all = {where};
    if (field.intrinsic == Intrinsic::kRootName || field.intrinsic == Intrinsic::kRootService) {
        const bool is_name = field.intrinsic == Intrinsic::kRootName;
        Predicate is_root = Predicate::compare({Scope::kIntrinsic, Intrinsic::kParentId, ""},
                                               store::Comparison::kEqual, Value::nil());
        is_root.kind = Predicate::Kind::kAbsent;
        all.push_back(std::move(is_root));
        field = is_name ? Field{Scope::kIntrinsic, Intrinsic::kName, ""}
                        : Field{Scope::kResource, Intrinsic::kNone, "service.name"};
    }
    if (field.is_trace_level()) return std::vector<Value>{};
    return store::field_values(call.segments(), field, range, Predicate::all_of(std::move(all)),
                               limit);
}

Result<uint32_t> read_limit(const Call& call) {
    TRY_ASSIGN(const uint64_t limit,
               number_parameter(call.query, "limit", kValuesMax, 0, UINT32_MAX));
    return limit == 0 ? kValuesMax : static_cast<uint32_t>(std::min<uint64_t>(limit, kValuesMax));
}

Result<http::Response> values_v2(Call& call) {
    // Grafana encodes the tag twice.
    const std::string tag = decode_percent(call.captures[0], false);
    const auto field = parse_field(tag);
    if (!field)
        return fail(ErrorCode::kInvalidArgument,
                    "tag name is not valid intrinsic or scoped attribute: {}", tag.substr(0, 200));
    TRY_ASSIGN(const store::TimeRange range, read_range(call.query));
    TRY_ASSIGN(const uint32_t limit, read_limit(call));
    TRY_ASSIGN(const auto values,
               values_of(call, *field, valid_conditions(call.query.get("q")), range, limit));
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("tagValues").begin_array();
    for (const Value& value : values) {
        const auto shown = typed(value);
        if (!shown) continue;
        json.begin_object().field("type", shown->type).field("value", shown->text).end_object();
    }
    json.end_array();
    write_metrics(json);
    json.end_object();
    return json_reply(std::move(out));
}

Result<http::Response> values_v1(Call& call) {
    const std::string tag = decode_percent(call.captures[0], false);
    Field field{Scope::kAny, Intrinsic::kNone, tag};
    if (tag == "status.code" || tag == "status") {
        field = {Scope::kIntrinsic, Intrinsic::kStatus, ""};
    } else if (tag == "name" || tag == "root.name") {
        field = {Scope::kIntrinsic, Intrinsic::kName, ""};
    } else if (tag == "root.service.name") {
        field = {Scope::kIntrinsic, Intrinsic::kRootService, ""};
    }
    TRY_ASSIGN(const store::TimeRange range, read_range(call.query));
    TRY_ASSIGN(const uint32_t limit, read_limit(call));
    TRY_ASSIGN(const auto values, values_of(call, field, Predicate::everything(), range, limit));
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("tagValues").begin_array();
    for (const Value& value : values) {
        if (const auto shown = typed(value)) json.string(shown->text);
    }
    json.end_array();
    write_metrics(json);
    json.end_object();
    return json_reply(std::move(out));
}

}  // namespace

void add_tempo_tags(Router& router) {
    router.add(Family::kTempo, "GET", "/api/search/tags", tags_v1);
    router.add(Family::kTempo, "GET", "/api/v2/search/tags", tags_v2);
    router.add(Family::kTempo, "GET", "/api/search/tag/{}/values", values_v1);
    router.add(Family::kTempo, "GET", "/api/v2/search/tag/{}/values", values_v2);
}

}  // namespace spanloom::api

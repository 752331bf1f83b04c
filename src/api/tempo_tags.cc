#include "api/tempo_tags.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "api/tempo.h"
#include "api/tempo_search.h"
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

constexpr uint32_t kValuesMax = 5'000;  // more than a person reads through
constexpr size_t kTagsMax = 10'000;     // of one scope

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

void write_metrics(JsonWriter& json) {
    json.key("metrics").begin_object().end_object();
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

// Times that cannot be are no reason to refuse a list of names.
Result<TempoTagQuestion> read_question(const Call& call) {
    constexpr uint64_t kMax = UINT64_MAX / 1'000'000'000 / 2;
    TempoTagQuestion question;
    question.scope = call.query.get("scope");
    question.query = call.query.get("q");
    TRY_ASSIGN(const uint64_t start, number_parameter(call.query, "start", 0, 0, kMax));
    TRY_ASSIGN(const uint64_t end, number_parameter(call.query, "end", 0, 0, kMax));
    TRY_ASSIGN(question.range, seconds_range(start, std::max(end, end == 0 ? end : start + 1)));
    TRY_ASSIGN(const uint64_t limit, number_parameter(call.query, "limit", 0, 0, UINT32_MAX));
    question.limit = static_cast<uint32_t>(limit);
    // Grafana encodes the tag twice.
    if (!call.captures.empty()) question.tag = decode_percent(call.captures[0], false);
    return question;
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

// Clients write 'text', too, which is not of the language: as "text".
std::string with_double_quotes(std::string_view text) {
    if (text.size() > 1 && text.starts_with("\"{") && text.ends_with('"'))
        text = text.substr(1, text.size() - 2);
    std::string out;
    char open = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool is_quote = open == 0 ? c == '"' || c == '`' || c == '\'' : c == open;
        if (open == '\'' && c == '"') out += '\\';
        if (c == '\\' && open != 0 && open != '`' && i + 1 < text.size()) {
            const bool is_needless = open == '\'' && text[i + 1] == '\'';
            if (!is_needless) out += c;
            out += text[++i];
            continue;
        }
        out += is_quote && c == '\'' ? '"' : c;
        if (is_quote) open = open == 0 ? c : 0;
    }
    return out;
}

// Conditions of a query that is still being typed: those that are whole count, the rest is ignored.
Predicate valid_conditions(std::string_view typed) {
    const std::string text = with_double_quotes(typed);
    if (const auto query = traceql::parse(text)) return traceql::make_plan(*query).candidates;
    const size_t open = text.find('{');
    if (open == std::string_view::npos) return Predicate::everything();
    const size_t close = std::min(text.rfind('}'), text.size());
    std::string_view rest = close > open ? std::string_view(text).substr(open + 1, close - open - 1)
                                         : std::string_view();
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
    if (intrinsic == Intrinsic::kSampled) values = {Value::of_bool(true), Value::of_bool(false)};
    if (intrinsic == Intrinsic::kKind) {
        for (const auto kind :
             {otlp::SpanKind::kClient, otlp::SpanKind::kServer, otlp::SpanKind::kProducer,
              otlp::SpanKind::kConsumer, otlp::SpanKind::kInternal, otlp::SpanKind::kUnspecified})
            values.push_back(Value::of_kind(kind));
    }
    return values;
}

// Whether a span that satisfies `where` has the key; yes where the time does not suffice to tell.
Result<bool> is_in_use(const Call& call, store::Segments segments, const store::KeyCount& key,
                       const Predicate& where, const store::TimeRange& range) {
    Predicate exists;
    exists.kind = Predicate::Kind::kExists;
    exists.field = {key.scope, Intrinsic::kNone, key.key};
    store::SearchRequest request;
    request.range = range;
    request.where = Predicate::all_of({where, std::move(exists)});
    request.limit = 1;
    request.spans_per_trace = 1;
    request.cancelled = call.request.cancelled;
    request.deadline_monotonic_ns = call.deadline_ns;
    TRY_ASSIGN(const auto answer, store::search(segments, request));
    return !answer.traces.empty() || answer.stats.partial;
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
    if (all.size() == 1 && where.kind == Predicate::Kind::kTrue)
        return call.context.values.values(call.segments(), field, range, limit);
    return store::field_values(call.segments(), field, range, Predicate::all_of(std::move(all)),
                               limit);
}

Result<http::Response> tags_v2(Call& call) {
    TRY_ASSIGN(const TempoTagQuestion question, read_question(call));
    TRY_ASSIGN(const auto scopes, tempo_tags(call, question));
    if (call.accepts(kProtobuf)) return protobuf_reply(tag_scopes_message(scopes));
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("scopes").begin_array();
    for (const TempoScopeTags& scope : scopes) {
        json.begin_object().field("name", scope.scope).key("tags").begin_array();
        for (const std::string& tag : scope.tags)
            json.string(tag);
        json.end_array().end_object();
    }
    json.end_array();
    write_metrics(json);
    json.end_object();
    return json_reply(std::move(out));
}

// Version 1 names intrinsics only where they are asked for.
std::set<std::string_view> all_names(const std::vector<TempoScopeTags>& scopes,
                                     std::string_view asked) {
    std::set<std::string_view> names;
    for (const TempoScopeTags& scope : scopes) {
        if (scope.scope != "intrinsic" || asked == "intrinsic")
            names.insert(scope.tags.begin(), scope.tags.end());
    }
    return names;
}

Result<http::Response> tags_v1(Call& call) {
    TRY_ASSIGN(const TempoTagQuestion question, read_question(call));
    TRY_ASSIGN(const auto scopes, tempo_tags(call, question));
    if (call.accepts(kProtobuf)) return protobuf_reply(tag_names_message(scopes, question.scope));
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("tagNames").begin_array();
    for (const std::string_view name : all_names(scopes, question.scope))
        json.string(name);
    json.end_array();
    write_metrics(json);
    json.end_object();
    return json_reply(std::move(out));
}

// For language models: {"string": ["a", "b"], "int": ["1"]}.
http::Response values_for_models(const std::vector<Value>& values) {
    std::map<std::string_view, std::vector<std::string>> by_type;
    for (const Value& value : values) {
        if (auto shown = tempo_tag_value(value))
            by_type[shown->type].push_back(std::move(shown->text));
    }
    http::Response response;
    response.headers.add("content-type", std::string(kForModels));
    JsonWriter json(response.body);
    json.begin_object();
    for (const auto& [type, texts] : by_type) {
        json.key(type).begin_array();
        for (const std::string& text : texts)
            json.string(text);
        json.end_array();
    }
    json.end_object();
    return response;
}

Result<http::Response> values_v2(Call& call) {
    TRY_ASSIGN(const TempoTagQuestion question, read_question(call));
    TRY_ASSIGN(const auto values, tempo_tag_values(call, question, false));
    if (call.accepts(kProtobuf)) return protobuf_reply(tag_values_message(values));
    if (call.accepts(kForModels)) return values_for_models(values);
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("tagValues").begin_array();
    for (const Value& value : values) {
        const auto shown = tempo_tag_value(value);
        if (!shown) continue;
        json.begin_object().field("type", shown->type).field("value", shown->text).end_object();
    }
    json.end_array();
    write_metrics(json);
    json.end_object();
    return json_reply(std::move(out));
}

Result<http::Response> values_v1(Call& call) {
    TRY_ASSIGN(const TempoTagQuestion question, read_question(call));
    TRY_ASSIGN(const auto values, tempo_tag_values(call, question, true));
    if (call.accepts(kProtobuf)) return protobuf_reply(tag_texts_message(values));
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("tagValues").begin_array();
    for (const Value& value : values) {
        if (const auto shown = tempo_tag_value(value)) json.string(shown->text);
    }
    json.end_array();
    write_metrics(json);
    json.end_object();
    return json_reply(std::move(out));
}

Field version_1_field(const std::string& tag) {
    if (tag == "status.code" || tag == "status") return {Scope::kIntrinsic, Intrinsic::kStatus, ""};
    if (tag == "name" || tag == "root.name") return {Scope::kIntrinsic, Intrinsic::kName, ""};
    if (tag == "root.service.name") return {Scope::kIntrinsic, Intrinsic::kRootService, ""};
    return {Scope::kAny, Intrinsic::kNone, tag};
}

}  // namespace

std::optional<TempoTagValue> tempo_tag_value(const Value& value) {
    switch (value.kind) {
        case ValueKind::kBool:
            return TempoTagValue{"bool", value.integer != 0 ? "true" : "false"};
        case ValueKind::kInt:
            return TempoTagValue{"int", std::to_string(value.integer)};
        case ValueKind::kDouble: {
            std::string text;
            JsonWriter(text).number(value.number);
            return TempoTagValue{"float", std::move(text)};
        }
        case ValueKind::kDuration:
            return TempoTagValue{"duration", std::to_string(value.integer) + "ns"};
        case ValueKind::kString:
            return TempoTagValue{"string", value.text};
        case ValueKind::kSpanKind:
            return TempoTagValue{
                "keyword",
                std::string(traceql::kind_keyword(static_cast<otlp::SpanKind>(value.integer)))};
        case ValueKind::kStatus:
            return TempoTagValue{
                "keyword",
                std::string(traceql::status_keyword(static_cast<otlp::StatusCode>(value.integer)))};
        default:
            return std::nullopt;
    }
}

std::string tag_names_message(const std::vector<TempoScopeTags>& scopes, std::string_view asked) {
    std::string bytes;
    otlp::WireWriter out(bytes);
    for (const std::string_view name : all_names(scopes, asked))
        out.bytes_field(1, name);
    return bytes;
}

std::string tag_scopes_message(const std::vector<TempoScopeTags>& scopes) {
    std::string bytes;
    otlp::WireWriter out(bytes);
    for (const TempoScopeTags& scope : scopes) {
        const size_t mark = out.begin(1);
        out.bytes_field(1, scope.scope);
        for (const std::string& tag : scope.tags)
            out.bytes_field(2, tag);
        out.end(mark);
    }
    return bytes;
}

std::string tag_texts_message(const std::vector<Value>& values) {
    std::string bytes;
    otlp::WireWriter out(bytes);
    for (const Value& value : values) {
        if (const auto shown = tempo_tag_value(value)) out.bytes_field(1, shown->text);
    }
    return bytes;
}

std::string tag_values_message(const std::vector<Value>& values) {
    std::string bytes;
    otlp::WireWriter out(bytes);
    for (const Value& value : values) {
        const auto shown = tempo_tag_value(value);
        if (!shown) continue;
        const size_t mark = out.begin(1);
        out.bytes_field(1, shown->type);
        out.bytes_field(2, shown->text);
        out.end(mark);
    }
    return bytes;
}

Result<std::vector<TempoScopeTags>> tempo_tags(const Call& call, const TempoTagQuestion& question) {
    TRY(check_scope(question.scope));
    const auto segments = call.segments();
    TRY_ASSIGN(const auto keys, call.context.values.keys(segments, question.range));
    const Predicate where = valid_conditions(question.query);
    const bool is_any = question.scope.empty() || question.scope == "none";
    const size_t limit = question.limit == 0 ? kTagsMax : question.limit;
    std::vector<TempoScopeTags> found;
    for (const NamedScope& scope : kScopes) {
        if (!is_any && question.scope != scope.name) continue;
        TempoScopeTags tags{scope.name, {}};
        for (const store::KeyCount& key : keys) {
            if (key.scope != scope.scope || tags.tags.size() >= limit) continue;
            if (where.kind != Predicate::Kind::kTrue) {
                TRY_ASSIGN(const bool is_used,
                           is_in_use(call, segments, key, where, question.range));
                if (!is_used) continue;
            }
            tags.tags.push_back(key.key);
        }
        if (!tags.tags.empty()) found.push_back(std::move(tags));
    }
    if (is_any || question.scope == "intrinsic")
        found.push_back({"intrinsic", {kIntrinsicTags.begin(), kIntrinsicTags.end()}});
    return found;
}

Result<std::vector<Value>> tempo_tag_values(const Call& call, const TempoTagQuestion& question,
                                            bool is_version_1) {
    const auto field =
        is_version_1 ? std::optional(version_1_field(question.tag)) : parse_field(question.tag);
    if (!field)
        return fail(ErrorCode::kInvalidArgument,
                    "tag name is not valid intrinsic or scoped attribute: {}",
                    question.tag.substr(0, 200));
    const uint32_t limit = question.limit == 0 ? kValuesMax : std::min(question.limit, kValuesMax);
    return values_of(call, *field, valid_conditions(question.query), question.range, limit);
}

void add_tempo_tags(Router& router) {
    router.add(Family::kTempo, "GET", "/api/search/tags", tags_v1);
    router.add(Family::kTempo, "GET", "/api/v2/search/tags", tags_v2);
    router.add(Family::kTempo, "GET", "/api/search/tag/{}/values", values_v1);
    router.add(Family::kTempo, "GET", "/api/v2/search/tag/{}/values", values_v2);
}

}  // namespace spanloom::api

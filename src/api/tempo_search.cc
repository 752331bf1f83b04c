#include "api/tempo_search.h"

#include <algorithm>

#include "base/text.h"
#include "otlp/json.h"
#include "store/trace_summary.h"
#include "traceql/checker.h"
#include "traceql/executor.h"
#include "traceql/names.h"

namespace spanloom::api {
namespace {

using store::Predicate;
using store::Value;
using store::ValueKind;

constexpr uint64_t kSecond = 1'000'000'000;

struct TagFilter {
    std::string key;
    std::string value;
};

// logfmt: key=value key="quoted value" ...
Result<std::vector<TagFilter>> parse_logfmt(std::string_view text) {
    constexpr size_t kTagsMax = 64;
    std::vector<TagFilter> tags;
    size_t at = 0;
    while (true) {
        while (at < text.size() && text[at] == ' ')
            ++at;
        if (at >= text.size()) return tags;
        const size_t equals = text.find_first_of("= ", at);
        if (equals == std::string_view::npos || text[equals] != '=' || equals == at)
            return fail(ErrorCode::kInvalidArgument,
                        "invalid tags: \"{}\" is not of the form key=value", text.substr(at, 100));
        TagFilter tag{std::string(text.substr(at, equals - at)), ""};
        at = equals + 1;
        if (at < text.size() && (text[at] == '"' || text[at] == '\'')) {
            const char quote = text[at++];
            while (at < text.size() && text[at] != quote) {
                if (text[at] == '\\' && at + 1 < text.size()) ++at;
                tag.value += text[at++];
            }
            if (at++ >= text.size())
                return fail(ErrorCode::kInvalidArgument, "invalid tags: a quote is not closed");
        } else {
            while (at < text.size() && text[at] != ' ')
                tag.value += text[at++];
        }
        tags.push_back(std::move(tag));
        if (tags.size() > kTagsMax)
            return fail(ErrorCode::kInvalidArgument, "invalid tags: more than {}", kTagsMax);
    }
}

Predicate tag_filter(const TagFilter& tag) {
    const auto contains = [&](store::Field field) {
        return Predicate::compare(std::move(field), store::Comparison::kTextContains,
                                  Value::of_string(tag.value));
    };
    const auto intrinsic = [](store::Intrinsic which) {
        return store::Field{store::Scope::kIntrinsic, which, ""};
    };
    if (tag.key == "name") return contains(intrinsic(store::Intrinsic::kName));
    if (tag.key == "status.code" || tag.key == "status") {
        for (const auto code :
             {otlp::StatusCode::kUnset, otlp::StatusCode::kOk, otlp::StatusCode::kError}) {
            if (traceql::status_keyword(code) == tag.value)
                return Predicate::compare(intrinsic(store::Intrinsic::kStatus),
                                          store::Comparison::kEqual, Value::of_status(code));
        }
    }
    if (tag.key == "error" && tag.value == "true")
        return Predicate::compare(intrinsic(store::Intrinsic::kStatus), store::Comparison::kEqual,
                                  Value::of_status(otlp::StatusCode::kError));
    return Predicate::any_of(
        {contains({store::Scope::kSpan, store::Intrinsic::kNone, tag.key}),
         contains({store::Scope::kResource, store::Intrinsic::kNone, tag.key})});
}

// How long whole traces took is known once they are found: page by page, until there are enough.
Result<traceql::SearchAnswer> search_by_length(
    const Call& call, store::SearchRequest request,
    const std::function<bool(const store::TraceSummary&)>& has_length) {
    constexpr uint32_t kPageMax = 1'000;
    const size_t wanted = request.limit;
    const auto segments = call.segments();
    traceql::SearchAnswer answer;
    while (true) {
        TRY_ASSIGN(auto found, store::search(segments, request));
        store::ScanStats& stats = answer.stats;
        const store::ScanStats before = stats;
        stats = found.stats;
        stats.scanned_spans += before.scanned_spans;
        stats.scanned_bytes += before.scanned_bytes;
        answer.stats.traces += found.traces.size();
        for (store::TraceSummary& summary : found.traces) {
            if (answer.traces.size() >= wanted || !has_length(summary)) continue;
            traceql::TraceFound trace;
            trace.spansets.push_back({{}, summary.matched, summary.matched_spans});
            trace.summary = std::move(summary);
            answer.traces.push_back(std::move(trace));
        }
        if (answer.traces.size() >= wanted || !found.next || found.stats.partial) return answer;
        request.after = found.next;
        request.limit = std::min(request.limit * 2, std::max(kPageMax, request.limit));
    }
}

Result<traceql::SearchAnswer> search_by_tags(const Call& call, const TempoQuestion& question) {
    TRY_ASSIGN(const auto tags, parse_logfmt(question.tags));
    TRY_ASSIGN(const auto min, duration_parameter("minDuration", question.duration_min));
    TRY_ASSIGN(const auto max, duration_parameter("maxDuration", question.duration_max));
    std::vector<Predicate> all;
    for (const TagFilter& tag : tags)
        all.push_back(tag_filter(tag));
    // No span is longer than its trace.
    const store::Field duration{store::Scope::kIntrinsic, store::Intrinsic::kDuration, ""};
    if (max)
        all.push_back(
            Predicate::compare(duration, store::Comparison::kLessEqual, Value::of_duration(*max)));
    store::SearchRequest request;
    request.range = question.range;
    request.where = all.empty() ? Predicate::everything() : Predicate::all_of(std::move(all));
    request.limit = question.traces;
    request.spans_per_trace = question.spans_per_spanset;
    request.cancelled = call.request.cancelled;
    request.deadline_monotonic_ns = call.deadline_ns;
    const auto has_length = [&](const store::TraceSummary& trace) {
        const uint64_t length = trace.end_ns - std::min(trace.end_ns, trace.start_ns);
        return (!min || length >= static_cast<uint64_t>(*min)) &&
               (!max || length <= static_cast<uint64_t>(*max));
    };
    return search_by_length(call, std::move(request), has_length);
}

// Attributes go by their key alone, intrinsics by their short name.
std::string_view shown_key(const store::Field& field) {
    if (field.scope == store::Scope::kIntrinsic) return traceql::intrinsic_name(field.intrinsic);
    return field.key;
}

std::string value_message(const Value& value) {
    std::string text;
    JsonWriter inner(text);
    otlp::append_value_json(inner, otlp::ValueView::parse(value.text), otlp::ValueForm::kPlain);
    return text;
}

// What has no type of its own in an AnyValue.
std::string text_value(const Value& value) {
    switch (value.kind) {
        case ValueKind::kDuration:
            return format_duration_ns(value.integer);
        case ValueKind::kSpanKind:
            return std::string(traceql::kind_keyword(static_cast<otlp::SpanKind>(value.integer)));
        case ValueKind::kStatus:
            return std::string(
                traceql::status_keyword(static_cast<otlp::StatusCode>(value.integer)));
        case ValueKind::kOther:
            return value_message(value);
        default:
            return value.text;
    }
}

void write_attribute(JsonWriter& json, std::string_view key, const Value& value) {
    json.begin_object().field("key", key).key("value");
    write_tempo_value(json, value);
    json.end_object();
}

void write_attribute(otlp::WireWriter& out, uint32_t field, std::string_view key,
                     const Value& value) {
    const size_t mark = out.begin(field);
    out.bytes_field(1, key);
    write_tempo_value(out, 2, value);
    out.end(mark);
}

void write_spanset(JsonWriter& json, const traceql::SpansetFound& set) {
    json.begin_object().key("spans").begin_array();
    for (const store::MatchedSpan& span : set.spans) {
        json.begin_object().field("spanID", span.span_id.hex());
        if (!span.name.empty()) json.field("name", span.name);
        json.key("startTimeUnixNano").quoted(span.start_ns);
        json.key("durationNanos").quoted(span.duration_ns);
        if (!span.values.empty()) {
            json.key("attributes").begin_array();
            for (const auto& [field, value] : span.values)
                write_attribute(json, shown_key(field), value);
            json.end_array();
        }
        json.end_object();
    }
    json.end_array().field("matched", set.matched);
    if (!set.attributes.empty()) {
        json.key("attributes").begin_array();
        for (const auto& [key, value] : set.attributes)
            write_attribute(json, key, value);
        json.end_array();
    }
    json.end_object();
}

void write_spanset(otlp::WireWriter& out, uint32_t field, const traceql::SpansetFound& set) {
    const size_t mark = out.begin(field);
    for (const store::MatchedSpan& span : set.spans) {
        const size_t one = out.begin(1);
        out.bytes_field(1, span.span_id.hex());
        if (!span.name.empty()) out.bytes_field(2, span.name);
        out.varint_field(3, span.start_ns);
        out.varint_field(4, span.duration_ns);
        for (const auto& [key, value] : span.values)
            write_attribute(out, 5, shown_key(key), value);
        out.end(one);
    }
    out.varint_field(2, set.matched);
    for (const auto& [key, value] : set.attributes)
        write_attribute(out, 3, key, value);
    out.end(mark);
}

std::string_view root_service(const store::TraceSummary& trace) {
    return trace.root_received ? std::string_view(trace.root_service)
                               : "<root span not yet received>";
}

uint32_t duration_ms(const store::TraceSummary& trace) {
    const uint64_t ms = (trace.end_ns - std::min(trace.end_ns, trace.start_ns)) / 1'000'000;
    return static_cast<uint32_t>(std::min<uint64_t>(ms, UINT32_MAX));
}

// Header fields hold printable ASCII.
std::string header_text(std::string_view text) {
    std::string out;
    for (const char c : text.substr(0, 500))
        out += c >= ' ' && c <= '~' ? c : '?';
    return out;
}

}  // namespace

http::Response protobuf_reply(std::string body) {
    http::Response response;
    response.headers.add("content-type", std::string(kProtobuf));
    response.body = std::move(body);
    return response;
}

void TempoQuestion::set_spans(uint64_t spans) {
    spans_per_spanset = spans == 0 || spans > kSpansMax ? kSpansMax : static_cast<uint32_t>(spans);
}

Result<store::TimeRange> seconds_range(uint64_t start_s, uint64_t end_s) {
    constexpr uint64_t kMax = UINT64_MAX / kSecond / 2;
    store::TimeRange range;
    if (start_s == 0 && end_s == 0) return range;
    if (end_s != 0 && end_s <= start_s)
        return fail(ErrorCode::kInvalidArgument,
                    "http parameter start must be before end. received start={} end={}", start_s,
                    end_s);
    range.start_ns = std::min(start_s, kMax) * kSecond;
    if (end_s != 0) range.end_ns = std::min(end_s, kMax) * kSecond;
    return range;
}

Result<store::TimeRange> tempo_range(const http::Query& query) {
    constexpr uint64_t kMax = UINT64_MAX / kSecond / 2;
    TRY_ASSIGN(const uint64_t start, number_parameter(query, "start", 0, 0, kMax));
    TRY_ASSIGN(const uint64_t end, number_parameter(query, "end", 0, 0, kMax));
    return seconds_range(start, end);
}

Result<traceql::SearchAnswer> tempo_search(
    const Call& call, const TempoQuestion& question,
    const std::function<void(const traceql::TraceFound&)>& on_trace) {
    if (!question.query.empty() && !question.tags.empty())
        return fail(ErrorCode::kInvalidArgument, "invalid request: use either q or tags, not both");
    if (question.query.empty()) {
        TRY_ASSIGN(auto answer, search_by_tags(call, question));
        for (const traceql::TraceFound& trace : answer.traces) {
            if (on_trace) on_trace(trace);
        }
        return answer;
    }
    const auto query = traceql::parse(question.query);
    if (!query)
        return fail(ErrorCode::kInvalidArgument, "invalid TraceQL query: {}", query.error().text());
    if (traceql::is_metrics(*query))
        return fail(ErrorCode::kInvalidArgument,
                    "invalid TraceQL query: this query draws series: ask /api/metrics/query_range");
    traceql::SearchOptions options;
    options.range = question.range;
    options.limit = question.traces;
    options.spans_per_trace = question.spans_per_spanset;
    options.cancelled = call.request.cancelled;
    options.deadline_monotonic_ns = call.deadline_ns;
    options.memory_bytes_max = call.context.options.limits.memory_bytes_max;
    options.on_trace = on_trace;
    options.explain = question.explain;
    return traceql::search(*query, call.segments(), options, call.context.options.clock);
}

void write_tempo_value(JsonWriter& json, const Value& value) {
    json.begin_object();
    switch (value.kind) {
        case ValueKind::kNil:
            break;
        case ValueKind::kBool:
            json.field("boolValue", value.integer != 0);
            break;
        case ValueKind::kInt:
            json.key("intValue").quoted(value.integer);
            break;
        case ValueKind::kDouble:
            json.field("doubleValue", value.number);
            break;
        default:
            json.field("stringValue", text_value(value));
            break;
    }
    json.end_object();
}

void write_tempo_value(otlp::WireWriter& out, uint32_t field, const Value& value) {
    const size_t mark = out.begin(field);
    switch (value.kind) {
        case ValueKind::kNil:
            break;
        case ValueKind::kBool:
            out.varint_field(2, value.integer != 0 ? 1 : 0);
            break;
        case ValueKind::kInt:
            out.varint_field(3, static_cast<uint64_t>(value.integer));
            break;
        case ValueKind::kDouble:
            out.double_field(4, value.number);
            break;
        default:
            out.bytes_field(1, text_value(value));
            break;
    }
    out.end(mark);
}

void write_tempo_trace(JsonWriter& json, const traceql::TraceFound& found) {
    const store::TraceSummary& trace = found.summary;
    json.begin_object().field("traceID", trace.trace_id.hex());
    json.field("rootServiceName", root_service(trace));
    if (trace.root_received && !trace.root_name.empty())
        json.field("rootTraceName", trace.root_name);
    json.key("startTimeUnixNano").quoted(trace.start_ns);
    if (const uint32_t ms = duration_ms(trace); ms != 0) json.field("durationMs", ms);
    if (!found.spansets.empty()) {
        json.key("spanSet");
        write_spanset(json, found.spansets.front());
    }
    json.key("spanSets").begin_array();
    for (const traceql::SpansetFound& set : found.spansets)
        write_spanset(json, set);
    json.end_array().key("serviceStats").begin_object();
    for (const store::ServiceCount& service : trace.services) {
        json.key(service.name).begin_object().field("spanCount", service.spans);
        if (service.errors != 0) json.field("errorCount", service.errors);
        json.end_object();
    }
    json.end_object().end_object();
}

void write_tempo_trace(otlp::WireWriter& out, uint32_t field, const traceql::TraceFound& found) {
    const store::TraceSummary& trace = found.summary;
    const size_t mark = out.begin(field);
    out.bytes_field(1, trace.trace_id.hex());
    out.bytes_field(2, root_service(trace));
    if (trace.root_received && !trace.root_name.empty()) out.bytes_field(3, trace.root_name);
    out.varint_field(4, trace.start_ns);
    out.varint_field(5, duration_ms(trace));
    if (!found.spansets.empty()) write_spanset(out, 6, found.spansets.front());
    for (const traceql::SpansetFound& set : found.spansets)
        write_spanset(out, 7, set);
    for (const store::ServiceCount& service : trace.services) {
        const size_t entry = out.begin(8);
        out.bytes_field(1, service.name);
        const size_t stats = out.begin(2);
        out.varint_field(1, service.spans);
        if (service.errors != 0) out.varint_field(2, service.errors);
        out.end(stats);
        out.end(entry);
    }
    out.end(mark);
}

uint64_t segment_bytes_in(const Call& call, store::TimeRange range) {
    uint64_t bytes = 0;
    for (const auto& segment : call.segments()) {
        const store::SegmentInfo& info = segment->info();
        if (store::overlaps(info.start_ns_min, info.end_ns_max, range)) bytes += info.bytes;
    }
    return bytes;
}

void write_search_metrics(JsonWriter& json, const SearchCosts& costs) {
    json.key("metrics").begin_object();
    json.field("inspectedTraces", std::max(costs.stats.traces, costs.traces));
    json.key("inspectedBytes").quoted(costs.stats.scanned_bytes);
    json.key("inspectedSpans").quoted(costs.stats.scanned_spans);
    json.field("totalBlocks", costs.stats.segments);
    json.field("completedJobs", 1).field("totalJobs", 1);
    json.key("totalBlockBytes").quoted(costs.segment_bytes).end_object();
}

void write_search_metrics(otlp::WireWriter& out, uint32_t field, const SearchCosts& costs) {
    const size_t mark = out.begin(field);
    out.varint_field(1, std::max(costs.stats.traces, costs.traces));
    out.varint_field(2, costs.stats.scanned_bytes);
    out.varint_field(3, costs.stats.segments);
    out.varint_field(4, 1);
    out.varint_field(5, 1);
    out.varint_field(6, costs.segment_bytes);
    out.varint_field(7, costs.stats.scanned_spans);
    out.end(mark);
}

void add_remarks(http::Response& response, const traceql::QueryStats& stats,
                 const std::vector<std::string>& notes) {
    if (stats.partial) response.headers.add("x-spanloom-partial", header_text(stats.reason));
    for (const std::string& note : notes)
        response.headers.add("x-spanloom-note", header_text(note));
}

}  // namespace spanloom::api

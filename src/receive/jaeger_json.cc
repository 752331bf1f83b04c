#include "receive/jaeger_json.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <simdjson.h>

#include "base/text.h"
#include "otlp/ids.h"
#include "otlp/view.h"
#include "otlp/writer.h"

namespace spanloom {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

constexpr uint64_t kNsPerUs = 1'000;

// Field numbers of opentelemetry/proto/trace/v1/trace.proto.
enum : uint32_t {
    kTraceId = 1,
    kSpanId = 2,
    kTraceState = 3,
    kParentSpanId = 4,
    kName = 5,
    kKind = 6,
    kStart = 7,
    kEnd = 8,
    kAttributes = 9,
    kEvents = 11,
    kLinks = 13,
    kStatus = 15,
};

std::string_view text_of(const object& from, const char* key) {
    std::string_view value;
    return from[key].get_string().get(value) == simdjson::SUCCESS ? value : std::string_view();
}

// Microseconds, which some writers give as a text.
uint64_t time_of(const object& from, const char* key) {
    uint64_t number = 0;
    if (from[key].get_uint64().get(number) == simdjson::SUCCESS) return number;
    double fraction = 0;
    if (from[key].get_double().get(fraction) == simdjson::SUCCESS && fraction > 0 &&
        fraction < 1e18)
        return static_cast<uint64_t>(fraction);
    const auto parsed = parse_int(text_of(from, key));
    return parsed && *parsed > 0 ? static_cast<uint64_t>(*parsed) : 0;
}

struct Tag {
    std::string_view key;
    std::string_view type;
    element value;
};

std::vector<Tag> tags_of(const object& from, const char* key) {
    std::vector<Tag> tags;
    simdjson::dom::array list;
    if (from[key].get_array().get(list) != simdjson::SUCCESS) return tags;
    for (const element one : list) {
        object tag;
        Tag read;
        if (one.get_object().get(tag) != simdjson::SUCCESS) continue;
        if (tag["value"].get(read.value) != simdjson::SUCCESS) continue;
        read.key = text_of(tag, "key");
        read.type = text_of(tag, "type");
        tags.push_back(read);
    }
    return tags;
}

std::string as_text(const element& value) {
    std::string_view text;
    if (value.get_string().get(text) == simdjson::SUCCESS) return std::string(text);
    return simdjson::to_string(value);
}

bool is_true(const element& value) {
    bool flag = false;
    if (value.get_bool().get(flag) == simdjson::SUCCESS) return flag;
    return as_text(value) == "true";
}

void write_value(otlp::WireWriter& out, const Tag& tag) {
    int64_t integer = 0;
    double number = 0;
    bool flag = false;
    std::string_view text;
    if (tag.type == "binary" && tag.value.get_string().get(text) == simdjson::SUCCESS) {
        if (const auto decoded = parse_base64(text)) return out.bytes_field(7, *decoded);
    }
    if (tag.value.get_bool().get(flag) == simdjson::SUCCESS)
        return out.varint_field(2, flag ? 1 : 0);
    const bool is_float = tag.type == "float64" || tag.value.is_double();
    if (!is_float && tag.value.get_int64().get(integer) == simdjson::SUCCESS)
        return out.varint_field(3, static_cast<uint64_t>(integer));
    if (tag.value.get_double().get(number) == simdjson::SUCCESS) return out.double_field(4, number);
    const std::string as = as_text(tag.value);
    if (tag.type == "int64") {
        if (const auto parsed = parse_int(as))
            return out.varint_field(3, static_cast<uint64_t>(*parsed));
    }
    out.bytes_field(1, as);
}

void write_attribute(std::string& bytes, uint32_t field, const Tag& tag) {
    otlp::WireWriter out(bytes);
    const size_t mark = out.begin(field);
    out.bytes_field(1, tag.key);
    const size_t value = out.begin(2);
    write_value(out, tag);
    out.end(value);
    out.end(mark);
}

otlp::SpanKind kind_of(std::string_view text) {
    if (text == "internal") return otlp::SpanKind::kInternal;
    if (text == "server") return otlp::SpanKind::kServer;
    if (text == "client") return otlp::SpanKind::kClient;
    if (text == "producer") return otlp::SpanKind::kProducer;
    if (text == "consumer") return otlp::SpanKind::kConsumer;
    return otlp::SpanKind::kUnspecified;
}

// What its tags say of a span beside attributes.
struct SpanMarks {
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
    uint64_t status = 0;
    std::string message;
    std::string trace_state;
    std::vector<Tag> rest;
};

SpanMarks marks_of(const object& span) {
    SpanMarks marks;
    for (const Tag& tag : tags_of(span, "tags")) {
        if (tag.key == "span.kind") {
            marks.kind = kind_of(as_text(tag.value));
        } else if (tag.key == "otel.status_code") {
            const std::string code = as_text(tag.value);
            marks.status = code == "ERROR" ? 2 : code == "OK" ? 1 : marks.status;
        } else if (tag.key == "error" && (tag.type == "bool" || tag.value.is_bool())) {
            if (is_true(tag.value)) marks.status = 2;
        } else if (tag.key == "otel.status_description") {
            marks.message = as_text(tag.value);
        } else if (tag.key == "w3c.tracestate") {
            marks.trace_state = as_text(tag.value);
        } else if (tag.key != "otel.scope.name" && tag.key != "otel.scope.version" &&
                   tag.key != "internal.span.format") {
            marks.rest.push_back(tag);
        }
    }
    return marks;
}

template <typename Id>
Result<Id> id_of(const object& from, const char* key) {
    const std::string_view text = text_of(from, key);
    const auto id = Id::parse(text);
    if (!id || id->is_zero())
        return fail(ErrorCode::kInvalidArgument, "the {} \"{}\" of a span is no id", key,
                    text.substr(0, 100));
    return *id;
}

void write_event(std::string& bytes, const object& log) {
    otlp::WireWriter out(bytes);
    const std::vector<Tag> fields = tags_of(log, "fields");
    const auto name =
        std::find_if(fields.begin(), fields.end(), [](const Tag& f) { return f.key == "event"; });
    const size_t mark = out.begin(kEvents);
    out.fixed64_field(1, time_of(log, "timestamp") * kNsPerUs);
    if (name != fields.end()) out.bytes_field(2, as_text(name->value));
    for (auto at = fields.begin(); at != fields.end(); ++at) {
        if (at != name) write_attribute(bytes, 3, *at);
    }
    out.end(mark);
}

// The first CHILD_OF of the same trace is the parent, every other reference a link.
Result<void> write_references(std::string& bytes, const object& span, const TraceId& trace) {
    otlp::WireWriter out(bytes);
    simdjson::dom::array references;
    bool has_parent = false;
    if (span["references"].get_array().get(references) == simdjson::SUCCESS) {
        for (const element one : references) {
            object reference;
            if (one.get_object().get(reference) != simdjson::SUCCESS) continue;
            TRY_ASSIGN(const TraceId trace_id, id_of<TraceId>(reference, "traceID"));
            TRY_ASSIGN(const SpanId span_id, id_of<SpanId>(reference, "spanID"));
            const bool is_parent =
                !has_parent && trace_id == trace && text_of(reference, "refType") == "CHILD_OF";
            if (is_parent) {
                has_parent = true;
                out.bytes_field(kParentSpanId, span_id.view());
                continue;
            }
            const size_t mark = out.begin(kLinks);
            out.bytes_field(1, trace_id.view());
            out.bytes_field(2, span_id.view());
            out.end(mark);
        }
    }
    if (has_parent) return {};
    if (const auto parent = SpanId::parse(text_of(span, "parentSpanID"));
        parent && !parent->is_zero())
        out.bytes_field(kParentSpanId, parent->view());
    return {};
}

Result<void> write_span(std::string& bytes, const object& span) {
    TRY_ASSIGN(const TraceId trace, id_of<TraceId>(span, "traceID"));
    TRY_ASSIGN(const SpanId id, id_of<SpanId>(span, "spanID"));
    const SpanMarks marks = marks_of(span);
    const uint64_t start_us = time_of(span, "startTime");
    otlp::WireWriter out(bytes);
    const size_t mark = out.begin(2);
    out.bytes_field(kTraceId, trace.view());
    out.bytes_field(kSpanId, id.view());
    if (!marks.trace_state.empty()) out.bytes_field(kTraceState, marks.trace_state);
    TRY(write_references(bytes, span, trace));
    out.bytes_field(kName, text_of(span, "operationName"));
    out.varint_field(kKind, static_cast<uint64_t>(marks.kind));
    out.fixed64_field(kStart, start_us * kNsPerUs);
    out.fixed64_field(kEnd, (start_us + time_of(span, "duration")) * kNsPerUs);
    for (const Tag& tag : marks.rest)
        write_attribute(bytes, kAttributes, tag);
    simdjson::dom::array logs;
    if (span["logs"].get_array().get(logs) == simdjson::SUCCESS) {
        for (const element one : logs) {
            object log;
            if (one.get_object().get(log) == simdjson::SUCCESS) write_event(bytes, log);
        }
    }
    if (marks.status != 0 || !marks.message.empty()) {
        const size_t status = out.begin(kStatus);
        if (!marks.message.empty()) out.bytes_field(2, marks.message);
        out.varint_field(3, marks.status);
        out.end(status);
    }
    out.end(mark);
    return {};
}

void write_resource(std::string& bytes, const std::optional<object>& processes,
                    std::string_view id) {
    otlp::WireWriter out(bytes);
    const size_t mark = out.begin(1);
    object process;
    if (processes && (*processes)[id].get_object().get(process) == simdjson::SUCCESS) {
        const size_t attribute = out.begin(1);
        out.bytes_field(1, "service.name");
        const size_t value = out.begin(2);
        out.bytes_field(1, text_of(process, "serviceName"));
        out.end(value);
        out.end(attribute);
        for (const Tag& tag : tags_of(process, "tags"))
            write_attribute(bytes, 1, tag);
    }
    out.end(mark);
}

std::string tag_text(const object& span, std::string_view key) {
    for (const Tag& tag : tags_of(span, "tags")) {
        if (tag.key == key) return as_text(tag.value);
    }
    return {};
}

Result<void> write_trace(std::string& bytes, const object& trace) {
    // A trace may have none; its spans are then of no service.
    std::optional<object> processes;
    if (object found; trace["processes"].get_object().get(found) == simdjson::SUCCESS)
        processes = found;
    simdjson::dom::array spans;
    if (trace["spans"].get_array().get(spans) != simdjson::SUCCESS)
        return fail(ErrorCode::kInvalidArgument, "a trace has no list of spans");
    struct Place {
        std::string process;
        std::string scope;
        std::string version;
        auto operator<=>(const Place&) const = default;
    };
    std::map<Place, std::vector<object>> places;
    for (const element one : spans) {
        object span;
        if (one.get_object().get(span) != simdjson::SUCCESS)
            return fail(ErrorCode::kInvalidArgument, "a span is not an object");
        places[{std::string(text_of(span, "processID")), tag_text(span, "otel.scope.name"),
                tag_text(span, "otel.scope.version")}]
            .push_back(span);
    }
    otlp::WireWriter out(bytes);
    for (const auto& [place, list] : places) {
        const size_t resource_spans = out.begin(1);
        write_resource(bytes, processes, place.process);
        const size_t scope_spans = out.begin(2);
        const size_t scope = out.begin(1);
        if (!place.scope.empty()) out.bytes_field(1, place.scope);
        if (!place.version.empty()) out.bytes_field(2, place.version);
        out.end(scope);
        for (const object& span : list)
            TRY(write_span(bytes, span));
        out.end(scope_spans);
        out.end(resource_spans);
    }
    return {};
}

}  // namespace

Result<Blob> jaeger_json_to_otlp(std::string_view json) {
    simdjson::dom::parser parser;
    element root;
    if (const auto error = parser.parse(json.data(), json.size()).get(root);
        error != simdjson::SUCCESS)
        return fail(ErrorCode::kInvalidArgument, "not JSON: {}", simdjson::error_message(error));
    simdjson::dom::array traces;
    if (root["data"].get_array().get(traces) != simdjson::SUCCESS)
        return fail(ErrorCode::kInvalidArgument, "no list \"data\" of traces: not Jaeger's JSON");
    std::string bytes;
    for (const element one : traces) {
        object trace;
        if (one.get_object().get(trace) != simdjson::SUCCESS)
            return fail(ErrorCode::kInvalidArgument, "a trace is not an object");
        TRY(write_trace(bytes, trace));
    }
    return Blob::copy_of(bytes);
}

}  // namespace spanloom

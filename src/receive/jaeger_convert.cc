#include "receive/jaeger_convert.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/text.h"
#include "otlp/view.h"
#include "receive/attribute_writer.h"

namespace spanloom {
namespace {

using Tags = std::vector<JaegerTag>;

// What Jaeger shows where OTLP had no service name.
constexpr std::string_view kNoServiceName = "OTLPResourceNoServiceName";

const JaegerTag* find(const Tags& tags, std::string_view key) {
    const auto found = std::find_if(tags.begin(), tags.end(),
                                    [&](const JaegerTag& tag) { return tag.key == key; });
    return found == tags.end() ? nullptr : &*found;
}

// Takes the tag out; of several, the first.
std::optional<JaegerTag> take(Tags& tags, std::string_view key) {
    const JaegerTag* found = find(tags, key);
    if (found == nullptr) return std::nullopt;
    JaegerTag tag = *found;
    tags.erase(tags.begin() + (found - tags.data()));
    return tag;
}

std::string_view take_text(Tags& tags, std::string_view key) {
    const auto tag = take(tags, key);
    return tag ? tag->text : std::string_view();
}

void write_tag(AttributeWriter& out, std::string_view key, const JaegerTag& tag) {
    switch (tag.type) {
        case JaegerTag::Type::kString:
            return out.text(key, tag.text);
        case JaegerTag::Type::kBool:
            return out.boolean(key, tag.integer != 0);
        case JaegerTag::Type::kInt:
            return out.integer(key, tag.integer);
        case JaegerTag::Type::kDouble:
            return out.number(key, tag.number);
        case JaegerTag::Type::kBinary:
            return out.bytes(key, tag.text);
    }
}

otlp::SpanKind kind_of(std::string_view word) {
    if (word == "client") return otlp::SpanKind::kClient;
    if (word == "server") return otlp::SpanKind::kServer;
    if (word == "producer") return otlp::SpanKind::kProducer;
    if (word == "consumer") return otlp::SpanKind::kConsumer;
    return word == "internal" ? otlp::SpanKind::kInternal : otlp::SpanKind::kUnspecified;
}

struct Status {
    otlp::StatusCode code = otlp::StatusCode::kUnset;
    std::string_view message;
};

std::optional<int64_t> http_code(const JaegerTag& tag) {
    if (tag.type == JaegerTag::Type::kInt) return tag.integer;
    return tag.type == JaegerTag::Type::kString ? parse_int(tag.text) : std::nullopt;
}

// Of an HTTP answer whose span says nothing else: 4xx are the client's failure.
bool is_failed_http(int64_t code, otlp::SpanKind kind) {
    if (code >= 400 && code < 500 && kind == otlp::SpanKind::kServer) return false;
    return code < 100 || code >= 400;
}

std::string_view upper_status(std::string_view word) {
    const auto is_word = [&](std::string_view name) {
        return word.size() == name.size() &&
               std::equal(word.begin(), word.end(), name.begin(), [](char a, char b) {
                   return (a >= 'a' && a <= 'z' ? static_cast<char>(a - 'a' + 'A') : a) == b;
               });
    };
    if (is_word("OK")) return "OK";
    return is_word("ERROR") ? "ERROR" : "";
}

// The tag `error` = true is the truth; then what OpenTelemetry's exporter wrote; then HTTP's code.
Status take_status(Tags& tags, otlp::SpanKind kind) {
    Status status;
    const JaegerTag* error = find(tags, "error");
    const bool is_error =
        error != nullptr && error->type == JaegerTag::Type::kBool && error->integer != 0;
    const JaegerTag* http_message = find(tags, "http.status_message");
    const std::string_view http_text =
        http_message != nullptr ? http_message->text : std::string_view();
    if (is_error) {
        take(tags, "error");
        status.code = otlp::StatusCode::kError;
        const auto description = take(tags, "otel.status_description");
        status.message = description ? description->text : http_text;
    }
    if (const auto code = take(tags, "otel.status_code")) {
        if (is_error) return status;
        const std::string_view word = upper_status(code->text);
        if (word == "OK") status.code = otlp::StatusCode::kOk;
        if (word == "ERROR") status.code = otlp::StatusCode::kError;
        status.message = take_text(tags, "otel.status_description");
        return status;
    }
    const JaegerTag* code = find(tags, "http.status_code");
    if (is_error || code == nullptr) return status;
    const auto number = http_code(*code);
    if (number && is_failed_http(*number, kind)) status = {otlp::StatusCode::kError, http_text};
    return status;
}

// As Jaeger's model has it: the first CHILD_OF of the same trace, else the first FOLLOWS_FROM.
SpanId parent_of(const JaegerSpan& span) {
    if (!span.parent_span_id.is_zero()) return span.parent_span_id;
    SpanId follows;
    for (const JaegerReference& reference : span.references) {
        if (reference.trace_id != span.trace_id) continue;
        if (reference.is_child_of) return reference.span_id;
        if (follows.is_zero()) follows = reference.span_id;
    }
    return follows;
}

void write_links(otlp::WireWriter& out, const JaegerSpan& span, const SpanId& parent) {
    for (const JaegerReference& reference : span.references) {
        if (reference.is_child_of && reference.span_id == parent) continue;
        const size_t link = out.begin(13);
        out.bytes_field(1, reference.trace_id.view());
        out.bytes_field(2, reference.span_id.view());
        AttributeWriter(out, 4).text("opentracing.ref_type",
                                     reference.is_child_of ? "child_of" : "follows_from");
        out.end(link);
    }
}

void write_events(otlp::WireWriter& out, std::vector<JaegerLog>& logs) {
    for (JaegerLog& log : logs) {
        const size_t event = out.begin(11);
        out.fixed64_field(1, log.time_ns);
        const std::string_view name = take_text(log.fields, "event");
        if (!name.empty()) out.bytes_field(2, name);
        AttributeWriter attributes(out, 3);
        for (const JaegerTag& field : log.fields)
            write_tag(attributes, field.key, field);
        out.end(event);
    }
}

uint64_t add_saturating(uint64_t a, uint64_t b) {
    const uint64_t sum = a + b;
    return sum < a ? std::numeric_limits<uint64_t>::max() : sum;
}

}  // namespace

void JaegerToOtlp::begin_process(const JaegerProcess& process) {
    close_process();
    otlp::WireWriter out(bytes_);
    has_process_ = true;
    resource_spans_ = out.begin(1);
    const size_t resource = out.begin(1);
    AttributeWriter attributes(out, 1);
    if (process.service_name != kNoServiceName)
        attributes.text_if_any("service.name", process.service_name);
    const bool has_host = find(process.tags, "host.name") != nullptr;
    const bool has_version = find(process.tags, "opencensus.exporterversion") != nullptr;
    for (const JaegerTag& tag : process.tags) {
        if (tag.key == "hostname" && !has_host) {
            write_tag(attributes, "host.name", tag);
        } else if (tag.key == "jaeger.version" && !has_version) {
            attributes.text("opencensus.exporterversion", "Jaeger-" + std::string(tag.text));
        } else {
            write_tag(attributes, tag.key, tag);
        }
    }
    out.end(resource);
}

void JaegerToOtlp::open_scope(std::string_view name, std::string_view version) {
    close_scope();
    otlp::WireWriter out(bytes_);
    has_scope_ = true;
    scope_name_ = name;
    scope_version_ = version;
    scope_spans_ = out.begin(2);
    if (name.empty()) return;
    const size_t scope = out.begin(1);
    out.bytes_field(1, name);
    if (!version.empty()) out.bytes_field(2, version);
    out.end(scope);
}

void JaegerToOtlp::close_scope() {
    if (!has_scope_) return;
    otlp::WireWriter(bytes_).end(scope_spans_);
    has_scope_ = false;
}

void JaegerToOtlp::close_process() {
    close_scope();
    if (!has_process_) return;
    otlp::WireWriter(bytes_).end(resource_spans_);
    has_process_ = false;
}

void JaegerToOtlp::add(JaegerSpan span) {
    if (!has_process_) begin_process({});
    // The version counts only beside a name, as in the translator.
    const auto scope = take(span.tags, "otel.scope.name");
    const std::string_view scope_name = scope ? scope->text : std::string_view();
    const std::string_view scope_version =
        scope ? take_text(span.tags, "otel.scope.version") : std::string_view();
    if (!has_scope_ || scope_name_ != scope_name || scope_version_ != scope_version)
        open_scope(scope_name, scope_version);
    const auto kind_tag = take(span.tags, "span.kind");
    const otlp::SpanKind kind = kind_tag ? kind_of(kind_tag->text) : otlp::SpanKind::kUnspecified;
    const Status status = take_status(span.tags, kind);
    const std::string_view trace_state = take_text(span.tags, "w3c.tracestate");
    const SpanId parent = parent_of(span);

    otlp::WireWriter out(bytes_);
    const size_t mark = out.begin(2);
    out.bytes_field(1, span.trace_id.view());
    out.bytes_field(2, span.span_id.view());
    if (!trace_state.empty()) out.bytes_field(3, trace_state);
    if (!parent.is_zero()) out.bytes_field(4, parent.view());
    out.bytes_field(5, span.name);
    if (kind != otlp::SpanKind::kUnspecified) out.varint_field(6, static_cast<uint64_t>(kind));
    out.fixed64_field(7, span.start_ns);
    out.fixed64_field(8, add_saturating(span.start_ns, span.duration_ns));
    AttributeWriter attributes(out, 9);
    for (const JaegerTag& tag : span.tags)
        write_tag(attributes, tag.key, tag);
    write_events(out, span.logs);
    write_links(out, span, parent);
    if (status.code != otlp::StatusCode::kUnset || !status.message.empty()) {
        const size_t message = out.begin(15);
        if (!status.message.empty()) out.bytes_field(2, status.message);
        out.varint_field(3, static_cast<uint64_t>(status.code));
        out.end(message);
    }
    // Of Jaeger's flags only "sampled" means the same in W3C's.
    if ((span.flags & 1) != 0) out.fixed32_field(16, 1);
    out.end(mark);
}

Blob JaegerToOtlp::finish() {
    close_process();
    return Blob::copy_of(bytes_);
}

}  // namespace spanloom

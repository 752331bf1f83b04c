#include "main/span_table.h"

#include <string_view>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "otlp/json.h"
#include "otlp/view.h"

namespace spanloom {
namespace {

// A cell is taken for a formula where it begins with one of these, or with white space before.
constexpr std::string_view kFormulaStarts = "=+-@\t\r\n";

void append_text(std::string& out, std::string_view text) {
    const bool is_formula =
        !text.empty() && kFormulaStarts.find(text.front()) != std::string_view::npos;
    if (!is_formula && text.find_first_of(",\"\r\n") == std::string_view::npos) {
        out += text;
        return;
    }
    out += '"';
    if (is_formula) out += '\'';
    for (const char c : text) {
        if (c == '"') out += '"';
        out += c;
    }
    out += '"';
}

std::string attributes_text(const otlp::Repeated<otlp::AttributeView>& attributes) {
    std::string text;
    JsonWriter json(text);
    json.begin_object();
    for (const otlp::AttributeView& attribute : attributes) {
        json.key(attribute.key);
        otlp::append_value_json(json, attribute.value, otlp::ValueForm::kPlain);
    }
    json.end_object();
    return text;
}

std::string events_text(const otlp::SpanView& span) {
    std::string text;
    JsonWriter json(text);
    json.begin_array();
    for (const otlp::EventView& event : span.events()) {
        json.begin_object().key("time_unix_nano").quoted(event.time_ns);
        json.field("name", event.name).key("attributes");
        json.raw(attributes_text(event.attributes())).end_object();
    }
    json.end_array();
    return text;
}

std::string links_text(const otlp::SpanView& span) {
    std::string text;
    JsonWriter json(text);
    json.begin_array();
    for (const otlp::LinkView& link : span.links()) {
        json.begin_object().field("trace_id", link.trace_id.hex());
        json.field("span_id", link.span_id.hex()).key("attributes");
        json.raw(attributes_text(link.attributes())).end_object();
    }
    json.end_array();
    return text;
}

std::string_view kind_name(otlp::SpanKind kind) {
    switch (kind) {
        case otlp::SpanKind::kInternal:
            return "internal";
        case otlp::SpanKind::kServer:
            return "server";
        case otlp::SpanKind::kClient:
            return "client";
        case otlp::SpanKind::kProducer:
            return "producer";
        case otlp::SpanKind::kConsumer:
            return "consumer";
        default:
            return "unspecified";
    }
}

std::string_view status_name(otlp::StatusCode status) {
    if (status == otlp::StatusCode::kError) return "error";
    return status == otlp::StatusCode::kOk ? "ok" : "unset";
}

}  // namespace

std::string span_table_header() {
    return "trace_id,span_id,parent_span_id,trace_state,flags,service_name,name,kind,"
           "start_unix_nano,end_unix_nano,duration_nano,status_code,status_message,scope_name,"
           "scope_version,resource_attributes,attributes,events,links,dropped_attributes,"
           "dropped_events,dropped_links\r\n";
}

void append_span_rows(std::string& out, const Batch& batch) {
    for (const SpanRef& ref : batch.spans) {
        const auto span = otlp::SpanView::parse(batch.at(ref.message));
        const ScopeRef& scope_ref = batch.scopes[ref.scope];
        const auto scope = otlp::ScopeView::parse(batch.at(scope_ref.message));
        const auto resource =
            otlp::ResourceView::parse(batch.at(batch.resources[scope_ref.resource].message));
        const auto text = [&](std::string_view value) {
            append_text(out, value);
            out += ',';
        };
        text(span.trace_id.hex());
        text(span.span_id.hex());
        text(span.parent_span_id.is_zero() ? std::string() : span.parent_span_id.hex());
        text(span.trace_state);
        fmt::format_to(std::back_inserter(out), "{},", span.flags);
        text(resource.service_name());
        text(span.name);
        text(kind_name(span.kind));
        fmt::format_to(std::back_inserter(out), "{},{},{},", span.start_ns, span.end_ns,
                       static_cast<int64_t>(span.end_ns - span.start_ns));
        text(status_name(span.status));
        text(span.status_message);
        text(scope.name);
        text(scope.version);
        text(attributes_text(resource.attributes()));
        text(attributes_text(span.attributes()));
        text(events_text(span));
        text(links_text(span));
        fmt::format_to(std::back_inserter(out), "{},{},{}\r\n", span.dropped_attributes,
                       span.dropped_events, span.dropped_links);
    }
}

}  // namespace spanloom

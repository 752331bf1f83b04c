#include "spanloom/in_memory_exporter.h"

#include <mutex>

#include "base/json_writer.h"
#include "base/text.h"
#include "otlp/view.h"

namespace spanloom {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

void write_value(JsonWriter& json, const otlp::ValueView& value) {
    switch (value.type) {
        case otlp::ValueType::kEmpty:
            json.null();
            break;
        case otlp::ValueType::kString:
            json.string(value.bytes);
            break;
        case otlp::ValueType::kBool:
            json.boolean(value.boolean);
            break;
        case otlp::ValueType::kInt:
            json.number(value.integer);
            break;
        case otlp::ValueType::kDouble:
            json.number(value.number);
            break;
        case otlp::ValueType::kArray:
            json.begin_array();
            for (const otlp::ValueView element : value.elements())
                write_value(json, element);
            json.end_array();
            break;
        case otlp::ValueType::kKvlist:
            json.begin_object();
            for (const otlp::AttributeView entry : value.entries()) {
                json.key(entry.key);
                write_value(json, entry.value);
            }
            json.end_object();
            break;
        case otlp::ValueType::kBytes: {
            std::string text;
            append_base64(text, value.bytes);
            json.string(text);
            break;
        }
    }
}

Pairs read_attributes(const otlp::Repeated<otlp::AttributeView>& attributes) {
    Pairs pairs;
    for (const otlp::AttributeView attribute : attributes) {
        std::string text;
        JsonWriter json(text);
        write_value(json, attribute.value);
        pairs.emplace_back(attribute.key, std::move(text));
    }
    return pairs;
}

FinishedSpan read_span(std::string_view message, const otlp::ScopeView& scope) {
    const otlp::SpanView view = otlp::SpanView::parse(message);
    FinishedSpan span;
    span.trace_id = view.trace_id.hex();
    span.span_id = view.span_id.hex();
    if (!view.parent_span_id.is_zero()) span.parent_span_id = view.parent_span_id.hex();
    span.trace_state = view.trace_state;
    span.name = view.name;
    span.kind = static_cast<SpanKind>(view.kind);
    span.flags = view.flags;
    span.start_unix_ns = view.start_ns;
    span.end_unix_ns = view.end_ns;
    span.status = static_cast<StatusCode>(view.status);
    span.status_description = view.status_message;
    span.attributes = read_attributes(view.attributes());
    for (const otlp::EventView event : view.events())
        span.events.push_back({event.time_ns, std::string(event.name),
                               read_attributes(event.attributes()), event.dropped_attributes});
    for (const otlp::LinkView link : view.links())
        span.links.push_back({link.trace_id.hex(), link.span_id.hex(),
                              std::string(link.trace_state), read_attributes(link.attributes()),
                              link.dropped_attributes});
    span.dropped_attributes = view.dropped_attributes;
    span.dropped_events = view.dropped_events;
    span.dropped_links = view.dropped_links;
    span.scope_name = scope.name;
    span.scope_version = scope.version;
    span.message = message;
    return span;
}

}  // namespace

struct InMemoryExporter::State {
    mutable std::mutex mutex;
    std::vector<FinishedSpan> spans;
    std::vector<std::string> requests;
    bool is_shut_down = false;
};

InMemoryExporter::InMemoryExporter() : state_(std::make_unique<State>()) {}
InMemoryExporter::~InMemoryExporter() = default;

ExportResult InMemoryExporter::export_spans(const SpanBatch& batch, Deadline) noexcept {
    const std::lock_guard lock(state_->mutex);
    if (state_->is_shut_down) return ExportResult::failure();
    try {
        for (const SpanGroup& group : batch) {
            const otlp::ScopeView scope = otlp::ScopeView::parse(group.scope);
            for (size_t i = 0; i < group.span_count; ++i)
                state_->spans.push_back(read_span(group.spans[i], scope));
        }
        batch.append_request(state_->requests.emplace_back());
    } catch (...) {  // out of memory
        return ExportResult::failure();
    }
    return ExportResult::success();
}

bool InMemoryExporter::shutdown(Deadline) noexcept {
    const std::lock_guard lock(state_->mutex);
    state_->is_shut_down = true;
    return true;
}

std::vector<FinishedSpan> InMemoryExporter::spans() const {
    const std::lock_guard lock(state_->mutex);
    return state_->spans;
}

std::vector<std::string> InMemoryExporter::requests() const {
    const std::lock_guard lock(state_->mutex);
    return state_->requests;
}

void InMemoryExporter::clear() {
    const std::lock_guard lock(state_->mutex);
    state_->spans.clear();
    state_->requests.clear();
}

std::string FinishedSpan::attribute(std::string_view key) const {
    for (const auto& [of, value] : attributes) {
        if (of == key) return value;
    }
    return {};
}

}  // namespace spanloom

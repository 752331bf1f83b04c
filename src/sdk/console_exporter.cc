#include <cstdio>

#include "base/json_writer.h"
#include "spanloom/exporter.h"
#include "spanloom/in_memory_exporter.h"

namespace spanloom {
namespace {

std::string_view kind_name(SpanKind kind) {
    static constexpr std::string_view kNames[] = {"",       "internal", "server",
                                                  "client", "producer", "consumer"};
    return kNames[static_cast<size_t>(kind)];
}

void write_attributes(JsonWriter& json,
                      const std::vector<std::pair<std::string, std::string>>& attributes) {
    json.key("attributes").begin_object();
    for (const auto& [key, value] : attributes)
        json.key(key).raw(value);
    json.end_object();
}

void write_span(JsonWriter& json, const FinishedSpan& span) {
    json.begin_object();
    json.field("name", span.name);
    json.field("trace_id", span.trace_id);
    json.field("span_id", span.span_id);
    if (!span.parent_span_id.empty()) json.field("parent_span_id", span.parent_span_id);
    if (!span.trace_state.empty()) json.field("trace_state", span.trace_state);
    json.field("kind", kind_name(span.kind));
    json.field("start_unix_ns", span.start_unix_ns);
    json.field("duration_ms", static_cast<double>(span.end_unix_ns - span.start_unix_ns) / 1e6);
    if (span.status == StatusCode::kError) json.field("error", span.status_description);
    json.field("scope", span.scope_name);
    if (!span.attributes.empty()) write_attributes(json, span.attributes);
    if (!span.events.empty()) {
        json.key("events").begin_array();
        for (const FinishedSpan::Event& event : span.events) {
            json.begin_object();
            json.field("name", event.name);
            json.field("time_unix_ns", event.time_unix_ns);
            if (!event.attributes.empty()) write_attributes(json, event.attributes);
            json.end_object();
        }
        json.end_array();
    }
    json.end_object();
}

class ConsoleExporter final : public SpanExporter {
  public:
    ExportResult export_spans(const SpanBatch& batch, Deadline deadline) noexcept override {
        try {
            InMemoryExporter reader;
            reader.export_spans(batch, deadline);
            std::string lines;
            for (const FinishedSpan& span : reader.spans()) {
                JsonWriter json(lines);
                write_span(json, span);
                lines += '\n';
            }
            const bool is_written =
                std::fwrite(lines.data(), 1, lines.size(), stdout) == lines.size() &&
                std::fflush(stdout) == 0;
            return is_written ? ExportResult::success() : ExportResult::failure();
        } catch (...) {  // out of memory
            return ExportResult::failure();
        }
    }
};

}  // namespace

std::shared_ptr<SpanExporter> make_console_exporter() {
    return std::make_shared<ConsoleExporter>();
}

}  // namespace spanloom

#include "spanloom/exporter.h"

#include "otlp/writer.h"

namespace spanloom {
namespace {

class NullExporter final : public SpanExporter {
  public:
    ExportResult export_spans(const SpanBatch&, Deadline) noexcept override {
        return ExportResult::success();
    }
};

}  // namespace

void SpanBatch::append_request(std::string& out) const {
    constexpr size_t kHeadBytesMax = 16;
    size_t bytes = resource.size() + resource_schema_url.size() + 4 * kHeadBytesMax;
    for (const SpanGroup& group : *this)
        bytes += group.scope.size() + group.schema_url.size() + 4 * kHeadBytesMax;
    out.reserve(out.size() + bytes + span_bytes + span_count * kHeadBytesMax);
    otlp::WireWriter writer(out);
    const size_t resource_spans = writer.begin(1);
    writer.bytes_field(1, resource);
    for (const SpanGroup& group : *this) {
        const size_t scope_spans = writer.begin(2);
        writer.bytes_field(1, group.scope);
        for (size_t i = 0; i < group.span_count; ++i)
            writer.bytes_field(2, group.spans[i]);
        if (!group.schema_url.empty()) writer.bytes_field(3, group.schema_url);
        writer.end(scope_spans);
    }
    if (!resource_schema_url.empty()) writer.bytes_field(3, resource_schema_url);
    writer.end(resource_spans);
}

std::shared_ptr<SpanExporter> make_null_exporter() {
    return std::make_shared<NullExporter>();
}

}  // namespace spanloom

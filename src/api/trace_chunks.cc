#include "api/trace_chunks.h"

#include <optional>
#include <string>

#include "otlp/writer.h"

namespace spanloom::api {
namespace {

// Writes spans one after another, opening and closing what is around them.
class ChunkWriter {
  public:
    explicit ChunkWriter(const Batch& trace) : trace_(trace) {}

    void add(const SpanRef& span) {
        const ScopeRef& scope = trace_.scopes[span.scope];
        const ResourceRef& resource = trace_.resources[scope.resource];
        if (resource_.index != scope.resource) close_resource();
        if (scope_.index != span.scope) close(scope_);
        if (!resource_.index)
            open(resource_, scope.resource, resource.message, resource.schema_url);
        if (!scope_.index) open(scope_, span.scope, scope.message, scope.schema_url);
        otlp::WireWriter(bytes_).bytes_field(2, trace_.at(span.message));
    }
    size_t size() const { return bytes_.size(); }
    // What was written; leaves it empty.
    std::string finish() {
        close_resource();
        return std::exchange(bytes_, {});
    }

  private:
    // ResourceSpans and ScopeSpans: {1 resource or scope, 2 what is inside, 3 schema_url}.
    struct Level {
        uint32_t field;  // of the message around it
        std::optional<uint32_t> index;
        size_t mark = 0;
        ByteRange schema_url;
    };

    void open(Level& level, uint32_t index, ByteRange message, ByteRange schema_url) {
        otlp::WireWriter out(bytes_);
        level.index = index;
        level.mark = out.begin(level.field);
        level.schema_url = schema_url;
        if (message.size > 0) out.bytes_field(1, trace_.at(message));
    }
    void close(Level& level) {
        if (!level.index) return;
        otlp::WireWriter out(bytes_);
        if (level.schema_url.size > 0) out.bytes_field(3, trace_.at(level.schema_url));
        out.end(level.mark);
        level.index.reset();
    }
    void close_resource() {
        close(scope_);
        close(resource_);
    }

    const Batch& trace_;
    std::string bytes_;
    Level resource_{1, {}, 0, {}};
    Level scope_{2, {}, 0, {}};
};

}  // namespace

void for_each_chunk(const Batch& trace, size_t bytes_max,
                    const std::function<bool(std::string_view)>& send) {
    ChunkWriter writer(trace);
    for (const SpanRef& span : trace.spans) {
        if (writer.size() > 0 && writer.size() + span.message.size > bytes_max &&
            !send(writer.finish()))
            return;
        writer.add(span);
    }
    if (writer.size() > 0) send(writer.finish());
}

}  // namespace spanloom::api

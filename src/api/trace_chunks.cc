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
        if (resource_ != scope.resource) close_resource();
        if (scope_ != span.scope) close_scope();
        if (!resource_) open_resource(scope.resource);
        if (!scope_) open_scope(span.scope);
        otlp::WireWriter(bytes_).bytes_field(2, trace_.at(span.message));
    }
    size_t size() const { return bytes_.size(); }
    // What was written; leaves it empty.
    std::string finish() {
        close_resource();
        return std::exchange(bytes_, {});
    }

  private:
    void open_resource(uint32_t index) {
        const ResourceRef& resource = trace_.resources[index];
        otlp::WireWriter out(bytes_);
        resource_ = index;
        resource_mark_ = out.begin(1);
        if (resource.message.size > 0) out.bytes_field(1, trace_.at(resource.message));
    }
    void open_scope(uint32_t index) {
        const ScopeRef& scope = trace_.scopes[index];
        otlp::WireWriter out(bytes_);
        scope_ = index;
        scope_mark_ = out.begin(2);
        if (scope.message.size > 0) out.bytes_field(1, trace_.at(scope.message));
    }
    void close_scope() {
        if (!scope_) return;
        otlp::WireWriter out(bytes_);
        const ByteRange url = trace_.scopes[*scope_].schema_url;
        if (url.size > 0) out.bytes_field(3, trace_.at(url));
        out.end(scope_mark_);
        scope_.reset();
    }
    void close_resource() {
        close_scope();
        if (!resource_) return;
        otlp::WireWriter out(bytes_);
        const ByteRange url = trace_.resources[*resource_].schema_url;
        if (url.size > 0) out.bytes_field(3, trace_.at(url));
        out.end(resource_mark_);
        resource_.reset();
    }

    const Batch& trace_;
    std::string bytes_;
    std::optional<uint32_t> resource_;
    std::optional<uint32_t> scope_;
    size_t resource_mark_ = 0;
    size_t scope_mark_ = 0;
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

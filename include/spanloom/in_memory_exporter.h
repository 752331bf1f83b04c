#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "spanloom/exporter.h"
#include "spanloom/processor.h"

namespace spanloom {

// A span as tests want to see it: everything by value, ids as text.
struct FinishedSpan {
    struct Event {
        uint64_t time_unix_ns = 0;
        std::string name;
        std::vector<std::pair<std::string, std::string>> attributes;
        uint32_t dropped_attributes = 0;
    };
    struct Link {
        std::string trace_id;
        std::string span_id;
        std::string trace_state;
        std::vector<std::pair<std::string, std::string>> attributes;
        uint32_t dropped_attributes = 0;
    };

    std::string trace_id;
    std::string span_id;
    std::string parent_span_id;  // "": a root
    std::string trace_state;
    std::string name;
    SpanKind kind = SpanKind::kInternal;
    uint32_t flags = 0;  // as on the wire: trace flags, and whether the parent is remote
    uint64_t start_unix_ns = 0;
    uint64_t end_unix_ns = 0;
    StatusCode status = StatusCode::kUnset;
    std::string status_description;
    std::vector<std::pair<std::string, std::string>> attributes;  // values as JSON
    std::vector<Event> events;
    std::vector<Link> links;
    uint32_t dropped_attributes = 0;
    uint32_t dropped_events = 0;
    uint32_t dropped_links = 0;
    std::string scope_name;
    std::string scope_version;
    std::string message;  // the serialised Span

    // The value of an attribute as JSON ("\"text\"", "3", "true"); "" where it is absent.
    std::string attribute(std::string_view key) const;
};

// Keeps what it is given, for tests. Thread-safe.
class InMemoryExporter : public SpanExporter {
  public:
    InMemoryExporter();
    ~InMemoryExporter() override;

    ExportResult export_spans(const SpanBatch& batch, Deadline deadline) noexcept override;
    bool shutdown(Deadline deadline) noexcept override;

    std::vector<FinishedSpan> spans() const;
    // The requests as they would go out.
    std::vector<std::string> requests() const;
    void clear();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace spanloom

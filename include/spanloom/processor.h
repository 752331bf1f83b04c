#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "spanloom/context.h"
#include "spanloom/exporter.h"
#include "spanloom/function_ref.h"
#include "spanloom/resource.h"
#include "spanloom/span.h"

namespace spanloom {

// A value as it stands in an encoded span, for readers.
struct ReadValue {
    AttributeValue::Type type = AttributeValue::Type::kEmpty;  // kArray and kMap for nested ones
    bool boolean = false;
    int64_t integer = 0;
    double number = 0;
    std::string_view bytes;    // text, bytes
    std::string_view message;  // the whole serialised AnyValue

    void for_each_element(FunctionRef<void(const ReadValue&)> visit) const;
    void for_each_entry(FunctionRef<void(std::string_view key, const ReadValue&)> visit) const;
};

struct ReadEvent {
    uint64_t time_unix_ns = 0;
    std::string_view name;
    uint32_t dropped_attributes = 0;
    std::string_view message;

    void for_each_attribute(FunctionRef<void(std::string_view key, const ReadValue&)> visit) const;
};

struct ReadLink {
    SpanContext context;
    uint32_t dropped_attributes = 0;
    std::string_view message;

    void for_each_attribute(FunctionRef<void(std::string_view key, const ReadValue&)> visit) const;
};

// What a span's tracer is called, and where the span came from.
struct SpanSource {
    std::string_view scope_name;
    std::string_view scope_version;
    std::string_view scope;  // a serialised InstrumentationScope
    std::string_view scope_schema_url;
    const Resource* resource = nullptr;
    const void* tracer = nullptr;  // equal for spans of one tracer
};

// A finished span (or, in on_ending, one that is about to be), read from its OTLP bytes in place.
// A view: valid for the length of the call. To pass on a changed span, make another over changed
// bytes and hand that to the next processor.
class ReadableSpan {
  public:
    ReadableSpan(std::string_view message, const SpanContext& context,
                 const SpanSource& source) noexcept
        : message_(message), context_(&context), source_(&source) {}

    std::string_view message() const noexcept { return message_; }  // a serialised Span
    const SpanContext& context() const noexcept { return *context_; }
    const SpanSource& source() const noexcept { return *source_; }

    SpanId parent_span_id() const noexcept;
    std::string_view name() const noexcept;
    SpanKind kind() const noexcept;
    uint64_t start_unix_ns() const noexcept;
    uint64_t end_unix_ns() const noexcept;
    uint64_t duration_ns() const noexcept;
    StatusCode status() const noexcept;
    std::string_view status_description() const noexcept;
    uint32_t dropped_attributes() const noexcept;
    uint32_t dropped_events() const noexcept;
    uint32_t dropped_links() const noexcept;
    // kEmpty where absent.
    ReadValue attribute(std::string_view key) const noexcept;
    void for_each_attribute(FunctionRef<void(std::string_view key, const ReadValue&)> visit) const;
    void for_each_event(FunctionRef<void(const ReadEvent&)> visit) const;
    void for_each_link(FunctionRef<void(const ReadLink&)> visit) const;

  private:
    std::string_view message_;
    const SpanContext* context_;
    const SpanSource* source_;
};

// Counts since the start of the process; of one processor, or summed over a provider's.
struct ProcessorStats {
    uint64_t received = 0;
    uint64_t exported = 0;                // the exporter took them
    uint64_t rejected = 0;                // taken, but the receiver would not (partial success)
    uint64_t failed = 0;                  // the exporter gave up on them
    uint64_t dropped_queue_full = 0;      // the budget was used up
    uint64_t dropped_after_shutdown = 0;  // ended too late
    uint64_t dropped_at_shutdown = 0;     // still waiting when the deadline passed
    uint64_t dropped_too_big = 0;
    uint64_t queued = 0;  // now
    uint64_t queue_bytes = 0;
    uint64_t queue_bytes_max = 0;

    ProcessorStats& operator+=(const ProcessorStats& other) noexcept;
};

// Sees spans as they start and end, on the threads that do it, all at once; must not throw or
// block. Only sampled and record-only spans come here.
class SpanProcessor {
  public:
    virtual ~SpanProcessor() = default;

    // Which calls it wants; asked once. Those nobody wants cost nothing.
    enum Interest : unsigned { kOnStart = 1, kOnEnding = 2, kOnEnd = 4 };
    virtual unsigned interests() const noexcept { return kOnStart | kOnEnding | kOnEnd; }

    // The span may be changed, read through its context, and not be kept.
    virtual void on_start(Span&, const Context& /*parent*/) noexcept {}
    // The span ends but may still be changed.
    virtual void on_ending(Span&) noexcept {}
    virtual void on_end(const ReadableSpan&) noexcept {}
    // Both return by the deadline, true where all was done.
    virtual bool force_flush(Deadline) noexcept { return true; }
    virtual bool shutdown(Deadline) noexcept { return true; }
    virtual ProcessorStats stats() const noexcept { return {}; }
    // In the child of a fork; no other thread runs.
    virtual void after_fork_in_child() noexcept {}
};

// The specification's knobs, and a budget in bytes. 0: the default.
struct BatchOptions {
    Duration schedule_delay = Duration::from_ms(5'000);
    Duration export_timeout = Duration::from_ms(30'000);
    uint32_t export_batch_max = 512;
    // Spans that may wait. 0: no limit in spans, only in bytes.
    uint32_t queue_spans_max = 0;
    uint64_t queue_bytes_max = 16U << 20;
};

// Gathers spans without lock or allocation on the callers' threads and exports them from one of its
// own, which is started by the first span.
std::shared_ptr<SpanProcessor> make_batch_processor(std::shared_ptr<SpanExporter> exporter,
                                                    BatchOptions options = {});
// Exports each span as it ends, on the caller's thread, one at a time: for tests and short tools.
std::shared_ptr<SpanProcessor> make_simple_processor(
    std::shared_ptr<SpanExporter> exporter, Duration export_timeout = Duration::from_ms(30'000));
// Hands everything to each, in order.
std::shared_ptr<SpanProcessor> make_multi_processor(
    std::vector<std::shared_ptr<SpanProcessor>> processors);

}  // namespace spanloom

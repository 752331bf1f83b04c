#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/random.h"
#include "otlp/ids.h"
#include "otlp/view.h"

// One trace of the demonstration shop while it is being made up. Times are nanoseconds since the
// trace began; they become wall clock when it is written.
namespace spanloom::demo {

enum class Service : uint8_t {
    kFrontend,
    kCart,
    kCheckout,
    kPayment,
    kCatalog,
    kShipping,
    kRecommendation,
    kOrders,
};
constexpr size_t kServices = 8;
constexpr size_t kPodsPerService = 3;
constexpr uint64_t kMs = 1'000'000;

using Value = std::variant<std::string, int64_t, double, bool>;
using Attributes = std::vector<std::pair<std::string_view, Value>>;  // keys are literals

struct Event {
    uint64_t at_ns = 0;
    std::string name;
    Attributes attributes;
};

struct Link {
    TraceId trace_id;
    SpanId span_id;
    Attributes attributes;
};

struct Span {
    SpanId id;
    SpanId parent_id;
    Service service = Service::kFrontend;
    otlp::SpanKind kind = otlp::SpanKind::kInternal;
    std::string name;
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    bool is_parent_remote = false;
    bool is_lost = false;  // never sent: its children have a parent that nobody knows
    Attributes attributes;
    std::vector<Event> events;
    std::vector<Link> links;
    otlp::StatusCode status = otlp::StatusCode::kUnset;
    std::string status_message;

    void set(std::string_view key, Value value) { attributes.emplace_back(key, std::move(value)); }
    void fail(std::string message) {
        status = otlp::StatusCode::kError;
        status_message = std::move(message);
    }
};

// Spans by index: references do not survive the next `add`.
class Trace {
  public:
    static constexpr size_t kNone = ~size_t{0};

    explicit Trace(Random& random);

    size_t add(size_t parent, Service service, otlp::SpanKind kind, std::string name,
               uint64_t start_ns);
    Span& at(size_t index) { return spans_[index]; }
    void end(size_t index, uint64_t end_ns) { spans_[index].end_ns = end_ns; }

    const TraceId& id() const { return id_; }
    const std::vector<Span>& spans() const { return spans_; }
    size_t pod(Service service) const { return pods_[static_cast<size_t>(service)]; }
    uint64_t length_ns() const;
    Random& random() { return random_; }
    // About this many milliseconds: mostly near it, seldom several times as much.
    uint64_t about_ms(double milliseconds);

  private:
    Random& random_;
    TraceId id_;
    std::array<size_t, kServices> pods_;
    std::vector<Span> spans_;
};

// Gathers traces into one ExportTraceServiceRequest, spans below the pod that made them.
class RequestBuilder {
  public:
    // The trace ends at `end_ns`. The number of spans written.
    size_t add(const Trace& trace, uint64_t end_ns);
    std::string finish();

  private:
    std::array<std::string, kServices * kPodsPerService> spans_;  // as fields of ScopeSpans
};

std::string_view name_of(Service service);

}  // namespace spanloom::demo

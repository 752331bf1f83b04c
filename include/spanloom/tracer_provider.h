#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "spanloom/attribute.h"
#include "spanloom/processor.h"
#include "spanloom/resource.h"
#include "spanloom/sampler.h"
#include "spanloom/span_limits.h"
#include "spanloom/timestamp.h"
#include "spanloom/tracer.h"

namespace spanloom {

namespace detail {
class ProviderCore;
struct ProviderAccess;
}  // namespace detail

// Makes ids, where the SDK's own random ones are not wanted. Called by all threads at once.
class IdGenerator {
  public:
    virtual ~IdGenerator() = default;
    virtual TraceId make_trace_id() noexcept = 0;
    virtual SpanId make_span_id() noexcept = 0;
    // The last 7 bytes of its trace ids are uniformly random: sets the W3C random flag.
    virtual bool is_random() const noexcept { return false; }
};

// Settings of one tracer, by its name.
struct TracerConfig {
    bool is_enabled = true;
    Duration duration_min = {};  // as ProviderOptions'; the longer of the two counts
};

// Tells what the SDK notices about the program: context that was lost, spans that never end, spans
// in masses, exports that fail. Called from threads of the SDK and of the program; must not start
// spans (they would be suppressed) or block for long.
using DiagnosticCallback = void (*)(std::string_view message, void* user);

// Finds misuse while a program is developed; spans cost a few hundred nanoseconds more. Reported
// are spans that begin on a thread without a context while server (or consumer) spans are live,
// spans that live longer than a limit, and those that never end.
struct DebugOptions {
    bool is_enabled = false;  // or OTEL_LOG_LEVEL=debug
    Duration span_alive_max = Duration::from_ms(60'000);
};

struct ProviderOptions {
    Resource resource = {};
    std::shared_ptr<Sampler> sampler = {};  // absent: parent-based, always on
    std::vector<std::shared_ptr<SpanProcessor>> processors = {};
    SpanLimits limits = {};
    std::shared_ptr<IdGenerator> id_generator = {};
    // Rules for tracers by name, first match wins; `*` stands for any text, `?` for one byte.
    std::vector<std::pair<std::string, TracerConfig>> tracers = {};
    // Shorter spans are left out. Not errors, nor what begins the work in this process, nor client
    // and producer spans (their ids have gone out), nor spans with a child that is kept or still
    // live: what is kept stays connected.
    Duration duration_min = {};
    // Spans of one trace in this process beyond which it is reported, with the name that most of
    // them have; further ones of this name are left out of the trace (their parent takes their
    // children). Limits above 255 hold about, not exactly. 0: none.
    uint32_t trace_spans_max = 10'000;
    DebugOptions debug = {};
    DiagnosticCallback diagnostic = nullptr;  // absent: a line on standard error
    void* diagnostic_user = nullptr;
};

// Self-metrics: what became of every span of a provider.
struct ProviderStats {
    uint64_t started = 0;      // recorded or sampled
    uint64_t not_sampled = 0;  // started and sampled out
    uint64_t ended = 0;
    uint64_t live = 0;             // started - ended, of those that are recorded
    uint64_t filtered = 0;         // ended, shorter than wanted
    uint64_t too_many = 0;         // not started: of a name that fills its trace
    uint64_t dropped_letters = 0;  // of handles of other threads
    // Spans started after the shutdown, and what handles said to spans that had ended.
    uint64_t late_calls = 0;
    ProcessorStats processors = {};  // sums
};

// Owns samplers, limits and processors, and makes tracers. A handle: copies are the same provider.
// A provider is shut down where `shutdown` is called; it is not by the last handle going away.
// Thread-safe.
class TracerProvider {
  public:
    // A no-op.
    TracerProvider() noexcept = default;
    static TracerProvider create(ProviderOptions options);

    // The process's provider; tracers taken from it before it is set work afterwards.
    static TracerProvider global() noexcept;
    static void set_global(TracerProvider provider) noexcept;

    Tracer get_tracer(std::string_view name, std::string_view version = {},
                      std::string_view schema_url = {}, AttributeList attributes = {}) noexcept;
    // For a whole process, and soon: 30 s unless said.
    bool force_flush(Deadline deadline = Duration::from_ms(30'000)) noexcept;
    // Flushes, ends processors and exporters; returns by the deadline whatever they do. True where
    // everything was sent. Spans started or ended later are no-ops and counted.
    bool shutdown(Deadline deadline = Duration::from_ms(30'000)) noexcept;
    ProviderStats stats() const noexcept;
    const Resource& resource() const noexcept;
    bool is_no_op() const noexcept { return core_ == nullptr; }

  private:
    friend struct detail::ProviderAccess;
    enum class Place : uint8_t { kOwn, kGlobal };
    TracerProvider(detail::ProviderCore* core, Place place) noexcept : core_(core), place_(place) {}

    detail::ProviderCore* core_ = nullptr;
    Place place_ = Place::kOwn;
};

// A tracer of the global provider.
inline Tracer get_tracer(std::string_view name, std::string_view version = {}) noexcept {
    return TracerProvider::global().get_tracer(name, version);
}

}  // namespace spanloom

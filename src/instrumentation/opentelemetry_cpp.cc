#include "spanloom/instrumentation/opentelemetry_cpp.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <limits>
#include <mutex>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <opentelemetry/context/runtime_context.h>
#include <opentelemetry/trace/context.h>
#include <opentelemetry/trace/provider.h>
#include <opentelemetry/trace/span.h>
#include <opentelemetry/trace/tracer.h>
#include <opentelemetry/trace/tracer_provider.h>
#include <opentelemetry/version.h>

#include "spanloom/span.h"
#include "spanloom/tracer.h"

#if OPENTELEMETRY_VERSION_MAJOR == 1 && OPENTELEMETRY_VERSION_MINOR < 13
#error "spanloom::opentelemetry_cpp needs the API of opentelemetry-cpp 1.13 or newer"
#endif
// Tracers are flushed and closed in version 1 of the ABI, and before 1.16 in version 2 as well.
#if OPENTELEMETRY_ABI_VERSION_NO == 1 || \
    (OPENTELEMETRY_VERSION_MAJOR == 1 && OPENTELEMETRY_VERSION_MINOR < 16)
#define SPANLOOM_OTEL_TRACER_CLOSES 1
#endif

// C++17, and no header of src/: it is compiled in the user's program.
namespace spanloom {
namespace {

namespace otel = opentelemetry;
using otel::common::KeyValueIterable;
using OtelSpan = otel::nostd::shared_ptr<otel::trace::Span>;

std::string_view view(otel::nostd::string_view text) noexcept {
    return {text.data(), text.size()};
}

Timestamp timestamp(otel::common::SystemTimestamp time) noexcept {
    const auto ns = time.time_since_epoch().count();
    return Timestamp::from_unix_ns(ns > 0 ? static_cast<uint64_t>(ns) : 0);
}

// Their end time is of the steady clock.
Timestamp timestamp(otel::common::SteadyTimestamp time) noexcept {
    if (time.time_since_epoch().count() == 0) return {};
    const auto age = std::chrono::steady_clock::now().time_since_epoch() - time.time_since_epoch();
    return Timestamp(std::chrono::system_clock::now() -
                     std::chrono::duration_cast<std::chrono::system_clock::duration>(age));
}

SpanContext from_otel(const otel::trace::SpanContext& context) {
    TraceId trace_id;
    SpanId span_id;
    std::copy_n(context.trace_id().Id().data(), trace_id.bytes.size(), trace_id.bytes.begin());
    std::copy_n(context.span_id().Id().data(), span_id.bytes.size(), span_id.bytes.begin());
    TraceState state;
    if (context.trace_state() != nullptr && !context.trace_state()->Empty()) {
        state = TraceState::parse(context.trace_state()->ToHeader());
    }
    return {trace_id, span_id, TraceFlags{context.trace_flags().flags()}, std::move(state),
            context.IsRemote()};
}

otel::trace::SpanContext to_otel(const SpanContext& context) {
    const otel::trace::TraceId trace_id(
        otel::nostd::span<const uint8_t, 16>(context.trace_id().bytes.data(), 16));
    const otel::trace::SpanId span_id(
        otel::nostd::span<const uint8_t, 8>(context.span_id().bytes.data(), 8));
    const otel::trace::TraceFlags flags(context.flags().bits);
    if (context.trace_state().empty()) return {trace_id, span_id, flags, context.is_remote()};
    const std::string_view state = context.trace_state().text();
    return {trace_id, span_id, flags, context.is_remote(),
            otel::trace::TraceState::FromHeader({state.data(), state.size()})};
}

// Attributes of one call in our terms: views of theirs, and what has to be turned.
class Attributes {
  public:
    Attributes() = default;
    explicit Attributes(const KeyValueIterable& all) { add(all); }
    Attributes(const Attributes&) = delete;
    Attributes& operator=(const Attributes&) = delete;

    void add(const KeyValueIterable& all) {
        all.ForEachKeyValue([this](otel::nostd::string_view key,
                                   const otel::common::AttributeValue& value) noexcept {
            list_.push_back({view(key), convert(value)});
            return true;
        });
    }
    AttributeValue convert(const otel::common::AttributeValue& value) {
        return otel::nostd::visit([this](const auto& held) { return turn(held); }, value);
    }
    AttributeList list() const { return {list_.data(), list_.size()}; }

  private:
    static AttributeValue turn(const char* text) { return text; }
    static AttributeValue turn(otel::nostd::string_view text) { return view(text); }
    template <typename T, std::enable_if_t<std::is_arithmetic<T>::value, int> = 0>
    static AttributeValue turn(T value) {
        return value;
    }
    template <typename T>
    AttributeValue turn(const otel::nostd::span<const T>& values) {
        if constexpr (std::is_same<T, otel::nostd::string_view>::value) {
            auto& turned = texts_.emplace_back();
            for (const auto& text : values)
                turned.push_back(view(text));
            return AttributeValue(turned);
        } else if constexpr (std::is_same<T, uint32_t>::value || std::is_same<T, uint64_t>::value) {
            auto& turned = numbers_.emplace_back();
            for (const T number : values)
                turned.push_back(static_cast<int64_t>(
                    std::min<uint64_t>(number, std::numeric_limits<int64_t>::max())));
            return AttributeValue(turned);
        } else {
            return AttributeValue(values);
        }
    }

    std::vector<Attribute> list_;
    std::deque<std::vector<std::string_view>> texts_;
    std::deque<std::vector<int64_t>> numbers_;
};

// A span of ours behind their interface, which any thread may use at any time; calls are short, so
// a waiting one only yields.
class AdaptedSpan final : public otel::trace::Span {
  private:
    template <typename Use>
    auto locked(Use use) const {
        while (lock_.test_and_set(std::memory_order_acquire))
            std::this_thread::yield();
        struct Unlock {
            std::atomic_flag& flag;
            ~Unlock() { flag.clear(std::memory_order_release); }
        } unlock{lock_};
        return use(span_);
    }

  public:
    explicit AdaptedSpan(spanloom::Span span) : span_(std::move(span)) {}

    void SetAttribute(otel::nostd::string_view key,
                      const otel::common::AttributeValue& value) noexcept override {
        Attributes turned;
        const AttributeValue ours = turned.convert(value);
        locked([&](spanloom::Span& span) { span.set_attribute(view(key), ours); });
    }
    void AddEvent(otel::nostd::string_view name) noexcept override {
        locked([&](spanloom::Span& span) { span.add_event(view(name)); });
    }
    void AddEvent(otel::nostd::string_view name,
                  otel::common::SystemTimestamp time) noexcept override {
        locked([&](spanloom::Span& span) { span.add_event(view(name), {}, timestamp(time)); });
    }
    void AddEvent(otel::nostd::string_view name, otel::common::SystemTimestamp time,
                  const KeyValueIterable& attributes) noexcept override {
        const Attributes turned(attributes);
        locked([&](spanloom::Span& span) {
            span.add_event(view(name), turned.list(), timestamp(time));
        });
    }
    using otel::trace::Span::AddEvent;
#if OPENTELEMETRY_ABI_VERSION_NO >= 2
    void AddLink(const otel::trace::SpanContext& target,
                 const KeyValueIterable& attributes) noexcept override {
        const Attributes turned(attributes);
        locked([&](spanloom::Span& span) { span.add_link(from_otel(target), turned.list()); });
    }
    void AddLinks(const otel::trace::SpanContextKeyValueIterable& links) noexcept override {
        links.ForEachKeyValue([this](const otel::trace::SpanContext& target,
                                     const KeyValueIterable& attributes) noexcept {
            AddLink(target, attributes);
            return true;
        });
    }
#endif
    void SetStatus(otel::trace::StatusCode code,
                   otel::nostd::string_view description) noexcept override {
        locked([&](spanloom::Span& span) {
            span.set_status(static_cast<StatusCode>(code), view(description));
        });
    }
    void UpdateName(otel::nostd::string_view name) noexcept override {
        locked([&](spanloom::Span& span) { span.update_name(view(name)); });
    }
    void End(const otel::trace::EndSpanOptions& options) noexcept override {
        const Timestamp time = timestamp(options.end_steady_time);
        locked([&](spanloom::Span& span) { span.end(time); });
    }
    otel::trace::SpanContext GetContext() const noexcept override {
        return to_otel(span_.context());
    }
    bool IsRecording() const noexcept override {
        return locked([](const spanloom::Span& span) { return span.is_recording(); });
    }
    Context with(const Context& context) const {
        return locked([&](const spanloom::Span& span) { return context.with_span(span); });
    }

  private:
    mutable std::atomic_flag lock_ = ATOMIC_FLAG_INIT;
    mutable spanloom::Span span_;
};

// The span that spanloom's own API made active, for their callers. Cannot end it.
class BorrowedSpan final : public otel::trace::Span {
  public:
    explicit BorrowedSpan(SpanHandle span) : span_(std::move(span)) {}

    void SetAttribute(otel::nostd::string_view key,
                      const otel::common::AttributeValue& value) noexcept override {
        Attributes turned;
        span_.set_attribute(view(key), turned.convert(value));
    }
    void AddEvent(otel::nostd::string_view name) noexcept override { span_.add_event(view(name)); }
    void AddEvent(otel::nostd::string_view name,
                  otel::common::SystemTimestamp time) noexcept override {
        span_.add_event(view(name), {}, timestamp(time));
    }
    void AddEvent(otel::nostd::string_view name, otel::common::SystemTimestamp time,
                  const KeyValueIterable& attributes) noexcept override {
        const Attributes turned(attributes);
        span_.add_event(view(name), turned.list(), timestamp(time));
    }
    using otel::trace::Span::AddEvent;
#if OPENTELEMETRY_ABI_VERSION_NO >= 2
    void AddLink(const otel::trace::SpanContext& target,
                 const KeyValueIterable& attributes) noexcept override {
        const Attributes turned(attributes);
        span_.add_link(from_otel(target), turned.list());
    }
    void AddLinks(const otel::trace::SpanContextKeyValueIterable& links) noexcept override {
        links.ForEachKeyValue([this](const otel::trace::SpanContext& target,
                                     const KeyValueIterable& attributes) noexcept {
            AddLink(target, attributes);
            return true;
        });
    }
#endif
    void SetStatus(otel::trace::StatusCode code,
                   otel::nostd::string_view description) noexcept override {
        span_.set_status(static_cast<StatusCode>(code), view(description));
    }
    void UpdateName(otel::nostd::string_view name) noexcept override {
        span_.update_name(view(name));
    }
    void End(const otel::trace::EndSpanOptions&) noexcept override {}
    otel::trace::SpanContext GetContext() const noexcept override {
        return to_otel(span_.context());
    }
    bool IsRecording() const noexcept override { return span_.is_recording(); }

  private:
    SpanHandle span_;
};

bool is_root(const otel::context::Context& context) {
    const otel::context::ContextValue value = context.GetValue(otel::trace::kIsRootSpanKey);
    return otel::nostd::holds_alternative<bool>(value) && otel::nostd::get<bool>(value);
}

// Our context with their context's span as the active one.
Context with_span_of(const Context& ours, const otel::context::Context& theirs) {
    const OtelSpan span = otel::trace::GetSpan(theirs);
    if (const auto* adapted = dynamic_cast<const AdaptedSpan*>(span.get())) {
        return adapted->with(ours);
    }
    const SpanContext context = from_otel(span->GetContext());
    // A borrowed span is active in ours already, with more than its ids.
    return context == ours.span_context() ? ours : ours.with_span_context(context);
}

// Their stack of contexts beside ours, so that each API sees what the other made active.
class SharedContextStorage final : public otel::context::RuntimeContextStorage {
  public:
    otel::context::Context GetCurrent() noexcept override {
        const std::vector<Entry>& entries = stack();
        otel::context::Context theirs =
            entries.empty() ? otel::context::Context() : entries.back().theirs;
        const SpanContext known = entries.empty() ? SpanContext() : entries.back().span_context;
        const Context ours = Context::current();
        if (ours.span_context() == known) return theirs;
        return theirs.SetValue(otel::trace::kSpanKey, OtelSpan(new BorrowedSpan(ours.span())));
    }
    otel::nostd::unique_ptr<otel::context::Token> Attach(
        const otel::context::Context& context) noexcept override {
        const Context ours = with_span_of(Context::current(), context);
        stack().push_back({context, ours.span_context(), Scope(ours)});
        return CreateToken(context);
    }
    bool Detach(otel::context::Token& token) noexcept override {
        std::vector<Entry>& entries = stack();
        const auto found = std::find_if(entries.rbegin(), entries.rend(),
                                        [&](const Entry& entry) { return token == entry.theirs; });
        if (found == entries.rend()) return false;
        // Those above it were forgotten by whoever attached them.
        while (&entries.back() != &*found)
            entries.pop_back();
        entries.pop_back();
        return true;
    }

  private:
    struct Entry {
        otel::context::Context theirs;
        SpanContext span_context;  // as active in ours
        Scope scope;
    };
    static std::vector<Entry>& stack() noexcept {
        thread_local std::vector<Entry> entries;
        return entries;
    }
};

class AdaptedTracer final : public otel::trace::Tracer {
  public:
    AdaptedTracer(TracerProvider provider, spanloom::Tracer tracer)
        : provider_(provider), tracer_(tracer) {}

    OtelSpan StartSpan(otel::nostd::string_view name, const KeyValueIterable& attributes,
                       const otel::trace::SpanContextKeyValueIterable& links,
                       const otel::trace::StartSpanOptions& options) noexcept override;
#ifdef SPANLOOM_OTEL_TRACER_CLOSES
    void ForceFlushWithMicroseconds(uint64_t timeout) noexcept override {
        provider_.force_flush(duration(timeout));
    }
    void CloseWithMicroseconds(uint64_t timeout) noexcept override {
        provider_.force_flush(duration(timeout));
    }
#endif

  private:
    static Duration duration(uint64_t microseconds) {
        return Duration(std::chrono::microseconds(static_cast<int64_t>(
            std::min<uint64_t>(microseconds, std::numeric_limits<int64_t>::max()))));
    }
    static Context parent_of(const otel::trace::StartSpanOptions& options);

    TracerProvider provider_;
    spanloom::Tracer tracer_;
};

Context AdaptedTracer::parent_of(const otel::trace::StartSpanOptions& options) {
    const auto* remote = otel::nostd::get_if<otel::trace::SpanContext>(&options.parent);
    if (remote != nullptr) {
        if (remote->IsValid()) return Context::current().with_span_context(from_otel(*remote));
        return with_span_of(Context::current(), otel::context::RuntimeContext::GetCurrent());
    }
    const auto& context = otel::nostd::get<otel::context::Context>(options.parent);
    if (is_root(context)) return Context::current().with_span_context(SpanContext());
    // Empty by default: then it is the thread's.
    const bool has_span = context.HasKey(otel::trace::kSpanKey);
    return with_span_of(Context::current(),
                        has_span ? context : otel::context::RuntimeContext::GetCurrent());
}

OtelSpan AdaptedTracer::StartSpan(otel::nostd::string_view name, const KeyValueIterable& attributes,
                                  const otel::trace::SpanContextKeyValueIterable& links,
                                  const otel::trace::StartSpanOptions& options) noexcept {
    const Attributes turned(attributes);
    std::deque<Attributes> link_attributes;
    std::vector<Link> turned_links;
    links.ForEachKeyValue([&](const otel::trace::SpanContext& target,
                              const KeyValueIterable& of_link) noexcept {
        turned_links.push_back({from_otel(target), link_attributes.emplace_back(of_link).list()});
        return true;
    });
    SpanOptions ours;
    ours.kind = static_cast<SpanKind>(static_cast<int>(options.kind) + 1);
    ours.parent = parent_of(options);
    ours.attributes = turned.list();
    ours.links = turned_links;
    ours.start_time = timestamp(options.start_system_time);
    return OtelSpan(new AdaptedSpan(tracer_.start_span(view(name), ours)));
}

class AdaptedProvider final : public otel::trace::TracerProvider {
  public:
    explicit AdaptedProvider(spanloom::TracerProvider provider) : provider_(provider) {}

#if OPENTELEMETRY_ABI_VERSION_NO >= 2
    otel::nostd::shared_ptr<otel::trace::Tracer> GetTracer(
        otel::nostd::string_view name, otel::nostd::string_view version,
        otel::nostd::string_view schema_url, const KeyValueIterable* attributes) noexcept override {
        Attributes turned;
        if (attributes != nullptr) turned.add(*attributes);
        return make(
            provider_.get_tracer(view(name), view(version), view(schema_url), turned.list()));
    }
#else
    otel::nostd::shared_ptr<otel::trace::Tracer> GetTracer(
        otel::nostd::string_view name, otel::nostd::string_view version,
        otel::nostd::string_view schema_url) noexcept override {
        return make(provider_.get_tracer(view(name), view(version), view(schema_url)));
    }
#endif

  private:
    otel::nostd::shared_ptr<otel::trace::Tracer> make(spanloom::Tracer tracer) const {
        return otel::nostd::shared_ptr<otel::trace::Tracer>(new AdaptedTracer(provider_, tracer));
    }

    spanloom::TracerProvider provider_;
};

}  // namespace

void install_opentelemetry_cpp(TracerProvider provider) {
    otel::context::RuntimeContext::SetRuntimeContextStorage(
        otel::nostd::shared_ptr<otel::context::RuntimeContextStorage>(new SharedContextStorage));
    otel::trace::Provider::SetTracerProvider(
        otel::nostd::shared_ptr<otel::trace::TracerProvider>(new AdaptedProvider(provider)));
}

}  // namespace spanloom

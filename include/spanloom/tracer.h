#pragma once

#include <string_view>
#include <utility>

#include "spanloom/span.h"

namespace spanloom {

class TracerProvider;

namespace detail {

struct TracerCore;

// One (name, version, schema URL, attributes) of a provider; never freed, so that a Tracer may be
// kept anywhere. `core` is null where nothing is configured (read and written atomically).
struct TracerEntry {
    TracerCore* core = nullptr;
};

// Some thread has made a context current: then even a program without an SDK hands it on.
extern bool has_contexts;

Started start_span(TracerCore* core, std::string_view name, SpanKind kind,
                   SourceLocation where) noexcept;
Started start_span(TracerCore* core, std::string_view name, const SpanOptions& options,
                   SourceLocation where) noexcept;
Started start_no_op(const SpanOptions* options) noexcept;
bool is_open(const TracerCore* core) noexcept;

}  // namespace detail

// A span that is the current one while it lives: `ActiveSpan span = tracer.start_active("work");`.
// Leaves the context first, then ends. Stays on the thread that made it.
class ActiveSpan : public Span {
  public:
    explicit ActiveSpan(Span span) noexcept
        : Span(std::move(span)), scope_(static_cast<const Span&>(*this)) {}
    // Also leaves the context.
    void end(Timestamp time = {}) noexcept {
        scope_.close();
        Span::end(time);
    }

  private:
    Scope scope_;
};

// Starts spans on behalf of one library or part of a program. A small value that any thread may
// copy and use at any time, also before a provider is set (its spans are no-ops then, at about a
// nanosecond each) and after it is shut down (no-ops that are counted).
class Tracer {
  public:
    // Its spans are no-ops.
    constexpr Tracer() noexcept = default;

    // The parent is the thread's current context unless the options name another.
    [[nodiscard]] Span start_span(
        std::string_view name, SpanKind kind = SpanKind::kInternal,
        detail::SourceLocation where = detail::SourceLocation::current()) const noexcept {
        detail::TracerCore* core = this->core();
        if (core == nullptr) return Span(no_op(nullptr));
        return Span(detail::start_span(core, name, kind, where));
    }
    [[nodiscard]] Span start_span(
        std::string_view name, const SpanOptions& options,
        detail::SourceLocation where = detail::SourceLocation::current()) const noexcept {
        detail::TracerCore* core = this->core();
        if (core == nullptr) return Span(no_op(&options));
        return Span(detail::start_span(core, name, options, where));
    }
    // `tracer.start_span("checkout", {{"user.id", id}, {"items", 3}})`.
    [[nodiscard]] Span start_span(
        std::string_view name, AttributeList attributes,
        detail::SourceLocation where = detail::SourceLocation::current()) const noexcept {
        SpanOptions options;
        options.attributes = attributes;
        return start_span(name, options, where);
    }

    [[nodiscard]] ActiveSpan start_active(
        std::string_view name, SpanKind kind = SpanKind::kInternal,
        detail::SourceLocation where = detail::SourceLocation::current()) const noexcept {
        return ActiveSpan(start_span(name, kind, where));
    }
    [[nodiscard]] ActiveSpan start_active(
        std::string_view name, const SpanOptions& options,
        detail::SourceLocation where = detail::SourceLocation::current()) const noexcept {
        return ActiveSpan(start_span(name, options, where));
    }
    [[nodiscard]] ActiveSpan start_active(
        std::string_view name, AttributeList attributes,
        detail::SourceLocation where = detail::SourceLocation::current()) const noexcept {
        return ActiveSpan(start_span(name, attributes, where));
    }

    // Whether a span started now could be recorded; to save the making of expensive attributes.
    bool is_enabled() const noexcept {
        const detail::TracerCore* core = this->core();
        return core != nullptr && detail::is_open(core);
    }

  private:
    friend class TracerProvider;
    explicit constexpr Tracer(detail::TracerEntry* entry) noexcept : entry_(entry) {}

    detail::TracerCore* core() const noexcept {
        return entry_ == nullptr ? nullptr : __atomic_load_n(&entry_->core, __ATOMIC_ACQUIRE);
    }
    static detail::Started no_op(const SpanOptions* options) noexcept {
        if (options == nullptr || !options->parent.has_value()) {
            if (!__atomic_load_n(&detail::has_contexts, __ATOMIC_RELAXED)) return {};
        }
        return detail::start_no_op(options);
    }

    detail::TracerEntry* entry_ = nullptr;
};

}  // namespace spanloom

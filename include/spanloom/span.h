#pragma once

#include <cstdint>
#include <exception>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "spanloom/attribute.h"
#include "spanloom/context.h"
#include "spanloom/span_context.h"
#include "spanloom/timestamp.h"

namespace spanloom {

enum class SpanKind : uint8_t { kInternal = 1, kServer, kClient, kProducer, kConsumer };
enum class StatusCode : uint8_t { kUnset, kOk, kError };

// A span this one has to do with, though it is not its child (a message that was taken from a
// queue, the requests of one batch).
struct Link {
    SpanContext context;
    AttributeList attributes = {};
};

// A view of links, for the length of a call.
class LinkList {
  public:
    constexpr LinkList() noexcept = default;
    constexpr LinkList(const Link* data, size_t size) noexcept : data_(data), size_(size) {}
    LinkList(std::initializer_list<Link> links) noexcept : size_(links.size()) {
        data_ = links.begin();
    }
    template <typename C, typename = std::enable_if_t<std::is_convertible<
                              decltype(std::declval<const C&>().data()), const Link*>::value>>
    LinkList(const C& container) noexcept : data_(container.data()), size_(container.size()) {}
    LinkList& operator=(std::initializer_list<Link>) = delete;

    const Link* begin() const noexcept { return data_; }
    const Link* end() const noexcept { return data_ + size_; }
    size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

  private:
    const Link* data_ = nullptr;
    size_t size_ = 0;
};

// How a span begins. Samplers see all of it. Lists are views: write it in the call.
struct SpanOptions {
    SpanKind kind = SpanKind::kInternal;
    // Absent: the thread's current context. Context::root() begins a new trace.
    std::optional<Context> parent = {};
    AttributeList attributes = {};
    LinkList links = {};
    Timestamp start_time = {};  // zero: now
};

namespace detail {

class SpanRecord;
struct SpanAccess;

// Where in the user's program a span was started, for reports of spans that never end.
struct SourceLocation {
    const char* file = "";
    uint32_t line = 0;

    static constexpr SourceLocation current(const char* file = __builtin_FILE(),
                                            uint32_t line = __builtin_LINE()) noexcept {
        return {file, line};
    }
};

struct Started {
    SpanRecord* record = nullptr;
    bool is_recording = false;
};

const SpanContext& context_of(const SpanRecord* record) noexcept;
void set_bool(SpanRecord* record, std::string_view key, bool value) noexcept;
void set_int(SpanRecord* record, std::string_view key, int64_t value) noexcept;
void set_double(SpanRecord* record, std::string_view key, double value) noexcept;
void set_string(SpanRecord* record, std::string_view key, std::string_view value) noexcept;
void set_value(SpanRecord* record, std::string_view key, const AttributeValue& value) noexcept;
void add_event(SpanRecord* record, std::string_view name, AttributeList attributes,
               Timestamp time) noexcept;
void add_exception(SpanRecord* record, const std::exception& exception, AttributeList attributes,
                   Timestamp time) noexcept;
void add_current_exception(SpanRecord* record, AttributeList attributes, Timestamp time) noexcept;
void add_link(SpanRecord* record, const SpanContext& context, AttributeList attributes) noexcept;
void set_status(SpanRecord* record, StatusCode code, std::string_view description) noexcept;
void update_name(SpanRecord* record, std::string_view name) noexcept;
void end_span(SpanRecord* record, Timestamp time) noexcept;
void release_span(SpanRecord* record, bool is_recording) noexcept;

}  // namespace detail

// One piece of work. Owns it: it ends once, at `end()` or where the Span is destroyed, also on
// exceptions and early returns. Moved-from, ended and default-made spans are no-ops; a span that is
// not recorded costs one test a call. Lives on the stack, in objects or in lambdas; may be moved to
// and ended on any thread, but is used by one thread at a time, as any value. Other threads and
// callees reach it through a SpanHandle (`Context::span()`), which is safe from everywhere.
//
// The name, keys and values are copied (and invalid UTF-8 replaced) before a call returns.
class Span {
  public:
    Span() noexcept = default;
    explicit Span(detail::Started started) noexcept
        : record_(started.record), is_recording_(started.is_recording) {}
    Span(Span&& other) noexcept
        : record_(std::exchange(other.record_, nullptr)),
          is_recording_(std::exchange(other.is_recording_, false)) {}
    Span& operator=(Span&& other) noexcept {
        if (this == &other) return *this;
        if (record_ != nullptr) detail::release_span(record_, is_recording_);
        record_ = std::exchange(other.record_, nullptr);
        is_recording_ = std::exchange(other.is_recording_, false);
        return *this;
    }
    ~Span() {
        if (record_ != nullptr) detail::release_span(record_, is_recording_);
    }

    // Still valid after the end.
    const SpanContext& context() const noexcept { return detail::context_of(record_); }
    bool is_recording() const noexcept { return is_recording_; }

    // Sets or overwrites one attribute.
    Span& set_attribute(std::string_view key, const AttributeValue& value) noexcept {
        if (!is_recording_) return *this;
        switch (value.type()) {  // the type is a constant here, so only one call is left of it
            case AttributeValue::Type::kBool:
                detail::set_bool(record_, key, value.boolean());
                break;
            case AttributeValue::Type::kInt:
                detail::set_int(record_, key, value.integer());
                break;
            case AttributeValue::Type::kDouble:
                detail::set_double(record_, key, value.number());
                break;
            case AttributeValue::Type::kString:
                detail::set_string(record_, key, value.text());
                break;
            default:
                detail::set_value(record_, key, value);
                break;
        }
        return *this;
    }
    Span& set_attributes(AttributeList attributes) noexcept {
        for (const Attribute& attribute : attributes)
            set_attribute(attribute.key, attribute.value);
        return *this;
    }
    Span& add_event(std::string_view name, AttributeList attributes = {},
                    Timestamp time = {}) noexcept {
        if (is_recording_) detail::add_event(record_, name, attributes, time);
        return *this;
    }
    // An event `exception` with type and message; given attributes win over those.
    Span& record_exception(const std::exception& exception, AttributeList attributes = {},
                           Timestamp time = {}) noexcept {
        if (is_recording_) detail::add_exception(record_, exception, attributes, time);
        return *this;
    }
    // The one being handled, of whatever type: for `catch (...)`.
    Span& record_current_exception(AttributeList attributes = {}, Timestamp time = {}) noexcept {
        if (is_recording_) detail::add_current_exception(record_, attributes, time);
        return *this;
    }
    Span& add_link(const SpanContext& context, AttributeList attributes = {}) noexcept {
        if (is_recording_) detail::add_link(record_, context, attributes);
        return *this;
    }
    // kOk is final; kUnset does nothing; the description counts for kError only.
    Span& set_status(StatusCode code, std::string_view description = {}) noexcept {
        if (is_recording_) detail::set_status(record_, code, description);
        return *this;
    }
    Span& update_name(std::string_view name) noexcept {
        if (is_recording_) detail::update_name(record_, name);
        return *this;
    }
    void end(Timestamp time = {}) noexcept {
        if (!is_recording_) return;
        is_recording_ = false;
        detail::end_span(record_, time);
    }

    // For callees and other threads.
    SpanHandle handle() const noexcept;
    [[nodiscard]] Scope activate() const noexcept { return Scope(*this); }

  private:
    friend class Context;
    friend class Scope;
    friend class SpanHandle;
    friend struct detail::SpanAccess;

    detail::SpanRecord* record_ = nullptr;
    bool is_recording_ = false;
};

// A span that someone else owns, such as the thread's active one. A small value; may outlive the
// span (then it is a no-op) and be used on any thread at any time: what it is told waits in the
// span's letter box until the owner's next call, and keeps its order on one thread. It cannot end
// the span. Up to 1,024 letters wait; further ones are dropped and counted.
class SpanHandle {
  public:
    SpanHandle() noexcept = default;

    const SpanContext& context() const noexcept { return context_; }
    bool is_recording() const noexcept;
    const SpanHandle& set_attribute(std::string_view key,
                                    const AttributeValue& value) const noexcept;
    const SpanHandle& set_attributes(AttributeList attributes) const noexcept {
        for (const Attribute& attribute : attributes)
            set_attribute(attribute.key, attribute.value);
        return *this;
    }
    const SpanHandle& add_event(std::string_view name, AttributeList attributes = {},
                                Timestamp time = {}) const noexcept;
    const SpanHandle& record_exception(const std::exception& exception,
                                       AttributeList attributes = {},
                                       Timestamp time = {}) const noexcept;
    const SpanHandle& record_current_exception(AttributeList attributes = {},
                                               Timestamp time = {}) const noexcept;
    const SpanHandle& add_link(const SpanContext& context,
                               AttributeList attributes = {}) const noexcept;
    const SpanHandle& set_status(StatusCode code, std::string_view description = {}) const noexcept;
    const SpanHandle& update_name(std::string_view name) const noexcept;

  private:
    friend class Context;
    friend class Span;
    SpanHandle(const SpanContext& context, detail::SpanRecord* record, uint64_t generation) noexcept
        : context_(context), record_(record), generation_(generation) {}

    SpanContext context_;
    detail::SpanRecord* record_ = nullptr;
    uint64_t generation_ = 0;
};

inline SpanHandle Context::span() const noexcept {
    return {span_context_, record_, record_generation_};
}

// The calling thread's active span.
inline SpanHandle current_span() noexcept {
    return Context::current().span();
}

}  // namespace spanloom

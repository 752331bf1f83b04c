#include <cstring>

#include "sdk/probability.h"
#include "sdk/provider_core.h"
#include "sdk/span_record.h"
#include "sdk/thread_state.h"

namespace spanloom::detail {
namespace {

using sdk::put_raw;
using sdk::put_varint;

constexpr uint32_t kFlagsHaveRemote = 0x100;  // trace.proto: SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
constexpr uint32_t kFlagsRemote = 0x200;

constexpr size_t kShortNameMax = 127;  // its length is one byte

const Context kRoot;

// What is known of a span before it is decided whether it is recorded. Functions that stay
// functions take a copy: a reference to it would keep it in memory for every span, and out of
// registers.
struct Birth {
    TracerCore* tracer;
    std::string_view name;
    SpanKind kind;
    const Context* parent;       // never null
    const SpanOptions* options;  // null: none given
    SourceLocation where;
};

[[gnu::always_inline]] inline SpanId make_span_id(sdk::IdRandom& ids,
                                                  IdGenerator* generator) noexcept {
    if (generator != nullptr) [[unlikely]]
        return generator->make_span_id();
    SpanId id;
    uint64_t bits = ids.next();
    while (bits == 0) [[unlikely]]
        bits = ids.next();
    std::memcpy(id.bytes.data(), &bits, 8);
    return id;
}

[[gnu::always_inline]] inline TraceId make_trace_id(sdk::IdRandom& ids,
                                                    IdGenerator* generator) noexcept {
    if (generator != nullptr) [[unlikely]]
        return generator->make_trace_id();
    TraceId id;
    const uint64_t high = ids.next();
    uint64_t low = ids.next();
    while (low == 0) [[unlikely]]
        low = ids.next();
    // In one piece, as it is read right afterwards: a processor waits where two
    // writes make a read.
    using Words = uint64_t __attribute__((vector_size(16)));
    const Words words = {high, low};
    std::memcpy(id.bytes.data(), &words, 16);
    return id;
}

// What the new span has of its parent: trace, flags and state, as far as no sampler has a say.
[[gnu::always_inline]] inline void put_inherited(SpanContext& context,
                                                 const Birth& birth) noexcept {
    const IdGenerator* generator = birth.tracer->provider->id_generator;
    const SpanContext& parent = birth.parent->span_context();
    const bool is_random = !parent.is_valid() ? generator == nullptr || generator->is_random()
                                              : parent.flags().is_random();
    const int debug = parent.flags().bits & TraceFlags::kDebug;
    SpanAccess::set_local(
        context, TraceFlags{static_cast<uint8_t>((is_random ? TraceFlags::kRandom : 0) | debug)});
    if (!parent.trace_state().empty()) [[unlikely]] {
        SpanAccess::set_trace_state(
            context, parent.is_remote() ? sdk::consistent_state(parent) : parent.trace_state());
    }
}

[[gnu::always_inline]] inline void put_ids(SpanContext& context, ThreadState& thread,
                                           const Birth& birth) noexcept {
    IdGenerator* generator = birth.tracer->provider->id_generator;
    const SpanContext& parent = birth.parent->span_context();
    sdk::IdRandom ids = thread.ids;  // a copy, which can stay in registers
    SpanAccess::trace_id(context) =
        parent.is_valid() ? parent.trace_id() : make_trace_id(ids, generator);
    SpanAccess::span_id(context) = make_span_id(ids, generator);
    thread.ids = ids;
}

[[gnu::always_inline]] inline SamplingResult ask_sampler(const Birth& birth,
                                                         const SpanContext& context) noexcept {
    const bool has_options = birth.options != nullptr;
    return birth.tracer->provider->sampler->should_sample(
        {*birth.parent, context.trace_id(), birth.name, birth.kind,
         has_options ? birth.options->attributes : AttributeList(),
         has_options ? birth.options->links : LinkList(), birth.tracer->name.name});
}

// What the provider's sampler says without being asked; false where it must be.
[[gnu::always_inline]] inline bool decide_at_once(const Birth& birth, bool& is_sampled) noexcept {
    const SpanContext& parent = birth.parent->span_context();
    switch (birth.tracer->provider->shortcut) {
        case Sampler::Shortcut::kParentElseOn:
            is_sampled = !parent.is_valid() || parent.is_sampled();
            break;
        case Sampler::Shortcut::kParentElseOff:
            is_sampled = parent.is_valid() && parent.is_sampled();
            break;
        case Sampler::Shortcut::kAlwaysOn:
            is_sampled = true;
            break;
        case Sampler::Shortcut::kAlwaysOff:
            is_sampled = false;
            break;
        case Sampler::Shortcut::kNone:
            return false;
    }
    return true;
}

[[gnu::always_inline]] inline void put_head(SpanRecord* record, const Birth& birth) noexcept {
    const SpanContext& context = record->context;
    const SpanContext& parent = birth.parent->span_context();
    uint8_t* at = record->buffer.begin();
    *at++ = kTagTraceId;
    *at++ = 16;
    std::memcpy(at, context.trace_id().bytes.data(), 16);
    at += 16;
    *at++ = kTagSpanId;
    *at++ = 8;
    std::memcpy(at, context.span_id().bytes.data(), 8);
    at += 8;
    *at++ = kTagStart;
    at = put_raw(at, record->start.wall_ns);
    *at++ = kTagEnd;
    at = put_raw(at, uint64_t{0});
    *at++ = kTagKind;
    *at++ = static_cast<uint8_t>(birth.kind);
    at = put_varint(at, kTagFlags);
    at = put_raw(
        at, static_cast<uint32_t>((context.flags().bits & TraceFlags::kSent) | kFlagsHaveRemote |
                                  (parent.is_remote() ? kFlagsRemote : 0)));
    if (parent.is_valid()) {
        *at++ = kTagParent;
        *at++ = 8;
        std::memcpy(at, parent.span_id().bytes.data(), 8);
        at += 8;
    }
    record->buffer.set_at(at);
}

[[gnu::always_inline]] inline void put_name(SpanRecord* record, std::string_view name) noexcept {
    const TraceState& state = record->context.trace_state();
    uint8_t* at = record->buffer.at();
    // A new record has room for a short name.
    if (state.empty() && name.size() <= kShortNameMax) [[likely]] {
        *at++ = kTagName;
        *at++ = static_cast<uint8_t>(name.size());
        if (sdk::copy_text(at, name.data(), name.size())) [[likely]] {
            record->buffer.set_at(at + name.size());
            record->fields_at = static_cast<uint32_t>(record->buffer.size());
            return;
        }
    }
    const sdk::EncodeLimits limits{UINT32_MAX, 1, record->tracer()->limits.span_bytes_max};
    if (!state.empty()) put_text(record->buffer, kTagTraceState, state.text(), limits);
    put_text(record->buffer, kTagName, name, limits);
    record->fields_at = static_cast<uint32_t>(record->buffer.size());
}

// What was given at the start, and what processors want to do with it.
[[gnu::noinline]] void add_given(SpanRecord* record, Birth birth,
                                 AttributeList of_sampler) noexcept {
    if (birth.options != nullptr) {
        for (const Attribute& attribute : birth.options->attributes)
            set_value(record, attribute.key, attribute.value);
        for (const Link& link : birth.options->links)
            add_link(record, link.context, link.attributes);
    }
    for (const Attribute& attribute : of_sampler)
        set_value(record, attribute.key, attribute.value);
    const auto& on_start = birth.tracer->provider->on_start;
    if (!on_start.empty()) [[unlikely]] {
        Span span(Started{record, true});
        for (SpanProcessor* processor : on_start)
            processor->on_start(span, *birth.parent);
        SpanAccess::forget(span);
    }
}

[[gnu::always_inline]] inline void start_recording(SpanRecord* record,
                                                   const Birth& birth) noexcept {
    record->fork_number = fork_number.load(std::memory_order_relaxed);
    record->start = sdk::tick_clock.now();
    if (birth.options != nullptr && !birth.options->start_time.is_now())
        record->start = {0, birth.options->start_time.unix_ns};
    record->buffer.reset(record->storage.size());
    record->key_filter = {};
    record->attributes = record->events = record->links = 0;
    record->dropped_attributes = record->dropped_events = record->dropped_links = 0;
    record->status = StatusCode::kUnset;
    record->where = birth.where;
    put_head(record, birth);
    put_name(record, birth.name);
    record->generation.store(record->generation.load(std::memory_order_relaxed) + 1,
                             std::memory_order_release);
}

// Whether SpanWatch has a say in spans of this thread, now.
[[gnu::always_inline]] inline bool is_watched(const ProviderCore* provider,
                                              const ThreadCounts& counts) noexcept {
    return provider->watch.flags.load(std::memory_order_relaxed) != 0 ||
           counts.started.load(std::memory_order_relaxed) >= counts.next_look;
}

[[gnu::noinline]] bool admit(SpanRecord* record, Birth birth, ThreadCounts& counts) noexcept {
    const bool has_no_context = birth.parent == &kRoot;
    return birth.tracer->provider->watch.admit(
        {record, birth.tracer, *birth.parent, birth.name, birth.kind, birth.where, has_no_context},
        counts);
}

// Where the provider's sampler must be asked.
[[gnu::noinline]] Started start_asking(SpanRecord* record, Birth birth,
                                       ThreadState& thread) noexcept {
    SamplingResult result = ask_sampler(birth, record->context);
    SpanAccess::set_trace_state(record->context, std::move(result.trace_state));
    ThreadCounts& counts = birth.tracer->provider->counts(thread);
    record->is_recording = result.decision != SamplingDecision::kDrop;
    if (!record->is_recording) {
        ThreadCounts::add(counts.not_sampled);
        return {record, false};
    }
    if (is_watched(birth.tracer->provider, counts) && !admit(record, birth, counts)) {
        give_record(thread, record);
        return start_no_op(birth.options);
    }
    ThreadCounts::add(counts.started);
    if (result.decision == SamplingDecision::kRecordAndSample)
        SpanAccess::set_sampled(record->context);
    start_recording(record, birth);
    add_given(record, birth, result.attributes);
    return {record, true};
}

// Most spans are not looked at that are not recorded: such a one has ids where someone asks for it.
[[gnu::always_inline]] inline Started start_dropped(SpanRecord* record, const Birth& birth,
                                                    ThreadState& thread) noexcept {
    ThreadCounts::add(birth.tracer->provider->counts(thread).not_sampled);
    record->is_recording = false;
    if (birth.tracer->provider->id_generator != nullptr) [[unlikely]] {
        put_ids(record->context, thread, birth);
    } else {
        record->lacks_ids = true;
        SpanAccess::trace_id(record->context) = birth.parent->span_context().trace_id();
    }
    return {record, false};
}

[[gnu::always_inline]] inline Started start(const Birth& birth, ThreadState& thread) noexcept {
    ProviderCore* provider = birth.tracer->provider;
    if (birth.parent->is_suppressed()) [[unlikely]]
        return start_no_op(birth.options);
    if (provider->is_shut_down.load(std::memory_order_relaxed)) [[unlikely]] {
        ThreadCounts::add(provider->counts(thread).late);
        return start_no_op(birth.options);
    }
    SpanRecord* record = take_record(thread);
    if (record == nullptr) [[unlikely]]
        return {};
    record->set_tracer(birth.tracer);
    record->lacks_ids = false;
    put_inherited(record->context, birth);
    bool is_sampled = false;
    if (!decide_at_once(birth, is_sampled)) [[unlikely]] {
        put_ids(record->context, thread, birth);
        return start_asking(record, birth, thread);
    }
    if (!is_sampled) return start_dropped(record, birth, thread);
    put_ids(record->context, thread, birth);
    ThreadCounts& counts = provider->counts(thread);
    if (is_watched(provider, counts) && !admit(record, birth, counts)) [[unlikely]] {
        give_record(thread, record);
        return start_no_op(birth.options);
    }
    SpanAccess::set_sampled(record->context);
    ThreadCounts::add(counts.started);
    record->is_recording = true;
    start_recording(record, birth);
    if (birth.options != nullptr || !provider->on_start.empty()) add_given(record, birth, {});
    return {record, true};
}

}  // namespace

Started start_span(TracerCore* core, std::string_view name, SpanKind kind,
                   SourceLocation where) noexcept {
    ThreadState& thread = thread_state();
    const Context* parent = thread.top();
    return start({core, name, kind, parent == nullptr ? &kRoot : parent, nullptr, where}, thread);
}

Started start_span(TracerCore* core, std::string_view name, const SpanOptions& options,
                   SourceLocation where) noexcept {
    ThreadState& thread = thread_state();
    const Context* parent = options.parent.has_value() ? &*options.parent : thread.top();
    return start({core, name, options.kind, parent == nullptr ? &kRoot : parent, &options, where},
                 thread);
}

void make_late_ids(SpanRecord* record) noexcept {
    ThreadState& thread = thread_state();
    record->lacks_ids = false;
    if (record->context.trace_id().is_zero())
        SpanAccess::trace_id(record->context) = make_trace_id(thread.ids, nullptr);
    SpanAccess::span_id(record->context) = make_span_id(thread.ids, nullptr);
}

bool is_open(const TracerCore* core) noexcept {
    return !core->provider->is_shut_down.load(std::memory_order_relaxed);
}

// The specification: without an SDK, and where instrumentation is suppressed, a span is its parent
// without being recorded.
Started start_no_op(const SpanOptions* options) noexcept {
    const Context* parent = nullptr;
    if (options != nullptr && options->parent.has_value()) {
        parent = &*options->parent;
    } else if (thread_state_or_null != nullptr) {
        parent = thread_state_or_null->top();
    }
    if (parent == nullptr || !parent->span_context().is_valid()) return {};
    SpanRecord* record = take_record(thread_state());
    if (record == nullptr) return {};
    record->lacks_ids = false;
    record->context = parent->span_context();
    record->set_tracer(nullptr);
    record->is_recording = false;
    return {record, false};
}

}  // namespace spanloom::detail

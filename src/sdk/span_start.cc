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

const Context kRoot;

// What is known of a span before it is decided whether it is recorded.
struct Birth {
    TracerCore* tracer;
    std::string_view name;
    SpanKind kind;
    const Context* parent;       // never null
    const SpanOptions* options;  // null: none given
    SourceLocation where;
};

SpanId make_span_id(ThreadState& thread, IdGenerator* generator) noexcept {
    if (generator != nullptr) [[unlikely]]
        return generator->make_span_id();
    SpanId id;
    uint64_t bits = thread.ids.next();
    while (bits == 0)
        bits = thread.ids.next();
    std::memcpy(id.bytes.data(), &bits, 8);
    return id;
}

TraceId make_trace_id(ThreadState& thread, IdGenerator* generator) noexcept {
    if (generator != nullptr) [[unlikely]]
        return generator->make_trace_id();
    TraceId id;
    const uint64_t high = thread.ids.next();
    uint64_t low = thread.ids.next();
    while (low == 0)
        low = thread.ids.next();
    std::memcpy(id.bytes.data(), &high, 8);
    std::memcpy(id.bytes.data() + 8, &low, 8);
    return id;
}

// Ids, flags and state of the new span, as far as no sampler has a say.
SpanContext make_context(ThreadState& thread, const Birth& birth) noexcept {
    IdGenerator* generator = birth.tracer->provider->id_generator;
    const SpanContext& parent = birth.parent->span_context();
    const bool is_root = !parent.is_valid();
    const bool is_random =
        is_root ? generator == nullptr || generator->is_random() : parent.flags().is_random();
    return {is_root ? make_trace_id(thread, generator) : parent.trace_id(),
            make_span_id(thread, generator),
            TraceFlags{static_cast<uint8_t>((is_random ? TraceFlags::kRandom : 0) |
                                            (parent.flags().bits & TraceFlags::kDebug))},
            parent.is_remote() ? sdk::consistent_state(parent) : parent.trace_state()};
}

SamplingResult ask_sampler(const Birth& birth, const SpanContext& context) noexcept {
    const bool has_options = birth.options != nullptr;
    return birth.tracer->provider->sampler->should_sample(
        {*birth.parent, context.trace_id(), birth.name, birth.kind,
         has_options ? birth.options->attributes : AttributeList(),
         has_options ? birth.options->links : LinkList(), birth.tracer->name.name});
}

// What the provider's sampler says without being asked; false where it must be.
bool decide_at_once(const Birth& birth, SamplingDecision& decision) noexcept {
    const SpanContext& parent = birth.parent->span_context();
    bool is_sampled = false;
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
            break;
        case Sampler::Shortcut::kNone:
            return false;
    }
    decision = is_sampled ? SamplingDecision::kRecordAndSample : SamplingDecision::kDrop;
    return true;
}

void put_head(SpanRecord* record, const Birth& birth) noexcept {
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

void put_name(SpanRecord* record, std::string_view name) noexcept {
    const sdk::EncodeLimits limits{UINT32_MAX, 1, record->tracer()->limits.span_bytes_max};
    const TraceState& state = record->context.trace_state();
    if (!state.empty()) put_text(record->buffer, kTagTraceState, state.text(), limits);
    put_text(record->buffer, kTagName, name, limits);
    record->fields_at = static_cast<uint32_t>(record->buffer.size());
}

Started start_recording(SpanRecord* record, const Birth& birth, AttributeList of_sampler,
                        ThreadCounts& counts) noexcept {
    ThreadCounts::add(counts.started);
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
    return {record, true};
}

Started start(const Birth& birth, ThreadState& thread) noexcept {
    if (birth.parent->is_suppressed()) [[unlikely]]
        return start_no_op(birth.options);
    SpanRecord* record = take_record();
    if (record == nullptr) [[unlikely]]
        return {};
    record->context = make_context(thread, birth);
    record->set_tracer(birth.tracer);
    ProviderCore* provider = birth.tracer->provider;
    SamplingDecision decision = SamplingDecision::kDrop;
    AttributeList of_sampler;
    if (!decide_at_once(birth, decision)) [[unlikely]] {
        SamplingResult result = ask_sampler(birth, record->context);
        decision = result.decision;
        of_sampler = result.attributes;
        record->context = SpanContext(record->context.trace_id(), record->context.span_id(),
                                      record->context.flags(), std::move(result.trace_state));
    }
    ThreadCounts& counts = provider->counts();
    if (decision == SamplingDecision::kDrop) {
        ThreadCounts::add(counts.not_sampled);
        record->is_recording = false;
        return {record, false};
    }
    if (decision == SamplingDecision::kRecordAndSample) SpanAccess::set_sampled(record->context);
    record->is_recording = true;
    return start_recording(record, birth, of_sampler, counts);
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
    SpanRecord* record = take_record();
    if (record == nullptr) return {};
    record->context = parent->span_context();
    record->set_tracer(nullptr);
    record->is_recording = false;
    return {record, false};
}

}  // namespace spanloom::detail

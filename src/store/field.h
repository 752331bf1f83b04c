#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "otlp/view.h"

namespace spanloom::store {

// Where an attribute lives, as TraceQL names it. kAny looks in span, then resource, then event,
// link and instrumentation.
enum class Scope : uint8_t { kIntrinsic, kSpan, kResource, kEvent, kLink, kInstrumentation, kAny };

// What every span or trace has without being an attribute. Those from kTraceDuration on belong to
// the whole trace and are not known to one segment: search cannot push them down.
enum class Intrinsic : uint8_t {
    kNone,
    kDuration,
    kName,
    kStatus,
    kStatusMessage,
    kKind,
    kStart,
    kTraceId,
    kSpanId,
    kParentId,
    kTraceState,
    kEventName,
    kEventTimeSinceStart,
    kLinkTraceId,
    kLinkSpanId,
    kInstrumentationName,
    kInstrumentationVersion,
    kSampled,  // the flag of the W3C trace context that the sender set
    kTraceDuration,
    kRootName,
    kRootService,
    kChildCount,
    kNestedSetParent,
    kNestedSetLeft,
    kNestedSetRight,
};

struct Field {
    Scope scope = Scope::kAny;
    Intrinsic intrinsic = Intrinsic::kNone;  // with Scope::kIntrinsic
    std::string key;                         // with the others

    bool is_trace_level() const { return intrinsic >= Intrinsic::kTraceDuration; }
    bool operator==(const Field&) const = default;
};

enum class ValueKind : uint8_t {
    kNil,
    kBool,
    kInt,
    kDouble,
    kDuration,  // ns, in `integer`
    kString,    // also ids, as lower-case hex
    kSpanKind,  // otlp::SpanKind, in `integer`
    kStatus,    // otlp::StatusCode, in `integer`
    kOther,     // array, kvlist or bytes: the AnyValue message, in `text`
};

// One attribute or intrinsic, owned.
struct Value {
    ValueKind kind = ValueKind::kNil;
    int64_t integer = 0;  // also the boolean
    double number = 0;
    std::string text;

    static Value nil() { return {}; }
    static Value of_bool(bool v) { return {ValueKind::kBool, v ? 1 : 0, 0, {}}; }
    static Value of_int(int64_t v) { return {ValueKind::kInt, v, 0, {}}; }
    static Value of_double(double v) { return {ValueKind::kDouble, 0, v, {}}; }
    static Value of_duration(int64_t ns) { return {ValueKind::kDuration, ns, 0, {}}; }
    static Value of_string(std::string v) { return {ValueKind::kString, 0, 0, std::move(v)}; }
    static Value of_kind(otlp::SpanKind k) {
        return {ValueKind::kSpanKind, static_cast<int64_t>(k), 0, {}};
    }
    static Value of_status(otlp::StatusCode s) {
        return {ValueKind::kStatus, static_cast<int64_t>(s), 0, {}};
    }
    bool is_number() const {
        return kind == ValueKind::kInt || kind == ValueKind::kDouble ||
               kind == ValueKind::kDuration;
    }
    double as_number() const {
        return kind == ValueKind::kDouble ? number : static_cast<double>(integer);
    }
    bool operator==(const Value&) const = default;
};

enum class Comparison : uint8_t {
    kEqual,
    kNotEqual,
    kGreater,
    kGreaterEqual,
    kLess,
    kLessEqual,
    kMatch,  // RE2, anchored at both ends
    kNotMatch,
    kTextEqual,     // the value printed as text equals, whatever its type (Jaeger's tag search)
    kTextContains,  // the value printed as text contains, ignoring ASCII case (Tempo's tags=)
};

// A condition on one span. A missing attribute or a type that does not fit makes a comparison
// false, also for kNotEqual and kNotMatch; numbers of all kinds compare with each other; texts
// order by bytes. Arrays satisfy kEqual and kMatch where an element does, kNotEqual and kNotMatch
// where none does although some are of the type compared. An intrinsic text that is not there (the
// parent of a root, too) is the empty text; kExists is false for it. Of a key that comes more than
// once the last value counts. Comparisons (and kExists) on event (or link) fields directly below
// one kAnd, or below kAnds in it, must hold for the same event (link); kAbsent means in no event.
struct Predicate {
    enum class Kind : uint8_t { kTrue, kFalse, kAnd, kOr, kNot, kCompare, kExists, kAbsent };

    Kind kind = Kind::kTrue;
    std::vector<Predicate> children;  // kAnd, kOr: any number; kNot: one
    Field field;                      // kCompare, kExists, kAbsent
    Comparison comparison = Comparison::kEqual;
    Value value;

    static Predicate everything() { return {}; }
    static Predicate compare(Field field, Comparison comparison, Value value) {
        return {Kind::kCompare, {}, std::move(field), comparison, std::move(value)};
    }
    static Predicate all_of(std::vector<Predicate> children) {
        return {Kind::kAnd, std::move(children), {}, Comparison::kEqual, {}};
    }
    static Predicate any_of(std::vector<Predicate> children) {
        return {Kind::kOr, std::move(children), {}, Comparison::kEqual, {}};
    }
    static Predicate negation(Predicate child) {
        return {Kind::kNot, {std::move(child)}, {}, Comparison::kEqual, {}};
    }
};

}  // namespace spanloom::store

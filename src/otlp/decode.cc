#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>

#include "otlp/batch.h"

namespace spanloom::otlp {
namespace {

// Deeper than any sender nests; bounds the walker's stack whatever the configuration says.
constexpr uint32_t kDepthCeiling = 64;
// Distinct reasons named in one rejection; the rest are counted together.
constexpr size_t kReasonsMax = 6;
constexpr size_t kSampledSpans = 32;  // by which the table of a request's spans is made

// The messages at and below a span, a resource or a scope.
enum class Kind : uint8_t {
    kNone,
    kResource,
    kScope,
    kSpan,
    kEvent,
    kLink,
    kStatus,
    kAttribute,
    kValue,
    kArray,
    kKvlist,
    kCount
};

constexpr uint32_t kFieldsKnown = 16;
using ChildTable = std::array<std::array<Kind, kFieldsKnown>, static_cast<size_t>(Kind::kCount)>;

// Which message a length-delimited field holds; kNone for text, ids and unknown fields.
constexpr ChildTable make_children() {
    ChildTable table{};
    const auto set = [&table](Kind parent, uint32_t field, Kind child) {
        table[static_cast<size_t>(parent)][field] = child;
    };
    set(Kind::kResource, 1, Kind::kAttribute);
    set(Kind::kScope, 3, Kind::kAttribute);
    set(Kind::kSpan, 9, Kind::kAttribute);
    set(Kind::kSpan, 11, Kind::kEvent);
    set(Kind::kSpan, 13, Kind::kLink);
    set(Kind::kSpan, 15, Kind::kStatus);
    set(Kind::kEvent, 3, Kind::kAttribute);
    set(Kind::kLink, 4, Kind::kAttribute);
    set(Kind::kAttribute, 2, Kind::kValue);
    set(Kind::kValue, 5, Kind::kArray);
    set(Kind::kValue, 6, Kind::kKvlist);
    set(Kind::kArray, 1, Kind::kValue);
    set(Kind::kKvlist, 1, Kind::kAttribute);
    return table;
}
constexpr ChildTable kChildren = make_children();

enum class Outcome : uint8_t { kGood, kTooDeep, kMalformed };

// Why a span is left out, with the length where a length is the reason.
enum class Reason : uint8_t {
    kTraceIdLength,
    kTraceIdZero,
    kSpanIdLength,
    kSpanIdZero,
    kParentLength,
    kTooDeep,
    kResourceTooDeep,
    kScopeTooDeep,
};

struct RejectionCount {
    Reason reason;
    size_t length;
    uint64_t spans;
};

std::string describe(const RejectionCount& count, uint32_t depth_max) {
    const auto of_length = [&count](std::string_view field, std::string_view wanted) {
        if (count.length == 0) return fmt::format("{} missing", field);
        return fmt::format("{} of {} {}, must be {}", field, count.length,
                           count.length == 1 ? "byte" : "bytes", wanted);
    };
    switch (count.reason) {
        case Reason::kTraceIdLength:
            return of_length("trace_id", "16");
        case Reason::kTraceIdZero:
            return "trace_id all zero";
        case Reason::kSpanIdLength:
            return of_length("span_id", "8");
        case Reason::kSpanIdZero:
            return "span_id all zero";
        case Reason::kParentLength:
            return of_length("parent_span_id", "8 or empty");
        case Reason::kTooDeep:
            return fmt::format("nested deeper than {} levels", depth_max);
        case Reason::kResourceTooDeep:
            return fmt::format("resource nested deeper than {} levels", depth_max);
        case Reason::kScopeTooDeep:
            return fmt::format("scope nested deeper than {} levels", depth_max);
    }
    return {};
}

bool all_zero(std::string_view bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; });
}

// What the walk takes down of a span on its way.
struct SpanFields {
    std::string_view trace_id;
    std::string_view span_id;
    std::string_view parent_span_id;
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
};

// Checks one request. Lives for one call, on one thread's stack.
class Decoder {
  public:
    Decoder(Blob bytes, const DecodeLimits& limits)
        : base_(bytes.data()),
          depth_max_(std::min(limits.depth_max, kDepthCeiling)),
          entities_max_(limits.entities_max) {
        batch_.bytes = std::move(bytes);
    }

    Result<Batch> run() {
        // Offsets have 32 bits.
        if (batch_.bytes.size() > std::numeric_limits<uint32_t>::max())
            return fail(ErrorCode::kResourceExhausted,
                        "request of {} bytes: more than 4 GiB cannot be read at once",
                        batch_.bytes.size());
        if (!read_request())
            return fail(ErrorCode::kInvalidArgument, "malformed protobuf: {} at byte {}", fault_,
                        fault_offset_);
        if (batch_.resources.size() + batch_.scopes.size() > entities_max_)
            return fail(ErrorCode::kResourceExhausted,
                        "request holds {} resources and scopes, at most {} are taken: send it in "
                        "several parts",
                        batch_.resources.size() + batch_.scopes.size(), entities_max_);
        describe_rejection();
        return std::move(batch_);
    }

  private:
    struct Field {
        uint32_t number = 0;
        uint32_t wire_type = 0;
        const uint8_t* data = nullptr;  // the payload of types 1, 2 and 5
        size_t size = 0;
        std::string_view view() const { return {reinterpret_cast<const char*>(data), size}; }
    };
    struct Frame {
        const uint8_t* end;
        Kind kind;
    };

    bool fault(const char* what, const uint8_t* at) {
        fault_ = what;
        fault_offset_ = static_cast<size_t>(at - base_);
        return false;
    }

    bool read_varint(const uint8_t*& at, const uint8_t* end, uint64_t& value) {
        if (at < end && *at < 0x80) [[likely]] {
            value = *at++;
            return true;
        }
        return read_long_varint(at, end, value);
    }
    bool read_long_varint(const uint8_t*& at, const uint8_t* end, uint64_t& value) {
        const uint8_t* const first = at;
        value = 0;
        for (uint32_t shift = 0; shift < 70; shift += 7) {
            if (at == end) return fault("number runs past the end of its message", first);
            const uint64_t byte = *at++;
            value |= (byte & 0x7f) << shift;
            if (byte < 0x80) return true;
        }
        return fault("number of more than 10 bytes", first);
    }

    // Reads the next field and moves behind it.
    bool read_field(const uint8_t*& at, const uint8_t* end, Field& field) {
        const uint8_t* const first = at;
        uint64_t tag = 0;
        if (!read_varint(at, end, tag)) return false;
        if (tag > std::numeric_limits<uint32_t>::max() || tag < 8)
            return fault("impossible field number", first);
        field.number = static_cast<uint32_t>(tag >> 3);
        field.wire_type = static_cast<uint32_t>(tag & 7);
        uint64_t size = 0;
        switch (field.wire_type) {
            case 0:
                return read_varint(at, end, size);
            case 1:
                size = 8;
                break;
            case 2:
                if (!read_varint(at, end, size)) return false;
                break;
            case 5:
                size = 4;
                break;
            case 3:
            case 4:
                return fault("group, which OTLP does not have,", first);
            default:
                return fault("unknown wire type", first);
        }
        if (size > static_cast<uint64_t>(end - at))
            return fault("length runs past the end of its message", first);
        field.data = at;
        field.size = static_cast<size_t>(size);
        at += size;
        return true;
    }

    static void take_span_field(const Field& field, SpanFields& span) {
        if (field.wire_type == 2) {
            if (field.number == 1) span.trace_id = field.view();
            if (field.number == 2) span.span_id = field.view();
            if (field.number == 4) span.parent_span_id = field.view();
        } else if (field.wire_type == 1) {
            if (field.number == 7) std::memcpy(&span.start_ns, field.data, 8);
            if (field.number == 8) std::memcpy(&span.end_ns, field.data, 8);
        }
    }

    // Fields of a span in the form that every sender uses, up to the first that has another one;
    // where that begins.
    const uint8_t* take_plain_fields(const uint8_t* at, const uint8_t* end,
                                     SpanFields& span) const {
        while (at != end) {
            const uint8_t* data = at + 1;
            Field field;
            field.number = *at >> 3;
            field.wire_type = *at & 7;
            switch (*at) {
                case 1 << 3 | 2:
                case 2 << 3 | 2:
                case 4 << 3 | 2:
                case 5 << 3 | 2:
                case 9 << 3 | 2:
                    if (!read_short_length(data, end, field.size)) return at;
                    break;
                case 6 << 3 | 0:
                    if (data == end || *data >= 0x80) return at;
                    field.size = 1;
                    break;
                case 7 << 3 | 1:
                case 8 << 3 | 1:
                    field.size = 8;
                    break;
                default:
                    return at;
            }
            field.data = data;
            if (field.size > static_cast<size_t>(end - data)) return at;
            if (field.number == 9 && (depth_max_ == 0 || !is_plain_attribute(field))) return at;
            take_span_field(field, span);
            at = data + field.size;
        }
        return at;
    }

    // Everything below `message`, depth first, without recursion: the stack is a bounded array.
    Outcome walk(Kind root, std::string_view message, SpanFields* span) {
        const auto* at = reinterpret_cast<const uint8_t*>(message.data());
        const uint8_t* end = at + message.size();
        Kind kind = root;
        size_t height = 0;
        uint32_t depth = 0;
        while (true) {
            while (at == end) {
                if (height == 0) return Outcome::kGood;
                if (kind == Kind::kValue) --depth;
                --height;
                kind = stack_[height].kind;
                end = stack_[height].end;
            }
            if (kind == Kind::kSpan) {
                at = take_plain_fields(at, end, *span);
                if (at == end) continue;
            }
            Field field;
            if (!read_field(at, end, field)) return Outcome::kMalformed;
            const Kind child = field.wire_type == 2 && field.number < kFieldsKnown
                                   ? kChildren[static_cast<size_t>(kind)][field.number]
                                   : Kind::kNone;
            if (child == Kind::kNone) {
                if (kind == Kind::kSpan) take_span_field(field, *span);
                continue;
            }
            if (child == Kind::kAttribute && depth < depth_max_ && is_plain_attribute(field))
                continue;
            if (child == Kind::kValue && ++depth > depth_max_) return Outcome::kTooDeep;
            stack_[height++] = {end, kind};
            kind = child;
            at = field.data;
            end = field.data + field.size;
        }
    }

    // A length of one or two bytes.
    static bool read_short_length(const uint8_t*& at, const uint8_t* end, size_t& size) {
        if (at == end) return false;
        size = *at++;
        if (size < 0x80) return true;
        if (at == end || *at >= 0x80) return false;
        size = (size & 0x7f) | size_t{*at++} << 7;
        return true;
    }

    // Whether an attribute has the form that every sender uses, which holds nothing to walk into:
    // a key, then one text, boolean, integer or double, lengths in one or two bytes.
    static bool is_plain_attribute(const Field& field) {
        const uint8_t* at = field.data;
        const uint8_t* const end = at + field.size;
        const auto length = [&](size_t& size) { return read_short_length(at, end, size); };
        size_t size = 0;
        if (field.size < 4 || *at++ != 0x0a || !length(size) ||
            size + 2 > static_cast<size_t>(end - at))
            return false;
        at += size;
        if (*at++ != 0x12 || !length(size) || size != static_cast<size_t>(end - at) || size < 2)
            return false;
        switch (*at++) {
            case 0x0a:
                return length(size) && size == static_cast<size_t>(end - at);
            case 0x10:
            case 0x18: {
                // One number of at most ten bytes, up to the end.
                const auto left = static_cast<size_t>(end - at);
                if (left > 10) return false;
                for (size_t i = 0; i + 1 < left; ++i)
                    if (at[i] < 0x80) return false;
                return end[-1] < 0x80;
            }
            case 0x21:
                return end - at == 8;
            default:
                return false;
        }
    }

    ByteRange range_of(const Field& field) const {
        return {static_cast<uint32_t>(field.data - base_), static_cast<uint32_t>(field.size)};
    }

    void reject(Reason reason, size_t length, uint64_t spans) {
        batch_.spans_rejected += spans;
        for (RejectionCount& known : reasons_) {
            if (known.reason == reason && known.length == length) {
                known.spans += spans;
                return;
            }
        }
        if (reasons_.size() < kReasonsMax) {
            reasons_.push_back({reason, length, spans});
        } else {
            rejected_otherwise_ += spans;
        }
    }

    // Drops the accepted spans from `first` on: their resource or scope cannot be kept.
    void reject_from(size_t first, Reason reason) {
        if (batch_.spans.size() == first) return;
        reject(reason, 0, batch_.spans.size() - first);
        batch_.spans.resize(first);
    }

    void admit(const Field& field, const SpanFields& span) {
        SpanRef ref;
        if (span.trace_id.size() != ref.trace_id.bytes.size())
            return reject(Reason::kTraceIdLength, span.trace_id.size(), 1);
        if (span.span_id.size() != ref.span_id.bytes.size())
            return reject(Reason::kSpanIdLength, span.span_id.size(), 1);
        if (all_zero(span.trace_id)) return reject(Reason::kTraceIdZero, 0, 1);
        if (all_zero(span.span_id)) return reject(Reason::kSpanIdZero, 0, 1);
        if (!span.parent_span_id.empty() && span.parent_span_id.size() != ref.span_id.bytes.size())
            return reject(Reason::kParentLength, span.parent_span_id.size(), 1);
        ref.message = range_of(field);
        ref.scope = static_cast<uint32_t>(batch_.scopes.size());
        ref.start_ns = span.start_ns;
        ref.end_ns = span.end_ns;
        std::memcpy(ref.trace_id.bytes.data(), span.trace_id.data(), span.trace_id.size());
        std::memcpy(ref.span_id.bytes.data(), span.span_id.data(), span.span_id.size());
        batch_.spans.push_back(ref);
        if (batch_.spans.size() == kSampledSpans) reserve_spans(ref.message);
    }

    // A table that grows is copied each time. The rest of a request is mostly like its first spans,
    // of which this is the last.
    void reserve_spans(ByteRange last) {
        const size_t read_bytes = size_t{last.offset} + last.size;
        const size_t likely = kSampledSpans * batch_.bytes.size() / read_bytes;
        batch_.spans.reserve(likely + likely / 8);
    }

    bool read_span(const Field& field) {
        SpanFields span;
        switch (walk(Kind::kSpan, field.view(), &span)) {
            case Outcome::kMalformed:
                return false;
            case Outcome::kTooDeep:
                reject(Reason::kTooDeep, 0, 1);
                return true;
            case Outcome::kGood:
                break;
        }
        admit(field, span);
        return true;
    }

    // A Resource or InstrumentationScope.
    bool read_entity(Kind kind, const Field& field, ByteRange& message, bool& is_too_deep) {
        const Outcome outcome = walk(kind, field.view(), nullptr);
        if (outcome == Outcome::kMalformed) return false;
        is_too_deep = outcome == Outcome::kTooDeep;
        message = range_of(field);
        return true;
    }

    bool read_scope_spans(const Field& outer) {
        ScopeRef scope;
        scope.resource = static_cast<uint32_t>(batch_.resources.size());
        const size_t first_span = batch_.spans.size();
        bool is_too_deep = false;
        const uint8_t* at = outer.data;
        const uint8_t* const end = outer.data + outer.size;
        while (at != end) {
            Field field;
            if (!read_field(at, end, field)) return false;
            if (field.wire_type != 2) continue;
            if (field.number == 1) {
                if (!read_entity(Kind::kScope, field, scope.message, is_too_deep)) return false;
            } else if (field.number == 2) {
                if (!read_span(field)) return false;
            } else if (field.number == 3) {
                scope.schema_url = range_of(field);
            }
        }
        if (is_too_deep) reject_from(first_span, Reason::kScopeTooDeep);
        // Scopes without spans would be memory that only a hostile sender fills.
        if (batch_.spans.size() > first_span) batch_.scopes.push_back(scope);
        return true;
    }

    bool read_resource_spans(const Field& outer) {
        ResourceRef resource;
        const size_t first_span = batch_.spans.size();
        const size_t first_scope = batch_.scopes.size();
        bool is_too_deep = false;
        const uint8_t* at = outer.data;
        const uint8_t* const end = outer.data + outer.size;
        while (at != end) {
            Field field;
            if (!read_field(at, end, field)) return false;
            if (field.wire_type != 2) continue;
            if (field.number == 1) {
                if (!read_entity(Kind::kResource, field, resource.message, is_too_deep))
                    return false;
            } else if (field.number == 2) {
                if (!read_scope_spans(field)) return false;
            } else if (field.number == 3) {
                resource.schema_url = range_of(field);
            }
        }
        if (is_too_deep) {
            reject_from(first_span, Reason::kResourceTooDeep);
            batch_.scopes.resize(first_scope);
        }
        if (batch_.spans.size() > first_span) batch_.resources.push_back(resource);
        return true;
    }

    bool read_request() {
        const uint8_t* at = base_;
        const uint8_t* const end = base_ + batch_.bytes.size();
        while (at != end) {
            Field field;
            if (!read_field(at, end, field)) return false;
            if (field.number == 1 && field.wire_type == 2 && !read_resource_spans(field))
                return false;
        }
        return true;
    }

    void describe_rejection() {
        if (batch_.spans_rejected == 0) return;
        std::string text = fmt::format("{} {} rejected: ", batch_.spans_rejected,
                                       batch_.spans_rejected == 1 ? "span" : "spans");
        for (size_t i = 0; i < reasons_.size(); ++i) {
            if (i > 0) text += "; ";
            text += describe(reasons_[i], depth_max_);
            if (batch_.spans_rejected != reasons_[i].spans)
                text += fmt::format(" ({})", reasons_[i].spans);
        }
        if (rejected_otherwise_ > 0)
            text += fmt::format("; other reasons ({})", rejected_otherwise_);
        batch_.rejection = std::move(text);
    }

    const uint8_t* const base_;
    const uint32_t depth_max_;
    const uint32_t entities_max_;
    Batch batch_;
    const char* fault_ = "";
    size_t fault_offset_ = 0;
    std::vector<RejectionCount> reasons_;
    uint64_t rejected_otherwise_ = 0;
    // A value in a list in a map is three messages; a span and its event lie above the first.
    std::array<Frame, 3 * kDepthCeiling + 4> stack_;
};

}  // namespace

Result<Batch> decode(Blob bytes, const DecodeLimits& limits) {
    return Decoder(std::move(bytes), limits).run();
}

}  // namespace spanloom::otlp

#include "store/segment_wire.h"

#include <array>

#include "base/text.h"
#include "otlp/writer.h"
#include "store/segment_bytes.h"

namespace spanloom::store {
namespace {

// Deeper than any message that decode lets through (64 levels of AnyValue, up to three messages
// each).
constexpr size_t kDepthMax = 256;

enum class Part : uint8_t { kOther, kText, kMessage };

struct FieldType {
    Part part = Part::kOther;
    WireMessage message = WireMessage::kAnyValue;
};

// What length-delimited field `field` of a message is.
FieldType field_type(WireMessage type, uint64_t field) {
    switch (type) {
        case WireMessage::kAnyValue:
            if (field == 1) return {Part::kText, {}};
            if (field == 5) return {Part::kMessage, WireMessage::kArray};
            if (field == 6) return {Part::kMessage, WireMessage::kKvlist};
            return {};
        case WireMessage::kArray:
            if (field == 1) return {Part::kMessage, WireMessage::kAnyValue};
            return {};
        case WireMessage::kKvlist:
        case WireMessage::kOverflow:
        case WireMessage::kResource:
            if (field == 1) return {Part::kMessage, WireMessage::kKeyValue};
            return {};
        case WireMessage::kKeyValue:
            if (field == 1) return {Part::kText, {}};
            if (field == 2) return {Part::kMessage, WireMessage::kAnyValue};
            return {};
        case WireMessage::kScope:
            if (field == 1 || field == 2) return {Part::kText, {}};
            if (field == 3) return {Part::kMessage, WireMessage::kKeyValue};
            return {};
    }
    return {};
}

struct Level {
    std::string_view rest;
    WireMessage type = WireMessage::kAnyValue;
    size_t mark = 0;  // where its length is to be written
};

// Goes through the message depth first. The visitor hears of texts, of everything that is neither
// text nor message, and of messages as they begin and end; it may hand back a mark.
template <typename Visitor>
bool walk(std::string_view message, WireMessage type, Visitor& visitor) {
    std::array<Level, kDepthMax> levels;
    size_t depth = 0;
    levels[0] = {message, type, 0};
    while (true) {
        Level& level = levels[depth];
        if (level.rest.empty()) {
            if (depth == 0) return true;
            visitor.end(level.mark);
            --depth;
            continue;
        }
        const std::string_view before = level.rest;
        ByteReader reader(level.rest);
        const uint64_t tag = reader.varint();
        const uint64_t field = tag >> 3;
        if (!reader.ok() || field == 0 || tag > UINT32_MAX) return false;
        FieldType part;
        std::string_view bytes;
        switch (tag & 7) {
            case 0:
                reader.varint();
                break;
            case 1:
                reader.bytes(8);
                break;
            case 2:
                bytes = reader.text();
                part = field_type(level.type, field);
                break;
            case 5:
                reader.bytes(4);
                break;
            default:
                return false;
        }
        if (!reader.ok()) return false;
        level.rest = reader.rest();
        if (part.part == Part::kMessage) {
            if (depth + 1 == kDepthMax) return false;
            levels[++depth] = {bytes, part.message, visitor.begin(static_cast<uint32_t>(field))};
        } else if (part.part == Part::kText) {
            visitor.text(static_cast<uint32_t>(field), bytes);
        } else {
            visitor.other(before.substr(0, before.size() - level.rest.size()));
        }
    }
}

struct TextCheck {
    bool good = true;

    size_t begin(uint32_t) { return 0; }
    void end(size_t) {}
    void text(uint32_t, std::string_view bytes) { good = good && is_valid_utf8(bytes); }
    void other(std::string_view) {}
};

struct TextRepair {
    std::string out;
    otlp::WireWriter writer{out};

    size_t begin(uint32_t field) { return writer.begin(field); }
    void end(size_t mark) { writer.end(mark); }
    void text(uint32_t field, std::string_view bytes) {
        writer.bytes_field(field,
                           is_valid_utf8(bytes) ? std::string(bytes) : replace_invalid_utf8(bytes));
    }
    void other(std::string_view bytes) { out.append(bytes); }
};

}  // namespace

WireState check_wire(std::string_view message, WireMessage type) {
    TextCheck visitor;
    if (!walk(message, type, visitor)) return WireState::kBroken;
    return visitor.good ? WireState::kGood : WireState::kBadText;
}

std::string with_valid_text(std::string_view message, WireMessage type) {
    TextRepair visitor;
    walk(message, type, visitor);
    return std::move(visitor.out);
}

}  // namespace spanloom::store

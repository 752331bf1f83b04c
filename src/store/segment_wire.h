#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// OTLP messages that a segment keeps whole: AnyValues, resources, scopes, overflow values.
namespace spanloom::store {

// What a message is. kOverflow is repeated KeyValue = 1, each with its position as varint field 15.
enum class WireMessage : uint8_t {
    kAnyValue,
    kArray,
    kKvlist,
    kKeyValue,
    kResource,
    kScope,
    kOverflow
};

enum class WireState : uint8_t { kBroken, kGood, kBadText };

// Walks the whole message, however deep, without recursion. kBadText: well formed, but some text is
// not valid UTF-8.
WireState check_wire(std::string_view message, WireMessage type);

// The message with every invalid text replaced (U+FFFD). It must not be kBroken.
std::string with_valid_text(std::string_view message, WireMessage type);

}  // namespace spanloom::store

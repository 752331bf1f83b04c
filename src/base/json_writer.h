#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace spanloom {

// Writes JSON text into a string, commas and escapes included. Not a document: what is written is
// gone from here. Keys and values must alternate as JSON wants; begin and end must match. Strings
// are taken as UTF-8; invalid parts become U+FFFD, and '<', '>', '&', U+2028 and U+2029 are escaped
// so that the text is safe inside a page.
class JsonWriter {
  public:
    explicit JsonWriter(std::string& out) : out_(out) {}

    JsonWriter& begin_object();
    JsonWriter& end_object();
    JsonWriter& begin_array();
    JsonWriter& end_array();
    JsonWriter& key(std::string_view name);

    JsonWriter& string(std::string_view value);
    JsonWriter& number(int64_t value);
    JsonWriter& number(uint64_t value);
    JsonWriter& number(int value) { return number(static_cast<int64_t>(value)); }
    JsonWriter& number(unsigned value) { return number(static_cast<uint64_t>(value)); }
    // NaN and the infinities become the strings "NaN", "Infinity", "-Infinity".
    JsonWriter& number(double value);
    JsonWriter& boolean(bool value);
    JsonWriter& null();
    // A 64-bit number as a decimal string, as proto3 JSON writes it.
    JsonWriter& quoted(int64_t value);
    JsonWriter& quoted(uint64_t value);
    // Text that is JSON already.
    JsonWriter& raw(std::string_view json);

    template <typename Value>
    JsonWriter& field(std::string_view name, const Value& value) {
        key(name);
        if constexpr (std::is_same_v<Value, bool>) {
            return boolean(value);
        } else if constexpr (std::is_arithmetic_v<Value>) {
            return number(value);
        } else {
            return string(value);
        }
    }

  private:
    void separate();

    std::string& out_;
    bool needs_comma_ = false;
};

}  // namespace spanloom

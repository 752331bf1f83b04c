#pragma once

#include <cstdint>
#include <string_view>

#include "otlp/writer.h"

namespace spanloom {

// Writes OTLP attributes (KeyValue messages) below one field of the message being written.
class AttributeWriter {
  public:
    AttributeWriter(otlp::WireWriter& out, uint32_t field) : out_(out), field_(field) {}

    void text(std::string_view key, std::string_view value) {
        write(key, [&] { out_.bytes_field(1, value); });
    }
    void text_if_any(std::string_view key, std::string_view value) {
        if (!value.empty()) text(key, value);
    }
    void boolean(std::string_view key, bool value) {
        write(key, [&] { out_.varint_field(2, value ? 1 : 0); });
    }
    void flag(std::string_view key) { boolean(key, true); }
    void integer(std::string_view key, int64_t value) {
        write(key, [&] { out_.varint_field(3, static_cast<uint64_t>(value)); });
    }
    void port(std::string_view key, uint32_t value) {
        if (value != 0) integer(key, value);
    }
    void number(std::string_view key, double value) {
        write(key, [&] { out_.double_field(4, value); });
    }
    void bytes(std::string_view key, std::string_view value) {
        write(key, [&] { out_.bytes_field(7, value); });
    }

  private:
    template <typename WriteValue>
    void write(std::string_view key, WriteValue write_value) {
        const size_t attribute = out_.begin(field_);
        out_.bytes_field(1, key);
        const size_t value = out_.begin(2);
        write_value();
        out_.end(value);
        out_.end(attribute);
    }

    otlp::WireWriter& out_;
    uint32_t field_;
};

}  // namespace spanloom

#include "base/json_writer.h"

#include <cmath>

#include <fmt/format.h>

#include "base/text.h"

namespace spanloom {
namespace {

// Escapes text known to be valid UTF-8.
void append_escaped(std::string& out, std::string_view text) {
    size_t plain_from = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        const bool is_separator = c == 0xe2 && i + 2 < text.size() && text[i + 1] == '\x80' &&
                                  (text[i + 2] == '\xa8' || text[i + 2] == '\xa9');
        if (c >= 0x20 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' && c != 0x7f &&
            !is_separator)
            continue;
        out.append(text, plain_from, i - plain_from);
        plain_from = i + 1;
        if (is_separator) {
            out += text[i + 2] == '\xa8' ? "\\u2028" : "\\u2029";
            i += 2;
            plain_from = i + 1;
        } else if (c == '"' || c == '\\') {
            out += '\\';
            out += static_cast<char>(c);
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\t') {
            out += "\\t";
        } else if (c == '\r') {
            out += "\\r";
        } else {
            out += fmt::format("\\u{:04x}", c);
        }
    }
    out.append(text, plain_from, text.size() - plain_from);
}

void append_string(std::string& out, std::string_view text) {
    out += '"';
    if (is_valid_utf8(text)) {
        append_escaped(out, text);
    } else {
        append_escaped(out, replace_invalid_utf8(text));
    }
    out += '"';
}

}  // namespace

void JsonWriter::separate() {
    if (needs_comma_) out_ += ',';
    needs_comma_ = true;
}

JsonWriter& JsonWriter::begin_object() {
    separate();
    out_ += '{';
    needs_comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::end_object() {
    out_ += '}';
    needs_comma_ = true;
    return *this;
}

JsonWriter& JsonWriter::begin_array() {
    separate();
    out_ += '[';
    needs_comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::end_array() {
    out_ += ']';
    needs_comma_ = true;
    return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
    separate();
    append_string(out_, name);
    out_ += ':';
    needs_comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::string(std::string_view value) {
    separate();
    append_string(out_, value);
    return *this;
}

JsonWriter& JsonWriter::number(int64_t value) {
    return raw(fmt::format_int(value).c_str());
}
JsonWriter& JsonWriter::number(uint64_t value) {
    return raw(fmt::format_int(value).c_str());
}

JsonWriter& JsonWriter::number(double value) {
    if (std::isnan(value)) return raw("\"NaN\"");
    if (std::isinf(value)) return raw(value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    // Without the point, readers take it for an integer and lose the sign.
    if (value == 0 && std::signbit(value)) return raw("-0.0");
    return raw(fmt::format("{}", value));
}

JsonWriter& JsonWriter::boolean(bool value) {
    return raw(value ? "true" : "false");
}
JsonWriter& JsonWriter::null() {
    return raw("null");
}

JsonWriter& JsonWriter::quoted(int64_t value) {
    separate();
    out_ += '"';
    out_ += fmt::format_int(value).c_str();
    out_ += '"';
    return *this;
}

JsonWriter& JsonWriter::quoted(uint64_t value) {
    separate();
    out_ += '"';
    out_ += fmt::format_int(value).c_str();
    out_ += '"';
    return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
    separate();
    out_ += json;
    return *this;
}

}  // namespace spanloom

#include "otlp/json_text.h"

#include <cstring>

#include <simdjson.h>

#include "base/text.h"

namespace spanloom::otlp {
namespace {

// The value of four hexadecimal digits, or -1.
int parse_unit(std::string_view digits) {
    uint8_t bytes[2];
    if (digits.size() < 4 || !parse_hex(digits.substr(0, 4), bytes, sizeof bytes)) return -1;
    return bytes[0] << 8 | bytes[1];
}

// Half a surrogate pair is text that JSON can spell and UTF-8 cannot: it becomes U+FFFD, in place.
void replace_lone_surrogates(char* text, size_t size) {
    const std::string_view view(text, size);
    size_t at = view.find('\\');
    while (at != std::string_view::npos && at + 1 < size) {
        if (text[at + 1] != 'u') {
            at = view.find('\\', at + 2);
            continue;
        }
        const int unit = parse_unit(view.substr(at + 2));
        size_t next = at + 6;
        if (unit >= 0xd800 && unit <= 0xdfff) {
            const bool has_low = next + 6 <= size && text[next] == '\\' && text[next + 1] == 'u';
            const int low = has_low ? parse_unit(view.substr(next + 2)) : -1;
            if (unit < 0xdc00 && low >= 0xdc00 && low <= 0xdfff) {
                next += 6;
            } else {
                std::memcpy(text + at + 2, "fffd", 4);
            }
        }
        at = next < size ? view.find('\\', next) : std::string_view::npos;
    }
}

}  // namespace

Blob readable_json(std::string_view json) {
    Blob text = simdjson::validate_utf8(json.data(), json.size())
                    ? Blob::copy_of(json)
                    : Blob::copy_of(replace_invalid_utf8(json));
    replace_lone_surrogates(reinterpret_cast<char*>(text.mutable_data()), text.size());
    return text;
}

}  // namespace spanloom::otlp

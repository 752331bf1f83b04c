#include "main/terminal.h"

#include <cstdlib>

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"

namespace spanloom {

Terminal Terminal::of(int descriptor) {
    Terminal terminal;
    terminal.is_terminal = isatty(descriptor) == 1;
    const char* no_colour = std::getenv("NO_COLOR");
    terminal.has_colour = terminal.is_terminal && (no_colour == nullptr || *no_colour == '\0');
    winsize size{};
    if (terminal.is_terminal && ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 40)
        terminal.columns = size.ws_col;
    return terminal;
}

std::string printable(std::string_view text) {
    const std::string valid = is_valid_utf8(text) ? std::string(text) : replace_invalid_utf8(text);
    std::string out;
    out.reserve(valid.size());
    for (size_t i = 0; i < valid.size(); ++i) {
        const auto byte = static_cast<unsigned char>(valid[i]);
        // C1 controls are C2 80 to C2 9F in UTF-8; U+202A to U+202E and U+2066 to U+2069 turn the
        // direction of text around.
        const bool is_c1 = byte == 0xc2 && static_cast<unsigned char>(valid[i + 1]) < 0xa0;
        const bool is_direction =
            byte == 0xe2 && i + 2 < valid.size() &&
            ((valid[i + 1] == '\x80' && valid[i + 2] >= '\xaa' && valid[i + 2] <= '\xae') ||
             (valid[i + 1] == '\x81' && valid[i + 2] >= '\xa6' && valid[i + 2] <= '\xa9'));
        if (byte < 0x20 || byte == 0x7f || is_c1 || is_direction) {
            out += "\xef\xbf\xbd";
            i += is_direction ? 2 : is_c1 ? 1 : 0;
        } else {
            out += valid[i];
        }
    }
    return out;
}

size_t display_width(std::string_view text) {
    size_t width = 0;
    for (char c : text)
        width += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
    return width;
}

std::string fit(std::string_view text, size_t width) {
    if (display_width(text) <= width) return std::string(text);
    if (width == 0) return "";
    size_t at = 0;
    for (size_t taken = 0; at < text.size(); ++at) {
        if ((static_cast<unsigned char>(text[at]) & 0xc0) != 0x80 && taken++ == width - 1) break;
    }
    return std::string(text.substr(0, at)) + "…";
}

}  // namespace spanloom

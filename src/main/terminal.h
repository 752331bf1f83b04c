#pragma once

#include <string>
#include <string_view>

namespace spanloom {

// What the terminal on a descriptor can do; plain where output goes to a file or pipe.
struct Terminal {
    bool is_terminal = false;
    bool has_colour = false;
    unsigned columns = 100;

    static Terminal of(int descriptor);
};

// Text from outside made safe to print: control characters (and so ANSI escapes) and invalid UTF-8
// become visible marks.
std::string printable(std::string_view text);
// Columns the text takes, counting code points.
size_t display_width(std::string_view text);
// At most `width` columns, the cut marked with an ellipsis.
std::string fit(std::string_view text, size_t width);

}  // namespace spanloom

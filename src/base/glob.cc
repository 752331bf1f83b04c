#include "base/glob.h"

#include <cstddef>

namespace spanloom {

bool glob_match(std::string_view pattern, std::string_view text) noexcept {
    size_t p = 0;
    size_t t = 0;
    // The last star, and how far the text it stands for reaches so far.
    size_t star = std::string_view::npos;
    size_t star_end = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            star_end = t;
        } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
            ++p;
            ++t;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            t = ++star_end;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*')
        ++p;
    return p == pattern.size();
}

}  // namespace spanloom

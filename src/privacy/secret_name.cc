#include <array>

#include "privacy/character_class.h"
#include "privacy/detectors.h"

namespace spanloom::privacy {
namespace {

constexpr size_t kWordBytesMax = 16;  // longer than any word that is looked for

constexpr std::string_view kSecretWords[] = {
    "password", "passwd",     "pwd",    "passphrase", "secret",        "token",
    "apikey",   "credential", "cookie", "session",    "authorization",
};

bool is_secret_word(std::string_view word) noexcept {
    for (const std::string_view secret : kSecretWords) {
        if (word == secret) return true;
    }
    return false;
}

}  // namespace

bool is_secret_name(std::string_view name) noexcept {
    std::array<char, kWordBytesMax> word;
    size_t size = 0;
    bool is_after_api = false;
    const auto ends_secret = [&] {
        const std::string_view text(word.data(), size);
        const bool found = is_secret_word(text) || (is_after_api && text == "key");
        if (size != 0) is_after_api = text == "api" || text == "access" || text == "private";
        size = 0;
        return found;
    };
    for (size_t i = 0; i < name.size(); ++i) {
        const char c = name[i];
        const bool starts_word = is_upper(c) && i > 0 && is_lower(name[i - 1]);
        if ((!is_alnum(c) || starts_word) && ends_secret()) return true;
        if (!is_alnum(c)) continue;
        // A word too long for any of ours stays too long.
        if (size < word.size()) word[size++] = to_lower(c);
    }
    return ends_secret();
}

}  // namespace spanloom::privacy

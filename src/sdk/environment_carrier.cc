#include <array>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

#include "spanloom/carriers.h"

// context/env-carriers.md of the specification.
namespace spanloom {
namespace {

constexpr size_t kNameBytesMax = 256;

// The name as an environment variable's: upper case, and '_' for what such
// names cannot hold. Longer names than any format has give "".
class VariableName {
  public:
    explicit VariableName(std::string_view name) noexcept {
        if (name.size() + 1 > text_.size()) return;
        if (name.empty() || (name[0] >= '0' && name[0] <= '9')) text_[size_++] = '_';
        for (const char c : name)
            text_[size_++] = normal(c);
    }
    static char normal(char c) noexcept {
        if (c >= 'a' && c <= 'z') return static_cast<char>(c - 'a' + 'A');
        return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
    }
    std::string_view view() const noexcept { return {text_.data(), size_}; }

  private:
    std::array<char, kNameBytesMax> text_;
    size_t size_ = 0;
};

bool is_normal(std::string_view name) noexcept {
    return !name.empty() && VariableName(name).view() == name;
}

// The part before '='.
std::string_view name_of(std::string_view variable) noexcept {
    return variable.substr(0, variable.find('='));
}

}  // namespace

std::optional<std::string_view> EnvironmentGetter::get(std::string_view name) const noexcept {
    const VariableName wanted(name);
    if (wanted.view().empty() || environ == nullptr) return std::nullopt;
    for (char** variable = environ; *variable != nullptr; ++variable) {
        const std::string_view text(*variable);
        const std::string_view found = name_of(text);
        if (found == wanted.view() && found.size() < text.size())
            return text.substr(found.size() + 1);
    }
    return std::nullopt;
}

void EnvironmentGetter::for_each_name(FunctionRef<void(std::string_view)> visit) const noexcept {
    if (environ == nullptr) return;
    for (char** variable = environ; *variable != nullptr; ++variable) {
        const std::string_view name = name_of(*variable);
        if (is_normal(name)) visit(name);
    }
}

ChildEnvironment::ChildEnvironment() {
    if (environ == nullptr) return;
    for (char** variable = environ; *variable != nullptr; ++variable)
        variables_.emplace_back(*variable);
}

void ChildEnvironment::set(std::string_view name, std::string_view value) noexcept {
    const VariableName wanted(name);
    if (wanted.view().empty() || value.find('\0') != std::string_view::npos) return;
    try {
        std::string variable = std::string(wanted.view()) + "=" + std::string(value);
        for (std::string& known : variables_) {
            if (name_of(known) != wanted.view()) continue;
            known = std::move(variable);
            return;
        }
        variables_.push_back(std::move(variable));
    } catch (...) {  // out of memory: the child goes without
    }
}

char* const* ChildEnvironment::data() noexcept {
    pointers_.clear();
    for (std::string& variable : variables_)
        pointers_.push_back(variable.data());
    pointers_.push_back(nullptr);
    return pointers_.data();
}

}  // namespace spanloom

#include "sdk/substitution.h"

#include <cstdlib>

namespace spanloom::sdk {
namespace {

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// ENV-NAME at the front; its size.
size_t name_size(std::string_view text) {
    size_t size = 0;
    while (size < text.size() && (is_letter(text[size]) || text[size] == '_' ||
                                  (size > 0 && text[size] >= '0' && text[size] <= '9')))
        ++size;
    return size;
}

// What stands between "${" and "}".
Result<std::string> resolve(std::string_view reference, const Environment& environment) {
    std::string_view rest = reference;
    size_t size = name_size(rest);
    // "env:" is a prefix, unless what follows is a default for a variable of that
    // name.
    if (rest.substr(0, 4) == "env:" && rest.substr(4, 1) != "-") {
        rest.remove_prefix(4);
        size = name_size(rest);
    }
    const std::string_view name = rest.substr(0, size);
    rest.remove_prefix(size);
    const bool has_default = rest.substr(0, 2) == ":-";
    if (name.empty() || (!rest.empty() && !has_default) ||
        rest.find('\n') != std::string_view::npos)
        return fail(ErrorCode::kInvalidArgument,
                    "'${{{}}}' is no reference to an environment variable: write "
                    "${{NAME}} or "
                    "${{NAME:-default}}, or $$ for a dollar sign",
                    reference);
    std::optional<std::string> value = environment(name);
    if (value && !value->empty()) return *std::move(value);
    return has_default ? std::string(rest.substr(2)) : std::string();
}

// A text without "$$".
Result<void> append_substituted(std::string_view text, const Environment& environment,
                                std::string& out) {
    while (true) {
        const size_t begin = text.find("${");
        const size_t end = begin == std::string_view::npos ? begin : text.find('}', begin);
        if (end == std::string_view::npos || end == begin + 2) {
            // No reference, or an empty one, which is none.
            const size_t taken = end == std::string_view::npos ? text.size() : end + 1;
            out.append(text.substr(0, taken));
            text.remove_prefix(taken);
            if (text.empty()) return {};
            continue;
        }
        out.append(text.substr(0, begin));
        TRY_ASSIGN(const std::string value,
                   resolve(text.substr(begin + 2, end - begin - 2), environment));
        out.append(value);
        text.remove_prefix(end + 1);
    }
}

}  // namespace

std::optional<std::string> process_variable(std::string_view name) {
    const char* value = std::getenv(std::string(name).c_str());
    if (value == nullptr) return std::nullopt;
    return value;
}

Result<std::string> substitute_variables(std::string_view text, const Environment& environment) {
    std::string out;
    while (true) {
        const size_t escape = text.find("$$");
        TRY(append_substituted(text.substr(0, escape), environment, out));
        if (escape == std::string_view::npos) return out;
        out += '$';
        text.remove_prefix(escape + 2);
    }
}

Result<void> substitute_variables(YamlNode& node, const Environment& environment) {
    if (node.kind == YamlNode::Kind::kScalar) {
        if (node.text.find('$') == std::string::npos) return {};
        auto text = substitute_variables(node.text, environment);
        if (!text)
            return fail(ErrorCode::kInvalidArgument, "line {}: {}", node.line,
                        text.error().message);
        node.text = *std::move(text);
        return {};
    }
    for (auto& entry : node.entries)
        TRY(substitute_variables(entry.value, environment));
    for (YamlNode& item : node.items)
        TRY(substitute_variables(item, environment));
    return {};
}

}  // namespace spanloom::sdk

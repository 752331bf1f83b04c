#include "send/json_fields.h"

#include "base/text.h"

namespace spanloom::send {
namespace {

constexpr int kDepthMax = 64;

// Walks JSON text whose form nobody has checked.
class Scanner {
  public:
    explicit Scanner(std::string_view text) : left_(text) {}

    void blank() {
        while (!left_.empty() && std::string_view(" \t\r\n").find(left_[0]) != left_.npos)
            left_.remove_prefix(1);
    }
    bool take(char c) {
        blank();
        if (left_.empty() || left_[0] != c) return false;
        left_.remove_prefix(1);
        return true;
    }
    char peek() {
        blank();
        return left_.empty() ? '\0' : left_[0];
    }
    std::optional<std::string> string() {
        if (!take('"')) return std::nullopt;
        std::string out;
        while (!left_.empty() && left_[0] != '"') {
            const char c = left_[0];
            left_.remove_prefix(1);
            if (c != '\\') {
                out += c;
                continue;
            }
            if (!escape(out)) return std::nullopt;
        }
        if (left_.empty()) return std::nullopt;
        left_.remove_prefix(1);
        return out;
    }
    // The text of one value of any kind.
    std::optional<std::string_view> value() {
        blank();
        const std::string_view from = left_;
        int depth = 0;
        do {
            const char c = peek();
            if (c == '{' || c == '[') {
                take(c);
                if (++depth > kDepthMax) return std::nullopt;
            } else if (c == '}' || c == ']') {
                if (--depth < 0) return std::nullopt;
                take(c);
            } else if (c == '"') {
                if (!string()) return std::nullopt;
            } else if (depth > 0 && (c == ',' || c == ':')) {
                take(c);
            } else if (!word()) {
                return std::nullopt;
            }
        } while (depth > 0);
        return from.substr(0, from.size() - left_.size());
    }

  private:
    // A number, true, false, null.
    bool word() {
        size_t size = 0;
        while (size < left_.size() &&
               std::string_view(" \t\r\n,:]}\"[{").find(left_[size]) == left_.npos)
            ++size;
        left_.remove_prefix(size);
        return size > 0;
    }
    bool escape(std::string& out) {
        if (left_.empty()) return false;
        const char c = left_[0];
        left_.remove_prefix(1);
        if (c != 'u') {
            const size_t at = std::string_view("nrtbf").find(c);
            out += at == std::string_view::npos ? c : "\n\r\t\b\f"[at];
            return true;
        }
        uint8_t unit[2];
        if (left_.size() < 4 || !parse_hex(left_.substr(0, 4), unit, sizeof unit)) return false;
        left_.remove_prefix(4);
        // For people to read: half a pair of surrogates is not put together.
        const uint32_t code = static_cast<uint32_t>(unit[0]) << 8 | unit[1];
        if (code < 0x80) {
            out += static_cast<char>(code);
        } else if (code < 0x800) {
            out += static_cast<char>(0xc0 | code >> 6);
            out += static_cast<char>(0x80 | (code & 0x3f));
        } else if (code >= 0xd800 && code < 0xe000) {
            out += "\xef\xbf\xbd";
        } else {
            out += static_cast<char>(0xe0 | code >> 12);
            out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
            out += static_cast<char>(0x80 | (code & 0x3f));
        }
        return true;
    }

    std::string_view left_;
};

std::optional<std::string_view> find(std::string_view object, std::string_view name) {
    Scanner scanner(object);
    if (!scanner.take('{')) return std::nullopt;
    while (scanner.peek() == '"') {
        const std::optional<std::string> key = scanner.string();
        if (!key || !scanner.take(':')) return std::nullopt;
        const std::optional<std::string_view> value = scanner.value();
        if (!value) return std::nullopt;
        if (*key == name) return value;
        if (!scanner.take(',')) return std::nullopt;
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::string> json_text(std::string_view object, std::string_view name) {
    const std::optional<std::string_view> value = find(object, name);
    return value ? Scanner(*value).string() : std::nullopt;
}

std::optional<int64_t> json_number(std::string_view object, std::string_view name) {
    const std::optional<std::string_view> value = find(object, name);
    if (!value) return std::nullopt;
    if (!starts_with(*value, "\"")) return parse_int(*value);
    return parse_int(Scanner(*value).string().value_or(""));
}

std::optional<std::string_view> json_object(std::string_view object, std::string_view name) {
    const std::optional<std::string_view> value = find(object, name);
    return value && starts_with(*value, "{") ? value : std::nullopt;
}

}  // namespace spanloom::send

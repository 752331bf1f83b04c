#include "sdk/yaml.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/text.h"

namespace spanloom::sdk {
namespace {

bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

void append_utf8(std::string& out, uint32_t point) {
    if (point < 0x80) {
        out += static_cast<char>(point);
    } else if (point < 0x800) {
        out += static_cast<char>(0xc0 | point >> 6);
        out += static_cast<char>(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        out += static_cast<char>(0xe0 | point >> 12);
        out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
        out += static_cast<char>(0x80 | (point & 0x3f));
    } else {
        out += static_cast<char>(0xf0 | point >> 18);
        out += static_cast<char>(0x80 | (point >> 12 & 0x3f));
        out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
        out += static_cast<char>(0x80 | (point & 0x3f));
    }
}

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    Result<YamlNode> run() {
        if (text_.size() > kYamlBytesMax) return error("more than 1 MiB");
        if (text_.substr(0, 3) == "\xef\xbb\xbf") at_ = 3;
        TRY(skip_space());
        if (text_.substr(at_, 3) == "---" && ends_line(at_ + 3)) {
            at_ += 3;
            TRY(skip_space());
        }
        YamlNode node;
        node.line = line_;
        if (at_ < text_.size()) {
            TRY_ASSIGN(node, block(column(), 0));
            TRY(skip_space());
        }
        if (at_ < text_.size())
            return error(text_.substr(at_, 3) == "---" || text_.substr(at_, 3) == "..."
                             ? "a second document is not supported"
                             : "this does not belong to what is above it (indentation)");
        return node;
    }

  private:
    tl::unexpected<Error> error(std::string_view what) const {
        return fail(ErrorCode::kInvalidArgument, "line {}: {}", line_, what);
    }
    char byte(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }
    bool ends_line(size_t i) const {
        return i >= text_.size() || text_[i] == '\n' || text_[i] == '\r' || is_blank(text_[i]);
    }
    size_t column() const {
        const size_t newline = text_.rfind('\n', at_ == 0 ? 0 : at_ - 1);
        if (newline == std::string_view::npos || at_ == 0) return at_ - start_of_text();
        return at_ - newline - 1;
    }
    size_t start_of_text() const { return text_.substr(0, 3) == "\xef\xbb\xbf" ? 3 : 0; }

    // To the next thing that is written: over blanks, comments and empty lines.
    Result<void> skip_space() {
        bool is_line_start = at_ == start_of_text();
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '\n') {
                ++line_;
                is_line_start = true;
            } else if (c == '#' && (at_ == 0 || byte(at_ - 1) == '\n' || is_blank(byte(at_ - 1)))) {
                while (at_ < text_.size() && text_[at_] != '\n')
                    ++at_;
                continue;
            } else if (c == '\t' && is_line_start) {
                size_t next = at_;
                while (is_blank(byte(next)))
                    ++next;
                if (byte(next) != '\n' && byte(next) != '\r' && byte(next) != '#' &&
                    next < text_.size())
                    return error("a tab as indentation; use blanks");
            } else if (!is_blank(c) && c != '\r') {
                return {};
            }
            ++at_;
        }
        return {};
    }
    // Over blanks and a comment, up to the line's end: true where nothing else is
    // on it.
    bool skip_to_line_end() {
        while (is_blank(byte(at_)) || byte(at_) == '\r')
            ++at_;
        if (byte(at_) == '#' && at_ > 0 && (is_blank(text_[at_ - 1]) || text_[at_ - 1] == '\n')) {
            while (at_ < text_.size() && text_[at_] != '\n')
                ++at_;
        }
        return at_ >= text_.size() || text_[at_] == '\n';
    }

    Result<void> count(uint32_t depth) {
        if (depth > kYamlDepthMax) return error("nested deeper than 64");
        if (++nodes_ > kYamlNodesMax) return error("more than 100,000 values");
        return {};
    }

    bool is_list_dash() const { return byte(at_) == '-' && ends_line(at_ + 1); }

    // What begins here, at this column: a list, a mapping or one value.
    Result<YamlNode> block(size_t indent, uint32_t depth) {
        TRY(count(depth));
        if (is_list_dash()) return block_list(indent, depth);
        const size_t begin = at_;
        const uint32_t line = line_;
        std::string key;
        TRY_ASSIGN(const bool is_map, try_key(key));
        at_ = begin;
        line_ = line;
        return is_map ? block_map(indent, depth) : value(depth);
    }

    Result<YamlNode> block_list(size_t indent, uint32_t depth) {
        YamlNode node;
        node.kind = YamlNode::Kind::kList;
        node.line = line_;
        while (at_ < text_.size() && column() == indent && is_list_dash()) {
            ++at_;
            TRY_ASSIGN(YamlNode item, nested(indent, depth, false));
            node.items.push_back(std::move(item));
            TRY(skip_space());
        }
        return node;
    }

    Result<YamlNode> block_map(size_t indent, uint32_t depth) {
        YamlNode node;
        node.kind = YamlNode::Kind::kMap;
        node.line = line_;
        while (at_ < text_.size() && column() == indent && !is_list_dash()) {
            std::string key;
            if (text_.substr(at_, 3) == "---" || text_.substr(at_, 3) == "...") break;
            TRY_ASSIGN(const bool is_key, try_key(key));
            if (!is_key) return error("a key and ':' are expected here");
            if (node.find(key) != nullptr)
                return fail(ErrorCode::kInvalidArgument, "line {}: '{}' is there twice", line_,
                            key);
            TRY_ASSIGN(YamlNode value, nested(indent, depth, true));
            node.entries.push_back({std::move(key), std::move(value)});
            TRY(skip_space());
        }
        return node;
    }

    // What follows "key:" or "-": on the same line, or deeper below, or nothing.
    // A list may stand right below its key.
    Result<YamlNode> nested(size_t indent, uint32_t depth, bool is_of_key) {
        YamlNode empty;
        empty.line = line_;
        if (!skip_to_line_end()) {
            // "- key: value" and "- - x" begin a block in mid-line.
            if (!is_of_key) return block(column(), depth + 1);
            TRY(count(depth + 1));
            return value(depth + 1);
        }
        TRY(skip_space());
        if (at_ >= text_.size()) return empty;
        const bool is_deeper =
            column() > indent || (is_of_key && column() == indent && is_list_dash());
        if (!is_deeper) return empty;
        return block(column(), depth + 1);
    }

    // "key:" in front of something; the key may be quoted. Moves behind the
    // colon.
    Result<bool> try_key(std::string& key) {
        const char first = byte(at_);
        if (first == '"' || first == '\'') {
            TRY(quoted(key));
            while (is_blank(byte(at_)))
                ++at_;
            if (byte(at_) != ':' || !ends_line(at_ + 1)) return false;
            ++at_;
            return true;
        }
        if (first == '[' || first == '{') return false;
        size_t end = at_;
        while (end < text_.size() && text_[end] != '\n') {
            if (text_[end] == ':' && ends_line(end + 1)) break;
            if (text_[end] == '#' && end > at_ && is_blank(text_[end - 1])) return false;
            ++end;
        }
        if (byte(end) != ':') return false;
        TRY(check_plain_start());
        size_t last = end;
        while (last > at_ && is_blank(text_[last - 1]))
            --last;
        key = text_.substr(at_, last - at_);
        at_ = end + 1;
        return true;
    }

    Result<void> check_plain_start() const {
        switch (byte(at_)) {
            case '&':
            case '*':
                return error("anchors and aliases are not supported");
            case '!':
                return error("tags are not supported");
            case '|':
            case '>':
                return error(
                    "text of several lines is not supported; write it in double "
                    "quotes, with \\n");
            case ']':
            case '}':
            case ',':
            case '%':
            case '@':
            case '`':
                return error("a plain value cannot begin so; put it in quotes");
            case '?':
                if (ends_line(at_ + 1)) return error("'? ' is not supported");
                return {};
            default:
                return {};
        }
    }

    // One value in mid-line, up to the line's end.
    Result<YamlNode> value(uint32_t depth) {
        YamlNode node;
        node.line = line_;
        const char first = byte(at_);
        if (first == '[' || first == '{') {
            TRY_ASSIGN(node, flow(depth));
        } else if (first == '"' || first == '\'') {
            node.is_quoted = true;
            TRY(quoted(node.text));
        } else {
            TRY(check_plain_start());
            size_t end = at_;
            while (end < text_.size() && text_[end] != '\n' &&
                   !(text_[end] == '#' && end > at_ && is_blank(text_[end - 1]))) {
                if (text_[end] == ':' && ends_line(end + 1))
                    return error("a mapping cannot begin in the middle of a line");
                ++end;
            }
            node.text = plain(at_, end);
            at_ = end;
        }
        if (!skip_to_line_end()) return error("nothing more is expected on this line");
        return node;
    }
    std::string plain(size_t begin, size_t end) const {
        while (end > begin && (is_blank(text_[end - 1]) || text_[end - 1] == '\r'))
            --end;
        return std::string(text_.substr(begin, end - begin));
    }

    // ---- flow style: {a: b}, [a, b]; may go over lines; JSON is a part of it
    Result<YamlNode> flow(uint32_t depth) {
        TRY(count(depth));
        YamlNode node;
        node.line = line_;
        const char open = byte(at_);
        if (open == '"' || open == '\'') {
            node.is_quoted = true;
            TRY(quoted(node.text));
            return node;
        }
        if (open != '[' && open != '{') {
            TRY(check_plain_start());
            const size_t begin = at_;
            while (at_ < text_.size() && text_[at_] != '\n' && !is_flow_end(at_))
                ++at_;
            node.text = plain(begin, at_);
            return node;
        }
        ++at_;
        const char close = open == '[' ? ']' : '}';
        node.kind = open == '[' ? YamlNode::Kind::kList : YamlNode::Kind::kMap;
        while (true) {
            TRY(skip_space());
            if (byte(at_) == close) break;
            if (at_ >= text_.size()) return error("this bracket is never closed");
            TRY(open == '[' ? flow_item(node, depth) : flow_entry(node, depth));
            TRY(skip_space());
            if (byte(at_) == ',') {
                ++at_;
            } else if (byte(at_) != close) {
                return fail(ErrorCode::kInvalidArgument, "line {}: ',' or '{}' is expected here",
                            line_, close);
            }
        }
        ++at_;
        return node;
    }
    bool is_flow_end(size_t i) const {
        const char c = text_[i];
        return c == ',' || c == '[' || c == ']' || c == '{' || c == '}' ||
               (c == ':' && (ends_line(i + 1) || byte(i + 1) == ',' || byte(i + 1) == '}')) ||
               (c == '#' && i > 0 && is_blank(text_[i - 1]));
    }
    Result<void> flow_item(YamlNode& list, uint32_t depth) {
        TRY_ASSIGN(YamlNode item, flow(depth + 1));
        if (item.kind == YamlNode::Kind::kScalar && !item.is_quoted && item.text.empty())
            return error("a value is expected here");
        list.items.push_back(std::move(item));
        return {};
    }
    Result<void> flow_entry(YamlNode& map, uint32_t depth) {
        TRY_ASSIGN(YamlNode key, flow(depth + 1));
        if (key.kind != YamlNode::Kind::kScalar || (key.text.empty() && !key.is_quoted))
            return error("a key is expected here");
        if (map.find(key.text) != nullptr)
            return fail(ErrorCode::kInvalidArgument, "line {}: '{}' is there twice", line_,
                        key.text);
        TRY(skip_space());
        YamlNode value;
        value.line = line_;
        if (byte(at_) == ':') {
            ++at_;
            TRY(skip_space());
            if (byte(at_) != ',' && byte(at_) != '}') {
                TRY_ASSIGN(value, flow(depth + 1));
            }
        }
        map.entries.push_back({std::move(key.text), std::move(value)});
        return {};
    }

    // ---- "..." with escapes, '...' with doubled quotes; on one line
    Result<void> quoted(std::string& out) {
        const char quote = text_[at_++];
        out.clear();
        while (true) {
            const char c = byte(at_);
            if (at_ >= text_.size() || c == '\n')
                return error("this quote is not closed on its line");
            ++at_;
            if (c == quote) {
                if (quote == '"' || byte(at_) != '\'') return {};
                ++at_;
                out += '\'';
            } else if (c == '\\' && quote == '"') {
                TRY(escape(out));
            } else {
                out += c;
            }
        }
    }
    Result<void> escape(std::string& out) {
        static constexpr std::string_view kNames = "0abtnvfre \"/\\";
        static constexpr std::string_view kValues("\0\a\b\t\n\v\f\r\x1b \"/\\", 13);
        const char name = byte(at_++);
        if (const size_t known = kNames.find(name);
            known != std::string_view::npos && name != '\0') {
            out += kValues[known];
            return {};
        }
        const size_t digits = name == 'x' ? 2 : name == 'u' ? 4 : name == 'U' ? 8 : 0;
        if (digits == 0) return error("this escape is unknown");
        TRY_ASSIGN(uint32_t point, hex(digits));
        // JSON writes what is beyond 16 bits as two halves.
        if (point >= 0xd800 && point < 0xdc00 && byte(at_) == '\\' && byte(at_ + 1) == 'u') {
            at_ += 2;
            TRY_ASSIGN(const uint32_t low, hex(4));
            if (low < 0xdc00 || low > 0xdfff) return error("half of a character is missing");
            point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
        }
        if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return error("this escape is no character");
        append_utf8(out, point);
        return {};
    }
    Result<uint32_t> hex(size_t digits) {
        uint32_t value = 0;
        const char* begin = text_.data() + at_;
        const size_t left = text_.size() - std::min(at_, text_.size());
        if (left < digits) return error("this escape is cut off");
        const auto [end, code] = std::from_chars(begin, begin + digits, value, 16);
        if (code != std::errc() || end != begin + digits)
            return error("hexadecimal digits are expected here");
        at_ += digits;
        return value;
    }

    std::string_view text_;
    size_t at_ = 0;
    uint32_t line_ = 1;
    size_t nodes_ = 0;
};

}  // namespace

Result<YamlNode> parse_yaml(std::string_view text) {
    return Parser(text).run();
}

YamlNode::YamlNode() = default;
YamlNode::YamlNode(YamlNode&&) noexcept = default;
YamlNode& YamlNode::operator=(YamlNode&&) noexcept = default;
YamlNode::~YamlNode() = default;

const YamlNode* YamlNode::find(std::string_view key) const {
    for (const auto& [name, value] : entries) {
        if (name == key) return &value;
    }
    return nullptr;
}

bool YamlNode::is_null() const {
    return kind == Kind::kScalar && !is_quoted &&
           (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL");
}

std::optional<bool> YamlNode::boolean() const {
    if (kind != Kind::kScalar || is_quoted) return std::nullopt;
    if (text == "true" || text == "True" || text == "TRUE") return true;
    if (text == "false" || text == "False" || text == "FALSE") return false;
    return std::nullopt;
}

std::optional<int64_t> YamlNode::integer() const {
    if (kind != Kind::kScalar || is_quoted) return std::nullopt;
    std::string_view digits = text;
    int base = 10;
    if (digits.substr(0, 2) == "0x" || digits.substr(0, 2) == "0o") {
        base = digits[1] == 'x' ? 16 : 8;
        digits.remove_prefix(2);
        if (digits.empty() || digits[0] == '-') return std::nullopt;
    } else if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') {
        digits.remove_prefix(1);
    }
    int64_t value = 0;
    const auto [end, code] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (code != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return value;
}

std::optional<double> YamlNode::number() const {
    if (const auto whole = integer()) return static_cast<double>(*whole);
    if (kind != Kind::kScalar || is_quoted) return std::nullopt;
    std::string_view digits = text;
    const bool is_negative = !digits.empty() && digits[0] == '-';
    if (!digits.empty() && (digits[0] == '+' || digits[0] == '-')) digits.remove_prefix(1);
    if (digits == ".inf" || digits == ".Inf" || digits == ".INF") {
        const double infinity = std::numeric_limits<double>::infinity();
        return is_negative ? -infinity : infinity;
    }
    if (text == ".nan" || text == ".NaN" || text == ".NAN") return std::nan("");
    const bool has_only_digits = std::all_of(digits.begin(), digits.end(), [](char c) {
        return (c >= '0' && c <= '9') || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-';
    });
    if (digits.empty() || !has_only_digits) return std::nullopt;
    const auto value = parse_double(digits);
    if (!value) return std::nullopt;
    return is_negative ? -*value : *value;
}

}  // namespace spanloom::sdk

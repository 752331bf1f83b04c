#include "traceql/lexer.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/text.h"

namespace spanloom::traceql {
namespace {

using store::Scope;
using store::Value;

bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool ends_attribute(char c) {
    return is_space(c) || std::string_view("{}()=~!<>&|^,").find(c) != std::string_view::npos;
}

// Longest first: the first that fits is the token.
constexpr std::array<std::string_view, 41> kSymbols = {
    "!>>", "!<<", "&>>", "&<<", "&&", "||", "==", "!=", "=~", "!~", ">=", "<=", ">>", "<<",
    "!>",  "!<",  "&>",  "&<",  "&~", "{",  "}",  "(",  ")",  ",",  "|",  "=",  ">",  "<",
    "~",   "!",   "+",   "-",   "*",  "/",  "%",  "^",  "&",  ":",  "[",  "]",  ";"};

constexpr std::array<std::pair<std::string_view, Scope>, 5> kScopes = {{
    {"span", Scope::kSpan},
    {"resource", Scope::kResource},
    {"event", Scope::kEvent},
    {"link", Scope::kLink},
    {"instrumentation", Scope::kInstrumentation},
}};

std::optional<Scope> scope_of(std::string_view word) {
    for (const auto& [name, scope] : kScopes) {
        if (name == word) return scope;
    }
    return std::nullopt;
}

void append_utf8(std::string& out, uint32_t code) {
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xc0 | (code >> 6));
        out += static_cast<char>(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        out += static_cast<char>(0xe0 | (code >> 12));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
        out += static_cast<char>(0x80 | (code & 0x3f));
    } else {
        out += static_cast<char>(0xf0 | (code >> 18));
        out += static_cast<char>(0x80 | ((code >> 12) & 0x3f));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
        out += static_cast<char>(0x80 | (code & 0x3f));
    }
}

class Lexer {
  public:
    explicit Lexer(std::string_view query) : query_(query) {}

    Tokens run() {
        while (!error_) {
            skip_blanks();
            if (error_ || at_ >= query_.size()) break;
            const size_t from = at_;
            Token token;
            token.from = from;
            read(token);
            if (error_) break;
            token.to = at_;
            tokens_.push_back(std::move(token));
        }
        Token end;
        end.from = end.to = error_ ? at_ : query_.size();
        tokens_.push_back(std::move(end));
        return {std::move(tokens_), std::move(error_)};
    }

  private:
    char peek(size_t ahead = 0) const {
        return at_ + ahead < query_.size() ? query_[at_ + ahead] : '\0';
    }
    void fail(size_t from, size_t to, std::string message, std::string hint = {}) {
        error_ = error_at(query_, from, to, std::move(message), std::move(hint));
    }

    void skip_blanks() {
        while (at_ < query_.size()) {
            if (is_space(query_[at_])) {
                ++at_;
            } else if (query_.substr(at_, 2) == "//") {
                at_ = std::min(query_.find('\n', at_), query_.size());
            } else if (query_.substr(at_, 2) == "/*") {
                const size_t close = query_.find("*/", at_ + 2);
                if (close == std::string_view::npos)
                    return fail(at_, at_ + 2, "comment is not closed", "end it with */");
                at_ = close + 2;
            } else {
                return;
            }
        }
    }

    void read(Token& token) {
        const char c = peek();
        if (c == '"' || c == '`') return read_string(token);
        if (c == '\'')
            return fail(at_, at_ + 1, "strings stand in double quotes or backticks",
                        "write \" instead of '");
        if (is_digit(c)) return read_number(token);
        if (c == '.') return read_dot(token);
        if (is_letter(c)) return read_word(token);
        for (const std::string_view symbol : kSymbols) {
            if (query_.substr(at_, symbol.size()) != symbol) continue;
            token.kind = TokenKind::kSymbol;
            token.text = symbol;
            at_ += symbol.size();
            return;
        }
        size_t size = 1;
        while (at_ + size < query_.size() &&
               (static_cast<unsigned char>(query_[at_ + size]) & 0xc0) == 0x80)
            ++size;
        fail(
            at_, at_ + size,
            fmt::format("unexpected character {}", replace_invalid_utf8(query_.substr(at_, size))));
    }

    // ".name", or a number such as .95
    void read_dot(Token& token) {
        size_t end = at_ + 1;
        while (end < query_.size() && !ends_attribute(query_[end]) && query_[end] != '"')
            ++end;
        const auto number = parse_double(query_.substr(at_, end - at_));
        if (number && end > at_ + 1 && is_digit(query_[at_ + 1])) {
            token.kind = TokenKind::kNumber;
            token.value = Value::of_double(*number);
            at_ = end;
            return;
        }
        token.scope = Scope::kAny;
        ++at_;
        read_attribute(token, ".");
    }

    // The name after a scope: up to a blank or an operator, quoted parts included.
    void read_attribute(Token& token, std::string_view after) {
        token.kind = TokenKind::kAttribute;
        const size_t from = at_;
        while (at_ < query_.size() && !ends_attribute(query_[at_])) {
            if (query_[at_] == '"') {
                if (!read_quoted_part(token.text)) return;
            } else {
                token.text += query_[at_++];
            }
        }
        if (at_ == from)
            fail(token.from, at_, fmt::format("attribute name is missing after {}", after));
    }

    bool read_quoted_part(std::string& out) {
        const size_t open = at_++;
        while (at_ < query_.size() && query_[at_] != '"') {
            if (query_[at_] == '\\') {
                ++at_;
                if (peek() != '"' && peek() != '\\') {
                    fail(at_ - 1, at_ + 1, "unknown escape in an attribute name",
                         "only \\\" and \\\\ are known there");
                    return false;
                }
            }
            out += query_[at_++];
        }
        if (at_ >= query_.size()) {
            fail(open, open + 1, "quoted attribute name is not closed");
            return false;
        }
        ++at_;
        return true;
    }

    void read_word(Token& token) {
        const size_t from = at_;
        while (is_letter(peek()) || is_digit(peek()))
            ++at_;
        std::string_view word = query_.substr(from, at_ - from);
        if (word == "parent" && peek() == '.') {
            token.is_parent = true;
            ++at_;
            const size_t inner = at_;
            while (is_letter(peek()) || is_digit(peek()))
                ++at_;
            word = query_.substr(inner, at_ - inner);
            if (peek() != '.' || !scope_of(word)) {
                at_ = inner;
                return read_attribute(token, "parent.");
            }
        }
        const auto scope = scope_of(word);
        if (scope && peek() == '.') {
            token.scope = *scope;
            ++at_;
            return read_attribute(token, std::string(word) + ".");
        }
        token.kind = TokenKind::kIdentifier;
        if (peek() == ':' && is_letter(peek(1))) {
            ++at_;
            while (is_letter(peek()) || is_digit(peek()))
                ++at_;
        } else if (peek() == '.' || peek() == '-') {
            // A bare attribute name such as http.method: taken whole, so that the error can show
            // it.
            if (peek() == '.') {
                while (at_ < query_.size() && !ends_attribute(query_[at_]))
                    ++at_;
            }
        }
        token.text = query_.substr(from, at_ - from);
    }

    void read_number(Token& token) {
        token.kind = TokenKind::kNumber;
        const size_t from = at_;
        while (is_digit(peek()) || (peek() == '.' && is_digit(peek(1))))
            ++at_;
        if (peek() == '.' && !is_letter(peek(1))) ++at_;
        const bool has_exponent =
            (peek() == 'e' || peek() == 'E') &&
            (is_digit(peek(1)) || ((peek(1) == '+' || peek(1) == '-') && is_digit(peek(2))));
        if (has_exponent) {
            at_ += 2;
            while (is_digit(peek()))
                ++at_;
        }
        // What is attached is a unit, perhaps of several: 1h30m, 1.5s, 5µs.
        while (is_letter(peek()) || is_digit(peek()) ||
               static_cast<unsigned char>(peek()) >= 0x80 || (peek() == '.' && is_digit(peek(1))))
            ++at_;
        const std::string_view text = query_.substr(from, at_ - from);
        if (const auto integer = parse_int(text)) {
            token.value = Value::of_int(*integer);
        } else if (const auto number = parse_double(text)) {
            token.value = Value::of_double(*number);
        } else if (const auto duration = parse_query_duration(text)) {
            token.value = Value::of_duration(*duration);
        } else {
            fail(from, at_,
                 fmt::format("\"{}\" is not a number or a duration", replace_invalid_utf8(text)),
                 "durations are written like 250ms, 1.5s or 1h30m");
        }
    }

    // Go's units, and days, weeks and years as Prometheus writes them.
    static std::optional<int64_t> parse_query_duration(std::string_view text) {
        const size_t year = text.find('y');
        if (year == std::string_view::npos) {
            const auto parsed = parse_duration_ns(text);
            if (!parsed) return std::nullopt;
            return *parsed;
        }
        const auto years = parse_double(text.substr(0, year));
        if (!years) return std::nullopt;
        int64_t rest = 0;
        if (year + 1 < text.size()) {
            const auto parsed = parse_duration_ns(text.substr(year + 1));
            if (!parsed) return std::nullopt;
            rest = *parsed;
        }
        constexpr double kYearNs = 365.0 * 86'400e9;
        const double total = *years * kYearNs + static_cast<double>(rest);
        if (!(total < 9.2e18)) return std::nullopt;
        return std::llround(total);
    }

    void read_string(Token& token) {
        token.kind = TokenKind::kString;
        const size_t open = at_;
        const char quote = query_[at_++];
        while (at_ < query_.size() && query_[at_] != quote) {
            if (quote == '"' && query_[at_] == '\n') break;
            if (quote == '"' && query_[at_] == '\\') {
                if (!read_escape(token.text)) return;
            } else {
                token.text += query_[at_++];
            }
        }
        if (peek() != quote || at_ >= query_.size())
            return fail(open, at_, "string is not closed", fmt::format("end it with {}", quote));
        ++at_;
        token.value = Value::of_string(token.text);
    }

    bool read_digits(size_t count, uint32_t base, uint32_t& code) {
        const std::string_view digits = query_.substr(at_, count);
        const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), code,
                                            static_cast<int>(base));
        if (digits.size() != count || parsed.ptr != digits.data() + count) return false;
        at_ += count;
        return true;
    }

    // Go's escapes: \a \b \f \n \r \t \v \\ \" \nnn \xhh \uhhhh \Uhhhhhhhh.
    bool read_escape(std::string& out) {
        const size_t from = at_++;
        const char c = peek();
        constexpr std::string_view kNames = "abfnrtv\\\"";
        constexpr std::string_view kBytes = "\a\b\f\n\r\t\v\\\"";
        if (const size_t i = kNames.find(c); c != '\0' && i != std::string_view::npos) {
            out += kBytes[i];
            ++at_;
            return true;
        }
        uint32_t code = 0;
        bool good = false;
        if (is_digit(c)) {
            good = read_digits(3, 8, code) && code < 256;
            if (good) out += static_cast<char>(code);
        } else if (c == 'x') {
            ++at_;
            good = read_digits(2, 16, code);
            if (good) out += static_cast<char>(code);
        } else if (c == 'u' || c == 'U') {
            ++at_;
            good = read_digits(c == 'u' ? 4 : 8, 16, code) && code <= 0x10ffff &&
                   (code < 0xd800 || code > 0xdfff);
            if (good) append_utf8(out, code);
        }
        if (!good)
            fail(from, std::min(from + 2, query_.size()), "unknown escape in a string",
                 "for regular expressions, backticks need no escapes: `\\d+`");
        return good;
    }

    std::string_view query_;
    size_t at_ = 0;
    std::vector<Token> tokens_;
    std::optional<QueryError> error_;
};

}  // namespace

Tokens tokenize(std::string_view query) {
    if (query.size() > kQueryBytesMax) {
        Tokens refused;
        refused.list.emplace_back();
        refused.error = error_at(
            query, 0, 0,
            fmt::format("query of {} bytes is longer than {}", query.size(), kQueryBytesMax));
        return refused;
    }
    return Lexer(query).run();
}

}  // namespace spanloom::traceql

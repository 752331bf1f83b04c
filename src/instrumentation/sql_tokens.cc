#include "instrumentation/sql_tokens.h"

#include <algorithm>

namespace spanloom::instrumentation {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

bool starts_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

bool continues_name(char c) {
    return starts_name(c) || is_digit(c) || c == '$';
}

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool same_word(std::string_view word, std::string_view upper_case) {
    return word.size() == upper_case.size() &&
           std::equal(word.begin(), word.end(), upper_case.begin(),
                      [](char a, char b) { return lower(a) == lower(b); });
}

// Cuts from the front of what is left.
class Reader {
  public:
    Reader(std::string_view statement, Backslash backslash)
        : rest_(statement), backslash_(backslash) {}
    SqlToken next();

  private:
    SqlToken take(SqlKind kind, size_t size);
    SqlToken take_dollar();
    size_t space_size() const;
    size_t string_size(size_t start, bool escapes) const;
    size_t dollar_string_size() const;
    size_t number_size() const;

    std::string_view rest_;
    Backslash backslash_;
    bool spaced_ = false;
};

SqlToken Reader::take(SqlKind kind, size_t size) {
    SqlToken token{kind, rest_.substr(0, size), spaced_};
    rest_.remove_prefix(token.text.size());
    return token;
}

// Space and comments, which nest.
size_t Reader::space_size() const {
    size_t at = 0;
    while (at < rest_.size()) {
        if (is_space(rest_[at])) {
            ++at;
        } else if (rest_.substr(at, 2) == "--") {
            at = std::min(rest_.find('\n', at), rest_.size());
        } else if (rest_.substr(at, 2) == "/*") {
            size_t depth = 0;
            do {
                if (rest_.substr(at, 2) == "/*") {
                    ++depth;
                    at += 2;
                } else if (rest_.substr(at, 2) == "*/") {
                    --depth;
                    at += 2;
                } else {
                    ++at;
                }
            } while (depth > 0 && at < rest_.size());
        } else {
            break;
        }
    }
    return at;
}

// Through the closing quote of the string or quoted name whose opening quote is at `start`.
size_t Reader::string_size(size_t start, bool escapes) const {
    const char quote = rest_[start];
    for (size_t at = start + 1; at < rest_.size(); ++at) {
        if (escapes && rest_[at] == '\\') {
            ++at;
        } else if (rest_[at] == quote) {
            if (at + 1 >= rest_.size() || rest_[at + 1] != quote) {
                return at + 1;
            }
            ++at;
        }
    }
    return rest_.size();
}

// $$...$$ or $tag$...$tag$; 0 where the dollar opens none.
size_t Reader::dollar_string_size() const {
    size_t at = 1;
    while (at < rest_.size() && continues_name(rest_[at]) && rest_[at] != '$') {
        ++at;
    }
    if (at >= rest_.size() || rest_[at] != '$' || (at > 1 && is_digit(rest_[1]))) {
        return 0;
    }
    const std::string_view tag = rest_.substr(0, at + 1);
    const size_t end = rest_.find(tag, tag.size());
    return end == std::string_view::npos ? rest_.size() : end + tag.size();
}

// Decimal, hexadecimal and the like, with exponent; letters that follow belong to it.
size_t Reader::number_size() const {
    const bool decimal = rest_.size() < 2 || lower(rest_[1]) != 'x';
    size_t at = 0;
    while (at < rest_.size()) {
        const char c = rest_[at];
        const bool sign = c == '+' || c == '-';
        const bool exponent_sign = sign && decimal && at > 0 && lower(rest_[at - 1]) == 'e';
        if (!is_digit(c) && !starts_name(c) && c != '.' && !exponent_sign) {
            break;
        }
        ++at;
    }
    return at;
}

// A string, a parameter ($1), or a dollar that is none of both.
SqlToken Reader::take_dollar() {
    if (const size_t size = dollar_string_size(); size > 0) {
        return take(SqlKind::kLiteral, size);
    }
    const auto end = std::find_if_not(rest_.begin() + 1, rest_.end(), is_digit);
    const auto size = static_cast<size_t>(end - rest_.begin());
    return take(size > 1 ? SqlKind::kParameter : SqlKind::kSymbol, size);
}

SqlToken Reader::next() {
    const size_t space = space_size();
    spaced_ = space > 0;
    rest_.remove_prefix(space);
    if (rest_.empty()) {
        return {};
    }
    const char c = rest_[0];
    if (c == '\'') {
        return take(SqlKind::kLiteral, string_size(0, backslash_ == Backslash::kEscape));
    }
    if (c == '"') {
        return take(SqlKind::kQuotedName, string_size(0, false));
    }
    if (rest_.size() > 1 && rest_[1] == '\'' && std::string_view("eEbBxXnN").find(c) < 8) {
        const bool escapes = c == 'e' || c == 'E' || backslash_ == Backslash::kEscape;
        return take(SqlKind::kLiteral, string_size(1, escapes));
    }
    if (rest_.size() > 2 && lower(c) == 'u' && rest_[1] == '&' && rest_[2] == '\'') {
        return take(SqlKind::kLiteral, string_size(2, false));
    }
    if (c == '$') {
        return take_dollar();
    }
    if (is_digit(c) || (c == '.' && rest_.size() > 1 && is_digit(rest_[1]))) {
        return take(SqlKind::kLiteral, number_size());
    }
    if (starts_name(c)) {
        const auto end = std::find_if_not(rest_.begin(), rest_.end(), continues_name);
        const auto size = static_cast<size_t>(end - rest_.begin());
        const std::string_view word = rest_.substr(0, size);
        const bool boolean = same_word(word, "TRUE") || same_word(word, "FALSE");
        return take(boolean ? SqlKind::kLiteral : SqlKind::kWord, size);
    }
    return take(SqlKind::kSymbol, 1);
}

}  // namespace

bool SqlToken::is(std::string_view upper_case_word) const {
    return kind == SqlKind::kWord && same_word(text, upper_case_word);
}

std::vector<SqlToken> read_sql(std::string_view statement, Backslash backslash) {
    Reader reader(statement, backslash);
    std::vector<SqlToken> tokens;
    for (SqlToken token = reader.next(); token.kind != SqlKind::kEnd; token = reader.next()) {
        tokens.push_back(token);
    }
    return tokens;
}

}  // namespace spanloom::instrumentation

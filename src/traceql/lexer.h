#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/field.h"
#include "traceql/error.h"

namespace spanloom::traceql {

enum class TokenKind : uint8_t {
    kEnd,
    kSymbol,      // braces, parentheses, comma and operators; `text` is the symbol
    kIdentifier,  // keywords, intrinsics ("duration", "span:name"), functions
    kAttribute,   // `scope` and, decoded, `text`
    kString,      // decoded in `text`
    kNumber,      // `value`: int, double or duration
};

struct Token {
    TokenKind kind = TokenKind::kEnd;
    size_t from = 0;
    size_t to = 0;
    std::string text;
    store::Scope scope = store::Scope::kAny;
    bool is_parent = false;  // attribute of the parent span
    store::Value value;

    bool is(std::string_view symbol) const { return kind == TokenKind::kSymbol && text == symbol; }
    bool is_word(std::string_view word) const {
        return kind == TokenKind::kIdentifier && text == word;
    }
};

struct Tokens {
    std::vector<Token> list;  // ends with kEnd
    std::optional<QueryError> error;
};

// Texts longer than this are refused before they are read: no person writes one.
inline constexpr size_t kQueryBytesMax = 64U << 10;

// Splits the text. After an error, the list holds what came before it.
Tokens tokenize(std::string_view query);

}  // namespace spanloom::traceql

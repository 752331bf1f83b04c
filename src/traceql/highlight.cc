#include "traceql/highlight.h"

#include "traceql/lexer.h"
#include "traceql/names.h"

namespace spanloom::traceql {
namespace {

HighlightKind kind_of(const Token& token) {
    switch (token.kind) {
        case TokenKind::kString:
            return HighlightKind::kString;
        case TokenKind::kNumber:
            return token.value.kind == store::ValueKind::kDuration ? HighlightKind::kDuration
                                                                   : HighlightKind::kNumber;
        case TokenKind::kIdentifier:
            return intrinsic_of(token.text) ? HighlightKind::kIntrinsic : HighlightKind::kKeyword;
        default:
            break;
    }
    const bool is_brace = token.text == "{" || token.text == "}" || token.text == "(" ||
                          token.text == ")" || token.text == ",";
    return is_brace ? HighlightKind::kBrace : HighlightKind::kOperator;
}

}  // namespace

std::string_view highlight_name(HighlightKind kind) {
    switch (kind) {
        case HighlightKind::kBrace:
            return "brace";
        case HighlightKind::kScope:
            return "scope";
        case HighlightKind::kAttribute:
            return "attribute";
        case HighlightKind::kOperator:
            return "operator";
        case HighlightKind::kString:
            return "string";
        case HighlightKind::kNumber:
            return "number";
        case HighlightKind::kDuration:
            return "duration";
        case HighlightKind::kKeyword:
            return "keyword";
        case HighlightKind::kIntrinsic:
            return "intrinsic";
    }
    return "";
}

std::vector<Highlight> highlight(std::string_view query) {
    std::vector<Highlight> parts;
    for (const Token& token : tokenize(query).list) {
        if (token.kind == TokenKind::kEnd) break;
        if (token.kind != TokenKind::kAttribute) {
            parts.push_back({token.from, token.to, kind_of(token)});
            continue;
        }
        // The scope ends with the dot that the name follows.
        size_t dot = query.find('.', token.from);
        if (token.is_parent && token.scope != store::Scope::kAny) dot = query.find('.', dot + 1);
        parts.push_back({token.from, dot + 1, HighlightKind::kScope});
        parts.push_back({dot + 1, token.to, HighlightKind::kAttribute});
    }
    return parts;
}

}  // namespace spanloom::traceql

#include "traceql/token_groups.h"

#include "traceql/names.h"
#include "traceql/operators.h"

namespace spanloom::traceql {

bool TokenGroups::starts_scalar(const std::vector<Token>& tokens, size_t at_token) const {
    while (true) {
        const Token& token = tokens[at_token];
        if (token.kind == TokenKind::kNumber) return true;
        if (token.kind == TokenKind::kEnd) return false;
        if (token.is("-")) {
            ++at_token;
        } else if (token.is("(")) {
            const Group& group = at(at_token);
            if (group.has_comparison || !group.is_closed) return false;
            at_token = group.content;
        } else {
            return token.kind == TokenKind::kIdentifier && aggregate_of(token.text) &&
                   tokens[at_token + 1].is("(");
        }
    }
}

TokenGroups find_groups(const std::vector<Token>& tokens) {
    TokenGroups found;
    found.group_of.assign(tokens.size(), 0);
    struct Open {
        size_t group = 0;
        bool is_call = false;
        bool is_brace = false;
    };
    std::vector<Open> open;
    for (size_t i = 0; i < tokens.size(); ++i) {
        const Token& token = tokens[i];
        const bool is_named = i > 0 && tokens[i - 1].kind == TokenKind::kIdentifier;
        if (token.is("{")) {
            if (!open.empty()) found.groups[open.back().group].has_pipeline = true;
            found.groups.push_back({i + 1});
            open.push_back({found.groups.size() - 1, false, true});
        } else if (token.is("(")) {
            found.group_of[i] = found.groups.size();
            found.groups.push_back({i + 1});
            open.push_back({found.groups.size() - 1, is_named, false});
        } else if ((token.is(")") || token.is("}")) && !open.empty()) {
            found.groups[open.back().group].is_closed = true;
            open.pop_back();
        } else if (!open.empty()) {
            TokenGroups::Group& group = found.groups[open.back().group];
            const BinaryOperator* binary = binary_of(token);
            if (token.is("|")) {
                group.has_pipeline = true;
                group.content = i + 1;
                group.has_comparison = false;
            } else if (binary != nullptr && binary->precedence <= kComparison) {
                group.has_comparison = true;
            } else if (token.kind == TokenKind::kIdentifier && tokens[i + 1].is("(")) {
                const auto function = function_of(token.text);
                if (!function || *function < FunctionKind::kMetric || open.back().is_call ||
                    open.back().is_brace || *function == FunctionKind::kSecond)
                    continue;
                group.has_metric = true;
                found.has_nested_metric = true;
            }
        }
    }
    return found;
}

}  // namespace spanloom::traceql

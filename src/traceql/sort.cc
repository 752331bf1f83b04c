#include "traceql/sort.h"

#include "traceql/arithmetic.h"
#include "traceql/lexer.h"
#include "traceql/names.h"

namespace spanloom::traceql {

using store::Value;
using store::ValueKind;

namespace {

// Numbers before texts before the rest, so that mixed types have an order too.
int rank_of(const Value& value) {
    if (value.is_number()) return 0;
    return value.kind == ValueKind::kString ? 1 : 2;
}

bool is_less(const Value& a, const Value& b) {
    if (rank_of(a) != rank_of(b)) return rank_of(a) < rank_of(b);
    if (rank_of(a) < 2) return compare_values(Operator::kLess, a, b);
    return a.integer < b.integer;
}

}  // namespace

bool Sort::comes_before(const Value& a, const Value& b) const {
    if (a.kind == ValueKind::kNil || b.kind == ValueKind::kNil)
        return a.kind != ValueKind::kNil && b.kind == ValueKind::kNil;
    return is_ascending ? is_less(a, b) : is_less(b, a);
}

std::optional<Sort> sort_of(std::string_view key) {
    Sort sort;
    if (key == "start") return sort;
    if (key == "duration" || key == "traceDuration" || key == "trace:duration") {
        sort.key = Sort::Key::kDuration;
        return sort;
    }
    if (key == "spans") {
        sort.key = Sort::Key::kSpans;
        return sort;
    }
    const Tokens tokens = tokenize(key);
    if (tokens.error || tokens.list.size() != 2 || tokens.list[0].is_parent) return std::nullopt;
    const Token& token = tokens.list[0];
    sort.key = Sort::Key::kField;
    if (token.kind == TokenKind::kAttribute) {
        sort.field = {token.scope, store::Intrinsic::kNone, token.text};
        return sort;
    }
    const auto intrinsic = intrinsic_of(token.text);
    if (!intrinsic) return std::nullopt;
    sort.field = {store::Scope::kIntrinsic, *intrinsic, ""};
    return sort;
}

Sort sort_of(const Query& query) {
    const Value* key = query.hint("sort");
    const Value* order = query.hint("order");
    Sort sort = (key != nullptr ? sort_of(key->text) : std::nullopt).value_or(Sort{});
    sort.is_ascending = order != nullptr && order->text == "asc";
    return sort;
}

}  // namespace spanloom::traceql

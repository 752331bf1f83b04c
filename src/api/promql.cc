#include "api/promql.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include <re2/re2.h>

#include "base/text.h"

namespace spanloom::api {
namespace {

bool is_name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

constexpr std::array<std::string_view, 11> kAggregates = {"sum",    "avg",    "min",     "max",
                                                          "count",  "topk",   "bottomk", "group",
                                                          "stddev", "stdvar", "quantile"};
constexpr std::array<std::string_view, 8> kAnsweredAggregates = {
    "sum", "avg", "min", "max", "count", "topk", "bottomk", "group"};
constexpr std::array<std::string_view, 14> kFunctions = {
    "rate",   "increase", "irate",     "histogram_quantile", "abs",
    "ceil",   "floor",    "round",     "clamp_min",          "clamp_max",
    "vector", "sort",     "sort_desc", "label_replace"};

template <size_t kSize>
bool has(const std::array<std::string_view, kSize>& list, std::string_view word) {
    return std::find(list.begin(), list.end(), word) != list.end();
}

// Binding strength; 0: no binary operator.
int precedence(std::string_view op) {
    if (op == "or") return 1;
    if (op == "and" || op == "unless") return 2;
    if (op == "==" || op == "!=" || op == ">" || op == "<" || op == ">=" || op == "<=") return 3;
    if (op == "+" || op == "-") return 4;
    if (op == "*" || op == "/" || op == "%") return 5;
    return op == "^" ? 6 : 0;
}

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    Result<PromNode> whole() {
        if (text_.size() > kPromBytesMax)
            return fail(ErrorCode::kInvalidArgument, "the query is longer than {} bytes",
                        kPromBytesMax);
        TRY_ASSIGN(PromNode node, expression(1, 0));
        skip_blanks();
        if (at_ < text_.size()) return unexpected();
        return node;
    }

    Result<PromNode> whole_selector() {
        TRY_ASSIGN(PromNode node, whole());
        if (node.kind != PromNode::Kind::kSelector || node.window_ns != 0)
            return fail(ErrorCode::kInvalidArgument, "match[] must be a series selector");
        return node;
    }

  private:
    tl::unexpected<Error> unexpected() {
        if (at_ >= text_.size())
            return fail(ErrorCode::kInvalidArgument, "parse error: unexpected end of input");
        return fail(ErrorCode::kInvalidArgument, "1:{}: parse error: unexpected \"{}\"", at_ + 1,
                    replace_invalid_utf8(text_.substr(at_, 20)));
    }
    tl::unexpected<Error> refused(std::string_view what) {
        return fail(ErrorCode::kUnsupported,
                    "{} is not answered here: this is the part of PromQL that rates, errors and "
                    "durations need",
                    what);
    }

    void skip_blanks() {
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '#') {
                at_ = std::min(text_.find('\n', at_), text_.size());
            } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
                ++at_;
            } else {
                return;
            }
        }
    }
    bool take(std::string_view symbol) {
        skip_blanks();
        if (!text_.substr(at_).starts_with(symbol)) return false;
        at_ += symbol.size();
        return true;
    }
    std::string_view word() {
        skip_blanks();
        size_t end = at_;
        if (end < text_.size() && is_name_start(text_[end])) {
            while (end < text_.size() && (is_name_start(text_[end]) || is_digit(text_[end])))
                ++end;
        }
        return text_.substr(at_, end - at_);
    }
    bool take_word(std::string_view wanted) {
        if (word() != wanted) return false;
        at_ += wanted.size();
        return true;
    }

    std::string_view binary_operator() {
        skip_blanks();
        const std::string_view name = word();
        if (name == "and" || name == "or" || name == "unless") return name;
        if (name == "atan2") return name;
        for (const std::string_view op :
             {"==", "!=", ">=", "<=", ">", "<", "+", "-", "*", "/", "%", "^"}) {
            if (text_.substr(at_).starts_with(op)) return op;
        }
        return {};
    }

    Result<PromNode> expression(int strength, int depth) {
        if (depth > kPromDepthMax)
            return fail(ErrorCode::kInvalidArgument, "the query is nested deeper than {} levels",
                        kPromDepthMax);
        TRY_ASSIGN(PromNode left, unary(depth));
        for (int operators = 0;; ++operators) {
            const std::string_view op = binary_operator();
            if (op == "atan2") return refused("atan2");
            const int own = precedence(op);
            if (own == 0 || own < strength) return left;
            if (operators > 100)
                return fail(ErrorCode::kInvalidArgument, "more than 100 operators in a row");
            at_ += op.size();
            PromNode node;
            node.kind = PromNode::Kind::kBinary;
            node.name = op;
            TRY(matching(node));
            // '^' alone binds to the right.
            TRY_ASSIGN(PromNode right, expression(op == "^" ? own : own + 1, depth + 1));
            node.arguments.push_back(std::move(left));
            node.arguments.push_back(std::move(right));
            left = std::move(node);
        }
    }

    Result<void> matching(PromNode& node) {
        node.returns_bool = take_word("bool");
        const bool is_on = take_word("on");
        if (is_on || take_word("ignoring")) {
            node.has_labels = true;
            node.is_without = !is_on;
            TRY_ASSIGN(node.labels, label_list());
        }
        const std::string_view next = word();
        if (next == "group_left" || next == "group_right") return refused(next);
        return {};
    }

    Result<PromNode> unary(int depth) {
        skip_blanks();
        const bool is_minus = take("-");
        if (!is_minus && !take("+")) return postfix(depth);
        TRY_ASSIGN(PromNode inner, expression(precedence("^"), depth + 1));
        if (!is_minus) return inner;
        PromNode node;
        node.kind = PromNode::Kind::kNegate;
        node.arguments.push_back(std::move(inner));
        return node;
    }

    Result<PromNode> postfix(int depth) {
        TRY_ASSIGN(PromNode node, primary(depth));
        skip_blanks();
        if (take("[")) {
            if (node.kind != PromNode::Kind::kSelector || node.window_ns != 0)
                return refused("a subquery");
            TRY_ASSIGN(const int64_t window, duration());
            skip_blanks();
            if (take(":")) return refused("a subquery");
            if (!take("]")) return unexpected();
            if (window <= 0)
                return fail(ErrorCode::kInvalidArgument, "duration must be greater than 0");
            node.window_ns = static_cast<uint64_t>(window);
        }
        if (take_word("offset")) {
            if (node.kind != PromNode::Kind::kSelector)
                return fail(ErrorCode::kInvalidArgument,
                            "offset modifier must be preceded by a selector");
            const bool is_negative = take("-");
            TRY_ASSIGN(const int64_t offset, duration());
            node.offset_ns = is_negative ? -offset : offset;
        }
        if (take("@")) return refused("the @ modifier");
        return node;
    }

    Result<int64_t> duration() {
        skip_blanks();
        size_t end = at_;
        while (end < text_.size() && (is_name_start(text_[end]) || is_digit(text_[end])) &&
               text_[end] != ':')
            ++end;
        const std::string_view part = text_.substr(at_, end - at_);
        // A bare number is seconds.
        if (const auto seconds = parse_int(part); seconds && *seconds < 10'000'000'000) {
            at_ = end;
            return *seconds * 1'000'000'000;
        }
        const auto parsed = parse_duration_ns(part);
        if (!parsed)
            return fail(ErrorCode::kInvalidArgument, "1:{}: parse error: bad duration \"{}\"",
                        at_ + 1, replace_invalid_utf8(part.substr(0, 20)));
        at_ = end;
        return *parsed;
    }

    Result<PromNode> primary(int depth) {
        skip_blanks();
        if (at_ >= text_.size()) return unexpected();
        const char c = text_[at_];
        if (take("(")) {
            TRY_ASSIGN(PromNode node, expression(1, depth + 1));
            if (!take(")")) return unexpected();
            return node;
        }
        if (c == '{') return selector({});
        if (c == '"' || c == '\'' || c == '`') {
            PromNode node;
            node.kind = PromNode::Kind::kString;
            TRY_ASSIGN(node.name, quoted());
            return node;
        }
        if (is_digit(c) || c == '.') return number();
        const std::string_view name = word();
        if (name.empty()) return unexpected();
        at_ += name.size();
        return named(name, depth);
    }

    Result<PromNode> named(std::string_view name, int depth) {
        std::string lower(name);
        for (char& c : lower)
            c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
        if (lower == "inf" || lower == "nan") {
            PromNode node;
            node.number = lower == "inf" ? std::numeric_limits<double>::infinity()
                                         : std::numeric_limits<double>::quiet_NaN();
            return node;
        }
        skip_blanks();
        const bool is_call = at_ < text_.size() && text_[at_] == '(';
        const std::string_view next = word();
        if (has(kAggregates, lower) && (is_call || next == "by" || next == "without")) {
            if (!has(kAnsweredAggregates, lower)) return refused(lower);
            return aggregate(lower, depth);
        }
        if (!is_call) return selector(name);
        if (!has(kFunctions, name)) return refused("function " + std::string(name.substr(0, 50)));
        PromNode node;
        node.kind = PromNode::Kind::kCall;
        node.name = name;
        TRY(argument_list(node, depth));
        return node;
    }

    Result<void> argument_list(PromNode& node, int depth) {
        if (!take("(")) return unexpected();
        if (take(")")) return {};
        do {
            TRY_ASSIGN(PromNode argument, expression(1, depth + 1));
            node.arguments.push_back(std::move(argument));
            if (node.arguments.size() > 16)
                return fail(ErrorCode::kInvalidArgument, "{} has too many arguments", node.name);
        } while (take(","));
        if (!take(")")) return unexpected();
        return {};
    }

    Result<PromNode> aggregate(const std::string& name, int depth) {
        PromNode node;
        node.kind = PromNode::Kind::kAggregate;
        node.name = name;
        TRY(grouping(node));
        TRY(argument_list(node, depth));
        if (node.labels.empty()) TRY(grouping(node));
        const size_t wanted = name == "topk" || name == "bottomk" ? 2 : 1;
        if (node.arguments.size() != wanted)
            return fail(ErrorCode::kInvalidArgument,
                        "wrong number of arguments for aggregate expression provided, expected {}, "
                        "got {}",
                        wanted, node.arguments.size());
        return node;
    }

    Result<void> grouping(PromNode& node) {
        const bool is_by = take_word("by");
        if (!is_by && !take_word("without")) return {};
        node.is_without = !is_by;
        TRY_ASSIGN(node.labels, label_list());
        return {};
    }

    Result<std::vector<std::string>> label_list() {
        std::vector<std::string> labels;
        if (!take("(")) return unexpected();
        while (!take(")")) {
            const std::string_view label = word();
            if (label.empty()) return unexpected();
            at_ += label.size();
            labels.emplace_back(label);
            if (!take(",")) {
                if (!take(")")) return unexpected();
                break;
            }
        }
        return labels;
    }

    Result<PromNode> selector(std::string_view name) {
        PromNode node;
        node.kind = PromNode::Kind::kSelector;
        node.name = name;
        if (take("{")) {
            while (!take("}")) {
                TRY(matcher(node));
                if (!take(",")) {
                    if (!take("}")) return unexpected();
                    break;
                }
            }
        }
        if (node.name.empty() && node.matchers.empty())
            return fail(ErrorCode::kInvalidArgument,
                        "vector selector must contain at least one non-empty matcher");
        return node;
    }

    Result<void> matcher(PromNode& node) {
        constexpr size_t kMatchersMax = 64;
        PromMatcher matcher;
        const std::string_view label = word();
        if (label.empty()) return unexpected();
        at_ += label.size();
        matcher.label = label;
        using Op = PromMatcher::Op;
        if (take("=~")) {
            matcher.op = Op::kMatch;
        } else if (take("!~")) {
            matcher.op = Op::kNotMatch;
        } else if (take("!=")) {
            matcher.op = Op::kNotEqual;
        } else if (!take("=")) {
            return unexpected();
        }
        TRY_ASSIGN(matcher.value, quoted());
        TRY(matcher.prepare());
        if (node.matchers.size() >= kMatchersMax)
            return fail(ErrorCode::kInvalidArgument, "more than {} matchers", kMatchersMax);
        if (matcher.label == "__name__" && matcher.op == Op::kEqual && node.name.empty()) {
            node.name = matcher.value;
        } else {
            node.matchers.push_back(std::move(matcher));
        }
        return {};
    }

    Result<std::string> quoted() {
        skip_blanks();
        if (at_ >= text_.size()) return unexpected();
        const char quote = text_[at_];
        if (quote != '"' && quote != '\'' && quote != '`') return unexpected();
        std::string out;
        for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
            if (text_[at_] != '\\' || quote == '`') {
                out += text_[at_];
                continue;
            }
            if (++at_ >= text_.size()) break;
            const char c = text_[at_];
            out += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
        }
        if (at_ >= text_.size())
            return fail(ErrorCode::kInvalidArgument, "parse error: unterminated quoted string");
        ++at_;
        return out;
    }

    Result<PromNode> number() {
        size_t end = at_;
        while (end < text_.size() && (is_digit(text_[end]) || text_[end] == '.' ||
                                      text_[end] == 'e' || text_[end] == 'E' ||
                                      ((text_[end] == '+' || text_[end] == '-') &&
                                       (text_[end - 1] == 'e' || text_[end - 1] == 'E'))))
            ++end;
        const auto value = parse_double(text_.substr(at_, end - at_));
        if (!value) return unexpected();
        at_ = end;
        PromNode node;
        node.number = *value;
        return node;
    }

    std::string_view text_;
    size_t at_ = 0;
};

}  // namespace

struct PromMatcher::Regex {
    explicit Regex(const std::string& text, const RE2::Options& options)
        : re("^(?:" + text + ")$", options) {}
    RE2 re;
};

Result<void> PromMatcher::prepare() {
    if (op != Op::kMatch && op != Op::kNotMatch) return {};
    RE2::Options options;
    options.set_log_errors(false);
    options.set_dot_nl(true);
    options.set_max_mem(1 << 20);
    auto regex = std::make_shared<const Regex>(value, options);
    if (!regex->re.ok())
        return fail(ErrorCode::kInvalidArgument, "invalid regular expression \"{}\": {}",
                    value.substr(0, 100), regex->re.error());
    regex_ = std::move(regex);
    return {};
}

bool PromMatcher::accepts(std::string_view text) const {
    switch (op) {
        case Op::kEqual:
            return text == value;
        case Op::kNotEqual:
            return text != value;
        case Op::kMatch:
            return RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), regex_->re);
        case Op::kNotMatch:
            return !RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), regex_->re);
    }
    return false;
}

Result<PromNode> parse_promql(std::string_view text) {
    return Parser(text).whole();
}

Result<PromNode> parse_prom_selector(std::string_view text) {
    return Parser(text).whole_selector();
}

}  // namespace spanloom::api

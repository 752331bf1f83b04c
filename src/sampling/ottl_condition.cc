#include "sampling/ottl_condition.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "sampling/trace_condition.h"
#include "traceql/names.h"

namespace spanloom::sampling {
namespace {

constexpr int kDepthMax = 32;
constexpr size_t kTextBytesMax = 4096;

template <typename... Args>
tl::unexpected<Error> cannot(fmt::format_string<Args...> format, Args&&... args) {
    return fail(ErrorCode::kUnsupported, "{}", fmt::format(format, std::forward<Args>(args)...));
}

struct Token {
    enum class Kind : uint8_t { kEnd, kWord, kText, kNumber, kSign };
    Kind kind = Kind::kEnd;
    std::string text;  // of a text what it says
};

bool is_word_char(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
}

Result<std::string> read_quoted(std::string_view& rest) {
    std::string out;
    for (size_t i = 1; i < rest.size(); ++i) {
        if (rest[i] == '"') {
            rest.remove_prefix(i + 1);
            return out;
        }
        if (rest[i] == '\\' && i + 1 < rest.size()) {
            ++i;
            out += rest[i] == 'n' ? '\n' : rest[i] == 't' ? '\t' : rest[i];
        } else {
            out += rest[i];
        }
    }
    return cannot("a text does not end");
}

Result<std::vector<Token>> tokens_of(std::string_view rest) {
    std::vector<Token> tokens;
    while (true) {
        while (!rest.empty() && std::isspace(static_cast<unsigned char>(rest[0])) != 0)
            rest.remove_prefix(1);
        if (rest.empty()) break;
        Token& token = tokens.emplace_back();
        const bool is_negative = rest[0] == '-' && rest.size() > 1 &&
                                 std::isdigit(static_cast<unsigned char>(rest[1])) != 0;
        if (rest[0] == '"') {
            token.kind = Token::Kind::kText;
            TRY_ASSIGN(token.text, read_quoted(rest));
            continue;
        }
        size_t size = is_negative ? 1 : 0;
        while (size < rest.size() && is_word_char(rest[size]))
            ++size;
        if (size > 0) {
            token.text = rest.substr(0, size);
            token.kind = parse_double(token.text) ? Token::Kind::kNumber : Token::Kind::kWord;
        } else {
            constexpr std::string_view kTwo[] = {"==", "!=", "<=", ">="};
            const bool is_two =
                std::find(std::begin(kTwo), std::end(kTwo), rest.substr(0, 2)) != std::end(kTwo);
            size = is_two ? 2 : 1;
            token.kind = Token::Kind::kSign;
            token.text = rest.substr(0, size);
        }
        rest.remove_prefix(size);
    }
    tokens.emplace_back();
    return tokens;
}

// One side of a comparison.
struct Side {
    enum class Kind : uint8_t {
        kAttribute,
        kText,
        kNumber,
        kStatus,
        kSpanKind,
        kTraceState,  // a member of it, by its key
        kLiteral,
        kNil
    };
    Kind kind = Kind::kLiteral;
    std::string traceql;                   // a field, or a literal
    std::optional<std::string> text = {};  // of a literal that is one

    bool is_field() const { return kind < Kind::kLiteral; }
};

// STATUS_CODE_ERROR, 2 and the like by TraceQL's names; "" where it is none.
std::string name_of(std::string text, std::string_view prefix,
                    const std::vector<std::string>& names) {
    const auto to_upper = [](std::string& name) {
        std::transform(name.begin(), name.end(), name.begin(),
                       [](unsigned char c) { return std::toupper(c); });
    };
    to_upper(text);
    if (text.starts_with(prefix)) text.erase(0, prefix.size());
    for (size_t i = 0; i < names.size(); ++i) {
        std::string upper = names[i];
        to_upper(upper);
        if (text == upper || text == std::to_string(i)) return names[i];
    }
    return {};
}

// Recursive descent: or, and, not, comparison.
class OttlReader {
  public:
    OttlReader(std::vector<Token> tokens, OttlContext context)
        : tokens_(std::move(tokens)), context_(context) {}

    Result<std::string> read() {
        TRY_ASSIGN(std::string condition, any(kDepthMax));
        if (here().kind != Token::Kind::kEnd)
            return cannot("'{}' is not understood here", here().text);
        return condition;
    }

  private:
    const Token& here() const { return tokens_[at_]; }
    const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
    void skip() { at_ = std::min(at_ + 1, tokens_.size() - 1); }
    bool take(std::string_view text) {
        const bool is_it = here().kind != Token::Kind::kText && here().text == text;
        if (is_it) skip();
        return is_it;
    }
    Result<void> expect(std::string_view text) {
        if (take(text)) return {};
        return cannot("'{}' is expected where '{}' stands", text, here().text);
    }

    Result<std::string> any(int depth) {
        if (depth == 0) return cannot("it is nested too deep");
        std::vector<std::string> conditions;
        do {
            TRY_ASSIGN(conditions.emplace_back(), all(depth));
        } while (take("or"));
        return traceql_any(conditions);
    }
    Result<std::string> all(int depth) {
        std::vector<std::string> conditions;
        do {
            TRY_ASSIGN(conditions.emplace_back(), one(depth));
        } while (take("and"));
        return traceql_all(conditions);
    }
    Result<std::string> one(int depth) {
        if (depth == 0) return cannot("it is nested too deep");
        if (take("not")) {
            TRY_ASSIGN(const std::string condition, one(depth - 1));
            return fmt::format("!({})", condition);
        }
        if (!is_difference_in_brackets() && take("(")) {
            TRY_ASSIGN(std::string condition, any(depth - 1));
            TRY(expect(")"));
            return condition;
        }
        if (take("true")) return std::string("true");
        if (take("false")) return std::string("false");
        const bool is_call = here().kind == Token::Kind::kWord && next().text == "(";
        return is_call && here().text != "Duration" ? function() : comparison();
    }

    // `end_time - start_time`, so many tokens ahead.
    bool is_difference(size_t ahead) const {
        const auto is = [&](size_t i, std::string_view text) {
            const size_t at = at_ + ahead + i;
            return at < tokens_.size() && tokens_[at].kind != Token::Kind::kText &&
                   tokens_[at].text == text;
        };
        for (const std::string_view of : {"", "span."}) {
            const std::string prefix(of);
            for (const std::string_view unit : {"", "_unix_nano"})
                if (is(0, prefix + "end_time" + std::string(unit)) && is(1, "-") &&
                    is(2, prefix + "start_time" + std::string(unit)))
                    return true;
        }
        return false;
    }

    bool is_difference_in_brackets() const {
        return here().kind == Token::Kind::kSign && here().text == "(" && is_difference(1) &&
               tokens_[at_ + 4].kind == Token::Kind::kSign && tokens_[at_ + 4].text == ")";
    }

    Result<std::string> function() {
        const std::string name = here().text;
        if (name == "IsRootSpan") {
            skip();
            TRY(expect("("));
            TRY(expect(")"));
            return std::string("span:parentID = \"\"");
        }
        if (name != "IsMatch" && name != "HasPrefix" && name != "HasSuffix")
            return cannot("TraceQL has nothing like {}()", name);
        skip();
        TRY(expect("("));
        TRY_ASSIGN(const Side field, side());
        TRY(expect(","));
        const bool is_known = field.is_field() && field.kind != Side::Kind::kTraceState;
        if (here().kind != Token::Kind::kText || !is_known)
            return cannot("{}() needs a field and a text", name);
        const std::string text = here().text;
        skip();
        TRY(expect(")"));
        std::string pattern = traceql_pattern(text);
        if (name == "HasPrefix") pattern = escaped_pattern(text) + ".*";
        if (name == "HasSuffix") pattern = ".*" + escaped_pattern(text);
        return fmt::format("{} =~ {}", field.traceql, traceql_text(pattern));
    }
    Result<std::string> comparison() {
        TRY_ASSIGN(Side left, side());
        std::string sign = here().text;
        const bool is_sign =
            here().kind == Token::Kind::kSign && (sign == "==" || sign == "!=" || sign == "<" ||
                                                  sign == ">" || sign == "<=" || sign == ">=");
        if (!is_sign) return cannot("a comparison is expected where '{}' stands", here().text);
        skip();
        TRY_ASSIGN(Side right, side());
        if (!left.is_field()) {
            std::swap(left, right);
            if (sign[0] == '<') {
                sign[0] = '>';
            } else if (sign[0] == '>') {
                sign[0] = '<';
            }
        }
        if (!left.is_field() || right.is_field())
            return cannot("only a field and a value are compared");
        return compared(left, sign == "==" ? "=" : sign, right);
    }

    static Result<std::string> compared(const Side& field, const std::string& sign, Side value) {
        const bool is_equality = sign == "=" || sign == "!=";
        if (field.kind == Side::Kind::kStatus || field.kind == Side::Kind::kSpanKind) {
            const bool is_status = field.kind == Side::Kind::kStatus;
            const std::string name = value.text.value_or(value.traceql);
            value.traceql = is_status ? name_of(name, "STATUS_CODE_", {"unset", "ok", "error"})
                                      : name_of(name, "SPAN_KIND_",
                                                {"unspecified", "internal", "server", "client",
                                                 "producer", "consumer"});
            if (value.traceql.empty() || !is_equality)
                return cannot("{} is compared with one of its names alone", field.traceql);
        }
        if (value.kind == Side::Kind::kNil && !is_equality)
            return cannot("nil is neither less nor more");
        if (field.kind == Side::Kind::kTraceState) return member_compared(field, sign, value);
        std::string out = fmt::format("{} {} {}", field.traceql, sign, value.traceql);
        // To OTTL what is not there is unequal; TraceQL's comparisons are false then.
        if (sign == "!=" && field.kind == Side::Kind::kAttribute && value.kind != Side::Kind::kNil)
            return fmt::format("{} = nil || {}", field.traceql, out);
        return out;
    }

    // A member that is not there is the empty text.
    static Result<std::string> member_compared(const Side& member, const std::string& sign,
                                               const Side& value) {
        const bool is_known = (sign == "=" || sign == "!=") && value.text && !value.text->empty();
        if (!is_known) return cannot("a member of trace_state is equal to a text or is not");
        const std::string condition = trace_state_has(member.traceql, {*value.text});
        return sign == "=" ? condition : fmt::format("!({})", condition);
    }

    Result<Side> duration_literal() {
        TRY(expect("("));
        const Result<int64_t> ns = parse_duration_ns(here().text);
        if (here().kind != Token::Kind::kText || !ns)
            return cannot("'{}' is not a duration", here().text);
        skip();
        TRY(expect(")"));
        return Side{Side::Kind::kLiteral, fmt::format("{}ns", *ns), {}};
    }

    Result<Side> side() {
        const bool is_in_brackets = is_difference_in_brackets() && take("(");
        if (is_difference(0)) {
            for (int token = 0; token < 3; ++token)
                skip();
            if (is_in_brackets) TRY(expect(")"));
            return Side{Side::Kind::kNumber, "duration", {}};
        }
        const Token token = here();
        skip();
        if (token.kind == Token::Kind::kWord && token.text == "Duration" && here().text == "(")
            return duration_literal();
        if (token.kind == Token::Kind::kText)
            return Side{Side::Kind::kLiteral, traceql_text(token.text), token.text};
        if (token.kind == Token::Kind::kNumber) return Side{Side::Kind::kLiteral, token.text};
        if (token.kind != Token::Kind::kWord)
            return cannot("a value is expected where '{}' stands",
                          token.kind == Token::Kind::kEnd ? "nothing" : token.text);
        if (token.text == "nil") return Side{Side::Kind::kNil, "nil"};
        if (token.text == "true" || token.text == "false" ||
            token.text.starts_with("STATUS_CODE_") || token.text.starts_with("SPAN_KIND_"))
            return Side{Side::Kind::kLiteral, token.text};
        return path(token.text);
    }

    Result<Side> path(std::string name) {
        bool is_event = context_ == OttlContext::kEvent;
        for (const std::string_view own : {"span.", "spanevent."}) {
            if (!name.starts_with(own)) continue;
            is_event = own == "spanevent.";
            name.erase(0, own.size());
            break;
        }
        if (take("[")) {
            if (here().kind != Token::Kind::kText)
                return cannot("a key of {} must be a text", name);
            const std::string key = here().text;
            skip();
            TRY(expect("]"));
            if (here().text == "[" && here().kind == Token::Kind::kSign)
                return cannot("TraceQL does not look into maps and lists");
            if (!is_event && name == "trace_state") return Side{Side::Kind::kTraceState, key};
            const bool is_of_scope =
                name == "instrumentation_scope.attributes" || name == "scope.attributes";
            store::Scope scope = is_event ? store::Scope::kEvent : store::Scope::kSpan;
            if (name == "resource.attributes") {
                scope = store::Scope::kResource;
            } else if (is_of_scope) {
                scope = store::Scope::kInstrumentation;
            } else if (name != "attributes") {
                return cannot("TraceQL has nothing like {}[]", name);
            }
            return Side{Side::Kind::kAttribute, traceql::field_text({scope, {}, key})};
        }
        if (name == "name") return Side{Side::Kind::kText, is_event ? "event:name" : "name"};
        if (name == "instrumentation_scope.name" || name == "scope.name")
            return Side{Side::Kind::kText, "instrumentation:name"};
        if (name == "instrumentation_scope.version" || name == "scope.version")
            return Side{Side::Kind::kText, "instrumentation:version"};
        if (!is_event && (name == "status.code" || name == "status"))
            return Side{Side::Kind::kStatus, "status"};
        if (!is_event && name == "status.message") return Side{Side::Kind::kText, "statusMessage"};
        if (!is_event && (name == "kind" || name == "kind.string"))
            return Side{Side::Kind::kSpanKind, "kind"};
        constexpr std::pair<std::string_view, std::string_view> kTexts[] = {
            {"trace_id.string", "trace:id"},
            {"span_id.string", "span:id"},
            {"parent_span_id.string", "span:parentID"},
            {"trace_state", "span:traceState"}};
        for (const auto& [ottl, traceql] : kTexts)
            if (!is_event && name == ottl) return Side{Side::Kind::kText, std::string(traceql)};
        return cannot("TraceQL has nothing like {}", name);
    }

    const std::vector<Token> tokens_;
    const OttlContext context_;
    size_t at_ = 0;
};

}  // namespace

Result<std::string> translate_ottl(std::string_view text, OttlContext context) {
    if (text.size() > kTextBytesMax)
        return cannot("a condition is longer than {} characters", kTextBytesMax);
    const auto read = [&]() -> Result<std::string> {
        TRY_ASSIGN(std::vector<Token> tokens, tokens_of(text));
        return OttlReader(std::move(tokens), context).read();
    };
    Result<std::string> condition = read();
    if (condition) return condition;
    return cannot("the condition `{}` cannot be written in TraceQL: {}", text,
                  condition.error().message);
}

}  // namespace spanloom::sampling

#include "store/values.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/json_writer.h"
#include "base/text.h"

namespace spanloom::store {
namespace {

// Nesting is limited when spans are received; this only bounds the recursion by itself.
constexpr int kTextDepthMax = 64;

bool is_equality(Comparison comparison) {
    return comparison == Comparison::kEqual || comparison == Comparison::kNotEqual;
}
bool is_regex(Comparison comparison) {
    return comparison == Comparison::kMatch || comparison == Comparison::kNotMatch;
}
bool is_textual(Comparison comparison) {
    return comparison == Comparison::kTextEqual || comparison == Comparison::kTextContains;
}
bool is_negative(Comparison comparison) {
    return comparison == Comparison::kNotEqual || comparison == Comparison::kNotMatch;
}

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool contains_ignoring_case(std::string_view text, std::string_view lower_part) {
    if (lower_part.empty()) return true;
    if (text.size() < lower_part.size()) return false;
    for (size_t at = 0; at + lower_part.size() <= text.size(); ++at) {
        if (lower(text[at]) != lower_part[0]) continue;
        size_t i = 1;
        while (i < lower_part.size() && lower(text[at + i]) == lower_part[i])
            ++i;
        if (i == lower_part.size()) return true;
    }
    return false;
}

void write_json(JsonWriter& json, const otlp::ValueView& value, int depth) {
    switch (value.type) {
        case otlp::ValueType::kEmpty:
            json.null();
            return;
        case otlp::ValueType::kString:
            json.string(value.bytes);
            return;
        case otlp::ValueType::kBool:
            json.boolean(value.boolean);
            return;
        case otlp::ValueType::kInt:
            json.number(value.integer);
            return;
        case otlp::ValueType::kDouble:
            json.number(value.number);
            return;
        case otlp::ValueType::kBytes: {
            std::string text;
            append_base64(text, value.bytes);
            json.string(text);
            return;
        }
        case otlp::ValueType::kArray:
            json.begin_array();
            if (depth < kTextDepthMax) {
                for (const otlp::ValueView item : otlp::Repeated<otlp::ValueView>(value.bytes, 1)) {
                    write_json(json, item, depth + 1);
                }
            }
            json.end_array();
            return;
        case otlp::ValueType::kKvlist:
            json.begin_object();
            if (depth < kTextDepthMax) {
                for (const auto pair : otlp::Repeated<otlp::AttributeView>(value.bytes, 1)) {
                    json.key(pair.key);
                    write_json(json, pair.value, depth + 1);
                }
            }
            json.end_object();
            return;
    }
}

std::string double_text(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return fmt::format("{}", value);
}

std::string message_text(std::string_view message) {
    const auto view = otlp::ValueView::parse(message);
    std::string text;
    if (view.type == otlp::ValueType::kEmpty) return text;
    if (view.type == otlp::ValueType::kBytes) {
        append_base64(text, view.bytes);
        return text;
    }
    if (view.type != otlp::ValueType::kArray && view.type != otlp::ValueType::kKvlist) {
        return value_text(value_of(view));
    }
    JsonWriter json(text);
    write_json(json, view, 0);
    return text;
}

int order_of_doubles(double left, double right) {
    if (std::isnan(left) || std::isnan(right)) return 2;
    return left < right ? -1 : left > right ? 1 : 0;
}

// 2: not comparable.
int order_of_numbers(const Value& left, const Value& right) {
    const bool left_double = left.kind == ValueKind::kDouble;
    const bool right_double = right.kind == ValueKind::kDouble;
    if (left_double && right_double) return order_of_doubles(left.number, right.number);
    if (right_double) return compare_int_double(left.integer, right.number);
    if (left_double) {
        const int order = compare_int_double(right.integer, left.number);
        return order == 2 ? 2 : -order;
    }
    return left.integer < right.integer ? -1 : left.integer > right.integer ? 1 : 0;
}

}  // namespace

std::string_view span_kind_name(int64_t kind) {
    constexpr std::string_view kNames[] = {"unspecified", "internal", "server",
                                           "client",      "producer", "consumer"};
    return kind >= 0 && kind < 6 ? kNames[kind] : kNames[0];
}

std::string_view status_name(int64_t status) {
    constexpr std::string_view kNames[] = {"unset", "ok", "error"};
    return status >= 0 && status < 3 ? kNames[status] : kNames[0];
}

Value value_of(const otlp::ValueView& view) {
    switch (view.type) {
        case otlp::ValueType::kString:
            return Value::of_string(std::string(view.bytes));
        case otlp::ValueType::kBool:
            return Value::of_bool(view.boolean);
        case otlp::ValueType::kInt:
            return Value::of_int(view.integer);
        case otlp::ValueType::kDouble:
            return Value::of_double(view.number);
        default:
            return {ValueKind::kOther, 0, 0, std::string(view.message)};
    }
}

std::string value_text(const Value& value) {
    switch (value.kind) {
        case ValueKind::kNil:
            return {};
        case ValueKind::kBool:
            return value.integer != 0 ? "true" : "false";
        case ValueKind::kInt:
            return std::to_string(value.integer);
        case ValueKind::kDouble:
            return double_text(value.number);
        case ValueKind::kDuration:
            return format_duration_ns(value.integer);
        case ValueKind::kString:
            return value.text;
        case ValueKind::kSpanKind:
            return std::string(span_kind_name(value.integer));
        case ValueKind::kStatus:
            return std::string(status_name(value.integer));
        case ValueKind::kOther:
            return message_text(value.text);
    }
    return {};
}

int compare_int_double(int64_t left, double right) {
    if (std::isnan(right)) return 2;
    if (right >= 0x1p63) return -1;
    if (right < -0x1p63) return 1;
    // Now the whole part fits, and only the fraction is lost.
    const auto whole = static_cast<int64_t>(right);
    if (left != whole) return left < whole ? -1 : 1;
    const double fraction = right - static_cast<double>(whole);
    return fraction > 0 ? -1 : fraction < 0 ? 1 : 0;
}

bool value_before(const Value& left, const Value& right) {
    const bool numbers = left.is_number() && right.is_number();
    if (!numbers && left.kind != right.kind) return left.kind < right.kind;
    if (numbers) {
        const int order = order_of_numbers(left, right);
        if (order == -1 || order == 1) return order < 0;
        const bool left_nan = std::isnan(left.as_number());
        const bool right_nan = std::isnan(right.as_number());
        if (left_nan != right_nan) return right_nan;  // NaN last
        return left.kind < right.kind;
    }
    if (left.integer != right.integer) return left.integer < right.integer;
    return left.text < right.text;
}

// What most regular expressions really are: texts that are searched for as such.
struct PlainPattern {
    enum class Kind : uint8_t { kNone, kOneOf, kPrefix, kContains };
    Kind kind = Kind::kNone;
    std::vector<std::string> texts;  // kOneOf: sorted; else one

    bool matches(std::string_view text) const {
        switch (kind) {
            case Kind::kOneOf:
                return std::binary_search(texts.begin(), texts.end(), text);
            case Kind::kPrefix:
                return text.starts_with(texts.front());
            default:
                return text.find(texts.front()) != std::string_view::npos;
        }
    }

    static PlainPattern of(std::string_view regex) {
        constexpr std::string_view kAny = ".*";
        const auto is_literal = [](std::string_view part) {
            return part.find_first_of("\\^$.|?*+()[]{}") == std::string_view::npos;
        };
        if (regex.starts_with(kAny) && regex.ends_with(kAny) && regex.size() >= 4) {
            const std::string_view inner = regex.substr(2, regex.size() - 4);
            if (is_literal(inner)) return {Kind::kContains, {std::string(inner)}};
            return {};
        }
        if (regex.ends_with(kAny)) {
            const std::string_view start = regex.substr(0, regex.size() - 2);
            if (is_literal(start)) return {Kind::kPrefix, {std::string(start)}};
            return {};
        }
        PlainPattern pattern{Kind::kOneOf, {}};
        while (true) {
            const size_t bar = regex.find('|');
            const std::string_view part = regex.substr(0, bar);
            if (!is_literal(part)) return {};
            pattern.texts.emplace_back(part);
            if (bar == std::string_view::npos) break;
            regex.remove_prefix(bar + 1);
        }
        std::sort(pattern.texts.begin(), pattern.texts.end());
        return pattern;
    }
};

struct ValueTest::State {
    Comparison comparison = Comparison::kEqual;
    Value wanted;
    std::string text;  // kTextEqual: as printed; kTextContains: in lower case
    std::unique_ptr<const RE2> regex;
    PlainPattern plain;  // instead of `regex`, where it is kept
};

ValueTest::ValueTest(std::unique_ptr<const State> state) : state_(std::move(state)) {}
ValueTest::ValueTest(ValueTest&&) noexcept = default;
ValueTest& ValueTest::operator=(ValueTest&&) noexcept = default;
ValueTest::~ValueTest() = default;

Result<ValueTest> ValueTest::make(Comparison comparison, const Value& wanted) {
    auto state = std::make_unique<State>();
    state->comparison = comparison;
    state->wanted = wanted;
    if (is_textual(comparison)) state->text = value_text(wanted);
    if (comparison == Comparison::kTextContains) {
        for (char& c : state->text)
            c = lower(c);
    }
    if (is_regex(comparison)) {
        if (wanted.kind != ValueKind::kString) {
            return fail(ErrorCode::kInvalidArgument,
                        "a regular expression must be a string, not {}; write it in quotes",
                        value_text(wanted));
        }
        RE2::Options options;
        options.set_log_errors(false);
        options.set_max_mem(4 << 20);
        options.set_dot_nl(true);
        auto regex = std::make_unique<RE2>(wanted.text, options);
        if (!regex->ok()) {
            return fail(ErrorCode::kInvalidArgument,
                        "the regular expression \"{}\" is not valid: {}", wanted.text,
                        regex->error());
        }
        state->regex = std::move(regex);
        state->plain = PlainPattern::of(wanted.text);
    }
    return ValueTest(std::move(state));
}

Comparison ValueTest::comparison() const {
    return state_->comparison;
}
const Value& ValueTest::wanted() const {
    return state_->wanted;
}

bool ValueTest::fits(ValueKind kind) const {
    const Comparison comparison = state_->comparison;
    if (is_textual(comparison)) return kind != ValueKind::kNil;
    if (kind == ValueKind::kOther) return is_equality(comparison) || is_regex(comparison);
    if (is_regex(comparison)) return kind == ValueKind::kString;
    const Value& wanted = state_->wanted;
    switch (kind) {
        case ValueKind::kInt:
        case ValueKind::kDouble:
        case ValueKind::kDuration:
            return wanted.is_number();
        case ValueKind::kString:
            return wanted.kind == kind;
        case ValueKind::kBool:
        case ValueKind::kSpanKind:
        case ValueKind::kStatus:
            return wanted.kind == kind && is_equality(comparison);
        default:
            return false;
    }
}

bool ValueTest::on_ordering(int order) const {
    if (order == 2) return state_->comparison == Comparison::kNotEqual;
    switch (state_->comparison) {
        case Comparison::kEqual:
            return order == 0;
        case Comparison::kNotEqual:
            return order != 0;
        case Comparison::kGreater:
            return order > 0;
        case Comparison::kGreaterEqual:
            return order >= 0;
        case Comparison::kLess:
            return order < 0;
        case Comparison::kLessEqual:
            return order <= 0;
        default:
            return false;
    }
}

bool ValueTest::on_text(std::string_view text) const {
    if (state_->comparison == Comparison::kTextEqual) return text == state_->text;
    return contains_ignoring_case(text, state_->text);
}

bool ValueTest::on_string(std::string_view text) const {
    if (is_textual(state_->comparison)) return on_text(text);
    if (state_->wanted.kind != ValueKind::kString) return false;
    if (state_->regex != nullptr) {
        const bool matches =
            state_->plain.kind != PlainPattern::Kind::kNone
                ? state_->plain.matches(text)
                : RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *state_->regex);
        return matches == (state_->comparison == Comparison::kMatch);
    }
    const int order = text.compare(state_->wanted.text);
    return on_ordering(order < 0 ? -1 : order > 0 ? 1 : 0);
}

bool ValueTest::on_integer(ValueKind kind, int64_t value) const {
    if (is_textual(state_->comparison)) return on_text(value_text({kind, value, 0, {}}));
    if (!fits(kind)) return false;
    if (state_->wanted.kind == ValueKind::kDouble) {
        return on_ordering(compare_int_double(value, state_->wanted.number));
    }
    const int64_t wanted = state_->wanted.integer;
    return on_ordering(value < wanted ? -1 : value > wanted ? 1 : 0);
}

std::optional<IntegerRange> ValueTest::integer_range(ValueKind kind) const {
    constexpr IntegerRange kNone{1, 0, false};
    if (is_textual(state_->comparison)) return std::nullopt;
    if (!fits(kind) || is_regex(state_->comparison)) return kNone;
    if (state_->wanted.kind == ValueKind::kDouble) return std::nullopt;
    const int64_t wanted = state_->wanted.integer;
    switch (state_->comparison) {
        case Comparison::kEqual:
            return IntegerRange{wanted, wanted, false};
        case Comparison::kNotEqual:
            return IntegerRange{wanted, wanted, true};
        case Comparison::kGreater:
            return wanted == INT64_MAX ? kNone : IntegerRange{wanted + 1, INT64_MAX, false};
        case Comparison::kGreaterEqual:
            return IntegerRange{wanted, INT64_MAX, false};
        case Comparison::kLess:
            return wanted == INT64_MIN ? kNone : IntegerRange{INT64_MIN, wanted - 1, false};
        case Comparison::kLessEqual:
            return IntegerRange{INT64_MIN, wanted, false};
        default:
            return std::nullopt;
    }
}

bool ValueTest::on_double(double value) const {
    if (is_textual(state_->comparison)) return on_text(double_text(value));
    if (!fits(ValueKind::kDouble)) return false;
    return on_ordering(order_of_numbers(Value::of_double(value), state_->wanted));
}

bool ValueTest::on_array(const otlp::ValueView& array) const {
    const bool negative = is_negative(state_->comparison);
    bool any_fits = false;
    for (const otlp::ValueView item : otlp::Repeated<otlp::ValueView>(array.bytes, 1)) {
        const Value value = value_of(item);
        if (value.kind == ValueKind::kOther || !fits(value.kind)) continue;
        any_fits = true;
        const bool holds = on(value);
        if (negative && !holds) return false;
        if (!negative && holds) return true;
    }
    return negative && any_fits;
}

bool ValueTest::on_message(std::string_view any_value) const {
    const auto view = otlp::ValueView::parse(any_value);
    if (is_textual(state_->comparison) && on_text(message_text(any_value))) return true;
    switch (view.type) {
        case otlp::ValueType::kArray:
            return fits(ValueKind::kOther) && on_array(view);
        case otlp::ValueType::kString:
            return on_string(view.bytes);
        case otlp::ValueType::kBool:
            return on_integer(ValueKind::kBool, view.boolean ? 1 : 0);
        case otlp::ValueType::kInt:
            return on_integer(ValueKind::kInt, view.integer);
        case otlp::ValueType::kDouble:
            return on_double(view.number);
        default:
            return false;
    }
}

bool ValueTest::on(const Value& value) const {
    switch (value.kind) {
        case ValueKind::kNil:
            return false;
        case ValueKind::kString:
            return on_string(value.text);
        case ValueKind::kDouble:
            return on_double(value.number);
        case ValueKind::kOther:
            return on_message(value.text);
        default:
            return on_integer(value.kind, value.integer);
    }
}

}  // namespace spanloom::store

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "otlp/view.h"
#include "store/field.h"
#include "store/scan_kernels.h"

namespace spanloom::store {

// Arrays, kvlists and bytes become kOther, with the message.
Value value_of(const otlp::ValueView& view);
// As people and Jaeger's tag search write it: decimal numbers, true and false, durations as "1.5s",
// kinds and statuses by name, bytes as base64, arrays and kvlists as JSON.
std::string value_text(const Value& value);
std::string_view span_kind_name(int64_t kind);  // "unspecified" for unknown numbers
std::string_view status_name(int64_t status);   // "unset" for unknown numbers

// -1, 0, 1: exact also where a double meets an int64 beyond 2^53. 2: one of them is NaN.
int compare_int_double(int64_t left, double right);

// The order in which values are listed: by kind, numbers by size, texts by bytes.
bool value_before(const Value& left, const Value& right);

// One comparison, ready to be applied to many values. What it answers for a value that does not fit
// is always false. Any thread.
class ValueTest {
  public:
    // kInvalidArgument for a regular expression that does not parse.
    static Result<ValueTest> make(Comparison comparison, const Value& wanted);
    ValueTest(ValueTest&&) noexcept;
    ValueTest& operator=(ValueTest&&) noexcept;
    ~ValueTest();

    bool on_string(std::string_view text) const;
    bool on_integer(ValueKind kind, int64_t value) const;  // any kind kept in Value::integer
    bool on_double(double value) const;
    // An AnyValue message of any type; arrays by element.
    bool on_message(std::string_view any_value) const;
    bool on(const Value& value) const;

    // What on_integer() accepts of a kind, where that is one range of integers.
    std::optional<IntegerRange> integer_range(ValueKind kind) const;
    Comparison comparison() const;
    const Value& wanted() const;
    // Whether a value of this kind can satisfy it at all.
    bool fits(ValueKind kind) const;

  private:
    struct State;
    explicit ValueTest(std::unique_ptr<const State> state);
    bool on_text(std::string_view text) const;
    bool on_array(const otlp::ValueView& array) const;
    bool on_ordering(int order) const;

    std::unique_ptr<const State> state_;
};

}  // namespace spanloom::store

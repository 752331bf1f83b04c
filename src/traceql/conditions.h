#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "traceql/rows.h"

namespace re2 {
class RE2;
}

namespace spanloom::traceql {

// Evaluates expressions of a query over the spans of one trace after another. The expressions
// outlive it. One thread.
class Conditions {
  public:
    Conditions();
    ~Conditions();

    void use(TraceRows& rows);
    bool holds(const Expression& expression, uint32_t row);
    // Arithmetic is nil where it has no value; a condition is a boolean.
    store::Value value(const Expression& expression, uint32_t row);
    // Also what belongs to the whole trace.
    store::Value field(const store::Field& field, const Place& place);

    uint64_t trace_start_ns();
    uint64_t trace_end_ns();
    int32_t root();  // the earliest row without a parent id; -1: not received

  private:
    struct Figures;

    bool is_true(const Expression& expression, const Place& place);
    bool conjunction(const Expression& expression, const Place& place);
    bool leaf(const Expression& expression, const Place& place);
    bool unscoped_leaf(const Expression& expression, const store::Field& field, const Place& place);
    bool plain_leaf(const Expression& expression, const Place& place);
    bool plain_comparison(const Expression& expression, const Place& place);
    bool some_child(const std::vector<const Expression*>& conditions, const Place& place,
                    store::Table table);
    bool compare(const Expression& expression, const store::Value& a, const store::Value& b);
    bool compare_scalars(Operator op, const Expression& expression, const store::Value& a,
                         const store::Value& b);
    const re2::RE2& regex(const Expression& pattern);
    store::Value evaluate(const Expression& expression, const Place& place);
    store::Value trace_intrinsic(store::Intrinsic which, uint32_t row);
    Figures& figures();

    TraceRows* rows_ = nullptr;
    std::unique_ptr<Figures> figures_;
    bool has_figures_ = false;
    std::unordered_map<const Expression*, std::unique_ptr<re2::RE2>> regexes_;
    // Conditions on `.x` as conditions on events and on links.
    std::map<std::pair<const Expression*, store::Scope>, Expression> of_scope_;
};

}  // namespace spanloom::traceql

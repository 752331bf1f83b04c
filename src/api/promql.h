#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// The part of PromQL that is answered over spanloom's own counts: what Grafana's Prometheus data
// source, its service-graph views and Jaeger's Monitor page send. What is not answered is refused
// by name.
namespace spanloom::api {

struct PromMatcher {
    enum class Op : uint8_t { kEqual, kNotEqual, kMatch, kNotMatch };

    std::string label;
    Op op = Op::kEqual;
    std::string value;

    // Of a label's value; "" where it is absent.
    bool accepts(std::string_view text) const;
    // Compiles a regular expression.
    Result<void> prepare();

  private:
    struct Regex;
    std::shared_ptr<const Regex> regex_;
};

struct PromNode {
    enum class Kind : uint8_t {
        kNumber,
        kString,
        kSelector,   // an instant vector; with a window a range vector
        kCall,       // name(arguments)
        kAggregate,  // name by|without (labels) (arguments)
        kBinary,     // arguments[0] name arguments[1]
        kNegate,
    };

    Kind kind = Kind::kNumber;
    double number = 0;
    std::string name;  // of the function, operator or metric; the text of a string
    std::vector<PromMatcher> matchers;
    uint64_t window_ns = 0;
    int64_t offset_ns = 0;
    std::vector<PromNode> arguments;
    std::vector<std::string> labels;  // kAggregate: grouping; kBinary: matching
    bool is_without = false;          // kAggregate: without; kBinary: ignoring
    bool has_labels = false;          // kBinary: on or ignoring was written
    bool returns_bool = false;        // kBinary
};

// Longer texts and deeper ones are refused: no dashboard writes them.
inline constexpr size_t kPromBytesMax = 64U << 10;
inline constexpr int kPromDepthMax = 32;

// kInvalidArgument with the place; kUnsupported for what is not answered here.
Result<PromNode> parse_promql(std::string_view text);
// A selector alone, as match[] has it.
Result<PromNode> parse_prom_selector(std::string_view text);

}  // namespace spanloom::api

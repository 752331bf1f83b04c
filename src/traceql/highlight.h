#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace spanloom::traceql {

enum class HighlightKind : uint8_t {
    kBrace,
    kScope,
    kAttribute,
    kOperator,
    kString,
    kNumber,
    kDuration,
    kKeyword,
    kIntrinsic,
};
std::string_view highlight_name(HighlightKind kind);

struct Highlight {
    size_t from = 0;  // bytes
    size_t to = 0;
    HighlightKind kind = HighlightKind::kBrace;
};

// What each part of a query text is, for colouring it while it is typed: up to the first byte that
// no token can start with.
std::vector<Highlight> highlight(std::string_view query);

}  // namespace spanloom::traceql

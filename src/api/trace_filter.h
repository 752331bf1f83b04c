#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "http/message.h"
#include "otlp/batch.h"
#include "traceql/ast.h"
#include "traceql/trace.h"

namespace spanloom::api {

// Which spans of a trace a client of Tempo wants to see: those that one { } filter chooses, with so
// many levels of what is below and above them.
struct TraceFilter {
    static constexpr int64_t kAllLevels = -1;

    traceql::Query query;
    int64_t levels_below = 0;
    int64_t levels_above = 0;

    // q, match_depth, keep_hierarchy, ancestor_depth; nothing where q is not there.
    static Result<std::optional<TraceFilter>> read(const http::Query& query);

    // TracesData of the spans that stay, under the resources and scopes they came with;
    // `left_out`: whether some did not.
    std::string apply(const traceql::Trace& trace, bool& left_out) const;
};

}  // namespace spanloom::api

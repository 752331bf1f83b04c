#include "api/trace_filter.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "api/call.h"
#include "api/trace_chunks.h"
#include "base/text.h"
#include "traceql/checker.h"
#include "traceql/evaluator.h"

namespace spanloom::api {
namespace {

using traceql::Expression;
using traceql::Spanset;
using traceql::Stage;

bool is_trace_level(const Expression& expression) {
    if (expression.kind == Expression::Kind::kField) {
        const bool is_id = expression.field.intrinsic == store::Intrinsic::kTraceId;
        return is_id || expression.is_parent || expression.field.is_trace_level();
    }
    return std::any_of(expression.operands.begin(), expression.operands.end(), is_trace_level);
}

Result<traceql::Query> parse_filter(std::string_view text) {
    auto query = traceql::parse(text);
    if (!query)
        return fail(ErrorCode::kInvalidArgument, "invalid TraceQL query: {}", query.error().text());
    const bool is_filter = !query->arithmetic && query->stages.size() == 1 &&
                           query->stages[0].kind == Stage::Kind::kSpanset &&
                           query->stages[0].spanset.kind == Spanset::Kind::kFilter;
    if (!is_filter)
        return fail(ErrorCode::kInvalidArgument,
                    "malformed parameter 'q': of one trace's spans a single filter chooses, such "
                    "as {{ status = error }}");
    const auto& condition = query->stages[0].spanset.filter;
    if (condition && is_trace_level(*condition))
        return fail(ErrorCode::kInvalidArgument,
                    "malformed parameter 'q': only what single spans have can be asked for, not "
                    "their trace, parents or children");
    return std::move(*query);
}

Result<int64_t> depth_parameter(const http::Query& query, std::string_view name, int64_t fallback) {
    const std::string_view text = query.get(name);
    if (text.empty()) return fallback;
    const auto number = parse_int(text);
    if (number && *number >= TraceFilter::kAllLevels) return *number;
    return fail(ErrorCode::kInvalidArgument,
                "malformed parameter '{}': \"{}\" is not a whole number from -1 (all) on", name,
                text.substr(0, 100));
}

// Marks what is so many levels above a row that was chosen.
void keep_above(const traceql::Trace& trace, const std::vector<uint32_t>& rows, int64_t levels,
                std::vector<uint8_t>& kept) {
    // How many levels are still to go above a row; more than once only with more to go.
    std::vector<int64_t> left(trace.spans.size(), -1);
    const auto all = static_cast<int64_t>(trace.spans.size());
    for (const uint32_t row : rows) {
        int64_t to_go = levels == TraceFilter::kAllLevels ? all : std::min(levels, all);
        int32_t at = trace.parent[row];
        for (; at >= 0 && to_go > 0 && left[static_cast<size_t>(at)] < to_go; --to_go) {
            left[static_cast<size_t>(at)] = to_go;
            kept[static_cast<size_t>(at)] = 1;
            at = trace.parent[static_cast<size_t>(at)];
        }
    }
}

// The same below: parents come before their children in preorder.
void keep_below(const traceql::Trace& trace, const std::vector<uint32_t>& rows, int64_t levels,
                std::vector<uint8_t>& kept) {
    if (levels == 0) return;
    const auto all = static_cast<int64_t>(trace.spans.size());
    const int64_t most = levels == TraceFilter::kAllLevels ? all : std::min(levels, all);
    std::vector<int64_t> left(trace.spans.size(), 0);
    for (const uint32_t row : rows)
        left[row] = most;
    for (const uint32_t row : trace.preorder) {
        const int32_t parent = trace.parent[row];
        if (parent < 0 || left[static_cast<size_t>(parent)] == 0) continue;
        kept[row] = 1;
        left[row] = std::max(left[row], left[static_cast<size_t>(parent)] - 1);
    }
}

}  // namespace

Result<std::optional<TraceFilter>> TraceFilter::read(const http::Query& query) {
    const std::string_view text = query.get("q");
    if (text.empty()) return std::nullopt;
    TraceFilter filter;
    TRY_ASSIGN(filter.query, parse_filter(text));
    TRY_ASSIGN(filter.levels_below, depth_parameter(query, "match_depth", 0));
    TRY_ASSIGN(const bool keeps_above,
               flag_parameter("keep_hierarchy", query.get("keep_hierarchy")));
    if (keeps_above) {
        TRY_ASSIGN(filter.levels_above, depth_parameter(query, "ancestor_depth", kAllLevels));
    }
    return filter;
}

std::string TraceFilter::apply(const traceql::Trace& trace, bool& left_out) const {
    const std::vector<uint32_t> rows = traceql::Evaluator(query).matches(trace);
    std::vector<uint8_t> kept(trace.spans.size(), 0);
    for (const uint32_t row : rows)
        kept[row] = 1;
    keep_above(trace, rows, levels_above, kept);
    keep_below(trace, rows, levels_below, kept);
    Batch some = trace.batch;
    some.spans.clear();
    for (size_t row = 0; row < kept.size(); ++row) {
        if (kept[row] != 0) some.spans.push_back(trace.batch.spans[row]);
    }
    left_out = some.spans.size() < trace.spans.size();
    std::string bytes;
    for_each_chunk(some, SIZE_MAX, [&](std::string_view data) {
        bytes.append(data);
        return true;
    });
    return bytes;
}

}  // namespace spanloom::api

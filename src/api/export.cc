#include "api/export.h"

#include <fmt/format.h>

#include "base/text.h"
#include "store/sampled_trace.h"
#include "traceql/executor.h"

namespace spanloom::api {
namespace {

constexpr uint32_t kTracesAtOnce = 200;
constexpr size_t kPartialMax = 20;  // reasons told of one page

}  // namespace

Result<ExportPage> export_page(const traceql::Query& query, store::Segments segments,
                               const ExportQuestion& question, const Clock& clock) {
    traceql::SearchOptions options;
    options.range = question.range;
    options.limit = kTracesAtOnce;
    options.spans_per_trace = 1;
    options.after = question.after;
    options.cancelled = question.cancelled;
    TRY_ASSIGN(const store::SearchAnswer answer, traceql::execute(query, segments, options, clock));
    ExportPage page;
    if (answer.stats.partial) page.partial.push_back(answer.stats.reason);
    page.next = answer.next;
    for (const store::TraceSummary& summary : answer.traces) {
        const auto stored = store::read_sampled_trace(segments, summary.trace_id);
        const store::Cursor here{summary.start_ns, summary.trace_id};
        if (!stored) {
            if (page.partial.size() < kPartialMax) page.partial.push_back(stored.error().message);
            continue;
        }
        if (stored->partial && page.partial.size() < kPartialMax)
            page.partial.push_back(
                fmt::format("trace {}: {}", summary.trace_id.hex(), stored->reason));
        page.traces_data += stored->traces_data.view();
        page.trace_bytes.push_back(stored->traces_data.size());
        page.spans += stored->spans;
        if (page.traces_data.size() < question.bytes_max) continue;
        const bool is_last = &summary == &answer.traces.back();
        if (!is_last) page.next = here;
        break;
    }
    return page;
}

std::string export_cursor(const store::Cursor& cursor) {
    return fmt::format("{}-{}", cursor.start_ns, cursor.trace_id.hex());
}

std::optional<store::Cursor> parse_export_cursor(std::string_view text) {
    const size_t dash = text.find('-');
    if (dash == std::string_view::npos || dash == 0 || dash > 20) return std::nullopt;
    store::Cursor cursor;
    for (const char c : text.substr(0, dash)) {
        if (c < '0' || c > '9') return std::nullopt;
        cursor.start_ns = cursor.start_ns * 10 + static_cast<uint64_t>(c - '0');
    }
    const auto id = TraceId::parse(text.substr(dash + 1));
    if (!id) return std::nullopt;
    cursor.trace_id = *id;
    return cursor;
}

}  // namespace spanloom::api

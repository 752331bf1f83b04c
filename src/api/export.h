#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/search.h"
#include "traceql/ast.h"

// Stored traces page by page, for copies that leave the store. Memory stays within a page and the
// largest trace.
namespace spanloom::api {

struct ExportQuestion {
    store::TimeRange range;
    std::optional<store::Cursor> after;
    uint64_t bytes_max = 8U << 20;  // of a page; one trace may be beyond it
    std::stop_token cancelled = {};
};

struct ExportPage {
    std::string traces_data;            // TracesData messages end to end, which is one again
    std::vector<uint64_t> trace_bytes;  // where each ends is told by these
    uint64_t spans = 0;
    std::optional<store::Cursor> next;  // none: this is the last page
    std::vector<std::string> partial;   // what damage left out
};

Result<ExportPage> export_page(const traceql::Query& query, store::Segments segments,
                               const ExportQuestion& question, const Clock& clock);

// "1700000000000000000-0123..." and back; nullopt: it is none.
std::string export_cursor(const store::Cursor& cursor);
std::optional<store::Cursor> parse_export_cursor(std::string_view text);

}  // namespace spanloom::api

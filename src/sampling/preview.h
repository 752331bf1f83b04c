#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sampling/trace_survey.h"
#include "store/store.h"

namespace spanloom::sampling {

// Of some traces: how many there are, and how many would stay.
struct PreviewCount {
    uint64_t traces = 0;
    uint64_t spans = 0;
    uint64_t bytes = 0;
    uint64_t errors = 0;  // traces with one
    uint64_t kept_traces = 0;
    uint64_t kept_spans = 0;
    uint64_t kept_bytes = 0;
    uint64_t kept_errors = 0;
};

struct PreviewRow {
    std::string name;
    PreviewCount count;
};

// What rules would do with what is stored now.
struct Preview {
    PreviewCount total;
    std::vector<PreviewRow> rules;     // in their order; then "" for what none matches
    std::vector<PreviewRow> services;  // of the traces' roots, the largest first
    std::vector<PreviewRow> searches;  // of what each search finds now, as asked
    uint64_t from_ns = 0;              // the first and last start of a trace
    uint64_t to_ns = 0;
    double kept_bytes_per_day = 0;
};

// A query of which people want to know what it would still find.
struct PreviewSearch {
    std::string text;
    std::shared_ptr<const traceql::Query> query;
};
Result<PreviewSearch> parse_preview_search(std::string_view text);
constexpr size_t kPreviewSearchesMax = 50;

struct PreviewQuestion {
    KeepRules rules;
    std::vector<PreviewSearch> searches;
    store::TimeRange range;
};

// Judges every trace that no rule has decided about and that starts in the range, hour by hour of
// their starts; never only some. Any thread; blocks.
Result<Preview> preview_rules(const store::Store& store, std::string_view tenant,
                              const PreviewQuestion& question, uint64_t now_ns,
                              const SurveyLimits& limits);

}  // namespace spanloom::sampling

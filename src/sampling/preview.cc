#include "sampling/preview.h"

#include <algorithm>
#include <map>

#include "sampling/verdicts.h"
#include "store/store_paths.h"

namespace spanloom::sampling {
namespace {

constexpr double kDayNs = 24.0 * static_cast<double>(store::kNsPerHour);

void add(PreviewCount& count, const SurveyedTraces& traces, uint32_t trace, bool is_kept) {
    const bool has_error = traces.has_error[trace] != 0;
    count.traces += 1;
    count.spans += traces.spans[trace];
    count.bytes += traces.bytes[trace];
    count.errors += has_error;
    if (!is_kept) return;
    count.kept_traces += 1;
    count.kept_spans += traces.spans[trace];
    count.kept_bytes += traces.bytes[trace];
    count.kept_errors += has_error;
}

// How much of the hour is in the range, and over.
double seconds_in(uint64_t hour, store::TimeRange range, uint64_t now_ns) {
    const uint64_t from = std::max(hour * store::kNsPerHour, range.start_ns);
    const uint64_t to =
        std::min({(hour + 1) * store::kNsPerHour, range.end_ns, std::max(now_ns, from)});
    return to > from ? static_cast<double>(to - from) / 1e9 : 1;
}

// Searches are matched as rules are, behind those that decide.
KeepRules with_searches(const PreviewQuestion& question) {
    KeepRules rules = question.rules;
    for (const PreviewSearch& search : question.searches) {
        rules.keep.emplace_back();
        rules.keep.back().query = search.query;
    }
    return rules;
}

void add_rows(Preview& preview, const PreviewQuestion& question, const SurveyedTraces& traces) {
    for (const KeepRule& rule : question.rules.keep)
        preview.rules.push_back({rule.name, {}});
    preview.rules.push_back({"", {}});
    for (const PreviewSearch& search : question.searches)
        preview.searches.push_back({search.text, {}});
    for (const std::string& service : traces.keys.front().texts)
        preview.services.push_back({service, {}});
}

// The largest first.
void sort_services(std::vector<PreviewRow>& services) {
    std::erase_if(services, [](const PreviewRow& row) { return row.count.traces == 0; });
    std::sort(services.begin(), services.end(), [](const PreviewRow& a, const PreviewRow& b) {
        return a.count.bytes != b.count.bytes ? a.count.bytes > b.count.bytes : a.name < b.name;
    });
}

}  // namespace

Result<PreviewSearch> parse_preview_search(std::string_view text) {
    TRY_ASSIGN(auto query, parse_trace_query(text, "a search finds traces"));
    return PreviewSearch{std::string(text), std::move(query)};
}

Result<Preview> preview_rules(const store::Store& store, std::string_view tenant,
                              const PreviewQuestion& question, uint64_t now_ns,
                              const SurveyLimits& limits) {
    const KeepRules& rules = question.rules;
    const store::TimeRange range = question.range;
    std::vector<std::shared_ptr<const store::Segment>> segments = store.recent(tenant);
    std::vector<std::shared_ptr<const store::Segment>> others;
    const auto is_outside = [&](const auto& segment) {
        const store::SegmentInfo& info = segment->info();
        return info.end_ns_max < range.start_ns || info.start_ns_min >= range.end_ns;
    };
    const auto outside =
        std::stable_partition(segments.begin(), segments.end(),
                              [&](const auto& segment) { return !is_outside(segment); });
    others.assign(outside, segments.end());
    segments.erase(outside, segments.end());
    TRY_ASSIGN(const SurveyedTraces traces,
               survey_traces(segments, others, with_searches(question), limits));
    std::map<uint64_t, std::vector<uint32_t>> hours;
    Preview preview;
    preview.from_ns = UINT64_MAX;
    for (uint32_t trace = 0; trace < traces.size(); ++trace) {
        const uint64_t start_ns = traces.start_ns[trace];
        if (start_ns < range.start_ns || start_ns >= range.end_ns) continue;
        hours[start_ns / store::kNsPerHour].push_back(trace);
        preview.from_ns = std::min(preview.from_ns, start_ns);
        preview.to_ns = std::max(preview.to_ns, start_ns);
    }
    add_rows(preview, question, traces);
    for (const auto& [hour, numbers] : hours) {
        const std::vector<Verdict> verdicts =
            judge(rules, traces, numbers, seconds_in(hour, range, now_ns));
        for (size_t i = 0; i < numbers.size(); ++i) {
            const Verdict& verdict = verdicts[i];
            const size_t rule = std::min<size_t>(verdict.rule, rules.keep.size());
            add(preview.total, traces, numbers[i], verdict.is_kept);
            add(preview.rules[rule].count, traces, numbers[i], verdict.is_kept);
            add(preview.services[traces.keys.front().number_of[numbers[i]]].count, traces,
                numbers[i], verdict.is_kept);
            for (size_t search = 0; search < question.searches.size(); ++search) {
                if (traces.matches[rules.keep.size() + search][numbers[i]] != 0)
                    add(preview.searches[search].count, traces, numbers[i], verdict.is_kept);
            }
        }
    }
    sort_services(preview.services);
    if (hours.empty()) preview.from_ns = 0;
    // Of less than an hour nobody knows a day.
    const uint64_t covered_ns = std::max(preview.to_ns - preview.from_ns, store::kNsPerHour);
    preview.kept_bytes_per_day =
        static_cast<double>(preview.total.kept_bytes) * kDayNs / static_cast<double>(covered_ns);
    return preview;
}

}  // namespace spanloom::sampling

#include "api/red_targets.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <unordered_map>

#include "base/hash.h"
#include "otlp/json.h"

namespace spanloom::api {
namespace {

using Windows = std::vector<std::pair<size_t, size_t>>;

// A label's name has letters, digits and "_" only.
std::string label_name(std::string_view key) {
    std::string name;
    for (const char c : key)
        name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
    if (!name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) != 0)
        name.insert(0, "_");
    return name;
}

// One process that sends spans, as what it says of itself; `job` and `instance` are Prometheus's
// names for which one it is.
PromLabels target_labels(const otlp::ResourceView& resource) {
    std::map<std::string, std::string> labels;
    std::string space;
    std::string service;
    for (const otlp::AttributeView& attribute : resource.attributes()) {
        std::string text = otlp::plain_text(attribute.value);
        if (attribute.key == "service.namespace") {
            space = std::move(text);
        } else if (attribute.key == "service.name") {
            service = std::move(text);
        } else if (attribute.key == "service.instance.id") {
            labels["instance"] = std::move(text);
        } else {
            labels.emplace(label_name(attribute.key), std::move(text));
        }
    }
    labels["__name__"] = kTargetInfo;
    labels["job"] = space.empty() ? service : space + "/" + service;
    return {labels.begin(), labels.end()};
}

// Those that spans of the segment may lie in.
std::pair<size_t, size_t> windows_of(const store::SegmentInfo& info,
                                     const std::vector<PromWindow>& windows) {
    const auto first = std::lower_bound(
        windows.begin(), windows.end(), info.start_ns_min,
        [](const PromWindow& window, uint64_t time_ns) { return window.to_ns < time_ns; });
    const auto end = std::lower_bound(
        windows.begin(), windows.end(), info.end_ns_max,
        [](const PromWindow& window, uint64_t time_ns) { return window.from_ns < time_ns; });
    return {static_cast<size_t>(first - windows.begin()),
            static_cast<size_t>(end - windows.begin())};
}

}  // namespace

Result<Targets> find_targets(const Call& call, const std::vector<PromWindow>& windows) {
    Targets targets;
    // Most segments have the same resources: each message is read once.
    std::unordered_map<uint64_t, Windows*> by_message;
    for (const auto& segment : call.segments()) {
        TRY(check_time(call, "while it looked for who sends spans"));
        const auto range = windows_of(segment->info(), windows);
        if (range.first >= range.second) continue;
        for (uint32_t i = 0; i < segment->resource_count(); ++i) {
            const std::string_view message = segment->resource_message(i);
            Windows*& known = by_message[hash64(message)];
            if (known == nullptr) {
                PromLabels labels = target_labels(otlp::ResourceView::parse(message));
                const bool is_new = !targets.seen.contains(labels);
                targets.is_full = is_new && targets.seen.size() >= kTargetsMax;
                if (targets.is_full) return targets;
                known = &targets.seen[std::move(labels)];
            }
            const bool joins = !known->empty() && known->back().first <= range.first &&
                               range.first <= known->back().second;
            if (joins) {
                known->back().second = std::max(known->back().second, range.second);
            } else {
                known->push_back(range);
            }
        }
    }
    return targets;
}

}  // namespace spanloom::api

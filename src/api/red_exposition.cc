#include "api/red_exposition.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include <fmt/format.h>

#include "api/red_families.h"
#include "otlp/json.h"
#include "store/trace_summary.h"

namespace spanloom::api {
namespace {

// Spans that arrive later than this after their start are not counted any more.
constexpr uint64_t kSettleNs = 60 * kRollupMinuteNs;
// Pairs of services are found by looking at spans: of each minute once, when its traces are in.
constexpr uint64_t kEdgeSettleNs = 2 * kRollupMinuteNs;
constexpr uint64_t kEdgeWindowNs = 5 * kRollupMinuteNs;  // looked at in one go, at most
constexpr size_t kSeriesMax = 50'000;                    // of one family
constexpr size_t kTargetsMax = 5'000;

bool is_of_edges(const RedFamily& family) {
    return family.source != RedFamily::Source::kOperations;
}

// Tempo's names, and those of the OpenTelemetry connector as it makes them today.
bool is_exposed(const RedFamily& family, std::string_view names) {
    // Both name those of pairs alike.
    if (is_of_edges(family)) return true;
    if (!family.is_otel) return names != "otel";
    return names != "tempo" && (family.name == "traces_span_metrics_calls_total" ||
                                family.family == "traces_span_metrics_duration_milliseconds");
}

std::string series_text(const PromLabels& labels, std::string_view name) {
    std::string out(name);
    char separator = '{';
    for (const auto& [label, value] : labels) {
        if (label == "__name__" || value.empty()) continue;
        out += separator;
        separator = ',';
        out += label;
        out += "=\"";
        append_label_value(out, value);
        out += '"';
    }
    if (separator == ',') out += '}';
    return out;
}

void append_head(std::string& out, std::string_view family, std::string_view help,
                 std::string_view type) {
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", family, help, family, type);
}

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
    labels["job"] = space.empty() ? service : space + "/" + service;
    return {labels.begin(), labels.end()};
}

// Counters that only grow, from an hour before the first scrape. What has settled is kept; of
// operations the last hours are counted anew each time. Any thread.
class RedExposition {
  public:
    Result<http::Response> render(Call& call) {
        const std::string_view names = call.query.get("names");
        if (!names.empty() && names != "tempo" && names != "otel")
            return fail(ErrorCode::kInvalidArgument, "names is tempo or otel");
        const std::lock_guard lock(mutex_);
        const uint64_t now_ns = call.now_ns();
        if (settled_ns_ == 0)
            settled_ns_ =
                (now_ns - std::min(now_ns, kSettleNs)) / kRollupMinuteNs * kRollupMinuteNs;
        TRY(settle(call, now_ns));
        TRY(settle_edges(call, now_ns));
        std::string out;
        std::string_view last;
        for (const RedFamily& family : red_families()) {
            if (!is_exposed(family, names)) continue;
            if (family.family != last) {
                const bool is_histogram = family.family != family.name;
                append_head(out, family.family, family.help,
                            is_histogram ? "histogram" : "counter");
                last = family.family;
            }
            for (auto& [series, counter] : counters_[family.name])
                counter.shown = std::max(counter.shown, counter.base);
            if (!is_of_edges(family))
                TRY(each_series(call, family, {settled_ns_, now_ns},
                                [](Counter& counter, double growth) {
                                    counter.shown = std::max(counter.shown, counter.base + growth);
                                }));
            for (const auto& [series, counter] : counters_[family.name])
                out += fmt::format("{} {}\n", series, counter.shown);
        }
        append_connections(out);
        append_targets(call, out);
        http::Response response = text_reply(std::move(out));
        response.headers = {};
        response.headers.add("content-type", "text/plain; version=0.0.4; charset=utf-8");
        if (is_full_)
            response.headers.add("x-spanloom-partial", "more series or spans than are counted");
        return response;
    }

  private:
    struct Counter {
        double base = 0;   // until settled_ns_
        double shown = 0;  // a counter never goes back: resends that are found late stay counted
    };

    // The pairs there are, for joins.
    void append_connections(std::string& out) const {
        constexpr std::string_view kCounted = "traces_service_graph_request_total";
        constexpr std::string_view kName = "traces_service_graph_connection_info";
        const auto pairs = counters_.find(kCounted);
        if (pairs == counters_.end() || pairs->second.empty()) return;
        append_head(out, kName, "Pairs of services that were seen.", "gauge");
        for (const auto& [series, counter] : pairs->second)
            out += fmt::format("{}{} 1\n", kName, series.substr(kCounted.size()));
    }

    // What sent spans in the last hour.
    void append_targets(const Call& call, std::string& out) {
        constexpr std::string_view kName = "traces_target_info";
        const uint64_t now_ns = call.now_ns();
        const store::TimeRange hour{now_ns - std::min(now_ns, kSettleNs), now_ns};
        std::set<std::string> targets;
        for (const auto& segment : call.segments()) {
            const store::SegmentInfo& info = segment->info();
            if (!store::overlaps(info.start_ns_min, info.end_ns_max, hour)) continue;
            for (uint32_t i = 0; i < segment->resource_count(); ++i) {
                is_full_ = is_full_ || targets.size() >= kTargetsMax;
                if (targets.size() >= kTargetsMax) break;
                targets.insert(series_text(
                    target_labels(otlp::ResourceView::parse(segment->resource_message(i))), kName));
            }
        }
        if (!targets.empty()) append_head(out, kName, "What sent spans in the last hour.", "gauge");
        for (const std::string& target : targets)
            out += target + " 1\n";
    }

    // Whole hours that are over are counted a last time.
    Result<void> settle(const Call& call, uint64_t now_ns) {
        while (now_ns > settled_ns_ + 2 * kSettleNs) {
            for (const RedFamily& family : red_families()) {
                if (is_of_edges(family) || !is_exposed(family, "")) continue;
                TRY(each_series(call, family, {settled_ns_, settled_ns_ + kSettleNs},
                                [](Counter& counter, double growth) { counter.base += growth; }));
            }
            settled_ns_ += kSettleNs;
        }
        return {};
    }

    Result<void> settle_edges(const Call& call, uint64_t now_ns) {
        const uint64_t over_ns = now_ns - std::min(now_ns, kEdgeSettleNs);
        const uint64_t end_ns = over_ns - over_ns % kRollupMinuteNs;
        edges_settled_ns_ = std::max(edges_settled_ns_, end_ns - std::min(end_ns, kSettleNs));
        while (edges_settled_ns_ < end_ns) {
            const PromWindow window{edges_settled_ns_,
                                    std::min(end_ns, edges_settled_ns_ + kEdgeWindowNs)};
            for (const RedFamily& family : red_families()) {
                if (!is_of_edges(family)) continue;
                const auto done =
                    each_series(call, family, window,
                                [](Counter& counter, double growth) { counter.base += growth; });
                // More spans than are looked at must not end the counting.
                is_full_ = is_full_ || !done;
                if (!done && done.error().code != ErrorCode::kResourceExhausted) return done;
            }
            edges_settled_ns_ = window.to_ns;
        }
        return {};
    }

    template <typename Visit>
    Result<void> each_series(const Call& call, const RedFamily& family, PromWindow window,
                             Visit&& visit) {
        PromNode selector;
        selector.kind = PromNode::Kind::kSelector;
        selector.name = family.name;
        return each_red_series(
            call, selector, {window}, edges_,
            [&](const PromLabels& labels, const std::vector<double>& growth) -> Result<void> {
                std::map<std::string, Counter>& counters = counters_[family.name];
                const std::string series = series_text(labels, family.name);
                auto known = counters.find(series);
                if (known == counters.end()) {
                    is_full_ = is_full_ || counters.size() >= kSeriesMax;
                    if (counters.size() >= kSeriesMax) return {};
                    known = counters.emplace(series, Counter{}).first;
                }
                visit(known->second, growth[0]);
                return {};
            });
    }

    std::mutex mutex_;
    uint64_t settled_ns_ = 0;
    uint64_t edges_settled_ns_ = 0;
    std::map<std::string_view, std::map<std::string, Counter>> counters_;  // by family
    bool is_full_ = false;
    ServiceEdgeCache edges_;
};

}  // namespace

void add_red_exposition(Router& router) {
    const auto exposition = std::make_shared<RedExposition>();
    router.add(Family::kOwn, "GET", "/metrics/red",
               [exposition](Call& call) { return exposition->render(call); });
}

}  // namespace spanloom::api

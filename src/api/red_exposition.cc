#include "api/red_exposition.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include <fmt/format.h>

#include "api/red_families.h"

namespace spanloom::api {
namespace {

// Spans that arrive later than this after their start are not counted any more.
constexpr uint64_t kSettleNs = 60 * kRollupMinuteNs;
constexpr size_t kSeriesMax = 50'000;  // of one family

// Tempo's names, and those of the OpenTelemetry connector as it makes them today.
bool is_exposed(const RedFamily& family, std::string_view names) {
    if (family.source != RedFamily::Source::kOperations) return false;
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
        for (const char c : value) {
            if (c == '\\' || c == '"') out += '\\';
            if (c == '\n') {
                out += "\\n";
            } else {
                out += c;
            }
        }
        out += '"';
    }
    if (separator == ',') out += '}';
    return out;
}

// Counters that only grow, from an hour before the first scrape: what has settled is kept, the last
// hours are counted anew each time. Any thread.
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
        std::string out;
        std::string_view last;
        for (const RedFamily& family : red_families()) {
            if (!is_exposed(family, names)) continue;
            if (family.family != last) {
                const bool is_histogram = family.family != family.name;
                out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", family.family, family.help,
                                   family.family, is_histogram ? "histogram" : "counter");
                last = family.family;
            }
            for (auto& [series, counter] : counters_[family.name])
                counter.shown = std::max(counter.shown, counter.base);
            TRY(each_series(call, family, {settled_ns_, now_ns},
                            [](Counter& counter, double growth) {
                                counter.shown = std::max(counter.shown, counter.base + growth);
                            }));
            for (const auto& [series, counter] : counters_[family.name])
                out += fmt::format("{} {}\n", series, counter.shown);
        }
        http::Response response = text_reply(std::move(out));
        response.headers = {};
        response.headers.add("content-type", "text/plain; version=0.0.4; charset=utf-8");
        if (is_full_) response.headers.add("x-spanloom-partial", "more series than are shown");
        return response;
    }

  private:
    struct Counter {
        double base = 0;   // until settled_ns_
        double shown = 0;  // a counter never goes back: resends that are found late stay counted
    };

    // Whole hours that are over are counted a last time.
    Result<void> settle(const Call& call, uint64_t now_ns) {
        while (now_ns > settled_ns_ + 2 * kSettleNs) {
            for (const RedFamily& family : red_families()) {
                if (!is_exposed(family, "")) continue;
                TRY(each_series(call, family, {settled_ns_, settled_ns_ + kSettleNs},
                                [](Counter& counter, double growth) { counter.base += growth; }));
            }
            settled_ns_ += kSettleNs;
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

#include "api/red_exposition.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include <fmt/format.h>

#include "api/red_exemplars.h"
#include "api/red_families.h"
#include "api/red_targets.h"

namespace spanloom::api {
namespace {

// Spans that arrive later than this after their start are not counted any more.
constexpr uint64_t kSettleNs = 60 * kRollupMinuteNs;
// Pairs of services are found by looking at spans: of each minute once, when its traces are in.
constexpr uint64_t kEdgeSettleNs = 2 * kRollupMinuteNs;
constexpr uint64_t kEdgeWindowNs = 5 * kRollupMinuteNs;  // looked at in one go, at most
constexpr size_t kSeriesMax = 50'000;                    // of one family
constexpr uint64_t kExemplarsNs = 60 * kRollupMinuteNs;  // how old they may be

bool is_of_edges(const RedFamily& family) {
    return family.source != RedFamily::Source::kOperations &&
           family.value != RedFamily::Value::kInfo;
}

// Tempo's names, and those of the OpenTelemetry connector as it makes them today.
bool is_exposed(const RedFamily& family, std::string_view names) {
    if (family.value == RedFamily::Value::kInfo) return false;  // shown by itself
    // Both name those of pairs alike.
    if (is_of_edges(family)) return true;
    if (!family.is_otel) return names != "otel";
    return names != "tempo" && (family.name == "traces_span_metrics_calls_total" ||
                                family.family == "traces_span_metrics_duration_milliseconds");
}

std::string series_text(const PromLabels& labels, std::string_view name,
                        std::string_view leave_out = {}) {
    std::string out(name);
    char separator = '{';
    for (const auto& [label, value] : labels) {
        if (label == "__name__" || label == leave_out || value.empty()) continue;
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

// Prometheus's text format, or OpenMetrics, which has exemplars and names counters without _total.
enum class Format : uint8_t { kText, kOpenMetrics };

void append_head(std::string& out, Format format, std::string_view family, std::string_view help,
                 std::string_view type) {
    constexpr std::string_view kTotal = "_total";
    if (format == Format::kOpenMetrics && type == "counter" && family.ends_with(kTotal))
        family.remove_suffix(kTotal.size());
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", family, help, family, type);
}

void append_exemplar(std::string& out, const RedFamily& family, const RedExemplar& exemplar) {
    out += fmt::format(" # {{trace_id=\"{}\",span_id=\"{}\"}} {} {:.3f}", exemplar.trace_id.hex(),
                       exemplar.span_id.hex(),
                       static_cast<double>(exemplar.duration_ns) / (family.is_ms ? 1e6 : 1e9),
                       static_cast<double>(exemplar.start_ns) / 1e9);
}

// Counters that only grow, from an hour before the first scrape. What has settled is kept; of
// operations the last hours are counted anew each time. One thread at a time.
class RedCounters {
  public:
    // Every family but targets.
    Result<std::string> render(Call& call, std::string_view names, SpanWeights weights,
                               Format format) {
        weights_ = weights;
        const uint64_t now_ns = call.now_ns();
        if (settled_ns_ == 0)
            settled_ns_ =
                (now_ns - std::min(now_ns, kSettleNs)) / kRollupMinuteNs * kRollupMinuteNs;
        TRY(settle(call, now_ns));
        TRY(settle_edges(call, now_ns));
        RedExemplars exemplars;
        if (format == Format::kOpenMetrics) {
            const store::TimeRange lately{now_ns - std::min(now_ns, kExemplarsNs), now_ns};
            TRY_ASSIGN(exemplars,
                       RedExemplars::find(call, lately, store::Predicate::everything(), 1));
        }
        const std::vector<RedFamily>& families = red_families();
        std::string out;
        for (size_t first = 0; first < families.size();) {
            size_t end = first;
            for (; end < families.size() && families[end].family == families[first].family; ++end) {
                if (is_exposed(families[end], names)) TRY(count_lately(call, families[end]));
            }
            const std::span<const RedFamily> group(families.begin() + static_cast<ptrdiff_t>(first),
                                                   end - first);
            if (is_exposed(group.front(), names)) append_group(group, format, exemplars, out);
            first = end;
        }
        append_connections(format, out);
        return out;
    }

    bool is_full() const { return is_full_; }
    const std::string& note() const { return asked_.note; }

  private:
    struct Counter {
        PromLabels labels;
        std::string text;
        double base = 0;   // until settled_ns_
        double shown = 0;  // a counter never goes back: resends that are found late stay counted
    };
    // By the labels but le, then by it: those of one histogram stand together.
    using Counters = std::map<std::pair<std::string, size_t>, Counter>;

    Result<void> count_lately(const Call& call, const RedFamily& family) {
        for (auto& [key, counter] : counters_[family.name])
            counter.shown = std::max(counter.shown, counter.base);
        if (is_of_edges(family)) return {};
        return each_series(call, family, {settled_ns_, call.now_ns()},
                           [](Counter& counter, double growth) {
                               counter.shown = std::max(counter.shown, counter.base + growth);
                           });
    }

    // A counter, or buckets, sums and counts of a histogram, series by series.
    void append_group(std::span<const RedFamily> group, Format format,
                      const RedExemplars& exemplars, std::string& out) {
        const bool is_histogram = group.size() > 1;
        append_head(out, format, group.front().family,
                    fmt::format("{} {}", group.front().help, counted_as()),
                    is_histogram ? "histogram" : "counter");
        const Counters& leading = counters_[group.front().name];
        for (auto at = leading.begin(); at != leading.end(); ++at) {
            const auto& [key, counter] = *at;
            out += fmt::format("{} {}", counter.text, counter.shown);
            if (format == Format::kOpenMetrics && is_histogram) {
                const RedExemplar* exemplar = exemplars.newest(group.front(), counter.labels);
                if (exemplar != nullptr) append_exemplar(out, group.front(), *exemplar);
            }
            out += '\n';
            const auto next = std::next(at);
            if (next != leading.end() && next->first.first == key.first) continue;
            for (const RedFamily& other : group.subspan(1)) {
                const Counters& own = counters_[other.name];
                const auto found = own.find({key.first, 0});
                if (found != own.end())
                    out += fmt::format("{} {}\n", found->second.text, found->second.shown);
            }
        }
    }

    std::string_view counted_as() const {
        return weights_ == SpanWeights::kRaw
                   ? "As received (raw)."
                   : "Each span as many as it stands for where it was sampled (weighted).";
    }

    // The pairs there are, for joins.
    void append_connections(Format format, std::string& out) {
        const Counters& pairs = counters_["traces_service_graph_request_total"];
        if (pairs.empty()) return;
        append_head(out, format, kConnectionInfo, kConnectionInfoHelp, "gauge");
        for (const auto& [key, counter] : pairs)
            out += series_text(counter.labels, kConnectionInfo) + " 1\n";
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
            call, selector, {window}, weights_, asked_,
            [&](const PromLabels& labels, const std::vector<double>& growth) -> Result<void> {
                Counters& counters = counters_[family.name];
                std::pair<std::string, size_t> key{series_text(labels, {}, "le"), 0};
                for (const auto& [name, value] : labels) {
                    if (name == "le") key.second = bound_of_text(value, family.is_ms).value_or(0);
                }
                auto known = counters.find(key);
                if (known == counters.end()) {
                    is_full_ = is_full_ || counters.size() >= kSeriesMax;
                    if (counters.size() >= kSeriesMax) return {};
                    Counter counter{labels, series_text(labels, family.name), 0, 0};
                    known = counters.emplace(std::move(key), std::move(counter)).first;
                }
                visit(known->second, growth[0]);
                return {};
            });
    }

    SpanWeights weights_ = SpanWeights::kRaw;
    uint64_t settled_ns_ = 0;
    uint64_t edges_settled_ns_ = 0;
    std::map<std::string_view, Counters> counters_;  // by family
    bool is_full_ = false;
    ServiceEdgeCache edges_;
    AskedEdges asked_{edges_};
};

// Any thread.
class RedExposition {
  public:
    Result<http::Response> render(Call& call) {
        const std::string_view names = call.query.get("names");
        if (!names.empty() && names != "tempo" && names != "otel")
            return fail(ErrorCode::kInvalidArgument, "names is tempo or otel");
        TRY_ASSIGN(const SpanWeights weights, asked_weights(call.query));
        const Format format =
            call.accepts("application/openmetrics-text") ? Format::kOpenMetrics : Format::kText;
        const std::lock_guard lock(mutex_);
        TRY_ASSIGN(std::string out, counters_[weights == SpanWeights::kRaw ? 0 : 1].render(
                                        call, names, weights, format));
        TRY(append_targets(call, format, out));
        if (format == Format::kOpenMetrics) out += "# EOF\n";
        http::Response response = text_reply(std::move(out));
        response.headers = {};
        response.headers.add("content-type",
                             format == Format::kOpenMetrics
                                 ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                 : "text/plain; version=0.0.4; charset=utf-8");
        response.headers.add(std::string(kWeightsHeader), std::string(weights_name(weights)));
        const std::string& note = counters_[weights == SpanWeights::kRaw ? 0 : 1].note();
        if (!note.empty()) response.headers.add("x-spanloom-note", note);
        if (is_full_ || counters_[0].is_full() || counters_[1].is_full())
            response.headers.add("x-spanloom-partial", "more series or spans than are counted");
        return response;
    }

  private:
    Result<void> append_targets(const Call& call, Format format, std::string& out) {
        const uint64_t now_ns = call.now_ns();
        TRY_ASSIGN(const Targets targets,
                   find_targets(call, {{now_ns - std::min(now_ns, kSettleNs), now_ns}}));
        is_full_ = is_full_ || targets.is_full;
        if (targets.seen.empty()) return {};
        append_head(out, format, kTargetInfo, kTargetInfoHelp, "gauge");
        for (const auto& [labels, windows] : targets.seen)
            out += series_text(labels, kTargetInfo) + " 1\n";
        return {};
    }

    std::mutex mutex_;
    std::array<RedCounters, 2> counters_;  // raw, weighted
    bool is_full_ = false;
};

}  // namespace

void add_red_exposition(Router& router) {
    const auto exposition = std::make_shared<RedExposition>();
    router.add(Family::kOwn, "GET", "/metrics/red",
               [exposition](Call& call) { return exposition->render(call); });
}

}  // namespace spanloom::api

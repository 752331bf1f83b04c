#include "api/promql_eval.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include <re2/re2.h>

#include "api/promql_binary.h"
#include "base/text.h"

namespace spanloom::api {
namespace {

// Points of series that are kept at one time: 8 bytes each.
constexpr size_t kPointsMax = 4'000'000;

using Sink = std::function<Result<void>(PromLabels, std::vector<double>)>;

// Prometheus's rule: linear within the bucket that holds the rank.
double histogram_quantile(double q, const std::map<double, double>& buckets) {
    if (buckets.size() < 2 || !std::isinf(buckets.rbegin()->first)) return kPromNone;
    const double total = buckets.rbegin()->second;
    if (!(total > 0)) return kPromNone;
    if (q < 0) return -std::numeric_limits<double>::infinity();
    if (q > 1) return std::numeric_limits<double>::infinity();
    const double rank = q * total;
    double below = 0;
    double lower = 0;
    for (const auto& [bound, count] : buckets) {
        if (count >= rank) {
            if (std::isinf(bound)) return lower;
            const double width = count - below;
            return width > 0 ? lower + (bound - lower) * (rank - below) / width : bound;
        }
        below = count;
        lower = bound;
    }
    return lower;
}

class Evaluator {
  public:
    Evaluator(const Call& call, const std::vector<uint64_t>& times, SpanWeights weights,
              AskedEdges& edges)
        : call_(call), times_(times), weights_(weights), edges_(edges) {}

    Result<PromResult> evaluate(const PromNode& node) {
        switch (node.kind) {
            case PromNode::Kind::kNumber:
                return scalar(std::vector<double>(times_.size(), node.number));
            case PromNode::Kind::kString:
                return fail(ErrorCode::kUnsupported, "a text alone is not answered here");
            case PromNode::Kind::kNegate: {
                TRY_ASSIGN(PromResult inner, evaluate(node.arguments[0]));
                for (double& value : inner.scalar)
                    value = -value;
                for (PromSeries& series : inner.series) {
                    series.labels = without_name(std::move(series.labels));
                    for (double& value : series.values)
                        value = -value;
                }
                return inner;
            }
            case PromNode::Kind::kBinary: {
                TRY_ASSIGN(PromResult left, evaluate(node.arguments[0]));
                TRY_ASSIGN(PromResult right, evaluate(node.arguments[1]));
                return combine(node, std::move(left), std::move(right), times_.size());
            }
            case PromNode::Kind::kAggregate:
                return aggregate(node);
            case PromNode::Kind::kCall:
                return function(node);
            case PromNode::Kind::kSelector:
                break;
        }
        return collect(node);
    }

  private:
    static PromResult scalar(std::vector<double> values) {
        PromResult result;
        result.is_scalar = true;
        result.scalar = std::move(values);
        return result;
    }

    Result<void> count_points() {
        points_ += times_.size();
        if (points_ <= kPointsMax) return {};
        return fail(ErrorCode::kResourceExhausted,
                    "query processing would load too many samples into memory in query execution: "
                    "aggregate, or ask for a shorter range");
    }

    Result<PromResult> collect(const PromNode& node) {
        PromResult result;
        const Sink add = [&](PromLabels labels, std::vector<double> values) -> Result<void> {
            TRY(count_points());
            result.series.push_back({std::move(labels), std::move(values)});
            return {};
        };
        TRY(each(node, add));
        return result;
    }

    // The series of a node one after another, so that aggregation need not keep them.
    Result<void> each(const PromNode& node, const Sink& sink) {
        if (node.kind == PromNode::Kind::kSelector) return each_counter(node, sink);
        const bool is_rate =
            node.kind == PromNode::Kind::kCall &&
            (node.name == "rate" || node.name == "increase" || node.name == "irate");
        if (is_rate) return each_rate(node, sink);
        TRY_ASSIGN(PromResult result, evaluate(node));
        if (result.is_scalar)
            return fail(ErrorCode::kInvalidArgument,
                        "expected type instant vector, got scalar where series are needed");
        for (PromSeries& series : result.series)
            TRY(sink(std::move(series.labels), std::move(series.values)));
        return {};
    }

    static uint64_t shifted(uint64_t time, int64_t offset) {
        if (offset >= 0) return time - std::min(time, static_cast<uint64_t>(offset));
        return time + static_cast<uint64_t>(-offset);
    }

    // A counter itself: everything since the oldest span that is kept.
    Result<void> each_counter(const PromNode& node, const Sink& sink) {
        if (node.window_ns != 0)
            return fail(ErrorCode::kInvalidArgument,
                        "expected type instant vector, got range vector: put rate() around it");
        std::vector<PromWindow> windows;
        for (const uint64_t time : times_)
            windows.push_back({0, shifted(time, node.offset_ns)});
        return each_red_series(call_, node, windows, weights_, edges_,
                               [&](PromLabels labels, std::vector<double> values) -> Result<void> {
                                   bool has_any = false;
                                   for (double& value : values) {
                                       has_any = has_any || value > 0;
                                       if (value == 0) value = kPromNone;
                                   }
                                   // A histogram's empty buckets and failures that never were are
                                   // there as zeros.
                                   if (!has_any) std::fill(values.begin(), values.end(), 0);
                                   return sink(std::move(labels), std::move(values));
                               });
    }

    Result<void> each_rate(const PromNode& node, const Sink& sink) {
        if (node.arguments.size() != 1 || node.arguments[0].kind != PromNode::Kind::kSelector ||
            node.arguments[0].window_ns == 0)
            return fail(ErrorCode::kInvalidArgument,
                        "expected type range vector in call to function \"{}\"", node.name);
        const PromNode& selector = node.arguments[0];
        // Counts are by the minute: shorter windows would only show parts of it.
        const uint64_t window = node.name == "irate" ? kRollupMinuteNs : selector.window_ns;
        std::vector<PromWindow> windows;
        for (const uint64_t time : times_) {
            const uint64_t to = shifted(time, selector.offset_ns);
            windows.push_back({to - std::min(to, window), to});
        }
        const double divisor = node.name == "increase" ? 1 : static_cast<double>(window) / 1e9;
        PromNode plain = selector;
        plain.window_ns = 0;
        return each_red_series(call_, plain, windows, weights_, edges_,
                               [&](PromLabels labels, std::vector<double> values) -> Result<void> {
                                   const bool is_gauge = is_info(label_of(labels, "__name__"));
                                   for (double& value : values) {
                                       // Where a gauge is it does not grow.
                                       if (is_gauge) value = value > 0 ? 0 : kPromNone;
                                       value /= divisor;
                                   }
                                   return sink(without_name(std::move(labels)), std::move(values));
                               });
    }

    Result<std::vector<double>> scalar_argument(const PromNode& node, size_t index) {
        if (index >= node.arguments.size())
            return fail(ErrorCode::kInvalidArgument, "{} needs more arguments", node.name);
        TRY_ASSIGN(PromResult value, evaluate(node.arguments[index]));
        if (!value.is_scalar)
            return fail(ErrorCode::kInvalidArgument,
                        "expected type scalar in call to \"{}\", got instant vector", node.name);
        return std::move(value.scalar);
    }

    // ---- aggregation

    struct Group {
        PromLabels labels;
        std::vector<double> values;
        std::vector<uint32_t> counts;
    };

    static void add_to(Group& group, std::string_view op, const std::vector<double>& values) {
        for (size_t i = 0; i < values.size(); ++i) {
            if (std::isnan(values[i])) continue;
            double& at = group.values[i];
            const bool is_first = group.counts[i]++ == 0;
            if (op == "min") {
                at = is_first ? values[i] : std::min(at, values[i]);
            } else if (op == "max") {
                at = is_first ? values[i] : std::max(at, values[i]);
            } else {
                at = is_first ? values[i] : at + values[i];
            }
        }
    }

    Result<PromResult> aggregate(const PromNode& node) {
        if (node.name == "topk" || node.name == "bottomk") return top(node);
        std::map<PromLabels, Group> groups;
        const Sink add = [&](PromLabels labels, std::vector<double> values) -> Result<void> {
            PromLabels key = keep(labels, node.labels, node.is_without);
            auto at = groups.find(key);
            if (at == groups.end()) {
                TRY(count_points());
                Group group{key, std::vector<double>(times_.size(), kPromNone),
                            std::vector<uint32_t>(times_.size(), 0)};
                at = groups.emplace(std::move(key), std::move(group)).first;
            }
            add_to(at->second, node.name, values);
            return {};
        };
        TRY(each(node.arguments[0], add));
        PromResult result;
        for (auto& [key, group] : groups) {
            for (size_t i = 0; i < times_.size(); ++i) {
                if (group.counts[i] == 0) continue;
                if (node.name == "avg") group.values[i] /= group.counts[i];
                if (node.name == "count") group.values[i] = group.counts[i];
                if (node.name == "group") group.values[i] = 1;
            }
            result.series.push_back({std::move(group.labels), std::move(group.values)});
        }
        return result;
    }

    Result<PromResult> top(const PromNode& node) {
        TRY_ASSIGN(const auto limits, scalar_argument(node, 0));
        TRY_ASSIGN(PromResult all, collect_of(node.arguments[1]));
        std::map<PromLabels, std::vector<size_t>> groups;
        for (size_t i = 0; i < all.series.size(); ++i)
            groups[keep(all.series[i].labels, node.labels, node.is_without)].push_back(i);
        const bool is_top = node.name == "topk";
        std::set<size_t> shown;
        for (auto& [key, members] : groups) {
            for (size_t time = 0; time < times_.size(); ++time)
                choose(all.series, members, time, limits[time], is_top, shown);
        }
        PromResult result;
        for (const size_t index : shown)
            result.series.push_back(std::move(all.series[index]));
        std::stable_sort(result.series.begin(), result.series.end(),
                         [&](const PromSeries& a, const PromSeries& b) {
                             return order(a, is_top) < order(b, is_top);
                         });
        return result;
    }

    // For sorting by the last value, the wanted end first, those without a value last.
    static double order(const PromSeries& series, bool is_descending) {
        const double last = series.values.empty() ? kPromNone : series.values.back();
        if (std::isnan(last)) return std::numeric_limits<double>::infinity();
        return is_descending ? -last : last;
    }

    // Takes away the values at one time that are not among the k first.
    static void choose(std::vector<PromSeries>& all, std::vector<size_t>& members, size_t time,
                       double limit, bool is_top, std::set<size_t>& shown) {
        std::vector<size_t> there;
        for (const size_t index : members) {
            if (!std::isnan(all[index].values[time])) there.push_back(index);
        }
        const auto size = static_cast<size_t>(
            std::clamp(std::isnan(limit) ? 0.0 : limit, 0.0, static_cast<double>(there.size())));
        std::stable_sort(there.begin(), there.end(), [&](size_t a, size_t b) {
            return is_top ? all[a].values[time] > all[b].values[time]
                          : all[a].values[time] < all[b].values[time];
        });
        for (size_t i = 0; i < there.size(); ++i) {
            if (i < size) {
                shown.insert(there[i]);
            } else {
                all[there[i]].values[time] = kPromNone;
            }
        }
    }

    Result<PromResult> collect_of(const PromNode& node) {
        TRY_ASSIGN(PromResult result, evaluate(node));
        if (!result.is_scalar) return result;
        return fail(ErrorCode::kInvalidArgument, "expected type instant vector, got scalar");
    }

    // ---- functions

    Result<PromResult> function(const PromNode& node) {
        if (node.name == "rate" || node.name == "increase" || node.name == "irate")
            return collect(node);
        if (node.name == "histogram_quantile") return quantile(node);
        if (node.name == "label_replace") return label_replace(node);
        if (node.name == "vector") {
            TRY_ASSIGN(auto values, scalar_argument(node, 0));
            PromResult result;
            result.series.push_back({{}, std::move(values)});
            return result;
        }
        if (node.arguments.empty())
            return fail(ErrorCode::kInvalidArgument, "{} needs an argument", node.name);
        TRY_ASSIGN(PromResult result, collect_of(node.arguments[0]));
        if (node.name == "sort" || node.name == "sort_desc") {
            const bool is_descending = node.name == "sort_desc";
            std::stable_sort(result.series.begin(), result.series.end(),
                             [&](const PromSeries& a, const PromSeries& b) {
                                 return order(a, is_descending) < order(b, is_descending);
                             });
            return result;
        }
        std::vector<double> bound(times_.size(), 1);
        if (node.name.starts_with("clamp_") ||
            (node.name == "round" && node.arguments.size() > 1)) {
            TRY_ASSIGN(bound, scalar_argument(node, 1));
        }
        for (PromSeries& series : result.series) {
            series.labels = without_name(std::move(series.labels));
            for (size_t i = 0; i < series.values.size(); ++i)
                series.values[i] = mapped(node.name, series.values[i], bound[i]);
        }
        return result;
    }

    static double mapped(std::string_view name, double value, double bound) {
        if (name == "abs") return std::abs(value);
        if (name == "ceil") return std::ceil(value);
        if (name == "floor") return std::floor(value);
        if (name == "round") return std::floor(value / bound + 0.5) * bound;
        if (std::isnan(value)) return value;
        return name == "clamp_min" ? std::max(value, bound) : std::min(value, bound);
    }

    Result<PromResult> quantile(const PromNode& node) {
        TRY_ASSIGN(const auto wanted, scalar_argument(node, 0));
        if (node.arguments.size() != 2)
            return fail(ErrorCode::kInvalidArgument, "histogram_quantile takes two arguments");
        // For each time the counts by bound.
        std::map<PromLabels, std::vector<std::map<double, double>>> groups;
        const Sink add = [&](PromLabels labels, std::vector<double> values) -> Result<void> {
            const std::string_view text = label_of(labels, "le");
            const auto bound = text == "+Inf"
                                   ? std::optional(std::numeric_limits<double>::infinity())
                                   : parse_double(text);
            if (!bound) return {};
            auto& times = groups[keep(labels, {"le"}, true)];
            if (times.empty()) {
                times.resize(times_.size());
                // Each bound of each time takes a node of a map, as large as several points.
                for (int i = 0; i < 64; ++i)
                    TRY(count_points());
            }
            for (size_t i = 0; i < values.size(); ++i) {
                if (!std::isnan(values[i])) times[i][*bound] += values[i];
            }
            return {};
        };
        TRY(each(node.arguments[1], add));
        PromResult result;
        for (const auto& [labels, times] : groups) {
            PromSeries series{labels, {}};
            for (size_t i = 0; i < times.size(); ++i)
                series.values.push_back(histogram_quantile(wanted[i], times[i]));
            result.series.push_back(std::move(series));
        }
        return result;
    }

    Result<PromResult> label_replace(const PromNode& node) {
        if (node.arguments.size() != 5)
            return fail(ErrorCode::kInvalidArgument, "label_replace takes five arguments");
        for (size_t i = 1; i < 5; ++i) {
            if (node.arguments[i].kind != PromNode::Kind::kString)
                return fail(ErrorCode::kInvalidArgument,
                            "label_replace: argument {} must be a text", i + 1);
        }
        TRY_ASSIGN(PromResult result, collect_of(node.arguments[0]));
        const std::string& target = node.arguments[1].name;
        std::string rewrite;
        // RE2 writes groups as \1.
        for (const char c : node.arguments[2].name)
            rewrite += c == '$' ? std::string("\\") : c == '\\' ? "\\\\" : std::string(1, c);
        RE2::Options options;
        options.set_log_errors(false);
        const RE2 regex("^(?:" + node.arguments[4].name + ")$", options);
        if (!regex.ok())
            return fail(ErrorCode::kInvalidArgument, "invalid regular expression in label_replace");
        for (PromSeries& series : result.series) {
            const std::string source(label_of(series.labels, node.arguments[3].name));
            std::string replaced;
            if (!RE2::Extract(source, regex, rewrite, &replaced)) continue;
            std::erase_if(series.labels, [&](const auto& label) { return label.first == target; });
            if (replaced.empty()) continue;
            series.labels.emplace_back(target, replaced);
            std::sort(series.labels.begin(), series.labels.end());
        }
        return result;
    }

    const Call& call_;
    const std::vector<uint64_t>& times_;
    const SpanWeights weights_;
    AskedEdges& edges_;
    size_t points_ = 0;
};

}  // namespace

Result<PromResult> evaluate_promql(const Call& call, const PromNode& node,
                                   const std::vector<uint64_t>& times_ns, SpanWeights weights,
                                   AskedEdges& edges) {
    TRY_ASSIGN(PromResult result, Evaluator(call, times_ns, weights, edges).evaluate(node));
    std::erase_if(result.series, [](const PromSeries& series) {
        return std::all_of(series.values.begin(), series.values.end(),
                           [](double value) { return std::isnan(value); });
    });
    return result;
}

}  // namespace spanloom::api

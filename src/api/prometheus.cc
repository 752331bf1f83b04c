#include "api/prometheus.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include <fmt/format.h>

#include "api/promql_eval.h"
#include "api/red_exemplars.h"
#include "api/red_targets.h"
#include "base/text.h"

namespace spanloom::api {
namespace {

constexpr size_t kTimesMax = 11'000;
constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr size_t kSeriesMax = 20'000;

// Parameters of the address, and of a POST's form.
Result<http::Query> read_query(const Call& call) {
    if (call.request.method != "POST") return call.query;
    TRY_ASSIGN(const Blob body, call.body());
    return http::Query::parse(call.request.raw_query + "&" + std::string(body.view()));
}

// Seconds with a fraction, or RFC 3339.
Result<uint64_t> time_parameter(const http::Query& query, std::string_view name,
                                uint64_t fallback) {
    const std::string_view text = query.get(name);
    if (text.empty()) return fallback;
    if (const auto seconds = parse_double(text)) {
        if (*seconds >= 0 && *seconds < 9e9) return static_cast<uint64_t>(*seconds * 1e9);
    } else if (const auto time = parse_rfc3339_ns(text)) {
        return *time;
    }
    return fail(ErrorCode::kInvalidArgument,
                "invalid parameter \"{}\": cannot parse \"{}\" to a valid timestamp", name,
                text.substr(0, 100));
}

Result<uint64_t> step_parameter(std::string_view text) {
    if (const auto seconds = parse_double(text)) {
        if (*seconds > 0 && *seconds < 1e9) return static_cast<uint64_t>(*seconds * 1e9);
    } else if (const auto duration = parse_duration_ns(text); duration && *duration > 0) {
        return static_cast<uint64_t>(*duration);
    }
    return fail(ErrorCode::kInvalidArgument,
                "invalid parameter \"step\": cannot parse \"{}\" to a valid duration",
                text.substr(0, 100));
}

std::string number_text(double value) {
    if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
    return fmt::format("{}", value);
}

void write_labels(JsonWriter& json, const PromLabels& labels) {
    json.begin_object();
    for (const auto& [name, value] : labels) {
        // An empty label is one that is not there.
        if (!value.empty()) json.field(name, value);
    }
    json.end_object();
}

void write_point(JsonWriter& json, uint64_t time_ns, double value) {
    json.begin_array().raw(fmt::format("{:.3f}", static_cast<double>(time_ns) / 1e9));
    json.string(number_text(value)).end_array();
}

// `warnings`: empty ones are none.
http::Response success(std::string_view data,
                       std::initializer_list<std::string_view> warnings = {}) {
    std::string out = R"({"status":"success","data":)";
    out += data;
    std::string list;
    JsonWriter json(list);
    json.begin_array();
    for (const std::string_view warning : warnings)
        if (!warning.empty()) json.string(warning);
    json.end_array();
    if (list != "[]") out += R"(,"warnings":)" + list;
    out += '}';
    return json_reply(std::move(out));
}

// The warning of an answer without what is beyond the limit asked for.
std::string_view truncation(bool is_truncated) {
    return is_truncated ? "results truncated due to limit" : "";
}

// An answer that says how its spans are counted.
http::Response counted(std::string_view data, SpanWeights weights, std::string_view note) {
    http::Response response = success(data, {note});
    response.headers.add(std::string(kWeightsHeader), std::string(weights_name(weights)));
    return response;
}

std::string matrix(const PromResult& result, const std::vector<uint64_t>& times) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("resultType", std::string_view("matrix")).key("result").begin_array();
    const auto write = [&](const PromLabels& labels, const std::vector<double>& values) {
        json.begin_object().key("metric");
        write_labels(json, labels);
        json.key("values").begin_array();
        for (size_t i = 0; i < times.size(); ++i) {
            if (!std::isnan(values[i])) write_point(json, times[i], values[i]);
        }
        json.end_array().end_object();
    };
    if (result.is_scalar) write({}, result.scalar);
    for (const PromSeries& series : result.series)
        write(series.labels, series.values);
    json.end_array().end_object();
    return out;
}

std::string vector(const PromResult& result, uint64_t time) {
    std::string out;
    JsonWriter json(out);
    json.begin_object();
    if (result.is_scalar) {
        json.field("resultType", std::string_view("scalar")).key("result");
        write_point(json, time, result.scalar[0]);
        json.end_object();
        return out;
    }
    json.field("resultType", std::string_view("vector")).key("result").begin_array();
    for (const PromSeries& series : result.series) {
        json.begin_object().key("metric");
        write_labels(json, series.labels);
        json.key("value");
        write_point(json, time, series.values[0]);
        json.end_object();
    }
    json.end_array().end_object();
    return out;
}

// The answers to each address, with what they share.
class Prometheus {
  public:
    Result<http::Response> instant(Call& call) {
        TRY_ASSIGN(const http::Query query, read_query(call));
        TRY_ASSIGN(const uint64_t time, time_parameter(query, "time", call.now_ns()));
        TRY_ASSIGN(const PromNode node, parse_promql(query.get("query")));
        TRY_ASSIGN(const SpanWeights weights, asked_weights(query));
        AskedEdges edges{edges_};
        TRY_ASSIGN(const PromResult result, evaluate_promql(call, node, {time}, weights, edges));
        return counted(vector(result, time), weights, edges.note);
    }

    Result<http::Response> range(Call& call) {
        TRY_ASSIGN(const http::Query query, read_query(call));
        const uint64_t now = call.now_ns();
        TRY_ASSIGN(const uint64_t start, time_parameter(query, "start", now - 3600 * kSecondNs));
        TRY_ASSIGN(const uint64_t end, time_parameter(query, "end", now));
        TRY_ASSIGN(const uint64_t step, step_parameter(query.get("step")));
        if (end < start)
            return fail(ErrorCode::kInvalidArgument,
                        "invalid parameter \"end\": end timestamp must not be before start time");
        if ((end - start) / step >= kTimesMax)
            return fail(ErrorCode::kInvalidArgument,
                        "exceeded maximum resolution of {} points per timeseries. Try decreasing "
                        "the query resolution (?step=XX)",
                        kTimesMax);
        TRY_ASSIGN(const PromNode node, parse_promql(query.get("query")));
        std::vector<uint64_t> times;
        for (uint64_t time = start; time <= end; time += step)
            times.push_back(time);
        TRY_ASSIGN(const SpanWeights weights, asked_weights(query));
        AskedEdges edges{edges_};
        TRY_ASSIGN(const PromResult result, evaluate_promql(call, node, times, weights, edges));
        return counted(matrix(result, times), weights, edges.note);
    }

    Result<http::Response> series(Call& call) {
        TRY_ASSIGN(const http::Query query, read_query(call));
        if (query.all("match[]").empty())
            return fail(ErrorCode::kInvalidArgument, "no match[] parameter provided");
        TRY_ASSIGN(const uint64_t limit, most_results(query));
        uint64_t found = 0;
        std::string out;
        JsonWriter json(out);
        json.begin_array();
        TRY(each_matching(call, query, [&](const PromLabels& labels) {
            if (found++ < limit) write_labels(json, labels);
        }));
        json.end_array();
        return success(out, {truncation(found > limit)});
    }

    Result<http::Response> labels(Call& call) {
        TRY_ASSIGN(const http::Query query, read_query(call));
        TRY_ASSIGN(const uint64_t limit, most_results(query));
        std::set<std::string> names;
        if (query.all("match[]").empty()) {
            names = {"__name__",  "client",    "connection_type", "le",
                     "protocol",  "server",    "service_name",    "service",
                     "span_kind", "span_name", "status_code"};
        } else {
            TRY(each_matching(call, query, [&](const PromLabels& labels) {
                for (const auto& [name, value] : labels)
                    names.insert(name);
            }));
            return names_reply(names, limit);
        }
        TRY_ASSIGN(const store::TimeRange range, asked_range(call, query));
        TRY_ASSIGN(const Targets targets, find_targets(call, {{range.start_ns, range.end_ns}}));
        for (const auto& [labels, seen] : targets.seen) {
            for (const auto& [name, value] : labels)
                names.insert(name);
        }
        return names_reply(names, limit);
    }

    Result<http::Response> values(Call& call) {
        TRY_ASSIGN(const http::Query query, read_query(call));
        TRY_ASSIGN(const uint64_t limit, most_results(query));
        const std::string& name = call.captures[0];
        std::set<std::string> found;
        if (name == "__name__" && query.all("match[]").empty()) {
            for (const RedFamily& family : red_families())
                found.emplace(family.name);
            return names_reply(found, limit);
        }
        TRY(each_matching(call, query, [&](const PromLabels& labels) {
            for (const auto& [key, value] : labels) {
                if (key == name && !value.empty()) found.insert(value);
            }
        }));
        return names_reply(found, limit);
    }

    Result<http::Response> metadata(Call& call) {
        const std::string_view wanted = call.query.get("metric");
        // Negative ones are none.
        TRY_ASSIGN(const int64_t limit, limit_parameter(call.query, "limit", -1));
        // Each family has one.
        TRY(limit_parameter(call.query, "limit_per_metric", -1));
        int64_t shown = 0;
        std::string out;
        JsonWriter json(out);
        json.begin_object();
        std::string_view last;
        for (const RedFamily& family : red_families()) {
            if (family.family == last || (!wanted.empty() && family.family != wanted)) continue;
            last = family.family;
            if (limit >= 0 && shown++ >= limit) break;
            json.key(family.family).begin_array().begin_object();
            json.field("type", type_of(family));
            json.field("help", family.help).field("unit", std::string_view());
            json.end_object().end_array();
        }
        json.end_object();
        return success(out);
    }

    Result<http::Response> exemplars(Call& call);

  private:
    static std::string_view type_of(const RedFamily& family) {
        if (family.value == RedFamily::Value::kInfo) return "gauge";
        return family.family == family.name ? "counter" : "histogram";
    }

    static Result<int64_t> limit_parameter(const http::Query& query, std::string_view name,
                                           int64_t absent) {
        const std::string_view text = query.get(name);
        if (text.empty()) return absent;
        if (const auto limit = parse_int(text)) return *limit;
        return fail(ErrorCode::kInvalidArgument, "{} must be a number", name);
    }

    static Result<store::TimeRange> asked_range(const Call& call, const http::Query& query) {
        const uint64_t now = call.now_ns();
        TRY_ASSIGN(const uint64_t start, time_parameter(query, "start", now - 3600 * kSecondNs));
        TRY_ASSIGN(const uint64_t end, time_parameter(query, "end", now));
        return store::TimeRange{start, std::max(end, start + 1)};
    }

    // How many series, names or values are wanted; 0 means all of them.
    static Result<uint64_t> most_results(const http::Query& query) {
        TRY_ASSIGN(const int64_t limit, limit_parameter(query, "limit", 0));
        if (limit < 0) return fail(ErrorCode::kInvalidArgument, "limit must be non-negative");
        return limit > 0 ? static_cast<uint64_t>(limit) : UINT64_MAX;
    }

    static http::Response names_reply(const std::set<std::string>& names, uint64_t limit) {
        std::string out;
        JsonWriter json(out);
        json.begin_array();
        uint64_t shown = 0;
        for (const std::string& name : names) {
            if (shown++ == limit) break;
            json.string(name);
        }
        json.end_array();
        return success(out, {truncation(names.size() > limit)});
    }

    // The series that grew in the time asked for, of the selectors or of the plain counters and of
    // what sent spans.
    Result<void> each_matching(const Call& call, const http::Query& query,
                               const std::function<void(const PromLabels&)>& visit) {
        TRY_ASSIGN(const store::TimeRange range, asked_range(call, query));
        auto selectors = query.all("match[]");
        if (selectors.empty())
            selectors = {"traces_spanmetrics_calls_total", "traces_span_metrics_calls_total",
                         "traces_service_graph_request_total", kTargetInfo};
        std::set<PromLabels> seen;
        AskedEdges edges{edges_};
        for (const std::string_view text : selectors) {
            TRY_ASSIGN(const PromNode node, parse_prom_selector(text));
            const auto emit = [&](PromLabels labels, std::vector<double>) -> Result<void> {
                if (seen.size() >= kSeriesMax)
                    return fail(ErrorCode::kResourceExhausted,
                                "more than {} series match: use narrower selectors", kSeriesMax);
                if (seen.insert(labels).second) visit(labels);
                return {};
            };
            TRY(each_red_series(call, node, {{range.start_ns, range.end_ns}}, SpanWeights::kRaw,
                                edges, emit));
        }
        return {};
    }

    ServiceEdgeCache edges_;
};

// Every selector of an expression.
void each_selector(const PromNode& node, const std::function<void(const PromNode&)>& visit) {
    if (node.kind == PromNode::Kind::kSelector) visit(node);
    for (const PromNode& argument : node.arguments)
        each_selector(argument, visit);
}

Result<http::Response> Prometheus::exemplars(Call& call) {
    TRY_ASSIGN(const http::Query query, read_query(call));
    TRY_ASSIGN(const PromNode node, parse_promql(query.get("query")));
    store::TimeRange range;
    TRY_ASSIGN(range.start_ns, time_parameter(query, "start", call.now_ns() - 3600 * kSecondNs));
    TRY_ASSIGN(range.end_ns, time_parameter(query, "end", call.now_ns()));
    std::string out;
    JsonWriter json(out);
    json.begin_array();
    Result<void> written;
    each_selector(node, [&](const PromNode& selector) {
        if (written) written = write_exemplars(call, selector, range, json);
    });
    TRY(written);
    json.end_array();
    return success(out);
}

Answer fixed(std::string data) {
    return [data = std::move(data)](Call&) -> Result<http::Response> { return success(data); };
}

}  // namespace

void add_prometheus(Router& router) {
    const auto api = std::make_shared<Prometheus>();
    using Method = Result<http::Response> (Prometheus::*)(Call&);
    const auto add = [&](const char* pattern, Method method) {
        for (const char* verb : {"GET", "POST"})
            router.add(Family::kPrometheus, verb, pattern,
                       [api, method](Call& call) { return (*api.*method)(call); });
    };
    add("/api/v1/query", &Prometheus::instant);
    add("/api/v1/query_range", &Prometheus::range);
    add("/api/v1/series", &Prometheus::series);
    add("/api/v1/labels", &Prometheus::labels);
    add("/api/v1/query_exemplars", &Prometheus::exemplars);
    router.add(Family::kPrometheus, "GET", "/api/v1/label/{}/values",
               [api](Call& call) { return api->values(call); });
    router.add(Family::kPrometheus, "GET", "/api/v1/metadata",
               [api](Call& call) { return api->metadata(call); });
    const auto constant = [&](const char* pattern, const char* data) {
        router.add(Family::kPrometheus, "GET", pattern, fixed(data)).place = Place::kIoThread;
    };
    constant("/api/v1/status/buildinfo",
             R"({"version":"2.50.0","revision":"","branch":"","buildUser":"","buildDate":"",)"
             R"("goVersion":""})");
    constant("/api/v1/rules", R"({"groups":[]})");
    constant("/api/v1/alerts", R"({"alerts":[]})");
}

}  // namespace spanloom::api

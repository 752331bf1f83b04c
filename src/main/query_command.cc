// `spanloom query`, `spanloom tail`, `spanloom services` and `spanloom tags`: questions to a
// running server.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <thread>

#include <fmt/format.h>
#include <simdjson.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "main/chart.h"
#include "main/commands.h"
#include "main/http_get.h"
#include "main/new_traces.h"
#include "main/server_reply.h"
#include "main/terminal.h"
#include "traceql/checker.h"
#include "traceql/executor.h"

namespace spanloom {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
// How far `tail` looks back for traces that began before it was asked.
constexpr uint64_t kTailBackNs = 60 * kSecondNs;
constexpr uint32_t kTailTraces = 200;

using simdjson::dom::element;

void print(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
}

std::string encoded(std::string_view text) {
    std::string out;
    append_percent_encoded(out, text);
    return out;
}

std::string text_of(const simdjson::simdjson_result<element>& value, std::string_view absent = {}) {
    std::string_view text;
    return value.get(text) == simdjson::SUCCESS ? printable(text) : std::string(absent);
}

uint64_t number_of(const simdjson::simdjson_result<element>& value) {
    std::string_view text;
    uint64_t number = 0;
    if (value.get(text) == simdjson::SUCCESS)
        return static_cast<uint64_t>(parse_int(text).value_or(0));
    return value.get(number) == simdjson::SUCCESS ? number : 0;
}

// An AnyValue as a person reads it.
std::string value_of(element value) {
    std::string_view text;
    if (value["stringValue"].get(text) == simdjson::SUCCESS) return printable(text);
    if (value["intValue"].get(text) == simdjson::SUCCESS) return printable(text);
    simdjson::dom::element other;
    for (const char* name : {"doubleValue", "boolValue"}) {
        if (value[name].get(other) == simdjson::SUCCESS) return simdjson::minify(other);
    }
    return "nil";
}

Result<HttpReply> ask(const std::string& server, const std::string& target) {
    TRY_ASSIGN(HttpReply reply, http_get(server, target, "application/json"));
    if (reply.status != 200)
        return fail(ErrorCode::kInvalidArgument, "{}",
                    reply.body.substr(0, std::min<size_t>(reply.body.find('\n'), 500)));
    return reply;
}

Result<std::string> get(const std::string& server, const std::string& target) {
    TRY_ASSIGN(HttpReply reply, ask(server, target));
    return std::move(reply.body);
}

// What an answer says of itself goes beside it, to standard error.
void show_remarks(const HttpReply& reply) {
    const auto field = [&](std::string_view name) {
        for (const auto& [key, value] : reply.fields) {
            if (key == name) return std::string_view(value);
        }
        return std::string_view();
    };
    for (const auto& [name, value] : reply.fields) {
        if (name == "x-spanloom-partial")
            fmt::print(stderr, "spanloom: partial: {}\n", printable(value));
        if (name == "x-spanloom-note") fmt::print(stderr, "spanloom: {}\n", printable(value));
    }
    if (field("x-spanloom-sampled") == "true")
        fmt::print(stderr, "spanloom: {}\n",
                   field("x-spanloom-weighted") == "true"
                       ? "sampled spans count as many as they stand for"
                       : "raw counts: sampled spans stand for more than themselves");
}

struct Range {
    uint64_t start_s = 0;
    uint64_t end_s = 0;
};

Result<Range> range_of(const std::string& since) {
    TRY_ASSIGN(const int64_t back, parse_duration_ns(since));
    if (back <= 0)
        return fail(ErrorCode::kInvalidArgument, "--since {} is not a time that has passed", since);
    const uint64_t now = SystemClock().wall_ns();
    return Range{(now - std::min(now, static_cast<uint64_t>(back))) / kSecondNs,
                 now / kSecondNs + 1};
}

// ---- traces

std::string trace_line(element trace, size_t root_width) {
    const uint64_t start = number_of(trace["startTimeUnixNano"]);
    const uint64_t ms = number_of(trace["durationMs"]);
    uint64_t spans = 0;
    uint64_t errors = 0;
    simdjson::dom::object services;
    if (trace["serviceStats"].get(services) == simdjson::SUCCESS) {
        for (const auto& [name, stats] : services) {
            spans += number_of(stats["spanCount"]);
            errors += number_of(stats["errorCount"]);
        }
    }
    std::string root =
        fit(text_of(trace["rootServiceName"]) + " " + text_of(trace["rootTraceName"]), root_width);
    root.append(root_width - std::min(root_width, display_width(root)), ' ');
    return fmt::format("{}  {}  {} {:>9} {:>6} spans{}\n", text_of(trace["traceID"], "?"),
                       format_rfc3339_ns(start).substr(11, 12), root,
                       format_duration_ns(static_cast<int64_t>(ms) * 1'000'000), spans,
                       errors > 0 ? fmt::format("  x {}", errors) : "");
}

// What by(), aggregates and select() found, below the trace.
std::string spanset_lines(element trace) {
    std::string out;
    simdjson::dom::array sets;
    if (trace["spanSets"].get(sets) != simdjson::SUCCESS) return out;
    for (const element set : sets) {
        simdjson::dom::array attributes;
        if (set["attributes"].get(attributes) != simdjson::SUCCESS) continue;
        out += "   ";
        for (const element attribute : attributes) {
            element value;
            if (attribute["value"].get(value) != simdjson::SUCCESS) continue;
            out += " " + text_of(attribute["key"]) + " = " + value_of(value);
        }
        out += '\n';
    }
    return out;
}

size_t root_width(const Terminal& terminal) {
    return std::max<size_t>(20, terminal.columns - std::min<size_t>(terminal.columns, 84));
}

Result<std::string> find_traces(const QueryOptions& options) {
    TRY_ASSIGN(const Range range, range_of(options.since));
    TRY_ASSIGN(const HttpReply reply,
               ask(options.server,
                   fmt::format("/tempo/api/search?q={}&start={}&end={}&limit={}",
                               encoded(options.query), range.start_s, range.end_s, options.limit)));
    show_remarks(reply);
    const std::string& body = reply.body;
    if (options.as_json) return body + "\n";
    simdjson::dom::parser parser;
    simdjson::dom::array traces;
    if (parser.parse(body)["traces"].get(traces) != simdjson::SUCCESS)
        return fail(ErrorCode::kInternal, "the server's answer is not a list of traces");
    const size_t width = root_width(Terminal::of(STDOUT_FILENO));
    std::string out;
    for (const element trace : traces) {
        if (options.as_ndjson) {
            out += std::string(simdjson::minify(trace)) + "\n";
        } else {
            out += trace_line(trace, width) + spanset_lines(trace);
        }
    }
    if (out.empty() && !options.as_ndjson)
        out = "no trace matches; --since 24h looks further back\n";
    return out;
}

// ---- series

std::string series_name(element series) {
    std::string name;
    simdjson::dom::array labels;
    if (series["labels"].get(labels) != simdjson::SUCCESS) return name;
    for (const element label : labels) {
        element value;
        if (label["value"].get(value) != simdjson::SUCCESS) continue;
        if (!name.empty()) name += ", ";
        const std::string key = text_of(label["key"]);
        name += key == "__name__" ? value_of(value) : key + "=" + value_of(value);
    }
    return name;
}

Result<std::string> draw_series(const std::string& body) {
    simdjson::dom::parser parser;
    simdjson::dom::array all;
    if (parser.parse(body)["series"].get(all) != simdjson::SUCCESS)
        return fail(ErrorCode::kInternal, "the server's answer holds no series");
    uint64_t first_ms = UINT64_MAX;
    uint64_t last_ms = 0;
    uint64_t step_ms = UINT64_MAX;
    struct Points {
        std::string name;
        std::vector<std::pair<uint64_t, double>> points;
    };
    std::vector<Points> found;
    for (const element series : all) {
        Points points{series_name(series), {}};
        simdjson::dom::array samples;
        if (series["samples"].get(samples) != simdjson::SUCCESS) continue;
        for (const element sample : samples) {
            const uint64_t time = number_of(sample["timestampMs"]);
            double value = std::numeric_limits<double>::quiet_NaN();
            if (sample["value"].get(value) != simdjson::SUCCESS) continue;
            if (!points.points.empty() && time > points.points.back().first)
                step_ms = std::min(step_ms, time - points.points.back().first);
            points.points.emplace_back(time, value);
            first_ms = std::min(first_ms, time);
            last_ms = std::max(last_ms, time);
        }
        found.push_back(std::move(points));
    }
    std::vector<ChartSeries> charts;
    constexpr size_t kColumnsMax = 20'000;
    const size_t columns = last_ms < first_ms || step_ms == UINT64_MAX
                               ? 1
                               : std::min<size_t>((last_ms - first_ms) / step_ms + 1, kColumnsMax);
    for (const Points& points : found) {
        ChartSeries chart{points.name,
                          std::vector<double>(columns, std::numeric_limits<double>::quiet_NaN())};
        for (const auto& [time, value] : points.points) {
            const size_t at = columns == 1 ? 0 : (time - first_ms) / step_ms;
            if (at < columns) chart.values[at] = value;
        }
        charts.push_back(std::move(chart));
    }
    const auto clock_text = [](uint64_t ms) {
        return ms == UINT64_MAX || ms == 0 ? std::string()
                                           : format_rfc3339_ns(ms * 1'000'000).substr(11, 8);
    };
    return draw_chart(charts, clock_text(first_ms), clock_text(last_ms),
                      Terminal::of(STDOUT_FILENO));
}

Result<std::string> draw_metrics(const QueryOptions& options) {
    TRY_ASSIGN(const Range range, range_of(options.since));
    std::string target = fmt::format("/tempo/api/metrics/query_range?q={}&start={}&end={}",
                                     encoded(options.query), range.start_s, range.end_s);
    if (!options.step.empty()) target += "&step=" + encoded(options.step);
    TRY_ASSIGN(const HttpReply reply, ask(options.server, target));
    show_remarks(reply);
    const std::string& body = reply.body;
    if (options.as_json) return body + "\n";
    if (!options.as_ndjson) return draw_series(body);
    simdjson::dom::parser parser;
    simdjson::dom::array all;
    std::string out;
    if (parser.parse(body)["series"].get(all) == simdjson::SUCCESS) {
        for (const element series : all)
            out += std::string(simdjson::minify(series)) + "\n";
    }
    return out;
}

Result<std::string> explain_query(const QueryOptions& options) {
    TRY_ASSIGN(const Range range, range_of(options.since));
    std::string target =
        fmt::format("/api/explain?q={}&start={}&end={}&limit={}", encoded(options.query),
                    range.start_s, range.end_s, options.limit);
    if (!options.step.empty()) target += "&step=" + encoded(options.step);
    TRY_ASSIGN(HttpReply reply,
               accept_only_success(http_get(options.server, target,
                                            options.as_json ? "application/json" : "text/plain")));
    if (options.as_json) reply.body += "\n";
    return std::move(reply.body);
}

int finish(const Result<std::string>& text) {
    if (!text) return report(text.error());
    print(*text);
    return 0;
}

// The query as the language sees it, so that mistakes are shown where they are.
bool check_query(const std::string& text, bool& is_metrics) {
    const auto query = traceql::parse(text);
    if (query) {
        is_metrics = traceql::is_metrics(*query);
        return true;
    }
    const std::string shown = query.error().with_caret(text);
    std::string safe;
    size_t from = 0;
    while (from <= shown.size()) {
        const size_t to = std::min(shown.find('\n', from), shown.size());
        safe += printable(shown.substr(from, to - from)) + "\n";
        from = to + 1;
    }
    fmt::print(stderr, "spanloom: {}", safe);
    return false;
}

// ---- live

Result<std::string> new_traces(const TailOptions& options, NewTraces& known) {
    const uint64_t now = SystemClock().wall_ns();
    TRY_ASSIGN(
        const std::string body,
        get(options.server,
            fmt::format("/tempo/api/search?q={}&start={}&end={}&limit={}", encoded(options.query),
                        (now - kTailBackNs) / kSecondNs, now / kSecondNs + 2, kTailTraces)));
    simdjson::dom::parser parser;
    simdjson::dom::array traces;
    if (parser.parse(body)["traces"].get(traces) != simdjson::SUCCESS)
        return fail(ErrorCode::kInternal, "the server's answer is not a list of traces");
    std::vector<element> found;
    std::vector<std::string> ids;
    for (const element trace : traces) {
        found.push_back(trace);
        ids.push_back(text_of(trace["traceID"]));
    }
    std::string out;
    const size_t width = root_width(Terminal::of(STDOUT_FILENO));
    for (const size_t index : known.take(ids, kTailTraces))
        out += options.as_ndjson ? std::string(simdjson::minify(found[index])) + "\n"
                                 : trace_line(found[index], width);
    if (known.may_have_missed())
        fmt::print(stderr, "spanloom: more traces come than are shown: narrow the query\n");
    return out;
}

// ---- lists

std::string service_lines(const std::string& body) {
    simdjson::dom::parser parser;
    simdjson::dom::array services;
    if (parser.parse(body)["services"].get(services) != simdjson::SUCCESS) return {};
    std::string out;
    for (const element service : services) {
        const element total = service["total"].value_unsafe();
        double rate = 0;
        if (total["rate"].get(rate) != simdjson::SUCCESS) rate = 0;
        const uint64_t count = number_of(total["count"]);
        const uint64_t errors = number_of(total["errors"]);
        const auto duration = [&](const char* name) {
            return format_duration_ns(static_cast<int64_t>(number_of(total[name])));
        };
        std::string name = fit(text_of(service["name"]), 40);
        name.append(40 - std::min<size_t>(40, display_width(name)), ' ');
        fmt::format_to(
            std::back_inserter(out), "{} {:>10.3g}/s {:>6.2f} % errors  p50 {:>9}  p95 {:>9}\n",
            name, rate,
            count == 0 ? 0 : 100 * static_cast<double>(errors) / static_cast<double>(count),
            duration("p50_ns"), duration("p95_ns"));
    }
    return out.empty() ? "no service sent spans in this time\n" : out;
}

std::string tag_lines(const std::string& body) {
    simdjson::dom::parser parser;
    simdjson::dom::array scopes;
    if (parser.parse(body)["scopes"].get(scopes) != simdjson::SUCCESS) return {};
    std::string out;
    for (const element scope : scopes) {
        const std::string name = text_of(scope["name"]);
        simdjson::dom::array tags;
        if (scope["tags"].get(tags) != simdjson::SUCCESS) continue;
        for (const element tag : tags) {
            std::string_view key;
            if (tag.get(key) != simdjson::SUCCESS) continue;
            out += (name == "intrinsic" ? "" : name + ".") + printable(key) + "\n";
        }
    }
    return out;
}

std::string value_lines(const std::string& body) {
    simdjson::dom::parser parser;
    simdjson::dom::array values;
    if (parser.parse(body)["tagValues"].get(values) != simdjson::SUCCESS) return {};
    std::string out;
    for (const element value : values)
        out += text_of(value["value"]) + "\n";
    return out;
}

}  // namespace

int run_query(const QueryOptions& options) {
    bool is_metrics = false;
    if (!check_query(options.query, is_metrics)) return 1;
    if (options.explain) return finish(explain_query(options));
    return finish(is_metrics ? draw_metrics(options) : find_traces(options));
}

int run_tail(const TailOptions& options) {
    bool is_metrics = false;
    if (!check_query(options.query, is_metrics)) return 1;
    if (is_metrics)
        return report({ErrorCode::kInvalidArgument,
                       "tail shows traces as they come: leave the function at the end out"});
    const SystemClock clock;
    const uint64_t begin = clock.monotonic_ns();
    NewTraces known;
    while (true) {
        const auto text = new_traces(options, known);
        if (!text) return report(text.error());
        print(*text);
        std::fflush(stdout);
        if (options.duration_ns != 0 && clock.monotonic_ns() - begin >= options.duration_ns)
            return 0;
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
    }
}

int run_services(const ListOptions& options) {
    const auto range = range_of(options.since);
    if (!range) return report(range.error());
    const auto body =
        get(options.server, fmt::format("/api/ui/v1/services?from={}&to={}",
                                        range->start_s * kSecondNs, range->end_s * kSecondNs));
    if (!body) return report(body.error());
    print(options.as_json ? *body + "\n" : service_lines(*body));
    return 0;
}

int run_tags(const ListOptions& options) {
    const auto range = range_of(options.since);
    if (!range) return report(range.error());
    const std::string times = fmt::format("?start={}&end={}", range->start_s, range->end_s);
    const std::string target = options.name.empty() ? "/tempo/api/v2/search/tags" + times
                                                    : "/tempo/api/v2/search/tag/" +
                                                          encoded(options.name) + "/values" + times;
    const auto body = get(options.server, target);
    if (!body) return report(body.error());
    if (options.as_json) {
        print(*body + "\n");
    } else {
        print(options.name.empty() ? tag_lines(*body) : value_lines(*body));
    }
    return 0;
}

}  // namespace spanloom

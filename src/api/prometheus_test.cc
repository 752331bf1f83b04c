#include <doctest/doctest.h>
#include <fmt/format.h>

#include "api/promql.h"
#include "api/test_server.h"
#include "otlp/json.h"

using namespace spanloom;
using namespace spanloom::api;

namespace {

std::string encoded(std::string_view text) {
    std::string out;
    append_percent_encoded(out, text);
    return out;
}

Reply query(TestServer& server, std::string_view text, std::string_view time = "1763819700") {
    return server.get("/api/v1/query?query=" + encoded(text) + "&time=" + std::string(time));
}

}  // namespace

TEST_CASE("what Grafana's data source asks first") {
    TestServer server({kShopTrace, kLaterTrace});
    CHECK(query(server, "1+1").body ==
          R"({"status":"success","data":{"resultType":"scalar","result":[1763819700.000,"2"]}})");
    CHECK(server.get("/api/v1/status/buildinfo").has(R"("version":"2.50.0")"));
    CHECK(server.get("/api/v1/rules").body == R"({"status":"success","data":{"groups":[]}})");
    CHECK(
        server.get("/api/v1/metadata").has(R"("traces_spanmetrics_latency":[{"type":"histogram")"));
    CHECK(server.get("/api/v1/label/__name__/values").has(R"("traces_spanmetrics_calls_total")"));
    CHECK(server.get("/api/v1/label/service/values?start=1763818000&end=1763820000").body ==
          R"({"status":"success","data":["db","front"]})");
    const Reply series = server.get("/api/v1/series?start=1763818000&end=1763820000&match[]=" +
                                    encoded("traces_spanmetrics_calls_total{service=\"db\"}"));
    CHECK(series.body ==
          R"({"status":"success","data":[{"__name__":"traces_spanmetrics_calls_total",)"
          R"("service":"db","span_kind":"SPAN_KIND_CLIENT","span_name":"SELECT",)"
          R"("status_code":"STATUS_CODE_UNSET"}]})");
}

TEST_CASE("rates, errors and quantiles by the queries of Grafana and Jaeger") {
    TestServer server({kShopTrace, kLaterTrace});
    struct Case {
        std::string_view query;
        std::string_view part;
    };
    for (const Case& one :
         {Case{"sum by (service) (increase(traces_spanmetrics_calls_total[1h]))",
               R"({"metric":{"service":"front"},"value":[1763819700.000,"2"]})"},
          Case{
              "topk(5, sum(rate(traces_spanmetrics_calls_total{span_kind=\"SPAN_KIND_SERVER\"}[1h])"
              ") by (span_name))",
              R"({"metric":{"span_name":"GET /"})"},
          Case{"sum(increase(traces_span_metrics_calls{service_name=~\"front|x\",status_code="
               "\"STATUS_CODE_ERROR\"}[1h])) by (service_name) / sum(increase("
               "traces_span_metrics_calls{service_name=~\"front|x\"}[1h])) by (service_name)",
               R"({"metric":{"service_name":"front"},"value":[1763819700.000,"0.5"]})"},
          Case{"histogram_quantile(0.99, sum(rate(traces_spanmetrics_latency_bucket{service="
               "\"front\"}[1h])) by (le))",
               R"("value":[1763819700.000,"2)"},
          Case{"sum by (client, server)(increase(traces_service_graph_request_total[1h]))",
               R"({"metric":{"client":"front","server":"db"},"value":[1763819700.000,"1"]})"},
          Case{"sum(increase(traces_service_graph_request_total{client=\"user\"}[1h])) by (server, "
               "connection_type)",
               R"({"metric":{"connection_type":"virtual_node","server":"front"})"},
          Case{"sum(increase(traces_spanmetrics_calls_total[1h])) > bool 1",
               R"({"metric":{},"value":[1763819700.000,"1"]})"},
          Case{"count(traces_spanmetrics_calls_total{service!=\"db\"})", R"("3")"},
          Case{"sum(increase(nothing_total[1h])) or vector(0)", R"("0")"},
          Case{"-sum(increase(traces_spanmetrics_calls_total[1h])) * 2 ^ 2 + 1", R"("-11")"}}) {
        const Reply reply = query(server, one.query);
        CAPTURE(one.query);
        CAPTURE(reply.body);
        CHECK(reply.status == 200);
        CHECK(reply.has(one.part));
    }
}

TEST_CASE("no span is dropped while it waits for its other side") {
    TestServer server({kShopTrace});
    CHECK(query(server, "sum(increase(traces_service_graph_dropped_spans_total[1h]))")
              .has(R"("value":[1763819700.000,"0"])"));
}

TEST_CASE("a range of times, by GET and by form") {
    TestServer server({kShopTrace, kLaterTrace});
    const std::string form =
        "query=" + encoded("sum(increase(traces_spanmetrics_calls_total[5m]))") +
        "&start=1763818800&end=1763820000&step=300";
    const Reply get = server.get("/api/v1/query_range?" + form);
    CHECK(
        get.has(R"({"resultType":"matrix","result":[{"metric":{},"values":[[1763818800.000,"0"])"));
    CHECK(get.has(R"([1763819100.000,"2"])"));
    const Reply post = server.post("/api/v1/query_range", form,
                                   {{"content-type", "application/x-www-form-urlencoded"}});
    CHECK(post.body == get.body);
}

TEST_CASE("how many bytes spans had as they came, by operation") {
    TestServer server({kShopTrace, kLaterTrace});
    const auto bytes = otlp::json_to_protobuf(kShopTrace);
    REQUIRE(bytes.has_value());
    const auto batch = otlp::decode(*bytes);
    REQUIRE(batch.has_value());
    const auto size_of = [&](size_t span) { return batch->spans[span].message.size; };
    const auto increase = [&](std::string_view labels) {
        return query(server, "sum(increase(traces_spanmetrics_size_total{" + std::string(labels) +
                                 "}[1h]))")
            .body;
    };
    const auto sum = [](uint64_t size) { return fmt::format(R"(1763819700.000,"{}"])", size); };
    CHECK(increase("service=\"db\"").find(sum(size_of(1))) != std::string::npos);
    CHECK(increase("service=\"front\",status_code=\"STATUS_CODE_ERROR\"").find(sum(size_of(0))) !=
          std::string::npos);
    CHECK(server.get("/metrics/red")
              .has(fmt::format(
                  "traces_spanmetrics_size_total{{service=\"db\",span_kind=\"SPAN_KIND_CLIENT\","
                  "span_name=\"SELECT\",status_code=\"STATUS_CODE_UNSET\"}} {}\n",
                  size_of(1))));
    CHECK(server.get("/metrics/red").has("# TYPE traces_spanmetrics_size_total counter\n"));
    CHECK(!server.get("/metrics/red?names=otel").has("_size_total"));
    CHECK(server.get("/api/v1/metadata?metric=traces_spanmetrics_size_total")
              .has(R"("traces_spanmetrics_size_total":[{"type":"counter")"));
    CHECK(server.get("/api/v1/label/__name__/values").has(R"("traces_spanmetrics_size_total")"));
    CHECK(server
              .get("/api/v1/series?start=1763818000&end=1763820000&match[]=" +
                   encoded("traces_spanmetrics_size_total{service=\"db\"}"))
              .has(R"("__name__":"traces_spanmetrics_size_total","service":"db")"));
}

TEST_CASE("what is not answered is refused by name, what is wrong with its place") {
    TestServer server({kShopTrace});
    struct Case {
        std::string_view query;
        int status;
        std::string_view part;
    };
    for (const Case& one :
         {Case{"sum(", 400, "unexpected end of input"}, Case{"up{", 400, "unexpected end"},
          Case{"a b", 400, R"(1:3: parse error: unexpected)"}, Case{"{}", 400, "non-empty matcher"},
          Case{"x{a=~\"(\"}", 400, "invalid regular expression"},
          Case{"rate(x)", 400, "range vector"}, Case{"x[5m]", 400, "put rate() around it"},
          Case{"predict_linear(x[5m], 1)", 422, "predict_linear is not answered"},
          Case{"stddev(x)", 422, "stddev is not answered"},
          Case{"rate(x[5m])[1h:5m]", 422, "subquery"}, Case{"x @ 5", 422, "@ modifier"},
          Case{"a * on(b) group_left c", 422, "group_left is not answered"},
          Case{"1 > 2", 400, "BOOL modifier"}}) {
        const Reply reply = query(server, one.query);
        CAPTURE(one.query);
        CAPTURE(reply.body);
        CHECK(reply.status == one.status);
        CHECK(reply.has(one.part));
        CHECK(reply.has(R"({"status":"error","errorType":)"));
    }
    CHECK(server.get("/api/v1/query_range?query=1&start=0&end=1763820000&step=1").status == 400);
    std::string deep(1000, '(');
    CHECK_FALSE(parse_promql(deep + "1" + std::string(1000, ')')).has_value());
    CHECK_FALSE(parse_promql(std::string(1000, '-') + "1").has_value());
    CHECK_FALSE(parse_promql(std::string(kPromBytesMax + 1, ' ')).has_value());
}

TEST_CASE("exemplars lead to traces") {
    TestServer server({kShopTrace});
    const Reply reply =
        server.get("/api/v1/query_exemplars?start=1763818000&end=1763820000&query=" +
                   encoded("histogram_quantile(0.9, sum(rate(traces_spanmetrics_latency_bucket{"
                           "service=\"front\"}[5m])) by (le))"));
    CHECK(reply.has(R"("labels":{"trace_id":"00000000000000000000000000000abc")"));
    CHECK(reply.has(R"("value":"2","timestamp":1763819000.000)"));
}

TEST_CASE("Jaeger's Monitor page") {
    TestServer server({kShopTrace, kLaterTrace});
    const std::string times = "&endTs=1763819700000&lookback=600000&step=300000&ratePer=600000";
    const Reply calls =
        server.get("/api/metrics/calls?service=front&groupByOperation=true" + times);
    CHECK(calls.has(
        R"({"name":"service_operation_call_rate","type":"GAUGE",)"
        R"("help":"calls/sec, grouped by service \u0026 operation","metrics":[{"labels":[)"
        R"({"name":"operation","value":"GET /"},{"name":"service_name",)"
        R"("value":"front"}],"metricPoints":[{"gaugeValue":{"doubleValue":)"));
    CHECK(calls.has(R"("timestamp":"2025-11-22T13:)"));
    const Reply errors = server.get("/api/metrics/errors?service=front" + times);
    CHECK(errors.has(R"("name":"service_error_rate")"));
    CHECK(errors.has(R"({"gaugeValue":{"doubleValue":1},"timestamp":"2025-11-22T13:45:00.)"));
    CHECK(errors.has(R"({"gaugeValue":{"doubleValue":0},"timestamp":"2025-11-22T13:55:00.)"));
    // Where nothing was called, nothing can be said of what failed.
    CHECK(server
              .get("/api/metrics/errors?service=front&endTs=1763819700000&lookback=1800000"
                   "&step=300000&ratePer=600000")
              .has(R"({"gaugeValue":{"doubleValue":"NaN"},"timestamp":"2025-11-22T13:40:00.)"));
    const Reply latencies = server.get("/api/metrics/latencies?service=front&quantile=0.95" +
                                       times + "&spanKind=server&spanKind=client");
    CHECK(latencies.has(R"("help":"0.95th quantile latency, grouped by service")"));
    CHECK(server.get("/api/metrics/minstep").has(R"({"data":60000)"));
    CHECK(server.get("/api/metrics/calls").status == 400);
    CHECK(server.get("/api/metrics/latencies?service=front").status == 400);
    CHECK(server.get("/api/metrics/calls?service=front&spanKind=moon").status == 400);
}

TEST_CASE("counts of operations as Prometheus scrapes them") {
    TestServer server({kShopTrace});
    const Reply first = server.get("/metrics/red");
    CHECK(first.status == 200);
    CHECK(first.headers.get("content-type") == "text/plain; version=0.0.4; charset=utf-8");
    for (const char* line :
         {"# TYPE traces_spanmetrics_calls_total counter\n",
          "traces_spanmetrics_calls_total{service=\"db\",span_kind=\"SPAN_KIND_CLIENT\","
          "span_name=\"SELECT\",status_code=\"STATUS_CODE_UNSET\"} 1\n",
          "# TYPE traces_spanmetrics_latency histogram\n",
          "traces_spanmetrics_latency_bucket{le=\"+Inf\",service=\"db\","
          "span_kind=\"SPAN_KIND_CLIENT\",span_name=\"SELECT\",status_code=\"STATUS_CODE_UNSET\"} "
          "1\n",
          "traces_spanmetrics_latency_count{service=\"db\",span_kind=\"SPAN_KIND_CLIENT\","
          "span_name=\"SELECT\",status_code=\"STATUS_CODE_UNSET\"} 1\n",
          "traces_spanmetrics_latency_count{service=\"front\",span_kind=\"SPAN_KIND_SERVER\","
          "span_name=\"GET /\",status_code=\"STATUS_CODE_ERROR\"} 1\n",
          "# TYPE traces_span_metrics_duration_milliseconds histogram\n",
          "traces_span_metrics_calls_total{service_name=\"front\",span_kind=\"SPAN_KIND_SERVER\","
          "span_name=\"GET /\",status_code=\"STATUS_CODE_ERROR\"} 1\n",
          "# TYPE traces_service_graph_request_total counter\n",
          "traces_service_graph_request_total{client=\"front\",server=\"db\"} 1\n",
          "traces_service_graph_request_total{client=\"user\",connection_type=\"virtual_node\","
          "server=\"front\"} 1\n",
          "traces_service_graph_request_failed_total{client=\"user\",connection_type="
          "\"virtual_node\",server=\"front\"} 1\n",
          "# TYPE traces_service_graph_dropped_spans_total counter\n",
          "traces_service_graph_dropped_spans_total{client=\"front\",server=\"db\"} 0\n",
          "# TYPE traces_service_graph_connection_info gauge\n",
          "traces_service_graph_connection_info{client=\"front\",server=\"db\"} 1\n",
          "# TYPE traces_target_info gauge\n",
          "traces_target_info{job=\"db\"} 1\n",
          "traces_target_info{host_name=\"web-1\",job=\"front\"} 1\n",
          "traces_service_graph_request_client_seconds_count{client=\"front\",server=\"db\"} "
          "1\n"}) {
        CAPTURE(line);
        CAPTURE(first.body);
        CHECK(first.has(line));
    }
    CHECK(!first.has("traces_span_metrics_calls{"));
    CHECK(server.get("/metrics/red").body == first.body);
    CHECK(!server.get("/metrics/red?names=otel").has("traces_spanmetrics_"));
    CHECK(!server.get("/metrics/red?names=tempo").has("traces_span_metrics_"));
    CHECK(server.get("/metrics/red?names=mine").status == 400);

    server.store.add(kLaterTrace);
    const Reply second = server.get("/metrics/red");
    CHECK(second.has("span_name=\"GET /later\",status_code=\"STATUS_CODE_UNSET\"} 1\n"));
    CHECK(second.has("span_name=\"SELECT\",status_code=\"STATUS_CODE_UNSET\"} 1\n"));
    // Hours that are over keep their counts; what sent spans then is no target any more.
    server.clock.wall += 5 * 3'600'000'000'000ULL;
    const Reply later = server.get("/metrics/red");
    CHECK(!later.has("traces_target_info"));
    CHECK(later.body == second.body.substr(0, second.body.find("# HELP traces_target_info")));
}

TEST_CASE("who sends spans and which pairs there are is queried as it is scraped") {
    TestServer server({kShopTrace, kLaterTrace});
    const Reply targets = query(server, "traces_target_info");
    CAPTURE(targets.body);
    for (const char* part :
         {R"({"metric":{"__name__":"traces_target_info","host_name":"web-1","job":"front"},)"
          R"("value":[1763819700.000,"1"]})",
          R"({"metric":{"__name__":"traces_target_info","job":"front"},)",
          R"({"metric":{"__name__":"traces_target_info","job":"db"},)"})
        CHECK(targets.has(part));
    CHECK(query(server, "count(traces_target_info)").has(R"("3"])"));
    CHECK(query(server, "count by (job) (traces_target_info{host_name=\"web-1\"})")
              .has(R"([{"metric":{"job":"front"},"value":[1763819700.000,"1"]}])"));
    const Reply pairs = query(server, "traces_service_graph_connection_info");
    CAPTURE(pairs.body);
    CHECK(pairs.has(R"({"metric":{"__name__":"traces_service_graph_connection_info",)"
                    R"("client":"front","server":"db"},"value":[1763819700.000,"1"]})"));
    CHECK(pairs.has(R"("client":"user","connection_type":"virtual_node","server":"front"})"));
    // A gauge that does not move, of the hour before.
    CHECK(query(server, "max(rate(traces_target_info[5m]))").has(R"("0"])"));
    CHECK(query(server, "max(increase(traces_service_graph_connection_info[1h]))").has(R"("0"])"));
    for (const char* name : {"traces_target_info", "traces_service_graph_connection_info"}) {
        CAPTURE(name);
        CHECK(query(server, name, "1763818000").has(R"("result":[])"));
        CHECK(query(server, name, "1763827000").has(R"("result":[])"));
        CHECK(query(server, std::string(name) + " offset 2h", "1763827000").has(R"("1"])"));
        const Reply range =
            server.get("/api/v1/query_range?start=1763818200&end=1763824200&step=1200&query=" +
                       encoded("max(" + std::string(name) + ")"));
        CHECK(range.has(R"("values":[[1763819400.000,"1"],[1763820600.000,"1"],)"
                        R"([1763821800.000,"1"],[1763823000.000,"1"]]})"));
    }
}

TEST_CASE("who sends spans and which pairs there are is found by names, labels and metadata") {
    TestServer server({kShopTrace, kLaterTrace});
    const std::string times = "start=1763818000&end=1763820000";
    const auto get = [&](const std::string& path) { return server.get("/api/v1/" + path); };
    CHECK(get("series?" + times + "&match[]=" + encoded("{__name__=\"traces_target_info\"}"))
              .has(R"({"__name__":"traces_target_info","host_name":"web-1","job":"front"})"));
    CHECK(get("series?" + times + "&match[]=traces_service_graph_connection_info")
              .has(R"({"__name__":"traces_service_graph_connection_info","client":"front",)"
                   R"("server":"db"})"));
    CHECK(get("series?start=1000&end=2000&match[]=traces_target_info").has(R"("data":[])"));
    CHECK(get("labels?" + times + "&match[]=traces_target_info").body ==
          R"({"status":"success","data":["__name__","host_name","job"]})");
    const Reply labels = get("labels?" + times);
    for (const char* name : {"host_name", "job", "service", "le"})
        CHECK(labels.has("\"" + std::string(name) + "\""));
    CHECK(get("label/job/values?" + times).body == R"({"status":"success","data":["db","front"]})");
    CHECK(get("label/host_name/values?" + times).has(R"(["web-1"])"));
    const Reply names = get("label/__name__/values");
    CHECK(names.has(R"("traces_target_info")"));
    CHECK(names.has(R"("traces_service_graph_connection_info")"));
    for (const char* name : {"traces_target_info", "traces_service_graph_connection_info"}) {
        const Reply metadata = get("metadata?metric=" + std::string(name));
        CHECK(metadata.body.starts_with(R"({"status":"success","data":{")" + std::string(name) +
                                        R"(":[{"type":"gauge","help":")"));
    }
    // They are scraped once.
    const Reply scrape = server.get("/metrics/red");
    for (const char* type : {"# TYPE traces_target_info gauge\n",
                             "# TYPE traces_service_graph_connection_info gauge\n"}) {
        const size_t at = scrape.body.find(type);
        CHECK(at != std::string::npos);
        CHECK(scrape.body.find(type, at + 1) == std::string::npos);
    }
}

TEST_CASE("series, names and values are limited as Prometheus limits them") {
    TestServer server({kShopTrace, kLaterTrace});
    const auto get = [&](const std::string& what, const std::string& limit) {
        return server.get("/api/v1/" + what + "start=1763818000&end=1763820000" + limit);
    };
    const std::string series = "series?match[]=traces_spanmetrics_calls_total&";
    const std::string truncated = R"("warnings":["results truncated due to limit"])";
    for (const std::string& what :
         {series, std::string("labels?"), std::string("label/service/values?")}) {
        const Reply all = get(what, "");
        CHECK_FALSE(all.has("warnings"));
        CHECK(get(what, "&limit=0").body == all.body);
        CHECK(get(what, "&limit=1000").body == all.body);
        const Reply one = get(what, "&limit=1");
        CHECK(one.has(truncated));
        CHECK(get(what, "&limit=-1").has("limit must be non-negative"));
        CHECK(get(what, "&limit=some").has("limit must be a number"));
    }
    CHECK(get("label/service/values?", "&limit=1").body ==
          R"({"status":"success","data":["db"],"warnings":["results truncated due to limit"]})");
    CHECK(get("label/service/values?", "&limit=2").body ==
          R"({"status":"success","data":["db","front"]})");
}

TEST_CASE("metadata is limited as Prometheus limits it") {
    TestServer server({kShopTrace});
    const auto families = [&](const std::string& query) {
        const Reply reply = server.get("/api/v1/metadata" + query);
        CAPTURE(reply.body);
        CHECK(reply.status == 200);
        size_t count = 0;
        for (size_t at = 0; (at = reply.body.find("\"type\":", at)) != std::string::npos; ++at)
            ++count;
        return count;
    };
    const size_t all = families("");
    CHECK(all > 10);
    CHECK(families("?limit=2") == 2);
    CHECK(families("?limit=0") == 0);
    CHECK(families("?limit=-1") == all);
    CHECK(families("?limit=1000") == all);
    // Each has one.
    for (const char* limit : {"-1", "0", "1", "5"})
        CHECK(families("?limit_per_metric=" + std::string(limit)) == all);
    CHECK(families("?metric=traces_spanmetrics_latency") == 1);
    CHECK(families("?metric=traces_spanmetrics_latency&limit=0") == 0);
    CHECK(families("?metric=nothing") == 0);
    CHECK(server.get("/api/v1/metadata?limit=some").has("limit must be a number"));
    const Reply wrong = server.get("/api/v1/metadata?limit_per_metric=1.5");
    CHECK(wrong.status == 400);
    CHECK(wrong.has(R"("errorType":"bad_data","error":"limit_per_metric must be a number")"));
}

TEST_CASE("exemplars are in a scrape as OpenMetrics, at the bucket that counts them") {
    TestServer server({kShopTrace});
    const Reply plain = server.get("/metrics/red");
    CHECK(!plain.has("trace_id"));
    const Reply reply =
        server.get("/metrics/red", {{"accept", "application/openmetrics-text;version=1.0.0"}});
    CHECK(reply.headers.get("content-type") ==
          "application/openmetrics-text; version=1.0.0; charset=utf-8");
    CHECK(reply.headers.get("x-spanloom-counts") == "raw");
    CHECK(reply.body.ends_with("# EOF\n"));
    CHECK(reply.has("# TYPE traces_spanmetrics_calls counter\n"));
    CHECK(reply.has("traces_spanmetrics_calls_total{"));
    // Two seconds: above 1.024, within 2.048.
    CHECK(
        reply.has("traces_spanmetrics_latency_bucket{le=\"2.048\",service=\"front\","
                  "span_kind=\"SPAN_KIND_SERVER\",span_name=\"GET /\",status_code="
                  "\"STATUS_CODE_ERROR\"} 1 # {trace_id=\"00000000000000000000000000000abc\","));
    CHECK(reply.has("\"} 2 1763819000.000\n"));
    CHECK(
        reply.has("traces_spanmetrics_latency_bucket{le=\"4.096\",service=\"front\","
                  "span_kind=\"SPAN_KIND_SERVER\",span_name=\"GET /\",status_code="
                  "\"STATUS_CODE_ERROR\"} 1\n"));
    // Buckets of one series ascend, and its sum and count follow.
    const size_t first = reply.body.find("traces_spanmetrics_latency_bucket{le=\"0.0005\"");
    const size_t last = reply.body.find("traces_spanmetrics_latency_bucket{le=\"+Inf\"", first);
    const size_t sum = reply.body.find("traces_spanmetrics_latency_sum", last);
    const size_t next = reply.body.find("traces_spanmetrics_latency_bucket{le=\"0.0005\"", last);
    REQUIRE(next != std::string::npos);
    CHECK(first < last);
    CHECK(last < sum);
    CHECK(sum < next);
}

TEST_CASE("exemplars of failed spans alone, of every selector, with the labels of their series") {
    TestServer server({kShopTrace, kLaterTrace});
    const auto ask = [&](std::string_view text) {
        return server.get("/api/v1/query_exemplars?start=1763818000&end=1763820000&query=" +
                          encoded(text));
    };
    const Reply failed =
        ask("sum(rate(traces_spanmetrics_latency_bucket{status_code=\"STATUS_CODE_ERROR\"}[5m]))");
    CHECK(failed.has(R"("seriesLabels":{"__name__":"traces_spanmetrics_latency_bucket",)"
                     R"("le":"2.048","service":"front","span_kind":"SPAN_KIND_SERVER",)"
                     R"("span_name":"GET /","status_code":"STATUS_CODE_ERROR"})"));
    CHECK(!failed.has("SELECT"));
    const Reply both =
        ask("rate(traces_span_metrics_calls_total{service_name=\"db\"}[5m]) + "
            "rate(traces_spanmetrics_calls_total{span_name=~\"GET /l.*\"}[5m])");
    CHECK(both.has(R"("service_name":"db")"));
    CHECK(both.has(R"("span_name":"GET /later")"));
    CHECK(!both.has(R"("span_name":"GET /")"));
    CHECK(ask("traces_service_graph_request_total").body == R"({"status":"success","data":[]})");
}

TEST_CASE("a question says how spans are counted, and may ask for what they stand for") {
    TestServer server({kShopTrace, kLaterTrace});
    const std::string address = "/api/v1/query?time=1763819700&query=" +
                                encoded("sum(increase(traces_spanmetrics_calls_total[1h]))");
    const Reply raw = server.get(address);
    CHECK(raw.headers.get("x-spanloom-counts") == "raw");
    const Reply weighted = server.get(address + "&counts=weighted");
    CHECK(weighted.headers.get("x-spanloom-counts") == "weighted");
    // Nothing was sampled.
    CHECK(weighted.body == raw.body);
    CHECK(server.get(address + "&counts=some").status == 400);
    const Reply scrape = server.get("/metrics/red?counts=weighted");
    CHECK(scrape.headers.get("x-spanloom-counts") == "weighted");
    CHECK(scrape.has("stands for where it was sampled (weighted)."));
    CHECK(server.get("/metrics/red?counts=some").status == 400);
}

TEST_CASE("windows of seconds are counted by ten seconds where there are spans") {
    TestServer server({kShopTrace});
    // The trace begins at ...9000 s, which is 20 s into its minute.
    const auto in_window = [&](std::string_view window, std::string_view time) {
        return query(server,
                     "sum(increase(traces_spanmetrics_calls_total{service=\"front\"}[" +
                         std::string(window) + "]))",
                     time)
            .body;
    };
    CHECK(in_window("10s", "1763819010").find(R"("1"])") != std::string::npos);
    CHECK(in_window("10s", "1763819000").find(R"("result":[])") != std::string::npos);
    CHECK(in_window("20s", "1763819030").find(R"("result":[])") != std::string::npos);
}

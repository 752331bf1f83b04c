#include "main/config.h"

#include <doctest/doctest.h>

#include "sampling/forward_options.h"

namespace spanloom {

TEST_CASE("what is printed reads back as the same configuration") {
    Config config;
    config.data = "/var/lib/with \"quotes\"";
    config.cors_origins = {"https://shop.example", "http://localhost:3000"};
    config.retention_ns = 36ULL * 3'600'000'000'000;
    config.disk_used_max = 0.65;
    Config again;
    REQUIRE(read_config_text(print_config(config), "printed", again).has_value());
    CHECK(print_config(again) == print_config(config));
    CHECK(again.retention_ns == config.retention_ns);
    CHECK(again.cors_origins == config.cors_origins);
}

TEST_CASE("a mistake in the file is named with its line and the nearest setting") {
    const auto error = [](const char* yaml) {
        Config config;
        auto read = read_config_text(yaml, "spanloom.yaml", config);
        return read ? std::string("accepted") : read.error().message;
    };
    CHECK(error("data: /x\nlisten:\n  otlp_grcp: 127.0.0.1:1\n") ==
          "spanloom.yaml:3: there is no setting 'listen.otlp_grcp'; did you mean "
          "'listen.otlp_grpc'? `spanloom config print` shows them all");
    CHECK(error("store:\n  memory: lots\n") ==
          "spanloom.yaml:2: store.memory: \"lots\" is not a size: write it like 64MiB or 50GB");
    CHECK(error("query:\n  threads: 0\n") ==
          "spanloom.yaml:2: query.threads: must be a whole number from 1 to 1024");
    CHECK(error("listen: 5\n") == "spanloom.yaml:1: 'listen' must hold settings below it");
    CHECK(error("query:\n  timeout: 0\n") ==
          "spanloom.yaml:2: query.timeout: must be longer than 0");
    CHECK(error("a: [\n").starts_with("spanloom.yaml:2: not YAML"));
    CHECK(error("- 1\n").starts_with("spanloom.yaml:1: expected settings"));
    CHECK(error("") == "accepted");
}

TEST_CASE("strategies of head sampling stand in the file as Jaeger's file has them") {
    Config config;
    const auto read = read_config_text(
        "head_sampling:\n"
        "  default_strategy: {type: adaptive, param: 2}\n"
        "  service_strategies:\n"
        "    - {service: shop, type: ratelimiting, param: 5}\n"
        "  adaptive: {every: 1m}\n",
        "f", config);
    REQUIRE_MESSAGE(read.has_value(), (read ? "" : read.error().message));
    Config again;
    REQUIRE(read_config_text(print_config(config), "printed", again).has_value());
    CHECK(again.head_sampling == config.head_sampling);
    CHECK(config.head_sampling.find("\"every\":\"60s\"") != std::string::npos);
    const auto wrong = read_config_text(
        "head_sampling: {default_strategy: {type: probabilistic, param: 2}}\n", "f", config);
    REQUIRE_FALSE(wrong.has_value());
    CHECK(
        wrong.error().message ==
        "f:1: head_sampling: default_strategy: param: must be a share of the traces, from 0 to 1");
}

TEST_CASE("secrets of remote write are not printed") {
    Config config;
    REQUIRE(read_config_text(
                "remote_write:\n"
                "  - {url: 'http://127.0.0.1:9090/w', headers: {authorization: hunter2}}\n",
                "f", config)
                .has_value());
    CHECK(config.remote_write.find("hunter2") != std::string::npos);
    CHECK(print_config(config).find("hunter2") == std::string::npos);
    CHECK(print_config(config).find("authorization") != std::string::npos);
}

TEST_CASE("targets of forwarding stand in the file as they are documented") {
    Config config;
    REQUIRE(read_config_text("forward:\n"
                             "  - endpoint: otlp.example.com:4317\n"
                             "    tls: {ca: /etc/ca.pem}\n"
                             "    headers: {authorization: Bearer 0123}\n"
                             "    wait: 30s\n"
                             "    keep: [{name: errors, match: '{ status = error }'},\n"
                             "           {name: rest, rate: 0.01}]\n",
                             "spanloom.yaml", config)
                .has_value());
    const auto targets = forward_of(config);
    REQUIRE(targets.has_value());
    REQUIRE(targets->size() == 1);
    CHECK(targets->front().endpoint == "https://otlp.example.com:4317");
    CHECK(targets->front().name == "otlp-example-com-4317");
    CHECK(targets->front().headers.front().second == "Bearer 0123");
    CHECK(targets->front().rules.keep.size() == 2);
    const std::string printed = print_config(config);
    CHECK(printed.find("0123") == std::string::npos);
    Config again;
    REQUIRE(read_config_text(printed, "printed", again).has_value());
    CHECK(print_config(again) == printed);
    CHECK(forward_of(Config())->empty());
    const auto wrong = read_config_text("forward:\n  - {endpoint: 'x:1', wiat: 1s}\n", "f", config);
    CHECK(wrong.error().message.starts_with("f:1: forward: forward[0]: wiat: there is no such"));
}

TEST_CASE("keep rules stand in the file as they are documented") {
    Config config;
    REQUIRE(read_config_text(
                "recent: {for: 24h, disk: 50GiB}\n"
                "keep: [{name: errors, match: '{ status = error }', rate: 1, for: 30d},\n"
                "       {name: slow, match: '{ duration > 2s }', rate: 0.5},\n"
                "       {name: rest, per_second: 50, by: [resource.service.name, name]}]\n",
                "spanloom.yaml", config)
                .has_value());
    CHECK(config.recent_for_ns == 24ULL * 3'600'000'000'000);
    CHECK(config.recent_bytes == 50ULL << 30);
    Config again;
    REQUIRE(read_config_text(print_config(config), "printed", again).has_value());
    CHECK(again.keep == config.keep);
    CHECK(again.keep.find("\"for\":\"30d\"") != std::string::npos);
    const auto wrong = read_config_text("keep:\n  - {name: a, match: '{ .x = }'}\n", "f", config);
    CHECK(wrong.error().message.starts_with(
        "f:1: keep: keep[0] (a): match: parse error at line 1, col 8"));
    CHECK_FALSE(read_config_text("keep: 5\n", "f", config).has_value());
    config.retention_ns = 3'600'000'000'000;
    CHECK(check_config(config).error().message.find("shorter than recent.for") !=
          std::string::npos);
}

TEST_CASE("a public address needs to be meant") {
    Config config;
    config.http = "0.0.0.0:16686";
    CHECK(check_config(config).error().message.find("reachable from outside") != std::string::npos);
    config.listen_public = true;
    CHECK(check_config(config).has_value());
    config.tls_key = "key.pem";
    CHECK(check_config(config).error().message.find("belong together") != std::string::npos);
}

TEST_CASE("Jaeger's own UI needs the port on which it is served") {
    Config config;
    REQUIRE(read_config_text("listen:\n  jaeger_ui: /opt/jaeger-ui\n", "f", config).has_value());
    CHECK(config.jaeger_ui == "/opt/jaeger-ui");
    CHECK(check_config(config).has_value());
    Config again;
    REQUIRE(read_config_text(print_config(config), "printed", again).has_value());
    CHECK(again.jaeger_ui == config.jaeger_ui);
    config.http.clear();
    CHECK(check_config(config).error().message.find("needs listen.http") != std::string::npos);
}

TEST_CASE("addresses") {
    CHECK(parse_host_port("[::1]:4317").value().host == "::1");
    CHECK(parse_host_port(":4317").value().host == "127.0.0.1");
    CHECK(parse_host_port("localhost:0").value().port == 0);
    for (const char* bad :
         {"", "4317", "localhost:", "localhost:http", "localhost:65536", "::1:4317"})
        CHECK_FALSE(parse_host_port(bad).has_value());
}

}  // namespace spanloom

#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sampling/keep_rules.h"

namespace spanloom::sampling {
struct ForwardOptions;
}

namespace spanloom {

// Every setting of `spanloom serve`, with its default. Files and flags override it in this order:
// default, file, flag. docs/user/configuration.md is printed from the same table as this is read
// by.
struct Config {
    std::string data = "./spanloom-data";

    std::string otlp_grpc = "127.0.0.1:4317";
    std::string otlp_http = "127.0.0.1:4318";
    std::string http = "127.0.0.1:16686";
    std::string zipkin = "127.0.0.1:9411";
    std::string tempo;  // off
    std::string sampling = "127.0.0.1:5778";
    std::string jaeger;  // Thrift over HTTP; off, as those below
    std::string jaeger_grpc;
    std::string jaeger_compact;  // datagrams
    std::string jaeger_binary;
    bool listen_public = false;
    std::vector<std::string> host_names;
    std::string jaeger_ui;  // directory; "": none

    std::string tls_certificate;
    std::string tls_key;
    std::string tls_client_ca;

    std::vector<std::string> cors_origins;
    uint64_t request_bytes_max = 64U << 20;
    uint64_t request_memory_bytes = 64U << 20;
    uint64_t connections_max = 4096;
    std::vector<std::string> quotas;
    uint64_t attributes_max = 1'024;
    uint64_t value_bytes_max = 64U << 10;

    uint64_t store_memory_bytes = 96U << 20;
    uint64_t store_shards = 0;
    uint64_t log_bytes_max = 128U << 20;
    uint64_t flush_after_ns = 30'000'000'000;
    uint64_t merge_bytes_per_s = 64U << 20;

    uint64_t recent_for_ns = 0;
    uint64_t recent_bytes = 0;
    std::string keep;  // the list of keep rules as JSON; "": those by default

    std::string head_sampling;  // strategies as JSON; "": everything is sampled
    std::string forward;        // the list of targets as JSON; "": none

    uint64_t retention_ns = 0;
    uint64_t decisions_ns = 30ULL * 24 * 3'600'000'000'000;
    uint64_t counts_short_ns = 2ULL * 24 * 3'600'000'000'000;
    uint64_t counts_minutes_ns = 14ULL * 24 * 3'600'000'000'000;
    uint64_t counts_ns = 0;
    uint64_t retention_bytes = 0;
    double disk_used_max = 0.8;
    uint64_t disk_free_bytes_min = 256U << 20;
    uint64_t reserve_bytes = 16U << 20;

    std::string remote_write;  // targets as JSON; "": none

    uint64_t query_threads = 4;
    uint64_t query_memory_bytes = 64U << 20;
    uint64_t query_cache_bytes = 128U << 20;
    uint64_t query_timeout_ns = 30'000'000'000;
    uint64_t shutdown_ns = 10'000'000'000;
};

// One line of documentation per setting: "limits.request_bytes_max", its default and its text.
struct SettingText {
    std::string key;
    std::string value;
    std::string text;
};

// Reads YAML over `config`. An unknown key, a value that does not fit or a file that cannot be
// read is an error that names the line.
Result<void> read_config_file(const std::string& path, Config& config);
Result<void> read_config_text(std::string_view yaml, const std::string& name, Config& config);
// Checks what single settings cannot: addresses, files that belong together, public binding.
Result<void> check_config(const Config& config);
// Its keep rules; what it does not say is as by default.
Result<sampling::KeepRules> keep_rules_of(const Config& config);
Result<std::vector<sampling::ForwardOptions>> forward_of(const Config& config);
// The effective configuration as YAML, each setting with its text as a comment.
std::string print_config(const Config& config);
std::vector<SettingText> describe_settings(const Config& config);

struct HostPort {
    std::string host;
    uint16_t port = 0;

    bool is_loopback() const;
};
// "127.0.0.1:4317", "[::1]:4317", "localhost:4317", ":4317" (loopback).
Result<HostPort> parse_host_port(std::string_view text);

}  // namespace spanloom

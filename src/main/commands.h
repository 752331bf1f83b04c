#pragma once

#include <cstdint>
#include <string>

#include "main/config.h"

namespace spanloom {

// What each command does after its flags are read. All print their result to standard output,
// errors as one sentence to standard error, and return the exit code.

int run_serve(const Config& config);

struct DemoOptions {
    std::string endpoint = "http://127.0.0.1:4317";
    std::string protocol = "grpc";
    double spans_per_s = 200;
    uint64_t duration_ns = 0;               // 0: until it is stopped
    uint64_t history_ns = 600'000'000'000;  // traces spread over the past, sent first
    uint64_t seed = 0;                      // 0: from the system
    bool wait_for_server = false;
};
int run_demo(const DemoOptions& options);

int run_check(const std::string& data);

struct TraceOptions {
    std::string server = "http://127.0.0.1:16686";
    std::string id;
    bool as_json = false;
};
int run_trace(const TraceOptions& options);

struct SearchOptions {
    std::string server = "http://127.0.0.1:16686";
    std::string query = "{ }";
    std::string since = "1h";
    uint32_t limit = 20;
    bool as_json = false;
};
int run_search(const SearchOptions& options);

// "spanloom: text" on standard error, and the exit code 1.
int report(const Error& error);

}  // namespace spanloom

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/api.h"
#include "api/trace_cache.h"
#include "api/value_cache.h"
#include "base/json_writer.h"
#include "http/message.h"
#include "rollup/operation_rollup.h"
#include "store/search.h"
#include "traceql/shared_traces.h"

namespace spanloom::api {

// What all questions share. Lives as long as the handler; any thread.
struct Context {
    explicit Context(ApiOptions given);

    ApiOptions options;
    StaticFiles files;
    TraceCache traces;
    RollupCache rollups;
    ValueCache values;
    traceql::SharedTraceCache shared_traces;
    // Shared with the gauge that shows it, which may outlive the handler.
    std::shared_ptr<std::atomic<uint32_t>> waiting = std::make_shared<std::atomic<uint32_t>>(0);
    std::atomic<uint64_t> next_request_id = 1;
    Counter& asked;
    Counter& refused;
    Counter& failed;
};

// One question being answered, on one thread.
struct Call {
    Context& context;
    http::Request request;
    http::Query query;
    std::vector<std::string> captures;  // what stands at the {} of the route, percent-decoded once
    uint64_t started_ns = 0;            // monotonic
    uint64_t deadline_ns = 0;           // monotonic
    uint64_t request_id = 0;

    std::vector<std::shared_ptr<const store::Segment>> segments() const {
        return context.options.store.snapshot("default");
    }
    store::CountedParts counted() const { return context.options.store.counted("default"); }
    uint64_t now_ns() const { return context.options.clock.wall_ns(); }
    uint64_t elapsed_ms() const {
        return (context.options.clock.monotonic_ns() - started_ns) / 1'000'000;
    }
    bool accepts(std::string_view media_type) const {
        return request.headers.get("accept").find(media_type) != std::string_view::npos;
    }
    // The body as sent or inflated.
    Result<Blob> body() const;
};

http::Response json_reply(std::string body, int status = 200);
http::Response text_reply(std::string body, int status = 200);

// The first that is present of several spellings of one parameter; "" where none is.
std::string_view parameter(const http::Query& query, std::initializer_list<std::string_view> names);
bool has_parameter(const http::Query& query, std::initializer_list<std::string_view> names);
// Go's rules: "1", "t", "true" and so on; absent is false.
Result<bool> flag_parameter(std::string_view name, std::string_view value);
// A whole number in [min, max]; `fallback` where absent.
Result<uint64_t> number_parameter(const http::Query& query, std::string_view name,
                                  uint64_t fallback, uint64_t min, uint64_t max);
// A duration in Go's form that is not negative; nullopt where absent.
Result<std::optional<int64_t>> duration_parameter(std::string_view name, std::string_view value);

// 1 to 32 hexadecimal digits, or base64 of 16 bytes.
Result<TraceId> parse_trace_id(std::string_view text);

// The traces that a search finds, newest first, each read whole; `visit` returns false to stop.
Result<store::ScanStats> for_each_found(
    const Call& call, const store::SearchRequest& request,
    const std::function<Result<bool>(const store::StoredTrace&)>& visit);

// The trace, from the cache or the store.
Result<std::shared_ptr<const CachedTrace>> read_trace(const Call& call, const TraceId& id);

}  // namespace spanloom::api

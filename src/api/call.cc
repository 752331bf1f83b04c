#include "api/call.h"

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "http/compression.h"
#include "store/sampled_trace.h"

namespace spanloom::api {

Context::Context(ApiOptions given)
    : options(std::move(given)),
      files(options.files),
      traces(options.limits.trace_cache_bytes, options.limits.large_trace_bytes),
      asked(options.metrics.counter("queries_total", "Questions answered by the query APIs.")),
      refused(options.metrics.counter("queries_refused_total",
                                      "Questions refused because too many were waiting.")),
      failed(options.metrics.counter("queries_failed_total",
                                     "Questions answered with a server error.")) {}

Result<Blob> Call::body() const {
    const std::string_view coding = request.headers.get("content-encoding");
    const size_t bytes_max = context.options.limits.body_bytes_max;
    if (coding.empty() || coding == "identity") {
        if (request.body.size() > bytes_max)
            return fail(ErrorCode::kResourceExhausted, "a body of {} bytes is larger than {}",
                        request.body.size(), bytes_max);
        return request.body;
    }
    TRY_ASSIGN(const http::Encoding encoding, http::parse_encoding(coding));
    return http::inflate(encoding, request.body, bytes_max);
}

http::Response json_reply(std::string body, int status) {
    http::Response response;
    response.status = status;
    response.headers.add("content-type", "application/json");
    response.body = std::move(body);
    return response;
}

http::Response text_reply(std::string body, int status) {
    http::Response response;
    response.status = status;
    response.headers.add("content-type", "text/plain; charset=utf-8");
    response.body = std::move(body);
    return response;
}

std::string_view parameter(const http::Query& query,
                           std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) {
        if (query.has(name)) return query.get(name);
    }
    return {};
}

bool has_parameter(const http::Query& query, std::initializer_list<std::string_view> names) {
    return std::any_of(names.begin(), names.end(),
                       [&](std::string_view name) { return query.has(name); });
}

Result<bool> flag_parameter(std::string_view name, std::string_view value) {
    for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
        if (value == yes) return true;
    }
    for (const std::string_view no : {"", "0", "f", "F", "false", "FALSE", "False"}) {
        if (value == no) return false;
    }
    return fail(ErrorCode::kInvalidArgument,
                "malformed parameter '{}': \"{}\" is not true or false", name,
                value.substr(0, 100));
}

Result<uint64_t> number_parameter(const http::Query& query, std::string_view name,
                                  uint64_t fallback, uint64_t min, uint64_t max) {
    const std::string_view text = query.get(name);
    if (text.empty()) return fallback;
    const auto number = parse_int(text);
    if (!number || *number < 0 || static_cast<uint64_t>(*number) < min ||
        static_cast<uint64_t>(*number) > max)
        return fail(ErrorCode::kInvalidArgument,
                    "malformed parameter '{}': \"{}\" is not a whole number from {} to {}", name,
                    text.substr(0, 100), min, max);
    return static_cast<uint64_t>(*number);
}

Result<std::optional<int64_t>> duration_parameter(std::string_view name, std::string_view value) {
    if (value.empty()) return std::nullopt;
    const auto duration = parse_duration_ns(value);
    if (!duration)
        return fail(ErrorCode::kInvalidArgument, "malformed parameter '{}': {}", name,
                    duration.error().message);
    if (*duration < 0)
        return fail(ErrorCode::kInvalidArgument, "malformed parameter '{}': {} is negative", name,
                    value.substr(0, 100));
    return *duration;
}

Result<TraceId> parse_trace_id(std::string_view text) {
    if (const auto id = TraceId::parse(text); id && !id->is_zero()) return *id;
    if (text.size() <= 24) {
        const auto bytes = parse_base64(text);
        if (bytes && bytes->size() == 16) {
            TraceId id;
            std::copy(bytes->begin(), bytes->end(), id.bytes.begin());
            if (!id.is_zero()) return id;
        }
    }
    return fail(ErrorCode::kInvalidArgument,
                "malformed trace id \"{}\": it is 1 to 32 hexadecimal digits, not all zero",
                text.substr(0, 100));
}

Result<store::ScanStats> for_each_found(
    const Call& call, const store::SearchRequest& request,
    const std::function<Result<bool>(const store::StoredTrace&)>& visit) {
    const auto segments = call.segments();
    TRY_ASSIGN(const auto answer, store::search(segments, request));
    for (const store::TraceSummary& summary : answer.traces) {
        if (call.request.cancelled.stop_requested())
            return fail(ErrorCode::kCancelled, "the client has gone");
        const auto stored = store::read_sampled_trace(segments, summary.trace_id);
        if (!stored && stored.error().code == ErrorCode::kNotFound) continue;
        if (!stored) return tl::unexpected(stored.error());
        TRY_ASSIGN(const bool wants_more, visit(*stored));
        if (!wants_more) break;
    }
    return answer.stats;
}

Result<std::shared_ptr<const CachedTrace>> read_trace(const Call& call, const TraceId& id) {
    std::vector<std::shared_ptr<const store::Segment>> holders;
    uint64_t version = 0;
    for (auto& segment : call.segments()) {
        TRY_ASSIGN(const auto fragment, segment->find(id));
        if (!fragment) continue;
        const uint64_t parts[] = {reinterpret_cast<uintptr_t>(segment.get()), fragment->first_row,
                                  fragment->rows, fragment->start_ns, segment->info().spans};
        version = hash64({reinterpret_cast<const char*>(parts), sizeof parts}, version);
        holders.push_back(std::move(segment));
    }
    if (holders.empty()) return fail(ErrorCode::kNotFound, "trace {} not found", id.hex());
    const uint64_t now_ns = call.context.options.clock.monotonic_ns();
    if (auto kept = call.context.traces.find(id, version, now_ns)) return kept;
    TRY_ASSIGN(const store::StoredTrace stored, store::read_sampled_trace(holders, id));
    auto cached = std::make_shared<CachedTrace>();
    TRY_ASSIGN(cached->trace, traceql::Trace::read(stored));
    cached->version = version;
    constexpr size_t kRowBytes = sizeof(otlp::SpanView) + sizeof(SpanRef) + 24;
    cached->memory_bytes = stored.traces_data.size() + cached->trace.spans.size() * kRowBytes +
                           cached->trace.late_ns.size() * 8 + 256;
    std::shared_ptr<const CachedTrace> shared = std::move(cached);
    call.context.traces.put(id, shared, now_ns);
    return shared;
}

}  // namespace spanloom::api

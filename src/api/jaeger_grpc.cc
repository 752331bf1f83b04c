// jaeger.api_v3.QueryService (query_service.proto of jaeger-idl).
#include <algorithm>
#include <optional>
#include <string>

#include "api/jaeger.h"
#include "api/jaeger_filter.h"
#include "api/jaeger_search.h"
#include "api/trace_chunks.h"
#include "insight/dependencies.h"
#include "otlp/writer.h"
#include "send/proto_reader.h"

namespace spanloom::api {
namespace {

using send::ProtoReader;

constexpr std::string_view kService = "jaeger.api_v3.QueryService";
constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kDayNs = 86'400 * kSecondNs;

tl::unexpected<Error> malformed() {
    return fail(ErrorCode::kInvalidArgument, "the request is not the message this call takes");
}

// Timestamp and Duration have the same fields; times before 1970 are 1970.
Result<uint64_t> read_time(std::string_view message) {
    constexpr int64_t kSecondsMax = INT64_MAX / 1'000'000'000 - 1;
    int64_t seconds = 0;
    int64_t nanos = 0;
    ProtoReader reader(message);
    while (reader.next()) {
        if (reader.field() == 1) seconds = static_cast<int64_t>(reader.number());
        if (reader.field() == 2) nanos = static_cast<int32_t>(reader.number());
    }
    if (reader.is_damaged()) return malformed();
    if (seconds < 0) return 0;
    return static_cast<uint64_t>(std::min(seconds, kSecondsMax)) * kSecondNs +
           static_cast<uint64_t>(std::clamp<int64_t>(nanos, 0, 999'999'999));
}

bool send_trace(const Batch& trace, GrpcStream& stream) {
    bool is_there = true;
    for_each_chunk(trace, kChunkBytesMax, [&](std::string_view chunk) {
        is_there = stream.send(chunk);
        return is_there;
    });
    return is_there;
}

Result<void> get_trace(Call& call, std::string_view message, GrpcStream& stream) {
    std::string_view text;
    ProtoReader reader(message);
    while (reader.next()) {
        if (reader.field() == 1) text = reader.bytes();
    }
    if (reader.is_damaged()) return malformed();
    TRY_ASSIGN(const TraceId id, parse_trace_id(text));
    const auto cached = read_trace(call, id);
    if (!cached && cached.error().code == ErrorCode::kNotFound)
        return fail(ErrorCode::kNotFound, "trace not found");
    if (!cached) return tl::unexpected(cached.error());
    send_trace((*cached)->trace.batch, stream);
    return {};
}

Result<void> read_attribute(std::string_view entry, JaegerQuestion& question) {
    constexpr size_t kTagsMax = 64;
    std::string_view key;
    std::string_view value;
    ProtoReader reader(entry);
    while (reader.next()) {
        if (reader.field() == 1) key = reader.bytes();
        if (reader.field() == 2) value = reader.bytes();
    }
    if (reader.is_damaged()) return malformed();
    if (question.tags.size() >= kTagsMax)
        return fail(ErrorCode::kInvalidArgument, "more than {} attributes in one question",
                    kTagsMax);
    question.tags.emplace_back(key, value);
    return {};
}

Result<JaegerQuestion> read_parameters(std::string_view message, uint32_t traces_max) {
    JaegerQuestion question;
    bool has_start = false;
    bool has_end = false;
    std::optional<std::string_view> filter;
    ProtoReader reader(message);
    while (reader.next()) {
        const std::string_view bytes = reader.bytes();
        switch (reader.field()) {
            case 1:
                question.service = bytes;
                break;
            case 2:
                question.operation = bytes;
                break;
            case 3:
                TRY(read_attribute(bytes, question));
                break;
            case 4: {
                TRY_ASSIGN(question.range.start_ns, read_time(bytes));
                has_start = true;
                break;
            }
            case 5: {
                TRY_ASSIGN(question.range.end_ns, read_time(bytes));
                has_end = true;
                break;
            }
            case 6: {
                TRY_ASSIGN(const uint64_t min, read_time(bytes));
                if (min > 0) question.duration_min_ns = static_cast<int64_t>(min);
                break;
            }
            case 7: {
                TRY_ASSIGN(const uint64_t max, read_time(bytes));
                if (max > 0) question.duration_max_ns = static_cast<int64_t>(max);
                break;
            }
            case 8: {
                const std::string depth = std::to_string(static_cast<int32_t>(reader.number()));
                TRY(question.set_limit({"search_depth", depth}, traces_max));
                break;
            }
            case 10:
                filter = bytes;
                break;
            default:
                break;
        }
    }
    if (reader.is_damaged()) return malformed();
    if (!has_start || !has_end)
        return fail(ErrorCode::kInvalidArgument,
                    "start time min and start time max are required parameters");
    if (question.range.start_ns >= question.range.end_ns)
        return fail(ErrorCode::kInvalidArgument, "start time min must be before start time max");
    if (question.duration_min_ns && question.duration_max_ns &&
        *question.duration_max_ns < *question.duration_min_ns)
        return fail(ErrorCode::kInvalidArgument,
                    "duration max should be greater than or equal to duration min");
    if (filter) {
        TRY_ASSIGN(store::Predicate predicate, parse_jaeger_filter_message(*filter));
        TRY(question.set_filter(std::move(predicate)));
    }
    return question;
}

// FindTracesRequest and FindTraceSummariesRequest: {1 query}.
Result<JaegerQuestion> read_question(const Call& call, std::string_view message) {
    std::string_view query;
    bool has_query = false;
    ProtoReader reader(message);
    while (reader.next()) {
        if (reader.field() != 1) continue;
        query = reader.bytes();
        has_query = true;
    }
    if (reader.is_damaged()) return malformed();
    if (!has_query) return fail(ErrorCode::kInvalidArgument, "missing query");
    return read_parameters(query, call.context.options.limits.traces_max);
}

Result<void> find_traces(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(const JaegerQuestion question, read_question(call, message));
    TRY(for_each_found(call, question.request(call),
                       [&](const store::StoredTrace& stored) -> Result<bool> {
                           TRY_ASSIGN(const Batch batch, otlp::decode(stored.traces_data));
                           return send_trace(batch, stream);
                       }));
    return {};
}

void write_counts(otlp::WireWriter& out, uint32_t first_field,
                  std::initializer_list<uint32_t> counts) {
    for (const uint32_t count : counts) {
        if (count != 0) out.varint_field(first_field, count);
        ++first_field;
    }
}

void write_summary(otlp::WireWriter& out, const store::TraceSummary& summary) {
    const size_t mark = out.begin(1);
    out.bytes_field(1, summary.trace_id.hex());
    out.bytes_field(2, summary.root_service);
    out.bytes_field(3, summary.root_name);
    out.fixed64_field(4, summary.start_ns);
    out.fixed64_field(5, summary.end_ns);
    write_counts(out, 6, {summary.spans, summary.errors, summary.orphans});
    for (const store::ServiceCount& service : summary.services) {
        const size_t one = out.begin(9);
        out.bytes_field(1, service.name);
        write_counts(out, 2, {service.spans, service.errors});
        out.end(one);
    }
    out.end(mark);
}

Result<void> find_summaries(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(const JaegerQuestion question, read_question(call, message));
    TRY_ASSIGN(const auto answer, store::search(call.segments(), question.request(call)));
    std::string bytes;
    otlp::WireWriter out(bytes);
    for (const store::TraceSummary& summary : answer.traces) {
        write_summary(out, summary);
        if (bytes.size() < kChunkBytesMax) continue;
        if (!stream.send(bytes)) return {};
        bytes.clear();
    }
    if (!bytes.empty()) stream.send(bytes);
    return {};
}

Result<void> get_services(Call& call, std::string_view, GrpcStream& stream) {
    TRY_ASSIGN(const auto names, service_names(call));
    std::string bytes;
    otlp::WireWriter out(bytes);
    for (const std::string& name : names)
        out.bytes_field(1, name);
    stream.send(bytes);
    return {};
}

Result<void> get_operations(Call& call, std::string_view message, GrpcStream& stream) {
    std::string_view service;
    std::string_view word;
    ProtoReader reader(message);
    while (reader.next()) {
        if (reader.field() == 1) service = reader.bytes();
        if (reader.field() == 2) word = reader.bytes();
    }
    if (reader.is_damaged()) return malformed();
    if (service.empty()) return fail(ErrorCode::kInvalidArgument, "service is required");
    TRY_ASSIGN(const auto kind, kind_parameter({"span_kind", word}));
    TRY_ASSIGN(const auto found, operations(call, service, kind));
    std::string bytes;
    otlp::WireWriter out(bytes);
    for (const Operation& operation : found) {
        const std::string_view name = kind_name(operation.kind);
        const size_t mark = out.begin(1);
        out.bytes_field(1, operation.name);
        out.bytes_field(2, name.empty() ? "internal" : name);
        out.end(mark);
    }
    stream.send(bytes);
    return {};
}

Result<void> get_dependencies(Call& call, std::string_view message, GrpcStream& stream) {
    store::TimeRange range;
    range.end_ns = call.now_ns();
    range.start_ns = range.end_ns - std::min(range.end_ns, kDayNs);
    ProtoReader reader(message);
    while (reader.next()) {
        if (reader.field() == 1) {
            TRY_ASSIGN(range.start_ns, read_time(reader.bytes()));
        } else if (reader.field() == 2) {
            TRY_ASSIGN(range.end_ns, read_time(reader.bytes()));
        }
    }
    if (reader.is_damaged()) return malformed();
    TRY_ASSIGN(const auto graph, insight::find_dependencies(call.segments(), range));
    std::string bytes;
    otlp::WireWriter out(bytes);
    for (const insight::DependencyEdge& edge : graph.edges) {
        const size_t mark = out.begin(1);
        out.bytes_field(1, edge.parent);
        out.bytes_field(2, edge.child);
        out.varint_field(3, edge.calls);
        out.end(mark);
    }
    stream.send(bytes);
    return {};
}

}  // namespace

void add_jaeger_grpc(Router& router) {
    router.add_grpc(kService, "GetTrace", get_trace);
    router.add_grpc(kService, "FindTraces", find_traces);
    router.add_grpc(kService, "FindTraceSummaries", find_summaries);
    router.add_grpc(kService, "GetServices", get_services);
    router.add_grpc(kService, "GetOperations", get_operations);
    router.add_grpc(kService, "GetDependencies", get_dependencies);
}

}  // namespace spanloom::api

// jaeger.api_v3.QueryService (query_service.proto of jaeger-idl).
#include <string>

#include "api/jaeger.h"
#include "api/jaeger_grpc_messages.h"
#include "api/jaeger_search.h"
#include "api/trace_chunks.h"
#include "otlp/writer.h"
#include "send/proto_reader.h"

namespace spanloom::api {
namespace {

using send::ProtoReader;

constexpr std::string_view kService = "jaeger.api_v3.QueryService";

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
    if (reader.is_damaged()) return malformed_message();
    TRY_ASSIGN(const TraceId id, parse_trace_id(text));
    TRY_ASSIGN(const auto found, read_jaeger_trace(call, id));
    send_trace(found->trace.batch, stream);
    return {};
}

Result<void> find_traces(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(const JaegerQuestion question,
               read_jaeger_question(call, message, JaegerTimes::kRequired));
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
    TRY_ASSIGN(const JaegerQuestion question,
               read_jaeger_question(call, message, JaegerTimes::kRequired));
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

Result<void> get_operations(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(const auto found, read_operations(call, message));
    std::string bytes;
    for (const Operation& operation : found)
        write_operation(bytes, 1, operation);
    stream.send(bytes);
    return {};
}

}  // namespace

void add_jaeger_grpc(Router& router) {
    router.add_grpc(kService, "GetTrace", get_trace);
    router.add_grpc(kService, "FindTraces", find_traces);
    router.add_grpc(kService, "FindTraceSummaries", find_summaries);
    router.add_grpc(kService, "GetServices", send_services);
    router.add_grpc(kService, "GetOperations", get_operations);
    router.add_grpc(kService, "GetDependencies", send_dependencies);
}

}  // namespace spanloom::api

// jaeger.api_v2.QueryService (query.proto of jaeger-idl), for clients from before version 3.
#include <algorithm>
#include <cstring>
#include <string>

#include "api/jaeger.h"
#include "api/jaeger_grpc_messages.h"
#include "api/jaeger_span_message.h"
#include "api/keep.h"
#include "api/trace_chunks.h"
#include "otlp/writer.h"
#include "send/proto_reader.h"

namespace spanloom::api {
namespace {

using send::ProtoReader;

constexpr std::string_view kService = "jaeger.api_v2.QueryService";

// SpansResponseChunk: {1 spans}. False: the client has gone.
bool send_trace(const traceql::Trace& trace, GrpcStream& stream) {
    std::string bytes;
    for (uint32_t row = 0; row < trace.spans.size(); ++row) {
        write_jaeger_span(bytes, 1, trace, row);
        if (bytes.size() < kChunkBytesMax) continue;
        if (!stream.send(bytes)) return false;
        bytes.clear();
    }
    return bytes.empty() || stream.send(bytes);
}

// GetTraceRequest and ArchiveTraceRequest: {1 trace_id}, of 16 bytes or of the last 8.
Result<TraceId> asked_id(std::string_view message) {
    std::string_view bytes;
    ProtoReader reader(message);
    while (reader.next()) {
        if (reader.field() == 1) bytes = reader.bytes();
    }
    if (reader.is_damaged()) return malformed_message();
    TraceId id;
    if (bytes.size() != id.bytes.size() && bytes.size() != 8)
        return fail(ErrorCode::kInvalidArgument, "trace_id has {} bytes; it must have 16",
                    bytes.size());
    std::memcpy(id.bytes.data() + id.bytes.size() - bytes.size(), bytes.data(), bytes.size());
    return id;
}

Result<void> get_trace(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(const TraceId id, asked_id(message));
    TRY_ASSIGN(const auto found, read_jaeger_trace(call, id));
    send_trace(found->trace, stream);
    return {};
}

Result<void> find_traces(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(const JaegerQuestion question,
               read_jaeger_question(call, message, JaegerTimes::kOptional));
    TRY(for_each_found(call, question.request(call),
                       [&](const store::StoredTrace& stored) -> Result<bool> {
                           TRY_ASSIGN(const auto trace, traceql::Trace::read(stored));
                           return send_trace(trace, stream);
                       }));
    return {};
}

// GetOperationsResponse: {1 operationNames, 2 operations}.
Result<void> get_operations(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(const auto found, read_operations(call, message));
    std::string bytes;
    for (size_t i = 0; i < found.size(); ++i) {
        const bool is_new = i == 0 || found[i].name != found[i - 1].name;
        if (is_new) otlp::WireWriter(bytes).bytes_field(1, found[i].name);
    }
    for (const Operation& operation : found)
        write_operation(bytes, 2, operation);
    stream.send(bytes);
    return {};
}

Result<void> archive(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(const TraceId id, asked_id(message));
    TRY(read_jaeger_trace(call, id));
    TRY(archive_trace(call, id));
    stream.send("");
    return {};
}

}  // namespace

void add_jaeger2_grpc(Router& router) {
    router.add_grpc(kService, "GetTrace", get_trace);
    router.add_grpc(kService, "FindTraces", find_traces);
    router.add_grpc(kService, "GetServices", send_services);
    router.add_grpc(kService, "GetOperations", get_operations);
    router.add_grpc(kService, "GetDependencies", send_dependencies);
    router.add_grpc(kService, "ArchiveTrace", archive);
}

}  // namespace spanloom::api

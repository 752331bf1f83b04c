#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/call.h"
#include "api/grpc_stream.h"
#include "api/jaeger_search.h"

// What versions 2 and 3 of Jaeger's QueryService have alike.
namespace spanloom::api {

// FindTracesRequest and FindTraceSummariesRequest: {1 query}. Version 3 refuses a query without
// times, version 2 takes the last two days.
enum class JaegerTimes : uint8_t { kRequired, kOptional };
Result<JaegerQuestion> read_jaeger_question(const Call& call, std::string_view message,
                                            JaegerTimes times);
// GetOperationsRequest {1 service, 2 span_kind}: what is asked for.
Result<std::vector<Operation>> read_operations(const Call& call, std::string_view message);

// GetServices: {1 services}.
Result<void> send_services(Call& call, std::string_view message, GrpcStream& stream);
// GetDependencies of {1 start_time, 2 end_time}; the last day by default.
Result<void> send_dependencies(Call& call, std::string_view message, GrpcStream& stream);
// Operation {1 name, 2 span_kind} as a field of a message.
void write_operation(std::string& out, uint32_t field, const Operation& operation);

}  // namespace spanloom::api

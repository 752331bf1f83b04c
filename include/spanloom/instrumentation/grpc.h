#pragma once

#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/server_interceptor.h>

#include "spanloom/context.h"
#include "spanloom/propagator.h"
#include "spanloom/tracer.h"

namespace spanloom {

// How a server's handlers are written, which decides how they find their context.
enum class GrpcHandlers {
    // One thread runs a handler from its beginning to its end: the context is active there.
    kSync,
    // Callback and completion-queue APIs: a handler activates `grpc_context(server_context)`.
    kAsync,
};

// The span of every call a server answers, continuing the caller's trace:
//
//     std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> creators;
//     creators.push_back(spanloom::make_grpc_server_interceptor(tracer, GrpcHandlers::kSync));
//     builder.experimental().SetInterceptorCreators(std::move(creators));
//
// `incoming`: whether callers' traces go on, or new ones begin that link to them.
std::unique_ptr<::grpc::experimental::ServerInterceptorFactoryInterface>
make_grpc_server_interceptor(Tracer tracer, GrpcHandlers handlers,
                             IncomingContext incoming = IncomingContext::kConfigured);

// The context of a call that is being answered; the root where it is not known.
Context grpc_context(const ::grpc::ServerContextBase& call) noexcept;

// The span of every call a client makes, carried on in the call's metadata. The target is what the
// channel leads to; it is where server.address and server.port come from.
std::unique_ptr<::grpc::experimental::ClientInterceptorFactoryInterface>
make_grpc_client_interceptor(Tracer tracer, const std::string& target);

// A channel with that interceptor.
std::shared_ptr<::grpc::Channel> make_grpc_channel(
    Tracer tracer, const std::string& target,
    const std::shared_ptr<::grpc::ChannelCredentials>& credentials,
    const ::grpc::ChannelArguments& arguments = {});

}  // namespace spanloom

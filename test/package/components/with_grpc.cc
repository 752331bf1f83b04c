#include <chrono>
#include <memory>

#include <grpcpp/generic/generic_stub.h>
#include <spanloom/instrumentation/grpc.h>

#include "traced.h"

// A call to where nobody listens.
int main() {
    return traced(1, [](const spanloom::Tracer& tracer) {
        const auto channel =
            spanloom::make_grpc_channel(tracer, "127.0.0.1:1", grpc::InsecureChannelCredentials());
        grpc::GenericStub stub(channel);
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
        grpc::CompletionQueue queue;
        grpc::ByteBuffer answer;
        grpc::Status status;
        auto call = stub.PrepareUnaryCall(&context, "/shop.Users/Get", grpc::ByteBuffer(), &queue);
        call->StartCall();
        call->Finish(&answer, &status, nullptr);
        void* tag = nullptr;
        bool is_ok = false;
        queue.Next(&tag, &is_ok);
    });
}

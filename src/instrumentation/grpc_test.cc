#include "spanloom/instrumentation/grpc.h"

#include "echo.grpc.pb.h"
#include "spanloom/flow.h"
#include "test/sdk/recorded_spans.h"

using namespace spanloom;
using spanloom::test::as_json;
using spanloom::test::Echo;
using spanloom::test::is_child;
using spanloom::test::RecordedSpans;
using spanloom::test::Text;

namespace {

::grpc::Status answer(Tracer tracer, const Text& request, Text* reply) {
    auto work = tracer.start_span("work");
    reply->set_text(request.text());
    if (request.text() == "missing") {
        return {::grpc::StatusCode::NOT_FOUND, "no secret"};
    }
    if (request.text() == "broken") {
        return {::grpc::StatusCode::INTERNAL, "no secret"};
    }
    return ::grpc::Status::OK;
}

struct SyncEcho : Echo::Service {
    Tracer tracer;
    ::grpc::Status Once(::grpc::ServerContext*, const Text* request, Text* reply) override {
        return answer(tracer, *request, reply);
    }
    ::grpc::Status Many(::grpc::ServerContext*, const Text* request,
                        ::grpc::ServerWriter<Text>* writer) override {
        auto work = tracer.start_span("work");
        for (int i = 0; i < 3; ++i) {
            writer->Write(*request);
        }
        return ::grpc::Status::OK;
    }
};

struct CallbackEcho : Echo::CallbackService {
    Tracer tracer;
    ::grpc::ServerUnaryReactor* Once(::grpc::CallbackServerContext* context, const Text* request,
                                     Text* reply) override {
        const FlowScope scope(grpc_context(*context));
        auto* const reactor = context->DefaultReactor();
        reactor->Finish(answer(tracer, *request, reply));
        return reactor;
    }
};

template <typename Service>
struct Running {
    RecordedSpans spans;
    Service service;
    int port = 0;
    std::unique_ptr<::grpc::Server> server;
    std::unique_ptr<Echo::Stub> stub;

    explicit Running(GrpcHandlers handlers,
                     IncomingContext incoming = IncomingContext::kConfigured) {
        service.tracer = spans.tracer;
        ::grpc::ServerBuilder builder;
        builder.AddListeningPort("127.0.0.1:0", ::grpc::InsecureServerCredentials(), &port);
        builder.RegisterService(&service);
        std::vector<std::unique_ptr<::grpc::experimental::ServerInterceptorFactoryInterface>>
            creators;
        creators.push_back(make_grpc_server_interceptor(spans.tracer, handlers, incoming));
        builder.experimental().SetInterceptorCreators(std::move(creators));
        server = builder.BuildAndStart();
        stub = Echo::NewStub(make_grpc_channel(spans.tracer, "127.0.0.1:" + std::to_string(port),
                                               ::grpc::InsecureChannelCredentials()));
    }
    // The server's span ends after the client has its answer.
    void stop() {
        stub.reset();
        server->Shutdown();
        server->Wait();
    }
    ::grpc::Status once(const std::string& text) {
        const ActiveSpan parent = spans.tracer.start_active("parent");
        ::grpc::ClientContext context;
        Text request;
        Text reply;
        request.set_text(text);
        return stub->Once(&context, request, &reply);
    }
    FinishedSpan of_kind(SpanKind kind) {
        for (const auto& span : spans.all()) {
            if (span.kind == kind) {
                return span;
            }
        }
        FAIL("no span of that kind");
        return {};
    }
};

}  // namespace

TEST_CASE("grpc: a server at a public edge begins traces of its own, linked to the callers'") {
    const auto check = [](auto& at) {
        CHECK(at.once("hello").ok());
        at.stop();
        const auto client = at.of_kind(SpanKind::kClient);
        const auto server = at.of_kind(SpanKind::kServer);
        CHECK(server.trace_id != client.trace_id);
        CHECK(server.parent_span_id.empty());
        REQUIRE(server.links.size() == 1);
        CHECK(server.links[0].trace_id == client.trace_id);
        CHECK(server.links[0].span_id == client.span_id);
        CHECK(is_child(at.spans.named("work"), server));
    };
    Running<SyncEcho> sync(GrpcHandlers::kSync, IncomingContext::kRestart);
    check(sync);
    Running<CallbackEcho> callbacks(GrpcHandlers::kAsync, IncomingContext::kRestartWithBaggage);
    check(callbacks);
}

TEST_CASE("grpc: client, server and handler are one trace") {
    Running<SyncEcho> at(GrpcHandlers::kSync);
    CHECK(at.once("hello").ok());
    at.stop();
    const auto client = at.of_kind(SpanKind::kClient);
    CHECK(client.name == "spanloom.test.Echo/Once");
    CHECK(is_child(client, at.spans.named("parent")));
    CHECK(client.attribute("rpc.system.name") == as_json("grpc"));
    CHECK(client.attribute("rpc.method") == as_json("spanloom.test.Echo/Once"));
    CHECK(client.attribute("rpc.response.status_code") == as_json("OK"));
    CHECK(client.attribute("server.address") == as_json("127.0.0.1"));
    CHECK(client.attribute("server.port") == std::to_string(at.port));
    CHECK(client.attribute("error.type").empty());
    CHECK(client.status == StatusCode::kUnset);
    const auto server = at.of_kind(SpanKind::kServer);
    CHECK(server.name == "spanloom.test.Echo/Once");
    CHECK(is_child(server, client));
    CHECK(is_child(at.spans.named("work"), server));
    CHECK(server.attribute("network.peer.address") == as_json("127.0.0.1"));
    CHECK(!server.attribute("network.peer.port").empty());
    CHECK(server.attribute("rpc.response.status_code") == as_json("OK"));
}

TEST_CASE("grpc: what the client did wrong is an error of the client alone") {
    Running<SyncEcho> at(GrpcHandlers::kSync);
    CHECK(at.once("missing").error_code() == ::grpc::StatusCode::NOT_FOUND);
    at.stop();
    CHECK(at.of_kind(SpanKind::kClient).status == StatusCode::kError);
    CHECK(at.of_kind(SpanKind::kClient).attribute("error.type") == as_json("NOT_FOUND"));
    CHECK(at.of_kind(SpanKind::kServer).status == StatusCode::kUnset);
    CHECK(at.of_kind(SpanKind::kServer).attribute("rpc.response.status_code") ==
          as_json("NOT_FOUND"));
    CHECK(at.of_kind(SpanKind::kServer).message.find("secret") == std::string::npos);
}

TEST_CASE("grpc: streams, and a server that is not there") {
    Running<SyncEcho> at(GrpcHandlers::kSync);
    {
        ::grpc::ClientContext context;
        Text request;
        Text reply;
        int count = 0;
        const auto reader = at.stub->Many(&context, request);
        while (reader->Read(&reply)) {
            ++count;
        }
        CHECK(count == 3);
        CHECK(reader->Finish().ok());
    }
    at.server->Shutdown();
    at.server->Wait();
    CHECK(is_child(at.of_kind(SpanKind::kServer), at.of_kind(SpanKind::kClient)));
    CHECK(is_child(at.spans.named("work"), at.of_kind(SpanKind::kServer)));
    at.spans.clear();
    CHECK(at.once("hello").error_code() == ::grpc::StatusCode::UNAVAILABLE);
    CHECK(at.of_kind(SpanKind::kClient).attribute("error.type") == as_json("UNAVAILABLE"));
}

TEST_CASE("grpc: handlers with callbacks ask for their context") {
    Running<CallbackEcho> at(GrpcHandlers::kAsync);
    CHECK(at.once("broken").error_code() == ::grpc::StatusCode::INTERNAL);
    at.stop();
    const auto server = at.of_kind(SpanKind::kServer);
    CHECK(is_child(at.spans.named("work"), server));
    CHECK(server.status == StatusCode::kError);
    CHECK(server.attribute("error.type") == as_json("INTERNAL"));
    CHECK(is_child(server, at.of_kind(SpanKind::kClient)));
}

#include "spanloom/instrumentation/grpc.h"

#include <map>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "instrumentation/http_parts.h"
#include "spanloom/flow.h"
#include "spanloom/propagator.h"

namespace spanloom {
namespace {

using ::grpc::experimental::InterceptionHookPoints;
using ::grpc::experimental::Interceptor;
using ::grpc::experimental::InterceptorBatchMethods;

std::string_view to_std(::grpc::string_ref text) {
    return {text.data(), text.size()};
}

class ReceivedMetadata : public TextMapGetter {
  public:
    using Map = std::multimap<::grpc::string_ref, ::grpc::string_ref>;

    explicit ReceivedMetadata(const Map& map) : map_(map) {}
    std::optional<std::string_view> get(std::string_view name) const noexcept override {
        const auto found = map_.find(::grpc::string_ref(name.data(), name.size()));
        if (found == map_.end()) {
            return std::nullopt;
        }
        return to_std(found->second);
    }
    void for_each_value(std::string_view name,
                        FunctionRef<void(std::string_view)> visit) const noexcept override {
        const auto range = map_.equal_range(::grpc::string_ref(name.data(), name.size()));
        for (auto at = range.first; at != range.second; ++at) {
            visit(to_std(at->second));
        }
    }
    void for_each_name(FunctionRef<void(std::string_view)> visit) const noexcept override {
        for (const auto& entry : map_) {
            visit(to_std(entry.first));
        }
    }

  private:
    const Map& map_;
};

class SentMetadata : public TextMapSetter {
  public:
    explicit SentMetadata(std::multimap<std::string, std::string>& map) : map_(map) {}
    void set(std::string_view name, std::string_view value) noexcept override {
        try {
            std::string key(name);
            map_.erase(key);
            map_.emplace(std::move(key), std::string(value));
        } catch (...) {  // out of memory: the call goes without it
        }
    }

  private:
    std::multimap<std::string, std::string>& map_;
};

std::string_view code_name(::grpc::StatusCode code) {
    constexpr std::string_view kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS",
                                           "UNAUTHENTICATED"};
    const auto index = static_cast<size_t>(code);
    return index < std::size(kNames) ? kNames[index] : "UNKNOWN";
}

// What the client did wrong is no error of the server's.
bool is_server_error(::grpc::StatusCode code) {
    switch (code) {
        case ::grpc::StatusCode::UNKNOWN:
        case ::grpc::StatusCode::DEADLINE_EXCEEDED:
        case ::grpc::StatusCode::UNIMPLEMENTED:
        case ::grpc::StatusCode::INTERNAL:
        case ::grpc::StatusCode::UNAVAILABLE:
        case ::grpc::StatusCode::DATA_LOSS:
            return true;
        default:
            return false;
    }
}

// The message stays out: it may quote data.
void finish(Span& span, ::grpc::StatusCode code, bool is_error) {
    span.set_attribute("rpc.response.status_code", code_name(code));
    if (is_error) {
        span.set_attribute("error.type", code_name(code));
        span.set_status(StatusCode::kError);
    }
    span.end();
}

// "/package.Service/Method" to "package.Service/Method".
std::string_view method_name(const char* path) {
    std::string_view method = path == nullptr ? std::string_view() : std::string_view(path);
    if (!method.empty() && method.front() == '/') {
        method.remove_prefix(1);
    }
    return method;
}

struct Peer {
    std::string address;
    uint16_t port = 0;
};

// "ipv4:127.0.0.1:4711", "ipv6:%5B::1%5D:4711", "unix:/path", "dns:///host:1", "host:1".
Peer parse_target(std::string target) {
    for (const std::string_view scheme : {"ipv4:", "ipv6:", "dns:", "passthrough:"}) {
        if (target.compare(0, scheme.size(), scheme) == 0) {
            target.erase(0, scheme.size());
            break;
        }
    }
    if (target.compare(0, 5, "unix:") == 0) {
        return {target.substr(5), 0};
    }
    if (target.compare(0, 2, "//") == 0) {
        target.erase(0, std::min(target.find('/', 2), target.size() - 1) + 1);
    }
    for (const auto& [encoded, plain] : {std::pair("%5B", "["), std::pair("%5D", "]")}) {
        if (const size_t at = target.find(encoded); at != std::string::npos) {
            target.replace(at, 3, plain);
        }
    }
    const auto parts = instrumentation::parse_authority(target);
    return {std::string(parts.host), parts.port};
}

// Contexts of calls whose handlers ask for them. Never destroyed: calls may end at exit.
struct Calls {
    std::mutex mutex;
    std::unordered_map<const void*, Context> contexts;
};
Calls& calls() {
    static auto& instance = *new Calls;
    return instance;
}

class ServerInterceptor : public Interceptor {
  public:
    ServerInterceptor(const Tracer& tracer, GrpcHandlers handlers, IncomingContext incoming,
                      ::grpc::experimental::ServerRpcInfo* info)
        : tracer_(tracer), handlers_(handlers), incoming_(incoming), info_(info) {}

    ~ServerInterceptor() override {
        leave();
        if (span_.is_recording()) {  // no status was sent
            finish(span_, ::grpc::StatusCode::CANCELLED, true);
        }
    }

    void Intercept(InterceptorBatchMethods* methods) override {
        if (methods->QueryInterceptionHookPoint(
                InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
            start(*methods->GetRecvInitialMetadata());
        }
        if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
            const auto code = methods->GetSendStatus().error_code();
            leave();
            finish(span_, code, is_server_error(code));
        }
        methods->Proceed();
    }

  private:
    void start(const ReceivedMetadata::Map& metadata) {
        const IncomingParent parent = extract_incoming(ReceivedMetadata(metadata), incoming_);
        const Peer peer = parse_target(info_->server_context()->peer());
        const std::string_view method = method_name(info_->method());
        std::vector<Attribute> attributes = {{"rpc.system.name", "grpc"}, {"rpc.method", method}};
        if (!peer.address.empty()) {
            attributes.push_back({"client.address", peer.address});
            attributes.push_back({"network.peer.address", peer.address});
        }
        if (peer.port != 0) {
            attributes.push_back({"network.peer.port", peer.port});
        }
        SpanOptions options;
        options.kind = SpanKind::kServer;
        options.parent = parent.context;
        options.attributes = attributes;
        const Link link{parent.linked};
        if (parent.linked.is_valid()) {
            options.links = LinkList(&link, 1);
        }
        span_ = tracer_.start_span(method, options);
        const Context context = parent.context.with_span(span_);
        if (handlers_ == GrpcHandlers::kSync) {
            mark_ = detail::enter_flow(context);
            is_entered_ = true;
        } else {
            const std::lock_guard lock(calls().mutex);
            calls().contexts.insert_or_assign(info_->server_context(), context);
            is_registered_ = true;
        }
    }

    void leave() {
        if (std::exchange(is_entered_, false)) {
            detail::leave_flow(mark_);
        }
        if (std::exchange(is_registered_, false)) {
            const std::lock_guard lock(calls().mutex);
            calls().contexts.erase(info_->server_context());
        }
    }

    Tracer tracer_;
    GrpcHandlers handlers_;
    IncomingContext incoming_;
    ::grpc::experimental::ServerRpcInfo* info_;
    Span span_;
    detail::FlowMark mark_;
    bool is_entered_ = false;
    bool is_registered_ = false;
};

class ServerFactory : public ::grpc::experimental::ServerInterceptorFactoryInterface {
  public:
    ServerFactory(Tracer tracer, GrpcHandlers handlers, IncomingContext incoming)
        : tracer_(tracer), handlers_(handlers), incoming_(incoming) {}
    Interceptor* CreateServerInterceptor(::grpc::experimental::ServerRpcInfo* info) override {
        return new ServerInterceptor(tracer_, handlers_, incoming_, info);
    }

  private:
    Tracer tracer_;
    GrpcHandlers handlers_;
    IncomingContext incoming_;
};

// Made on the thread that makes the call.
class ClientInterceptor : public Interceptor {
  public:
    ClientInterceptor(const Tracer& tracer, const Peer& server,
                      ::grpc::experimental::ClientRpcInfo* info) {
        const std::string_view method = method_name(info->method());
        std::vector<Attribute> attributes = {{"rpc.system.name", "grpc"},
                                             {"rpc.method", method},
                                             {"server.address", server.address}};
        if (server.port != 0) {
            attributes.push_back({"server.port", server.port});
        }
        SpanOptions options;
        options.kind = SpanKind::kClient;
        options.attributes = attributes;
        span_ = tracer.start_span(method, options);
        context_ = Context::current().with_span(span_);
    }

    ~ClientInterceptor() override {
        if (span_.is_recording()) {  // the call was given up
            finish(span_, ::grpc::StatusCode::CANCELLED, true);
        }
    }

    void Intercept(InterceptorBatchMethods* methods) override {
        if (methods->QueryInterceptionHookPoint(
                InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
            SentMetadata metadata(*methods->GetSendInitialMetadata());
            global_propagator().inject(context_, metadata);
        }
        if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_STATUS)) {
            const auto code = methods->GetRecvStatus()->error_code();
            finish(span_, code, code != ::grpc::StatusCode::OK);
        }
        methods->Proceed();
    }

  private:
    Span span_;
    Context context_;
};

class ClientFactory : public ::grpc::experimental::ClientInterceptorFactoryInterface {
  public:
    ClientFactory(Tracer tracer, Peer server) : tracer_(tracer), server_(std::move(server)) {}
    Interceptor* CreateClientInterceptor(::grpc::experimental::ClientRpcInfo* info) override {
        return new ClientInterceptor(tracer_, server_, info);
    }

  private:
    Tracer tracer_;
    Peer server_;
};

}  // namespace

std::unique_ptr<::grpc::experimental::ServerInterceptorFactoryInterface>
make_grpc_server_interceptor(Tracer tracer, GrpcHandlers handlers, IncomingContext incoming) {
    return std::make_unique<ServerFactory>(tracer, handlers, incoming);
}

Context grpc_context(const ::grpc::ServerContextBase& call) noexcept {
    const std::lock_guard lock(calls().mutex);
    const auto found = calls().contexts.find(&call);
    return found == calls().contexts.end() ? Context::root() : found->second;
}

std::unique_ptr<::grpc::experimental::ClientInterceptorFactoryInterface>
make_grpc_client_interceptor(Tracer tracer, const std::string& target) {
    return std::make_unique<ClientFactory>(tracer, parse_target(target));
}

std::shared_ptr<::grpc::Channel> make_grpc_channel(
    Tracer tracer, const std::string& target,
    const std::shared_ptr<::grpc::ChannelCredentials>& credentials,
    const ::grpc::ChannelArguments& arguments) {
    std::vector<std::unique_ptr<::grpc::experimental::ClientInterceptorFactoryInterface>> creators;
    creators.push_back(make_grpc_client_interceptor(tracer, target));
    return ::grpc::experimental::CreateCustomChannelWithInterceptors(target, credentials, arguments,
                                                                     std::move(creators));
}

}  // namespace spanloom

#include "api/head_sampling.h"

#include "api/change_request.h"
#include "otlp/writer.h"
#include "sampling/head_sampler.h"
#include "send/proto_reader.h"

namespace spanloom::api {
namespace {

using sampling::HeadAnswer;
using sampling::HeadSampler;
using send::ProtoReader;

constexpr std::string_view kGrpcService = "jaeger.api_v2.SamplingManager";
constexpr std::string_view kGrpcMethod = "GetSamplingStrategy";

Result<HeadSampler*> sampler_of(const Call& call) {
    HeadSampler* const sampler = call.context.options.head_sampler;
    if (sampler == nullptr)
        return fail(ErrorCode::kUnsupported, "this server has no head sampling");
    return sampler;
}

// ------------------------------------------------------------------------ what clients are told

void write_share(JsonWriter& json, double share) {
    json.key("probabilisticSampling").begin_object().field("samplingRate", share).end_object();
}

std::string strategy_json(const HeadAnswer& answer) {
    std::string out;
    JsonWriter json(out);
    json.begin_object();
    if (answer.is_rate_limited) {
        json.field("strategyType", std::string_view("RATE_LIMITING"));
        json.key("rateLimitingSampling").begin_object();
        json.field("maxTracesPerSecond", static_cast<int64_t>(answer.param)).end_object();
    } else {
        json.field("strategyType", std::string_view("PROBABILISTIC"));
        write_share(json, answer.param);
    }
    if (answer.has_operations) {
        json.key("operationSampling").begin_object();
        json.field("defaultSamplingProbability", answer.param);
        json.field("defaultLowerBoundTracesPerSecond", answer.at_least_per_second);
        json.key("perOperationStrategies").begin_array();
        for (const auto& [name, share] : answer.operations) {
            json.begin_object().field("operation", name);
            write_share(json, share);
            json.end_object();
        }
        json.end_array().field("defaultUpperBoundTracesPerSecond", 0).end_object();
    }
    json.end_object();
    return out;
}

void write_share(otlp::WireWriter& out, double share) {
    const size_t mark = out.begin(2);
    out.double_field(1, share);
    out.end(mark);
}

// SamplingStrategyResponse of jaeger-idl's api_v2/sampling.proto.
std::string strategy_message(const HeadAnswer& answer) {
    std::string bytes;
    otlp::WireWriter out(bytes);
    if (answer.is_rate_limited) {
        out.varint_field(1, 1);
        const size_t mark = out.begin(3);
        out.varint_field(1, static_cast<uint64_t>(answer.param));
        out.end(mark);
    } else {
        write_share(out, answer.param);
    }
    if (!answer.has_operations) return bytes;
    const size_t mark = out.begin(4);
    out.double_field(1, answer.param);
    out.double_field(2, answer.at_least_per_second);
    for (const auto& [name, share] : answer.operations) {
        const size_t one = out.begin(3);
        out.bytes_field(1, name);
        write_share(out, share);
        out.end(one);
    }
    out.end(mark);
    return bytes;
}

Result<http::Response> tell(Call& call) {
    TRY_ASSIGN(HeadSampler* const sampler, sampler_of(call));
    const auto services = call.query.all("service");
    if (services.size() != 1 || services[0].empty())
        return fail(ErrorCode::kInvalidArgument, "'service' parameter must be provided once");
    return json_reply(strategy_json(sampler->answer(services[0])));
}

Result<void> tell_grpc(Call& call, std::string_view message, GrpcStream& stream) {
    TRY_ASSIGN(HeadSampler* const sampler, sampler_of(call));
    std::string_view service;
    ProtoReader reader(message);
    while (reader.next()) {
        if (reader.field() == 1) service = reader.bytes();
    }
    if (reader.is_damaged())
        return fail(ErrorCode::kInvalidArgument,
                    "not a message of jaeger.api_v2.SamplingStrategyParameters");
    stream.send(strategy_message(sampler->answer(service)));
    return {};
}

// ------------------------------------------------------------------------------- what people see

void write_time(JsonWriter& json, std::string_view key, uint64_t ns) {
    json.key(key);
    if (ns == 0) {
        json.null();
    } else {
        json.quoted(ns);
    }
}

void write_client(JsonWriter& json, const sampling::HeadClient& client) {
    json.begin_object().field("service", client.service);
    write_time(json, "asked", client.asked_ns);
    json.field("type", sampling::head_kind_name(client.strategy.kind));
    json.field("param", client.strategy.param);
    if (client.shares) {
        json.field("share", client.shares->share).key("operations").begin_array();
        for (const auto& [name, operation] : client.shares->operations) {
            json.begin_object().field("operation", name).field("share", operation.share);
            json.field("traces_per_second", operation.traces_per_s);
            json.field("received_per_second", operation.received_per_s);
            write_time(json, "seen", operation.seen_ns);
            json.end_object();
        }
        json.end_array();
    }
    json.end_object();
}

http::Response strategies_reply(const HeadSampler& sampler, const sampling::HeadInForce& in_force) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("source", in_force.source).field("version", in_force.version);
    write_time(json, "changed", in_force.changed_ns);
    json.key("strategies").raw(sampling::print_head_strategies(in_force.value));
    json.key("services").begin_array();
    for (const sampling::HeadClient& client : sampler.clients())
        write_client(json, client);
    json.end_array().end_object();
    http::Response response = json_reply(std::move(out));
    response.headers.add("etag", "\"" + std::to_string(in_force.version) + "\"");
    return response;
}

Result<http::Response> get_strategies(Call& call) {
    TRY_ASSIGN(HeadSampler* const sampler, sampler_of(call));
    return strategies_reply(*sampler, *sampler->strategies());
}

Result<http::Response> changed_reply(const HeadSampler& sampler,
                                     Result<std::shared_ptr<const sampling::HeadInForce>> changed) {
    if (!changed && (changed.error().code == ErrorCode::kAlreadyExists ||
                     changed.error().code == ErrorCode::kNotFound))
        return version_conflict(changed.error());
    TRY(changed);
    return strategies_reply(sampler, **changed);
}

Result<http::Response> put_strategies(Call& call) {
    TRY(check_admin(call));
    TRY_ASSIGN(HeadSampler* const sampler, sampler_of(call));
    TRY_ASSIGN(const uint64_t expected, seen_version(call));
    TRY_ASSIGN(const Blob body, call.body());
    return changed_reply(*sampler, sampler->replace(body.view(), expected));
}

Result<http::Response> reset_strategies(Call& call) {
    TRY(check_admin(call));
    TRY_ASSIGN(HeadSampler* const sampler, sampler_of(call));
    TRY_ASSIGN(const uint64_t expected, seen_version(call));
    return changed_reply(*sampler, sampler->reset(expected));
}

}  // namespace

void add_head_sampling(Router& router) {
    router.add(Family::kSampling, "GET", "/api/sampling", tell).place = Place::kIoThread;
    // Jaeger's old agent answered at "/" and "/sampling", its collector of today answers anywhere.
    // On a port of its own alone: the UI has a page /sampling.
    for (const char* const path : {"/", "/{}", "/{}/{}"}) {
        Route& any = router.add(Family::kSampling, "GET", path, tell);
        any.place = Place::kIoThread;
        any.only_with_prefix = true;
    }
    router.add_grpc(kGrpcService, kGrpcMethod, tell_grpc);
    router.add(Family::kUi, "GET", "/api/head-sampling", get_strategies);
    router.add(Family::kUi, "PUT", "/api/head-sampling", put_strategies);
    router.add(Family::kUi, "DELETE", "/api/head-sampling", reset_strategies);
}

bool is_sampling_question(const http::Request& request) {
    if (request.is_grpc()) return request.path.find(kGrpcService) != std::string::npos;
    return request.path == "/api/sampling" || request.path == "/sampling";
}

}  // namespace spanloom::api

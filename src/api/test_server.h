#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/api.h"
#include "base/memory_io.h"
#include "base/text.h"
#include "base/url.h"
#include "http/grpc_frame.h"
#include "otlp/batch.h"
#include "rollup/operation_rollup.h"

// For tests: the API over segments built from OTLP/JSON, asked without sockets.
namespace spanloom::api {

// A store that holds what it is given and takes nothing.
class FixedStore final : public store::Store {
  public:
    void accept(Batch, std::function<void(Result<void>)> done) override {
        done(fail(ErrorCode::kUnsupported, "this store is read only"));
    }
    std::vector<std::shared_ptr<const store::Segment>> snapshot(std::string_view) const override {
        return segments;
    }
    std::vector<std::shared_ptr<const store::Segment>> recent(std::string_view) const override {
        return segments;
    }
    store::CountedParts counted(std::string_view) const override { return {segments, {}, {}}; }
    void watch_arrivals(store::ArrivalWatch, uint64_t) override {}
    std::vector<std::shared_ptr<const store::Segment>> snapshot_with_watch(
        std::string_view, const std::function<void()>& at_that_moment) const override {
        at_that_moment();
        return segments;
    }
    Result<void> seal() override { return {}; }
    Result<void> flush() override { return {}; }
    Result<void> settle() override { return {}; }
    void set_ageing(store::Ageing) override {}
    Result<void> keep_traces(std::string_view, const std::vector<TraceId>&,
                             const store::Keeping&) override {
        return fail(ErrorCode::kUnsupported, "this store is read only");
    }
    Result<void> release_traces(std::string_view, const std::vector<TraceId>&,
                                const store::Keeping&, const store::Keeping&) override {
        return fail(ErrorCode::kUnsupported, "this store is read only");
    }
    std::vector<store::DecisionsFile> decisions(std::string_view) const override { return {}; }
    Result<std::unique_ptr<ReadableFile>> open_decisions(
        const store::DecisionsFile&) const override {
        return fail(ErrorCode::kNotFound, "this store has no decisions");
    }
    Result<store::Deletion> erase(store::DeletionRequest) override {
        return fail(ErrorCode::kUnsupported, "this store is read only");
    }
    std::vector<store::Deletion> deletions() const override { return {}; }
    Result<store::BackupReport> backup(Io&, const std::string&) override {
        return fail(ErrorCode::kUnsupported, "this store is read only");
    }
    store::Documents& documents() override { return documents_; }
    store::StoreState state() const override {
        store::StoreState state;
        for (const auto& segment : segments)
            state.spans += segment->info().spans;
        return state;
    }

    void add(std::string_view otlp_json, uint64_t arrival_ns = 1) {
        auto bytes = otlp::json_to_protobuf(otlp_json);
        SPANLOOM_ASSERT(bytes.has_value());
        auto batch = otlp::decode(*bytes);
        SPANLOOM_ASSERT(batch.has_value());
        SPANLOOM_ASSERT(batch->spans_rejected == 0);
        batch->arrival_ns = arrival_ns;
        store::SegmentOptions segment_options;
        segment_options.rollup = make_operation_rollup();
        store::SegmentBuilder builder{segment_options};
        builder.add(*batch);
        auto image = builder.finish();
        SPANLOOM_ASSERT(image.has_value());
        auto segment = store::Segment::open(*image);
        SPANLOOM_ASSERT(segment.has_value());
        segments.push_back(*segment);
    }

    std::vector<std::shared_ptr<const store::Segment>> segments;

  private:
    MemoryIo io_;
    store::Documents documents_{io_};
};

// A wall clock that stands still, until it is moved, beside a running monotonic one, which
// deadlines in the store follow.
class FixedWallClock final : public Clock {
  public:
    uint64_t wall_ns() const override { return wall; }
    uint64_t monotonic_ns() const override { return SystemClock().monotonic_ns(); }

    uint64_t wall = 1'763'820'000'000'000'000;
};

class KeepingResponder final : public http::Responder {
  public:
    void send(http::Response response) override {
        ++sent;
        last = std::move(response);
    }
    void begin(http::Response response) override { last = std::move(response); }
    bool write(std::string part) override {
        last.body += part;
        return true;
    }
    void finish(http::Headers given) override {
        ++sent;
        trailers = std::move(given);
    }

    int sent = 0;
    http::Response last;
    http::Headers trailers;
};

// Keeps work until it is told to run it.
class WaitingExecutor final : public Executor {
  public:
    void post(std::function<void()> work) override { waiting.push_back(std::move(work)); }
    std::vector<std::function<void()>> waiting;
};

struct Reply {
    int status = 0;
    std::string body;
    http::Headers headers;

    bool has(std::string_view part) const { return body.find(part) != std::string::npos; }
};

class TestServer {
  public:
    using Fields = std::vector<std::pair<std::string, std::string>>;

    explicit TestServer(std::vector<std::string_view> traces, Face face = Face::kAll) {
        for (const std::string_view trace : traces)
            store.add(trace);
        ApiOptions options{
            .store = store, .queries = inline_executor, .metrics = metrics, .clock = clock};
        options.boot = {"1.2.3", "127.0.0.1:4317", "127.0.0.1:4318"};
        options.face = face;
        handler = make_api(std::move(options));
    }

    Reply get(std::string target, Fields fields = {}) {
        return ask("GET", std::move(target), std::move(fields), "");
    }
    Reply post(std::string target, std::string_view body, Fields fields = {}) {
        return ask("POST", std::move(target), std::move(fields), body);
    }

    Reply ask(std::string method, std::string target, Fields fields, std::string_view body) {
        const size_t mark = target.find('?');
        http::Request request;
        request.method = std::move(method);
        request.path = target.substr(0, mark);
        if (mark != std::string::npos) request.raw_query = target.substr(mark + 1);
        for (auto& [name, value] : fields)
            request.headers.add(name, value);
        request.body = Blob::copy_of(body);
        request.peer = "127.0.0.1:50000";
        auto responder = std::make_shared<KeepingResponder>();
        handler(std::move(request), responder);
        SPANLOOM_ASSERT(responder->sent == 1);
        Reply reply;
        reply.status = responder->last.status;
        reply.body = responder->last.shared_body.empty()
                         ? responder->last.body
                         : std::string(responder->last.shared_body.view());
        reply.headers = responder->last.headers;
        return reply;
    }

    struct GrpcReply {
        std::string status;
        std::string text;
        std::vector<std::string> messages;
    };
    // A gRPC call: "tempopb.StreamingQuerier/Search".
    GrpcReply call(std::string method, std::string_view message, Fields fields = {}) {
        http::Request request;
        request.method = "POST";
        request.path = "/" + std::move(method);
        request.headers.add("content-type", "application/grpc");
        for (auto& [name, value] : fields)
            request.headers.add(name, value);
        request.body = Blob::copy_of(http::grpc_frame(message));
        request.peer = "127.0.0.1:50000";
        request.is_http2 = true;
        auto responder = std::make_shared<KeepingResponder>();
        handler(std::move(request), responder);
        SPANLOOM_ASSERT(responder->sent == 1);
        GrpcReply reply;
        const http::Headers& end =
            responder->trailers.has("grpc-status") ? responder->trailers : responder->last.headers;
        reply.status = end.get("grpc-status");
        reply.text = end.get("grpc-message");
        std::string_view left = responder->last.body;
        while (left.size() >= 5) {
            size_t size = 0;
            for (size_t i = 1; i < 5; ++i)
                size = size << 8 | static_cast<uint8_t>(left[i]);
            reply.messages.emplace_back(left.substr(5, size));
            left.remove_prefix(5 + size);
        }
        return reply;
    }

    FixedStore store;
    InlineExecutor inline_executor;
    MetricsRegistry metrics;
    FixedWallClock clock;
    http::Handler handler;
};

// One trace of two services with a value of every kind; id 0...0abc.
inline constexpr std::string_view kShopTrace = R"({"resourceSpans":[
 {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"front"}},
                            {"key":"host.name","value":{"stringValue":"web-1"}}]},
                              "schemaUrl":"https://s/1",
  "scopeSpans":[{"scope":{"name":"lib","version":"1.0"},"spans":[
   {"traceId":"00000000000000000000000000000abc","spanId":"0000000000000001","name":"GET /",
     "kind":2,
    "startTimeUnixNano":"1763819000000000000","endTimeUnixNano":"1763819002000000000",
      "traceState":"a=b","flags":257,
    "status":{"code":2,"message":"broke"},
    "attributes":[{"key":"text","value":{"stringValue":"x\"y"}},{"key":"yes",
      "value":{"boolValue":true}},
      {"key":"count","value":{"intValue":"500"}},{"key":"huge",
        "value":{"intValue":"9223372036854775807"}},
      {"key":"ratio","value":{"doubleValue":0.5}},{"key":"raw","value":{"bytesValue":"AQID"}},
      {"key":"list","value":{"arrayValue":{"values":[{"intValue":"1"},{"stringValue":"b"}]}}},
      {"key":"map","value":{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":false}}]}}},
      {"key":"user.id","value":{"stringValue":"4815"}}],
    "events":[{"timeUnixNano":"1763819001000000000","name":"boom","attributes":[{"key":"why",
      "value":{"stringValue":"because"}}]}],
    "links":[{"traceId":"0000000000000000000000000000dead","spanId":"00000000000000aa"}]}]}]},
 {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"db"}}]},
  "scopeSpans":[{"scope":{"name":"sql"},"spans":[
   {"traceId":"00000000000000000000000000000abc","spanId":"0000000000000002",
     "parentSpanId":"0000000000000001","name":"SELECT","kind":3,
    "startTimeUnixNano":"1763819000500000000","endTimeUnixNano":"1763819000700000000",
    "attributes":[{"key":"rows","value":{"intValue":"3"}}]}]}]}]})";

// A later trace of one span; id 0...0def.
inline constexpr std::string_view kLaterTrace = R"({"resourceSpans":[
 {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"front"}}]},
  "scopeSpans":[{"spans":[
   {"traceId":"00000000000000000000000000000def","spanId":"0000000000000009","name":"GET /later",
     "kind":2,
    "startTimeUnixNano":"1763819500000000000","endTimeUnixNano":"1763819500001000000"}]}]}]})";

}  // namespace spanloom::api

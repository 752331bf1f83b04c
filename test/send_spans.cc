// Sends spans through the SDK, for the tests of real receivers: at a pace, each trace with ids that
// the test can work out, and ends with one line of JSON that says what became of them.
//
//   send_spans PROTOCOL ENDPOINT SPANS SPANS_PER_SECOND [gzip] [CA_FILE CERTIFICATE_FILE KEY_FILE]
//
// PROTOCOL: grpc, http/protobuf, http/json.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "spanloom/otlp_exporter.h"
#include "spanloom/processor.h"
#include "spanloom/tracer_provider.h"

using namespace spanloom;

namespace {

constexpr uint64_t kSpansPerTrace = 100;

// Trace n has the id "spanloom" + n, big-endian.
class CountedIds final : public IdGenerator {
  public:
    TraceId make_trace_id() noexcept override {
        TraceId id;
        std::memcpy(id.bytes.data(), "spanloom", 8);
        put(id.bytes.data() + 8, trace_++);
        return id;
    }
    SpanId make_span_id() noexcept override {
        SpanId id;
        put(id.bytes.data(), ++span_);
        return id;
    }

  private:
    static void put(uint8_t* to, uint64_t number) {
        for (int i = 0; i < 8; ++i)
            to[i] = static_cast<uint8_t>(number >> (56 - 8 * i));
    }
    std::atomic<uint64_t> trace_ = 0;
    std::atomic<uint64_t> span_ = 0;
};

OtlpOptions options_of(int count, char** values) {
    OtlpOptions options;
    const std::string protocol = values[1];
    options.protocol = protocol == "grpc"        ? OtlpProtocol::kGrpc
                       : protocol == "http/json" ? OtlpProtocol::kHttpJson
                                                 : OtlpProtocol::kHttpProtobuf;
    options.endpoint = values[2];
    options.headers = {{"x-test", "send_spans"}};
    int at = 5;
    if (count > at && std::string(values[at]) == "gzip") {
        options.compression = OtlpCompression::kGzip;
        ++at;
    }
    if (count > at) options.certificate_file = values[at];
    if (count > at + 2) {
        options.client_certificate_file = values[at + 1];
        options.client_key_file = values[at + 2];
    }
    return options;
}

void send(const Tracer& tracer, uint64_t spans, uint64_t per_second) {
    using namespace std::chrono;
    const auto started = steady_clock::now();
    for (uint64_t sent = 0; sent < spans;) {
        SpanOptions root;
        root.kind = SpanKind::kServer;
        root.parent = Context::root();
        const Span parent = tracer.start_span("GET /items/{id}", root);
        ++sent;
        SpanOptions below;
        below.parent = Context::root().with_span(parent);
        for (uint64_t i = 1; i < kSpansPerTrace && sent < spans; ++i, ++sent) {
            tracer.start_span("query", below)
                .set_attribute("db.namespace", "shop")
                .set_attribute("n", i);
        }
        std::this_thread::sleep_until(started + nanoseconds(sent * 1'000'000'000 / per_second));
    }
}

}  // namespace

int main(int count, char** values) {
    if (count < 5) {
        std::fprintf(stderr,
                     "usage: send_spans PROTOCOL ENDPOINT SPANS SPANS_PER_SECOND [gzip] "
                     "[CA_FILE CERTIFICATE_FILE KEY_FILE]\n");
        return 2;
    }
    std::string problem;
    BatchOptions batch;
    batch.schedule_delay = Duration::from_ms(100);
    ProviderOptions options;
    options.resource = Resource({{"service.name", "send-spans"}});
    options.id_generator = std::make_shared<CountedIds>();
    options.processors = {
        make_batch_processor(make_otlp_exporter(options_of(count, values), &problem), batch)};
    if (!problem.empty()) {
        std::fprintf(stderr, "send_spans: %s\n", problem.c_str());
        return 1;
    }
    TracerProvider provider = TracerProvider::create(std::move(options));
    send(provider.get_tracer("send_spans", "1"), std::strtoull(values[3], nullptr, 10),
         std::strtoull(values[4], nullptr, 10));
    const bool is_flushed = provider.shutdown(Duration::from_ms(20'000));
    const ProviderStats stats = provider.stats();
    const ProcessorStats& sent = stats.processors;
    std::printf(
        "{\"ended\":%llu,\"exported\":%llu,\"rejected\":%llu,\"failed\":%llu,"
        "\"dropped\":%llu,\"flushed\":%s}\n",
        static_cast<unsigned long long>(stats.ended),
        static_cast<unsigned long long>(sent.exported),
        static_cast<unsigned long long>(sent.rejected),
        static_cast<unsigned long long>(sent.failed),
        static_cast<unsigned long long>(sent.dropped_queue_full + sent.dropped_after_shutdown +
                                        sent.dropped_at_shutdown + sent.dropped_too_big),
        is_flushed ? "true" : "false");
    return 0;
}

// Samples root spans with the SDK's Jaeger remote sampler, for the tests of the server's
// strategies.
//
//   sample_remotely SAMPLING_URL SERVICE N OPERATION...     N spans of each; {"OPERATION": sampled}
//
// The operation "ready" must have a probability of 1: it tells that a strategy is in force.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "spanloom/samplers.h"
#include "spanloom/tracer_provider.h"

using namespace spanloom;

namespace {

bool is_sampled(const Tracer& tracer, const char* name) {
    SpanOptions options;
    options.kind = SpanKind::kServer;
    options.parent = Context::root();
    return tracer.start_span(name, options).context().is_sampled();
}

bool wait_for_strategy(const Tracer& tracer) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!is_sampled(tracer, "ready")) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}

}  // namespace

int main(int count, char** values) {
    if (count < 5) {
        std::fprintf(stderr, "usage: sample_remotely SAMPLING_URL SERVICE N OPERATION...\n");
        return 2;
    }
    RemoteSamplerOptions sampling;
    sampling.endpoint = values[1];
    sampling.service = values[2];
    sampling.polling_interval = Duration::from_ms(200);
    sampling.initial = make_probability_sampler(0);
    ProviderOptions options;
    options.sampler = make_jaeger_remote_sampler(std::move(sampling));
    TracerProvider provider = TracerProvider::create(std::move(options));
    const Tracer tracer = provider.get_tracer("sample_remotely", "1");
    if (!wait_for_strategy(tracer)) {
        std::fprintf(stderr, "sample_remotely: no strategy came within 20 s\n");
        return 1;
    }
    const int spans = std::atoi(values[3]);
    for (int i = 4; i < count; ++i) {
        int sampled = 0;
        for (int n = 0; n < spans; ++n)
            sampled += is_sampled(tracer, values[i]) ? 1 : 0;
        std::printf("%s\"%s\": %d", i == 4 ? "{" : ", ", values[i], sampled);
    }
    std::printf("}\n");
    return 0;
}

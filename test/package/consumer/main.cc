// What a user writes, in C++17: spans to the file that is named, and an OTLP exporter that is made.
#include <cstdio>
#include <memory>

#include <spanloom/otlp_exporter.h>
#include <spanloom/processor.h>
#include <spanloom/tracer_provider.h>

static_assert(__cplusplus == 201703L, "the SDK asks no more of its users than C++17");

int main(int count, char** values) {
    if (count != 2) return 2;
    spanloom::OtlpOptions otlp;
    otlp.protocol = spanloom::OtlpProtocol::kGrpc;
    otlp.endpoint = "https://collector.example:4317";
    std::string problem;
    const auto remote = spanloom::make_otlp_exporter(otlp, &problem);
    if (remote == nullptr || !problem.empty()) {
        std::printf("%s\n", problem.c_str());
        return 1;
    }
    spanloom::ProviderOptions options;
    options.resource.set("service.name", "consumer");
    options.processors = {
        spanloom::make_batch_processor(spanloom::make_otlp_file_exporter(values[1], &problem))};
    auto provider = spanloom::TracerProvider::create(std::move(options));
    spanloom::TracerProvider::set_global(provider);
    {
        const auto tracer = spanloom::get_tracer("consumer", "1.0");
        const auto span = tracer.start_active("parent", spanloom::SpanKind::kServer);
        tracer.start_span("child", {{"answer", 42}}).end();
    }
    return provider.shutdown(spanloom::Duration::from_ms(5'000)) ? 0 : 1;
}

#pragma once

#include <memory>

#include <spanloom/in_memory_exporter.h>
#include <spanloom/processor.h>
#include <spanloom/tracer_provider.h>

// Runs the work with a tracer; 0 where it made as many spans as it should.
template <typename Work>
int traced(size_t spans, Work work) {
    auto exporter = std::make_shared<spanloom::InMemoryExporter>();
    spanloom::ProviderOptions options;
    options.processors = {spanloom::make_simple_processor(exporter)};
    auto provider = spanloom::TracerProvider::create(std::move(options));
    work(provider.get_tracer("components"));
    return exporter->spans().size() == spans ? 0 : 1;
}

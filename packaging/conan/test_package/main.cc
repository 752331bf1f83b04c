// One span into memory, and one look at it.
#include <memory>

#include <spanloom/in_memory_exporter.h>
#include <spanloom/processor.h>
#include <spanloom/tracer_provider.h>

int main() {
    const auto spans = std::make_shared<spanloom::InMemoryExporter>();
    spanloom::ProviderOptions options;
    options.processors = {spanloom::make_simple_processor(spans)};
    auto provider = spanloom::TracerProvider::create(std::move(options));
    {
        const auto span = provider.get_tracer("test").start_span("packaged");
    }
    return spans->spans().size() == 1 ? 0 : 1;
}

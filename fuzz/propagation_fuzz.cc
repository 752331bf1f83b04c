#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sdk/substitution.h"
#include "sdk/yaml.h"
#include "spanloom/carriers.h"
#include "spanloom/propagators.h"

using namespace spanloom;

namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

Headers inject(const TextMapPropagator& propagator, const Context& context) {
    Headers headers;
    HeaderList carrier(headers);
    propagator.inject(context, carrier);
    return headers;
}

}  // namespace

// Headers from anywhere ("name: value" lines): what is extracted can be injected, and extracting
// that gives the same context. The same bytes as a configuration file: a document or an error.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (auto document = sdk::parse_yaml(text)) {
        (void)sdk::substitute_variables(
            *document, [](std::string_view) { return std::optional<std::string>("${X}"); });
    }
    Headers headers;
    std::string_view rest = text;
    while (!rest.empty()) {
        const size_t end = rest.find('\n');
        const std::string_view line = rest.substr(0, end);
        rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
        const size_t colon = line.find(": ");
        if (colon != std::string_view::npos)
            headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
    }
    static const std::shared_ptr<const TextMapPropagator> kPropagators[] = {
        make_trace_context_propagator(), make_baggage_propagator(), make_b3_propagator(),
        make_b3_propagator(B3Format::kMultipleHeaders), make_jaeger_propagator()};
    for (const auto& propagator : kPropagators) {
        const Context context = propagator->extract(Context::root(), HeaderList(headers));
        Headers once = inject(*propagator, context);
        const Context again = propagator->extract(Context::root(), HeaderList(once));
        if (!(again.span_context() == context.span_context())) std::abort();
        if (inject(*propagator, again) != once) std::abort();
    }
    return 0;
}

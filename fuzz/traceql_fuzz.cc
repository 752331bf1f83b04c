#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "traceql/checker.h"
#include "traceql/highlight.h"
#include "traceql/planner.h"
#include "traceql/printer.h"

// Any text must give a query or an error; a query printed and parsed again must print the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    size_t end = 0;
    for (const auto& part : spanloom::traceql::highlight(text)) {
        if (part.from < end || part.to <= part.from || part.to > text.size()) std::abort();
        end = part.to;
    }
    const auto query = spanloom::traceql::parse(text);
    if (!query) {
        (void)query.error().with_caret(text);
        return 0;
    }
    (void)spanloom::traceql::make_plan(*query);
    const std::string printed = spanloom::traceql::print(*query);
    const auto again = spanloom::traceql::parse(printed);
    if (!again || spanloom::traceql::print(*again) != printed) std::abort();
    return 0;
}

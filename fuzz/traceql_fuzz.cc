#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "otlp/json.h"
#include "traceql/checker.h"
#include "traceql/evaluator.h"
#include "traceql/executor.h"
#include "traceql/highlight.h"
#include "traceql/planner.h"
#include "traceql/printer.h"

namespace {

// Three spans, one of them without its parent: every kind of value, an event and a link.
constexpr std::string_view kTrace = R"({"resourceSpans":[{"resource":{"attributes":[
{"key":"service.name","value":{"stringValue":"a"}}]},"scopeSpans":[{"spans":[
{"traceId":"00000000000000000000000000000001","spanId":"0000000000000001","name":"r","kind":2,
"startTimeUnixNano":"1000","endTimeUnixNano":"3000","attributes":[
{"key":"n","value":{"intValue":"1"}},{"key":"s","value":{"stringValue":"x"}},
{"key":"l","value":{"arrayValue":{"values":[{"intValue":"1"},{"stringValue":"x"}]}}}],
"events":[{"timeUnixNano":"1500","name":"e",
"attributes":[{"key":"n","value":{"doubleValue":1.5}}]}]},
{"traceId":"00000000000000000000000000000001","spanId":"0000000000000002",
"parentSpanId":"0000000000000001","name":"c","startTimeUnixNano":"1100","endTimeUnixNano":"1200",
"status":{"code":2},"links":[{"traceId":"00000000000000000000000000000002",
"spanId":"0000000000000009"}]},
{"traceId":"00000000000000000000000000000001","spanId":"0000000000000003",
"parentSpanId":"00000000000000ff","name":"o","startTimeUnixNano":"1150","endTimeUnixNano":"1150"}
]}]}]})";

spanloom::traceql::Trace read_trace() {
    spanloom::store::StoredTrace stored;
    stored.traces_data = *spanloom::otlp::json_to_protobuf(kTrace);
    return *spanloom::traceql::Trace::read(stored);
}

// Whatever it leaves, it must be rows of the trace, each once.
void evaluate(const spanloom::traceql::Query& query) {
    static const spanloom::traceql::Trace trace = read_trace();
    const auto rows = spanloom::traceql::Evaluator(query).matches(trace);
    for (size_t i = 0; i < rows.size(); ++i) {
        if (rows[i] >= trace.spans.size() || (i > 0 && rows[i] <= rows[i - 1])) std::abort();
    }
}

}  // namespace

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
    for (const auto& condition : spanloom::traceql::make_plan(*query).conditions)
        (void)spanloom::traceql::predicate_text(condition.predicate);
    if (!spanloom::traceql::is_metrics(*query)) evaluate(*query);
    const std::string printed = spanloom::traceql::print(*query);
    const auto again = spanloom::traceql::parse(printed);
    if (!again || spanloom::traceql::print(*again) != printed) std::abort();
    return 0;
}

// What is asked about one trace beside its spans: where a text stands in it, and how long its
// operations usually take.
#include <algorithm>
#include <array>
#include <set>
#include <unordered_set>

#include "api/ui.h"
#include "base/hash.h"
#include "base/text.h"
#include "otlp/json.h"
#include "traceql/names.h"

namespace spanloom::api {
namespace {

constexpr uint64_t kDayNs = 86'400'000'000'000;
constexpr size_t kTextBytesMax = 1000;

// ------------------------------------------------------------------------------- find

// Finds a text whatever the case of its ASCII letters.
class TextFinder {
  public:
    explicit TextFinder(std::string_view text) {
        for (const char c : text)
            needle_ += lower(c);
    }

    bool is_in(std::string_view text) const {
        return std::search(text.begin(), text.end(), needle_.begin(), needle_.end(),
                           [](char a, char b) { return lower(a) == b; }) != text.end();
    }

    template <typename Attributes>
    bool is_in_attributes(const Attributes& attributes) const {
        for (const otlp::AttributeView& attribute : attributes) {
            if (is_in(attribute.key) || is_in_value(attribute.value)) return true;
        }
        return false;
    }

    bool is_in_span(const otlp::SpanView& span) const {
        if (is_in(span.name) || is_in(span.status_message) || is_in(span.span_id.hex()))
            return true;
        if (is_in_attributes(span.attributes())) return true;
        for (const otlp::EventView& event : span.events()) {
            if (is_in(event.name) || is_in_attributes(event.attributes())) return true;
        }
        return false;
    }

  private:
    static char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

    // As the page shows it: numbers in decimal, lists and maps as JSON.
    bool is_in_value(const otlp::ValueView& value) const {
        switch (value.type) {
            case otlp::ValueType::kString:
                return is_in(value.bytes);
            case otlp::ValueType::kInt: {
                std::array<char, 24> digits{};
                const auto end = fmt::format_to(digits.data(), "{}", value.integer);
                return is_in({digits.data(), static_cast<size_t>(end - digits.data())});
            }
            case otlp::ValueType::kEmpty:
            case otlp::ValueType::kBytes:
                return false;
            default: {
                std::string text;
                JsonWriter json(text);
                otlp::append_value_json(json, value, otlp::ValueForm::kPlain);
                return is_in(text);
            }
        }
    }

    std::string needle_;
};

// Rows whose span, events, resource or scope hold the text: pairs of first row and row after last.
Result<http::Response> find(Call& call) {
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    const std::string_view text = call.query.get("q");
    if (text.empty() || text.size() > kTextBytesMax)
        return fail(ErrorCode::kInvalidArgument,
                    "parameter q must be a text of 1 to {} bytes to find", kTextBytesMax);
    TRY_ASSIGN(const auto cached, read_trace(call, id));
    const traceql::Trace& trace = cached->trace;
    const TextFinder finder(text);
    std::vector<bool> in_resource;
    for (const otlp::ResourceView& resource : trace.resources)
        in_resource.push_back(finder.is_in_attributes(resource.attributes()));
    std::vector<bool> in_scope;
    for (const otlp::ScopeView& scope : trace.scopes)
        in_scope.push_back(finder.is_in(scope.name) || finder.is_in_attributes(scope.attributes()));
    std::string out;
    JsonWriter json(out);
    size_t found = 0;
    json.begin_object().key("rows").begin_array();
    for (size_t place = 0, first = 0; place <= trace.preorder.size(); ++place) {
        bool holds = false;
        if (place < trace.preorder.size()) {
            const uint32_t row = trace.preorder[place];
            holds = in_resource[trace.resource_of[row]] || in_scope[trace.scope_of[row]] ||
                    finder.is_in_span(trace.spans[row]);
        }
        if (holds) {
            ++found;
            continue;
        }
        if (place > first) json.number(first).number(place);
        first = place + 1;
    }
    json.end_array().field("found", found).end_object();
    return json_reply(std::move(out));
}

// --------------------------------------------------------------------------- baseline

// Count, errors and durations of every operation of the trace in the day that ends with it: what
// is usual for a span beside what this one took.
Result<http::Response> baseline(Call& call) {
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    TRY_ASSIGN(const auto cached, read_trace(call, id));
    const traceql::Trace& trace = cached->trace;
    const uint64_t day_before = trace.start_ns - std::min(trace.start_ns, kDayNs);
    TRY_ASSIGN(const uint64_t from, number_parameter(call.query, "from", day_before, 0, INT64_MAX));
    TRY_ASSIGN(const uint64_t to,
               number_parameter(call.query, "to", std::max(trace.end_ns, from + 1), 0, INT64_MAX));
    if (from >= to) return fail(ErrorCode::kInvalidArgument, "from must be before to");
    std::set<std::string_view> services;
    std::set<std::tuple<std::string_view, std::string_view, otlp::SpanKind>> wanted;
    std::unordered_set<uint64_t> seen;  // of most spans there is nothing new to say
    for (size_t row = 0; row < trace.spans.size(); ++row) {
        const uint64_t origin =
            uint64_t{trace.resource_of[row]} << 8 | static_cast<uint64_t>(trace.spans[row].kind);
        if (!seen.insert(hash64(trace.spans[row].name, origin)).second) continue;
        services.insert(trace.service_of(row));
        wanted.emplace(trace.service_of(row), trace.spans[row].name, trace.spans[row].kind);
    }
    OperationRollup rollup({from, to}, to - from);
    rollup.add(call.counted(), call.context.rollups);
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("from").quoted(rollup.first_step_ns());
    json.key("to").quoted(to).key("operations").begin_array();
    for (const std::string_view service : services) {
        for (const OperationSeries& operation : rollup.operations(service)) {
            if (!wanted.contains({service, operation.name, operation.kind})) continue;
            const OperationCounts& total = operation.total;
            json.begin_object().field("service", service).field("name", operation.name);
            json.field("kind", traceql::kind_keyword(operation.kind)).field("count", total.spans);
            json.field("errors", total.errors).field("p50_ns", total.p50_ns);
            json.field("p95_ns", total.p95_ns).end_object();
        }
    }
    json.end_array().field("partial", !rollup.reason().empty()).field("reason", rollup.reason());
    json.end_object();
    return json_reply(std::move(out));
}

}  // namespace

void add_ui_trace_questions(Router& router) {
    router.add(Family::kUi, "GET", "/api/ui/v1/trace/{}/find", find);
    router.add(Family::kUi, "GET", "/api/ui/v1/trace/{}/baseline", baseline);
}

}  // namespace spanloom::api

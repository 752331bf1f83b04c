#include "api/trace_diff.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/json_writer.h"
#include "traceql/trace.h"

namespace spanloom::api {
namespace {

struct Totals {
    uint64_t spans = 0;
    uint64_t errors = 0;
    uint64_t duration_ns = 0;
};

struct Row {
    std::string_view service;
    std::string_view name;
    Totals base;
    Totals compare;

    uint64_t difference_ns() const {
        return base.duration_ns > compare.duration_ns ? base.duration_ns - compare.duration_ns
                                                      : compare.duration_ns - base.duration_ns;
    }
    std::string_view change() const {
        if (base.spans == 0) return "added";
        if (compare.spans == 0) return "removed";
        const bool is_same = base.spans == compare.spans && base.errors == compare.errors &&
                             base.duration_ns == compare.duration_ns;
        return is_same ? "same" : "changed";
    }
};

using Rows = std::map<std::pair<std::string_view, std::string_view>, Row>;

void add(const traceql::Trace& trace, Totals Row::* side, Rows& rows) {
    for (size_t i = 0; i < trace.spans.size(); ++i) {
        const otlp::SpanView& span = trace.spans[i];
        Row& row = rows[{trace.service_of(i), span.name}];
        row.service = trace.service_of(i);
        row.name = span.name;
        Totals& totals = row.*side;
        ++totals.spans;
        totals.errors += span.status == otlp::StatusCode::kError ? 1 : 0;
        totals.duration_ns += span.duration_ns();
    }
}

void write_totals(JsonWriter& json, std::string_view name, const Totals& totals) {
    json.key(name).begin_object().field("spanCount", totals.spans);
    json.field("errorCount", totals.errors);
    json.key("durationNanos").quoted(totals.duration_ns).end_object();
}

void write_side(JsonWriter& json, std::string_view name, const traceql::Trace& trace) {
    uint64_t errors = 0;
    for (const otlp::SpanView& span : trace.spans)
        errors += span.status == otlp::StatusCode::kError ? 1 : 0;
    json.key(name).begin_object();
    json.field("traceId", trace.spans.empty() ? std::string() : trace.spans[0].trace_id.hex());
    json.field("spanCount", trace.spans.size()).field("errorCount", errors);
    json.key("startTimeUnixNano").quoted(trace.start_ns);
    json.key("durationNanos").quoted(trace.end_ns - std::min(trace.end_ns, trace.start_ns));
    json.end_object();
}

void write_diff(JsonWriter& json, const traceql::Trace& base, const traceql::Trace& compare) {
    Rows rows;
    add(base, &Row::base, rows);
    add(compare, &Row::compare, rows);
    std::vector<const Row*> sorted;
    for (const auto& [key, row] : rows)
        sorted.push_back(&row);
    std::stable_sort(sorted.begin(), sorted.end(), [](const Row* a, const Row* b) {
        return a->difference_ns() > b->difference_ns();
    });
    json.begin_object();
    write_side(json, "base", base);
    write_side(json, "compare", compare);
    json.key("operations").begin_array();
    for (const Row* row : sorted) {
        json.begin_object().field("service", row->service).field("name", row->name);
        json.field("change", row->change());
        write_totals(json, "base", row->base);
        write_totals(json, "compare", row->compare);
        json.end_object();
    }
    json.end_array().end_object();
}

}  // namespace

Result<std::string> trace_diff(const Call& call, std::string_view base_id,
                               std::string_view compare_id) {
    TRY_ASSIGN(const TraceId base, parse_trace_id(base_id));
    TRY_ASSIGN(const TraceId compare, parse_trace_id(compare_id));
    TRY_ASSIGN(const auto left, read_trace(call, base));
    TRY_ASSIGN(const auto right, read_trace(call, compare));
    std::string out;
    JsonWriter json(out);
    write_diff(json, left->trace, right->trace);
    return out;
}

}  // namespace spanloom::api

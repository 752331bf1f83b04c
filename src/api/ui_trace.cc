#include <algorithm>
#include <array>

#include "api/jaeger_trace.h"
#include "api/skeleton.h"
#include "api/ui.h"
#include "base/hash.h"
#include "base/text.h"
#include "otlp/json.h"
#include "traceql/names.h"

namespace spanloom::api {
namespace {

// Longer values are cut: a page shows the beginning, and asks for all of one row when wanted.
constexpr size_t kValueBytesMax = 4096;
// Rows in one question; the page asks for what it shows.
constexpr size_t kRowsMax = 2000;

// Cuts at a character's boundary.
std::string_view cut_text(std::string_view text, size_t bytes_max) {
    if (text.size() <= bytes_max) return text;
    size_t end = bytes_max;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
        --end;
    return text.substr(0, end);
}

class RowWriter {
  public:
    RowWriter(JsonWriter& json, const traceql::Trace& trace, size_t value_bytes_max)
        : json_(json), trace_(trace), value_bytes_max_(value_bytes_max) {}

    void write(uint32_t place) {
        const uint32_t row = trace_.preorder[place];
        const otlp::SpanView& span = trace_.spans[row];
        json_.begin_object().field("row", place).field("span_id", span.span_id.hex());
        json_.field("parent_span_id",
                    span.parent_span_id.is_zero() ? std::string() : span.parent_span_id.hex());
        json_.field("name", span.name).field("kind", traceql::kind_keyword(span.kind));
        json_.field("service", trace_.service_of(row));
        json_.key("start_ns").quoted(span.start_ns).key("end_ns").quoted(span.end_ns);
        if (!trace_.late_ns.empty() && trace_.late_ns[row] > 0)
            json_.key("late_ns").quoted(trace_.late_ns[row]);
        json_.key("status").begin_object().field("code", traceql::status_keyword(span.status));
        json_.field("message", cut_text(span.status_message, value_bytes_max_)).end_object();
        json_.field("trace_state", span.trace_state).field("flags", span.flags);
        attributes(span.attributes());
        events(span);
        links(span);
        origin(row);
        json_.key("dropped").begin_object().field("attributes", span.dropped_attributes);
        json_.field("events", span.dropped_events).field("links", span.dropped_links);
        json_.end_object().end_object();
    }

  private:
    void events(const otlp::SpanView& span) {
        json_.key("events").begin_array();
        for (const otlp::EventView& event : span.events()) {
            json_.begin_object().field("name", event.name).key("time_ns").quoted(event.time_ns);
            attributes(event.attributes());
            json_.end_object();
        }
        json_.end_array();
    }

    void links(const otlp::SpanView& span) {
        json_.key("links").begin_array();
        for (const otlp::LinkView& link : span.links()) {
            json_.begin_object().field("trace_id", link.trace_id.hex());
            json_.field("span_id", link.span_id.hex()).field("trace_state", link.trace_state);
            attributes(link.attributes());
            json_.end_object();
        }
        json_.end_array();
    }

    void origin(uint32_t row) {
        const ScopeRef& scope_ref = trace_.batch.scopes[trace_.scope_of[row]];
        const ResourceRef& resource_ref = trace_.batch.resources[trace_.resource_of[row]];
        json_.key("resource").begin_object();
        attributes(trace_.resources[trace_.resource_of[row]].attributes());
        json_.field("schema_url", trace_.batch.at(resource_ref.schema_url)).end_object();
        const otlp::ScopeView& scope = trace_.scopes[trace_.scope_of[row]];
        json_.key("scope").begin_object().field("name", scope.name).field("version", scope.version);
        attributes(scope.attributes());
        json_.field("schema_url", trace_.batch.at(scope_ref.schema_url)).end_object();
    }

    template <typename Attributes>
    void attributes(const Attributes& list) {
        json_.key("attributes").begin_array();
        for (const otlp::AttributeView& attribute : list) {
            json_.begin_object().field("key", attribute.key);
            value(attribute.value);
            json_.end_object();
        }
        json_.end_array();
    }

    void value(const otlp::ValueView& view) {
        constexpr std::array<std::string_view, 8> kTypes = {"string", "string", "bool",   "int",
                                                            "double", "array",  "kvlist", "bytes"};
        json_.field("type", kTypes[static_cast<size_t>(view.type)]).key("value");
        switch (view.type) {
            case otlp::ValueType::kString:
                return text(view.bytes);
            case otlp::ValueType::kBytes: {
                std::string encoded;
                append_base64(encoded, view.bytes);
                return text(encoded);
            }
            case otlp::ValueType::kArray:
            case otlp::ValueType::kKvlist: {
                std::string inner;
                JsonWriter writer(inner);
                otlp::append_value_json(writer, view, otlp::ValueForm::kPlain);
                if (inner.size() > value_bytes_max_) return text(inner);
                json_.raw(inner).field("cut", false);
                return;
            }
            case otlp::ValueType::kInt: {
                // JavaScript's numbers hold 53 bits; larger ones are text.
                constexpr int64_t kExact = (int64_t{1} << 53) - 1;
                if (view.integer > kExact || view.integer < -kExact) {
                    json_.quoted(view.integer);
                } else {
                    json_.number(view.integer);
                }
                break;
            }
            case otlp::ValueType::kBool:
                json_.boolean(view.boolean);
                break;
            case otlp::ValueType::kDouble:
                json_.number(view.number);
                break;
            case otlp::ValueType::kEmpty:
                json_.null();
                break;
        }
        json_.field("cut", false);
    }

    void text(std::string_view whole) {
        const std::string_view shown = cut_text(whole, value_bytes_max_);
        json_.string(shown).field("cut", shown.size() < whole.size());
    }

    JsonWriter& json_;
    const traceql::Trace& trace_;
    const size_t value_bytes_max_;
};

// "3-5,9": rows from 0, ends included.
Result<std::vector<uint32_t>> parse_rows(std::string_view text, size_t count) {
    std::vector<uint32_t> rows;
    const auto malformed = [&] {
        return fail(ErrorCode::kInvalidArgument,
                    "malformed parameter rows: write it like 0-20,35; this trace has {} rows",
                    count);
    };
    while (!text.empty()) {
        const size_t comma = std::min(text.find(','), text.size());
        const std::string_view part = text.substr(0, comma);
        text.remove_prefix(std::min(comma + 1, text.size()));
        const size_t dash = part.find('-');
        const auto first = parse_int(part.substr(0, dash));
        const auto last = dash == std::string_view::npos ? first : parse_int(part.substr(dash + 1));
        if (!first || !last || *first < 0 || *last < *first) return malformed();
        if (static_cast<uint64_t>(*first) >= count) continue;
        const auto end = std::min<uint64_t>(static_cast<uint64_t>(*last), count - 1);
        for (auto row = static_cast<uint64_t>(*first); row <= end; ++row) {
            if (rows.size() >= kRowsMax)
                return fail(ErrorCode::kInvalidArgument, "more than {} rows in one question",
                            kRowsMax);
            rows.push_back(static_cast<uint32_t>(row));
        }
    }
    return rows;
}

// A client that has this answer already gets none. `variant`: what else the answer depends on.
bool add_etag(const Call& call, const CachedTrace& cached, std::string_view variant,
              http::Response& response) {
    const auto& late = cached.trace.late_ns;
    const std::string_view late_bytes(reinterpret_cast<const char*>(late.data()),
                                      late.size() * sizeof late[0]);
    const uint64_t hash =
        hash64(variant, hash64(late_bytes, hash64(cached.trace.batch.bytes.view())));
    const std::string tag = fmt::format("W/\"{:016x}\"", hash);
    response.headers.add("etag", tag);
    response.headers.add("cache-control", "no-cache");
    if (call.request.headers.get("if-none-match").find(tag.substr(2)) == std::string_view::npos)
        return false;
    response.status = 304;
    return true;
}

Result<http::Response> skeleton(Call& call) {
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    const std::string_view span_text = call.query.get("span");
    const std::optional<SpanId> selected = SpanId::parse(span_text);
    if (!span_text.empty() && !selected)
        return fail(ErrorCode::kInvalidArgument,
                    "malformed parameter span: \"{}\" is not 16 hexadecimal digits",
                    span_text.substr(0, 100));
    TRY_ASSIGN(const auto cached, read_trace(call, id));
    http::Response response;
    if (add_etag(call, *cached, span_text, response)) return response;
    response.headers.add("content-type", "application/octet-stream");
    response.body = write_skeleton(cached->trace, selected);
    return response;
}

Result<http::Response> rows(Call& call) {
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    TRY_ASSIGN(const bool wants_all, flag_parameter("full", call.query.get("full")));
    TRY_ASSIGN(const auto cached, read_trace(call, id));
    TRY_ASSIGN(const auto wanted,
               parse_rows(call.query.get("rows"), cached->trace.preorder.size()));
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("rows").begin_array();
    RowWriter writer(json, cached->trace, wants_all ? SIZE_MAX : kValueBytesMax);
    for (const uint32_t row : wanted)
        writer.write(row);
    json.end_array().end_object();
    return json_reply(std::move(out));
}

Result<http::Response> export_trace(Call& call) {
    TRY_ASSIGN(const TraceId id, parse_trace_id(call.captures[0]));
    const std::string_view format = call.query.get("format");
    if (format != "otlp" && format != "jaeger" && !format.empty())
        return fail(ErrorCode::kInvalidArgument,
                    "malformed parameter format: \"{}\" is neither otlp nor jaeger",
                    format.substr(0, 100));
    TRY_ASSIGN(const auto cached, read_trace(call, id));
    std::string out;
    JsonWriter json(out);
    if (format == "jaeger") {
        json.begin_object().key("data").begin_array();
        write_jaeger_trace(json, cached->trace);
        json.end_array().end_object();
    } else {
        otlp::write_traces_json(json, cached->trace.batch, otlp::JsonForm::kOtlp);
    }
    http::Response response = json_reply(std::move(out));
    response.headers.add("content-disposition",
                         fmt::format("attachment; filename=\"trace-{}.json\"", id.hex()));
    return response;
}

}  // namespace

void add_ui_trace(Router& router) {
    router.add(Family::kUi, "GET", "/api/ui/v1/trace/{}/skeleton", skeleton);
    router.add(Family::kUi, "GET", "/api/ui/v1/trace/{}/rows", rows);
    router.add(Family::kUi, "GET", "/api/ui/v1/trace/{}/export", export_trace);
}

}  // namespace spanloom::api

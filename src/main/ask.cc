// The commands that ask a running server: trace and search.
#include <algorithm>
#include <cstdio>
#include <string_view>

#include <fmt/format.h>
#include <simdjson.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "main/commands.h"
#include "main/server_reply.h"
#include "main/terminal.h"
#include "main/trace_tree.h"
#include "otlp/wire.h"

namespace spanloom {
namespace {

// TracesData inside tempopb.TraceByIDResponse{1 trace}. The Blob's padding covers a varint that is
// cut off; lengths are checked here, what is inside by decode.
Result<Blob> trace_message(const Blob& response) {
    otlp::WireReader reader(response.view());
    const char* end = response.view().data() + response.size();
    while (reader.next()) {
        if (reader.field() != 1 || reader.wire_type() != 2) {
            reader.skip();
            continue;
        }
        const std::string_view trace = reader.bytes();
        if (trace.data() > end || trace.size() > static_cast<size_t>(end - trace.data()))
            return fail(ErrorCode::kInternal,
                        "the server's answer is not a trace: is it spanloom?");
        return response.slice(static_cast<size_t>(trace.data() - response.view().data()),
                              trace.size());
    }
    return Blob();  // an unknown trace
}

Result<std::string> read_and_draw(const TraceOptions& options) {
    const std::string target = "/api/v2/traces/" + options.id;
    TRY_ASSIGN(HttpReply reply,
               accept_only_success(http_get(options.server, target, "application/protobuf")));
    TRY_ASSIGN(Blob message, trace_message(Blob::copy_of(reply.body)));
    TRY_ASSIGN(const Batch trace, otlp::decode(std::move(message)));
    if (trace.spans.empty())
        return fail(ErrorCode::kNotFound, "there is no trace {} at {}", options.id, options.server);
    return draw_trace(trace, Terminal::of(STDOUT_FILENO));
}

struct Found {
    std::string id;
    std::string root;
    uint64_t start_ns = 0;
    int64_t duration_ns = 0;
    int64_t spans = 0;
    int64_t errors = 0;
};

std::string text_of(const simdjson::dom::element& object, const char* key, const char* absent) {
    std::string_view value;
    return object[key].get(value) ? absent : printable(value);
}

std::string draw_results(const std::string& lines, const Terminal& terminal) {
    simdjson::dom::parser parser;
    std::vector<Found> found;
    bool is_partial = false;
    std::string reason;
    size_t from = 0;
    while (from < lines.size()) {
        const size_t to = std::min(lines.find('\n', from), lines.size());
        simdjson::dom::element line;
        const bool is_read = !parser.parse(lines.data() + from, to - from).get(line);
        from = to + 1;
        simdjson::dom::element trace;
        if (!is_read) continue;
        if (!line["end"]["stats"]["partial"].get(is_partial) && is_partial)
            reason = text_of(line["end"]["stats"].value_unsafe(), "reason", "");
        if (line["trace"].get(trace)) continue;
        Found item;
        item.id = text_of(trace, "id", "?");
        item.root = text_of(trace, "root_service", "(root not received)") + " " +
                    text_of(trace, "root_name", "");
        item.start_ns =
            static_cast<uint64_t>(parse_int(text_of(trace, "start_ns", "0")).value_or(0));
        item.duration_ns = parse_int(text_of(trace, "duration_ns", "0")).value_or(0);
        if (trace["spans"].get(item.spans)) item.spans = 0;
        if (trace["errors"].get(item.errors)) item.errors = 0;
        found.push_back(std::move(item));
    }
    if (found.empty()) return "no trace matches; --since 24h looks further back\n";
    std::string out;
    const size_t root_width =
        std::max<size_t>(20, terminal.columns - std::min<size_t>(terminal.columns, 84));
    for (const Found& item : found) {
        std::string root = fit(item.root, root_width);
        root.append(root_width - display_width(root), ' ');
        const std::string duration = format_duration_ns(item.duration_ns);
        fmt::format_to(std::back_inserter(out), "{}  {}  {} {}{} {:>6} spans{}\n", item.id,
                       format_rfc3339_ns(item.start_ns).substr(11, 12), root,
                       std::string(9 - std::min<size_t>(9, display_width(duration)), ' '), duration,
                       item.spans, item.errors > 0 ? fmt::format("  x {}", item.errors) : "");
    }
    if (is_partial) out += "partial: " + reason + "\n";
    return out;
}

Result<std::string> search_and_draw(const SearchOptions& options) {
    TRY_ASSIGN(const int64_t since_ns, parse_duration_ns(options.since));
    const auto now = static_cast<int64_t>(SystemClock().wall_ns());
    std::string body;
    JsonWriter json(body);
    json.begin_object().field("q", options.query).key("from").quoted(now - since_ns);
    json.key("to").quoted(now + 60'000'000'000).field("limit", options.limit);
    json.key("cursor").null().end_object();
    TRY_ASSIGN(HttpReply reply,
               accept_only_success(http_post_json(options.server, "/api/ui/v1/search", body)));
    if (options.as_json) return reply.body;
    return draw_results(reply.body, Terminal::of(STDOUT_FILENO));
}

int print(const Result<std::string>& text) {
    if (!text) return report(text.error());
    std::fwrite(text->data(), 1, text->size(), stdout);
    return 0;
}

}  // namespace

int report(const Error& error) {
    fmt::print(stderr, "spanloom: {}\n", printable(error.message));
    return 1;
}

int run_trace(const TraceOptions& options) {
    if (!TraceId::parse(options.id))
        return report(
            {ErrorCode::kInvalidArgument,
             fmt::format("'{}' is not a trace id: give its 32 hexadecimal digits", options.id)});
    if (!options.as_json) return print(read_and_draw(options));
    auto reply = accept_only_success(
        http_get(options.server, "/api/v3/traces/" + options.id, "application/json"));
    if (!reply) return print(tl::unexpected<Error>(std::move(reply).error()));
    return print(reply->body + "\n");
}

int run_search(const SearchOptions& options) {
    return print(search_and_draw(options));
}

}  // namespace spanloom

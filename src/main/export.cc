// `spanloom export`: stored traces to a file, page by page.
#include "api/export.h"

#include <cstdio>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <simdjson.h>
#include <unistd.h>

#include "base/json_writer.h"
#include "base/text.h"
#include "main/commands.h"
#include "main/http_get.h"
#include "main/local_store.h"
#include "main/server_reply.h"
#include "main/span_table.h"
#include "main/terminal.h"
#include "otlp/json.h"
#include "traceql/checker.h"

namespace spanloom {
namespace {

constexpr uint32_t kPageTimeout_s = 300;

using PageSource = std::function<Result<api::ExportPage>(std::optional<store::Cursor>)>;

Result<api::ExportPage> read_page(const std::string& reply) {
    const size_t line = reply.find('\n');
    simdjson::dom::parser parser;
    simdjson::dom::element head;
    if (line == std::string::npos || parser.parse(reply.data(), line).get(head))
        return fail(ErrorCode::kInternal, "the server's answer is no page: is it spanloom?");
    api::ExportPage page;
    std::string_view next;
    simdjson::dom::array list;
    if (!head["next"].get(next) && !next.empty()) page.next = api::parse_export_cursor(next);
    if (head["spans"].get(page.spans)) page.spans = 0;
    if (!head["trace_bytes"].get(list)) {
        for (const simdjson::dom::element bytes : list)
            page.trace_bytes.push_back(bytes.is_uint64() ? uint64_t{bytes} : 0);
    }
    if (!head["partial"].get(list)) {
        for (const simdjson::dom::element reason : list)
            page.partial.emplace_back(reason.is_string() ? std::string_view(reason) : "");
    }
    page.traces_data = reply.substr(line + 1);
    return page;
}

PageSource server_pages(const ExportOptions& options, store::TimeRange range) {
    return [options, range](std::optional<store::Cursor> after) -> Result<api::ExportPage> {
        std::string body;
        JsonWriter json(body);
        json.begin_object().field("q", options.query).key("from").quoted(range.start_ns);
        json.key("to").quoted(range.end_ns);
        json.field("cursor", after ? api::export_cursor(*after) : std::string()).end_object();
        TRY_ASSIGN(const HttpReply reply,
                   accept_only_success(
                       http_post_json(options.place.server, "/api/export", body, kPageTimeout_s)));
        return read_page(reply.body);
    };
}

Result<PageSource> local_pages(const ExportOptions& options, store::TimeRange range) {
    TRY_ASSIGN(std::shared_ptr<LocalStore> local, LocalStore::open(options.place.data));
    auto parsed = traceql::parse(options.query);
    if (!parsed) return tl::unexpected(parsed.error().to_error());
    auto query = std::make_shared<traceql::Query>(std::move(*parsed));
    return PageSource([local, query, range](std::optional<store::Cursor> after) {
        api::ExportQuestion question;
        question.range = range;
        question.after = after;
        return api::export_page(*query, local->store().snapshot("default"), question,
                                local->clock());
    });
}

// "2h" ago, or a time in ns.
Result<uint64_t> time_before(const std::string& text, uint64_t now_ns, uint64_t fallback) {
    if (text.empty()) return fallback;
    TRY_ASSIGN(const int64_t ago_ns, parse_duration_ns(text));
    if (ago_ns < 0) return fail(ErrorCode::kInvalidArgument, "'{}' is not a time before now", text);
    return now_ns - std::min<uint64_t>(now_ns, static_cast<uint64_t>(ago_ns));
}

Result<void> append_page(const api::ExportPage& page, ExportForm form, std::string& out) {
    if (form == ExportForm::kOtlp) {
        out += page.traces_data;
        return {};
    }
    const Blob all = Blob::copy_of(page.traces_data);
    size_t at = 0;
    for (const uint64_t bytes : page.trace_bytes) {
        if (bytes > all.size() - at)
            return fail(ErrorCode::kInternal, "a page of the server's answer is not whole");
        TRY_ASSIGN(const Batch batch, otlp::decode(Blob::copy_of(all.view().substr(at, bytes))));
        at += bytes;
        if (form == ExportForm::kCsv) {
            append_span_rows(out, batch);
            continue;
        }
        JsonWriter json(out);
        otlp::write_traces_json(json, batch, otlp::JsonForm::kOtlp);
        out += '\n';
    }
    return {};
}

Result<void> write_out(std::FILE* file, const std::string& bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size()) return {};
    return fail(ErrorCode::kResourceExhausted, "cannot write the export: is the disk full?");
}

Result<void> export_to(std::FILE* file, const ExportOptions& options) {
    const uint64_t now_ns = SystemClock().wall_ns();
    store::TimeRange range;
    TRY_ASSIGN(range.start_ns, time_before(options.since, now_ns, 0));
    TRY_ASSIGN(range.end_ns, time_before(options.until, now_ns, UINT64_MAX));
    PageSource pages = server_pages(options, range);
    if (!options.place.data.empty()) {
        TRY_ASSIGN(pages, local_pages(options, range));
    }
    const bool shows_progress = Terminal::of(STDERR_FILENO).is_terminal;
    uint64_t traces = 0;
    uint64_t spans = 0;
    uint64_t bytes = 0;
    std::string out = options.form == ExportForm::kCsv ? span_table_header() : std::string();
    std::optional<store::Cursor> after;
    do {
        TRY_ASSIGN(const api::ExportPage page, pages(after));
        TRY(append_page(page, options.form, out));
        TRY(write_out(file, out));
        bytes += out.size();
        out.clear();
        traces += page.trace_bytes.size();
        spans += page.spans;
        after = page.next;
        for (const std::string& reason : page.partial)
            fmt::print(stderr, "{}partial: {}\n", shows_progress ? "\r\033[K" : "",
                       printable(reason));
        if (shows_progress)
            fmt::print(stderr, "\r{} traces, {} spans, {}   ", traces, spans, format_bytes(bytes));
    } while (after);
    if (std::fflush(file) != 0)
        return fail(ErrorCode::kResourceExhausted, "cannot write the export: is the disk full?");
    if (shows_progress) fmt::print(stderr, "\r\033[K");
    fmt::print(stderr, "{} traces, {} spans, {}\n", traces, spans, format_bytes(bytes));
    return {};
}

}  // namespace

int run_export(const ExportOptions& options) {
    if (options.output.empty()) {
        const Result<void> done = export_to(stdout, options);
        return done ? 0 : report(done.error());
    }
    std::FILE* file = std::fopen(options.output.c_str(), "wxb");
    if (file == nullptr)
        return report({ErrorCode::kAlreadyExists,
                       fmt::format("cannot create {}: it exists already, or its directory does not",
                                   options.output)});
    const Result<void> done = export_to(file, options);
    const bool is_closed = std::fclose(file) == 0;
    if (!done) return report(done.error());
    if (!is_closed)
        return report({ErrorCode::kResourceExhausted,
                       fmt::format("cannot write {}: is the disk full?", options.output)});
    return 0;
}

}  // namespace spanloom

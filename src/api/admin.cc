#include "api/admin.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include <simdjson.h>

#include "api/change_request.h"
#include "api/export.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/text.h"
#include "sampling/keeper.h"
#include "traceql/checker.h"
#include "traceql/executor.h"

namespace spanloom::api {
namespace {

constexpr const char* kTenant = "default";
constexpr uint32_t kTracesAtOnce = 1000;
constexpr size_t kListedBodiesMax = 200;

Result<traceql::Query> parse_query(std::string_view text) {
    auto query = traceql::parse(text);
    if (query) return std::move(*query);
    return tl::unexpected(query.error().to_error());
}

// ------------------------------------------------------------------------------------ deletion

// Every trace that the query finds; all of them or an error.
Result<std::vector<TraceId>> find_traces(const Call& call, std::string_view text,
                                         store::TimeRange range) {
    TRY_ASSIGN(const traceql::Query query, parse_query(text));
    traceql::SearchOptions options;
    options.range = range;
    options.limit = kTracesAtOnce;
    options.spans_per_trace = 1;
    options.cancelled = call.request.cancelled;
    const auto segments = call.segments();
    std::vector<TraceId> found;
    while (true) {
        TRY_ASSIGN(const store::SearchAnswer answer,
                   traceql::execute(query, segments, options, call.context.options.clock));
        if (answer.stats.partial)
            return fail(ErrorCode::kUnavailable,
                        "not every trace could be looked at ({}), so nothing was deleted",
                        answer.stats.reason);
        for (const store::TraceSummary& trace : answer.traces)
            found.push_back(trace.trace_id);
        if (found.size() > store::kDeletionTracesMax)
            return fail(ErrorCode::kInvalidArgument,
                        "more than {} traces match, so nothing was deleted: narrow the query or "
                        "the time",
                        store::kDeletionTracesMax);
        if (!answer.next) return found;
        options.after = answer.next;
    }
}

void write_deletion(JsonWriter& json, const store::Deletion& deletion) {
    json.begin_object().field("id", deletion.id);
    json.key("at").quoted(deletion.at_ns);
    json.field("by", deletion.by).field("reason", deletion.reason);
    json.field("kind", deletion.query_hash == 0 ? "traces" : "query");
    json.field("traces", deletion.traces).field("spans", deletion.spans);
    json.field("erased", deletion.erased_at_ns != 0);
    if (deletion.erased_at_ns != 0) json.key("erased_at").quoted(deletion.erased_at_ns);
    json.end_object();
}

// Backups are copies that no deletion reaches: people must know of them.
void write_backups(JsonWriter& json, const Call& call) {
    json.begin_array();
    store::Documents& documents = call.context.options.store.documents();
    const auto names = documents.list(kTenant, store::kBackupKind);
    for (const store::Document& name : names ? *names : std::vector<store::Document>()) {
        const auto document = documents.get(kTenant, store::kBackupKind, name.name);
        if (document) json.raw(document->body);
    }
    json.end_array();
}

Result<http::Response> erase(Call& call) {
    TRY(check_admin(call));
    TRY_ASSIGN(const auto body, JsonBody::read(call));
    const std::string_view query = body->text("q");
    store::DeletionRequest request;
    request.tenant = kTenant;
    request.by = body->text("by");
    request.reason = body->text("reason");
    simdjson::dom::array ids;
    const bool names_traces = body->object()["traces"].get_array().get(ids) == simdjson::SUCCESS;
    if (names_traces == !query.empty())
        return fail(ErrorCode::kInvalidArgument,
                    "say what to delete: either \"traces\" with ids, or \"q\" with a query");
    TRY(call.context.options.store.seal());
    if (names_traces) {
        for (const simdjson::dom::element id : ids) {
            std::string_view text;
            if (id.get_string().get(text) != simdjson::SUCCESS)
                return fail(ErrorCode::kInvalidArgument, "\"traces\" must hold texts");
            TRY_ASSIGN(const TraceId parsed, parse_trace_id(text));
            request.traces.push_back(parsed);
        }
    } else {
        TRY_ASSIGN(const store::TimeRange range, body->range());
        TRY_ASSIGN(request.traces, find_traces(call, query, range));
        request.query_hash = hash64(query) | 1;
    }
    std::string out;
    JsonWriter json(out);
    json.begin_object();
    if (body->flag("dry_run")) {
        json.field("dry_run", true).field("traces", request.traces.size());
    } else {
        TRY_ASSIGN(const store::Deletion deletion,
                   call.context.options.store.erase(std::move(request)));
        json.key("deletion");
        write_deletion(json, deletion);
    }
    json.key("backups");
    write_backups(json, call);
    json.field("quarantined_segments", call.context.options.store.state().quarantined);
    json.end_object();
    return json_reply(std::move(out));
}

Result<http::Response> deletions(Call& call) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("deletions").begin_array();
    for (const store::Deletion& deletion : call.context.options.store.deletions())
        write_deletion(json, deletion);
    json.end_array().end_object();
    return json_reply(std::move(out));
}

// ------------------------------------------------------------------------------ backup, export

Result<http::Response> backup(Call& call) {
    TRY(check_admin(call));
    TRY_ASSIGN(const auto body, JsonBody::read(call));
    const std::string place(body->text("directory"));
    if (!place.starts_with('/'))
        return fail(ErrorCode::kInvalidArgument,
                    "\"directory\" must be an absolute path on the server's machine");
    TRY_ASSIGN(const auto target, open_posix_io(place));
    TRY_ASSIGN(const store::BackupReport report, call.context.options.store.backup(*target, place));
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("directory", place);
    json.field("segments", report.segments).field("spans", report.spans);
    json.field("bytes", report.bytes).field("linked_bytes", report.linked_bytes);
    json.end_object();
    return json_reply(std::move(out));
}

Result<http::Response> backups(Call& call) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("backups");
    write_backups(json, call);
    json.end_object();
    return json_reply(std::move(out));
}

// One line of JSON about the page, then its bytes.
Result<http::Response> export_traces(Call& call) {
    TRY_ASSIGN(const auto body, JsonBody::read(call));
    const std::string_view text = body->text("q");
    TRY_ASSIGN(const traceql::Query query, parse_query(text.empty() ? "{ }" : text));
    ExportQuestion question;
    TRY_ASSIGN(question.range, body->range());
    question.cancelled = call.request.cancelled;
    if (const std::string_view cursor = body->text("cursor"); !cursor.empty()) {
        question.after = parse_export_cursor(cursor);
        if (!question.after)
            return fail(ErrorCode::kInvalidArgument, "\"cursor\" is not one of an earlier page");
    }
    TRY_ASSIGN(const ExportPage page,
               export_page(query, call.segments(), question, call.context.options.clock));
    http::Response response;
    response.headers.add("content-type", "application/octet-stream");
    JsonWriter json(response.body);
    json.begin_object().field("next", page.next ? export_cursor(*page.next) : std::string());
    json.field("spans", page.spans).key("trace_bytes").begin_array();
    for (const uint64_t bytes : page.trace_bytes)
        json.number(bytes);
    json.end_array().key("partial").begin_array();
    for (const std::string& reason : page.partial)
        json.string(reason);
    json.end_array().end_object();
    response.body += '\n';
    response.body += page.traces_data;
    return response;
}

// ----------------------------------------------------------------------------------- documents

http::Response document_reply(const store::Document& document) {
    http::Response response = json_reply(document.body);
    response.headers.add("etag", "\"" + std::to_string(document.version) + "\"");
    return response;
}

// Backups, keep rules and pins are noted by spanloom itself, the rest belongs to people.
Result<void> check_kind(std::string_view kind) {
    if (kind == store::kBackupKind)
        return fail(ErrorCode::kPermissionDenied, "backups are noted by spanloom alone");
    if (kind == sampling::kRulesKind || kind == sampling::kPinsKind)
        return fail(ErrorCode::kPermissionDenied, "'{}' is changed below /api/keep", kind);
    return {};
}

// With bodies=true the newest first, each with its body, as many as kListedBodiesMax.
Result<http::Response> list_documents(Call& call) {
    TRY_ASSIGN(const bool wants_bodies, flag_parameter("bodies", call.query.get("bodies")));
    store::Documents& documents = call.context.options.store.documents();
    TRY_ASSIGN(auto found, documents.list(kTenant, call.captures[0]));
    if (wants_bodies)
        std::stable_sort(found.begin(), found.end(),
                         [](const auto& a, const auto& b) { return a.changed_ns > b.changed_ns; });
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("documents").begin_array();
    for (size_t i = 0; i < found.size() && !(wants_bodies && i == kListedBodiesMax); ++i) {
        const store::Document& document = found[i];
        json.begin_object().field("name", document.name).field("version", document.version);
        json.key("changed").quoted(document.changed_ns);
        if (wants_bodies) {
            const auto whole = documents.get(kTenant, call.captures[0], document.name);
            json.key("body").raw(whole ? std::string_view(whole->body) : "null");
        }
        json.end_object();
    }
    json.end_array().end_object();
    return json_reply(std::move(out));
}

Result<http::Response> get_document(Call& call) {
    auto document =
        call.context.options.store.documents().get(kTenant, call.captures[0], call.captures[1]);
    // For pages: a note that nobody wrote yet is no error.
    if (!document && document.error().code == ErrorCode::kNotFound &&
        call.query.get("absent") == "null")
        return json_reply("null");
    TRY(document);
    return document_reply(*document);
}

Result<http::Response> put_document(Call& call) {
    TRY(check_kind(call.captures[0]));
    if (!call.request.headers.get("content-type").starts_with("application/json"))
        return fail(ErrorCode::kInvalidArgument, "the body must be application/json");
    TRY_ASSIGN(const std::optional<uint64_t> expected, expected_version(call));
    TRY_ASSIGN(const Blob body, call.body());
    simdjson::dom::parser parser;
    simdjson::dom::element parsed;
    if (parser.parse(body.view().data(), body.size()).get(parsed) != simdjson::SUCCESS)
        return fail(ErrorCode::kInvalidArgument, "the body is not JSON");
    auto put = call.context.options.store.documents().put(
        kTenant, call.captures[0], {call.captures[1], 0, call.now_ns(), std::string(body.view())},
        expected);
    if (!put && put.error().code == ErrorCode::kAlreadyExists) return version_conflict(put.error());
    TRY_ASSIGN(const auto document, std::move(put));
    return document_reply(document);
}

Result<http::Response> remove_document(Call& call) {
    TRY(check_kind(call.captures[0]));
    TRY_ASSIGN(const std::optional<uint64_t> expected, expected_version(call));
    const auto removed = call.context.options.store.documents().remove(kTenant, call.captures[0],
                                                                       call.captures[1], expected);
    if (!removed && removed.error().code == ErrorCode::kAlreadyExists)
        return version_conflict(removed.error());
    TRY(removed);
    return json_reply("{}");
}

}  // namespace

void add_admin(Router& router) {
    router.add(Family::kUi, "POST", "/api/admin/delete", erase);
    router.add(Family::kUi, "GET", "/api/admin/deletions", deletions);
    router.add(Family::kUi, "POST", "/api/admin/backup", backup);
    router.add(Family::kUi, "GET", "/api/admin/backups", backups);
    router.add(Family::kUi, "POST", "/api/export", export_traces);
    router.add(Family::kUi, "GET", "/api/documents/{}", list_documents);
    router.add(Family::kUi, "GET", "/api/documents/{}/{}", get_document);
    router.add(Family::kUi, "PUT", "/api/documents/{}/{}", put_document);
    router.add(Family::kUi, "DELETE", "/api/documents/{}/{}", remove_document);
}

}  // namespace spanloom::api

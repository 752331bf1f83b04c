// The commands that look after what is stored: backup, restore, delete.
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "main/commands.h"
#include "main/json_answer.h"
#include "main/local_store.h"
#include "main/server_reply.h"
#include "main/terminal.h"

namespace spanloom {
namespace {

constexpr uint32_t kBackupTimeout_s = 6 * 3600;  // a copy to another disk takes its time
constexpr uint32_t kDeleteTimeout_s = 600;

void print_backup(const std::string& directory, uint64_t spans, uint64_t segments, uint64_t bytes,
                  uint64_t linked_bytes) {
    fmt::print("{}: {} spans in {} segments, {}", printable(directory), spans, segments,
               format_bytes(bytes));
    if (linked_bytes > 0)
        fmt::print(" ({} shared with the data directory)", format_bytes(linked_bytes));
    fmt::print("\n");
}

Result<void> backup(const BackupOptions& options) {
    std::error_code failure;
    const std::string place = std::filesystem::absolute(options.directory, failure).string();
    if (failure)
        return fail(ErrorCode::kInvalidArgument, "{} is no directory: {}", options.directory,
                    failure.message());
    if (!options.place.data.empty()) {
        TRY_ASSIGN(const auto local, LocalStore::open(options.place.data));
        TRY_ASSIGN(const auto target, open_posix_io(place));
        TRY_ASSIGN(const store::BackupReport made, local->store().backup(*target, place));
        print_backup(place, made.spans, made.segments, made.bytes, made.linked_bytes);
        return {};
    }
    std::string body;
    JsonWriter json(body);
    json.begin_object().field("directory", place).end_object();
    TRY_ASSIGN(const HttpReply reply,
               accept_only_success(http_post_json(options.place.server, "/api/admin/backup", body,
                                                  kBackupTimeout_s)));
    simdjson::dom::parser parser;
    TRY_ASSIGN(const auto made, parse_answer(parser, reply.body));
    print_backup(place, number_of(made, "spans"), number_of(made, "segments"),
                 number_of(made, "bytes"), number_of(made, "linked_bytes"));
    return {};
}

Result<void> restore(const RestoreOptions& options) {
    std::error_code failure;
    if (!std::filesystem::is_directory(options.backup, failure))
        return fail(ErrorCode::kNotFound, "there is no backup {}", options.backup);
    TRY_ASSIGN(const auto from, open_posix_io(options.backup));
    TRY_ASSIGN(const auto to, open_posix_io(options.data));
    const bool shows_progress = Terminal::of(STDERR_FILENO).is_terminal;
    const auto check =
        options.skips_verify ? store::RestoreCheck::kTrust : store::RestoreCheck::kVerify;
    auto restored = store::restore_backup(*from, *to, check, [&](uint64_t done, uint64_t all) {
        if (shows_progress)
            fmt::print(stderr, "\rchecking {} of {}   ", format_bytes(done), format_bytes(all));
    });
    if (shows_progress) fmt::print(stderr, "\r\033[K");
    TRY(restored);
    print_backup(options.data, restored->spans, restored->segments, restored->bytes, 0);
    fmt::print("start it with: spanloom serve --data {}\n", printable(options.data));
    return {};
}

// ------------------------------------------------------------------------------------ deletion

std::string delete_body(const DeleteOptions& options, bool is_dry) {
    std::string body;
    JsonWriter json(body);
    json.begin_object().field("by", options.by).field("reason", options.reason);
    json.field("dry_run", is_dry);
    if (options.query.empty()) {
        json.key("traces").begin_array();
        for (const std::string& trace : options.traces)
            json.string(trace);
        json.end_array();
    } else {
        json.field("q", options.query);
        const auto since_ns = parse_duration_ns(options.since);
        const auto now_ns = static_cast<int64_t>(SystemClock().wall_ns());
        if (!options.since.empty() && since_ns) json.key("from").quoted(now_ns - *since_ns);
    }
    json.end_object();
    return body;
}

void print_backups(const simdjson::dom::element& answer) {
    simdjson::dom::array backups;
    if (answer["backups"].get(backups) || backups.size() == 0) return;
    fmt::print("backups that may still hold them, and that nobody but you can change:\n");
    for (const simdjson::dom::element backup : backups) {
        const auto at = parse_int(text_of(backup, "at_unix_nano")).value_or(0);
        fmt::print("  {}  {}\n", format_rfc3339_ns(static_cast<uint64_t>(at)),
                   text_of(backup, "place"));
    }
}

Result<void> delete_traces(const DeleteOptions& options) {
    if (!options.since.empty()) TRY(parse_duration_ns(options.since));
    const auto ask = [&](bool is_dry) -> Result<std::string> {
        TRY_ASSIGN(HttpReply reply, accept_only_success(http_post_json(
                                        options.place.server, "/api/admin/delete",
                                        delete_body(options, is_dry), kDeleteTimeout_s)));
        return std::move(reply.body);
    };
    simdjson::dom::parser parser;
    if (!options.is_sure) {
        TRY_ASSIGN(const std::string body, ask(true));
        TRY_ASSIGN(const auto answer, parse_answer(parser, body));
        fmt::print("{} traces would be deleted for good; say --yes to do it\n",
                   number_of(answer, "traces"));
        return {};
    }
    TRY_ASSIGN(const std::string body, ask(false));
    TRY_ASSIGN(const auto answer, parse_answer(parser, body));
    simdjson::dom::element deletion;
    if (answer["deletion"].get(deletion)) return unexpected_answer();
    fmt::print(
        "deletion {}: {} traces, {} spans are gone from every answer, and soon from the "
        "disk\n",
        number_of(deletion, "id"), number_of(deletion, "traces"), number_of(deletion, "spans"));
    print_backups(answer);
    if (const uint64_t aside = number_of(answer, "quarantined_segments"); aside > 0)
        fmt::print("{} damaged segments lie in quarantine/ and may hold them, too\n", aside);
    return {};
}

Result<void> list_deletions(const DeleteOptions& options) {
    TRY_ASSIGN(const HttpReply reply,
               accept_only_success(
                   http_get(options.place.server, "/api/admin/deletions", "application/json")));
    simdjson::dom::parser parser;
    TRY_ASSIGN(const auto answer, parse_answer(parser, reply.body));
    simdjson::dom::array list;
    if (answer["deletions"].get(list)) return unexpected_answer();
    for (const simdjson::dom::element one : list) {
        bool is_erased = false;
        if (one["erased"].get(is_erased)) is_erased = false;
        fmt::print(
            "{:>4}  {}  {} traces, {} spans by {}  {}  {}  {}\n", number_of(one, "id"),
            format_rfc3339_ns(static_cast<uint64_t>(parse_int(text_of(one, "at")).value_or(0))),
            number_of(one, "traces"), number_of(one, "spans"), text_of(one, "kind"),
            is_erased ? "erased" : "hidden, being erased", text_of(one, "by"),
            text_of(one, "reason"));
    }
    return {};
}

}  // namespace

int run_backup(const BackupOptions& options) {
    const Result<void> done = backup(options);
    return done ? 0 : report(done.error());
}

int run_restore(const RestoreOptions& options) {
    const Result<void> done = restore(options);
    return done ? 0 : report(done.error());
}

int run_delete(const DeleteOptions& options) {
    if (!options.lists && options.traces.empty() == options.query.empty())
        return report({ErrorCode::kInvalidArgument,
                       "say what to delete: trace ids, or --query with TraceQL"});
    DeleteOptions asked = options;
    const char* user = std::getenv("USER");
    if (asked.by.empty() && user != nullptr) asked.by = user;
    const Result<void> done = options.lists ? list_deletions(asked) : delete_traces(asked);
    return done ? 0 : report(done.error());
}

}  // namespace spanloom

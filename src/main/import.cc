// `spanloom import`: files of traces to a server, as any other client sends them.
#include <cstdio>

#include <fmt/format.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "main/commands.h"
#include "main/import_file.h"
#include "main/terminal.h"
#include "send/otlp_client.h"

namespace spanloom {
namespace {

constexpr uint64_t kRequestPatienceNs = 120'000'000'000;  // a server under load says when to retry

Result<void> import_all(const ImportOptions& options) {
    SystemClock clock;
    SeededRandom random(random_seed());
    send::OtlpClientOptions client_options;
    client_options.endpoint = options.endpoint;
    client_options.timeout_ms = 60'000;
    client_options.user_agent = "spanloom-import";
    TRY_ASSIGN(const auto client, send::OtlpClient::create(client_options, clock, random));
    const bool shows_progress = Terminal::of(STDERR_FILENO).is_terminal;
    ImportCounts counts;
    uint64_t refused = 0;
    std::string refusal;
    const ImportSink sink = [&](std::string_view request, uint64_t) -> Result<void> {
        TRY_ASSIGN(const send::ExportReply reply,
                   client->export_spans(request, clock.monotonic_ns() + kRequestPatienceNs));
        refused += static_cast<uint64_t>(std::max<int64_t>(reply.rejected_spans, 0));
        if (refusal.empty()) refusal = reply.message;
        if (shows_progress)
            fmt::print(stderr, "\r{} spans in {} requests   ", counts.spans, counts.requests);
        return {};
    };
    for (const std::string& file : options.files) {
        const Result<void> done = import_file(file, sink, counts);
        if (shows_progress) fmt::print(stderr, "\r\033[K");
        if (!done)
            return fail(done.error().code, "{} ({} spans were imported before)",
                        done.error().message, counts.spans);
    }
    fmt::print("imported {} spans\n", counts.spans - std::min(refused, counts.spans));
    if (counts.rejected > 0)
        fmt::print("left out {} spans that no server takes: {}\n", counts.rejected,
                   printable(counts.rejection));
    if (refused > 0) fmt::print("the server refused {} spans: {}\n", refused, printable(refusal));
    return {};
}

}  // namespace

int run_import(const ImportOptions& options) {
    const Result<void> done = import_all(options);
    return done ? 0 : report(done.error());
}

}  // namespace spanloom

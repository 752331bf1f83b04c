// `spanloom check`: reads a data directory that no server holds, and tells what it finds.
#include <cstdio>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/text.h"
#include "main/commands.h"
#include "main/terminal.h"
#include "sampling/decision_log.h"
#include "store/store.h"

namespace spanloom {
namespace {

void print_report(const std::string& data, const store::CheckReport& report) {
    fmt::print("{}\n", printable(data));
    fmt::print("  segments  {:>12}   {}\n", report.segments, format_bytes(report.segment_bytes));
    fmt::print("  traces    {:>12}\n", report.traces);
    fmt::print("  spans     {:>12}", report.spans);
    if (report.spans > 0)
        fmt::print("   {:.1f} bytes each",
                   static_cast<double>(report.segment_bytes) / static_cast<double>(report.spans));
    fmt::print("\n  log       {:>12} spans in {} requests, {} files, {}\n", report.log_spans,
               report.log_records, report.log_files, format_bytes(report.log_bytes));
    if (report.counts > 0) fmt::print("  counts    {:>12} files\n", report.counts);
    if (report.decisions > 0) fmt::print("  decisions {:>12} files\n", report.decisions);
    for (const std::string& note : report.notes)
        fmt::print("  note      {}\n", printable(note));
    for (const std::string& damage : report.damage)
        fmt::print("  DAMAGE    {}\n", printable(damage));
    fmt::print("{}\n", report.damage.empty()
                           ? "every checksum is right"
                           : "damage was found; what is not named above is intact");
}

}  // namespace

int run_check(const std::string& data) {
    struct stat info{};
    if (stat(data.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
        return report(
            {ErrorCode::kNotFound,
             fmt::format("{} is not a directory: give the --data directory of a server", data)});
    auto io = open_posix_io(data);
    if (!io) return report(io.error());
    const bool shows_progress = Terminal::of(STDERR_FILENO).is_terminal;
    uint64_t shown = UINT64_MAX;
    auto checked = store::check_data(**io, [&](uint64_t done, uint64_t all) {
        const uint64_t percent = all == 0 ? 100 : done * 100 / all;
        if (!shows_progress || percent == shown) return;
        shown = percent;
        fmt::print(stderr, "\rchecking {} of {} ({} %)   ", format_bytes(done), format_bytes(all),
                   percent);
    });
    if (shows_progress) fmt::print(stderr, "\r\033[K");
    if (!checked) return report(checked.error());
    const auto decisions = sampling::check_decisions(**io);
    if (!decisions) return report(decisions.error());
    checked->damage.insert(checked->damage.end(), decisions->begin(), decisions->end());
    print_report(data, *checked);
    return checked->damage.empty() ? 0 : 1;
}

}  // namespace spanloom

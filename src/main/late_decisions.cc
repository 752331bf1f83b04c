// The commands about what stays when data ages: why, preview, pin.
#include <cstdlib>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "main/commands.h"
#include "main/config.h"
#include "main/json_answer.h"
#include "main/server_reply.h"
#include "main/terminal.h"
#include "sampling/keep_rules.h"

namespace spanloom {
namespace {

using simdjson::dom::element;

constexpr uint32_t kTimeout_s = 120;

// ------------------------------------------------------------------------------------------ why

Result<void> why(const WhyOptions& options) {
    TRY_ASSIGN(const HttpReply reply,
               accept_only_success(
                   http_get(options.server, "/api/keep/why/" + options.trace, "application/json")));
    if (options.as_json) {
        fmt::print("{}\n", reply.body);
        return {};
    }
    simdjson::dom::parser parser;
    TRY_ASSIGN(const element answer, parse_answer(parser, reply.body));
    fmt::print("{}\n", text_of(answer, "text"));
    simdjson::dom::array forwarded;
    if (answer["forwarded"].get(forwarded) == simdjson::SUCCESS) {
        for (const element one : forwarded)
            fmt::print("  forwarded to {}\n", text_of(one, "text"));
    }
    simdjson::dom::array decisions;
    if (answer["decisions"].get(decisions)) return {};
    for (const element decision : decisions) {
        element rule;
        if (decision["rule_text"].get(rule) || rule.is_null()) continue;
        const uint64_t version = number_of(decision, "rules_version");
        fmt::print("  {}  {}  {} ({}{})\n",
                   format_rfc3339_ns(
                       static_cast<uint64_t>(parse_int(text_of(decision, "at")).value_or(0))),
                   text_of(decision, "fate"), printable(simdjson::minify(rule)),
                   text_of(decision, "rules_source"),
                   version == 0 ? "" : fmt::format(" version {}", version));
    }
    return {};
}

// -------------------------------------------------------------------------------------- preview

Result<std::string> preview_body(const PreviewOptions& options) {
    std::string body;
    JsonWriter json(body);
    json.begin_object();
    if (!options.config_path.empty()) {
        Config config;
        TRY(read_config_file(options.config_path, config));
        TRY_ASSIGN(const sampling::KeepRules rules, keep_rules_of(config));
        json.key("rules").raw(sampling::print_keep_rules(rules));
    }
    if (!options.since.empty()) {
        TRY_ASSIGN(const int64_t since_ns, parse_duration_ns(options.since));
        const auto now_ns = static_cast<int64_t>(SystemClock().wall_ns());
        json.key("from").quoted(now_ns - since_ns);
    }
    json.end_object();
    return body;
}

void print_row(std::string_view name, const element& row) {
    element kept;
    if (row["kept"].get(kept)) return;
    const auto share = [&](const char* key) {
        const uint64_t all = number_of(row, key);
        const double part = static_cast<double>(number_of(kept, key));
        return all == 0 ? 0.0 : 100 * part / static_cast<double>(all);
    };
    fmt::print("  {:<24} {:>10} of {:>10} traces ({:5.1f} %)   {:>10} of {:>10} ({:5.1f} %)\n",
               name, number_of(kept, "traces"), number_of(row, "traces"), share("traces"),
               format_bytes(number_of(kept, "bytes")), format_bytes(number_of(row, "bytes")),
               share("bytes"));
}

void print_rows(const element& answer, const char* list, const char* name) {
    simdjson::dom::array rows;
    if (answer[list].get(rows)) return;
    for (const element row : rows) {
        const std::string text = text_of(row, name);
        if (number_of(row, "traces") > 0) print_row(text.empty() ? "(none)" : text, row);
    }
}

Result<void> preview(const PreviewOptions& options) {
    TRY_ASSIGN(const std::string body, preview_body(options));
    TRY_ASSIGN(const HttpReply reply, accept_only_success(http_post_json(
                                          options.server, "/api/keep/preview", body, kTimeout_s)));
    if (options.as_json) {
        fmt::print("{}\n", reply.body);
        return {};
    }
    simdjson::dom::parser parser;
    TRY_ASSIGN(const element answer, parse_answer(parser, reply.body));
    element total;
    if (answer["total"].get(total) || number_of(total, "traces") == 0) {
        fmt::print("nothing is recent: there is nothing to decide about\n");
        return {};
    }
    fmt::print("what these rules would keep:\n");
    print_row("all", total);
    fmt::print("by rule:\n");
    print_rows(answer, "by_rule", "rule");
    fmt::print("by service of the root:\n");
    print_rows(answer, "by_service", "service");
    double days = 0;
    if (answer["days"].get(days) == simdjson::SUCCESS)
        fmt::print("at this rate the disk has room for {:.1f} days of what is kept\n", days);
    return {};
}

// ----------------------------------------------------------------------------------------- pins

Result<void> list_pins(const PinOptions& options) {
    TRY_ASSIGN(const HttpReply reply,
               accept_only_success(http_get(options.server, "/api/keep/pins", "application/json")));
    simdjson::dom::parser parser;
    TRY_ASSIGN(const element answer, parse_answer(parser, reply.body));
    simdjson::dom::array pins;
    if (answer["pins"].get(pins)) return {};
    for (const element pin : pins)
        fmt::print(
            "{}  {}  {}  {}\n", text_of(pin, "trace_id"),
            format_rfc3339_ns(static_cast<uint64_t>(parse_int(text_of(pin, "at")).value_or(0))),
            text_of(pin, "by"), text_of(pin, "reason"));
    return {};
}

Result<void> pin(const PinOptions& options) {
    std::string body;
    JsonWriter json(body);
    json.begin_object().field("by", options.by).field("reason", options.reason).end_object();
    TRY(accept_only_success(http_json(options.server, options.removes ? "DELETE" : "PUT",
                                      "/api/keep/pins/" + options.trace, body, kTimeout_s)));
    fmt::print("{} {}\n", options.trace,
               options.removes ? "is kept no longer than other traces" : "stays for ever");
    return {};
}

}  // namespace

int run_why(const WhyOptions& options) {
    const Result<void> done = why(options);
    return done ? 0 : report(done.error());
}

int run_preview(const PreviewOptions& options) {
    const Result<void> done = preview(options);
    return done ? 0 : report(done.error());
}

int run_pin(const PinOptions& options) {
    if (!options.lists && options.trace.empty())
        return report({ErrorCode::kInvalidArgument, "say which trace: its 32 hexadecimal digits"});
    PinOptions asked = options;
    const char* user = std::getenv("USER");
    if (asked.by.empty() && user != nullptr) asked.by = user;
    const Result<void> done = options.lists ? list_pins(asked) : pin(asked);
    return done ? 0 : report(done.error());
}

}  // namespace spanloom

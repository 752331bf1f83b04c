#include <exception>
#include <functional>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/text.h"
#include "main/commands.h"
#include "main/completion.h"
#include "main/config.h"
#include "main/terminal.h"
#include "main/version.h"

namespace {

using spanloom::Config;
using spanloom::Error;
using spanloom::ErrorCode;
using spanloom::report;
using spanloom::Result;

// Flags of `serve` go over the file, so they are kept apart until the file is read.
struct ServeFlags {
    std::string config_path;
    std::string data;
    std::string otlp_grpc;
    std::string otlp_http;
    std::string http;
    std::string zipkin;
    std::string tempo;
    std::string sampling;
    std::string jaeger;
    std::string jaeger_grpc;
    std::string jaeger_compact;
    std::string jaeger_binary;
    std::string jaeger_ui;
    bool has_jaeger_ports = false;
    bool is_public = false;
};

void override_with(const std::string& flag, std::string& setting) {
    if (!flag.empty()) setting = flag;
}

Result<Config> effective_config(const ServeFlags& flags) {
    Config config;
    if (!flags.config_path.empty()) TRY(spanloom::read_config_file(flags.config_path, config));
    override_with(flags.data, config.data);
    override_with(flags.otlp_grpc, config.otlp_grpc);
    override_with(flags.otlp_http, config.otlp_http);
    override_with(flags.http, config.http);
    override_with(flags.zipkin, config.zipkin);
    override_with(flags.tempo, config.tempo);
    override_with(flags.sampling, config.sampling);
    if (flags.has_jaeger_ports) {
        config.jaeger = "127.0.0.1:14268";
        config.jaeger_grpc = "127.0.0.1:14250";
        config.jaeger_compact = "127.0.0.1:6831";
        config.jaeger_binary = "127.0.0.1:6832";
    }
    override_with(flags.jaeger, config.jaeger);
    override_with(flags.jaeger_grpc, config.jaeger_grpc);
    override_with(flags.jaeger_compact, config.jaeger_compact);
    override_with(flags.jaeger_binary, config.jaeger_binary);
    override_with(flags.jaeger_ui, config.jaeger_ui);
    config.listen_public = config.listen_public || flags.is_public;
    TRY(spanloom::check_config(config));
    return config;
}

void add_serve_flags(CLI::App& command, ServeFlags& flags) {
    command.add_option("--config", flags.config_path,
                       "YAML file; `spanloom config print` shows all settings");
    command.add_option("--data", flags.data, "directory that holds everything (./spanloom-data)");
    command.add_option("--otlp-grpc", flags.otlp_grpc,
                       "HOST:PORT for OTLP over gRPC (127.0.0.1:4317)");
    command.add_option("--otlp-http", flags.otlp_http,
                       "HOST:PORT for OTLP over HTTP (127.0.0.1:4318)");
    command.add_option("--http", flags.http,
                       "HOST:PORT for the web UI and the query APIs (127.0.0.1:16686)");
    command.add_option("--zipkin", flags.zipkin, "HOST:PORT for Zipkin spans (127.0.0.1:9411)");
    command.add_option("--tempo", flags.tempo, "HOST:PORT for the Tempo API alone (off)");
    command.add_option("--sampling", flags.sampling,
                       "HOST:PORT where clients ask how to sample (127.0.0.1:5778)");
    command.add_flag("--jaeger-in", flags.has_jaeger_ports,
                     "take Jaeger's spans on its usual ports: 14268, 14250, 6831 and 6832");
    command.add_option("--jaeger", flags.jaeger, "HOST:PORT for Jaeger Thrift over HTTP (off)");
    command.add_option("--jaeger-grpc", flags.jaeger_grpc, "HOST:PORT for Jaeger over gRPC (off)");
    command.add_option("--jaeger-compact", flags.jaeger_compact,
                       "HOST:PORT for datagrams of Jaeger clients, compact Thrift (off)");
    command.add_option("--jaeger-binary", flags.jaeger_binary,
                       "HOST:PORT for datagrams of Jaeger clients, binary Thrift (off)");
    command.add_option("--jaeger-ui", flags.jaeger_ui,
                       "directory of a build of Jaeger's own UI, served below /jaeger/ (none)");
    command.add_flag("--public", flags.is_public,
                     "allow addresses other than loopback; there is no login");
}

int run_config_check(const std::string& path) {
    ServeFlags flags;
    flags.config_path = path;
    auto config = effective_config(flags);
    if (!config) return report(config.error());
    fmt::print("{} is a good configuration\n", spanloom::printable(path));
    return 0;
}

int run_config_print(const ServeFlags& flags) {
    auto config = effective_config(flags);
    if (!config) return report(config.error());
    fmt::print("{}", spanloom::print_config(*config));
    return 0;
}

CLI::App* add_command(CLI::App& app, const char* name, const char* text, int& code,
                      std::function<int()> run) {
    CLI::App* command = app.add_subcommand(name, text);
    command->final_callback([&code, run = std::move(run)] { code = run(); });
    return command;
}

void add_config_commands(CLI::App& app, int& code, ServeFlags& flags, std::string& path) {
    CLI::App* config = app.add_subcommand("config", "check or print the configuration");
    config->require_subcommand(1);
    CLI::App* check = add_command(*config, "check", "check a configuration file", code,
                                  [&path] { return run_config_check(path); });
    check->add_option("FILE", path, "the file")->required();
    CLI::App* print = add_command(*config, "print", "print the effective configuration, documented",
                                  code, [&flags] { return run_config_print(flags); });
    add_serve_flags(*print, flags);
}

// Durations are read by our own parser, whose errors say what to write.
void add_duration(CLI::App& command, const char* flag, uint64_t& ns, const char* text) {
    command.add_option_function<std::string>(
        flag,
        [&ns, flag](const std::string& value) {
            auto parsed = spanloom::parse_duration_ns(value);
            if (!parsed || *parsed < 0)
                throw CLI::ValidationError(
                    flag,
                    fmt::format("\"{}\" is not a duration: write it like 90s or 1h30m", value));
            ns = static_cast<uint64_t>(*parsed);
        },
        text);
}

void add_demo_command(CLI::App& app, int& code, spanloom::DemoOptions& options) {
    CLI::App* demo = add_command(app, "demo", "send the traces of a small shop to a server", code,
                                 [&options] { return run_demo(options); });
    demo->add_option("--endpoint", options.endpoint, "where to send (http://127.0.0.1:4317)");
    demo->add_option("--protocol", options.protocol, "grpc or http/protobuf (grpc)");
    demo->add_option("--rate", options.spans_per_s, "spans per second (200)")
        ->check(CLI::Range(0.1, 1'000'000.0));
    add_duration(*demo, "--for", options.duration_ns, "end after this long (until stopped)");
    add_duration(*demo, "--history", options.history_ns,
                 "first send traces spread over this past (10m)");
    demo->add_option("--seed", options.seed, "repeat a load; 0 takes a new one");
    demo->add_flag("--wait", options.wait_for_server, "wait for the server to come up");
}

void add_place(CLI::App& command, spanloom::StorePlace& place) {
    command.add_option("--server", place.server, "http://HOST:PORT of a running server");
    command.add_option("--data", place.data, "a data directory that no server holds, instead");
}

struct KeepOptions {
    spanloom::BackupOptions backup;
    spanloom::RestoreOptions restore;
    spanloom::DeleteOptions deletion;
    spanloom::ExportOptions exported;
    spanloom::ImportOptions imported;
    spanloom::WhyOptions why;
    spanloom::PreviewOptions preview;
    spanloom::PinOptions pin;
    spanloom::PolicyOptions policies;
};

void add_backup_commands(CLI::App& app, int& code, KeepOptions& keep) {
    CLI::App* backup = add_command(app, "backup", "copy everything into an empty directory", code,
                                   [&keep] { return run_backup(keep.backup); });
    backup->add_option("DIR", keep.backup.directory, "the directory, on the server's machine")
        ->required();
    add_place(*backup, keep.backup.place);
    CLI::App* restore = add_command(app, "restore", "make a data directory of a backup", code,
                                    [&keep] { return run_restore(keep.restore); });
    restore->add_option("DIR", keep.restore.backup, "the backup")->required();
    restore->add_option("--data", keep.restore.data, "the new data directory")->required();
    restore->add_flag("--no-verify", keep.restore.skips_verify, "do not check checksums first");
}

void add_delete_command(CLI::App& app, int& code, spanloom::DeleteOptions& options) {
    CLI::App* remove = add_command(app, "delete", "delete traces for good", code,
                                   [&options] { return run_delete(options); });
    remove->add_option("ID", options.traces, "traces by their 32 hexadecimal digits");
    remove->add_option("--query", options.query, "every trace that this TraceQL finds");
    remove->add_option("--since", options.since, "with --query: how far back (all time)");
    remove->add_option("--by", options.by, "who asks, for the record ($USER)");
    remove->add_option("--reason", options.reason, "why, for the record");
    remove->add_flag("--yes", options.is_sure, "do it; without it only counts");
    remove->add_flag("--list", options.lists, "list the deletions so far");
    remove->add_option("--server", options.place.server, "http://HOST:PORT of a running server");
}

void add_late_commands(CLI::App& app, int& code, KeepOptions& keep) {
    const char* const server = "http://HOST:PORT of a running server";
    CLI::App* why = add_command(app, "why", "tell why a trace was kept or dropped", code,
                                [&keep] { return run_why(keep.why); });
    why->add_option("ID", keep.why.trace, "its 32 hexadecimal digits")->required();
    why->add_flag("--json", keep.why.as_json, "as the API gives it");
    why->add_option("--server", keep.why.server, server);
    CLI::App* preview =
        add_command(app, "preview", "tell what keep rules would do with what is stored", code,
                    [&keep] { return run_preview(keep.preview); });
    preview->add_option("FILE", keep.preview.config_path,
                        "a configuration with them (those in force)");
    preview->add_option("--since", keep.preview.since, "how far back (all that is recent)");
    preview->add_flag("--json", keep.preview.as_json, "as the API gives it");
    preview->add_option("--server", keep.preview.server, server);
    CLI::App* pin = add_command(app, "pin", "keep a trace for ever", code,
                                [&keep] { return run_pin(keep.pin); });
    pin->add_option("ID", keep.pin.trace, "its 32 hexadecimal digits");
    pin->add_option("--by", keep.pin.by, "who asks ($USER)");
    pin->add_option("--reason", keep.pin.reason, "why");
    pin->add_flag("--remove", keep.pin.removes, "keep it no longer than rules say");
    pin->add_flag("--list", keep.pin.lists, "list the pinned traces");
    pin->add_option("--server", keep.pin.server, server);
}

void add_policy_command(CLI::App& app, int& code, spanloom::PolicyOptions& options) {
    CLI::App* policies =
        add_command(app, "import-policies", "make keep rules of a Collector's or Refinery's", code,
                    [&options] { return run_import_policies(options); });
    policies
        ->add_option("FILE", options.file,
                     "a Collector's configuration with tail_sampling, or Refinery's rules, as YAML")
        ->required();
    policies->add_option("--forward", options.forward_to,
                         "HOST:PORT: what they choose is sent there, instead of being kept");
    policies
        ->add_option("--spans-per-trace", options.counted.spans_per_trace,
                     "what limits of spans are counted by (10)")
        ->check(CLI::Range(1.0, 1e6));
    policies
        ->add_option("--traces-per-second", options.counted.traces_per_s,
                     "how many Refinery's dynamic samplers see, for a fair share of each key")
        ->check(CLI::Range(0.0, 1e9));
    policies
        ->add_option("--bytes-per-span", options.counted.bytes_per_span,
                     "what limits of bytes are counted by (500)")
        ->check(CLI::Range(1.0, 1e6));
}

void add_transfer_commands(CLI::App& app, int& code, KeepOptions& keep) {
    CLI::App* out = add_command(app, "export", "write stored traces to a file", code,
                                [&keep] { return run_export(keep.exported); });
    out->add_option("QUERY", keep.exported.query, "TraceQL (all traces)");
    out->add_flag_callback(
        "--otlp", [&keep] { keep.exported.form = spanloom::ExportForm::kOtlp; },
        "as one OTLP protobuf message");
    out->add_flag_callback(
        "--json", [&keep] { keep.exported.form = spanloom::ExportForm::kJson; },
        "as OTLP JSON, a trace a line (the default)");
    out->add_flag_callback(
        "--csv", [&keep] { keep.exported.form = spanloom::ExportForm::kCsv; },
        "as a table, a span a row");
    out->add_option("--since", keep.exported.since, "how far back (all time)");
    out->add_option("--until", keep.exported.until, "up to this long ago (now)");
    out->add_option("-o,--output", keep.exported.output, "a new file (standard output)");
    add_place(*out, keep.exported.place);
    CLI::App* in = add_command(app, "import", "send files of traces to a server", code,
                               [&keep] { return run_import(keep.imported); });
    in->add_option("FILE", keep.imported.files,
                   "OTLP (protobuf, JSON, JSON lines), Jaeger JSON or Zipkin JSON; - is standard "
                   "input")
        ->required();
    in->add_option("--endpoint", keep.imported.endpoint,
                   "OTLP over gRPC of the server (http://127.0.0.1:4317)");
}

// What the commands that ask a server are given.
struct AskOptions {
    spanloom::TraceOptions trace;
    spanloom::SearchOptions search;
    spanloom::QueryOptions query;
    spanloom::TailOptions tail;
    spanloom::ListOptions services;
    spanloom::ListOptions tags;
};

void add_server(CLI::App& command, std::string& server) {
    command.add_option("--server", server, "http://HOST:PORT of a running server");
}

void add_since(CLI::App& command, std::string& since) {
    command.add_option("--since", since, "how far back (1h)");
}

void add_trace_commands(CLI::App& app, int& code, AskOptions& ask) {
    CLI::App* one = add_command(app, "trace", "print one trace as a tree", code,
                                [&ask] { return run_trace(ask.trace); });
    one->add_option("ID", ask.trace.id, "its 32 hexadecimal digits")->required();
    add_server(*one, ask.trace.server);
    one->add_flag("--json", ask.trace.as_json, "as OTLP JSON");
    CLI::App* find = add_command(app, "search", "list traces by TraceQL, newest first", code,
                                 [&ask] { return run_search(ask.search); });
    find->add_option("QUERY", ask.search.query, "TraceQL, like '{ status = error }' (all traces)");
    add_server(*find, ask.search.server);
    add_since(*find, ask.search.since);
    find->add_option("--limit", ask.search.limit, "most traces (20)")->check(CLI::Range(1, 1000));
    find->add_flag("--json", ask.search.as_json, "as JSON lines");
}

void add_query_commands(CLI::App& app, int& code, AskOptions& ask) {
    CLI::App* query = add_command(app, "query", "answer TraceQL: traces as a table, series drawn",
                                  code, [&ask] { return run_query(ask.query); });
    query->add_option("QUERY", ask.query.query,
                      "TraceQL, like '{ status = error } | rate() by(resource.service.name)'");
    add_server(*query, ask.query.server);
    add_since(*query, ask.query.since);
    query->add_option("--limit", ask.query.limit, "most traces (20)")->check(CLI::Range(1, 10'000));
    query->add_option("--step", ask.query.step, "between the points of series, like 1m");
    query->add_flag("--json", ask.query.as_json, "the answer of Tempo's API");
    query->add_flag("--ndjson", ask.query.as_ndjson, "one trace or series a line");
    query->add_flag("--explain", ask.query.explain,
                    "how the query is answered: plan, segments read and skipped, bytes");
    CLI::App* tail = add_command(app, "tail", "print traces as they come", code,
                                 [&ask] { return run_tail(ask.tail); });
    tail->add_option("QUERY", ask.tail.query, "TraceQL, like '{ status = error }' (all traces)");
    add_server(*tail, ask.tail.server);
    add_duration(*tail, "--for", ask.tail.duration_ns, "end after this long (until stopped)");
    tail->add_flag("--ndjson", ask.tail.as_ndjson, "one trace a line, as JSON");
    CLI::App* services =
        add_command(app, "services", "list services with rate, errors and durations", code,
                    [&ask] { return run_services(ask.services); });
    add_server(*services, ask.services.server);
    add_since(*services, ask.services.since);
    services->add_flag("--json", ask.services.as_json, "as JSON");
    CLI::App* tags = add_command(app, "tags", "list attributes, or the values of one", code,
                                 [&ask] { return run_tags(ask.tags); });
    tags->add_option("NAME", ask.tags.name, "like span.http.route or resource.service.name");
    add_server(*tags, ask.tags.server);
    add_since(*tags, ask.tags.since);
    tags->add_flag("--json", ask.tags.as_json, "as JSON");
}

// The commands and their flags as the program itself knows them.
spanloom::CompletionCommand describe(const CLI::App& app) {
    spanloom::CompletionCommand command{app.get_name(), app.get_description(), {}, {}};
    for (const CLI::Option* option : app.get_options()) {
        for (const std::string& name : option->get_lnames())
            command.flags.emplace_back("--" + name, option->get_description());
    }
    for (const CLI::App* inner : app.get_subcommands({}))
        command.commands.push_back(describe(*inner));
    return command;
}

int print_completion(const CLI::App& app, const std::string& shell) {
    const auto script = spanloom::completion_script(describe(app), shell);
    if (!script) return report(script.error());
    fmt::print("{}", *script);
    return 0;
}

// CLI11 puts several lines together for some mistakes; ours are one sentence.
int report_usage(const CLI::ParseError& error) {
    std::string text = error.what();
    for (char& c : text)
        c = c == '\n' ? ' ' : c;
    return report({ErrorCode::kInvalidArgument, text + "; `spanloom --help` shows the commands"});
}

int run(int argc, char** argv) {
    CLI::App app("spanloom: distributed tracing with OpenTelemetry, whole");
    app.set_version_flag("--version", fmt::format("spanloom {}", spanloom::kVersion));
    app.require_subcommand(1);
    int code = 0;
    ServeFlags flags;
    std::string path;
    spanloom::DemoOptions demo;
    AskOptions ask;
    std::string shell;

    CLI::App* serve = add_command(app, "serve", "receive, keep and show traces", code, [&flags] {
        auto config = effective_config(flags);
        return config ? spanloom::run_serve(*config) : report(config.error());
    });
    add_serve_flags(*serve, flags);
    add_demo_command(app, code, demo);
    CLI::App* check = add_command(app, "check", "verify every checksum of a data directory", code,
                                  [&path] { return spanloom::run_check(path); });
    check->add_option("DATA", path, "the directory")->required();
    add_trace_commands(app, code, ask);
    add_query_commands(app, code, ask);
    KeepOptions keep;
    add_backup_commands(app, code, keep);
    add_delete_command(app, code, keep.deletion);
    add_late_commands(app, code, keep);
    add_policy_command(app, code, keep.policies);
    add_transfer_commands(app, code, keep);
    add_config_commands(app, code, flags, path);
    CLI::App* completion =
        add_command(app, "completion", "print a script that completes commands in a shell", code,
                    [&app, &shell] { return print_completion(app, shell); });
    completion->add_option("SHELL", shell, "bash, zsh or fish")->required();
    if (argc > 1 && argv[1][0] != '-' &&
        app.get_subcommands([&](CLI::App* c) { return c->get_name() == argv[1]; }).empty())
        return report({ErrorCode::kInvalidArgument,
                       fmt::format("there is no command '{}'; `spanloom --help` shows them",
                                   spanloom::printable(argv[1]))});
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& done) {
        return app.exit(done);
    } catch (const CLI::ParseError& error) {
        return report_usage(error);
    }
    return code;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& e) {
        return report(
            {ErrorCode::kInternal, fmt::format("ended by a fault of its own: {}", e.what())});
    }
}

#include <exception>
#include <functional>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/text.h"
#include "main/commands.h"
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
    command.add_flag("--public", flags.is_public,
                     "allow addresses other than loopback; there is no login");
}

int run_config_check(const std::string& path) {
    auto config = effective_config({.config_path = path,
                                    .data = {},
                                    .otlp_grpc = {},
                                    .otlp_http = {},
                                    .http = {},
                                    .zipkin = {},
                                    .tempo = {},
                                    .is_public = false});
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
    spanloom::TraceOptions trace;
    spanloom::SearchOptions search;

    CLI::App* serve = add_command(app, "serve", "receive, keep and show traces", code, [&flags] {
        auto config = effective_config(flags);
        return config ? spanloom::run_serve(*config) : report(config.error());
    });
    add_serve_flags(*serve, flags);
    add_demo_command(app, code, demo);
    CLI::App* check = add_command(app, "check", "verify every checksum of a data directory", code,
                                  [&path] { return spanloom::run_check(path); });
    check->add_option("DATA", path, "the directory")->required();
    CLI::App* one = add_command(app, "trace", "print one trace as a tree", code,
                                [&trace] { return run_trace(trace); });
    one->add_option("ID", trace.id, "its 32 hexadecimal digits")->required();
    one->add_option("--server", trace.server, "http://HOST:PORT of a running server");
    one->add_flag("--json", trace.as_json, "as OTLP JSON");
    CLI::App* find = add_command(app, "search", "list traces by TraceQL, newest first", code,
                                 [&search] { return run_search(search); });
    find->add_option("QUERY", search.query, "TraceQL, like '{ status = error }' (all traces)");
    find->add_option("--server", search.server, "http://HOST:PORT of a running server");
    find->add_option("--since", search.since, "how far back (1h)");
    find->add_option("--limit", search.limit, "most traces (20)")->check(CLI::Range(1, 1000));
    find->add_flag("--json", search.as_json, "as JSON lines");
    add_config_commands(app, code, flags, path);
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

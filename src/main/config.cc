#include "main/config.h"

#include <algorithm>
#include <iterator>
#include <sstream>
#include <variant>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "api/remote_write.h"
#include "base/text.h"
#include "main/yaml_json.h"
#include "receive/quota.h"
#include "sampling/forward_options.h"
#include "sampling/head_strategies.h"
#include "sampling/keep_rules.h"

namespace spanloom {
namespace {

// How a setting is written, beside the member it fills.
struct Text {
    std::string Config::* member;
};
struct Flag {
    bool Config::* member;
};
struct Count {
    uint64_t Config::* member;
    uint64_t min;
    uint64_t max;
};
struct Bytes {
    uint64_t Config::* member;
    uint64_t min;
    const char* zero = nullptr;  // what 0 means, where it is allowed
};
struct Duration {
    uint64_t Config::* member;
    const char* zero = nullptr;
};
struct Share {
    double Config::* member;
};
struct List {
    std::vector<std::string> Config::* member;
};
// A list or a map of settings that its owner reads as JSON and prints again.
struct Json {
    std::string Config::* member;
    Result<std::string> (*normalise)(std::string_view json);
    std::string (*by_default)();
    std::string (*shown)(const std::string& json) = nullptr;  // what of it people may see
};
using Member = std::variant<Text, Flag, Count, Bytes, Duration, Share, List, Json>;

Result<std::string> normalise_rules(std::string_view json) {
    TRY_ASSIGN(const auto rules, sampling::parse_keep_list(json));
    return sampling::print_keep_list(rules);
}
std::string default_rules() {
    return sampling::print_keep_list(sampling::default_keep_rules().keep);
}
Result<std::string> normalise_strategies(std::string_view json) {
    TRY_ASSIGN(const auto strategies, sampling::parse_head_strategies(json));
    return sampling::print_head_strategies(strategies);
}
std::string default_strategies() {
    return sampling::print_head_strategies({});
}

Result<std::string> normalise_remote_write(std::string_view json) {
    TRY_ASSIGN(const auto targets, api::parse_remote_write(json));
    return api::print_remote_write(targets, api::HeaderValues::kShown);
}
// Headers hold secrets: as they came here, without their values for people.
Result<std::string> normalise_forward(std::string_view json) {
    TRY(sampling::parse_forward_list(json));
    return std::string(json);
}
std::string shown_forward(const std::string& json) {
    const auto targets = sampling::parse_forward_list(json);
    return targets ? sampling::print_forward_list(*targets) : "";
}
std::string no_targets() {
    return "[]";
}
std::string shown_remote_write(const std::string& json) {
    const auto targets = api::parse_remote_write(json);
    return targets ? api::print_remote_write(*targets, api::HeaderValues::kHidden) : "";
}

struct Setting {
    std::string_view section;  // "" for the top level
    std::string_view key;
    Member member;
    std::string_view text;
};

const std::vector<Setting>& settings() {
    static const std::vector<Setting> table = {
        {"", "data", Text{&Config::data},
         "directory that holds everything: log, segments, manifest"},
        {"listen", "otlp_grpc", Text{&Config::otlp_grpc},
         "OTLP over gRPC, host:port (every port speaks gRPC, HTTP/2 and HTTP/1.1); \"\" turns it "
         "off"},
        {"listen", "otlp_http", Text{&Config::otlp_http}, "OTLP over HTTP, host:port"},
        {"listen", "http", Text{&Config::http},
         "web UI, query APIs (Jaeger, Tempo), /healthz, /readyz, /metrics, host:port"},
        {"listen", "zipkin", Text{&Config::zipkin}, "Zipkin v2 spans, host:port"},
        {"listen", "tempo", Text{&Config::tempo},
         "the Tempo API alone, host:port (3200 is usual); off by default"},
        {"listen", "sampling", Text{&Config::sampling},
         "Jaeger's remote sampling: what clients ask how to sample, host:port"},
        {"listen", "jaeger", Text{&Config::jaeger},
         "Jaeger's Thrift batches over HTTP, host:port (14268 is usual); off by default, as are "
         "the "
         "three below"},
        {"listen", "jaeger_grpc", Text{&Config::jaeger_grpc},
         "Jaeger's spans over gRPC, host:port (14250 is usual)"},
        {"listen", "jaeger_compact", Text{&Config::jaeger_compact},
         "datagrams of Jaeger's client libraries, compact Thrift, host:port (6831 is usual)"},
        {"listen", "jaeger_binary", Text{&Config::jaeger_binary},
         "the same in binary Thrift, host:port (6832 is usual)"},
        {"listen", "public", Flag{&Config::listen_public},
         "true allows addresses other than loopback; there is no login, so keep a proxy in front"},
        {"listen", "host_names", List{&Config::host_names},
         "names under which a proxy on this machine passes browsers on, e.g. "
         "[\"traces.example.com\"]; addresses and localhost always work"},
        {"listen", "jaeger_ui", Text{&Config::jaeger_ui},
         "directory of a build of Jaeger's own UI, to be served below /jaeger/ as well: apis.md; "
         "\"\" means none"},
        {"tls", "certificate", Text{&Config::tls_certificate},
         "PEM file of the certificate chain, for all ports; \"\" means plaintext"},
        {"tls", "key", Text{&Config::tls_key}, "PEM file of the private key"},
        {"tls", "client_ca", Text{&Config::tls_client_ca},
         "PEM file of the authority that must have signed clients' certificates; \"\" asks for "
         "none"},
        {"receive", "cors_origins", List{&Config::cors_origins},
         "origins of pages whose browsers may send OTLP/HTTP, e.g. [\"https://shop.example\"]"},
        {"receive", "request_bytes_max", Bytes{&Config::request_bytes_max, 1024},
         "largest request, after decompression"},
        {"receive", "memory", Bytes{&Config::request_memory_bytes, 1U << 20},
         "bytes of requests in flight; beyond it senders are told to come back"},
        {"receive", "connections_max", Count{&Config::connections_max, 16, 1'000'000},
         "open connections of all ports together"},
        {"receive", "quotas", List{&Config::quotas},
         "what services may send, e.g. [\"checkout 5000 spans/s\", \"* 2MiB/s\"]; * stands for "
         "every other service; beyond it senders are told to come back"},
        {"receive", "attributes_max", Count{&Config::attributes_max, 16, 100'000},
         "attributes of one span, event, link or resource; more are dropped and counted"},
        {"receive", "value_bytes_max", Bytes{&Config::value_bytes_max, 256},
         "largest attribute value; longer texts are cut, and counted"},
        {"store", "memory", Bytes{&Config::store_memory_bytes, 8U << 20},
         "spans not yet in files on disk; beyond it senders are told to come back"},
        {"store", "shards", Count{&Config::store_shards, 0, 64},
         "threads that turn spans into columns, each for a share of the traces; 0: half the cores"},
        {"store", "log_bytes_max", Bytes{&Config::log_bytes_max, 16U << 20},
         "log that segments do not hold yet; a restart reads at most this much again"},
        {"store", "flush_after", Duration{&Config::flush_after_ns},
         "age at which spans in memory are written as a segment"},
        {"store", "merge_rate", Bytes{&Config::merge_bytes_per_s, 1U << 20, "no limit"},
         "bytes a second that merging and ageing may write"},
        {"recent", "for", Duration{&Config::recent_for_ns, "until there is no room"},
         "how long every trace is kept, by arrival, before the rules of keep decide"},
        {"recent", "disk", Bytes{&Config::recent_bytes, 0, "no limit of its own"},
         "bytes of recent traces; beyond it the rules decide about the oldest hour"},
        {"", "keep", Json{&Config::keep, normalise_rules, default_rules},
         "which traces stay when they are not recent any more; the first rule that matches "
         "decides"},
        {"", "head_sampling",
         Json{&Config::head_sampling, normalise_strategies, default_strategies},
         "what clients that ask are told to sample where traces begin, as Jaeger's strategies file "
         "says it; type may be probabilistic, ratelimiting or adaptive"},
        {"", "forward", Json{&Config::forward, normalise_forward, no_targets, shown_forward},
         "where traces are sent on to, and which: forward.md; values of headers are not shown"},
        {"retention", "for", Duration{&Config::retention_ns, "until the disk is full enough"},
         "how long spans are kept, by arrival"},
        {"retention", "bytes", Bytes{&Config::retention_bytes, 0, "no limit"},
         "most bytes of segments; beyond it the rules of keep decide about the oldest hour, and at "
         "last the oldest goes"},
        {"retention", "disk_used_max", Share{&Config::disk_used_max},
         "share of the disk in use at which the same happens (0 to 1)"},
        {"retention", "disk_free_min", Bytes{&Config::disk_free_bytes_min, 0, "no limit"},
         "free disk below which nothing is accepted until there is room"},
        {"retention", "decisions", Duration{&Config::decisions_ns, "for ever"},
         "how long it is known why a trace was kept or dropped"},
        {"retention", "counts", Duration{&Config::counts_ns, "for ever"},
         "how long rates, errors and durations of spans that are gone are known"},
        {"retention", "counts_by_10s", Duration{&Config::counts_short_ns, "for ever"},
         "how long they are known in steps of ten seconds, by arrival; then minute by minute"},
        {"retention", "counts_by_minute", Duration{&Config::counts_minutes_ns, "for ever"},
         "how long they are known minute by minute; then hour by hour"},
        {"retention", "reserve", Bytes{&Config::reserve_bytes, 0, "none"},
         "bytes of a file that is given up where others fill the disk, so that retention works"},
        {"", "remote_write",
         Json{&Config::remote_write, normalise_remote_write, no_targets, shown_remote_write},
         "where counts and durations of operations (/metrics/red) are sent by Prometheus remote "
         "write, e.g. [{url: 'http://127.0.0.1:9090/api/v1/write', headers: {}, every: 15s}]"},
        {"query", "threads", Count{&Config::query_threads, 1, 1024}, "queries that run at once"},
        {"query", "memory", Bytes{&Config::query_memory_bytes, 1U << 20},
         "what one query may gather; beyond it the answer is partial and says so"},
        {"query", "cache", Bytes{&Config::query_cache_bytes, 1U << 20},
         "decoded parts of segments that queries share; what was not asked for lately goes"},
        {"query", "timeout", Duration{&Config::query_timeout_ns},
         "time after which a query answers with what it has, marked partial"},
        {"", "shutdown", Duration{&Config::shutdown_ns},
         "time for requests in flight and the last flush after SIGTERM"},
    };
    return table;
}

std::string full_key(const Setting& setting) {
    return setting.section.empty() ? std::string(setting.key)
                                   : fmt::format("{}.{}", setting.section, setting.key);
}

std::string quote(const std::string& text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

// The shortest exact size with a binary unit.
std::string print_bytes(uint64_t bytes) {
    static constexpr std::pair<uint64_t, const char*> kUnits[] = {
        {1U << 30, "GiB"}, {1U << 20, "MiB"}, {1U << 10, "KiB"}};
    for (const auto& [size, unit] : kUnits) {
        if (bytes >= size && bytes % size == 0) return fmt::format("{}{}", bytes / size, unit);
    }
    return fmt::format("{}", bytes);
}

std::string print_duration(uint64_t ns) {
    static constexpr std::pair<uint64_t, const char*> kUnits[] = {
        {3'600'000'000'000, "h"}, {60'000'000'000, "m"}, {1'000'000'000, "s"}, {1'000'000, "ms"}};
    if (ns == 0) return "0";
    for (const auto& [size, unit] : kUnits) {
        if (ns % size == 0) return fmt::format("{}{}", ns / size, unit);
    }
    return fmt::format("{}ns", ns);
}

std::string print_value(const Setting& setting, const Config& config) {
    struct Printer {
        const Config& config;
        std::string operator()(const Text& m) const { return quote(config.*m.member); }
        std::string operator()(const Flag& m) const { return config.*m.member ? "true" : "false"; }
        std::string operator()(const Count& m) const { return fmt::format("{}", config.*m.member); }
        std::string operator()(const Bytes& m) const { return print_bytes(config.*m.member); }
        std::string operator()(const Duration& m) const { return print_duration(config.*m.member); }
        std::string operator()(const Share& m) const { return fmt::format("{}", config.*m.member); }
        std::string operator()(const List& m) const {
            std::string out = "[";
            for (const std::string& item : config.*m.member)
                out += (out.size() > 1 ? ", " : "") + quote(item);
            return out + "]";
        }
        std::string operator()(const Json& m) const {
            const std::string& json = config.*m.member;
            if (json.empty()) return m.by_default();
            return m.shown == nullptr ? json : m.shown(json);
        }
    };
    return std::visit(Printer{config}, setting.member);
}

std::string describe(const Setting& setting) {
    std::string text(setting.text);
    if (const auto* bytes = std::get_if<Bytes>(&setting.member); bytes && bytes->zero)
        text += fmt::format("; 0 means {}", bytes->zero);
    if (const auto* duration = std::get_if<Duration>(&setting.member); duration && duration->zero)
        text += fmt::format("; 0 means {}", duration->zero);
    return text;
}

// ---- reading

constexpr int kJsonDepthMax = 8;

// Fills one member from a YAML node, or says what should stand there.
struct Reader {
    const YAML::Node& node;
    Config& config;

    Result<void> operator()(const Text& m) const {
        if (!node.IsScalar()) return fail(ErrorCode::kInvalidArgument, "must be a text");
        config.*m.member = node.Scalar();
        return {};
    }
    Result<void> operator()(const Flag& m) const {
        const std::string text = node.IsScalar() ? node.Scalar() : "";
        if (text != "true" && text != "false")
            return fail(ErrorCode::kInvalidArgument, "must be true or false");
        config.*m.member = text == "true";
        return {};
    }
    Result<void> operator()(const Count& m) const {
        const auto value = node.IsScalar() ? parse_int(node.Scalar()) : std::nullopt;
        if (!value || *value < 0 || static_cast<uint64_t>(*value) < m.min ||
            static_cast<uint64_t>(*value) > m.max)
            return fail(ErrorCode::kInvalidArgument, "must be a whole number from {} to {}", m.min,
                        m.max);
        config.*m.member = static_cast<uint64_t>(*value);
        return {};
    }
    Result<void> operator()(const Bytes& m) const {
        if (!node.IsScalar()) return fail(ErrorCode::kInvalidArgument, "must be a size like 64MiB");
        TRY_ASSIGN(const uint64_t bytes, parse_bytes(node.Scalar()));
        if (bytes < m.min)
            return fail(ErrorCode::kInvalidArgument, "must be at least {}", print_bytes(m.min));
        config.*m.member = bytes;
        return {};
    }
    Result<void> operator()(const Duration& m) const {
        if (!node.IsScalar())
            return fail(ErrorCode::kInvalidArgument, "must be a duration like 30s");
        TRY_ASSIGN(const int64_t ns, parse_duration_ns(node.Scalar()));
        if (ns < 0 || (ns == 0 && m.zero == nullptr))
            return fail(ErrorCode::kInvalidArgument, "must be longer than 0");
        config.*m.member = static_cast<uint64_t>(ns);
        return {};
    }
    Result<void> operator()(const Share& m) const {
        const auto value = node.IsScalar() ? parse_double(node.Scalar()) : std::nullopt;
        if (!value || !(*value > 0) || *value > 1)
            return fail(ErrorCode::kInvalidArgument, "must be a number above 0 and at most 1");
        config.*m.member = *value;
        return {};
    }
    Result<void> operator()(const List& m) const {
        std::vector<std::string> items;
        if (!node.IsSequence()) return fail(ErrorCode::kInvalidArgument, "must be a list of texts");
        for (const YAML::Node& item : node) {
            if (!item.IsScalar())
                return fail(ErrorCode::kInvalidArgument, "must be a list of texts");
            items.push_back(item.Scalar());
        }
        config.*m.member = std::move(items);
        return {};
    }
    Result<void> operator()(const Json& m) const {
        TRY_ASSIGN(const std::string json, yaml_as_json(node, kJsonDepthMax, YamlScalars::kTexts));
        TRY_ASSIGN(config.*m.member, m.normalise(json));
        return {};
    }
};

size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j)
        row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t above = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
            diagonal = above;
        }
    }
    return row[b.size()];
}

tl::unexpected<Error> unknown_key(const std::string& where, const std::string& key) {
    const Setting* nearest = &settings().front();
    for (const Setting& setting : settings()) {
        if (edit_distance(full_key(setting), key) < edit_distance(full_key(*nearest), key))
            nearest = &setting;
    }
    return fail(ErrorCode::kInvalidArgument,
                "{}: there is no setting '{}'; did you mean '{}'? `spanloom config print` shows "
                "them all",
                where, key.substr(0, 80), full_key(*nearest));
}

bool is_section(std::string_view name) {
    return !name.empty() && std::any_of(settings().begin(), settings().end(),
                                        [&](const Setting& s) { return s.section == name; });
}

Result<void> read_section(const YAML::Node& map, std::string_view section, const std::string& name,
                          Config& config) {
    for (const auto& entry : map) {
        const std::string where = fmt::format("{}:{}", name, entry.first.Mark().line + 1);
        const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "?";
        if (section.empty() && is_section(key)) {
            if (entry.second.IsNull()) continue;
            if (!entry.second.IsMap())
                return fail(ErrorCode::kInvalidArgument, "{}: '{}' must hold settings below it",
                            where, key);
            TRY(read_section(entry.second, key, name, config));
            continue;
        }
        const auto setting =
            std::find_if(settings().begin(), settings().end(),
                         [&](const Setting& s) { return s.section == section && s.key == key; });
        if (setting == settings().end())
            return unknown_key(where, section.empty() ? key : fmt::format("{}.{}", section, key));
        if (auto read = std::visit(Reader{entry.second, config}, setting->member); !read)
            return fail(ErrorCode::kInvalidArgument, "{}: {}: {}", where, full_key(*setting),
                        read.error().message);
    }
    return {};
}

}  // namespace

Result<void> read_config_text(std::string_view yaml, const std::string& name, Config& config) {
    constexpr size_t kBytesMax = 1U << 20;  // a configuration is a page; a larger file is a mistake
    if (yaml.size() > kBytesMax)
        return fail(ErrorCode::kInvalidArgument, "{} is larger than 1 MiB: is it a configuration?",
                    name);
    try {
        const YAML::Node root = YAML::Load(std::string(yaml));
        if (root.IsNull()) return {};
        if (!root.IsMap())
            return fail(ErrorCode::kInvalidArgument, "{}:1: expected settings like 'data: ./here'",
                        name);
        return read_section(root, "", name, config);
    } catch (const YAML::Exception& e) {
        return fail(ErrorCode::kInvalidArgument, "{}:{}: not YAML: {}", name, e.mark.line + 1,
                    e.msg);
    }
}

Result<void> read_config_file(const std::string& path, Config& config) {
    TRY_ASSIGN(const std::string text, read_text_file(path, "the configuration"));
    return read_config_text(text, path, config);
}

bool HostPort::is_loopback() const {
    return host == "localhost" || host == "::1" || host.starts_with("127.");
}

Result<HostPort> parse_host_port(std::string_view text) {
    const auto malformed = [&] {
        return fail(ErrorCode::kInvalidArgument,
                    "'{}' is not an address: write host:port, like 127.0.0.1:4317", text);
    };
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return malformed();
    std::string_view host = text.substr(0, colon);
    const auto port = parse_int(text.substr(colon + 1));
    if (!port || *port < 0 || *port > 65535) return malformed();
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
        return malformed();
    }
    if (host.empty()) host = "127.0.0.1";
    return HostPort{std::string(host), static_cast<uint16_t>(*port)};
}

Result<void> check_config(const Config& config) {
    if (config.data.empty()) return fail(ErrorCode::kInvalidArgument, "data must name a directory");
    const std::pair<const char*, const std::string*> addresses[] = {
        {"listen.otlp_grpc", &config.otlp_grpc},
        {"listen.otlp_http", &config.otlp_http},
        {"listen.http", &config.http},
        {"listen.zipkin", &config.zipkin},
        {"listen.tempo", &config.tempo},
        {"listen.sampling", &config.sampling},
        {"listen.jaeger", &config.jaeger},
        {"listen.jaeger_grpc", &config.jaeger_grpc},
        {"listen.jaeger_compact", &config.jaeger_compact},
        {"listen.jaeger_binary", &config.jaeger_binary}};
    for (const auto& [key, address] : addresses) {
        if (address->empty()) continue;
        auto parsed = parse_host_port(*address);
        if (!parsed)
            return fail(ErrorCode::kInvalidArgument, "{}: {}", key, parsed.error().message);
        if (!parsed->is_loopback() && !config.listen_public)
            return fail(ErrorCode::kInvalidArgument,
                        "{}: {} is reachable from outside, and there is no login: set "
                        "listen.public: true (or --public) if that is meant",
                        key, *address);
    }
    if (!config.jaeger_ui.empty() && config.http.empty())
        return fail(ErrorCode::kInvalidArgument,
                    "listen.jaeger_ui needs listen.http, where it is served");
    for (const std::string& quota : config.quotas) {
        if (const auto parsed = parse_quota(quota); !parsed)
            return fail(ErrorCode::kInvalidArgument, "receive.quotas: {}", parsed.error().message);
    }
    if (config.tls_certificate.empty() != config.tls_key.empty())
        return fail(ErrorCode::kInvalidArgument,
                    "tls.certificate and tls.key belong together: give both or neither");
    if (!config.tls_client_ca.empty() && config.tls_certificate.empty())
        return fail(ErrorCode::kInvalidArgument, "tls.client_ca needs tls.certificate and tls.key");
    if (config.retention_ns != 0 && config.retention_ns < config.recent_for_ns)
        return fail(ErrorCode::kInvalidArgument,
                    "retention.for ({}) is shorter than recent.for ({}): nothing would be left for "
                    "the rules of keep to decide about",
                    print_duration(config.retention_ns), print_duration(config.recent_for_ns));
    if (config.request_memory_bytes < config.request_bytes_max)
        return fail(ErrorCode::kInvalidArgument,
                    "receive.memory ({}) must hold at least one request of "
                    "receive.request_bytes_max ({})",
                    print_bytes(config.request_memory_bytes),
                    print_bytes(config.request_bytes_max));
    return {};
}

std::vector<SettingText> describe_settings(const Config& config) {
    std::vector<SettingText> out;
    for (const Setting& setting : settings())
        out.push_back({full_key(setting), print_value(setting, config), describe(setting)});
    return out;
}

Result<sampling::KeepRules> keep_rules_of(const Config& config) {
    sampling::KeepRules rules = sampling::default_keep_rules();
    rules.recent_for_ms = config.recent_for_ns / 1'000'000;
    rules.recent_bytes_max = config.recent_bytes;
    if (!config.keep.empty()) {
        TRY_ASSIGN(rules.keep, sampling::parse_keep_list(config.keep));
    }
    return rules;
}

Result<std::vector<sampling::ForwardOptions>> forward_of(const Config& config) {
    return sampling::parse_forward_list(config.forward.empty() ? "[]" : config.forward);
}

std::string print_config(const Config& config) {
    std::vector<std::string_view> sections = {""};
    for (const Setting& setting : settings()) {
        if (std::find(sections.begin(), sections.end(), setting.section) == sections.end())
            sections.push_back(setting.section);
    }
    std::string out;
    for (const std::string_view section : sections) {
        if (!section.empty()) fmt::format_to(std::back_inserter(out), "\n{}:\n", section);
        const char* indent = section.empty() ? "" : "  ";
        for (const Setting& setting : settings()) {
            if (setting.section != section) continue;
            fmt::format_to(std::back_inserter(out), "{}# {}\n{}{}: {}\n", indent, describe(setting),
                           indent, setting.key, print_value(setting, config));
        }
    }
    return out;
}

}  // namespace spanloom

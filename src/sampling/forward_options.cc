#include "sampling/forward_options.h"

#include <algorithm>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/json_writer.h"
#include "base/text.h"
#include "sampling/json_settings.h"
#include "send/endpoint.h"

namespace spanloom::sampling {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

constexpr size_t kNameBytesMax = 64;
constexpr size_t kHeadersMax = 32;
constexpr uint64_t kWaitMsMax = 24ULL * 3'600'000;
constexpr const char* kSettings =
    "name, endpoint, protocol, headers, tls, gzip, wait, keep, dead_letters, history";

Result<bool> read_flag(element value) {
    bool flag = false;
    if (!value.get(flag)) return flag;
    std::string_view text;
    if (value.get(text) || (text != "true" && text != "false"))
        return wrong("must be true or false");
    return text == "true";
}

Result<send::Protocol> read_protocol(element value) {
    TRY_ASSIGN(const std::string_view text, read_text(value));
    if (text == "grpc") return send::Protocol::kGrpc;
    if (text == "http/protobuf") return send::Protocol::kHttpProtobuf;
    if (text == "http/json") return send::Protocol::kHttpJson;
    return wrong("must be grpc, http/protobuf or http/json");
}

Result<void> read_headers(element value, ForwardOptions& target) {
    object list;
    if (value.get(list) || list.size() > kHeadersMax)
        return wrong("must be at most {} names with values", kHeadersMax);
    for (const auto& [name, text] : list) {
        TRY_ASSIGN(const std::string_view content, read_text(text));
        target.headers.emplace_back(name, content);
    }
    return {};
}

Result<void> read_tls(element value, ForwardOptions& target) {
    object settings;
    if (value.get(settings)) return wrong("must hold ca, certificate, key");
    for (const auto& [key, file] : settings) {
        std::string* const place = key == "ca"            ? &target.tls.ca_file
                                   : key == "certificate" ? &target.tls.client_certificate_file
                                   : key == "key"         ? &target.tls.client_key_file
                                                          : nullptr;
        if (place == nullptr)
            return wrong("there is no setting '{}'; tls has ca, certificate, key",
                         key.substr(0, kNameBytesMax));
        TRY_ASSIGN(*place, read_text(file));
    }
    return {};
}

Result<void> read_setting(std::string_view key, element value, ForwardOptions& target) {
    if (key == "headers") return read_headers(value, target);
    if (key == "tls") return read_tls(value, target);
    if (key == "name") {
        TRY_ASSIGN(target.name, read_text(value));
    } else if (key == "endpoint") {
        TRY_ASSIGN(target.endpoint, read_text(value));
    } else if (key == "protocol") {
        TRY_ASSIGN(target.protocol, read_protocol(value));
    } else if (key == "gzip") {
        TRY_ASSIGN(target.gzip, read_flag(value));
    } else if (key == "wait") {
        TRY_ASSIGN(const std::string_view text, read_text(value));
        TRY_ASSIGN(const int64_t ns, parse_duration_ns(text));
        if (ns < 0 || static_cast<uint64_t>(ns) / 1'000'000 > kWaitMsMax)
            return wrong("must be a duration of at most 24h");
        target.wait_ms = static_cast<uint64_t>(ns) / 1'000'000;
    } else if (key == "keep") {
        TRY_ASSIGN(target.rules.keep, parse_keep_list(simdjson::minify(value)));
        if (target.rules.keep.empty())
            return wrong("must have a rule; leave it out where everything is to be forwarded");
    } else if (key == "dead_letters") {
        TRY_ASSIGN(const std::string_view text, read_text(value));
        TRY_ASSIGN(target.dead_letter_bytes_max, parse_bytes(text));
    } else if (key == "history") {
        TRY_ASSIGN(const std::string_view text, read_text(value));
        TRY_ASSIGN(target.history_bytes_max, parse_bytes(text));
    } else {
        return wrong("there is no such setting; a target has {}", kSettings);
    }
    return {};
}

// A name is part of a path.
bool is_name(std::string_view name) {
    return !name.empty() && name.size() <= kNameBytesMax && name.front() != '.' &&
           name.find_first_not_of(
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
               "0123456789._-") == std::string_view::npos;
}

std::string name_of_endpoint(std::string_view endpoint) {
    const size_t scheme = endpoint.find("://");
    std::string name(scheme == std::string_view::npos ? endpoint : endpoint.substr(scheme + 3));
    for (char& c : name)
        if (!is_name({&c, 1})) c = '-';
    return name.substr(0, kNameBytesMax);
}

Result<ForwardOptions> parse_target(element value) {
    object settings;
    if (value.get(settings)) return wrong("must be an object with {}", kSettings);
    ForwardOptions target;
    for (const auto& [key, setting] : settings) {
        if (const Result<void> read = read_setting(key, setting, target); !read)
            return wrong("{}: {}", key.substr(0, kNameBytesMax), read.error().message);
    }
    if (target.endpoint.empty()) return wrong("endpoint: must be given, like collector:4317");
    if (target.endpoint.find("://") == std::string::npos) {
        const bool is_tls = !target.tls.ca_file.empty() ||
                            !target.tls.client_certificate_file.empty() ||
                            !target.tls.client_key_file.empty();
        target.endpoint = (is_tls ? "https://" : "http://") + target.endpoint;
    }
    if (const auto place = send::parse_endpoint(target.endpoint, 0); !place)
        return wrong("endpoint: {}", place.error().message);
    if (target.name.empty()) target.name = name_of_endpoint(target.endpoint);
    if (!is_name(target.name))
        return wrong("name: must be 1 to {} letters, digits, '-', '_' and '.'", kNameBytesMax);
    if (target.rules.keep.empty()) {
        target.rules.keep.emplace_back();
        target.rules.keep.back().name = "all";
    }
    if (target.tls.client_certificate_file.empty() != target.tls.client_key_file.empty())
        return wrong("tls: certificate and key belong together: give both or neither");
    return target;
}

const char* protocol_text(send::Protocol protocol) {
    switch (protocol) {
        case send::Protocol::kGrpc:
            return "grpc";
        case send::Protocol::kHttpProtobuf:
            return "http/protobuf";
        case send::Protocol::kHttpJson:
            return "http/json";
    }
    return "";
}

}  // namespace

Result<std::vector<ForwardOptions>> parse_forward_list(std::string_view json) {
    if (json.size() > kKeepRulesBytesMax)
        return wrong("is longer than {}", format_bytes(kKeepRulesBytesMax));
    simdjson::dom::parser parser;
    simdjson::dom::array list;
    if (parser.parse(json.data(), json.size()).get(list) || list.size() > kForwardTargetsMax)
        return wrong("must be a list of at most {} targets", kForwardTargetsMax);
    std::vector<ForwardOptions> targets;
    for (const element one : list) {
        Result<ForwardOptions> target = parse_target(one);
        if (!target) return wrong("forward[{}]: {}", targets.size(), target.error().message);
        const bool is_taken =
            std::any_of(targets.begin(), targets.end(),
                        [&](const ForwardOptions& other) { return other.name == target->name; });
        if (is_taken)
            return wrong("forward[{}]: name: there are two targets '{}'; give one another name",
                         targets.size(), target->name);
        targets.push_back(std::move(*target));
    }
    return targets;
}

std::string print_forward_list(const std::vector<ForwardOptions>& targets) {
    std::string out;
    JsonWriter json(out);
    json.begin_array();
    for (const ForwardOptions& target : targets) {
        json.begin_object().field("name", target.name).field("endpoint", target.endpoint);
        json.field("protocol", std::string_view(protocol_text(target.protocol)));
        if (!target.headers.empty()) {
            json.key("headers").begin_object();
            for (const auto& [name, value] : target.headers)
                json.field(name, std::string_view("(not shown)"));
            json.end_object();
        }
        const send::TlsOptions& tls = target.tls;
        if (!tls.ca_file.empty() || !tls.client_key_file.empty()) {
            json.key("tls").begin_object();
            if (!tls.ca_file.empty()) json.field("ca", tls.ca_file);
            if (!tls.client_certificate_file.empty())
                json.field("certificate", tls.client_certificate_file);
            if (!tls.client_key_file.empty()) json.field("key", tls.client_key_file);
            json.end_object();
        }
        if (target.gzip) json.field("gzip", true);
        json.field("wait", format_duration_ns(static_cast<int64_t>(target.wait_ms) * 1'000'000));
        json.key("keep").raw(print_keep_list(target.rules.keep));
        json.field("dead_letters", std::to_string(target.dead_letter_bytes_max));
        json.field("history", std::to_string(target.history_bytes_max)).end_object();
    }
    json.end_array();
    return out;
}

}  // namespace spanloom::sampling

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.h"
#include "sdk/system_source.h"

// Names: semantic conventions 1.44, resource/.
namespace spanloom::sdk {
namespace {

constexpr size_t kContainerIdDigits = 64;

// Sets text that is there.
void set_text(Resource& resource, std::string_view key, std::string_view value) {
    if (!value.empty()) resource.set(key, value);
}

// Takes the next line off the front.
std::string_view take_line(std::string_view& text) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return line;
}

std::string_view trim_line(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\n' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\n' || text.back() == '\t'))
        text.remove_suffix(1);
    return text;
}

// The first of several variables that is set.
std::string first_variable(const SystemSource& source,
                           std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) {
        if (auto value = source.variable(name); value && !value->empty()) return *std::move(value);
    }
    return {};
}

std::string_view architecture(std::string_view machine) {
    static constexpr std::pair<std::string_view, std::string_view> kNames[] = {
        {"x86_64", "amd64"}, {"aarch64", "arm64"}, {"armv7l", "arm32"}, {"i686", "x86"},
        {"i386", "x86"},     {"ppc64le", "ppc64"}, {"s390x", "s390x"},
    };
    for (const auto& [uname, name] : kNames) {
        if (machine == uname) return name;
    }
    return machine;
}

// A variable of /etc/os-release, without its quotes.
std::string_view release_value(std::string_view release, std::string_view name) {
    while (!release.empty()) {
        std::string_view line = take_line(release);
        if (line.size() <= name.size() || line.substr(0, name.size()) != name ||
            line[name.size()] != '=')
            continue;
        line.remove_prefix(name.size() + 1);
        if (line.size() >= 2 && (line.front() == '"' || line.front() == '\'') &&
            line.back() == line.front())
            line = line.substr(1, line.size() - 2);
        return line;
    }
    return {};
}

// The name of a user by /etc/passwd: asking the name service could mean asking
// the network.
std::string_view user_name(std::string_view passwd, uint32_t user_id) {
    const std::string wanted = fmt::format("{}", user_id);
    while (!passwd.empty()) {
        const std::string_view line = take_line(passwd);
        const size_t name = line.find(':');
        const size_t password = name == std::string_view::npos ? name : line.find(':', name + 1);
        if (password == std::string_view::npos) continue;
        const size_t id = line.find(':', password + 1);
        if (line.substr(password + 1, id - password - 1) == wanted) return line.substr(0, name);
    }
    return {};
}

bool is_hex(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// A container's id in a path: "docker-<id>.scope", "/docker/<id>",
// "cri-containerd:<id>".
std::string_view id_in(std::string_view path) {
    while (!path.empty()) {
        const size_t end = std::min(path.find_first_of("/:-."), path.size());
        if (end == kContainerIdDigits && is_hex(path.substr(0, end))) return path.substr(0, end);
        path.remove_prefix(std::min(end + 1, path.size()));
    }
    return {};
}

}  // namespace

Resource detect_service(const SystemSource& source) {
    Resource resource({}, kResourceSchemaUrl);
    // RFC 9562, version 4.
    const uint64_t high = (source.random() & 0xffffffffffff0fff) | 0x4000;
    const uint64_t low = (source.random() & 0x3fffffffffffffff) | 0x8000000000000000;
    resource.set_of_process(
        "service.instance.id",
        fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, high >> 16 & 0xffff,
                    high & 0xffff, low >> 48, low & 0xffffffffffff));
    set_text(resource, "service.name", first_variable(source, {"OTEL_SERVICE_NAME"}));
    return resource;
}

Resource detect_host(const SystemSource& source) {
    Resource resource({}, kResourceSchemaUrl);
    set_text(resource, "host.name", source.host_name);
    set_text(resource, "host.arch", architecture(source.machine));
    for (const char* path : {"/etc/machine-id", "/var/lib/dbus/machine-id"}) {
        const std::optional<std::string> id = source.read_file(path);
        if (!id || trim_line(*id).empty()) continue;
        resource.set("host.id", trim_line(*id));
        break;
    }
#if defined(__linux__)
    resource.set("os.type", "linux");
#elif defined(__APPLE__)
    resource.set("os.type", "darwin");
#endif
    if (const auto release = source.read_file("/etc/os-release")) {
        set_text(resource, "os.description", release_value(*release, "PRETTY_NAME"));
        set_text(resource, "os.name", release_value(*release, "NAME"));
        set_text(resource, "os.version", release_value(*release, "VERSION_ID"));
    }
    return resource;
}

Resource detect_process(const SystemSource& source) {
    Resource resource({}, kResourceSchemaUrl);
    resource.set_of_process("process.pid", source.process_id);
    resource.set_of_process("process.parent_pid", source.parent_process_id);
    if (const auto path = source.read_link("/proc/self/exe")) {
        resource.set("process.executable.path", *path);
        resource.set("process.executable.name",
                     std::string_view(*path).substr(path->rfind('/') + 1));
    }
    if (const auto passwd = source.read_file("/etc/passwd"))
        set_text(resource, "process.owner", user_name(*passwd, source.user_id));
    return resource;
}

void renew_identity(Resource& resource, const SystemSource& source) {
    const Resource now = detect_process(source).merge(detect_service(source));
    std::vector<OwnedAttribute> stale;
    for (const OwnedAttribute& attribute : resource.attributes())
        if (attribute.is_of_process) stale.push_back(attribute);
    for (const OwnedAttribute& attribute : stale) {
        const OwnedAttribute* own = now.find(attribute.key);
        if (own != nullptr && own->is_of_process) resource.put(*own);
    }
}

std::string container_id(std::string_view cgroup, std::string_view mount_info) {
    while (!cgroup.empty()) {
        const std::string_view line = take_line(cgroup);
        const size_t path = line.rfind('/');
        if (path == std::string_view::npos) continue;
        if (const std::string_view id = id_in(line.substr(path + 1)); !id.empty())
            return std::string(id);
    }
    // Version 2 hides the path; but the files that a container's engine mounts
    // into it (hostname, resolv.conf) come from a directory that is named after
    // it.
    while (!mount_info.empty()) {
        const std::string_view line = take_line(mount_info);
        const size_t containers = line.find("containers/");
        if (containers == std::string_view::npos ||
            (line.find("/hostname") == line.npos && line.find("/resolv.conf") == line.npos))
            continue;
        if (const std::string_view id = id_in(line.substr(containers + 11)); !id.empty())
            return std::string(id);
    }
    return {};
}

Resource detect_container(const SystemSource& source) {
    Resource resource({}, kResourceSchemaUrl);
    set_text(resource, "container.id",
             container_id(source.read_file("/proc/self/cgroup").value_or(""),
                          source.read_file("/proc/self/mountinfo").value_or("")));
    return resource;
}

Resource detect_kubernetes(const SystemSource& source) {
    Resource resource({}, kResourceSchemaUrl);
    const bool is_in_cluster = !first_variable(source, {"KUBERNETES_SERVICE_HOST"}).empty();
    std::string pod = first_variable(source, {"K8S_POD_NAME", "POD_NAME", "MY_POD_NAME"});
    std::string space = first_variable(
        source, {"K8S_NAMESPACE_NAME", "K8S_NAMESPACE", "POD_NAMESPACE", "MY_POD_NAMESPACE"});
    if (is_in_cluster) {
        // A pod's host name is its own name, unless it asks for another.
        if (pod.empty()) pod = source.host_name;
        if (space.empty()) {
            space = trim_line(
                source.read_file("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
                    .value_or(""));
        }
    }
    set_text(resource, "k8s.pod.name", pod);
    set_text(resource, "k8s.namespace.name", space);
    set_text(resource, "k8s.pod.uid",
             first_variable(source, {"K8S_POD_UID", "POD_UID", "MY_POD_UID"}));
    set_text(resource, "k8s.node.name",
             first_variable(source, {"K8S_NODE_NAME", "NODE_NAME", "MY_NODE_NAME"}));
    set_text(resource, "k8s.container.name",
             first_variable(source, {"K8S_CONTAINER_NAME", "CONTAINER_NAME"}));
    set_text(resource, "k8s.deployment.name", first_variable(source, {"K8S_DEPLOYMENT_NAME"}));
    set_text(resource, "k8s.cluster.name", first_variable(source, {"K8S_CLUSTER_NAME"}));
    return resource;
}

Resource parse_resource_attributes(std::string_view text, std::string& problem) {
    Resource resource;
    while (!text.empty()) {
        const size_t end = std::min(text.find(','), text.size());
        const std::string_view pair = trim_line(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (pair.empty()) continue;
        const size_t equals = pair.find('=');
        const std::string_view key = trim_line(pair.substr(0, equals));
        if (equals == std::string_view::npos || key.empty()) {
            problem =
                fmt::format("OTEL_RESOURCE_ATTRIBUTES is ignored: '{}' is no key=value pair", pair);
            return {};
        }
        const std::string value = decode_percent(trim_line(pair.substr(equals + 1)), false);
        if (!is_valid_utf8(value)) {
            problem = fmt::format(
                "OTEL_RESOURCE_ATTRIBUTES is ignored: the value of '{}' is no UTF-8", key);
            return {};
        }
        resource.set(decode_percent(key, false), value);
    }
    return resource;
}

}  // namespace spanloom::sdk

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "sdk/substitution.h"
#include "spanloom/resource.h"

namespace spanloom::sdk {

// What detectors look at, handed in so that tests can be any machine. Nothing
// here runs another program or asks the network.
struct SystemSource {
    Environment variable;
    // The first 256 KiB of a file; absent where it cannot be read.
    std::function<std::optional<std::string>(const std::string& path)> read_file;
    std::function<std::optional<std::string>(const std::string& path)> read_link;
    std::function<uint64_t()> random;
    std::string host_name;
    std::string machine;  // as uname has it: "x86_64"
    int64_t process_id = 0;
    int64_t parent_process_id = 0;
    uint32_t user_id = 0;

    static SystemSource of_this_process();
};

// The schema whose names the detectors use.
constexpr std::string_view kResourceSchemaUrl = "https://opentelemetry.io/schemas/1.44.0";

// service.instance.id, made anew in each process, and service.name by
// OTEL_SERVICE_NAME.
Resource detect_service(const SystemSource& source);
// host.* and os.*.
Resource detect_host(const SystemSource& source);
// Without command line and arguments: those may hold secrets.
Resource detect_process(const SystemSource& source);
// In a forked child: what was detected of the parent process becomes this one's own.
void renew_identity(Resource& resource, const SystemSource& source);
// container.id, by control groups of both versions.
Resource detect_container(const SystemSource& source);
// k8s.*, by the downward API's variables under their usual names and the
// service account's files.
Resource detect_kubernetes(const SystemSource& source);

// The id in /proc/self/cgroup (version 1) or /proc/self/mountinfo (version 2);
// "" where the process runs in no container.
std::string container_id(std::string_view cgroup, std::string_view mount_info);

// OTEL_RESOURCE_ATTRIBUTES: "key=value,key=value", both percent-encoded. Any
// error spoils the whole; it is told in `problem`.
Resource parse_resource_attributes(std::string_view text, std::string& problem);

}  // namespace spanloom::sdk

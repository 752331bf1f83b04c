#include "sdk/system_source.h"

#include <array>
#include <memory>

#include <fcntl.h>
#include <limits.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/random.h"

namespace spanloom::sdk {
namespace {

constexpr size_t kFileBytesMax = 256U << 10;

std::optional<std::string> read_whole_file(const std::string& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (descriptor < 0) return std::nullopt;
    std::string text;
    std::array<char, 4096> part;
    while (text.size() < kFileBytesMax) {
        const ssize_t size = ::read(descriptor, part.data(), part.size());
        if (size <= 0) break;
        text.append(part.data(), static_cast<size_t>(size));
    }
    ::close(descriptor);
    return text;
}

std::optional<std::string> read_link_target(const std::string& path) {
    std::array<char, PATH_MAX> target;
    const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
    if (size <= 0) return std::nullopt;
    return std::string(target.data(), static_cast<size_t>(size));
}

}  // namespace

SystemSource SystemSource::of_this_process() {
    SystemSource source;
    source.variable = process_variable;
    source.read_file = &read_whole_file;
    source.read_link = &read_link_target;
    source.random = random_seed;
    utsname names{};
    if (::uname(&names) == 0) {
        source.host_name = names.nodename;
        source.machine = names.machine;
    }
    source.process_id = ::getpid();
    source.parent_process_id = ::getppid();
    source.user_id = ::getuid();
    return source;
}

}  // namespace spanloom::sdk

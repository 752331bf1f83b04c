#include "base/log.h"

#include <chrono>
#include <map>
#include <mutex>
#include <string>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace spanloom::log {
namespace {

constexpr int kLinesPerWindow = 20;
constexpr auto kWindow = std::chrono::seconds(10);

struct Allowance {
    std::chrono::steady_clock::time_point window_start;
    int written = 0;
    uint64_t left_out = 0;
};

spdlog::logger& logger() {
    static const auto instance = [] {
        auto made = std::make_shared<spdlog::logger>(
            "spanloom", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
        made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
        made->flush_on(spdlog::level::info);
        return made;
    }();
    return *instance;
}

std::string escape_control(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            out += fmt::format("\\x{:02x}", byte);
        } else {
            out += c;
        }
    }
    return out;
}

spdlog::level::level_enum to_spdlog(Level level) {
    switch (level) {
        case Level::kDebug:
            return spdlog::level::debug;
        case Level::kInfo:
            return spdlog::level::info;
        case Level::kWarning:
            return spdlog::level::warn;
        case Level::kError:
            return spdlog::level::err;
    }
    return spdlog::level::err;
}

// Formats are literals, so their number is bounded by the program.
bool admit(std::string_view format, uint64_t& left_out) {
    static std::mutex mutex;
    static std::map<std::string, Allowance, std::less<>> allowances;
    std::lock_guard lock(mutex);
    auto found = allowances.find(format);
    if (found == allowances.end())
        found = allowances.emplace(std::string(format), Allowance{}).first;
    Allowance& allowance = found->second;
    const auto now = std::chrono::steady_clock::now();
    if (now - allowance.window_start > kWindow) {
        left_out = allowance.left_out;
        allowance = {now, 0, 0};
    }
    if (allowance.written >= kLinesPerWindow) {
        ++allowance.left_out;
        return false;
    }
    ++allowance.written;
    return true;
}

}  // namespace

void set_level(Level level) {
    logger().set_level(to_spdlog(level));
}

void write(Level level, std::string_view format, std::string_view text) {
    uint64_t left_out = 0;
    if (!admit(format, left_out)) return;
    if (left_out > 0) {
        logger().log(to_spdlog(level), "{} ({} like it left out)", escape_control(text), left_out);
    } else {
        logger().log(to_spdlog(level), "{}", escape_control(text));
    }
}

}  // namespace spanloom::log

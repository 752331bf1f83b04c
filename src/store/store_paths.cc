#include "store/store_paths.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "base/text.h"

namespace spanloom::store {
namespace {

constexpr std::string_view kSegmentEnding = ".seg";

bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

}  // namespace

std::string encode_tenant(std::string_view tenant) {
    std::string out;
    for (char c : tenant) {
        if (is_plain(c)) {
            out += c;
        } else {
            out += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        }
    }
    return out;
}

std::optional<std::string> decode_tenant(std::string_view name) {
    std::string tenant = decode_percent(name, false);
    if (tenant.empty() || encode_tenant(tenant) != name) return std::nullopt;
    return tenant;
}

static std::string partition_name(SegmentName name, std::string_view ending) {
    const std::chrono::sys_days day{std::chrono::days{name.hour / 24}};
    const std::chrono::year_month_day date{day};
    return fmt::format("{:04}{:02}{:02}{:02}-{:08x}{}", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       name.hour % 24, name.id, ending);
}

std::string segment_name(SegmentName name) {
    return partition_name(name, kSegmentEnding);
}

// Both endings have four bytes.
static std::optional<SegmentName> parse_partition_name(std::string_view name,
                                                       std::string_view ending) {
    constexpr size_t kDateDigits = 10;
    if (name.size() < kDateDigits + 13 || name.size() > kDateDigits + 21) return std::nullopt;
    if (!name.ends_with(ending) || name[kDateDigits] != '-') return std::nullopt;
    const auto number = [&](size_t at, size_t size) { return parse_int(name.substr(at, size)); };
    const auto year = number(0, 4);
    const auto month = number(4, 2);
    const auto day = number(6, 2);
    const auto hour = number(8, 2);
    if (!year || !month || !day || !hour) return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(*year)},
                                           std::chrono::month{static_cast<unsigned>(*month)},
                                           std::chrono::day{static_cast<unsigned>(*day)}};
    if (!date.ok() || *hour > 23 || *year < 1970) return std::nullopt;
    SegmentName parsed;
    const auto days = std::chrono::sys_days{date}.time_since_epoch().count();
    parsed.hour = static_cast<uint64_t>(days) * 24 + static_cast<uint64_t>(*hour);
    for (char c : name.substr(kDateDigits + 1, name.size() - kDateDigits - 5)) {
        const std::string_view digits = "0123456789abcdef";
        const size_t digit = digits.find(c);
        if (digit == std::string_view::npos) return std::nullopt;
        parsed.id = parsed.id << 4 | digit;
    }
    return parsed;
}

std::optional<SegmentName> parse_segment_name(std::string_view name) {
    return parse_partition_name(name, kSegmentEnding);
}

std::string beside_directory(const BesideKind& kind, std::string_view tenant) {
    return fmt::format("{}/{}", kind.area, encode_tenant(tenant));
}

std::string beside_path(const BesideKind& kind, std::string_view tenant, SegmentName name) {
    return beside_directory(kind, tenant) + "/" + partition_name(name, kind.ending);
}

std::optional<SegmentName> parse_beside_name(const BesideKind& kind, std::string_view name) {
    return parse_partition_name(name, kind.ending);
}

const char* area_name(Area area) {
    return area == Area::kRecent ? "recent" : "kept";
}

uint64_t partition_hour(Area area, uint64_t hour) {
    return area == Area::kRecent ? hour : hour / 24 * 24;
}

std::string tenant_directory(Area area, std::string_view tenant) {
    return fmt::format("{}/{}", area_name(area), encode_tenant(tenant));
}

std::string segment_path(Area area, std::string_view tenant, SegmentName name) {
    return tenant_directory(area, tenant) + "/" + segment_name(name);
}

}  // namespace spanloom::store

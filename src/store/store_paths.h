#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Names in the data directory, as docs/format/manifest.md has them.
namespace spanloom::store {

constexpr uint64_t kNsPerHour = 3'600'000'000'000;

// Every byte but A-Z a-z 0-9 _ - as %XX, so that a name never leaves its directory.
std::string encode_tenant(std::string_view tenant);
// nullopt: not what encode_tenant gives.
std::optional<std::string> decode_tenant(std::string_view name);

struct SegmentName {
    uint64_t hour = 0;  // since 1970
    uint64_t id = 0;
};
std::string segment_name(SegmentName name);
std::optional<SegmentName> parse_segment_name(std::string_view name);

// recent/ has a partition for each hour of arrival, kept/ one for each day (named by its first
// hour) of what was chosen when an hour aged.
enum class Area : uint8_t { kRecent, kKept };
const char* area_name(Area area);
uint64_t partition_hour(Area area, uint64_t hour);
std::string tenant_directory(Area area, std::string_view tenant);
std::string segment_path(Area area, std::string_view tenant, SegmentName name);
// Files about an hour, beside its segments: AREA/TENANT/HOUR-ID and the ending.
struct BesideKind {
    const char* area;
    std::string_view ending;
};
inline constexpr BesideKind kDecisions{"decisions", ".dec"};
inline constexpr BesideKind kCounts{"counts", ".cnt"};
std::string beside_directory(const BesideKind& kind, std::string_view tenant);
std::string beside_path(const BesideKind& kind, std::string_view tenant, SegmentName name);
std::optional<SegmentName> parse_beside_name(const BesideKind& kind, std::string_view name);

}  // namespace spanloom::store

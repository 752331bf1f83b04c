#include "sdk/file_values.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace spanloom::sdk {

tl::unexpected<Error> wrong(const YamlNode& node, std::string_view what,
                            std::string_view expected) {
    return fail(ErrorCode::kInvalidArgument, "line {}: {}: {} is expected", node.line, what,
                expected);
}

Result<void> expect(const YamlNode& node, YamlNode::Kind kind, std::string_view what,
                    std::string_view expected) {
    if (node.kind != kind) return wrong(node, what, expected);
    return {};
}

Result<void> only_keys(const YamlNode& node, std::string_view what,
                       std::initializer_list<std::string_view> keys) {
    if (node.is_null()) return {};
    TRY(expect(node, YamlNode::Kind::kMap, what, "a mapping"));
    for (const auto& [key, value] : node.entries) {
        if (std::find(keys.begin(), keys.end(), key) == keys.end())
            return fail(ErrorCode::kInvalidArgument, "line {}: {}: '{}' is not known", value.line,
                        what, key);
    }
    return {};
}

Result<const YamlNode::Entry*> only_entry(const YamlNode& node, std::string_view what) {
    if (node.kind != YamlNode::Kind::kMap || node.entries.size() != 1)
        return wrong(node, what, "a mapping with one key");
    return &node.entries.front();
}

const YamlNode* present(const YamlNode& map, std::string_view key) {
    const YamlNode* node = map.find(key);
    return node == nullptr || node->is_null() ? nullptr : node;
}

Result<void> read(const YamlNode& map, std::string_view key, bool& to) {
    const YamlNode* node = present(map, key);
    if (node == nullptr) return {};
    const auto value = node->boolean();
    if (!value) return wrong(*node, key, "true or false");
    to = *value;
    return {};
}

Result<void> read(const YamlNode& map, std::string_view key, std::string& to) {
    const YamlNode* node = present(map, key);
    if (node == nullptr) return {};
    TRY(expect(*node, YamlNode::Kind::kScalar, key, "text"));
    to = node->text;
    return {};
}

Result<void> read(const YamlNode& map, std::string_view key, double& to, double min, double max) {
    const YamlNode* node = present(map, key);
    if (node == nullptr) return {};
    const auto value = node->number();
    if (!value || !(*value >= min && *value <= max))
        return wrong(*node, key, fmt::format("a number from {} to {}", min, max));
    to = *value;
    return {};
}

Result<void> read(const YamlNode& map, std::string_view key, uint32_t& to, uint32_t min) {
    uint64_t wide = to;
    TRY(read(map, key, wide));
    const YamlNode* node = present(map, key);
    if (node != nullptr && wide < min)
        return wrong(*node, key, fmt::format("a whole number of at least {}", min));
    to = static_cast<uint32_t>(std::min<uint64_t>(wide, std::numeric_limits<uint32_t>::max()));
    return {};
}

Result<void> read(const YamlNode& map, std::string_view key, uint64_t& to) {
    const YamlNode* node = present(map, key);
    if (node == nullptr) return {};
    const auto value = node->integer();
    if (!value || *value < 0) return wrong(*node, key, "a whole number, not negative");
    to = static_cast<uint64_t>(*value);
    return {};
}

Result<void> read(const YamlNode& map, std::string_view key, std::vector<std::string>& to) {
    const YamlNode* node = present(map, key);
    if (node == nullptr) return {};
    TRY(expect(*node, YamlNode::Kind::kList, key, "a list"));
    to.clear();
    for (const YamlNode& item : node->items) {
        TRY(expect(item, YamlNode::Kind::kScalar, key, "a list of texts"));
        to.push_back(item.text);
    }
    return {};
}

Result<void> read(const YamlNode& map, std::string_view key, Duration& to, Zero zero) {
    constexpr uint64_t kMsMax = 1'000'000'000'000;  // 31 years: as good as unlimited
    uint64_t ms = kMsMax;
    if (present(map, key) == nullptr) return {};
    TRY(read(map, key, ms));
    if (ms == 0 && zero == Zero::kUnlimited) ms = kMsMax;
    to = Duration::from_ms(std::min(ms, kMsMax));
    return {};
}

}  // namespace spanloom::sdk

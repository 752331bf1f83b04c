#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// The part of YAML 1.2 that configuration files are written in, and all of
// JSON: mappings and lists in block and flow style, plain and quoted scalars,
// comments. Anchors, tags, block scalars, scalars of several lines, several
// documents and tabs as indentation are refused, with the line.
namespace spanloom::sdk {

struct YamlNode {
    enum class Kind : uint8_t { kScalar, kMap, kList };
    struct Entry;

    Kind kind = Kind::kScalar;
    bool is_quoted = false;       // of a scalar: then it is text, whatever it looks like
    std::string text;             // of a scalar
    std::vector<Entry> entries;   // of a map, in order
    std::vector<YamlNode> items;  // of a list
    uint32_t line = 0;

    // Null where absent, or where this is no map.
    const YamlNode* find(std::string_view key) const;
    // By the core schema: what a plain scalar says.
    bool is_null() const;
    std::optional<bool> boolean() const;
    std::optional<int64_t> integer() const;
    std::optional<double> number() const;

    YamlNode();
    YamlNode(YamlNode&&) noexcept;
    YamlNode& operator=(YamlNode&&) noexcept;
    ~YamlNode();
};

struct YamlNode::Entry {
    std::string key;
    YamlNode value;
};

constexpr size_t kYamlBytesMax = 1U << 20;
constexpr uint32_t kYamlDepthMax = 64;
constexpr size_t kYamlNodesMax = 100'000;

// An empty document is a null.
Result<YamlNode> parse_yaml(std::string_view text);

}  // namespace spanloom::sdk

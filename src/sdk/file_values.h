#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sdk/yaml.h"
#include "spanloom/timestamp.h"

// Values of a configuration file, by what is expected of them. What is absent
// or null leaves the target as it is; what is wrong is an error that names
// line, key and expectation.
namespace spanloom::sdk {

tl::unexpected<Error> wrong(const YamlNode& node, std::string_view what, std::string_view expected);
Result<void> expect(const YamlNode& node, YamlNode::Kind kind, std::string_view what,
                    std::string_view expected);
// A mapping (or nothing) with these keys and no others.
Result<void> only_keys(const YamlNode& node, std::string_view what,
                       std::initializer_list<std::string_view> keys);
// A mapping with one entry, whose key says what it is ("batch:", "always_on:").
Result<const YamlNode::Entry*> only_entry(const YamlNode& node, std::string_view what);
// Null where the key is absent or its value is null.
const YamlNode* present(const YamlNode& map, std::string_view key);

Result<void> read(const YamlNode& map, std::string_view key, bool& to);
Result<void> read(const YamlNode& map, std::string_view key, std::string& to);
Result<void> read(const YamlNode& map, std::string_view key, double& to, double min, double max);
Result<void> read(const YamlNode& map, std::string_view key, uint32_t& to, uint32_t min = 0);
Result<void> read(const YamlNode& map, std::string_view key, uint64_t& to);
Result<void> read(const YamlNode& map, std::string_view key, std::vector<std::string>& to);
// Milliseconds.
enum class Zero : uint8_t { kZero, kUnlimited };
Result<void> read(const YamlNode& map, std::string_view key, Duration& to, Zero zero = Zero::kZero);

}  // namespace spanloom::sdk

#include "main/yaml_json.h"

#include <cmath>
#include <fstream>
#include <iterator>

#include <yaml-cpp/yaml.h>

#include "base/json_writer.h"
#include "base/text.h"

namespace spanloom {
namespace {

constexpr int kDepthMax = 64;
constexpr size_t kJsonBytesMax = 8U << 20;

class NodeWriter {
  public:
    NodeWriter(YamlScalars scalars, std::string& out) : scalars_(scalars), out_(out), json_(out) {}

    Result<void> write(const YAML::Node& node, int depth) {
        if (depth == 0) return fail(ErrorCode::kInvalidArgument, "is nested too deep");
        if (out_.size() > kJsonBytesMax)
            return fail(ErrorCode::kInvalidArgument, "is too large with its aliases written out");
        if (node.IsMap()) {
            json_.begin_object();
            for (const auto& entry : node) {
                json_.key(entry.first.IsScalar() ? entry.first.Scalar() : "?");
                TRY(write(entry.second, depth - 1));
            }
            json_.end_object();
        } else if (node.IsSequence()) {
            json_.begin_array();
            for (const YAML::Node& item : node)
                TRY(write(item, depth - 1));
            json_.end_array();
        } else if (node.IsScalar()) {
            scalar(node);
        } else {
            json_.null();
        }
        return {};
    }

  private:
    void scalar(const YAML::Node& node) {
        const std::string& text = node.Scalar();
        const bool is_text = scalars_ == YamlScalars::kTexts || node.Tag() == "!";
        if (is_text) {
            json_.string(text);
        } else if (text == "true" || text == "false") {
            json_.boolean(text == "true");
        } else if (const auto whole = parse_int(text)) {
            json_.number(*whole);
        } else if (const auto number = parse_double(text); number && std::isfinite(*number)) {
            json_.number(*number);
        } else {
            json_.string(text);
        }
    }

    const YamlScalars scalars_;
    std::string& out_;
    JsonWriter json_;
};

}  // namespace

Result<std::string> yaml_as_json(const YAML::Node& node, int depth, YamlScalars scalars) {
    std::string json;
    TRY(NodeWriter(scalars, json).write(node, depth));
    return json;
}

Result<std::string> yaml_text_as_json(std::string_view yaml, const std::string& name) {
    try {
        auto json = yaml_as_json(YAML::Load(std::string(yaml)), kDepthMax, YamlScalars::kTyped);
        if (!json) return fail(json.error().code, "{} {}", name, json.error().message);
        return json;
    } catch (const YAML::Exception& e) {
        return fail(ErrorCode::kInvalidArgument, "{}:{}: not YAML: {}", name, e.mark.line + 1,
                    e.msg);
    }
}

Result<std::string> read_text_file(const std::string& path, std::string_view what) {
    constexpr size_t kBytesMax = 1U << 20;  // of what people write
    std::ifstream file(path, std::ios::binary);
    std::string text(kBytesMax + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!file.is_open() || file.bad())
        return fail(ErrorCode::kNotFound, "cannot read {} {}: is the path right?", what, path);
    text.resize(static_cast<size_t>(file.gcount()));
    if (text.size() > kBytesMax)
        return fail(ErrorCode::kInvalidArgument, "{} is larger than 1 MiB: is it {}?", path, what);
    return text;
}

}  // namespace spanloom
